"""vmap: where examples lie, what f may return, what it refuses, and users' ops inside it."""

import copy
import dataclasses
import logging
import pickle
import threading
from collections import namedtuple

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like.engine import OPS, loop

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4))
Pair = namedtuple("Pair", "first second")


@dataclasses.dataclass
class Point:
    x: object
    name: str = dataclasses.field(default="p", metadata={"static": True})


def normal(*shape):
    return RNG.standard_normal(shape)


def T(x, **options):
    return tg.Tensor(x, **options)


# Where the examples lie


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
@pytest.mark.parametrize("out", [0, 1, 2, -1, -3])
def test_any_axis_of_arguments_and_outputs(axis, out):
    x = normal(2, 3, 4)
    rows = [np.exp(row.T) for row in np.moveaxis(x, axis, 0)]
    found = tg.vmap(lambda row: tg.exp(row.T), axis, out)(T(x))
    np.testing.assert_array_equal(found.numpy(), np.stack(rows, out))


def test_some_arguments_are_shared():
    a, b, c = normal(5, 4), normal(4, 5), normal(4)
    found = tg.vmap(lambda a, b, c: a * b + c, (0, -1, None))(T(a), T(b), T(c))
    np.testing.assert_array_equal(found.numpy(), a * b.T + c)


@pytest.mark.parametrize(
    "axes",
    [
        ({"w": 0, "b": None}, (1, 0)),
        ({"w": 0, "b": None}, (1, (0,))),
        [{"w": 0, "b": None}, (1, 0)],
    ],
)
def test_axes_as_a_tree_or_its_upper_part(axes):
    w, b, x, y = normal(3, 4), normal(4), normal(4, 3), normal(3, 4)
    args = {"w": T(w), "b": T(b)}, (T(x), (T(y),))
    axes = tuple(axes)
    found = tg.vmap(lambda p, q: p["w"] * q[0] + p["b"] - q[1][0], axes)(*args)
    np.testing.assert_array_equal(found.numpy(), w * x.T + b - y)


def test_one_axis_counts_for_a_whole_tree():
    p, x = {"w": T(normal(3, 4)), "b": [T(normal(3))]}, T(X)
    found = tg.vmap(lambda p, x: (p["w"] * x).sum() + p["b"][0])(p, x)
    expected = (p["w"].numpy() * X).sum(1) + p["b"][0].numpy()
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-14)


def test_arguments_by_keyword_are_shared_and_arrays_are_taken():
    found = tg.vmap(lambda x, *, scale, flag: x * scale if flag else x)(X, scale=X[0], flag=True)
    assert isinstance(found, tg.Tensor)
    np.testing.assert_array_equal(found.numpy(), X * X[0])


def test_the_name_and_text_of_f_remain():
    def f(x):
        """What f does."""
        return x

    assert (tg.vmap(f).__name__, tg.vmap(f).__doc__) == ("f", "What f does.")


# What f may return


def test_trees_of_outputs():
    def f(x):
        return {"a": x, "b": (x.sum(), None, [x[:2]]), "c": Pair(x, 2.0), "d": Point(x * 2)}

    found = tg.vmap(f)(T(X))
    assert found["b"][1] is None
    assert (type(found["c"]), type(found["d"])) == (Pair, Point)
    np.testing.assert_array_equal(found["a"].numpy(), X)
    np.testing.assert_allclose(found["b"][0].numpy(), X.sum(1), rtol=1e-14)
    np.testing.assert_array_equal(found["b"][2][0].numpy(), X[:, :2])
    np.testing.assert_array_equal(found["c"].second.numpy(), np.full(3, 2.0, np.float32))
    np.testing.assert_array_equal(found["d"].x.numpy(), 2 * X)


def test_outputs_that_examples_share():
    shared = T(normal(2))
    found = tg.vmap(lambda x: (x, shared, 3, np.arange(2)))(T(X))
    np.testing.assert_array_equal(found[1].numpy(), np.stack([shared.numpy()] * 3))
    assert found[2].tolist() == [3, 3, 3]
    assert found[2].dtype == np.int64
    assert found[3].tolist() == [[0, 1]] * 3
    x, once = tg.vmap(lambda x: (x, shared * 2), out_axes=(1, None))(T(X))
    assert x.shape == (4, 3)
    assert once.shape == (2,)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, np.int8, bool])
def test_dtypes_are_those_of_the_loop(dtype):
    x = T((np.abs(X) * 3).astype(dtype))
    for f in (lambda x: x * 0.1, lambda x: x.mean(), lambda x: x / 2, lambda x: x > 1, tg.softmax):
        found, expected = tg.vmap(f)(x), tg.stack([f(row) for row in x])
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


