"""Properties of ops that Hypothesis searches counterexamples for, with NumPy as the oracle:
broadcasting, indexing, reductions, moving elements, dtypes, matmul, einsum.
"""

import math
import operator
import string

import numpy as np
import pytest
from grouped import grouped
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_like as tg
from tinygrad_like.engine import gradients, wrap

examples = settings(deadline=None, max_examples=60, derandomize=True, database=None)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
SEEDS = st.integers(0, 2**32 - 1)
FLOATS = st.sampled_from([np.float16, np.float32, np.float64])


def numbers(seed, shape, dtype=np.float64):
    return np.asarray(np.random.default_rng(seed).uniform(0.5, 2, shape), dtype)


def leaf(array):
    t = wrap(array)
    t.requires_grad = True
    return t


def value_and_gradients(f, *arrays, g=None):
    """f's value, and its gradients weighted by `g` (by default random numbers), as arrays."""
    xs = [leaf(a) for a in arrays]
    y = f(*xs)
    g = numbers(7, y.shape, y.dtype) if g is None else g
    return y.data, g, [d.data for d in gradients([y], xs, [wrap(g)])]


def unbroadcast(g, shape):
    """The sum of g over the axes along which `shape` was broadcast: one element at a time."""
    total = np.zeros(shape)
    lead = g.ndim - len(shape)
    for index in np.ndindex(g.shape):
        place = tuple(0 if n == 1 else i for i, n in zip(index[lead:], shape, strict=True))
        total[place] += g[index]
    return total


BINARY = {  # op: (NumPy's, its derivatives by a and by b)
    "add": (np.add, lambda a, b: 1, lambda a, b: 1),
    "subtract": (np.subtract, lambda a, b: 1, lambda a, b: -1),
    "multiply": (np.multiply, lambda a, b: b, lambda a, b: a),
    "divide": (np.divide, lambda a, b: 1 / b, lambda a, b: -a / b**2),
    "power": (np.power, lambda a, b: b * a ** (b - 1), lambda a, b: a**b * np.log(a)),
    "maximum": (np.maximum, lambda a, b: np.heaviside(a - b, 0.5),
                lambda a, b: np.heaviside(b - a, 0.5)),
    "minimum": (np.minimum, lambda a, b: np.heaviside(b - a, 0.5),
                lambda a, b: np.heaviside(a - b, 0.5)),
}  # fmt: skip


@pytest.mark.parametrize("name", BINARY)
@examples
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, min_dims=0, max_dims=3, min_side=0,
                                         max_side=3), SEEDS, FLOATS)  # fmt: skip
def test_broadcasting(name, shapes, seed, dtype):
    """Values and dtypes as NumPy's; each gradient is summed to the shape of its input."""
    a, b = (numbers(seed + i, s, dtype) for i, s in enumerate(shapes.input_shapes))
    oracle, by_a, by_b = BINARY[name]
    y, g, (da, db) = value_and_gradients(getattr(tg, name), a, b)
    expected = np.asarray(oracle(a, b))
    assert y.shape == expected.shape == shapes.result_shape
    assert (y.dtype, da.dtype, db.dtype) == (dtype,) * 3
    np.testing.assert_array_equal(y, expected)
    wide = g.astype(np.float64), a.astype(np.float64), b.astype(np.float64)
    tolerance = {"rtol": 64 * np.finfo(dtype).eps, "atol": 256 * np.finfo(dtype).eps}
    for d, by, x in ((da, by_a, a), (db, by_b, b)):
        assert d.shape == x.shape
        np.testing.assert_allclose(d, unbroadcast(wide[0] * by(*wide[1:]), x.shape), **tolerance)


@examples
@given(hnp.mutually_broadcastable_shapes(num_shapes=3, min_dims=0, max_dims=3, min_side=0,
                                         max_side=3), SEEDS)  # fmt: skip
def test_where_broadcasts_three_ways(shapes, seed):
    condition, a, b = (numbers(seed + i, s) for i, s in enumerate(shapes.input_shapes))
    condition = np.asarray(condition > 1.2)
    y, g, (da, db) = value_and_gradients(lambda a, b: tg.where(condition, a, b), a, b)
    np.testing.assert_array_equal(y, np.where(condition, a, b))
    np.testing.assert_allclose(da, unbroadcast(np.where(condition, g, 0), a.shape), rtol=1e-13)
    np.testing.assert_allclose(db, unbroadcast(np.where(condition, 0, g), b.shape), rtol=1e-13)


