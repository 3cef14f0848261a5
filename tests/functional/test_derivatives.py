"""grad and its relatives, against formulas and against each other."""

import numpy as np
import pytest

import tinygrad_like as tg

RNG = np.random.default_rng(0)
X = RNG.standard_normal(4)
A = RNG.standard_normal((4, 4))


def quartic(x):
    return ((A @ x) ** 4).sum()


def first(x):
    return 4 * A.T @ (A @ x) ** 3


def second(x):
    return 12 * A.T @ np.diag((A @ x) ** 2) @ A


def test_grad_is_the_formula_and_keeps_the_form_of_its_argument():
    of_array = tg.grad(quartic)(X)
    assert type(of_array) is np.ndarray
    np.testing.assert_allclose(of_array, first(X), rtol=1e-12)
    of_tensor = tg.grad(quartic)(tg.Tensor(X))
    assert type(of_tensor) is tg.Tensor
    np.testing.assert_allclose(of_tensor.numpy(), first(X), rtol=1e-12)
    assert tg.grad(lambda x: x**3)(2.0).item() == 12


def test_grad_touches_no_grad_attribute():
    x, w = tg.Tensor(X, requires_grad=True), tg.Tensor(A, requires_grad=True)
    tg.grad(lambda x: (w @ x).sum())(x)
    assert x.grad is None
    assert w.grad is None


def test_grad_of_grad_of_grad():
    f = lambda x: tg.sin(x) * x  # noqa: E731
    third = tg.grad(tg.grad(tg.grad(f)))(tg.Tensor(0.7, dtype="float64"))
    x = 0.7
    assert third.item() == pytest.approx(-3 * np.sin(x) - x * np.cos(x), rel=1e-12)


def test_a_result_is_recorded_only_if_something_around_it_is():
    assert not tg.grad(lambda x: x**3)(2.0).requires_grad
    assert not tg.grad(lambda y: tg.grad(lambda x: x * x * y)(3.0) * y)(2.0).requires_grad
    w = tg.Tensor(2.0, requires_grad=True)
    assert tg.grad(lambda x: w * x * x)(3.0).requires_grad
    with tg.no_grad():
        g = tg.grad(lambda x: w * x * x)(3.0)
        assert g.item() == 12
        assert not g.requires_grad


def test_an_inner_derivative_depends_on_what_its_function_closes_over():
    # d/dy [ y * d/dx (x^2 y) at x = 3 ] = d/dy 6 y^2 = 12 y
    assert tg.grad(lambda y: tg.grad(lambda x: x * x * y)(3.0) * y)(2.0).item() == 24
    # the same at x = y: d/dy [ y * 2 y y ] = 6 y^2
    assert tg.grad(lambda y: tg.grad(lambda x: x * x * y)(y) * y)(2.0).item() == 24


def test_a_gradient_penalty_reaches_the_parameters():
    w = tg.Tensor([2.0], requires_grad=True)
    g = tg.grad(lambda x: (w * x * x).sum())(np.array([3.0], np.float32))
    (g * g).sum().backward()
    assert w.grad.item() == 2 * (2 * 2 * 3) * (2 * 3)


def test_value_and_grad_and_argnums():
    f = lambda a, b, c: (a * b).sum() + c  # noqa: E731
    value, (db, dc) = tg.value_and_grad(f, argnums=(1, -1))(X, 2 * X, 5.0)
    assert value.item() == pytest.approx(2 * X @ X + 5)
    np.testing.assert_allclose(db, X)
    assert dc.item() == 1


def test_vjp_can_be_called_many_times():
    y, pull_back = tg.vjp(lambda a, b: a * tg.exp(b), X, 2 * X)
    for g in (np.ones(4), X):
        da, db = pull_back(g)
        np.testing.assert_allclose(da, g * np.exp(2 * X))
        np.testing.assert_allclose(db, g * y.numpy())


