"""Padding: elements that are put before and after each axis of a tensor."""

from typing import Any

import numpy as np

from tinygrad_like.engine import backend_of, check_choice, composed, op
from tinygrad_like.ops.arrays.shape import concatenate
from tinygrad_like.ops.indexing.index import take
from tinygrad_like.ops.indexing.window import is_integer

# The modes that repeat elements, by their names in NumPy and PyTorch, as NumPy calls them.
REPEATING: dict[str, Any] = {
    "reflect": "reflect",
    "symmetric": "symmetric",
    "edge": "edge",
    "replicate": "edge",
    "wrap": "wrap",
    "circular": "wrap",
}

MODES = ("constant", *REPEATING)
MOST = int(np.finfo(np.float64).max)  # the largest integer that a float can hold


def _pad_width(pad_width, ndim):
    """`1`, `(1, 2)` or one pair for each axis, as a pair of ints for each axis."""
    try:
        widths = np.asarray(pad_width, object)
        pairs = np.broadcast_to(widths, (ndim, 2)).tolist()
    except (ValueError, TypeError):
        pairs = [(None, None)]
    if not all(is_integer(n, -(1 << 31)) for ends in pairs for n in ends):
        raise ValueError(
            f"[pad] pad_width is {pad_width!r}, expected an integer, a pair, or {ndim} pairs "
            "(before, after)"
        )
    return tuple((int(before), int(after)) for before, after in pairs)


def _check_value(value, dtype):
    """Raise unless this dtype can hold `value` without losing a fraction or overflowing."""
    problem = f"[pad] value is {value!r}, which {dtype}, the dtype of x, cannot hold"
    if isinstance(value, int):
        low, high = (0, 1) if dtype.kind == "b" else (-MOST, MOST)
        if dtype.kind in "iu":
            low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        if not low <= value <= high:
            raise ValueError(problem)
        if dtype.kind in "biu":
            return
    numbers = np.asarray(float(value) if isinstance(value, int) else value)
    if numbers.dtype.kind not in "biufc":
        raise TypeError(f"[pad] value is {value!r}, expected a number")
    if numbers.dtype.kind == "c" and dtype.kind != "c":
        raise TypeError(f"[pad] value is {value!r}, expected a real number for x of {dtype}")
    with np.errstate(all="ignore"):
        kept = numbers.astype(dtype)
        exact = dtype.kind in "biu"
        held = kept == numbers if exact else np.isfinite(kept) | ~np.isfinite(numbers)
    if not held.all():
        raise ValueError(problem)


def _pad_all(call, arrays, attributes):
    widths = ((0, 0), *attributes["pad_width"])
    return call(arrays[0].full(), pad_width=widths, value=attributes["value"])


@op(complex=True, batch=_pad_all, x=lambda g, x_shape, pad_width: _unpadded(g, x_shape, pad_width))
def _pad_constant(be, x, *, pad_width, value):
    if type(value) is not int or value:
        _check_value(value, x.dtype)
    return be.xp.pad(x, pad_width, constant_values=value)


def _unpadded(g, shape, pad_width):
    return g[tuple(slice(b, b + n) for (b, _), n in zip(pad_width, shape, strict=True))]


def _pad_repeating(x, pad_width, mode):
    padded = [axis for axis, ends in enumerate(pad_width) if any(ends)]
    for axis in padded:
        if x.shape[axis] == 0:
            raise ValueError(
                f"[pad] axis {axis} of x is empty, mode {mode!r} has nothing to repeat there "
                f"(x: {x.shape})"
            )
    for axis in padded:
        n, (before, after) = x.shape[axis], pad_width[axis]
        places = np.pad(np.arange(n), (before, after), mode=REPEATING[mode])
        on_device = backend_of(x).xp.asarray(places)
        parts = [x]
        if before:
            parts.insert(0, take(x, on_device[:before], axis))
        if after:
            parts.append(take(x, on_device[before + n :], axis))
        x = concatenate(parts, axis)
    return x


def _pad_and_cut(x, widths, mode, value):
    """`pad` with negative widths, as in PyTorch: what is repeated may be what is taken away.

    Only "wrap" goes on with the elements that are left.
    """
    kept, cut = [], []
    for axis, (n, ends) in enumerate(zip(x.shape, widths, strict=True)):
        before, after = (min(width, 0) for width in ends)
        if n + before + after < 0:
            raise ValueError(
                f"[pad] axis {axis} has length {n}, pad_width takes away {-before - after} "
                f"(x: {x.shape})"
            )
        kept.append(slice(-before, n + after))
        cut.append(slice(-before, n + sum(max(width, 0) for width in ends) + after))
    positive = tuple((max(before, 0), max(after, 0)) for before, after in widths)
    if REPEATING.get(mode) == "wrap":
        return pad(x[tuple(kept)], positive, mode, value)
    return pad(x, positive, mode, value)[tuple(cut)]


@composed
def pad(x, pad_width, mode="constant", value=0):
    """`x` with more elements before and after each axis.

    Args:
        pad_width: how many: an integer, a pair (before, after) for every axis, or such a pair for
            each axis. A negative number takes elements away at that end, as in PyTorch.
        mode: "constant": all are `value`. "reflect" mirrors at the first and the last element,
            "symmetric" beside them, so that they occur twice; "edge" or "replicate" repeats them;
            "wrap" or "circular" goes on at the other end. As in NumPy, whose names these are (and
            PyTorch's), a padding may be wider than the axis.
        value: of "constant".

    Raises:
        ValueError: for more to take away than there is, an unknown mode, a value that the dtype of
            `x` cannot hold (0.5 for integers), an empty axis with nothing to repeat.

    >>> import tinygrad_like as tg
    >>> tg.pad(tg.arange(3), (2, 1), "reflect").numpy()
    array([2, 1, 0, 1, 2, 1])
    """
    widths = _pad_width(pad_width, x.ndim)
    if any(n < 0 for ends in widths for n in ends):
        return _pad_and_cut(x, widths, mode, value)
    if check_choice("pad", "mode", mode, MODES) == "constant":
        return _pad_constant(x, pad_width=widths, value=value)
    if type(value) is not int or value:
        raise ValueError(f"[pad] value is {value!r}, which mode {mode!r} does not use")
    return _pad_repeating(x, widths, mode)
