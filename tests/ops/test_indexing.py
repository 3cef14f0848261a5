"""Indices of every form: NumPy's values, gradients that add up repeats, and clear refusals."""

import array
import enum

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from needed import needs_emulator

import tinygrad_like as tg
from tinygrad_like import DeviceError, Tensor
from tinygrad_like.engine import gradients, wrap


class Interface:
    """An array that speaks `__array_interface__` alone."""

    def __init__(self, values):
        self._kept = np.array(values)
        self.__array_interface__ = self._kept.__array_interface__


try:
    from torch import tensor as foreign
except ImportError:
    foreign = np.array  # no library at hand whose arrays are foreign


class Capsule:
    """An array that speaks `__dlpack__` alone."""

    def __init__(self, values):
        self._kept = np.array(values)

    def __dlpack__(self, **options):
        return self._kept.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._kept.__dlpack_device__()


class Number(enum.IntEnum):
    TWO = 2


def nested(kind):
    """A function from nested lists to nested tuples, or the like."""
    return lambda v: kind(nested(kind)(w) for w in v) if isinstance(v, list) else v


FORMS = {
    "list": lambda v: v,
    "tuple": nested(tuple),
    "array": np.array,
    "small array": lambda v: np.array(v, np.int8),
    "unsigned array": lambda v: np.array(v) % 5 if np.min(v) < 0 else np.array(v, np.uint64),
    "Tensor": lambda v: Tensor(np.array(v)),
    "foreign array": foreign,
    "__array_interface__": Interface,
    "__dlpack__": Capsule,
    "list of Tensors": lambda v: [Tensor(np.array(w)) for w in v],
    "list of foreign arrays": lambda v: [foreign(w) for w in v],
    "list of NumPy integers": lambda v: [np.array(w)[()] for w in v],
    "tuple of lists": tuple,
    "memoryview": lambda v: memoryview(np.array(v)),
}


def leaf(values):
    return Tensor(np.asarray(values, float), requires_grad=True)


def added(x, index, g):
    """The gradient of x[index] by NumPy."""
    total = np.zeros(x.shape)
    np.add.at(total, index, g)
    return total


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
@pytest.mark.parametrize("values", [[0, 0, 2], [[0, 1, 2], [1, 2, 3], [2, 3, 4]], [-1, 4, -1]])
def test_repeats_add_up_in_every_form_of_an_index(form, device, values):
    make, a = FORMS[form], np.arange(15.0).reshape(5, 3)
    for index, same in (
        ((make(values),), (np.array(values),)),
        ((make(values), slice(1, None)), (np.array(values), slice(1, None))),
        ((slice(None), None, make([1, 1, 0])), (slice(None), None, np.array([1, 1, 0]))),
    ):
        x = Tensor(a, requires_grad=True, device=device)
        y = x[index]
        np.testing.assert_array_equal(y.numpy(), a[same])
        g = np.arange(1.0, y.size + 1).reshape(y.shape)
        (y * Tensor(g, device=device)).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), added(a, same, g), rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_take_and_its_kin_know_every_form(form):
    make, a = FORMS[form], np.arange(6.0).reshape(3, 2)
    cases = {
        "take": (lambda x, i: tg.take(x, i, axis=0), [0, 0, 2]),
        "take flat": (lambda x, i: tg.take(x, i), [0, 0, 5]),
        "embedding": (tg.embedding, [0, 0, 2]),
        "take_along_axis": (lambda x, i: tg.take_along_axis(x, i, 1), [[1, 1, 0]] * 3),
        "scatter_add": (
            lambda x, i: tg.scatter_add(tg.zeros((3, 2), dtype=float), i, x, 0),
            [[0, 0], [0, 1], [2, 2]],
        ),
        "jacobian": (lambda x, i: tg.jacobian(lambda t: t[i, 1])(x), [0, 0, 2]),
    }
    for name, (f, values) in cases.items():
        x, same = leaf(a), leaf(a)
        y, expected = f(x, make(values)), f(same, np.array(values))
        np.testing.assert_array_equal(y.numpy(), expected.numpy(), err_msg=name)
        if y.requires_grad:
            (y * y).sum().backward()
            (expected * expected).sum().backward()
            np.testing.assert_array_equal(x.grad.numpy(), same.grad.numpy(), err_msg=name)


