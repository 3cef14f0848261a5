"""Pooling over images (N, C, H, W)."""

import numpy as np

from tinygrad_like.engine import astype, backend_of, check_flag, check_integer, composed, op
from tinygrad_like.ops.arrays.shape import of_one
from tinygrad_like.ops.elements.elementwise import multiply
from tinygrad_like.ops.indexing import window


def _fold_all(call, arrays, attributes):
    """The rule by which vmap pools all examples: they are so many more images."""
    y = call(*map(call.folded, arrays), **attributes)
    if call.extra is not None:
        call.unfold_extra()
    return tuple(map(call.unfolded, y)) if call.op.several else call.unfolded(y)


def _pool_all(call, arrays, attributes):
    """`_fold_all` with a geometry for that many images."""
    s = attributes["geometry"]
    attributes = {**attributes, "geometry": s._replace(images=call.size * s.images)}
    if "index" in attributes:
        attributes["index"] = call.folded(attributes["index"])
    return _fold_all(call, arrays, attributes)


@op(
    saves=("index",),
    batch=_pool_all,
    x=lambda g, index, geometry: _max_pool2d_backward(g, index=index, geometry=geometry),
)
def _max_pool2d(be, x, *, geometry):
    y, index = be.k.max_pool2d(x, geometry)
    return y, (index,)


@op(
    several=True,
    any_dtype=True,
    batch=_pool_all,
    x=lambda g, out, geometry: _max_pool2d_backward(g[0], index=out[1], geometry=geometry),
)
def _max_pool2d_with_places(be, x, *, geometry):
    y, index = be.k.max_pool2d(x, geometry)
    return y, index.astype(np.int64, copy=False)


def _adaptive_rule(g, x_shape, index):
    """As max_pool2d's, which asks for the sizes of the images alone."""
    whole = window.pool_geometry(x_shape, (1, 1), (1, 1), (0, 0))
    geometry = whole._replace(ho=index.shape[2], wo=index.shape[3])
    return _max_pool2d_backward(g, index=index, geometry=geometry)


@op(saves=("index",), batch=_fold_all, x=_adaptive_rule)
def _adaptive_max_pool2d(be, x, *, size):
    y, index = be.k.adaptive_max_pool2d(x, size)
    return y, (index,)


@op(
    several=True,
    any_dtype=True,
    batch=_fold_all,
    x=lambda g, x_shape, out: _adaptive_rule(g[0], x_shape, out[1]),
)
def _adaptive_max_pool2d_with_places(be, x, *, size):
    y, index = be.k.adaptive_max_pool2d(x, size)
    return y, index.astype(np.int64, copy=False)


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


def adaptive_maxima(x, size, *, return_indices=False):
    """The maxima of windows that cover images, or these and their places in the planes."""
    if return_indices:
        return _adaptive_max_pool2d_with_places(x, size=size)
    return _adaptive_max_pool2d(x, size=size)


def _windows(name, x, size, stride, padding, ceil_mode, dilation=1):
    """What `window.pooling` returns, for options as the user gave them."""
    size = window.pair(name, "size", size, 1)
    stride = size if stride is None else window.pair(name, "stride", stride, 1)
    ends = window.edges(name, padding)
    ceil_mode = check_flag(name, "ceil_mode", ceil_mode)
    dilation = window.pair(name, "dilation", dilation, 1)
    spans = size
    if dilation != (1, 1):
        spans = tuple(d * (k - 1) + 1 for d, k in zip(dilation, size, strict=True))
    if ends != "same" and (max(ends[0]) >= spans[0] or max(ends[1]) >= spans[1]):
        raise ValueError(
            f"[{name}] padding is {padding!r}, expected less than the window {spans}, which would "
            "see nothing else"
        )
    return window.pooling(x.shape, size, stride, ends, ceil_mode, dilation)


@composed
def max_pool2d(
    x, size, *, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """The maximum of each window of images (N, C, H, W), or of one image (C, H, W).

    Where elements of a window tie, the first in reading order gets the gradient.

    Args:
        size: of the window, an integer or a pair (h, w), as are the others.
        stride: by default the size.
        padding: as conv2d's, less than the window; it is never chosen.
        dilation: the distance of the elements of a window.
        ceil_mode: whether the rows and columns that are left at the end make a smaller window, if
            it begins in the image.
        return_indices: return (y, indices): the place h * W + w of each maximum in its plane.

    >>> import tinygrad_like as tg
    >>> y, indices = tg.max_pool2d(tg.Tensor([[[1, 5, 2, 9]]]), (1, 2), return_indices=True)
    >>> y.numpy(), indices.numpy()
    (array([[[5, 9]]]), array([[[1, 3]]]))
    """
    if x.ndim == 3:
        return of_one(max_pool2d, **locals())
    geometry, _, _ = _windows("max_pool2d", x, size, stride, padding, ceil_mode, dilation)
    if check_flag("max_pool2d", "return_indices", return_indices):
        return _max_pool2d_with_places(x, geometry=geometry)
    return _max_pool2d(x, geometry=geometry)


@op(batch=_pool_all, x=lambda g, geometry: _avg_pool2d_backward(g, geometry=geometry))
def _avg_pool2d(be, x, *, geometry):
    return be.k.avg_pool2d(x, geometry)


@op(batch=_pool_all, g=lambda h, geometry: _avg_pool2d(h, geometry=geometry))
def _avg_pool2d_backward(be, g, *, geometry):
    return be.k.avg_pool2d_backward(g, geometry)


@composed
def avg_pool2d(
    x,
    size,
    *,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """The mean of each window of images (N, C, H, W), or of one image (C, H, W).

    The means of integers and booleans are float32, as those of `mean`.

    Args:
        size, stride, padding, ceil_mode: as max_pool2d's.
        count_include_pad: whether padding counts as zeros; if not, it does not count at all. What
            a last window of `ceil_mode` has beyond the padding never counts.
        divisor_override: what the sum of each window is divided by, instead of its size.
    """
    if x.ndim == 3:
        return of_one(avg_pool2d, **locals())
    windows = _windows("avg_pool2d", x, size, stride, padding, ceil_mode)
    with_padding = check_flag("avg_pool2d", "count_include_pad", count_include_pad)
    if divisor_override is not None:
        divisor_override = check_integer("avg_pool2d", "divisor_override", divisor_override, 1)
    if x.dtype.kind in "biu":  # their sums fit a float64
        y = _averages(astype(x, dtype=np.float64), windows, with_padding, divisor_override)
        return astype(y, dtype=np.float32)
    return _averages(x, windows, with_padding, divisor_override)


def _averages(x, windows, with_padding, divisor):
    s, ends, beyond = windows
    y = _avg_pool2d(x, geometry=s)
    if divisor is not None:
        return y * (s.kh * s.kw / divisor)
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
