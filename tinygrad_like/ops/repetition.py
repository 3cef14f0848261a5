"""Elements and whole tensors repeated; the gradient of each is the sum over its copies."""

import numpy as np

from tinygrad_like.backend import is_half
from tinygrad_like.engine import Tensor, astype, composed, errors, op
from tinygrad_like.ops.index import take
from tinygrad_like.ops.reduce import sum as sum_over
from tinygrad_like.ops.shape import integers, normal_axis, reshape, unbind

FEW = 16  # copies that are added slice by slice: a sum over so short an axis takes far longer


def _sum_copies(g, axes):
    """`g` summed over some axes, the last one first: pairwise, half types in float32."""
    if is_half(g.dtype):
        return astype(_sum_copies(astype(g, dtype=np.float32), axes), dtype=g.dtype)
    for axis in axes:
        if not 0 < g.shape[axis] <= FEW:
            g = sum_over(g, axis)
            continue
        parts = unbind(g, axis)
        while len(parts) > 1:
            pairs = [a + b for a, b in zip(parts[::2], parts[1::2], strict=False)]
            parts = pairs + list(parts[len(pairs) * 2 :])
        g = parts[0]
    return g


def _unrepeat(g, x_shape, count, axis):
    return _sum_copies(reshape(g, (*x_shape[: axis + 1], count, *x_shape[axis + 1 :])), [axis + 1])


@op(x=_unrepeat)
def _repeat(be, x, *, count, axis):
    return be.xp.repeat(x, count, axis)


@composed
def repeat(x, repeats, axis=None):
    """Each element (or slice along an axis) repeated, `repeats` times or so many times each."""
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
    return reshape(_sum_copies(copies, range(2 * len(reps) - 2, -1, -2)), x_shape)


@op(x=_untile)
def _tile(be, x, *, reps):
    return be.xp.tile(x, reps)


@composed
def tile(x, reps):
    """`x` repeated as a whole `reps` times along each axis."""
    reps = integers("tile", "reps", reps)
    if any(r < 0 for r in reps):
        raise ValueError(f"[tile] reps is {reps}, expected no negative ones")
    return _tile(x, reps=(1,) * (x.ndim - len(reps)) + reps)
