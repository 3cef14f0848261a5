"""Pooling over sequences (N, C, L) and volumes (N, C, D, H, W), adaptive pooling, and its inverse.

A sequence is an image of height 1. A volume is pooled as the images of its slices, and then along
the depth: the first of equal maxima in reading order stays the first.
"""

import math
from functools import partial

import numpy as np

from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import (
    astype,
    check_flag,
    check_integer,
    check_number,
    composed,
)
from tinygrad_like.ops.arrays.shape import expand_dims, of_one, reshape, squeeze
from tinygrad_like.ops.elements.elementwise import equal, power, where
from tinygrad_like.ops.indexing import window
from tinygrad_like.ops.indexing.index import take_along_axis
from tinygrad_like.ops.neural.pool import adaptive_maxima, avg_pool2d, max_pool2d
from tinygrad_like.ops.neural.resize import resampled


def _check_axes(name, x, axes):
    """Raise ValueError unless x is (N, C, *axes)."""
    if x.ndim != 2 + len(axes):
        shape = ", ".join(("N", "C", *axes))
        raise ValueError(f"[{name}] x is {x.shape}, expected ({shape}) or without N")


def _of_row(name, value, what, least=1):
    """An option of a sequence as the pair that an image of height 1 has."""
    return 1, check_integer(name, what, window.only(value), least)


def _row_options(name, size, stride, padding, ceil_mode):
    """The options of max_pool2d or avg_pool2d that pool a sequence."""
    return {
        "size": _of_row(name, size, "size"),
        "stride": None if stride is None else _of_row(name, stride, "stride"),
        "padding": padding if isinstance(padding, str) else (0, window.of_one_axis(name, padding)),
        "ceil_mode": ceil_mode,
    }


