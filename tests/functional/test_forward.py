"""jvp and linearize: against formulas, torch, and vjp by the dot-product test, for every op."""

import numpy as np
import pytest
from cases import CASES
from grouped import grouped
from hypothesis import given, settings
from hypothesis import strategies as st
from op_calls import CALLS, family_of, only_ops, op_of

import tinygrad_like as tg
from tinygrad_like.functional.trees import flatten

RNG = np.random.default_rng(0)
X, V = RNG.standard_normal(4), RNG.standard_normal(4)
A = RNG.standard_normal((3, 4))


def f(x):
    return tg.sin(x) * x


def first(x):
    return np.cos(x) * x + np.sin(x)


def second(x):
    return 2 * np.cos(x) - x * np.sin(x)


def third(x):
    return -3 * np.sin(x) - x * np.cos(x)


def test_jvp_is_the_formula():
    value, along = tg.jvp(f, (X,), (V,))
    np.testing.assert_allclose(value.numpy(), np.sin(X) * X)
    np.testing.assert_allclose(along.numpy(), first(X) * V, rtol=1e-13)
    assert not along.requires_grad
    _, along = tg.jvp(lambda a, x: a @ tg.exp(x), (A, X), (2 * A, V))
    np.testing.assert_allclose(along.numpy(), 2 * A @ np.exp(X) + A @ (np.exp(X) * V), rtol=1e-13)


def test_linearize_walks_many_times():
    value, push = tg.linearize(f, X)
    np.testing.assert_allclose(value.numpy(), np.sin(X) * X)
    for v in (V, X, V):
        np.testing.assert_allclose(push(v).numpy(), first(X) * v, rtol=1e-13)


def test_jvp_nests_with_itself_and_with_grad():
    total = lambda x: f(x).sum()  # noqa: E731
    of_grad = tg.jvp(tg.grad(total), (X,), (V,))[1]
    np.testing.assert_allclose(of_grad.numpy(), second(X) * V, rtol=1e-12)
    along = lambda x: tg.jvp(f, (x,), (V,))[1]  # noqa: E731
    np.testing.assert_allclose(tg.grad(lambda x: along(x).sum())(X), second(X) * V, rtol=1e-12)
    twice = tg.jvp(along, (X,), (V,))[1]
    np.testing.assert_allclose(twice.numpy(), second(X) * V**2, rtol=1e-12)
    thrice = tg.grad(lambda x: tg.jvp(along, (x,), (V,))[1].sum())(X)
    np.testing.assert_allclose(thrice, third(X) * V**2, rtol=1e-12)
    jacobian = tg.jacobian(along, direction="forward")(X)
    np.testing.assert_allclose(jacobian, np.diag(second(X) * V), rtol=1e-12, atol=1e-12)


def test_derivatives_of_inner_functions_are_not_confused():
    # d/dx [ x * d/dy (x + y) ] = 1, although both directions are 1
    inner = lambda x: x * tg.jvp(lambda y: x + y, (1.0,), (1.0,))[1]  # noqa: E731
    assert tg.jvp(inner, (3.0,), (1.0,))[1].item() == 1
    inner = lambda x: x * tg.jvp(lambda y: x * y * y, (2.0,), (1.0,))[1]  # noqa: E731
    assert tg.jvp(inner, (3.0,), (1.0,))[1].item() == 24  # of 4 x^2


def test_a_tangent_can_be_differentiated_by_its_direction():
    _, push = tg.linearize(f, X)
    found = tg.grad(lambda v: (push(v) ** 2).sum())(V)
    assert type(found) is np.ndarray
    np.testing.assert_allclose(found, 2 * first(X) ** 2 * V, rtol=1e-12)
    _, pull_back = tg.vjp(f, X)
    found = tg.grad(lambda g: (pull_back(g)[0] ** 2).sum())(V)
    assert type(found) is np.ndarray
    np.testing.assert_allclose(found, 2 * first(X) ** 2 * V, rtol=1e-12)


def test_nothing_is_recorded_in_no_grad():
    w = tg.Tensor(2.0, requires_grad=True)
    with tg.no_grad():
        assert not tg.jvp(lambda x: w * x * x, (3.0,), (1.0,))[1].requires_grad
        _, pull_back = tg.vjp(lambda x: w * x * x, 3.0)
    assert tg.jvp(lambda x: w * x * x, (3.0,), (1.0,))[1].requires_grad
    _, pull_back = tg.vjp(lambda x: w * x * x, 3.0)
    assert pull_back(1.0)[0].requires_grad
    with tg.no_grad():
        assert not pull_back(1.0)[0].requires_grad