@st.composite
def arrays_and_indices(draw):
    """An array, and any index that NumPy knows: basic, advanced, boolean, mixed."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    x = numbers(draw(SEEDS), shape)
    result = hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)

    def mixed():
        common = draw(result)
        parts = []
        for n in shape[: draw(st.integers(1, len(shape)))]:
            one = st.one_of(
                st.integers(-n, n - 1),
                st.slices(n),
                hnp.arrays(np.int64, common, elements=st.integers(-n, n - 1)),
            )
            parts.append(draw(one))
        for _ in range(draw(st.integers(0, 1))):
            parts.insert(draw(st.integers(0, len(parts))), None)
        if draw(st.booleans()):
            parts.append(Ellipsis)
        return tuple(parts)

    kind = draw(st.sampled_from(["basic", "integers", "mask", "row mask", "mixed"]))
    if kind == "basic":
        return x, draw(hnp.basic_indices(shape, allow_newaxis=True))
    if kind == "integers":
        return x, draw(hnp.integer_array_indices(shape, result_shape=result))
    if kind == "mask":
        return x, draw(hnp.arrays(bool, shape))
    if kind == "row mask":
        return x, (Ellipsis, draw(hnp.arrays(bool, shape[-1:])))
    return x, mixed()


@settings(examples, max_examples=300)
@given(arrays_and_indices(), st.booleans())
def test_indexing(case, as_tensors):
    """x[index] is NumPy's, and its gradient adds the cotangent at the index."""
    x, index = case
    expected = np.asarray(x[index])
    if as_tensors:
        wrapped = [
            wrap(i) if isinstance(i, np.ndarray) else i
            for i in (index if isinstance(index, tuple) else (index,))
        ]
        ours = tuple(wrapped) if isinstance(index, tuple) else wrapped[0]
    else:
        ours = index
    y, g, (dx,) = value_and_gradients(lambda t: t[ours], x)
    np.testing.assert_array_equal(y, expected)
    assert y.shape == expected.shape
    total = np.zeros_like(x)
    np.add.at(total, index, g)
    np.testing.assert_allclose(dx, total, rtol=1e-13)


@examples
@given(arrays_and_indices(), SEEDS)
def test_second_order_of_indexing(case, seed):
    """The gradient of the gradient with respect to the cotangent reads at the index again."""
    x, index = case
    t = leaf(x)
    y = t[index]
    g = leaf(numbers(seed, y.shape))
    (dx,) = gradients([y], [t], [g], create_graph=True)
    v = numbers(seed + 1, x.shape)
    (back,) = gradients([dx], [g], [wrap(v)])
    np.testing.assert_array_equal(back.data, v[index])


@examples
@given(arrays_and_indices(), SEEDS)
def test_writing_by_index(case, seed):
    x, index = case
    expected, t = x.copy(), tg.Tensor(x)
    value = numbers(seed, expected[index].shape)
    expected[index] = value
    t[index] = value
    np.testing.assert_array_equal(t.numpy(), expected)


@st.composite
def shapes_and_axes(draw, min_side=0):
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=min_side, max_side=3))
    axes = draw(hnp.valid_tuple_axes(len(shape)))
    one = st.sampled_from(axes) if axes else st.none()
    return shape, draw(st.one_of(st.just(axes), st.none(), one)), draw(st.booleans())


REDUCTIONS = {  # the derivative of each element, as a function of x and of the kept result
    "sum": lambda x, y, n: np.ones_like(x),
    "mean": lambda x, y, n: np.ones_like(x) / max(n, 1),
    "prod": lambda x, y, n: y / x,
    "max": lambda x, y, n: (x == y) * 1.0,
    "min": lambda x, y, n: (x == y) * 1.0,
}


