"""The way back from max pooling: each maximum at its place, zeros elsewhere."""

import math

from tinygrad_like.engine import backend_of, composed
from tinygrad_like.ops.arrays.shape import reshape
from tinygrad_like.ops.indexing import window
from tinygrad_like.ops.reductions.scatter import scatter


def _unpooled_shape(name, shape, size, stride, padding, output_size):
    """The lengths (H, W) of the images whose maxima have this shape."""
    axes = len(shape)
    size = window.lengths(name, "size", size, axes, 1)
    stride = size if stride is None else window.lengths(name, "stride", stride, axes, 1)
    ends = window.edges_along(name, padding, axes)
    if ends == "same":
        raise ValueError(f"[{name}] padding is 'same', expected the integers that it stood for")
    found = tuple(
        (n - 1) * s + k - before - after
        for n, k, s, (before, after) in zip(shape, size, stride, ends, strict=True)
    )
    if output_size is None:
        return found
    wanted = window.lengths(name, "output_size", output_size, axes, 0)
    if any(abs(n - m) >= s for n, m, s in zip(wanted, found, stride, strict=True)):
        raise ValueError(
            f"[{name}] output_size is {output_size}, which pooling does not turn into {shape}; "
            f"expected {found}, or less than a stride {stride} away from it"
        )
    return wanted


def _unpooled(name, axes, x, indices, size, stride, padding, output_size):
    count = len(axes)
    if x.ndim not in (count + 1, count + 2):
        shape = ", ".join(("N", "C", *axes))
        raise ValueError(f"[{name}] x is {x.shape}, expected ({shape}) or without N")
    if indices.shape != x.shape:
        raise ValueError(f"[{name}] indices are {indices.shape}, expected {x.shape}, as x is")
    lead, inner = x.shape[:-count], x.shape[-count:]
    shape = _unpooled_shape(name, inner, size, stride, padding, output_size)
    rows = (*lead, math.prod(inner))
    zeros = backend_of(x).xp.zeros((*lead, math.prod(shape)), x.dtype)
    y = scatter(zeros, reshape(indices, rows), reshape(x, rows), axis=-1)
    return reshape(y, (*lead, *shape))


@composed
def max_unpool1d(x, indices, size, *, stride=None, padding=0, output_size=None):
    """Sequences (N, C, L), or one, with the maxima that `max_pool1d` found; see `max_unpool2d`."""
    return _unpooled("max_unpool1d", "L", x, indices, size, stride, padding, output_size)


@composed
def max_unpool2d(x, indices, size, *, stride=None, padding=0, output_size=None):
    """Images (N, C, H, W), or one (C, H, W), with the maxima `x` at their places, else zeros.

    Args:
        x, indices: what `max_pool2d` gave with `return_indices=True`, or Tensors like these.
        size, stride, padding: those of that pooling.
        output_size: (H, W), where the stride left a rest; None: the smallest images that fit.

    A place that is named twice, as where windows overlap, has the last of the values, to which its
    gradient goes. Raises ValueError for shapes that do not fit, IndexError for places outside.

    >>> import tinygrad_like as tg
    >>> y, places = tg.max_pool2d(tg.Tensor([[[1.0, 4.0], [3.0, 2.0]]]), 2, return_indices=True)
    >>> tg.max_unpool2d(y, places, 2).numpy()
    array([[[0., 4.],
            [0., 0.]]], dtype=float32)
    """
    return _unpooled("max_unpool2d", "HW", x, indices, size, stride, padding, output_size)


@composed
def max_unpool3d(x, indices, size, *, stride=None, padding=0, output_size=None):
    """Volumes (N, C, D, H, W), or one, of the maxima of `max_pool3d`; see `max_unpool2d`."""
    return _unpooled("max_unpool3d", "DHW", x, indices, size, stride, padding, output_size)
