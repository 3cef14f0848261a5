"""custom_gradient, stop_gradient, straight_through."""

import numpy as np
import pytest

import tinygrad_like as tg

X = np.array([-1.0, 0.5, 2.0])


@tg.custom_gradient
def log1pexp(x):
    """log(1 + exp(x)), with the gradient in a form that does not overflow."""
    e = tg.exp(x)
    return tg.log(1 + e), lambda g: g * e / (1 + e)


def test_the_gradient_is_the_functions_own():
    @tg.custom_gradient
    def f(x, y):
        return x * y, lambda g: (g * 10, g * 100)

    da, db = tg.grad(lambda x, y: f(x, y).sum(), (0, 1))(X, 2 * X)
    np.testing.assert_array_equal(da, np.full(3, 10))
    np.testing.assert_array_equal(db, np.full(3, 100))
    x = tg.Tensor(X, requires_grad=True)
    f(x, 2.0).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full(3, 10))
    assert not f(tg.Tensor(X), 2.0).requires_grad
    assert type(f(X, 2 * X)) is np.ndarray
    with tg.no_grad():
        assert not f(x, 2.0).requires_grad


def test_derivatives_of_every_order_are_those_of_the_rule():
    assert tg.gradcheck(lambda x: log1pexp(x) * x, X, order=3)
    along = tg.jvp(tg.grad(lambda x: log1pexp(x).sum()), (X,), (X,))[1]
    s = 1 / (1 + np.exp(-X))
    np.testing.assert_allclose(along.numpy(), s * (1 - s) * X, rtol=1e-12)


def test_what_f_computed_is_differentiated_in_its_rule():
    """Of a gradient that is not the true one, the derivative is the rule's."""

    @tg.custom_gradient
    def f(x):
        cube = x**3
        return x, lambda g: g * cube

    np.testing.assert_allclose(tg.grad(lambda x: f(x).sum())(X), X**3)
    np.testing.assert_allclose(tg.hessian(lambda x: f(x).sum())(X), np.diag(3 * X**2))


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_a_gradient_of_one_number_reaches_the_rule_as_a_tensor(dtype):
    """Between ops, of which NumPy gives numbers that are no arrays."""

    @tg.custom_gradient
    def f(x):
        return x * x, lambda g: g * (2 * x).conj() + g.detach() * 0

    for outer in (lambda x: f(x) * 3.0, lambda x: f(x) * f(x), lambda x: f(x * 2.0) * x):
        value = np.array(0.7 + 0.5j if dtype is np.complex128 else 0.7)
        assert tg.gradcheck(outer, value, order=2)
        assert np.shape(tg.grad(lambda x, outer=outer: outer(x).real)(value)) == ()


def test_trees_go_in_and_out():
    @tg.custom_gradient
    def f(p, count, x):
        def pull_back(g):
            return {"b": None, "w": g["y"] * x}, None, g["y"] * p["w"] + g["z"][0]

        return {"y": p["w"] * x + p["b"], "z": [x + 0.0, x > 0]}, pull_back

    loss = lambda p, x: f(p, 3, x)["y"].sum() + 2 * f(p, 3, x)["z"][0].sum()  # noqa: E731
    dp, dx = tg.grad(loss, (0, 1))({"w": X, "b": X}, 2 * X)
    np.testing.assert_allclose(dp["w"], 2 * X)
    np.testing.assert_array_equal(dp["b"], np.zeros(3))
    np.testing.assert_allclose(dx, X + 2)


def test_a_gradient_can_be_clipped_on_its_way():
    clipped = tg.custom_gradient(lambda x: (x * 1.0, lambda g: tg.clip(g, -1, 1)))
    np.testing.assert_array_equal(tg.grad(lambda x: (clipped(x) ** 2).sum())(X), [-1, 1, 1])


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
def test_on_every_device(device):
    x = tg.Tensor(X, dtype="float32", device=device, requires_grad=True)
    y = log1pexp(x)
    y.sum().backward()
    assert (y.device, x.grad.device, x.grad.dtype) == (device, device, np.float32)
    np.testing.assert_allclose(x.grad.numpy(), 1 / (1 + np.exp(-X)), rtol=1e-6)
    y = tg.straight_through(tg.round)(x)
    assert y.device == device