def test_jacobian_and_hessian_are_the_formulas():
    jacobian = tg.jacobian(lambda x: tg.stack([(A @ x).sin(), x]))(X)
    assert jacobian.shape == (2, 4, 4)
    np.testing.assert_allclose(jacobian[0], np.cos(A @ X)[:, None] * A, rtol=1e-12)
    np.testing.assert_allclose(jacobian[1], np.eye(4))
    np.testing.assert_allclose(tg.hessian(quartic)(X), second(X), rtol=1e-11)
    assert tg.jacobian(lambda x: x[:0])(X).shape == (0, 4)


def test_jacobian_of_several_arguments():
    da, db = tg.jacobian(lambda a, b: a * b, argnums=(0, 1))(X, 2 * X)
    np.testing.assert_allclose(da, np.diag(2 * X))
    np.testing.assert_allclose(db, np.diag(X))


def test_hvp_is_the_hessian_times_a_vector():
    np.testing.assert_allclose(tg.hvp(quartic, X, X + 1), second(X) @ (X + 1), rtol=1e-11)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tg.grad(lambda x: x * 2)(X), ValueError, r"\[grad\] f returned shape \(4,\)"),
        (lambda: tg.grad(lambda x: 1.0)(X), TypeError, r"\[grad\] f returned float"),
        (lambda: tg.grad(lambda x: x.sum())(np.arange(3)), TypeError, r"argument 0 has dtype int"),
        (lambda: tg.grad(lambda x: x, argnums=1)(X), ValueError, r"f was given 1 arguments"),
        (lambda: tg.grad(quartic)(), ValueError, r"f was given 0 arguments"),
        (
            lambda: tg.hessian(quartic, argnums=(0, 1)),
            TypeError,
            r"\[hessian\] argnums is \(0, 1\)",
        ),
        (
            lambda: tg.vjp(tg.exp, X)[1](np.ones(3)),
            ValueError,
            r"gradient has shape \(3,\), expected \(4,\)",
        ),
    ],
)
def test_wrong_use_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# What f does not use


@pytest.fixture
def line():
    return tg.nn.Dense(3, 2), tg.randn((4, 3))


UNUSED = {
    "grad": lambda f, *args, **options: tg.grad(f, **options)(*args),
    "value_and_grad": lambda f, *args, **options: tg.value_and_grad(f, **options)(*args)[1],
    "vjp": lambda f, *args, **options: tg.vjp(f, *args, **options)[1](1.0)[0],
    "jacobian": lambda f, *args, **options: tg.jacobian(f, **options)(*args),
    "hessian": lambda f, *args, **options: tg.hessian(f, **options)(*args),
    "hvp": lambda f, x, *args, **options: tg.hvp(lambda y: f(y, *args), x, x, **options),
}


@pytest.mark.parametrize("name", UNUSED)
def test_an_argument_that_f_does_not_use_is_refused(name, line):
    model, x = line
    for f in (
        lambda w, b: (model(x) ** 2).sum(),  # the model's own weight, not w
        lambda w, b: (tg.Tensor(w.numpy() ** 2) + b.sum().detach()).sum(),
        lambda w, b: (w.detach() * b.detach().sum()).sum(),
        lambda w, b: tg.Tensor(1.0),
        lambda w, b: (w > 0).astype(np.float32).sum(),
    ):
        with pytest.raises(tg.GraphError, match=r"argument 0.*allow_unused=True"):
            UNUSED[name](f, model.weight, model.bias)
        zeros = UNUSED[name](f, model.weight, model.bias, allow_unused=True)
        assert zeros.shape[: model.weight.ndim] == model.weight.shape
        np.testing.assert_array_equal(zeros.numpy(), np.zeros(zeros.shape))