@pytest.mark.parametrize("name", REDUCTIONS)
@examples
@given(st.data(), SEEDS, FLOATS)
def test_reductions(name, data, seed, dtype):
    empty_works = name in ("sum", "prod")
    shape, axis, keepdims = data.draw(shapes_and_axes(min_side=0 if empty_works else 1))
    x = numbers(seed, shape, dtype)
    if dtype is np.float16:
        x = (np.arange(1.0, x.size + 1) / 64 + 1).astype(dtype).reshape(shape)  # no ties
    oracle = getattr(np, name)
    tolerance = 64 * np.finfo(dtype).eps
    y, g, (dx,) = value_and_gradients(
        lambda t: getattr(tg, name)(t, axis=axis, keepdims=keepdims), x
    )
    expected = np.asarray(oracle(x, axis=axis, keepdims=keepdims))
    np.testing.assert_allclose(y, expected, rtol=tolerance)
    assert (y.shape, y.dtype, dx.shape, dx.dtype) == (expected.shape, dtype, shape, dtype)
    wide = x.astype(np.float64)
    kept = oracle(wide, axis=axis, keepdims=True)
    count = x.size // max(kept.size, 1)
    expected = g.reshape(np.shape(kept)) * REDUCTIONS[name](wide, kept, count)
    np.testing.assert_allclose(dx, expected, rtol=4 * tolerance)


@examples
@given(shapes_and_axes(min_side=0), st.sampled_from(["any", "all"]), SEEDS)
def test_truth_of_axes(case, name, seed):
    shape, axis, keepdims = case
    x = np.asarray(numbers(seed, shape) > 1)
    y = getattr(tg, name)(wrap(x), axis=axis, keepdims=keepdims)
    expected = np.asarray(getattr(np, name)(x, axis=axis, keepdims=keepdims))
    np.testing.assert_array_equal(y.data, expected)
    assert y.dtype == bool


@examples
@given(SHAPES, st.data(), SEEDS)
def test_moving_elements_there_and_back(shape, data, seed):
    """reshape, transpose, moveaxis, flip, roll, expand_dims: undone they give x, and gradient g."""
    x, n = numbers(seed, shape), len(shape)
    order = tuple(data.draw(st.permutations(range(n))))
    shift = data.draw(st.integers(-5, 5))
    places = data.draw(hnp.valid_tuple_axes(n + 2, min_size=2, max_size=2))
    axes = data.draw(hnp.valid_tuple_axes(n))

    def there_and_back(t):
        t = tg.transpose(tg.transpose(t, order), tuple(np.argsort(order)))
        t = tg.reshape(tg.reshape(t, (-1,) if t.size else (0, 5)), shape)
        t = tg.squeeze(tg.expand_dims(t, places), places)
        t = tg.flip(tg.flip(t, axis=axes), axis=axes)
        t = tg.roll(tg.roll(t, shift=shift), shift=-shift)
        return tg.moveaxis(tg.moveaxis(t, tuple(range(n)), order), order, tuple(range(n)))

    y, g, (dx,) = value_and_gradients(there_and_back, x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, g)


@examples
@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5), st.data(), SEEDS)
def test_split_and_concatenate_are_inverse(shape, data, seed):
    x = numbers(seed, shape)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    cuts = sorted(data.draw(st.lists(st.integers(0, shape[axis]), max_size=3)))
    pieces = tg.split(wrap(x), cuts, axis)
    for ours, numpys in zip(pieces, np.split(x, cuts, axis), strict=True):
        np.testing.assert_array_equal(ours.data, numpys)
    y, g, (dx,) = value_and_gradients(lambda t: tg.concatenate(tg.split(t, cuts, axis), axis), x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(dx, g)


@examples
@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3), st.data(), SEEDS)
def test_pad_tile_and_repeat(shape, data, seed):
    x = numbers(seed, shape)
    width = data.draw(st.lists(st.tuples(*[st.integers(0, 2)] * 2), min_size=len(shape),
                               max_size=len(shape)))  # fmt: skip
    y, g, (dx,) = value_and_gradients(lambda t: tg.pad(t, pad_width=width, value=3.0), x)
    np.testing.assert_array_equal(y, np.pad(x, width, constant_values=3.0))
    inside = tuple(slice(b, b + n) for (b, _), n in zip(width, shape, strict=True))
    np.testing.assert_array_equal(dx, g[inside])

    reps = tuple(data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=4)))
    y, g, (dx,) = value_and_gradients(lambda t: tg.tile(t, reps), x)
    np.testing.assert_array_equal(y, np.tile(x, reps))
    total = np.zeros_like(x)
    np.add.at(total, tuple(np.tile(i, reps) for i in np.indices(shape)), g)
    np.testing.assert_allclose(dx, total, rtol=1e-13)

    axis = data.draw(st.integers(0, len(shape) - 1))
    counts = data.draw(hnp.arrays(int, shape[axis], elements=st.integers(0, 2)))
    y, g, (dx,) = value_and_gradients(lambda t: tg.repeat(t, counts, axis), x)
    np.testing.assert_array_equal(y, np.repeat(x, counts, axis))
    assert dx.shape == shape
    np.testing.assert_allclose(dx.sum(), g.sum(), rtol=1e-12, atol=1e-12)


