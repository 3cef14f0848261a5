"""Fixed points and minimisers: against closed forms, unrolled steps and differences."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.functional.implicit import ConvergenceError, argmin, fixed_point
from tinygrad_like.functional.trees import flatten

RNG = np.random.default_rng(0)
A, Y = RNG.standard_normal((8, 3)), RNG.standard_normal(8)


def root(x):
    return fixed_point(lambda z, x: (z + x / z) / 2, tg.ones((), dtype="float64"), x)


def test_a_fixed_point_is_differentiated_in_every_order():
    x = np.array(9.0)
    assert root(x).item() == pytest.approx(3)
    assert tg.grad(root)(x) == pytest.approx(1 / 6)
    assert tg.grad(tg.grad(root))(x) == pytest.approx(-1 / 108)
    assert tg.grad(tg.grad(tg.grad(root)))(x) == pytest.approx(3 / 8 * 9**-2.5)
    assert tg.jvp(root, (x,), (2.0,))[1].item() == pytest.approx(1 / 3)
    assert tg.jvp(tg.grad(root), (x,), (2.0,))[1].item() == pytest.approx(-1 / 54)


W = RNG.standard_normal((4, 4))
W *= 0.6 / np.linalg.norm(W, 2)
INPUT = RNG.standard_normal((2, 4))


def layer(z, w, x):
    return tg.tanh(z @ w + x)


@pytest.mark.parametrize("solver", ["anderson", "iterate"])
def test_a_deep_equilibrium_layer_has_the_gradients_of_unrolled_steps(solver):
    zero = np.zeros((2, 4))

    def equilibrium(w, x):
        return (fixed_point(layer, zero, w, x, solver=solver) ** 3).sum()

    def unrolled(w, x):
        z = tg.Tensor(zero)
        for _ in range(60):
            z = layer(z, w, x)
        return (z**3).sum()

    value, found = tg.value_and_grad(equilibrium, (0, 1))(W, INPUT)
    expected_value, expected = tg.value_and_grad(unrolled, (0, 1))(W, INPUT)
    assert value.item() == pytest.approx(expected_value.item(), rel=1e-9)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-9)
    assert tg.gradcheck(lambda x: equilibrium(W, x), INPUT, order=2, directions=2,
                        method="differences", rtol=1e-6)  # fmt: skip


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
def test_parameters_that_f_closes_over_get_gradients(device):
    step = nn.Dense(4, 4, bias=False).to(device)
    step.weight.data = tg.Tensor(W, dtype="float32", device=device)
    x = tg.Tensor(INPUT, dtype="float32", device=device)
    z = fixed_point(lambda z, x: tg.tanh(step(z) + x), tg.zeros((2, 4), device=device), x)
    assert z.device == device
    z.sum().backward()
    found = step.weight.grad.numpy().copy()
    w = lambda w: fixed_point(layer, np.zeros((2, 4)), w, INPUT).sum()  # noqa: E731
    np.testing.assert_allclose(found, tg.grad(w)(W), rtol=2e-3, atol=1e-4)


def test_what_f_depends_on_may_depend_on_each_other():
    """f closes over x and over what is computed from x: each part counts once, in every order."""

    def solved(x):
        double = tg.sin(x) + x
        return fixed_point(lambda z: 0.3 * tg.cos(z * x) + double, tg.zeros((), dtype="float64"))

    def unrolled(x):
        z = tg.zeros((), dtype="float64")
        for _ in range(60):
            z = 0.3 * tg.cos(z * x) + tg.sin(x) + x
        return z

    x = np.array(0.4)
    for f, g in ((solved, unrolled), (tg.grad(solved), tg.grad(unrolled))):
        np.testing.assert_allclose(tg.grad(f)(x), tg.grad(g)(x), rtol=1e-9)
        along = [tg.jvp(h, (x,), (2.0,))[1].item() for h in (f, g)]
        assert along[0] == pytest.approx(along[1], rel=1e-9)


def test_trees_and_what_is_not_recorded():
    f = lambda z, x: {"a": z["b"][0] / 2 + x, "b": [z["a"] / 2]}  # noqa: E731
    start = {"a": np.zeros(2), "b": [np.zeros(2)]}
    z = fixed_point(f, start, np.array([3.0, 6.0]))
    np.testing.assert_allclose(z["a"].numpy(), [4, 8])
    assert not z["a"].requires_grad
    found = tg.jacobian(lambda x: fixed_point(f, start, x))(np.array([3.0, 6.0]))
    np.testing.assert_allclose(found["b"][0], np.eye(2) * 2 / 3, atol=1e-10)
    with tg.no_grad():
        w = tg.Tensor(1.0, requires_grad=True)
        assert not fixed_point(lambda z: z / 2 + w, 0.0).requires_grad


def test_anderson_solves_what_iteration_does_not():
    turn = np.array([[0.0, -1.5], [1.5, 0.0]])
    f = lambda z: turn @ z + 1.0  # noqa: E731
    expected = np.linalg.solve(np.eye(2) - turn, np.ones(2))
    np.testing.assert_allclose(fixed_point(f, np.zeros(2)).numpy(), expected, rtol=1e-8)
    with pytest.raises(ConvergenceError, match=r"\[implicit.fixed_point\] .* 30 steps") as caught:
        fixed_point(f, np.zeros(2), solver="iterate", max_steps=30)
    assert caught.value.steps == 30
    assert caught.value.residual > 1


# argmin


def ridge(w, penalty, a, y):
    return ((a @ w - y) ** 2).sum() + penalty * (w * w).sum()


def closed_form(penalty, a, y):
    gram = tg.transpose(a) @ a + penalty * np.eye(3)
    return tg.inv(gram) @ (tg.transpose(a) @ y)


def fitted(penalty, a, y):
    return argmin(ridge, np.zeros(3), penalty, a, y)


def test_ridge_regression_has_the_closed_form_and_its_derivatives():
    point = np.array(0.7), A, Y
    np.testing.assert_allclose(fitted(*point).numpy(), closed_form(*map(tg.Tensor, point)).numpy())
    for i in range(3):
        loss = lambda f: lambda *args: (f(*args) ** 3).sum()  # noqa: E731
        found = tg.grad(loss(fitted), i)(*point)
        np.testing.assert_allclose(found, tg.grad(loss(closed_form), i)(*point), rtol=1e-8)
    found = tg.hessian(lambda p: fitted(p, A, Y).sum())(point[0])
    expected = tg.hessian(lambda p: closed_form(p, tg.Tensor(A), tg.Tensor(Y)).sum())(point[0])
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    mixed = tg.jacobian(tg.grad(lambda p, y: fitted(p, A, y).sum()), 1)(point[0], Y)
    by_form = tg.grad(lambda p, y: closed_form(p, tg.Tensor(A), y).sum())
    np.testing.assert_allclose(mixed, tg.jacobian(by_form, 1)(point[0], Y), rtol=1e-7, atol=1e-10)


def test_ridge_regression_against_differences():
    f = lambda p: (fitted(p, A, Y) ** 2).sum()  # noqa: E731
    assert tg.gradcheck(f, np.array(0.7), order=2, method="differences", rtol=1e-6)


def test_newton_finds_the_minimum_of_rosenbrock():
    def rosenbrock(z, scale):
        x, y = z["x"], z["y"]
        return (1 - x) ** 2 + scale * (y - x * x) ** 2

    start = {"x": np.array(-1.2), "y": np.array(1.0)}
    z = argmin(rosenbrock, start, 100.0)
    assert z["x"].item() == pytest.approx(1)
    assert z["y"].item() == pytest.approx(1)

    def bent(z, target):
        return rosenbrock(z, 100.0) + 2 * (1 - target) * z["x"]

    slope = tg.jacobian(lambda target: argmin(bent, start, target))(np.array(1.0))
    # The minimum is at x = target, y = target^2.
    np.testing.assert_allclose(slope["x"], 1, rtol=1e-6)
    np.testing.assert_allclose(slope["y"], 2, rtol=1e-6)


def test_a_solver_of_ones_own():
    solved = []

    def solver(objective, w, penalty, a, y):
        solved.append(objective(tg.Tensor(w), penalty, a, y).item())
        return closed_form(penalty, a.detach(), tg.Tensor(y))

    def f(a):
        return argmin(ridge, np.zeros(3), 0.7, a, Y, solver=solver).sum()

    expected = tg.grad(lambda a: closed_form(0.7, a, tg.Tensor(Y)).sum())(A)
    np.testing.assert_allclose(tg.grad(f)(A), expected, rtol=1e-9, atol=1e-12)
    assert len(solved) == 1
    with pytest.raises(ConvergenceError, match="the solver's point is not stationary"):
        argmin(ridge, np.zeros(3), 0.7, A, Y, solver=lambda o, w, *args: w + 1)


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
def test_argmin_in_float32_on_every_device(device):
    point = [tg.Tensor(x, dtype="float32", device=device) for x in (0.7, A, Y)]
    start = tg.zeros(3, device=device)
    found = tg.grad(lambda p: argmin(ridge, start, p, *point[1:]).sum())(point[0])
    expected = tg.grad(lambda p: closed_form(p, tg.Tensor(A), tg.Tensor(Y)).sum())(np.array(0.7))
    assert found.item() == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fixed_point(lambda z: 2 * z + 1, 1.0, solver="iterate"), ConvergenceError,
         r"fixed_point\] .*the residual is"),
        (lambda: fixed_point(lambda z: z * np.nan, 1.0), ConvergenceError, r"no longer finite"),
        (lambda: fixed_point(lambda z: z, 1.0, solver="newton"), ValueError, r"solver is 'newton'"),
        (lambda: fixed_point(lambda z: z[:1], A), ValueError, r"the new z is \(1, 3\), expected"),
        (lambda: fixed_point(lambda z: [z], A), ValueError, r"the new z is a list of 1"),
        (lambda: fixed_point(lambda z: z, ()), ValueError, r"z0 has no leaves"),
        (lambda: fixed_point(lambda z: z, np.arange(3)), TypeError, r"z0 is int64"),
        (lambda: fixed_point(lambda z: z, A, max_steps=0), ValueError, r"max_steps is 0"),
        (lambda: fixed_point(lambda z: z, A, tolerance=-1.0), ValueError, r"tolerance is -1.0"),
        (lambda: fixed_point(A, A), TypeError, r"\[implicit.fixed_point\] f is \(8, 3\)"),
        (lambda: fixed_point(lambda z: z, A, full_output=1), ValueError, r"full_output is 1"),
        (lambda: argmin(lambda z: z.sum(), A, full_output="x"), ValueError, r"full_output is 'x'"),
        (lambda: argmin(A, A), TypeError, r"\[implicit.argmin\] f is \(8, 3\)"),
        (lambda: argmin(lambda z: z, A), ValueError, r"expected a scalar"),
        (lambda: argmin(lambda z: (z * z).sum(), A, solver=3), TypeError, r"solver is a int"),
        (lambda: argmin(lambda z: -(z * z).sum(), np.ones(2), max_steps=5), ConvergenceError,
         r"\[implicit.argmin\] no minimiser was found"),
    ],
)  # fmt: skip
def test_what_cannot_be_solved_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("solver", ["anderson", "iterate"])
def test_the_steps_of_a_fixed_point_are_told(solver):
    calls = []

    def f(z, x):
        calls.append(z)
        return tg.cos(z) * x

    with tg.no_grad():
        z, found = fixed_point(f, np.array(1.0), 0.9, solver=solver, full_output=True)
    assert found.steps == len(calls)
    assert found.residual == pytest.approx(abs(np.cos(z.item()) * 0.9 - z.item()), abs=1e-15)
    assert (found.steps < 20) == (solver == "anderson")
    slope, again = tg.grad(
        lambda x: fixed_point(lambda z, x: tg.cos(z) * x, np.array(1.0), x, solver=solver,
                              full_output=True), has_aux=True
    )(np.array(0.9))  # fmt: skip
    assert again == found
    assert slope == pytest.approx(np.cos(z.item()) / (1 + 0.9 * np.sin(z.item())))


@pytest.mark.parametrize(("dtype", "large"), [(np.float16, 300), (np.float32, 1e25)])
@pytest.mark.parametrize("solver", ["anderson", "iterate"])
def test_a_solution_whose_square_overflows_is_found(solver, dtype, large):
    z = fixed_point(lambda z: 0.5 * z + np.array([large, -large], dtype),
                    np.zeros(2, dtype), solver=solver)  # fmt: skip
    assert z.dtype == dtype
    np.testing.assert_allclose(z.numpy(), [2 * large, -2 * large], rtol=2e-2)


def test_the_steps_of_a_minimiser_are_told():
    objective = lambda z, x: ((z - x) ** 4).sum() + (z * z).sum()  # noqa: E731
    x = np.array([1.0, 2.0])
    z, found = argmin(objective, np.zeros(2), x, full_output=True)
    assert 2 < found.steps < 20
    assert found.residual < 1e-9
    assert argmin(objective, np.zeros(2), x, max_steps=found.steps).tolist() == z.tolist()
    with pytest.raises(ConvergenceError):
        argmin(objective, np.zeros(2), x, max_steps=found.steps - 1)
    _, by_hand = argmin(objective, np.zeros(2), x, solver=lambda *_: z, full_output=True)
    assert by_hand.steps is None
    assert by_hand.residual == found.residual


def test_a_flat_minimum_has_no_gradient():
    flat = lambda x: argmin(lambda z, x: (z[0] - x) ** 2 + 0 * z[1], np.zeros(2), x)  # noqa: E731
    assert flat(np.array(3.0)).numpy()[0] == pytest.approx(3)
    with pytest.raises(ConvergenceError, match="not positive definite"):
        tg.grad(lambda x: flat(x).sum())(np.array(3.0))


def test_the_memory_of_a_solution_is_that_of_one_step():
    """However many steps the solver makes, few nodes hang on its result."""
    x = tg.Tensor(9.0, dtype="float64", requires_grad=True)
    z = fixed_point(lambda z, x: 0.9 * z + 0.1 * x, tg.zeros((), dtype="float64"), x,
                    solver="iterate", max_steps=1000)  # fmt: skip
    seen, nodes = set(), [z.node]
    while nodes:
        node = nodes.pop()
        seen.add(node)
        nodes += [p for p in node.parents if p is not None and p not in seen]
    assert len(seen) < 20
    z.backward()
    assert x.grad.item() == pytest.approx(1)
    assert flatten(z)[0] == [z]