def test_outputs_that_do_not_depend_on_the_inputs_have_tangents_of_zero():
    constant = tg.ones(2)
    value, along = tg.jvp(lambda x: {"a": x * 2, "b": constant, "c": x > 0}, (X,), (V,))
    np.testing.assert_array_equal(along["b"].numpy(), np.zeros(2))
    assert value["b"].shape == along["b"].shape
    assert not along["c"].numpy().any()
    for g in (lambda x: constant, tg.floor, lambda x: x[:0]):
        value, along = tg.jvp(g, (X,), (V,), allow_unused=True)
        np.testing.assert_array_equal(along.numpy(), np.zeros(value.shape))
    np.testing.assert_array_equal(tg.jvp(lambda x: x, (X,), (V,))[1].numpy(), V)
    gradient = tg.grad(lambda x: (3 * x).sum())
    np.testing.assert_array_equal(tg.jvp(gradient, (X,), (V,))[1].numpy(), np.zeros(4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tg.jvp(f, X, (V,)), TypeError, r"\[jvp\] primals is \(4,\), expected a tuple"),
        (lambda: tg.jvp(f, (X,), V), TypeError, r"\[jvp\] tangents is \(4,\), expected a tuple"),
        (lambda: tg.jvp(f, (X,), (V, V)), ValueError, r"got 2 tangents, .* each of 1 primals"),
        (lambda: tg.jvp(f, (X,), (A,)), ValueError, r"tangents\[0\] has shape \(3, 4\), .*\(4,\)"),
        (lambda: tg.linearize(f, X)[1](1.0), ValueError, r"\[linearize\] tangents\[0\] has shape"),
        (lambda: tg.jvp(X, (X,), (V,)), TypeError, r"\[jvp\] f is \(4,\), expected a function"),
        (lambda: tg.jvp(lambda x: 1.0, (X,), (V,)), TypeError, r"\[jvp\] f returned float"),
        (lambda: tg.jvp(lambda x, y: x, (X, X), (V, V)), tg.GraphError, r"its argument 1"),
        (
            lambda: tg.jvp(lambda t: f(t["a"]), ({"a": X},), ({"b": X},)),
            ValueError,
            r"tangents\[0\] is a dict",
        ),
        (lambda: tg.jvp(f, (np.arange(3),), (V,)), TypeError, r"argument 0 has dtype int"),
    ],
)
def test_wrong_use_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_op_without_a_second_derivative_has_a_jacobian_in_reverse():
    @tg.op(x=lambda g, kept: g * kept, saves=("kept",))
    def doubled(be, x):
        return 2 * x, np.full_like(x, 2)

    wide = lambda x: tg.stack([doubled(x), x])  # noqa: E731
    np.testing.assert_array_equal(tg.jacobian(wide)(X)[0], 2 * np.eye(4))
    for call in (tg.jacobian(wide, direction="forward"), lambda x: tg.jvp(wide, (x,), (V,))):
        with pytest.raises(tg.GraphError, match=r"\[doubled\] has no second derivative"):
            call(X)


# Every op


def is_float(x):
    return x.dtype.kind in "fc"


def drawn(rng, x):
    """Random numbers in the shape of x, complex ones if it is complex."""
    v = rng.standard_normal(x.shape)
    return v + 1j * rng.standard_normal(x.shape) if x.dtype.kind == "c" else v


def dot(a, b):
    """The sum of products; for complex numbers that of the real and of the imaginary parts."""
    pairs = zip(a, b, strict=True)
    return sum(float((np.conj(np.asarray(x)) * np.asarray(y)).sum().real) for x, y in pairs)


def dot_products(case, seed=0, device="cpu"):
    """(<u, jvp(v)>, <vjp(u), v>, their scale) of a row, for random u and v."""
    rng = np.random.default_rng(seed)
    arrays = [tg.Tensor(x, device=device) for x in case.arrays()]
    active = [i for i, x in enumerate(arrays) if is_float(x)]

    def function(*floats):
        inputs = list(arrays)
        for i, x in zip(active, floats, strict=True):
            inputs[i] = x
        return [y for y in case(*inputs) if is_float(y)]

    points = [arrays[i] for i in active]
    v = [drawn(rng, x) for x in points]
    value, along = tg.jvp(function, points, v, allow_unused=True)
    u = [drawn(rng, y) for y in value]
    _, pull_back = tg.vjp(function, *points, allow_unused=True)
    back = [d.numpy() for d in pull_back(u)]
    forward = [y.numpy() for y in along]
    scale = sum(np.linalg.norm(a) * np.linalg.norm(b) for a, b in zip(u, forward, strict=True))
    scale += sum(np.linalg.norm(a) * np.linalg.norm(b) for a, b in zip(v, back, strict=True))
    return dot(u, forward), dot(back, v), scale


