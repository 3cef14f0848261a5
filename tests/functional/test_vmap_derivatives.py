"""vmap and derivatives, one inside the other in every order: each equals the loop."""

import gc

import numpy as np
import pytest

import tinygrad_like as tg

RNG = np.random.default_rng(0)
X = tg.Tensor(RNG.standard_normal((3, 4)))
V = tg.Tensor(RNG.standard_normal((3, 4)))
W = tg.Tensor(RNG.standard_normal(4))
A = tg.Tensor(RNG.standard_normal((3, 4)))


def loop(f, in_axes=0):
    """What vmap is checked against."""

    def of_all(*args):
        axes = in_axes if isinstance(in_axes, tuple) else (in_axes,) * len(args)
        count = next(x.shape[0] for x, axis in zip(args, axes, strict=True) if axis == 0)
        return tg.stack(
            [
                f(*(x if axis is None else x[i] for x, axis in zip(args, axes, strict=True)))
                for i in range(count)
            ]
        )

    return of_all


def assert_as_in_a_loop(program, tolerance=1e-10):
    """A program of `over`, which is vmap or the loop."""
    found, expected = program(tg.vmap), program(loop)
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    assert found.requires_grad == expected.requires_grad
    size = max(np.abs(expected.numpy()).max(initial=0), 1)
    np.testing.assert_allclose(
        found.numpy(), expected.numpy(), rtol=tolerance, atol=tolerance * size
    )


# Functions of one example (4,) with values () and (3,)


@tg.custom_gradient
def scaled(x):
    return tg.sin(x), lambda g: g * 10 * tg.exp(x)


@tg.custom_gradient
def joined(x, y):
    value = tg.sin(x) * y.sum(), x + 1
    return value, lambda g: (g[0] * 3 + g[1] * x, g[0].sum() * y * 2)


SCALARS = {
    "elementwise": lambda x: (tg.sin(x) * tg.flip(x) ** 2).sum(),
    "products": lambda x: tg.tanh(A @ x * W[:3].mean()).sum(),
    "fused": lambda x: (tg.layer_norm(x, W, x) * tg.gelu(x)).sum(),
    "indices": lambda x: (tg.sort(x) * x[[0, 0, 2, 1]]).prod(),
    "custom": lambda x: (scaled(x) * x).sum(),
    "custom of two": lambda x: sum((y * x).sum() for y in joined(x, W)),
    "custom of what is shared": lambda x: sum((y * x).sum() for y in joined(W, x * x)),
    "straight through": lambda x: (tg.straight_through(tg.round)(x * 3) * x).sum(),
    "detached": lambda x: (x.detach() * x**2 + tg.stop_gradient(x**2) * x).sum(),
    "checkpoint": lambda x: tg.checkpoint(lambda x: (tg.sin(x * W) * x).sum(), x),
    "vmap inside": lambda x: tg.vmap(lambda w: tg.sin(w * x).sum())(A).prod(),
    "vmap in a checkpoint": lambda x: tg.checkpoint(
        lambda x: tg.vmap(lambda w: tg.sin(w * x).sum())(A).sum(), x
    ),
}


def vector(x):
    return tg.tanh(A @ x) * x.sum()


def total(y):
    return (y**2).sum()


