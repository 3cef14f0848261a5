"""Images, sequences and volumes of another size: interpolation, adaptive means, pixel shuffles.

Interpolation and means are linear maps along one axis after the other. Each is a table: which
elements an output adds up, and with which weights. The gradient is the same op with the transposed
table.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import (
    backend_of,
    check_choice,
    check_flag,
    check_integer,
    check_number,
    composed,
    op,
)
from tinygrad_like.ops.arrays.shape import reshape, transpose
from tinygrad_like.ops.indexing.index import take
from tinygrad_like.ops.indexing.window import is_integer

CUBIC = -0.75  # the parameter of Keys' cubic kernel, as in PyTorch and OpenCV

MODES = {  # the kind of table, and how many axes are resized
    "nearest": ("nearest", (1, 2, 3)),
    "nearest-exact": ("nearest-exact", (1, 2, 3)),
    "area": ("area", (1, 2, 3)),
    "linear": ("linear", (1,)),
    "bilinear": ("linear", (2,)),
    "bicubic": ("cubic", (2,)),
    "trilinear": ("linear", (3,)),
}


class Resampling(NamedTuple):
    """What a table is made from: a kind, the lengths of an axis, and the step between outputs.

    `step` is the distance of two outputs in the input: the first and the last of both coincide
    with `corners`, else their outer edges do.
    """

    kind: str
    n: int
    outputs: int
    step: float
    corners: bool = False
    transposed: bool = False


@functools.lru_cache(1024)
def table_of(spec):
    """(starts, places, weights) of a Resampling, as the kernel `resample` takes them."""
    if spec.transposed:
        starts, places, weights = table_of(spec._replace(transposed=False))
        outputs = np.repeat(np.arange(spec.outputs), np.diff(starts))
        order = np.argsort(places, kind="stable")
        counts = np.bincount(places, minlength=spec.n)
        return _starts(counts), outputs[order], weights[order]
    if spec.kind == "area":
        return _areas(spec.n, spec.outputs)
    places, weights = _points(spec)
    counts = np.full(spec.outputs, places.shape[1])
    return _starts(counts), places.reshape(-1), weights.reshape(-1)


def _starts(counts):
    return np.concatenate([[0], np.cumsum(counts)])


def area_bounds(n, outputs):
    """(first, end) of each of the windows that cover an axis of length n, as PyTorch has them."""
    i = np.arange(outputs)
    return i * n // outputs, -(-(i + 1) * n // outputs)


def _areas(n, outputs):
    first, end = area_bounds(n, outputs)
    counts = end - first
    starts = _starts(counts)
    places = np.arange(starts[-1]) + np.repeat(first - starts[:-1], counts)
    return starts, places, np.repeat(1 / counts, counts)


def _points(spec):
    """(places, weights), each (outputs, terms), of an interpolation between neighbours."""
    i = np.arange(spec.outputs)
    if spec.kind.startswith("nearest"):
        halves = 2 * i + (spec.kind == "nearest-exact")
        if spec.step == spec.n / spec.outputs:  # in integers, which no rounding moves below one
            at = halves * spec.n // (2 * spec.outputs)
        else:
            at = np.floor(halves * spec.step / 2).astype(np.int64)
        places = np.clip(at, 0, spec.n - 1)[:, None]
        return places, np.ones(places.shape)
    at = i * spec.step if spec.corners else (i + 0.5) * spec.step - 0.5
    if spec.kind == "linear":
        at = np.maximum(at, 0)
    floor = np.floor(at)
    t = (at - floor)[:, None]
    if spec.kind == "linear":
        places, weights = floor[:, None] + [0, 1], np.concatenate([1 - t, t], axis=1)
    else:
        weights = np.concatenate(cubic_weights(t), axis=1)
        places = floor[:, None] + [-1, 0, 1, 2]
    return np.clip(places.astype(np.int64), 0, spec.n - 1), weights


def _cubic_near(t):
    """Keys' kernel for distances up to 1 (Keys 1981, "Cubic convolution interpolation")."""
    return ((CUBIC + 2) * t - (CUBIC + 3)) * t * t + 1