def test_a_rule_may_take_derivatives_itself():
    """Also where it runs after its function has returned, as for jvp."""
    cube = lambda x: (x**3).sum()  # noqa: E731

    @tg.custom_gradient
    def f(x):
        return x**3, lambda g: g * tg.grad(cube)(x)

    assert tg.gradcheck(lambda x: f(x), X, order=3)
    for direction in ("forward", "reverse"):
        second = tg.jacobian(tg.jacobian(f), direction=direction)(X)
        np.testing.assert_allclose(np.einsum("iii->i", second), 6 * X, rtol=1e-12)


def test_inside_a_checkpoint():
    x = tg.Tensor(X, requires_grad=True)
    tg.checkpoint(lambda x: log1pexp(x * x), x).sum().backward()
    expected = tg.grad(lambda x: log1pexp(x * x).sum())(X)
    np.testing.assert_array_equal(x.grad.numpy(), expected)
    assert "op=custom_gradient" in repr(log1pexp(x))


def test_under_autocast_the_rule_runs_as_it_is():
    w = tg.ones((3, 3), requires_grad=True)
    f = tg.custom_gradient(lambda w: (w * 1.0, lambda g: g @ (g * 1.0001)))
    with tg.autocast():
        f(w).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), np.full((3, 3), 3.0003), rtol=1e-6)


@pytest.mark.parametrize(
    ("f", "error", "message"),
    [
        (lambda x, y: x, TypeError, r"<lambda> returned \(3,\), expected the pair"),
        (lambda x, y: (x, x), TypeError, r"returned a tuple, expected the pair"),
        (lambda x, y: (["a"], lambda g: g), TypeError, r"the value is a str"),
        (lambda x, y: (x * 1, lambda g: g), TypeError, r"pull_back returned \(3,\), expected a t"),
        (lambda x, y: (x * 1, lambda g: (g,)), TypeError, r"returned 1 gradients, .* 2 arguments"),
        (lambda x, y: (x * 1, lambda g: (g.sum(), g)), ValueError, r"args\[0\] has shape \(\)"),
        (lambda x, y: (x * 1, lambda g: ([g], g)), ValueError, r"gradient 0 is a list of 1, but"),
    ],
)
def test_wrong_functions_are_refused(f, error, message):
    with pytest.raises(error, match=rf"\[custom_gradient\] .*{message}"):
        tg.grad(lambda x, y: tg.custom_gradient(f)(x, y).sum(), (0, 1))(X, X)


def test_one_gradient_for_several_leaves_is_refused():
    f = tg.custom_gradient(lambda t: (t["a"] + t["b"], lambda g: (g,)))
    with pytest.raises(ValueError, match=r"gradient 0 is one array of shape \(3,\), expected a d"):
        tg.grad(lambda t: f(t).sum())({"a": X, "b": X})


def test_a_tensor_that_is_no_argument_is_refused():
    w = tg.Tensor(X, requires_grad=True)
    x = tg.Tensor(X, requires_grad=True)
    f = tg.custom_gradient(lambda x: (x * w, lambda g: g * w))
    with pytest.raises(tg.GraphError, match=r"shape \(3,\) .* is no argument"):
        f(x)
    tg.custom_gradient(lambda x: (x * w.detach(), lambda g: g * w))(x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), X)
    inside = tg.custom_gradient(lambda x: (tg.grad(lambda z: (z * z).sum())(x), lambda g: g))
    np.testing.assert_array_equal(inside(x).numpy(), 2 * X)


def test_stop_gradient():
    found = tg.grad(lambda t: (tg.stop_gradient(t)["a"] * t["a"]).sum())({"a": X})
    np.testing.assert_array_equal(found["a"], X)
    assert tg.stop_gradient([X, None, 3])[0] is X


def test_straight_through_has_the_values_of_f_and_the_gradient_of_the_identity():
    quantised = tg.straight_through(lambda x: tg.round(x * 3) / 3)
    np.testing.assert_array_equal(quantised(tg.Tensor(X)).numpy(), np.round(X * 3) / 3)
    loss = lambda x: (quantised(x) ** 2).sum()  # noqa: E731
    np.testing.assert_allclose(tg.grad(loss)(X), 2 * np.round(X * 3) / 3)
    np.testing.assert_allclose(tg.hessian(loss)(X), 2 * np.eye(3))
    step = tg.straight_through(lambda x: x > 0)
    assert step(tg.Tensor(X)).dtype == X.dtype
    np.testing.assert_array_equal(tg.grad(lambda x: step(x).sum())(X), np.ones(3))
    with pytest.raises(ValueError, match=r"\[straight_through\] f returned \(\), .* \(3,\)"):
        tg.straight_through(tg.sum)(tg.Tensor(X))