@pytest.mark.parametrize("shape", [(3,), (3, 0), (3, 0, 2), (3, 2, 0), (1, 1), (1,)])
def test_examples_without_axes_or_elements(shape):
    x = T(normal(*shape))
    for f in (lambda x: x * x, lambda x: x.sum(), lambda x: x.reshape(-1), tg.zeros_like):
        found, expected = tg.vmap(f)(x), tg.stack([f(row) for row in x])
        np.testing.assert_array_equal(found.numpy(), expected.numpy())
    gradient = tg.vmap(tg.grad(lambda x: (x * x).sum()))(x)
    np.testing.assert_array_equal(gradient.numpy(), 2 * x.numpy())


def test_nested_over_different_axes():
    a, w = normal(2, 3, 4, 5), normal(5, 4)
    f = tg.vmap(tg.vmap(tg.vmap(lambda a, w: a @ w, (-1, 0)), (0, None)), (1, None), -1)
    np.testing.assert_allclose(f(T(a), T(w)).numpy(), np.einsum("ijkl,lk->ilj", a, w), rtol=1e-12)


def test_nested_with_shared_arguments_and_closures():
    a, b, c = normal(2, 4), normal(3, 4), T(normal(4))
    found = tg.vmap(lambda a: tg.vmap(lambda b, a: (a * b + c).sum(), (0, None))(T(b), a))(T(a))
    expected = [[(x * y + c.numpy()).sum() for y in b] for x in a]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13)


def test_an_index_of_an_outer_vmap():
    table, rows = T(normal(5, 4)), T([0, 3, 1])
    found = tg.vmap(lambda i: tg.vmap(lambda row: row[i])(table))(rows)
    np.testing.assert_array_equal(found.numpy(), table.numpy()[:, [0, 3, 1]].T)
    low = T([0.1, 0.2, 0.3], dtype=np.float64)
    clipped = tg.vmap(lambda low: tg.vmap(lambda row: tg.clip(row, low, 1))(table))(low)
    expected = [np.clip(table.numpy(), x, 1) for x in low.numpy()]
    np.testing.assert_array_equal(clipped.numpy(), expected)


# Errors


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: tg.vmap(3), TypeError, "f is"),
        (lambda: tg.vmap(T(X)), TypeError, "the first argument is a Tensor"),
        (lambda: tg.vmap(tg.sin, randomness="some"), ValueError, "randomness"),
        (lambda: tg.vmap(tg.sin)(T(1.0)), ValueError, "args[0] is a number"),
        (lambda: tg.vmap(tg.sin)(1.0), TypeError, "args[0] is a float"),
        (lambda: tg.vmap(tg.sin, 2)(T(X)), IndexError, "axis 2 is out of range"),
        (lambda: tg.vmap(tg.sin, "a")(T(X)), TypeError, "axis"),
        (lambda: tg.vmap(tg.sin, None)(T(X)), ValueError, "in_axes has only None"),
        (lambda: tg.vmap(lambda: 1)(), ValueError, "in_axes has only None"),
        (lambda: tg.vmap(tg.add, (0, 1))(T(X), T(X)), ValueError, "3 in args[0], 4 in args[1]"),
        (lambda: tg.vmap(tg.add, (0,))(T(X), T(X)), ValueError, "in_axes is a tuple of 1"),
        (lambda: tg.vmap(tg.sin, ({"a": 0},))(T(X)), ValueError, "in_axes[0]"),
        (lambda: tg.vmap(tg.sin)(T(X[:0])), ValueError, "holds no examples"),
        (lambda: tg.vmap(lambda x: "a")(T(X)), TypeError, "f returned a str"),
        (lambda: tg.vmap(lambda x: {"k": object()})(T(X)), TypeError, '["k"]'),
        (lambda: tg.vmap(tg.sin, 0, None)(T(X)), ValueError, "out_axes is None for value"),
        (lambda: tg.vmap(tg.sin, 0, 5)(T(X)), IndexError, "axis 5 is out of range"),
        (lambda: tg.vmap(tg.sin, 0, (0, 0))(T(X)), ValueError, "out_axes"),
        (lambda: tg.vmap(lambda x: x @ x[:2])(T(X)), ValueError, "inside vmap over 3 examples"),
    ],
)
def test_errors_say_what_is_wrong(call, kind, words):
    with pytest.raises(kind) as caught:
        call()
    text = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert text.startswith("[")
    assert words in text


# What f cannot do


