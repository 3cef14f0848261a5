"""Derivatives of functions of every kind against JAX, an oracle with forward mode of its own."""

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg

jax = imported("jax")
jax.config.update("jax_enable_x64", True)

RNG = np.random.default_rng(0)
A = RNG.standard_normal((5, 5))
B = A @ A.T + 5 * np.eye(5)
X = RNG.uniform(0.3, 1.2, 5)

# name: the same scalar function of a vector (5,), in our words and in JAX's.
FUNCTIONS = {
    "network": (
        lambda x: tg.logsumexp(tg.tanh(A @ x)) + tg.gelu(x @ A).sum(),
        lambda np, nn, x: nn.logsumexp(np.tanh(A @ x)) + nn.gelu(x @ A, approximate=False).sum(),
    ),
    "softmax": (
        lambda x: (tg.log_softmax(tg.outer(x, x)) * A).sum() + (tg.softmax(x) ** 2).sum(),
        lambda np, nn, x: (nn.log_softmax(np.outer(x, x)) * A).sum() + (nn.softmax(x) ** 2).sum(),
    ),
    "linear algebra": (
        lambda x: (
            tg.slogdet(B + tg.outer(x, x))[1]
            + tg.solve(B + tg.outer(x, x), tg.expand_dims(x, 1)).sum()
            + tg.cholesky(B + tg.outer(x, x)).sum()
        ),
        lambda np, nn, x: (
            np.linalg.slogdet(B + np.outer(x, x))[1]
            + np.linalg.solve(B + np.outer(x, x), x[:, None]).sum()
            + np.linalg.cholesky(B + np.outer(x, x)).sum()
        ),
    ),
    "products": (
        lambda x: tg.prod(x) + tg.cumsum(x**3).prod() + tg.einsum("i,ij,j,k->", x, A, x, x),
        lambda np, nn, x: np.prod(x) + np.cumsum(x**3).prod() + np.einsum("i,ij,j,k->", x, A, x, x),
    ),
    "elementary": (
        lambda x: (tg.erf(x) * tg.log1p(x) + tg.arctan(x) ** 1.5 + tg.sinh(x) / tg.cosh(x)).sum(),
        lambda np, nn, x: (
            jax.scipy.special.erf(x) * np.log1p(x) + np.arctan(x) ** 1.5 + np.sinh(x) / np.cosh(x)
        ).sum(),
    ),
    "indexing": (
        lambda x: (tg.sort(x)[::2] * x[[0, 0, 3]]).sum() + tg.take(x, [4, 4], 0).prod(),
        lambda np, nn, x: (
            (np.sort(x)[::2] * x[np.array([0, 0, 3])]).sum() + np.take(x, np.array([4, 4])).prod()
        ),
    ),
    "normalised": (
        lambda x: (tg.layer_norm(tg.outer(x, x)) * A).sum() + tg.std(x) + tg.norm(x - 2.0),
        lambda np, nn, x: (
            (nn.standardize(np.outer(x, x), epsilon=1e-5) * A).sum()
            + np.std(x)
            + np.linalg.norm(x - 2.0)
        ),
    ),
}


@pytest.fixture(params=FUNCTIONS, ids=lambda name: name.replace(" ", "_"))
def pair(request):
    ours, theirs = FUNCTIONS[request.param]
    return ours, lambda x: theirs(jax.numpy, _Namespace, x)


class _Namespace:
    """jax.nn, and logsumexp from where JAX keeps it."""

    gelu, softmax, log_softmax = jax.nn.gelu, jax.nn.softmax, jax.nn.log_softmax
    standardize, logsumexp = jax.nn.standardize, jax.scipy.special.logsumexp


def agree(ours, theirs):
    theirs = np.asarray(theirs)
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-8, atol=1e-10 * max(scale, 1e-6))


def test_value_and_gradient(pair):
    ours, theirs = pair
    value, gradient = tg.value_and_grad(ours)(X)
    agree(value, theirs(X))
    agree(gradient, jax.grad(theirs)(X))


def test_hessian(pair):
    ours, theirs = pair
    agree(tg.hessian(ours)(X), jax.hessian(theirs)(X))


@pytest.mark.parametrize("name", ["network", "products"])
def test_third_derivative_along_a_direction(name):
    ours, theirs = FUNCTIONS[name]
    v = RNG.standard_normal(5)
    along = tg.grad(lambda x: (tg.hvp(ours, x, v) * v).sum())(X)
    f = lambda t: theirs(jax.numpy, _Namespace, X + t * v)  # noqa: E731
    third = jax.grad(jax.grad(jax.grad(f)))(0.0)
    assert along @ v == pytest.approx(float(third), rel=1e-8)


def test_jacobian():
    agree(
        tg.jacobian(lambda x: tg.softmax(A @ x) * tg.sin(x))(X),
        jax.jacfwd(lambda x: jax.nn.softmax(A @ x) * jax.numpy.sin(x))(X),
    )