@grouped("name", CALLS, by=op_of, brief=only_ops(4), together=family_of)
def test_jvp_and_vjp_are_transposes_for_every_op(name):
    forward, back, scale = dot_products(CALLS[name])
    assert abs(forward - back) <= 1e-10 * scale


# Ops of every family, quick enough in the emulator.
IN_EMULATOR = "tanh matmul sum softmax max conv2d layer_norm lstm cumsum take".split()
FEW = {name: next((c for c in CASES if c.grad and c.label == name), None) for name in IN_EMULATOR}


@pytest.mark.parametrize("device", ["cuda-emulator"])
@pytest.mark.parametrize("name", FEW)
def test_they_are_in_the_emulator(name, device):
    forward, back, scale = dot_products(FEW[name], device=device)
    assert abs(forward - back) <= 1e-10 * scale


STEADY = {"deadline": None, "derandomize": True, "database": None}

# Random programs of ops that keep the shape (3, 4)

STEPS = {
    "sin": tg.sin,
    "tanh": tg.tanh,
    "softplus": tg.softplus,
    "square": lambda x: x * x,
    "softmax": lambda x: tg.softmax(x, axis=-1),
    "cumsum": lambda x: tg.cumsum(x, axis=1),
    "centred": lambda x: x - tg.mean(x, axis=0, keepdims=True),
    "scaled": lambda x: x / (1 + tg.sum(x * x, axis=1, keepdims=True)),
    "flipped": lambda x: tg.flip(x, axis=1),
    "shifted": lambda x: tg.concatenate([x[1:], x[:1]], axis=0),
    "gram": lambda x: x @ (tg.transpose(x) @ x),
    "transposed": lambda x: tg.reshape(tg.transpose(x), (3, 4)),
    "masked": lambda x: tg.where(x > 0, x, 0.1 * x),
    "normed": lambda x: tg.layer_norm(x, tg.ones(4, dtype="float64"), None),
    "added": lambda x, y: x + y,
    "multiplied": lambda x, y: x * y,
    "divided": lambda x, y: x / (2 + tg.tanh(y)),
}


@st.composite
def programs(draw):
    """A function of two arrays: a list of steps, each of the newest value and an earlier one."""
    steps = draw(
        st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 9)), min_size=1,
                 max_size=7)
    )  # fmt: skip

    def program(x, y):
        values = [x, y, x + y]
        for name, earlier in steps:
            inputs = values[-1:]
            if name in ("added", "multiplied", "divided"):
                inputs.append(values[earlier % len(values)])
            values.append(tg.tanh(STEPS[name](*inputs)))
        return {"last": values[-1], "both": values[-2] * x}

    program.__qualname__ = " ".join(f"{name}:{earlier}" for name, earlier in steps)
    return program


@settings(max_examples=40, **STEADY)
@given(programs(), st.integers(0, 2**32 - 1))
def test_they_are_transposes_for_random_programs(program, seed):
    rng = np.random.default_rng(seed)
    x, y, vx, vy = rng.standard_normal((4, 3, 4))
    value, along = tg.jvp(program, (x, y), (vx, vy))
    leaves, build = flatten(value)
    u = [rng.standard_normal(leaf.shape) for leaf in leaves]
    back = tg.vjp(program, x, y)[1](build(u))
    forward = [leaf.numpy() for leaf in flatten(along)[0]]
    assert abs(dot(u, forward) - dot(back, (vx, vy))) <= 1e-10 * (1 + np.abs(dot(u, forward)))
    # And of the gradient, whose derivative is symmetric.
    slope = tg.grad(lambda x: program(x, y)["last"].sum(), allow_unused=True)
    one, other = (tg.jvp(slope, (x,), (v,))[1].numpy() for v in (vx, vy))
    assert abs(dot([vy], [one]) - dot([vx], [other])) <= 1e-9 * (1 + np.abs(dot([vy], [one])))


@settings(max_examples=15, **STEADY)
@given(programs(), st.integers(0, 2**32 - 1))
def test_jacobians_of_both_directions_agree_for_random_programs(program, seed):
    x, y = np.random.default_rng(seed).standard_normal((2, 3, 4))
    forward = tg.jacobian(program, (0, 1), direction="forward")(x, y)
    reverse = tg.jacobian(program, (0, 1), direction="reverse")(x, y)
    for one, other in zip(flatten(forward)[0], flatten(reverse)[0], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)
