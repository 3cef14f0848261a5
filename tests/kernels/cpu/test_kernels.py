"""The CPU's kernels against the reference in float64: every row, and shapes of every kind.

The rows of kernel_rows.py are small and say what a kernel is; the shapes here are ragged, empty,
and large enough for all paths and threads. Errors are in units of the dtype's epsilon at the
largest element of the exact result.
"""

import numpy as np
import pytest
from cpu_threads import on_threads
from kernel_rows import ROWS, draw, k
from tinygrad_like.kernels import cpu, reference

import tinygrad_like as tg


@pytest.fixture
def on_cpu():
    k.turn_to(cpu)
    yield
    k.turn_to(reference)


def compare(ours, exact, dtype, bound, what):
    """Raise AssertionError unless results have one dtype and are within `bound` epsilons."""
    ours, exact = ([*x] if isinstance(x, tuple) else [x] for x in (ours, exact))
    for i, (a, b) in enumerate(zip(ours, exact, strict=True)):
        if b is None:
            assert a is None, f"{what}: result {i} is not needed"
            continue
        assert (a.dtype, a.shape) == (dtype, b.shape), f"{what}: result {i}"
        scale = np.abs(b[np.isfinite(b)]).max(initial=1e-30) * np.finfo(dtype).eps
        np.testing.assert_allclose(
            a, b, rtol=0, atol=bound * scale, err_msg=f"{what}: result {i}, {bound} eps"
        )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows_agree_with_the_reference(row, dtype, on_cpu):
    g, inputs = draw(row, dtype)
    ours = row.forward(*inputs), *row.backward(g, *inputs)
    k.turn_to(reference)
    wide_g, wide = g.astype(np.float64), [x.astype(np.float64) for x in inputs]
    compare(ours, (row.forward(*wide), *row.backward(wide_g, *wide)), dtype, 16, row.name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_complex_numbers_are_left_to_the_reference(row, on_cpu):
    inputs = draw(row)[1]
    stepped = [inputs[0] + 1e-30j, *inputs[1:]]
    ours = row.forward(*stepped)
    k.turn_to(reference)
    np.testing.assert_array_equal(ours, row.forward(*stepped))


def unaligned(x):
    """A C-contiguous copy that begins in the middle of a vector."""
    room = np.empty(x.size + 1, x.dtype)
    room[1:] = x.reshape(-1)
    return room[1:].reshape(x.shape)


def as_float64(arguments):
    return [a.astype(np.float64) if getattr(a, "dtype", None) in SINGLE else a for a in arguments]


SINGLE = (np.dtype(np.float32),)


class Normal:
    """Random arguments of one shape, by turns."""

    def __init__(self, dtype):
        self.rng, self.dtype = np.random.default_rng(0), dtype

    def __call__(self, *shape):
        return unaligned(self.rng.standard_normal(shape).astype(self.dtype))


def elementwise(n, shape):
    for name in ("erf", "sigmoid", "silu", "softplus", "relu", "softmax", "log_softmax"):
        yield name, (n(*shape),)
    for name in ("sigmoid", "tanh", "silu", "softplus", "relu", "softmax"):
        yield f"{name}_backward", (n(*shape), n(*shape))
    yield "log_softmax_backward", (n(*shape), -np.abs(n(*shape)))
    for approximate in (False, True):
        yield "gelu", (n(*shape), approximate)
        yield "gelu_backward", (n(*shape), n(*shape), approximate)
    yield "add", (n(*shape), n(*shape))
    yield "sum_middle", (n(*shape)[:, :, None],)
    yield "sum_middle", (n(*shape)[None],)


def rows(n, shape):
    r, d = shape
    labels = n.rng.integers(0, d, r)
    x, g = n(r, d), n(r, d)
    yield "cross_entropy", (x, labels)
    yield "cross_entropy_backward", (n(r), x, labels, reference.cross_entropy(x, labels)[1])
    for weight, bias in ((n(d), n(d)), (None, None), (n(d), None)):
        yield "layer_norm", (x, weight, bias, 1e-3)
        mean, rstd = reference.layer_norm(x, weight, bias, 1e-3)[1:]
        yield "layer_norm_backward", (g, x, weight, mean, rstd, (True, True, False))
        yield "rms_norm", (x, weight, 1e-3)
        rstd = reference.rms_norm(x, weight, 1e-3)[1]
        yield "rms_norm_backward", (g, x, weight, rstd, (True, True))


def images(n, shape):
    x, g, c = n(*shape), n(*shape), shape[1]
    yield "sum_middle", (x,)
    for axes in ((0,), (0, 2), (1, 2), None):
        yield "sum_axes", (np.abs(x), axes)
        yield "sum_axes", (np.abs(x).T[::-1], axes)
    for weight, bias in ((n(c), n(c)), (None, None)):
        yield "batch_norm", (x, weight, bias, 1e-3)
        mean, var = reference.batch_norm(x, weight, bias, 1e-3)[1:]
        yield "batch_norm_backward", (g, x, weight, mean, var, 1e-3, (True,) * 3)
        yield "group_norm", (x, weight, bias, 2, 1e-3)
        mean, rstd = reference.group_norm(x, weight, bias, 2, 1e-3)[1:]
        yield "group_norm_backward", (g, x, weight, 2, mean, rstd, (True,) * 3)


CALLS = [
    *((elementwise, s) for s in ((3, 5), (0, 5), (1, 1), (257, 129), (131, 1031), (2000, 65))),
    *((rows, s) for s in ((3, 5), (0, 5), (1, 7), (257, 129), (64, 1031), (2000, 65))),
    *((images, s) for s in ((3, 4, 9), (0, 4, 9), (16, 32, 100), (2, 6, 1), (5, 2, 16))),
]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0].__name__}-{call[1]}")
def test_ragged_empty_and_large_shapes(call, dtype, count):
    with on_threads(count):
        for name, arguments in call[0](Normal(dtype), call[1]):
            ours = getattr(cpu, name)(*arguments)
            exact = getattr(reference, name)(*as_float64(arguments))
            compare(ours, exact, dtype, 40 if "norm_backward" in name else 16, name)