@pytest.mark.parametrize("form", FORMS)
def test_writing_knows_every_form(form):
    a = np.arange(15.0).reshape(5, 3)
    x, v = Tensor(a), np.array([[7.0, 8.0, 9.0], [4.0, 5.0, 6.0]])
    x[(FORMS[form]([3, -5]),)] = v  # in a tuple: a tuple by itself names several axes
    a[[3, -5]] = v
    x[FORMS[form]([1, 2]), 1] = Tensor([0.5, 0.25])
    a[[1, 2], 1] = [0.5, 0.25]
    np.testing.assert_array_equal(x.numpy(), a)


def test_the_jacobian_of_a_repeated_index_has_its_rows_repeated():
    rows = tg.jacobian(lambda x: x[(0, 0, 2),])(Tensor([1.0, 2.0, 3.0])).numpy()
    np.testing.assert_array_equal(rows, [[1, 0, 0], [1, 0, 0], [0, 0, 1]])


@st.composite
def any_index(draw):
    """An array, an index of mixed forms, and the same index as NumPy knows it."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
    common = draw(hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=3))
    ours, numpys, axis = [], [], 0
    stop = draw(st.integers(1, len(shape)))
    while axis < stop:
        n = shape[axis]
        kind = draw(st.sampled_from("int slice ints mask skip scalar".split()))
        if kind == "ints":
            rows = draw(st.sampled_from([common, common[-1:], (1,)]))
            part = draw(hnp.arrays(np.int64, rows, elements=st.integers(-n, n - 1)))
            form = draw(st.sampled_from(["list", "tuple", "array", "Tensor", "foreign array"]))
            ours.append(FORMS[form](part.tolist()))
        elif kind == "mask":  # as many True as the others' last axis, or one
            many = draw(st.sampled_from([1, common[-1]]))
            if many > n:
                continue
            part = np.isin(np.arange(n), draw(st.permutations(range(n)))[:many])
            ours.append(draw(st.sampled_from([part, part.tolist(), tuple(part.tolist())])))
        elif kind == "scalar":
            part = np.array(draw(st.integers(-n, n - 1)))
            ours.append(draw(st.sampled_from([Tensor(part), np.int16(part), part])))
        else:
            part = {
                "int": st.integers(-n, n - 1),
                "slice": st.slices(n),
                "skip": st.just(slice(None)),
            }
            part = draw(part[kind])
            ours.append(part)
        numpys.append(part)
        axis += 1
    for extra in draw(st.lists(st.sampled_from([None, True]), max_size=2)):
        at = draw(st.integers(0, len(ours)))
        ours.insert(at, extra)
        numpys.insert(at, extra)
    if draw(st.booleans()):  # the axes that are left, here or at the end
        at = len(ours) if axis < len(shape) else draw(st.integers(0, len(ours)))
        ours.insert(at, Ellipsis)
        numpys.insert(at, Ellipsis)
    return np.random.default_rng(len(ours)).uniform(0.5, 2, shape), tuple(ours), tuple(numpys)


@settings(deadline=None, max_examples=400, derandomize=True, database=None)
@given(any_index())
def test_any_index_reads_and_adds_as_numpys(case):
    a, ours, numpys = case
    x = leaf(a)
    y = x[ours]
    np.testing.assert_array_equal(y.numpy(), a[numpys])
    g = leaf(np.random.default_rng(1).uniform(0.5, 2, y.shape))
    (dx,) = gradients([y], [x], [g], create_graph=True)
    np.testing.assert_allclose(dx.numpy(), added(a, numpys, g.numpy()), rtol=1e-13)
    v = np.random.default_rng(2).uniform(0.5, 2, a.shape)
    (back,) = gradients([dx], [g], [Tensor(v)])
    np.testing.assert_array_equal(back.numpy(), v[numpys])


REFUSED = {
    "a float": 1.0,
    "floats": [0.5],
    "a text": "0",
    "texts": ["a"],
    "a set": {0},
    "an object": object(),
    "an object among integers": [0, None],
    "ragged": [[0], [0, 1]],
    "a number too large": [2**70],
    "a float as bound": slice(0.5, None),
    "two ellipses": (..., ...),
    "two ellipses and a list": (..., [0], ...),
    "too many": (0, 0, 0),
    "too many lists": ([0], [0], [0]),
    "out of range": 5,
    "a list out of range": [0, 2],
    "a tuple out of range": ((0, -3),),
    "a range out of range": (slice(None), range(4)),
    "a foreign array out of range": foreign([2]),
    "a mask of another length": [True, False, True],
    "a mask of another shape": np.ones((3, 2), bool),
    "a mask of too many axes": np.ones((2, 3, 1), bool),
    "lists that do not broadcast": ([0, 1], [0, 1, 2]),
    "a float Tensor": Tensor([0.0]),
    "complex": np.array([1j]),
    "a masked array": np.ma.masked_array([0, 1], mask=[True, False]),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
def test_what_is_no_index_is_refused_on_every_device(what, device):
    x = Tensor(np.ones((2, 3)), device=device)
    with pytest.raises(IndexError, match=r"\[getitem\] "):
        x[REFUSED[what]]
    with pytest.raises(IndexError, match=r"\[setitem\] "):
        x[REFUSED[what]] = 0.0


@needs_emulator
def test_an_index_on_another_device_is_refused_unless_it_comes_from_the_host():
    here, there = Tensor([1.0, 2.0]), Tensor([1.0, 2.0], device="cuda-emulator")
    np.testing.assert_array_equal(there[Tensor([1, 1])].numpy(), [2, 2])
    with pytest.raises(DeviceError, match=r"\[getitem\] an index is on cuda-emulator, x is on cpu"):
        here[Tensor([1, 1], device="cuda-emulator")]


@pytest.mark.parametrize("one", [Number.TWO, np.int8(2), np.array(2), Tensor(2), foreign(2)])
def test_all_that_stands_for_one_integer_is_one(one):
    x = leaf([1.0, 2.0, 3.0])
    y = x[one]
    assert y.shape == ()
    (x[:one].sum() + 5 * y).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1, 5])


def test_what_changes_after_the_call_does_not_change_the_gradient():
    kept = {
        "list": [0, 0],
        "array": np.array([0, 0]),
        "buffer": array.array("q", [0, 0]),
        "foreign": foreign([0, 0]),
    }
    for name, index in kept.items():
        x, w = leaf([1.0, 2.0, 3.0]), leaf(np.ones((3, 1)))
        y, rows = x[index], tg.embedding(w, index)
        index[0] = index[1] = 2
        (y.sum() + rows.sum()).backward()
        np.testing.assert_array_equal(x.grad.numpy(), [2, 0, 0], err_msg=name)
        np.testing.assert_array_equal(w.grad.numpy()[:, 0], [2, 0, 0], err_msg=name)
    x, start = leaf([1.0, 2.0, 3.0]), Tensor(1)
    y, z = x[start:], x[start]
    start += 1
    (y.sum() + z).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 2, 1])


# Views


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
def test_an_element_is_a_view_as_a_row_is(device):
    for values, index in (([1.0, 2.0], 1), ([[1.0, 2.0]], (0, -1)), ([1.0, 2.0], (1, None))):
        x = Tensor(values, device=device)
        y = x[index]
        y += 5
        assert x.tolist() == np.where(np.array(values) == 2, 7, values).tolist()
        assert y.version is x.version
    x = tg.zeros(2, device=device)
    for e in x:
        e += 1
    assert x.tolist() == [1, 1]
    y = x[[0]]  # by a list it is a copy, as in NumPy
    y += 1
    assert x.tolist() == [1, 1]


def test_a_saved_element_that_changes_with_its_vector_is_noticed():
    x = tg.zeros(2)
    w = leaf(2.0)
    y = w * x[0]
    x[0] = 5.0
    with pytest.raises(tg.GraphError, match="changed in place"):
        y.backward()


# Iteration


def test_iterating_gives_one_node_to_all_rows():
    x = leaf(np.arange(6.0).reshape(3, 2))
    rows = list(x)
    assert len({row.node.parents[0] for row in rows}) == 1
    sum((k + 1) * row.sum() for k, row in enumerate(rows)).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[1, 1], [2, 2], [3, 3]])
    with pytest.raises(TypeError, match=r"\[iter\] a 0-d tensor"):
        iter(leaf(1.0))
    assert list(leaf(np.zeros((0, 2)))) == []


@pytest.mark.parametrize("parts", [lambda x: x, tg.unbind, lambda x: tg.split(x, 3)])
def test_each_part_can_be_differentiated_by_itself(parts):
    x = leaf(np.arange(6.0).reshape(3, 2))
    for k, part in enumerate(parts(x)):
        (part * (k + 1)).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[1, 1], [2, 2], [3, 3]])


def test_the_second_order_of_iteration():
    x = leaf([1.0, 2.0, 3.0])
    h = tg.hessian(lambda t: sum(a * a * b for a, b in zip(t, list(t)[1:], strict=False)))(x)
    np.testing.assert_allclose(h.numpy(), [[4, 2, 0], [2, 6, 4], [0, 4, 0]])


# Sums


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_gradients_that_add_many_repeats_lose_nothing(dtype):
    """Of thousands of ones, each of which is lost if it is added to `large` in this dtype."""
    n, large = 6000, 2 / np.finfo(dtype).eps
    zeros = np.zeros(n, np.int8)
    calls = {
        "getitem": (lambda x: x[zeros], 1),
        "rows": (lambda x: x[zeros], (1, 16)),
        "a long table": (lambda x: x[zeros], n + 5),
        "an axis behind": (lambda x: x[..., zeros], (1, 1)),
        "mixed": (lambda x: x[:, None, zeros], (3, 2)),
        "take": (lambda x: tg.take(x, zeros), 2),
        "take_along_axis": (lambda x: tg.take_along_axis(x, zeros), 2),
        "embedding": (lambda x: tg.embedding(x, zeros), (2, 1)),
        "repeat counts": (lambda x: tg.repeat(x, [n, 1]), 2),
    }
    for name, (f, shape) in calls.items():
        x = tg.ones(shape, dtype=dtype, requires_grad=True)
        y = f(x)
        g = np.ones(y.shape, dtype)
        g.flat[0] = large
        y.backward(Tensor(g))
        first, total = x.grad.numpy().reshape(-1)[0], large + n - 1
        assert first == dtype(total), f"{name}: {first} for {total}"


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("f", [tg.repeat, tg.tile])
def test_gradients_that_add_equal_repeats_lose_nothing(f, dtype):
    """Of more ones than this dtype can count."""
    n = 6000 if dtype is np.float16 else 2**24 + 2**20
    x = tg.ones(1, dtype=dtype, requires_grad=True)
    f(x, n).backward(tg.ones(n, dtype=dtype))
    assert x.grad.item() == dtype(n)


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
def test_scatter_add_of_halves_adds_in_float32(device):
    n = 3000
    for dtype in ("float16", "bfloat16"):
        if dtype == "bfloat16" and device == "cpu":
            continue  # which has no such arrays
        x = Tensor([1.0, 1.0], device=device).to(tg.backend.get(device).checked_dtype("x", dtype))
        updates = tg.ones(n, device=device).to(x.dtype)
        y = tg.scatter_add(x, np.zeros(n, int), updates)
        rounded = {"float16": 3000, "bfloat16": 3008}  # 3001 to 11 bits, and to 8
        np.testing.assert_array_equal(y.numpy(), [rounded[dtype], 1])


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.complex128, np.float64])
def test_scatter_add_knows_every_dtype(device, dtype):
    x = Tensor(np.arange(6).reshape(2, 3).astype(dtype), device=device)
    u = Tensor(np.ones((2, 4), dtype), device=device)
    y = tg.scatter_add(x, [[0, 0, 2, -1]] * 2, u, axis=1)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.numpy(), [[2, 1, 4], [5, 4, 7]])
    np.testing.assert_array_equal(x.numpy(), np.arange(6).reshape(2, 3))


def test_sums_are_the_same_bits_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    found = []
    for threads in (1, 2):
        tg.set_num_threads(threads)
        for shape, dtype in (((50,), np.float32), ((70, 33), np.float64), ((9, 3), np.float64)):
            g = rng.standard_normal((100_000 // 33, *shape[1:])).astype(dtype)
            index = rng.integers(0, shape[0], len(g))
            x = tg.zeros(shape, dtype=dtype, requires_grad=True)
            x[index].backward(wrap(g))
            found.append(x.grad.numpy())
        rng = np.random.default_rng(0)
    tg.set_num_threads(2)
    for a, b in zip(found[:3], found[3:], strict=True):
        np.testing.assert_array_equal(a, b)
