"""Lengths of vectors that stand together: distances between all of them, and a bound on each.

Distances are norms of differences. |a|^2 + |b|^2 - 2 ab, a product of matrices, is faster, and
loses half of the digits where vectors are close: the kernel takes it for the others only.
"""

import math

import numpy as np

from tinygrad_like.engine import (
    astype,
    broadcast_to,
    check_number,
    composed,
    in_single,
    op,
)
from tinygrad_like.ops.arrays.shape import expand_dims, normal_axis, reshape
from tinygrad_like.ops.elements.compare import greater
from tinygrad_like.ops.elements.elementwise import abs, where
from tinygrad_like.ops.indexing.index import take
from tinygrad_like.ops.reductions.reduce import norm


def _check_vectors(name, what, x):
    if x.ndim < 2:
        raise ValueError(f"[{name}] {what} is {x.shape}, expected vectors in rows, (..., n, d)")


def _length_of_difference(name, a, b, p):
    """The norm of a - b along the last axis; of integers float32, found in float64."""
    p = check_number(name, "p", p, 0, math.inf)
    integers = a.dtype.kind in "biu" and b.dtype.kind in "biu"
    if integers:
        a, b = astype(a, dtype=np.float64), astype(b, dtype=np.float64)
    lengths = norm(a - b, p, -1)
    return astype(lengths, dtype=np.float32) if integers else lengths


def _by_norms(a, b, *, p):
    return norm(expand_dims(a, -2) - expand_dims(b, -3), p, -1)


def _distances_of_all(call, arrays, attributes):
    return call.unfolded(call(*map(call.folded, arrays), **attributes))


def _distances_backward_of_all(call, g, be, a, b, out, p):
    folded = (call.raw_folded(x) for x in (a, b, out))
    found = call.op.backward(call.raw_folded(g), call.raw(be), *folded, p)
    return call.gradients([call.unfolded(d) for d in found])


@op(
    autocast=in_single,
    batch=_distances_of_all,
    batch_backward=_distances_backward_of_all,
    composite=_by_norms,
    backward=lambda g, be, a, b, out, p: be.k.distances_backward(g, a, b, out, p),
)
def _distances(be, a, b, *, p):
    """The distance of each vector of a (N, n, d) to each one of b (N, m, d): (N, n, m)."""
    return be.k.distances(a, b, p)


@composed
def cdist(a, b, p=2.0):
    """The distance of each vector of `a` (..., n, d) to each one of `b` (..., m, d): (..., n, m).

    Args:
        p: the order of the norm, at least 0: 0 counts the elements that differ, inf takes the
            largest difference.

    Leading axes are a batch, and broadcast. The gradient of a distance of 0 is 0, and distances of
    close vectors have all their digits.

    >>> import tinygrad_like as tg
    >>> tg.cdist(tg.Tensor([[0.0, 0.0]]), tg.Tensor([[3.0, 4.0], [0.0, 1.0]])).tolist()
    [[5.0, 1.0]]
    """
    _check_vectors("cdist", "a", a)
    _check_vectors("cdist", "b", b)
    if a.shape[-1] != b.shape[-1]:
        raise ValueError(f"[cdist] a is {a.shape}, b is {b.shape}, expected vectors of one length")
    if a.dtype != b.dtype or a.dtype.kind != "f":
        return _length_of_difference("cdist", expand_dims(a, -2), expand_dims(b, -3), p)
    p = check_number("cdist", "p", p, 0, math.inf)
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (_stacked(x, batch) for x in (a, b))
    return reshape(_distances(a, b, p=p), (*batch, a.shape[1], b.shape[1]))


def _stacked(x, batch):
    """Vectors (..., n, d) for each of a batch, as (N, n, d)."""
    vectors = x.shape[-2:]
    return reshape(broadcast_to(x, shape=(*batch, *vectors)), (math.prod(batch), *vectors))


@composed
def pdist(x, p=2.0):
    """The distances of the vectors of `x` (..., n, d) to one another, each pair once.

    Returns:
        (..., n (n - 1) / 2): of 0 to 1, 0 to 2, and so on to n - 1, then of 1 to 2, ..., as
        `scipy.spatial.distance.pdist` has them. `p` is that of `cdist`.

    >>> import tinygrad_like as tg
    >>> tg.pdist(tg.Tensor([[0.0], [1.0], [3.0]])).tolist()
    [1.0, 3.0, 2.0]
    """
    _check_vectors("pdist", "x", x)
    first, second = np.triu_indices(x.shape[-2], 1)
    a, b = take(x, first, axis=-2), take(x, second, axis=-2)
    return _length_of_difference("pdist", a, b, p)


@composed
def renorm(x, p, axis, max_norm):
    """`x` with each slice along an axis scaled down to the norm `max_norm`, if it has a larger one.

    Args:
        p: the order of the norm, a positive number or inf.
        axis: slice i is that of all elements with the index i along this axis.

    >>> import tinygrad_like as tg
    >>> tg.renorm(tg.Tensor([[3.0, 4.0], [0.3, 0.4]]), 2, 0, 1.0).numpy()
    array([[0.6, 0.8],
           [0.3, 0.4]], dtype=float32)
    """
    p = check_number("renorm", "p", p, np.finfo(np.float64).tiny, math.inf)
    max_norm = check_number("renorm", "max_norm", max_norm, 0)
    axis = normal_axis("renorm", axis, x.ndim)
    others = tuple(a for a in range(x.ndim) if a != axis)
    lengths = norm(x, p, others, True) if others else abs(x)
    long = greater(lengths, max_norm)
    return where(long, x / where(long, lengths, 1) * max_norm, x)