@examples
@given(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4), st.data(), SEEDS,
       st.booleans())  # fmt: skip
def test_sorting(shape, data, seed, descending):
    """Sorted as NumPy sorts, stably, and the gradient goes where each element came from."""
    x = np.random.default_rng(seed).integers(0, 3, shape).astype(float)
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    order = np.argsort(-x if descending else x, axis=axis, kind="stable")
    y, g, (dx,) = value_and_gradients(lambda t: tg.sort(t, axis=axis, descending=descending), x)
    np.testing.assert_array_equal(y, np.take_along_axis(x, order, axis))
    ours = tg.argsort(wrap(x), axis=axis, descending=descending)
    np.testing.assert_array_equal(ours.data, order)
    np.testing.assert_array_equal(np.take_along_axis(dx, order, axis), g)
    k = data.draw(st.integers(0, shape[axis]))
    values, indices = tg.topk(wrap(x), k, axis)
    order = np.argsort(-x, axis=axis, kind="stable")
    np.testing.assert_array_equal(indices.data, np.take(order, np.arange(k), axis))
    np.testing.assert_array_equal(values.data, np.take_along_axis(x, indices.data, axis))


DTYPES = "bool uint8 int8 int16 int32 int64 uint32 float16 float32 float64".split()
ARITHMETIC = [operator.add, operator.mul, operator.truediv, operator.pow]


def documented_dtype(result, operands):
    """NumPy's dtype, but integers and booleans do not promote floats, and alone make float32."""
    floats = [d for d in operands if d.kind == "f"]
    if np.dtype(result).kind != "f":
        return result
    return np.result_type(*floats) if floats else np.dtype(np.float32)


@pytest.mark.parametrize("f", ARITHMETIC, ids=lambda f: f.__name__)
@examples
@given(st.sampled_from(DTYPES), st.sampled_from(DTYPES), st.sampled_from([(), (2,)]),
       st.sampled_from([(), (2,)]))  # fmt: skip
def test_dtypes_of_two_tensors(f, a, b, shape_a, shape_b):
    a, b = np.ones(shape_a, a), np.ones(shape_b, b)
    try:
        expected = f(a, b).dtype
    except TypeError:  # booleans to a power
        assume(False)
    if expected == np.float16 and "f" not in a.dtype.kind + b.dtype.kind:
        return  # NumPy divides small integers in float16; see the next test
    y = f(wrap(a), wrap(b))
    assert y.dtype == documented_dtype(expected, [a.dtype, b.dtype])
    assert y.shape == np.broadcast_shapes(shape_a, shape_b)
    xs = [leaf(x) if x.dtype.kind == "f" else wrap(x) for x in (a, b)]
    y, leaves = f(*xs), [x for x in xs if x.requires_grad]
    for create_graph in (True, False):  # a gradient returns to the dtype of its input
        g = gradients([y], leaves, [tg.ones_like(y)], create_graph=create_graph)
        assert [d.dtype for d in g] == [x.dtype for x in leaves]


FLOATING = """
    exp expm1 log log1p log2 sqrt rsqrt sin cos tan arcsin arccos arctan sinh cosh tanh erf sigmoid
    elu leaky_relu gelu silu softplus mean var std norm softmax log_softmax logsumexp layer_norm
    rms_norm
""".split()


@pytest.mark.parametrize("name", FLOATING)
@grouped("dtype", [d for d in DTYPES if "float" not in d])
def test_functions_of_integers_give_float32(name, dtype):
    x = np.ones(2, dtype)
    y = getattr(tg, name)(tg.Tensor(x))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.data, getattr(tg, name)(tg.ones(2)).data)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if "float" not in d])
def test_quotients_of_integers_are_float32(dtype):
    x = tg.Tensor(np.array([1, 1], dtype))
    for y in (x / x, x / 2, 2 / x, x * 0.5):
        assert y.dtype == np.float32