SHAPES = [
    (1, 1, 1),
    (3, 0, 4),
    (7, 300, 5),
    (300, 200, 100),
    (64, 784, 128),
    (513, 65, 1030),
    (1100, 300, 37),
    (269, 1100, 300),  # both factors packed, in more than one block of each
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_of_all_transpositions_and_strides(shape, dtype):
    m, inner, n = shape
    normal = Normal(dtype)
    lefts = normal(m, inner), normal(inner, m).T, normal(m, 2 * inner)[:, ::2]
    rights = normal(inner, n), normal(n, inner).T, normal(2 * inner, n)[::2]
    bound = 4 * np.finfo(dtype).eps * max(1, inner)
    bias = normal(n)
    for a in lefts:
        for b in rights:
            exact = a.astype(np.float64) @ b.astype(np.float64)
            np.testing.assert_allclose(cpu.matmul(a, b), exact, rtol=0, atol=bound)
            np.testing.assert_allclose(cpu.linear(a, b, bias), exact + bias, rtol=0, atol=bound)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_stacks(dtype):
    normal = Normal(dtype)
    a, b = normal(6, 5, 70, 80), normal(6, 5, 80, 90)
    for x, y in (
        (a, b),
        (a.swapaxes(2, 3).copy().swapaxes(2, 3), b),
        (a, b.swapaxes(2, 3).copy().swapaxes(2, 3)),
        (a, b[0, 0]),
        (a[:1], b),
        (a[::2], b[::2]),
        (a.transpose(1, 0, 2, 3), b.transpose(1, 0, 2, 3)),
    ):
        ours = cpu.matmul(x, y)
        exact = x.astype(np.float64) @ y.astype(np.float64)
        np.testing.assert_allclose(ours, exact, rtol=0, atol=400 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(700, 300, 130), (70, 300, 650), (270, 600, 300)], ids=str)
def test_products_are_the_same_bits_at_any_number_of_threads(shape, dtype):
    m, inner, n = shape
    normal = Normal(dtype)
    a, b, bias = normal(m, inner), normal(n, inner).T, normal(n)
    results = []
    for count in (1, 2, 3):
        with on_threads(count):
            results.append((cpu.matmul(a, b), cpu.linear(a, b, bias)))
    for product, sum_ in results[1:]:
        np.testing.assert_array_equal(product, results[0][0])
        np.testing.assert_array_equal(sum_, results[0][1])


AXES = [None, 0, 1, 2, 3, (0, 1), (0, 2), (1, 3), (0, 2, 3), (1, 2, 3), (2, -1), ()]


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
@pytest.mark.parametrize("shape", [(40, 31, 7, 9), (3, 2, 5000, 3), (70000, 1, 1, 1)], ids=str)
def test_sums_of_large_arrays(shape, axis, keepdims):
    """By kernels, over any axes, to 8 epsilons of the sum of the magnitudes."""
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    wide = x.astype(np.float64)
    magnitude = np.abs(wide).sum(axis=axis, keepdims=keepdims)
    for function, count in ((tg.sum, 1), (tg.mean, x.size / max(1, magnitude.size))):
        ours = function(tg.Tensor(x), axis=axis, keepdims=keepdims).numpy()
        exact = wide.sum(axis=axis, keepdims=keepdims) / count
        assert (ours.shape, ours.dtype) == (exact.shape, np.float32)
        bound = 8 * np.finfo(np.float32).eps * magnitude / count
        assert (np.abs(ours - exact) <= bound).all()


