"""Elements and whole tensors repeated; the gradient of each is the sum over its copies."""

import numpy as np

from tinygrad_like.backend import narrow, wide
from tinygrad_like.engine import Tensor, broadcast_to, composed, errors, op
from tinygrad_like.ops.arrays.shape import along_axes, integers, normal_axis, reshape
from tinygrad_like.ops.indexing.index import take


def _spread_over_copies(g, x_shape, axes):
    kept = tuple(1 if axis in axes else n for axis, n in enumerate(x_shape))
    return broadcast_to(reshape(g, kept), shape=x_shape)


@op(complex=True, batch=along_axes, x=_spread_over_copies)
def _sum_copies(be, x, *, axes):
    """The sum over axes along which there are copies."""
    return narrow(be.k.sum_copies(wide(x), axes), x.dtype)


def _unrepeat(g, x_shape, count, axis):
    copies = reshape(g, (*x_shape[: axis + 1], count, *x_shape[axis + 1 :]))
    return _sum_copies(copies, axes=(axis + 1,))


@op(complex=True, batch=along_axes, x=_unrepeat)
def _repeat(be, x, *, count, axis):
    return be.xp.repeat(x, count, axis)


@composed
def repeat(x, repeats, axis=None):
    """Each element (or slice along an axis) repeated, all equally often or each its own number."""
    if axis is None:
        x, axis = reshape(x, -1), 0
    axis = normal_axis("repeat", axis, x.ndim)
    n = x.shape[axis]
    errors.refuse_masked("repeat", "repeats", repeats)
    counts = np.asarray(repeats.numpy() if isinstance(repeats, Tensor) else repeats)
    if counts.shape == (0,) and isinstance(repeats, (list, tuple)):
        counts = counts.astype(int)  # [] is no list of floats
    if counts.dtype.kind not in "iu" or counts.shape not in ((), (1,), (n,)) or (counts < 0).any():
        raise ValueError(
            f"[repeat] repeats is {repeats!r}, expected a non-negative integer, or {n} of them"
        )
    if counts.size == 1:
        return _repeat(x, count=int(counts.reshape(())), axis=axis)
    return take(x, np.repeat(np.arange(n), counts), axis)


def _untile(g, x_shape, reps):
    lengths = (1,) * (len(reps) - len(x_shape)) + tuple(x_shape)
    copies = reshape(g, tuple(n for pair in zip(reps, lengths, strict=True) for n in pair))
    return reshape(_sum_copies(copies, axes=tuple(range(0, 2 * len(reps), 2))), x_shape)


def _tile_all(call, arrays, attributes):
    (x,), reps = arrays, attributes["reps"]
    return call(x.aligned(len(reps)), reps=(1, *reps))


@op(complex=True, batch=_tile_all, x=_untile)
def _tile(be, x, *, reps):
    return be.xp.tile(x, reps)


@composed
def tile(x, reps):
    """`x` repeated as a whole `reps` times along each axis."""
    reps = integers("tile", "reps", reps)
    if any(r < 0 for r in reps):
        raise ValueError(f"[tile] reps is {reps}, expected no negative ones")
    return _tile(x, reps=(1,) * (x.ndim - len(reps)) + reps)
