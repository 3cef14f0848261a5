"""What research writes with these derivatives: programs of ten lines, against dense matrices."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.functional.trees import flatten, map_tree

RNG = np.random.default_rng(0)
X = RNG.standard_normal(5)
MODEL = nn.Sequential(nn.Dense(4, 5), nn.Tanh(), nn.Dense(5, 3)).to("float64")
INPUTS, LABELS = tg.Tensor(RNG.standard_normal((6, 4))), tg.Tensor(RNG.integers(0, 3, 6))


def energy(x):
    return (tg.sin(x) * tg.flip(x) ** 2).sum() + tg.exp(-(x * x).sum())


def laplacian(f, x):
    """The sum of the second derivatives of a scalar function, exact: a walk for each axis."""
    _, push = tg.linearize(tg.grad(f), x)
    return sum(push(e)[i] for i, e in enumerate(np.eye(x.size)))


def trace_of_hessian(f, x, rng, samples):
    """An estimate of the same: the mean of v H v over random signs v.

    Source: Hutchinson 1990, "A stochastic estimator of the trace of the influence matrix".
    """
    _, push = tg.linearize(tg.grad(f), x)
    signs = rng.choice([-1.0, 1.0], (samples, x.size))
    return sum(((push(v) * v).sum() for v in signs), start=tg.zeros(())) / samples


def test_the_laplacian_is_the_trace_of_the_hessian():
    exact = np.trace(tg.hessian(energy)(X))
    assert laplacian(energy, X).item() == pytest.approx(exact, rel=1e-12)
    estimate = trace_of_hessian(energy, X, np.random.default_rng(1), 2000).item()
    spread = tg.hessian(energy)(X)
    spread = np.sqrt(2 * (np.sum(spread**2) - np.sum(np.diag(spread) ** 2)) / 2000)
    assert abs(estimate - exact) < 4 * spread  # four standard deviations


def test_the_laplacian_can_be_differentiated():
    third = tg.grad(lambda x: laplacian(energy, x))(X)
    along = tg.jacobian(tg.hessian(energy))(X)
    np.testing.assert_allclose(third, np.einsum("iij->j", along), rtol=1e-9, atol=1e-10)


def logits_of(parameters):
    return tg.functional_call(MODEL, parameters, INPUTS)


def cross_entropy(logits):
    return tg.losses.cross_entropy(logits, LABELS)


def gauss_newton_product(f, loss, parameters, v):
    """J^T H J v, where J is the Jacobian of f, and H the Hessian of the loss by f's output.

    Source: Schraudolph 2002, "Fast Curvature Matrix-Vector Products".
    """
    output, along = tg.jvp(f, (parameters,), (v,))
    curved = tg.hvp(loss, output, along)
    return tg.vjp(f, parameters)[1](curved)[0]


def fisher_product(f, parameters, v):
    """The Fisher matrix of softmax(f) times v: J^T (diag(p) - p p^T) J v, a mean over the rows.

    Source: Martens 2020, "New Insights and Perspectives on the Natural Gradient Method".
    """
    logits, along = tg.jvp(f, (parameters,), (v,))
    p = tg.softmax(logits, axis=-1)
    weighted = p * (along - (p * along).sum(axis=-1, keepdims=True)) / len(p)
    return tg.vjp(f, parameters)[1](weighted)[0]


def dense(product, parameters):
    """The matrix of a product, and the Jacobian of the logits, by a flat vector of parameters."""
    leaves, build = flatten(parameters)
    ends = np.cumsum([x.size for x in leaves])

    def split(vector):
        parts = np.split(vector, ends[:-1])
        return build([part.reshape(x.shape) for part, x in zip(parts, leaves, strict=True)])

    def join(tree):
        return np.concatenate([np.asarray(x).reshape(-1) for x in flatten(tree)[0]])

    columns = [join(map_tree(lambda x: x.numpy(), product(split(e)))) for e in np.eye(ends[-1])]
    rows = flatten(tg.jacobian(logits_of)(parameters))[0]
    flat = np.concatenate([np.asarray(row).reshape(18, -1) for row in rows], axis=1)
    return np.stack(columns, 1), flat


def test_gauss_newton_and_fisher_products_are_those_of_the_dense_matrices():
    parameters = tg.stop_gradient(dict(MODEL.named_parameters()))
    logits = logits_of(parameters).detach()
    matrix, j = dense(
        lambda v: gauss_newton_product(logits_of, cross_entropy, parameters, v), parameters
    )
    h = tg.hessian(cross_entropy)(logits.numpy()).reshape(18, 18)
    np.testing.assert_allclose(matrix, j.T @ h @ j, rtol=1e-9, atol=1e-12)
    fisher, _ = dense(lambda v: fisher_product(logits_of, parameters, v), parameters)
    # For the cross entropy of a softmax they are the same matrix.
    np.testing.assert_allclose(fisher, matrix, rtol=1e-9, atol=1e-12)
