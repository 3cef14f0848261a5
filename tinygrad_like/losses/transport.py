"""Losses of how far probability has to move: Wasserstein's distance and Sinkhorn's."""

import math

from tinygrad_like.engine import all_examples, broadcast_to, check_integer, check_number
from tinygrad_like.losses.checks import (
    as_array_or_tensor,
    check_floating,
    in_dtype,
    raw,
    reduced,
)
from tinygrad_like.ops.arrays.create import full_like
from tinygrad_like.ops.arrays.shape import concatenate, expand_dims
from tinygrad_like.ops.elements.compare import equal
from tinygrad_like.ops.elements.elementwise import abs, exp, log, where
from tinygrad_like.ops.indexing.index import argsort, take_along_axis
from tinygrad_like.ops.neural.softmax import logsumexp
from tinygrad_like.ops.reductions.reduce import cumsum, sum


def wasserstein(u, v, *, u_weights=None, v_weights=None, reduction="mean"):
    """The earth mover's distance of samples on a line: the area between their cumulative sums.

    Args:
        u, v: (..., n) and (..., m) values, in any order.
        u_weights, v_weights: the weights of the values, of the same shapes, at least 0, divided
            by their sums; by default all are alike. Histograms are the weights of bins at u = v.
        reduction: "mean" (over the leading axes), "sum" or "none".

    The gradient goes to values and weights. Of equal values those of u count as the smaller.

    Raises ValueError for shapes that do not fit, for negative weights and for weights without a
    positive one.

    >>> float(wasserstein(Tensor([0.0, 1.0, 3.0]), Tensor([5.0, 6.0, 8.0])))
    5.0
    """
    name = "wasserstein"
    check_floating(name, "u", u)
    v = in_dtype(as_array_or_tensor(v, u), u.dtype)
    if not u.ndim or u.ndim != v.ndim or u.shape[:-1] != v.shape[:-1]:
        raise ValueError(f"[{name}] u is {u.shape}, v is {v.shape}, expected (..., n) and (..., m)")
    if 0 in (u.shape[-1], v.shape[-1]):
        raise ValueError(f"[{name}] u is {u.shape}, v is {v.shape}, expected at least one value")
    shares = _shares(name, "u", u, u_weights), -_shares(name, "v", v, v_weights)
    values, shares = concatenate([u, v], axis=-1), concatenate(shares, axis=-1)
    order = argsort(raw(values), axis=-1)
    values, shares = take_along_axis(values, order, -1), take_along_axis(shares, order, -1)
    gaps = values[..., 1:] - values[..., :-1]
    losses = sum(abs(cumsum(shares, axis=-1)[..., :-1]) * gaps, axis=-1)
    return reduced(name, losses, reduction)


def _shares(name, what, values, weights):
    """Weights that add up to 1, of the shape of the values."""
    if weights is None:
        return full_like(values, 1 / values.shape[-1])
    weights = in_dtype(as_array_or_tensor(weights, values), values.dtype)
    if weights.shape != values.shape:
        raise ValueError(
            f"[{name}] {what} is {values.shape}, {what}_weights are {weights.shape}, expected one "
            "shape"
        )
    array = all_examples(raw(weights))
    if array.size and (array.min() < 0 or not array.max(axis=-1).all()):
        raise ValueError(
            f"[{name}] {what}_weights are negative somewhere or 0 everywhere, expected at least 0"
        )
    return weights / sum(weights, axis=-1, keepdims=True)


def sinkhorn(cost, a=None, b=None, *, epsilon=0.1, iterations=100, reduction="mean"):
    """sum(P cost) of the plan P between a and b that Sinkhorn's iteration finds.

    P minimises sum(P cost) - epsilon entropy(P) among the matrices with row sums a and column
    sums b; the smaller epsilon, the nearer to the cheapest plan, and the more iterations it takes.
    The iteration is in logarithms, and the gradient that of its steps.

    Args:
        cost: (..., n, m), of moving a unit from each place of a to each of b.
        a, b: (..., n) and (..., m) weights, at least 0, divided by their sums; by default all are
            alike.
        reduction: "mean" (over the leading axes), "sum" or "none".

    Source: Cuturi 2013, "Sinkhorn Distances". Raises ValueError for shapes that do not fit.

    >>> cost = Tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> round(float(sinkhorn(cost, [0.5, 0.5], [0.25, 0.75], epsilon=0.05)), 4)
    0.25
    """
    name = "sinkhorn"
    epsilon = check_number(name, "epsilon", epsilon, math.ulp(0), expected="a positive number")
    iterations = check_integer(name, "iterations", iterations, least=1)
    check_floating(name, "cost", cost)
    if cost.ndim < 2 or not cost.size:
        raise ValueError(f"[{name}] cost is {cost.shape}, expected (..., n, m)")
    log_a = _log_shares(name, "a", sum(cost, axis=-1), a)
    log_b = _log_shares(name, "b", sum(cost, axis=-2), b)
    kernel = cost / -epsilon
    g = 0 * log_b
    for _ in range(iterations):
        f = log_a - logsumexp(kernel + expand_dims(g, -2), axis=-1)
        g = log_b - logsumexp(kernel + expand_dims(f, -1), axis=-2)
    plan = exp(kernel + expand_dims(f, -1) + expand_dims(g, -2))
    return reduced(name, sum(plan * cost, axis=(-2, -1)), reduction)


def _log_shares(name, what, like, weights):
    """The logarithms of weights that add up to 1, of the shape and dtype of `like`."""
    weights = None if weights is None else as_array_or_tensor(weights, like)
    if weights is not None and weights.ndim == 1:
        weights = broadcast_to(weights, like.shape)
    shares = _shares(name, what, like, weights)
    empty = equal(shares, 0)
    return where(empty, -math.inf, log(where(empty, 1, shares)))
