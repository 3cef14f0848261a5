"""Pooling over images (N, C, H, W)."""

import numpy as np

from tinygrad_like.engine import astype, backend_of, check_flag, composed, op
from tinygrad_like.ops import window
from tinygrad_like.ops.elementwise import multiply


@op(
    saves=("index",),
    x=lambda g, index, x_shape: _max_pool2d_backward(g, index=index, shape=x_shape),
)
def _max_pool2d(be, x, *, size, stride, padding):
    y, index = be.k.max_pool2d(x, size, stride, padding)
    return y, (index,)


@op(g=lambda h, index: _max_pool2d_gather(h, index=index))
def _max_pool2d_backward(be, g, *, index, shape):
    return be.k.max_pool2d_backward(g, index, shape)


@op(x=lambda g, index, x_shape: _max_pool2d_backward(g, index=index, shape=x_shape))
def _max_pool2d_gather(be, x, *, index):
    return be.k.max_pool2d_gather(x, index)


def _windows(name, x, size, stride, padding, ceil_mode):
    """(size, stride, ends, reach): the options as pairs.

    `ends` are the padding, ((top, bottom), (left, right)). `reach` is how far the windows reach
    beyond the image: as far as that, or with `ceil_mode` as far as the last window wants.
    """
    if x.ndim != 4:
        raise ValueError(f"[{name}] x is {x.shape}, expected (N, C, H, W)")
    if 0 in x.shape[2:]:
        raise ValueError(f"[{name}] x is {x.shape}, expected images of at least one pixel")
    size = window.pair(name, "size", size, 1)
    stride = size if stride is None else window.pair(name, "stride", stride, 1)
    ends = window.edges(name, padding, x.shape[2:], size, stride)
    if max(ends[0]) >= size[0] or max(ends[1]) >= size[1]:
        raise ValueError(
            f"[{name}] padding is {padding!r}, expected less than the window {size}, which would "
            "see nothing else"
        )
    reach = ends
    if check_flag(name, "ceil_mode", ceil_mode):
        reach = tuple(map(_reach_of_all, x.shape[2:], size, stride, ends))
    window.check_fits(name, x, size, reach)
    return size, stride, ends, reach


def _reach_of_all(n, size, stride, ends):
    """(before, after) for windows up to the last that begins in the image."""
    before, after = ends
    last = -(-(n + before + after - size) // stride)
    if last * stride >= n + before:  # it would begin in the padding
        last -= 1
    return before, last * stride + size - n - before


def _for_kernels(reach):
    """A pair (ph, pw) where that says it all, as in most calls."""
    return window.in_the_middle(reach) if window.is_even(reach) else reach


@composed
def max_pool2d(x, size, *, stride=None, padding=0, ceil_mode=False):
    """The maximum of each window of images (N, C, H, W); the stride is by default the size.

    Where elements of a window tie, the first in reading order gets the gradient. Padding is
    never chosen; it is given as conv2d's, and is less than the window. With `ceil_mode` the rows
    and columns that are left at the end make a smaller window, if it begins in the image.
    """
    size, stride, _, reach = _windows("max_pool2d", x, size, stride, padding, ceil_mode)
    return _max_pool2d(x, size=size, stride=stride, padding=_for_kernels(reach))


@op(
    x=lambda g, x_shape, size, stride, padding: _avg_pool2d_backward(
        g, shape=x_shape, size=size, stride=stride, padding=padding
    )
)
def _avg_pool2d(be, x, *, size, stride, padding):
    return be.k.avg_pool2d(x, size, stride, padding)


@op(g=lambda h, size, stride, padding: _avg_pool2d(h, size=size, stride=stride, padding=padding))
def _avg_pool2d_backward(be, g, *, shape, size, stride, padding):
    return be.k.avg_pool2d_backward(g, shape, size, stride, padding)


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
    size, stride, ends, reach = windows
    y = _avg_pool2d(x, size=size, stride=stride, padding=_for_kernels(reach))
    beyond = any(r > e for (_, r), (_, e) in zip(reach, ends, strict=True))
    if not beyond and (with_padding or ends == ((0, 0), (0, 0))):
        return y  # all places of all windows count
    rows, columns = (
        _counts(*of_axis, with_padding)
        for of_axis in zip(x.shape[2:], y.shape[2:], size, stride, ends, strict=True)
    )
    dtype = np.empty(0, x.dtype).real.dtype if x.dtype.kind == "c" else x.dtype
    corrections = size[0] * size[1] / np.outer(rows, columns)
    return multiply(y, backend_of(x).xp.asarray(corrections, dtype=dtype))


def _counts(n, windows, size, stride, ends, with_padding):
    """How many of the places of each window along an axis of length n count."""
    before, after = ends
    first = np.arange(windows) * stride - before
    low, high = (-before, n + after) if with_padding else (0, n)
    return np.minimum(first + size, high) - np.maximum(first, low)