def test_hvp_passes_on_what_is_not_differentiated():
    f = lambda x: (quartic(x), {"x": x * 2, "name": "quartic"})  # noqa: E731
    product, aux = tg.hvp(f, X, X + 1, has_aux=True)
    np.testing.assert_array_equal(product, tg.hvp(quartic, X, X + 1))
    np.testing.assert_array_equal(aux["x"].numpy(), X * 2)
    assert aux["name"] == "quartic"
    assert not aux["x"].requires_grad
    with pytest.raises(TypeError, match=r"\[hvp\] f returned Tensor, expected the pair"):
        tg.hvp(quartic, X, X, has_aux=True)
    with pytest.raises(ValueError, match=r"\[hvp\] has_aux"):
        tg.hvp(f, X, X, has_aux=1)


def test_the_unused_argument_is_named(line):
    model, x = line
    both = (0, 1)
    with pytest.raises(tg.GraphError, match="argument 1"):
        tg.grad(lambda w, b: (x @ w).sum(), both)(model.weight, model.bias)
    dw, db = tg.grad(lambda w, b: (x @ w).sum(), both, allow_unused=True)(model.weight, model.bias)
    assert dw.numpy().any()
    assert not db.numpy().any()
    with pytest.raises(tg.GraphError, match="argument 1"):
        tg.vjp(lambda a, b: a * 2, X, X)


def test_values_taken_by_numpy_are_refused_inside_a_derivative():
    with pytest.raises(tg.GraphError, match=r"\[array\]"):
        tg.grad(lambda x: tg.Tensor(np.asarray(x) ** 2).sum())(X)


def test_zeros_of_higher_order_are_zeros():
    linear, bilinear = lambda x: (x * 3).sum(), lambda x, y: (x * 2).sum() + (y * y).sum()
    np.testing.assert_array_equal(tg.hessian(linear)(X), np.zeros((4, 4)))
    np.testing.assert_array_equal(tg.hvp(linear, X, X), np.zeros(4))
    assert tg.grad(tg.grad(lambda x: x * 3))(2.0).item() == 0
    assert tg.grad(lambda x: tg.grad(lambda y: y * 3)(x))(2.0).item() == 0
    assert tg.grad(tg.grad(tg.grad(lambda x: x * x)))(2.0).item() == 0
    mixed = tg.jacobian(tg.grad(bilinear, 0), 1)(tg.Tensor(X), X)
    np.testing.assert_array_equal(mixed, np.zeros((4, 4)))


def test_an_argument_used_with_the_factor_zero_counts_as_used():
    np.testing.assert_array_equal(tg.grad(lambda x: (x * 0).sum())(X), np.zeros(4))
    np.testing.assert_array_equal(tg.grad(lambda x: tg.floor(x).sum())(X), np.zeros(4))
    np.testing.assert_array_equal(tg.jacobian(lambda x: x[:0])(X), np.zeros((0, 4)))


FUNCTIONS = "grad value_and_grad vjp jacobian hessian hvp".split()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_loss_in_place_of_a_function_is_refused_with_what_to_call(name):
    w = tg.Tensor(X, requires_grad=True)
    more = [w, w] if name == "hvp" else [w]
    for of in (more, [[w], *more[1:]]):
        with pytest.raises(TypeError, match=rf"\[{name}\] .*backward"):
            getattr(tg, name)((w * w).sum(), *of)
    with pytest.raises(TypeError, match=rf"\[{name}\] f is a int"):
        getattr(tg, name)(3, *more)


@pytest.mark.parametrize("name", ["grad", "jacobian", "hessian"])
def test_arguments_in_the_place_of_argnums_are_refused(name):
    for wrong in (tg.Tensor(X), X, "a", 1.0, True, ("a",)):
        error = TypeError if not isinstance(wrong, (str, tuple)) else ValueError
        with pytest.raises(error, match=rf"\[{name}\] argnums is .*{name}\(f\)\(x\)"):
            getattr(tg, name)(quartic, wrong)
    assert getattr(tg, name)(quartic, np.int64(0))(X).shape[0] == 4


def test_a_gradient_of_another_shape_is_refused_even_where_it_meets_zeros():
    with pytest.raises(ValueError, match=r"\[hvp\] v has shape \(3,\), expected \(4,\)"):
        tg.hvp(lambda x: x.sum(), X, np.ones(3))