PROGRAMS = {
    "vmap": lambda f, over: over(f)(X),
    "vmap grad": lambda f, over: over(tg.grad(f))(X),
    "vmap value_and_grad": lambda f, over: over(lambda x: tg.value_and_grad(f)(x)[1])(X),
    "vmap vjp": lambda f, over: over(lambda x: tg.vjp(f, x)[1](2.0)[0])(X),
    "vmap jvp": lambda f, over: over(lambda x, v: tg.jvp(f, (x,), (v,))[1])(X, V),
    "vmap linearize": lambda f, over: over(lambda x: tg.linearize(f, x)[1](W))(X),
    "vmap grad grad": lambda f, over: over(tg.grad(lambda x: total(tg.grad(f)(x))))(X),
    "vmap hessian": lambda f, over: over(tg.hessian(f))(X),
    "vmap hvp": lambda f, over: over(lambda x, v: tg.hvp(f, x, v))(X, V),
    "vmap jvp grad": lambda f, over: over(lambda x, v: tg.jvp(tg.grad(f), (x,), (v,))[1])(X, V),
    "grad vmap": lambda f, over: tg.grad(lambda x: total(over(f)(x)))(X),
    "jvp vmap": lambda f, over: tg.jvp(over(f), (X,), (V,))[1],
    "jacobian vmap": lambda f, over: tg.jacobian(over(f))(X),
    "forward jacobian vmap": lambda f, over: tg.jacobian(over(f), direction="forward")(X),
    "hessian vmap": lambda f, over: tg.hessian(lambda x: total(over(f)(x)))(X),
    "grad vmap grad": lambda f, over: tg.grad(lambda x: total(over(tg.grad(f))(x)))(X),
    "jvp vmap grad": lambda f, over: tg.jvp(over(tg.grad(f)), (X,), (V,))[1],
    "grad vmap jvp grad": lambda f, over: tg.grad(
        lambda x: total(over(lambda x, v: tg.jvp(tg.grad(f), (x,), (v,))[1])(x, V))
    )(X),
    "vmap vmap grad": lambda f, over: over(lambda x: over(lambda v: tg.grad(f)(x * v))(V))(X),
    "vmap grad vmap": lambda f, over: over(tg.grad(lambda x: total(over(lambda v: f(x * v))(V))))(
        X
    ),
    "grad vmap grad vmap": lambda f, over: tg.grad(
        lambda x: total(over(tg.grad(lambda x: total(over(lambda v: f(x * v))(V))))(x))
    )(X),
    "vmap pull-back of vmap": lambda f, over: over(
        lambda g: tg.vjp(lambda x: over(lambda x: over(lambda v: f(x * v))(V))(x), X)[1](g)[0]
    )(tg.Tensor(np.eye(9).reshape(9, 3, 3)[:4])),
}
FIRST_ORDER = {"vmap", "vmap grad", "vmap vjp", "grad vmap", "vmap vmap grad", "vmap grad vmap"}


