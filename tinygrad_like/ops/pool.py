"""Pooling over images (N, C, H, W)."""

import numpy as np

from tinygrad_like.engine import astype, backend_of, check_flag, composed, op
from tinygrad_like.ops import window
from tinygrad_like.ops.elementwise import multiply


def _pool_all(call, arrays, attributes):
    """The rule by which vmap pools all examples: they are so many more images."""
    s = attributes["geometry"]
    attributes = {**attributes, "geometry": s._replace(images=call.size * s.images)}
    if "index" in attributes:
        attributes["index"] = call.folded(attributes["index"])
    y = call(*map(call.folded, arrays), **attributes)
    if call.extra is not None:
        call.unfold_extra()
    return call.unfolded(y)


@op(
    saves=("index",),
    batch=_pool_all,
    x=lambda g, index, geometry: _max_pool2d_backward(g, index=index, geometry=geometry),
)
def _max_pool2d(be, x, *, geometry):
    y, index = be.k.max_pool2d(x, geometry)
    return y, (index,)


@op(
    batch=_pool_all,
    g=lambda h, index, geometry: _max_pool2d_gather(h, index=index, geometry=geometry),
)
def _max_pool2d_backward(be, g, *, index, geometry):
    return be.k.max_pool2d_backward(g, index, geometry)


@op(
    batch=_pool_all,
    x=lambda g, index, geometry: _max_pool2d_backward(g, index=index, geometry=geometry),
)
def _max_pool2d_gather(be, x, *, index, geometry):
    return be.k.max_pool2d_gather(x, index)


def _windows(name, x, size, stride, padding, ceil_mode):
    """What `window.pooling` returns, for options as the user gave them."""
    size = window.pair(name, "size", size, 1)
    stride = size if stride is None else window.pair(name, "stride", stride, 1)
    ends = window.edges(name, padding)
    ceil_mode = check_flag(name, "ceil_mode", ceil_mode)
    if ends != "same" and (max(ends[0]) >= size[0] or max(ends[1]) >= size[1]):
        raise ValueError(
            f"[{name}] padding is {padding!r}, expected less than the window {size}, which would "
            "see nothing else"
        )
    return window.pooling(x.shape, size, stride, ends, ceil_mode)


@composed
def max_pool2d(x, size, *, stride=None, padding=0, ceil_mode=False):
    """The maximum of each window of images (N, C, H, W); the stride is by default the size.

    Where elements of a window tie, the first in reading order gets the gradient. Padding is
    never chosen; it is given as conv2d's, and is less than the window. With `ceil_mode` the rows
    and columns that are left at the end make a smaller window, if it begins in the image.
    """
    geometry, _, _ = _windows("max_pool2d", x, size, stride, padding, ceil_mode)
    return _max_pool2d(x, geometry=geometry)


@op(batch=_pool_all, x=lambda g, geometry: _avg_pool2d_backward(g, geometry=geometry))
def _avg_pool2d(be, x, *, geometry):
    return be.k.avg_pool2d(x, geometry)


@op(batch=_pool_all, g=lambda h, geometry: _avg_pool2d(h, geometry=geometry))
def _avg_pool2d_backward(be, g, *, geometry):
    return be.k.avg_pool2d_backward(g, geometry)


@composed
def avg_pool2d(x, size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of each window of images (N, C, H, W); the stride is by default the size.

    Padding, which is given as conv2d's, counts as zeros, or not at all if `count_include_pad` is
    False. What a last window of `ceil_mode` has beyond the padding never counts. The means of
    integers and booleans are float32, as those of `mean`.
    """
    windows = _windows("avg_pool2d", x, size, stride, padding, ceil_mode)
    with_padding = check_flag("avg_pool2d", "count_include_pad", count_include_pad)
    if x.dtype.kind in "biu":  # their sums fit a float64
        y = _averages(astype(x, dtype=np.float64), windows, with_padding)
        return astype(y, dtype=np.float32)
    return _averages(x, windows, with_padding)


def _averages(x, windows, with_padding):
    s, ends, beyond = windows
    y = _avg_pool2d(x, geometry=s)
    if not beyond and (with_padding or ends == ((0, 0), (0, 0))):
        return y  # every place of every window counts
    rows = _counts(s.h, s.ho, s.kh, s.sh, ends[0], with_padding)
    columns = _counts(s.w, s.wo, s.kw, s.sw, ends[1], with_padding)
    dtype = np.empty(0, x.dtype).real.dtype if x.dtype.kind == "c" else x.dtype
    corrections = s.kh * s.kw / np.outer(rows, columns)
    return multiply(y, backend_of(x).xp.asarray(corrections, dtype=dtype))


def _counts(n, windows, size, stride, ends, with_padding):
    """How many places of each window count, along an axis of length n."""
    before, after = ends
    first = np.arange(windows) * stride - before
    low, high = (-before, n + after) if with_padding else (0, n)
    return np.minimum(first + size, high) - np.maximum(first, low)