STEPS = [
    ("adam_", "p g m v -", (1e-3, 0.9, 0.999, 1e-8, 0.01, True, 3)),
    ("adam_", "p g m v -", (1e-3, 0.9, 0.999, 1e-8, 0.01, False, 3)),
    ("adam_", "p g m v u", (1e-3, 0.9, 0.999, 1e-8, 0.01, False, 3)),
    ("sgd_", "p g m", (0.1, 0.9, 0.25, False, 0.01)),
    ("sgd_", "p g m", (0.1, 0.9, 0.0, True, 0.0)),
    ("sgd_", "p g -", (0.1, 0.0, 0.0, False, 0.1)),
    ("rmsprop_", "p g v m -", (1e-2, 0.99, 1e-8, 0.9, 0.01)),
    ("rmsprop_", "p g v - -", (1e-2, 0.99, 1e-8, 0.0, 0.0)),
    ("adagrad_", "p g v", (1e-2, 1e-8, 0.01)),
    ("rmsprop_", "p g w m s", (1e-2, 0.99, 1e-8, 0.9, 0.01)),
]
RARE_STEPS = [
    ("nadam_", "p g m v", (1e-2, 2e-3, 0.9, 0.99, 1.5, 1e-4, 0.1, 1e-3)),
    ("nadam_", "p g m v", (1e-2, 0.0, 0.9, 0.99, 0.0, 1.0, 0.0, 0.0)),
    ("adamax_", "p g m v", (1e-2, 0.9, 0.99, 1e-3, 0.01)),
    ("adadelta_", "p g v u", (0.5, 0.9, 1e-3, 0.01)),
    ("rprop_", "p g m u", (0.5, 1.2, 0.1, 1.5)),
    ("lion_", "p g m", (1e-2, 0.9, 0.99, 0.1)),
    ("adan_", "p g m n v b", (1e-3, 2e-4, 0.9, 0.2, 0.99, 1.0, 1e-3, False)),
    ("adan_", "p g m n v b", (1e-3, 2e-4, 0.9, 0.2, 0.99, 1.0, 0.0, True)),
]
STEPS += [pytest.param(row, marks=pytest.mark.long) for row in RARE_STEPS]


@pytest.mark.parametrize("n", [0, 1, 1000, 100_003])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[0]}{step[1]}")
def test_optimizer_steps(step, dtype, n):
    name, state, rates = step
    normal = Normal(dtype)
    arrays = {"p": normal(n), "g": normal(n), "m": normal(n), "-": None}
    arrays |= {"n": normal(n), "b": normal(n)}
    arrays |= {"s": arrays["n"] / 10, "w": 1 + np.abs(arrays["m"])}
    arrays |= {"v": np.abs(normal(n)), "u": np.abs(normal(n))}
    ours = [arrays[key] for key in state.split()]
    exact = [None if a is None else a.astype(np.float64) for a in ours]
    getattr(cpu, name)(*ours, *rates)
    getattr(reference, name)(*exact, *rates)
    for a, b in zip(ours, exact, strict=True):
        if a is not None:
            compare(a, b, dtype, 4, name)


def test_nan_and_infinity_are_what_they_are_in_the_reference():
    x = np.array(
        [[1, np.nan, 2, 3], [np.inf, 0, 1, 2], [-np.inf] * 4, [-np.inf, 0, -np.inf, 0]], np.float32
    )
    labels = np.array([0, 1, 2, 3])
    with np.errstate(invalid="ignore"):
        for name in ("softmax", "log_softmax", "relu", "sigmoid", "erf"):
            expected = getattr(reference, name)(x)
            np.testing.assert_allclose(getattr(cpu, name)(x), expected, rtol=1e-6, err_msg=name)
        ours, theirs = (kernels.cross_entropy(x, labels)[0] for kernels in (cpu, reference))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_of_infinities_is_its_limit(dtype):
    """The formula x Phi(x), as in the reference, makes -inf * 0 of it."""
    x = np.array([np.inf, -np.inf, np.nan, 1e30, -1e30], dtype)
    y, slope = cpu.gelu(x, False), cpu.gelu_backward(np.ones_like(x), x, False)
    np.testing.assert_array_equal(y, np.array([np.inf, 0, np.nan, 1e30, 0], dtype))
    np.testing.assert_array_equal(slope, np.array([1, 0, np.nan, 1, 0], dtype))


@pytest.mark.parametrize("axes", [(), (0,), (1,), (0, 2), (1, 2), None])
def test_statistics_in_float64_of_any_layout(axes):
    base = np.random.default_rng(0).random((40, 24, 70), np.float32)
    one_row = np.broadcast_to(base[:1], base.shape)
    for x in (base, base.T, base[::-1], base[::2, :, ::3], one_row, base[:, :, :2]):
        exact = x.astype(np.float64)
        for name in ("moments", "sum_squares"):
            got, want = getattr(cpu, name)(x, axes), getattr(reference, name)(exact, axes)
            assert np.asarray(got).dtype == np.float64
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12)