@pytest.mark.parametrize("f", [*ARITHMETIC, operator.sub], ids=lambda f: f.__name__)
@examples
@given(st.sampled_from([d for d in DTYPES if d != "bool"]), st.booleans(),
       st.sampled_from([2, 2.0, True, np.float64(2), np.float32(2), np.int64(2)]))  # fmt: skip
def test_python_scalars_promote_nothing(f, dtype, scalar_first, scalar):
    """A float tensor keeps its dtype beside any number; so do integers beside integers."""
    x = tg.Tensor(np.ones(3, dtype))
    y = f(scalar, x) if scalar_first else f(x, scalar)
    if x.dtype.kind == "f":
        assert y.dtype == x.dtype
    elif isinstance(scalar, (float, np.floating)) or f is operator.truediv:
        assert y.dtype == np.float32
    else:
        assert y.dtype == x.dtype


@st.composite
def matmul_shapes(draw):
    n, k, m = (draw(st.integers(0, 3)) for _ in range(3))
    batches = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3))
    a, b = batches.input_shapes
    a = draw(st.sampled_from([(k,), (*a, n, k)]))
    b = draw(st.sampled_from([(k,), (*b, k, m)]))
    return a, b


@settings(examples, max_examples=150)
@given(matmul_shapes(), SEEDS)
@example(((1, 0, 0), (0, 0)), 0)
def test_matmul(shapes, seed):
    """Values as NumPy's; gradients as those of the same product written as an einsum."""
    a, b = (numbers(seed + i, s) for i, s in enumerate(shapes))
    y, g, (da, db) = value_and_gradients(tg.matmul, a, b)
    np.testing.assert_allclose(y, np.matmul(a, b), rtol=1e-13)
    left, right = "...nk" if a.ndim > 1 else "k", "...km" if b.ndim > 1 else "k"
    out = "..." * (a.ndim > 2 or b.ndim > 2) + "n" * (a.ndim > 1) + "m" * (b.ndim > 1)
    left = left if a.ndim > 2 else left.replace("...", "")
    right = right if b.ndim > 2 else right.replace("...", "")
    for d, x, spelling, other, others in ((da, a, left, b, right), (db, b, right, a, left)):
        # The gradient before broadcasting is undone: an outer sum over the other operand.
        full = spelling if "..." in spelling or "..." not in out else "..." + spelling
        expected = np.einsum(f"{out},{others}->{full}", g, other)
        np.testing.assert_allclose(d, unbroadcast(expected, x.shape), rtol=1e-12)


@st.composite
def einsums(draw):
    """Subscripts, and operands of fitting shapes, repeated indices among them."""
    letters = string.ascii_lowercase[: draw(st.integers(1, 4))]
    lengths = {c: draw(st.integers(0 if i == 0 else 1, 3)) for i, c in enumerate(letters)}
    terms = draw(st.lists(st.text(letters, max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(terms)))
    spread = draw(st.sampled_from(["", "..."]))
    which = [draw(st.booleans()) if spread else False for _ in terms]
    out = draw(st.lists(st.sampled_from(used), unique=True)) if used else []
    wide = [(2,) * w + tuple(lengths[c] for c in t) for w, t in zip(which, terms, strict=True)]
    terms = ["..." * w + t for w, t in zip(which, terms, strict=True)]
    explicit = draw(st.booleans())
    subscripts = ",".join(terms) + (f"->{'...' * any(which)}{''.join(out)}" if explicit else "")
    return subscripts, wide


@settings(examples, max_examples=200)
@given(einsums(), SEEDS)
def test_einsum(case, seed):
    """Values as NumPy's; each gradient agrees with the value, which is linear in each operand."""
    subscripts, shapes = case
    xs = [numbers(seed + i, s) for i, s in enumerate(shapes)]
    y, g, grads = value_and_gradients(lambda *ts: tg.einsum(subscripts, *ts), *xs)
    expected = np.einsum(subscripts, *xs)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    assert y.shape == np.shape(expected)
    for i, (x, d) in enumerate(zip(xs, grads, strict=True)):
        assert d.shape == x.shape
        for index in np.ndindex(x.shape):
            unit = np.zeros_like(x)
            unit[index] = 1
            along = np.einsum(subscripts, *xs[:i], unit, *xs[i + 1 :])
            assert math.isclose(d[index], (along * g).sum(), rel_tol=1e-11, abs_tol=1e-11)
