"""Products of rows with matrices of their own choice: the layers of a mixture of experts.

Rows that follow each other and have chosen the same expert are multiplied at once: sort the rows
by their experts. Each of the two ops is a gradient of the other.
"""

import itertools

import numpy as np

from tinygrad_like.engine import Tensor, backend_of, composed, in_half, op
from tinygrad_like.ops.arrays.shape import reshape
from tinygrad_like.ops.indexing.index import check_labels, raw_integers


def _runs(be, experts):
    """(expert, the slice of the rows) for all rows in a row that have the same expert."""
    experts = be.to_host(experts)
    changes = np.flatnonzero(experts[1:] != experts[:-1]) + 1
    bounds = [0, *changes.tolist(), experts.size]
    for start, end in itertools.pairwise(bounds):
        if end > start:
            yield int(experts[start]), slice(start, end)


def _of_each(call, experts, count):
    """The experts of all examples' rows, where each example has `count` experts of its own."""
    starts = backend_of(experts.inner).xp.arange(call.size) * count
    return reshape(experts.full() + starts.reshape(-1, 1), (-1,))


def _multiply_all(call, arrays, attributes):
    x, weight, experts = arrays
    if not weight.mapped:
        return call.unfolded(call(call.folded(x), weight.inner, call.folded(experts)))
    rows = _of_each(call, experts, weight.shape[0])
    return call.unfolded(call(call.folded(x), call.folded(weight), rows))


@op(
    autocast=in_half,
    batch=_multiply_all,
    x=lambda g, weight, experts: _expert_matmul(g, weight.swapaxes(1, 2), experts),
    weight=lambda g, x, weight_shape, experts: _expert_outer(x, g, experts, count=weight_shape[0]),
)
def _expert_matmul(be, x, weight, experts):
    y = be.xp.empty((x.shape[0], weight.shape[2]), np.result_type(x.dtype, weight.dtype))
    for expert, rows in _runs(be, experts):
        y[rows] = be.k.matmul(x[rows], weight[expert])
    return y


def _outer_all(call, arrays, attributes):
    x, g, experts = arrays
    count = attributes["count"]
    rows = _of_each(call, experts, count)
    sums = call(call.folded(x), call.folded(g), rows, count=count * call.size)
    return call.unfolded(sums)


@op(
    batch=_outer_all,
    x=lambda h, g, experts: _expert_matmul(g, h.swapaxes(1, 2), experts),
    g=lambda h, x, experts: _expert_matmul(x, h, experts),
)
def _expert_outer(be, x, g, experts, *, count):
    """For each expert the sum of x_i^T g_i over its rows: (count, n, m)."""
    dtype = np.result_type(x.dtype, g.dtype)
    sums = be.xp.zeros((count, x.shape[1], g.shape[1]), dtype)
    for expert, rows in _runs(be, experts):
        sums[expert] += be.k.matmul(x[rows].T, g[rows])
    return sums


@composed
def expert_matmul(x, weight, experts):
    """y_i = x_i weight[experts_i]: the product of each row with a matrix of its choice.

    Args:
        x: (rows, n). weight: (E, n, m), a matrix for each expert.
        experts: (rows,), integers from 0 to E - 1. Rows in a row that have the same expert are one
            product: sort them first.

    Returns:
        (rows, m).

    >>> import tinygrad_like as tg
    >>> weight = tg.Tensor([[[1.0]], [[10.0]]])
    >>> tg.expert_matmul(tg.ones((3, 1)), weight, tg.Tensor([0, 1, 1])).numpy().ravel()
    array([ 1., 10., 10.], dtype=float32)
    """
    if not isinstance(experts, Tensor):
        raw = raw_integers("expert_matmul", "experts", experts, backend_of(x))
        experts = raw.copy() if raw is experts else raw  # a gradient reads it
    fit = x.ndim == 2 and weight.ndim == 3 and experts.shape == x.shape[:1]
    if not fit or x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"[expert_matmul] x is {x.shape}, weight is {weight.shape}, experts are "
            f"{experts.shape}, expected (rows, n), (E, n, m) and (rows,)"
        )
    if experts.dtype.kind not in "iu":
        raise TypeError(f"[expert_matmul] experts have dtype {experts.dtype}, expected integers")
    check_labels("expert_matmul", "experts", experts, weight.shape[0])
    return _expert_matmul(x, weight, experts)
