"""Convolution of arrays of any number of axes, as `tg.signal` offers it: without channels."""

import math

import numpy as np

from tinygrad_like.backend import narrow, result_dtype, wide_dtype
from tinygrad_like.engine import by_element, check_choice, composed, op
from tinygrad_like.ops.arrays.shape import flip, normal_axes, reshape, transpose
from tinygrad_like.ops.reductions.reduce import sum

FEW = 64  # terms, or elements of the output, up to which sums in place beat Fourier transforms
MODES = "full", "valid", "same"


def _turned(x, n):
    return flip(x, axis=tuple(range(-n, 0)))


@op(
    batch=by_element,
    a=lambda g, b, n: _valid(g, _turned(b, n), n=n),
    b=lambda g, a, n: _valid(g, _turned(a, n), n=n),
)
def _full(be, a, b, *, n):
    """The whole convolution along the last n axes; the others broadcast."""
    dtype, a, b = _in_one_dtype(a, b)
    if math.prod(a.shape[-n:]) < math.prod(b.shape[-n:]):
        a, b = b, a
    long, short = a.shape[-n:], b.shape[-n:]
    lengths = [i + j - 1 for i, j in zip(long, short, strict=True)]
    if math.prod(short) > FEW and a.dtype.kind == "f":
        return narrow(_by_transforms(be, a, b, lengths), dtype)
    out = _zeros(be, a, b, lengths)
    for place in np.ndindex(short):
        out[_window(place, long)] += a * b[_window(place)]
    return narrow(out, dtype)


@op(
    batch=by_element,
    a=lambda g, b, n: _full(g, _turned(b, n), n=n),
    b=lambda g, a, n: _valid(_turned(a, n), g, n=n),
)
def _valid(be, a, b, *, n):
    """The part of it in which all of b lies in a, which is at least as long on each of the axes."""
    dtype, a, b = _in_one_dtype(a, b)
    long, short = a.shape[-n:], b.shape[-n:]
    lengths = [i - j + 1 for i, j in zip(long, short, strict=True)]
    terms, sums = math.prod(short), math.prod(lengths)
    if min(terms, sums) > FEW and a.dtype.kind == "f":
        whole = _by_transforms(be, a, b, long)  # what wraps around is cut off
        part = whole[_window([j - 1 for j in short], lengths)]
        return narrow(be.xp.ascontiguousarray(part), dtype)
    out, last = _zeros(be, a, b, lengths), tuple(range(-n, 0))
    if terms <= sums:
        for place in np.ndindex(short):
            first = [j - 1 - p for p, j in zip(place, short, strict=True)]
            out += a[_window(first, lengths)] * b[_window(place)]
    else:
        b = be.xp.flip(b, last)
        for place in np.ndindex(*lengths):
            products = a[_window(place, short)] * b
            out[_window(place)] = products.sum(axis=last, keepdims=True)
    return narrow(out, dtype)


def _in_one_dtype(a, b):
    """(the dtype of the result, a and b in the dtype to compute in)."""
    dtype = result_dtype(a.dtype, b.dtype)
    inner = wide_dtype(dtype)
    a, b = (x.astype(inner, casting="same_kind", copy=False) for x in (a, b))
    return dtype, a, b


def _zeros(be, a, b, lengths):
    n = len(lengths)
    batch = np.broadcast_shapes(a.shape[:-n], b.shape[:-n])
    return be.xp.zeros((*batch, *lengths), a.dtype)


def _window(first, lengths=None):
    """The index of a window of these lengths along the last axes; None: of 1 everywhere."""
    lengths = lengths or [1] * len(first)
    return (..., *(slice(f, f + i) for f, i in zip(first, lengths, strict=True)))


def _by_transforms(be, a, b, lengths):
    """The convolution along the last axes by the product of Fourier transforms of these lengths."""
    axes, fft = tuple(range(-len(lengths), 0)), be.xp.fft
    product = fft.rfftn(a, lengths, axes) * fft.rfftn(b, lengths, axes)
    return fft.irfftn(product, lengths, axes).astype(a.dtype)