def _cubic_far(t):
    """The same for distances from 1 to 2."""
    return ((CUBIC * t - 5 * CUBIC) * t + 8 * CUBIC) * t - 4 * CUBIC


def cubic_weights(t):
    """The weights of the elements at -1, 0, 1 and 2, of a position t from 0 to 1."""
    return _cubic_far(t + 1), _cubic_near(t), _cubic_near(1 - t), _cubic_far(2 - t)


def _resample_all(call, arrays, attributes):
    return call(arrays[0].full(), **attributes)


@op(
    batch=_resample_all,
    x=lambda g, spec, axis: _resample(
        g, spec=spec._replace(transposed=not spec.transposed), axis=axis
    ),
)
def _resample(be, x, *, spec, axis):
    """`x` resampled along an axis, which is counted from the last one."""
    before, (n, *after) = x.shape[:axis], x.shape[axis:]
    flat = x.reshape(math.prod(before), n, math.prod(after))
    y = be.k.resample(flat, *map(be.from_host, table_of(spec)))
    return y.reshape(*before, y.shape[1], *after)


def resampled(x, axis, kind, outputs, step=0.0, corners=False):
    """`x` with `outputs` elements along an axis, counted from the last one; `x` if it has them."""
    n = x.shape[axis]
    identity = n == outputs and (kind == "area" or step == 1)
    if identity:
        return x
    spec = Resampling(kind, n, outputs, step, corners)
    return _resample(x, spec=spec, axis=axis)


@composed
def interpolate(x, size=None, *, scale_factor=None, mode="nearest", align_corners=False):
    """`x` resized: sequences (N, C, L), images (N, C, H, W) or volumes (N, C, D, H, W).

    Args:
        size: the new lengths: an integer, or one for each of the axes after the channels.
        scale_factor: instead of the size, a factor or one for each axis. The lengths are rounded
            down; the positions of outputs are those of the factor itself, as in PyTorch.
        mode: "nearest" takes the element below floor(i * step), "nearest-exact" that below the
            middle of the output, as Pillow does, "area" the mean of all elements under it.
            "linear" (of sequences), "bilinear", "trilinear" and "bicubic" interpolate between
            neighbours (Keys 1981 for the last).
        align_corners: of the modes that interpolate: whether the first and the last elements, and
            not their outer edges, come to lie on those of the result.

    Returns:
        `x` with other lengths. Integers can be resized by "nearest" and "nearest-exact".

    Raises:
        ValueError: for a size or a mode that does not fit the axes of x, TypeError for integers
            in the other modes.

    >>> import tinygrad_like as tg
    >>> tg.interpolate(tg.Tensor([[[0.0, 1.0]]]), 4, mode="linear").numpy()
    array([[[0.  , 0.25, 0.75, 1.  ]]], dtype=float32)
    """
    kind, axes = MODES[check_choice("interpolate", "mode", mode, MODES)]
    count = x.ndim - 2
    if count not in (1, 2, 3):
        raise ValueError(
            f"[interpolate] x is {x.shape}, expected (N, C, L), (N, C, H, W) or (N, C, D, H, W)"
        )
    if count not in axes:
        raise ValueError(
            f"[interpolate] mode {mode!r} resizes {axes[0]} axes, x has {count} of them "
            f"(x: {x.shape})"
        )
    corners = check_flag("interpolate", "align_corners", align_corners)
    if corners and kind not in ("linear", "cubic"):
        raise ValueError(f"[interpolate] align_corners does not apply to mode {mode!r}")
    sizes, steps = _sizes(x.shape, size, scale_factor)
    return _resized(x, kind, sizes, steps, corners)


