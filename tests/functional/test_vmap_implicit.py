"""Solutions of equations inside vmap: those of each example, with derivatives of all orders."""

import numpy as np
import pytest

import tinygrad_like as tg

RNG = np.random.default_rng(0)
X = tg.Tensor(RNG.standard_normal((3, 4)))
W = tg.Tensor(RNG.standard_normal(4))
B = tg.Tensor(RNG.standard_normal((4, 4)) * 0.2)
ZERO = tg.zeros(4, dtype=np.float64)


def fixed_point(step, start, *args, **options):
    return tg.implicit.fixed_point(step, start, *args, tolerance=1e-13, **options)


def of_a_tree(x):
    def step(z, x):
        return {"a": tg.cos(z["b"] * 0.3 + x), "b": tg.sin(z["a"] * 0.3)}

    z = fixed_point(step, {"a": ZERO, "b": ZERO}, x)
    return z["a"] * z["b"]


SOLUTIONS = {
    "fixed point": lambda x: fixed_point(lambda z, x: tg.tanh(B @ z + x), ZERO, x),
    "iterated": lambda x: fixed_point(lambda z, x: tg.tanh(B @ z + x), ZERO, x, solver="iterate"),
    "by what it closes over": lambda x: fixed_point(
        lambda z: tg.tanh((B * tg.clip(x[0], -0.5, 0.5)) @ z + x * W), ZERO
    ),
    "tree": of_a_tree,
    "argmin": lambda x: tg.implicit.argmin(
        lambda z, x: ((z - x) ** 2).sum() + tg.cosh(B @ z).sum(), ZERO, x, tolerance=1e-13
    ),
    "own solver": lambda x: tg.implicit.argmin(
        lambda z, x: ((z - x * 2) ** 2).sum() * (1 + (x * x).sum()),
        ZERO,
        x,
        solver=lambda objective, start, x: x * 2,
    ),
}


def loop(f):
    return lambda x: tg.stack([f(row) for row in x])


def total(y):
    return (y**2 * np.cos(np.arange(y.size)).reshape(y.shape)).sum()


PROGRAMS = {
    "vmap": lambda f, over: over(f)(X),
    "vmap grad": lambda f, over: over(tg.grad(lambda x: total(f(x))))(X),
    "vmap jacobian": lambda f, over: over(tg.jacobian(f))(X),
    "vmap hessian": lambda f, over: over(tg.hessian(lambda x: total(f(x))))(X),
    "grad vmap": lambda f, over: tg.grad(lambda x: total(over(f)(x)))(X),
    "jvp vmap": lambda f, over: tg.jvp(over(f), (X,), (X,))[1],
    "grad vmap grad": lambda f, over: tg.grad(
        lambda x: total(over(tg.grad(lambda x: total(f(x))))(x))
    )(X),
    "vmap vmap": lambda f, over: over(lambda x: over(lambda y: f(x * y))(X))(X),
    "grad vmap vmap": lambda f, over: tg.grad(
        lambda x: total(over(lambda x: over(lambda y: f(x * y))(X))(x))
    )(X),
    "grad vmap grad vmap": lambda f, over: tg.grad(
        lambda x: total(over(tg.grad(lambda x: total(over(lambda y: f(x * y))(X))))(x))
    )(X),
}


@pytest.mark.parametrize("name", SOLUTIONS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_solutions_and_derivatives_are_those_of_the_loop(program, name):
    found, expected = (PROGRAMS[program](SOLUTIONS[name], over) for over in (tg.vmap, loop))
    size = max(np.abs(expected.numpy()).max(), 1)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-8, atol=1e-9 * size)


def test_examples_that_do_not_converge():
    with pytest.raises(tg.implicit.ConvergenceError, match="was not reached"):
        tg.vmap(lambda x: fixed_point(lambda z: tg.cos(z + x) * 0.9, ZERO, max_steps=2))(X)