@pytest.mark.parametrize("f", SCALARS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_derivatives_and_vmap_in_every_order(program, f):
    if "checkpoint" in f and program not in FIRST_ORDER:
        return
    assert_as_in_a_loop(lambda over: PROGRAMS[program](SCALARS[f], over))


@pytest.mark.parametrize("direction", ["auto", "forward", "reverse"])
def test_jacobians_of_vectors(direction):
    jacobian = tg.jacobian(vector, direction=direction)
    assert_as_in_a_loop(lambda over: over(jacobian)(X))
    assert_as_in_a_loop(lambda over: tg.grad(lambda x: total(over(jacobian)(x)))(X))


def test_a_pull_back_and_a_push_made_outside():
    _, pull_back = tg.vjp(vector, W)
    _, push = tg.linearize(vector, W)
    np.testing.assert_allclose(
        tg.vmap(lambda g: pull_back(g)[0])(tg.Tensor(np.eye(3))).numpy(),
        tg.jacobian(vector)(W).numpy(),
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        tg.vmap(push, out_axes=1)(tg.Tensor(np.eye(4))).numpy(),
        tg.jacobian(vector)(W).numpy(),
        rtol=1e-12,
    )


def test_by_what_f_closes_over():
    def outer(over, w):
        inner = over(tg.grad(lambda x: tg.grad(lambda u: (tg.sin(x * u) * w).sum())(w * x).sum()))
        return total(inner(X))

    assert_as_in_a_loop(lambda over: tg.grad(lambda w: outer(over, w))(W), 1e-9)


def test_by_what_all_examples_share():
    f = lambda w, x: (tg.sort(w) * tg.clip(w, w.detach().min(), w.detach().max() / 2) * x).sum()  # noqa: E731
    assert_as_in_a_loop(lambda over: over(tg.grad(f), (None, 0))(W, X))
    assert_as_in_a_loop(lambda over: tg.grad(lambda w: total(over(f, (None, 0))(w, X)))(W))


def test_plain_backward_through_vmap():
    w = tg.Tensor(W.numpy(), requires_grad=True)
    loss = tg.vmap(lambda x: (tg.sin(x) * w).sum())(X).sum()
    loss.backward()
    np.testing.assert_allclose(w.grad.numpy(), np.sin(X.numpy()).sum(0), rtol=1e-12)


VALUES = {
    "vjp": lambda f, x: tg.vjp(f, x)[0],
    "jvp": lambda f, x: tg.jvp(f, (x,), (x,))[0],
    "linearize": lambda f, x: tg.linearize(f, x)[0],
    "value_and_grad": lambda f, x: tg.value_and_grad(f)(x)[0],
    "aux of grad": lambda f, x: tg.grad(lambda x: (f(x), {"value": f(x)}), has_aux=True)(x)[1][
        "value"
    ],
    "aux of hvp": lambda f, x: tg.hvp(lambda x: (f(x), f(x)), x, x, has_aux=True)[1],
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_beside_a_derivative_keeps_its_history(name):
    """That of all examples: the derivative that f took is another one."""
    f = lambda x: (tg.sin(x) * x).sum()  # noqa: E731
    assert_as_in_a_loop(lambda over: tg.grad(lambda x: total(over(VALUES[name].__get__(f))(x)))(X))
    with tg.no_grad():
        x = tg.Tensor(X.numpy(), requires_grad=True)
        assert not tg.vmap(lambda y: VALUES[name](lambda y: (y * x[0]).sum(), y))(x).requires_grad


def test_no_grad_inside_and_outside():
    w = tg.Tensor(W.numpy(), requires_grad=True)
    assert not tg.vmap(tg.no_grad()(lambda x: x * w))(X).requires_grad
    assert tg.vmap(lambda x: x * w)(X).requires_grad
    assert tg.vmap(tg.grad(lambda x: (x**2 * w).sum()))(X).requires_grad
    with tg.no_grad():
        for f in (lambda x: (x * w).sum(), lambda x: (tg.layer_norm(w, x, x) * w).sum()):
            assert not tg.vmap(f)(X).requires_grad
            assert not tg.vmap(tg.grad(f))(X).requires_grad
    fixed = tg.Tensor(W.numpy())
    assert not tg.vmap(tg.grad(lambda x: (tg.layer_norm(x, x, fixed) * x).sum()))(X).requires_grad


def test_debug_mode():
    f = SCALARS["fused"]
    with tg.debug():
        assert_as_in_a_loop(lambda over: PROGRAMS["grad vmap grad"](f, over))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_autocast(dtype):
    x, w = X.astype(np.float32), tg.Tensor(RNG.standard_normal((4, 4)), dtype=np.float32)
    f = lambda x: (tg.softmax(x @ w @ w) * tg.layer_norm(x @ w)).sum()  # noqa: E731
    with tg.autocast(dtype):
        assert_as_in_a_loop(lambda over: over(tg.grad(f))(x), 1e-6)
        assert_as_in_a_loop(lambda over: tg.grad(lambda x: over(f)(x).sum())(x), 1e-6)


def test_custom_gradients_refuse_what_is_no_argument():
    w = tg.Tensor(W.numpy(), requires_grad=True)
    f = tg.custom_gradient(lambda x: (x * w, lambda g: g))
    with pytest.raises(tg.GraphError, match="is no argument"):
        tg.vmap(lambda x: f(x * w).sum())(X)


def test_nothing_is_kept():
    """Without any work for the cycle collector: its graphs have none."""

    def run():
        f = tg.vmap(tg.grad(SCALARS["custom of two"]))
        tg.grad(lambda x: total(f(x)))(X)

    run()
    gc.collect()
    gc.disable()
    try:
        before = len([x for x in gc.get_objects() if type(x) is tg.Tensor])
        run()
        after = len([x for x in gc.get_objects() if type(x) is tg.Tensor])
    finally:
        gc.enable()
    assert after == before