def _resized(x, kind, sizes, steps, corners):
    """`x` resized along its last axes: first along those that shrink most, or grow least.

    Of axes that do so alike, the first ones shrink first and grow last: there rows are contiguous.
    """
    exact = x.dtype.kind in INEXACT
    if not exact and not kind.startswith("nearest"):
        raise TypeError(
            f"[interpolate] x is {x.dtype}, expected floating numbers; cast it, or take the mode "
            "'nearest'"
        )
    count = len(sizes)
    axes = sorted(
        range(-count, 0), key=lambda axis: (-steps[axis], axis if steps[axis] > 1 else -axis)
    )
    for axis in axes:
        n, outputs, step = x.shape[axis], sizes[axis], steps[axis]
        if corners:
            step = (n - 1) / (outputs - 1) if outputs > 1 else 0.0
        if exact:
            x = resampled(x, axis, kind, outputs, step, corners)
        else:
            places = table_of(Resampling(kind, n, outputs, step))[1]
            x = take(x, backend_of(x).from_host(places), axis)
    return x


def _sizes(shape, size, scale_factor):
    """(the new lengths, the distances of outputs in the input) for the axes after the channels."""
    if (size is None) == (scale_factor is None):
        raise ValueError(
            f"[interpolate] size is {size}, scale_factor is {scale_factor}, expected one of them"
        )
    lengths = shape[2:]
    if 0 in lengths:
        raise ValueError(f"[interpolate] x is {shape}, expected no axis of length 0 but N and C")
    given = size if scale_factor is None else scale_factor
    given = tuple(given) if isinstance(given, (tuple, list)) else (given,) * len(lengths)
    what = "size" if scale_factor is None else "scale_factor"
    if len(given) != len(lengths):
        raise ValueError(
            f"[interpolate] {what} is {given}, expected {len(lengths)} numbers (x: {shape})"
        )
    if scale_factor is None:
        if not all(is_integer(n, 1) for n in given):
            raise ValueError(f"[interpolate] size is {size!r}, expected positive integers")
        return tuple(map(int, given)), tuple(n / o for n, o in zip(lengths, given, strict=True))
    least = np.finfo(np.float64).tiny
    factors = [
        check_number("interpolate", "scale_factor", f, least, expected="a positive number")
        for f in given
    ]
    sizes = tuple(math.floor(n * f) for n, f in zip(lengths, factors, strict=True))
    if 0 in sizes:
        raise ValueError(
            f"[interpolate] scale_factor is {scale_factor}: nothing is left of {shape}"
        )
    return sizes, tuple(1 / f for f in factors)


@composed
def pixel_shuffle(x, factor):
    """(..., C r^2, H, W) -> (..., C, H r, W r): channel c r^2 + i r + j is pixel (i, j) of r x r.

    Source: Shi et al. 2016, "Real-time single image and video super-resolution", section 3.
    """
    r = check_integer("pixel_shuffle", "factor", factor, 1)
    if x.ndim < 3 or x.shape[-3] % (r * r):
        raise ValueError(
            f"[pixel_shuffle] x is {x.shape}, expected (..., C, H, W) with a C that {r * r} divides"
        )
    *batch, c, h, w = x.shape
    split = reshape(x, (*batch, c // (r * r), r, r, h, w))
    n = len(batch) + 1
    moved = transpose(split, (*range(n), n + 2, n, n + 3, n + 1))
    return reshape(moved, (*batch, c // (r * r), h * r, w * r))


@composed
def pixel_unshuffle(x, factor):
    """(..., C, H r, W r) -> (..., C r^2, H, W): the opposite of pixel_shuffle."""
    r = check_integer("pixel_unshuffle", "factor", factor, 1)
    if x.ndim < 3 or x.shape[-2] % r or x.shape[-1] % r:
        raise ValueError(
            f"[pixel_unshuffle] x is {x.shape}, expected (..., C, H, W) with H and W that {r} "
            "divides"
        )
    *batch, c, h, w = x.shape
    split = reshape(x, (*batch, c, h // r, r, w // r, r))
    n = len(batch) + 1
    moved = transpose(split, (*range(n), n + 1, n + 3, n, n + 2))
    return reshape(moved, (*batch, c * r * r, h // r, w // r))