REFUSED = {
    "if": lambda x: x if x[0] > 0 else -x,
    "while": lambda x: [x for _ in iter(lambda: bool(x.sum() > 0), True)],
    "float": lambda x: float(x[0]),
    "int": lambda x: int(x[0]),
    "index": lambda x: [1, 2][x[0].astype(np.int64)],
    "item": lambda x: x[0].item(),
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(),
    "asarray": lambda x: np.asarray(x),
    "array": lambda x: np.array(x, dtype=np.float32),
    "dlpack": lambda x: np.from_dlpack(x),
    "format": lambda x: f"{x[0]:.3f}",
    "in": lambda x: 1.0 in x,
    "range": lambda x: range(x[0].astype(np.int64)),
    "ufunc.reduce": lambda x: np.subtract.reduce(x),
    "slice": lambda x: x[: x[0].astype(np.int64)],
    "mask": lambda x: x[x > 0],
    "nonzero": lambda x: tg.nonzero(x),
    "argwhere": lambda x: tg.argwhere(x),
    "setitem": lambda x: x.__setitem__(0, 1.0),
    "iadd": lambda x: x.__iadd__(1.0),
    "data": lambda x: setattr(x, "data", np.zeros(4)),
    "backward": lambda x: (x * tg.ones(4, requires_grad=True)).sum().backward(),
    "pickle": lambda x: pickle.dumps(x),
    "deepcopy": lambda x: copy.deepcopy(x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_value_of_one_example_is_not_known(name):
    x = T(X)
    with pytest.raises(tg.GraphError, match=r"\[\w+\].*(vmap|example)"):
        tg.vmap(REFUSED[name])(x)
    np.testing.assert_array_equal(x.numpy(), X)


@pytest.mark.parametrize(
    "change",
    [
        lambda own, x: own.__iadd__(x),
        lambda own, x: own.__setitem__(0, x[0]),
        lambda own, x: own.__setitem__(x.astype(np.int64) * 0, 1.0),
        lambda own, x: setattr(own, "data", x),
    ],
)
def test_a_tensor_from_outside_cannot_take_values_of_examples(change):
    own = T(X[0])
    with pytest.raises(tg.GraphError, match="vmap"):
        tg.vmap(lambda x: change(own, x))(T(X))
    np.testing.assert_array_equal(own.numpy(), X[0])


def test_an_augmented_assignment_says_what_cannot_be_written():
    own = T(X[0])
    with pytest.raises(tg.GraphError, match=r"\[imul\] what f computes inside vmap cannot be"):
        tg.vmap(lambda x: own.__imul__(x))(T(X))


def test_a_tensor_from_outside_can_change_by_values_from_outside():
    own = T(X[0])

    def f(x):
        own[0] = 5.0
        return x * own

    np.testing.assert_array_equal(tg.vmap(f)(T(X)).numpy(), X * own.numpy())
    assert own[0].item() == 5


def test_length_iteration_and_unpacking_work():
    f = lambda x: sum(y * len(x) for y in x)  # noqa: E731
    np.testing.assert_allclose(tg.vmap(f)(T(X)).numpy(), 4 * X.sum(1), rtol=1e-13)
    found = tg.vmap(lambda x: (lambda a, b, c, d: a * b - c / d)(*x))(T(X))
    np.testing.assert_allclose(found.numpy(), X[:, 0] * X[:, 1] - X[:, 2] / X[:, 3], rtol=1e-13)


def test_what_f_sees_can_be_printed():
    seen = []
    tg.vmap(lambda x: seen.append(repr(x)) or x)(T(X))
    tg.vmap(tg.grad(lambda x: seen.append(repr(x * 2)) or x.sum()))(T(X))
    assert seen[0] == "Tensor(Batched((4,), float64, one of 3), dtype=float64)"
    assert "op=multiply" in seen[1]


def escaped():
    kept = []
    tg.vmap(lambda x: kept.append(x) or x)(T(X))
    return kept[0]


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x + 1,
        lambda x: x.sum(),
        lambda x: T(X) * x,
        lambda x: tg.grad(lambda y: (y * x).sum())(T(X)),
        lambda x: tg.vmap(lambda y: y * x)(T(X)),
        lambda x: tg.vmap(lambda y: x * y)(T(normal(5, 4))),
        lambda x: tg.vmap(lambda y: tg.vmap(lambda z: z + x)(T(X)))(T(X)),
        lambda x: tg.vmap(lambda y: x)(T(X)),
        lambda x: tg.vmap(tg.sin)(x),
        lambda x: x.numpy(),
    ],
)
def test_a_tensor_that_has_left_its_vmap_is_refused(use):
    with pytest.raises(tg.GraphError, match="vmap"):
        use(escaped())


def test_gradcheck_of_a_vmapped_function():
    assert tg.gradcheck(tg.vmap(lambda x: tg.softmax(x) * x), T(X))


def test_constants_of_an_example_and_copies():
    np.testing.assert_array_equal(
        tg.vmap(lambda x: tg.full((2, 2), x[0]))(T(X)).numpy(),
        np.stack([np.full((2, 2), x[0]) for x in X]),
    )
    single = tg.vmap(lambda x: T(x, dtype=np.float32))(T(X))
    assert single.dtype == np.float32
    gradient = tg.grad(lambda X: tg.vmap(lambda x: T(x) * x)(X).sum())(T(X))
    np.testing.assert_array_equal(gradient.numpy(), X)  # a copy has no history