@composed
def convolve(a, b, mode="full", axes=None, dot_axes=((), ())):
    """The convolution of two arrays: sums over k of a[i - k] b[k], along all axes or some.

    >>> import tinygrad_like as tg
    >>> tg.signal.convolve(tg.Tensor([1, 2, 3]), tg.Tensor([1, 10])).tolist()
    [1, 12, 23, 30]

    Args:
        mode: "full" for all sums; "valid" for those in which the shorter one lies in the longer one
            on every axis; "same" for as many as `a` is long, from the middle.
        axes: the axes of a and those of b along which to convolve, a pair of tuples; None: all.
        dot_axes: axes of a and of b that are multiplied element by element and summed over.

    Returns the axes of a that are left, those of b, then the axes of the convolution. Long sums are
    computed by Fourier transforms, whose errors are relative to the largest element.

    Raises ValueError for axes and lengths that do not fit, TypeError for complex numbers.
    """
    check_choice("convolve", "mode", mode, MODES)
    if "c" in a.dtype.kind + b.dtype.kind:
        raise TypeError("[convolve] got complex numbers, expected real ones; convolve their parts")
    left, right, n = _aligned(a, b, axes, dot_axes)
    long, short = left.shape[-n:], right.shape[-n:]
    shapes = f"[convolve] a is {a.shape}, b is {b.shape}"
    if 0 in (*long, *short):
        raise ValueError(f"{shapes}: there is no element to convolve")
    if mode != "valid":
        out = _full(left, right, n=n)
    elif all(i >= j for i, j in zip(long, short, strict=True)):
        out = _valid(left, right, n=n)
    elif all(i <= j for i, j in zip(long, short, strict=True)):
        out = _valid(right, left, n=n)
    else:
        raise ValueError(f"{shapes}: for mode='valid' one must be the longer one on every axis")
    if mode == "same":
        out = out[_window([(j - 1) // 2 for j in short], long)]
    summed = len(dot_axes[0])
    return sum(out, axis=tuple(range(-n - summed, -n))) if summed else out


def _aligned(a, b, axes, dot_axes):
    """(a, b, the number of axes to convolve along), these axes last, those to sum before them.

    The others stand in front, those of each beside axes of length 1 in the other array.
    """
    if axes is None:
        axes = range(len(a.shape)), range(len(b.shape))
    along_a, kept_a = _sorted_axes(a, axes[0], dot_axes[0])
    along_b, kept_b = _sorted_axes(b, axes[1], dot_axes[1])
    if len(axes[0]) != len(axes[1]) or len(dot_axes[0]) != len(dot_axes[1]):
        raise ValueError(f"[convolve] a is {a.shape}, b is {b.shape}: they differ in their axes")
    if not len(axes[0]):
        raise ValueError("[convolve] there is no axis to convolve along; use * or tg.einsum")
    a, b = transpose(a, (*kept_a, *along_a)), transpose(b, (*kept_b, *along_b))
    i, j = len(kept_a), len(kept_b)
    left = reshape(a, (*a.shape[:i], *(1,) * j, *a.shape[i:]))
    right = reshape(b, (*(1,) * i, *b.shape))
    dots = len(dot_axes[0])
    if left.shape[i + j : i + j + dots] != right.shape[i + j : i + j + dots]:
        raise ValueError(f"[convolve] the dot_axes have lengths {a.shape[i:]}, {b.shape[j:]}")
    return left, right, len(axes[0])


def _sorted_axes(x, axes, dot_axes):
    """(the axes to sum over and those to convolve along, the others)."""
    along = (*dot_axes, *axes)
    along = normal_axes("convolve", along, len(x.shape)) if along else ()
    return along, [i for i in range(len(x.shape)) if i not in along]