@composed
def max_pool1d(
    x, size, *, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """The maximum of each window of sequences (N, C, L), or of one (C, L); see max_pool2d.

    Options are integers, the padding also `((before, after),)`, "same" or "valid". Indices are
    places in the sequence.
    """
    if x.ndim == 2:
        return of_one(max_pool1d, **locals())
    name = "max_pool1d"
    _check_axes(name, x, "L")
    options = _row_options(name, size, stride, padding, ceil_mode)
    options |= {"dilation": _of_row(name, dilation, "dilation"), "return_indices": return_indices}
    y = max_pool2d(expand_dims(x, 2), **options)
    return tuple(squeeze(part, 2) for part in y) if return_indices else squeeze(y, 2)


@composed
def avg_pool1d(x, size, *, stride=None, padding=0, ceil_mode=False, count_include_pad=True):
    """The mean of each window of sequences (N, C, L), or of one (C, L); see avg_pool2d.

    Options are integers, or each one in a tuple, the padding also `((before, after),)`, "same" or
    "valid".
    """
    if x.ndim == 2:
        return of_one(avg_pool1d, **locals())
    _check_axes("avg_pool1d", x, "L")
    options = _row_options("avg_pool1d", size, stride, padding, ceil_mode)
    return squeeze(avg_pool2d(expand_dims(x, 2), count_include_pad=count_include_pad, **options), 2)


def _volume_options(name, size, stride, padding):
    """(options along the depth, options of the slices) of max_pool2d or avg_pool2d."""
    size = window.triple(name, "size", size, 1)
    stride = size if stride is None else window.triple(name, "stride", stride, 1)
    ends = window.edges_along(name, padding, 3)
    deep = {"size": (size[0], 1), "stride": (stride[0], 1)}
    flat = {"size": size[1:], "stride": stride[1:]}
    if ends == "same":
        return deep | {"padding": "same"}, flat | {"padding": "same"}
    return deep | {"padding": (ends[0], 0)}, flat | {"padding": ends[1:]}


def _slices(x):
    """A volume (N, C, D, H, W) as the images of its slices, (N, C D, H, W)."""
    n, c, d, h, w = x.shape
    return reshape(x, (n, c * d, h, w))


def _columns(y, shape):
    """Pooled slices (N, C D, H', W') of a volume of `shape` as images (N, C, D, H' W')."""
    n, c, d = shape[:3]
    return reshape(y, (n, c, d, y.shape[2] * y.shape[3]))


@composed
def max_pool3d(
    x, size, *, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """The maximum of each window of volumes (N, C, D, H, W), or of one; see max_pool2d.

    Options are integers or three of them, for (D, H, W); the padding also three pairs. Indices
    are places (d * H + h) * W + w.
    """
    if x.ndim == 4:
        return of_one(max_pool3d, **locals())
    name = "max_pool3d"
    _check_axes(name, x, "DHW")
    deep, flat = _volume_options(name, size, stride, padding)
    steps = window.triple(name, "dilation", dilation, 1)
    deep |= {"dilation": (steps[0], 1), "ceil_mode": ceil_mode}
    flat |= {"dilation": steps[1:], "ceil_mode": ceil_mode}
    pools = partial(max_pool2d, **flat), partial(max_pool2d, **deep)
    return _of_slices(x, *pools, check_flag(name, "return_indices", return_indices))


def _of_slices(x, flat, deep, return_indices):
    """The maxima of volumes, by a pooling of slices and one along the depth of what it returns.

    With `return_indices` (the maxima, their places).
    """
    if not return_indices:
        y = flat(_slices(x))
        below = y.shape[2:]
        y = deep(_columns(y, x.shape))
        return reshape(y, (*y.shape[:3], *below))
    y, places = flat(_slices(x), return_indices=True)
    below = y.shape[2:]
    y, chosen = deep(_columns(y, x.shape), return_indices=True)
    n, c, depth, columns = y.shape
    chosen = reshape(chosen, (n, c, depth * columns))
    inside = reshape(places, (n, c, x.shape[2] * columns))
    indices = chosen // columns * (x.shape[3] * x.shape[4]) + take_along_axis(inside, chosen, 2)
    shape = n, c, depth, *below
    return reshape(y, shape), reshape(indices, shape)


@composed
def avg_pool3d(
    x,
    size,
    *,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """The mean of each window of volumes (N, C, D, H, W), or of one; see avg_pool2d.

    Options are integers or three of them, for (D, H, W); the padding also three pairs.
    """
    if x.ndim == 4:
        return of_one(avg_pool3d, **locals())
    name = "avg_pool3d"
    _check_axes(name, x, "DHW")
    if x.dtype.kind in "biu":  # their means are float32, computed in float64
        y = avg_pool3d(
            astype(x, dtype=np.float64), size, stride=stride, padding=padding, ceil_mode=ceil_mode,
            count_include_pad=count_include_pad, divisor_override=divisor_override,
        )  # fmt: skip
        return astype(y, dtype=np.float32)
    deep, flat = _volume_options(name, size, stride, padding)
    for options in (deep, flat):
        options |= {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    factor = 1.0
    if divisor_override is not None:
        divisor = check_integer(name, "divisor_override", divisor_override, 1)
        counts = [math.prod(options["size"]) for options in (deep, flat)]
        for options, count in zip((deep, flat), counts, strict=True):
            options["divisor_override"] = count
        factor = math.prod(counts) / divisor
    y = avg_pool2d(_slices(x), **flat)
    below = y.shape[2:]
    y = avg_pool2d(_columns(y, x.shape), **deep)
    y = reshape(y, (*y.shape[:3], *below))
    return y if factor == 1 else y * factor


# Norms of windows


def _norms(name, x, ord, pool, size, options):
    """(the sum of x^ord over each window)^(1 / ord), with the gradient 0 where the sum is 0."""
    if x.dtype.kind not in INEXACT:
        raise TypeError(f"[{name}] x is {x.dtype}, expected floating numbers")
    ord = check_number(name, "ord", ord, np.finfo(np.float64).tiny, expected="a positive number")
    means = pool(power(x, ord), size, **options)
    sizes = size if isinstance(size, (tuple, list)) else (size,) * (x.ndim - 2)
    sums = means * math.prod(sizes)
    empty = equal(sums, 0)
    return where(empty, 0, power(where(empty, 1, sums), 1 / ord))


@composed
def lp_pool1d(x, ord, size, *, stride=None, ceil_mode=False):
    """(the sum of x^ord)^(1 / ord) over each window of sequences (N, C, L), or of one (C, L).

    As in PyTorch, x itself is raised to the power: with an odd `ord` a negative sum gives NaN.
    """
    if x.ndim == 2:
        return of_one(lp_pool1d, **locals())
    options = {"stride": stride, "ceil_mode": ceil_mode}
    return _norms("lp_pool1d", x, ord, avg_pool1d, size, options)


@composed
def lp_pool2d(x, ord, size, *, stride=None, ceil_mode=False):
    """(the sum of x^ord)^(1 / ord) over each window of images (N, C, H, W), or of one.

    As in PyTorch, x itself is raised to the power: with an odd `ord` a negative sum gives NaN.
    """
    if x.ndim == 3:
        return of_one(lp_pool2d, **locals())
    options = {"stride": stride, "ceil_mode": ceil_mode}
    return _norms("lp_pool2d", x, ord, avg_pool2d, size, options)


@composed
def lp_pool3d(x, ord, size, *, stride=None, ceil_mode=False):
    """(the sum of x^ord)^(1 / ord) over each window of volumes (N, C, D, H, W), or of one.

    As in PyTorch, x itself is raised to the power: with an odd `ord` a negative sum gives NaN.
    """
    if x.ndim == 4:
        return of_one(lp_pool3d, **locals())
    options = {"stride": stride, "ceil_mode": ceil_mode}
    return _norms("lp_pool3d", x, ord, avg_pool3d, size, options)


# Adaptive windows: `outputs` of them cover an axis, and differ in length by one at most.


def _outputs(name, x, size, axes):
    """The lengths of the result, of which None stands for that of x."""
    given = tuple(size) if isinstance(size, (tuple, list)) else (size,) * axes
    if len(given) != axes or not all(n is None or window.is_integer(n, 1) for n in given):
        raise ValueError(
            f"[{name}] size is {size!r}, expected a positive integer"
            + (f", or {axes} of them (None keeps a length)" if axes > 1 else "")
        )
    if 0 in x.shape[2:]:
        raise ValueError(f"[{name}] x is {x.shape}, expected no axis of length 0 but N and C")
    lengths = zip(given, x.shape[2:], strict=True)
    return tuple(n if outputs is None else int(outputs) for outputs, n in lengths)


def _adaptive_means(name, x, size, axes):
    _check_axes(name, x, axes)
    sizes = _outputs(name, x, size, len(axes))
    if x.dtype.kind not in INEXACT:
        x = astype(x, dtype=np.float64)
        return astype(_adaptive_means(name, x, sizes, axes), dtype=np.float32)
    for axis, outputs in zip(range(-len(sizes), 0), sizes, strict=True):
        x = resampled(x, axis, "area", outputs)
    return x


@composed
def adaptive_avg_pool1d(x, size):
    """The means of `size` windows that cover sequences (N, C, L), or one (C, L).

    Window i is [floor(i L / size), ceil((i + 1) L / size)), as in PyTorch.
    """
    if x.ndim == 2:
        return of_one(adaptive_avg_pool1d, **locals())
    return _adaptive_means("adaptive_avg_pool1d", x, size, "L")


@composed
def adaptive_avg_pool2d(x, size):
    """The means of windows that cover images (N, C, H, W), or one: (N, C, *size).

    `size` is an integer or a pair, None for a length that stays. See adaptive_avg_pool1d.

    >>> import tinygrad_like as tg
    >>> tg.adaptive_avg_pool2d(tg.ones((2, 3, 7, 9)), (4, None)).shape
    (2, 3, 4, 9)
    """
    if x.ndim == 3:
        return of_one(adaptive_avg_pool2d, **locals())
    return _adaptive_means("adaptive_avg_pool2d", x, size, "HW")


@composed
def adaptive_avg_pool3d(x, size):
    """The means of windows that cover volumes (N, C, D, H, W), or one: (N, C, *size)."""
    if x.ndim == 4:
        return of_one(adaptive_avg_pool3d, **locals())
    return _adaptive_means("adaptive_avg_pool3d", x, size, "DHW")


@composed
def adaptive_max_pool2d(x, size, *, return_indices=False):
    """The maxima of windows that cover images (N, C, H, W), or one: (N, C, *size).

    The windows are those of adaptive_avg_pool2d; of equal maxima the first gets the gradient. With
    `return_indices` (y, indices), the places h * W + w of the maxima.
    """
    if x.ndim == 3:
        return of_one(adaptive_max_pool2d, **locals())
    name = "adaptive_max_pool2d"
    _check_axes(name, x, "HW")
    size = _outputs(name, x, size, 2)
    indices_too = check_flag(name, "return_indices", return_indices)
    return adaptive_maxima(x, size, return_indices=indices_too)


@composed
def adaptive_max_pool3d(x, size, *, return_indices=False):
    """The maxima of windows that cover volumes (N, C, D, H, W), or one: (N, C, *size).

    See adaptive_max_pool2d; the places are (d * H + h) * W + w.
    """
    if x.ndim == 4:
        return of_one(adaptive_max_pool3d, **locals())
    name = "adaptive_max_pool3d"
    _check_axes(name, x, "DHW")
    depth, *size = _outputs(name, x, size, 3)
    pools = (
        partial(adaptive_maxima, size=tuple(size)),
        partial(adaptive_maxima, size=(depth, math.prod(size))),
    )
    return _of_slices(x, *pools, check_flag(name, "return_indices", return_indices))


@composed
def adaptive_max_pool1d(x, size, *, return_indices=False):
    """The maxima of `size` windows that cover sequences (N, C, L), or one (C, L).

    See adaptive_max_pool2d.
    """
    if x.ndim == 2:
        return of_one(adaptive_max_pool1d, **locals())
    _check_axes("adaptive_max_pool1d", x, "L")
    (outputs,) = _outputs("adaptive_max_pool1d", x, size, 1)
    y = adaptive_max_pool2d(expand_dims(x, 2), (1, outputs), return_indices=return_indices)
    return tuple(squeeze(part, 2) for part in y) if return_indices else squeeze(y, 2)