# Modes, devices, and threads


def test_an_error_leaves_vmap():
    def f(x):
        raise KeyError("k")

    with pytest.raises(KeyError):
        tg.vmap(lambda x: tg.vmap(f)(x))(T(X))
    assert tg.vmap(tg.sum)(T(X)).shape == (3,)  # and conftest looks at the modes


def test_vmaps_in_several_threads():
    found = {}

    def run(n):
        for _ in range(20):
            x = T(np.full((n, 4), float(n)))
            found[n] = tg.vmap(tg.grad(lambda x: (x * x).sum()))(x).numpy()

    threads = [threading.Thread(target=run, args=(n,)) for n in (2, 3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in (2, 3, 5):
        np.testing.assert_array_equal(found[n], np.full((n, 4), 2.0 * n))


LOOPED = ["searchsorted", "bincount", "histogram"]  # as the docstring of vmap says


def test_every_op_of_the_library_has_a_rule():
    """So no op is applied in a loop, but for those that the docstring of vmap names."""
    ours = [op for op in OPS.values() if op.is_ours]
    assert len(ours) > 100
    assert [op.name for op in ours if op.batch is None] == LOOPED
    assert all(f"`{name}`" in tg.vmap.__doc__ for name in LOOPED)
    assert [op.name for op in ours if op.composite and op.batch_backward is None] == []


# Users' ops


def users_ops():
    """{name: (function, whether it can be differentiated twice)}, of rules in NumPy."""

    @tg.op(x=lambda g, x: g * np.cos(x))
    def own_sin(be, x):
        return np.sin(x)

    def halves(g, x):
        out = np.zeros_like(x)
        out[x > 0] = g[x > 0]
        return [out + float(0)]

    @tg.op(backward=halves)
    def own_relu(be, x):
        return np.where(x > 0, x, 0)

    @tg.op(several=True, backward=lambda g, x: [g[0] * np.cos(x) - g[1] * np.sin(x)])
    def own_sin_cos(be, x):
        return np.sin(x), np.cos(x)

    @tg.op(saves=("e",), backward=lambda g, e: [g * e])
    def own_exp(be, x):
        e = np.exp(x)
        return e, (e.copy(),)

    @tg.op(x=lambda g, x, k: g * k * x ** (k - 1))
    def own_power(be, x, *, k):
        return x**k

    @tg.op(backward=lambda g, xs: [g * (i + 1) for i in range(len(xs))])
    def own_sum(be, *xs):
        return sum((i + 1) * x for i, x in enumerate(xs))

    w = T(X[0])
    return {
        "rule": (own_sin, True),
        "masks": (own_relu, False),
        "several": (lambda x: own_sin_cos(x)[0] * own_sin_cos(x)[1], True),
        "saves": (own_exp, False),
        "attribute": (lambda x: own_power(x, k=3), True),
        "inputs": (lambda x: own_sum([x, w, x * x]), True),
    }


@pytest.fixture
def loops_are_logged_again():
    loop._say_that_it_loops.cache_clear()


@pytest.mark.parametrize("name", ["rule", "masks", "several", "saves", "attribute", "inputs"])
def test_an_op_without_a_rule_is_applied_one_by_one(name, caplog, loops_are_logged_again):
    f, twice = users_ops()[name]
    by_example = tg.grad(lambda x: (f(x) * x).sum())

    def check(function):
        np.testing.assert_allclose(function(tg.vmap), function(in_a_loop), rtol=1e-12)

    def in_a_loop(f):
        return lambda x: tg.stack([f(row) for row in x])

    x = T(X)
    with caplog.at_level(logging.WARNING):
        check(lambda over: over(f)(x).numpy())
        check(lambda over: over(by_example)(x).numpy())
        check(lambda over: tg.grad(lambda x: (over(f)(x) * x).sum())(x).numpy())
        check(lambda over: over(lambda y: over(lambda z: f(y * z))(x))(x).numpy())
        check(lambda over: over(lambda y: over(by_example)(x * y))(x).numpy())
    assert len(caplog.records) == 1
    assert "one after the other" in caplog.text
    both = lambda x: (tg.vmap(by_example)(x) ** 2).sum()  # noqa: E731
    if twice:
        expected = tg.grad(lambda x: (in_a_loop(by_example)(x) ** 2).sum())(x)
        np.testing.assert_allclose(tg.grad(both)(x).numpy(), expected.numpy(), rtol=1e-12)
    else:
        with pytest.raises(tg.GraphError):
            tg.grad(both)(x)
