"""Images and volumes read at any places: each result is a weighted sum of a few elements.

x is (N, C, *lengths), a grid (N, *outputs, axes) of positions from -1 to 1, the last axis of x
first. `mode` is "nearest", "bilinear" or "bicubic", `padding` is "zeros", "border" or "reflection".
`corners`: whether -1 and 1 are the first and the last elements of an axis, not their outer edges.

Positions are computed in float64: in float32 they are a ten-thousandth of an element off in an axis
of a thousand, and the weights with them.
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from .contract import kernel
from .index import scatter_add_
from .precision import wide

A = -0.75  # the parameter of Keys' kernel (Keys 1981), as in PyTorch and OpenCV

# The weight of each neighbour as a polynomial, c0 + c1 t + c2 t^2 + c3 t^3, of the distance t from
# the element before a position ("nearest": from the closest one) to the position.
WEIGHTS = {
    "nearest": np.array([[1.0, 0, 0, 0]]),
    "bilinear": np.array([[1.0, -1, 0, 0], [0, 1, 0, 0]]),
    "bicubic": np.array(
        [[0, A, -2 * A, A], [1, 0, -A - 3, A + 2], [0, -A, 2 * A + 3, -A - 2], [0, 0, A, -A]]
    ),
}
FIRST = {"nearest": 0, "bilinear": 0, "bicubic": -1}  # the step to the first neighbour


class _Neighbour(NamedTuple):
    """A neighbour of all positions along one axis."""

    place: Any
    weight: Any
    slope: Any  # the derivative of the weight with respect to the grid
    counts: Any  # whether it lies in x, or stands for what is read outside


@kernel
def grid_sample(x, grid, mode, padding, corners):
    """y (N, C, *outputs)."""
    lengths = x.shape[2:]
    flat = wide(x).reshape(*x.shape[:2], math.prod(lengths))
    y = np.zeros_like(flat, shape=(*x.shape[:2], math.prod(grid.shape[1:-1])), dtype=np.float64)
    with np.errstate(invalid="ignore"):  # an infinity may have a weight of 0
        for corner in _corners(lengths, grid, mode, padding, corners):
            weight = math.prod(each.weight for each in corner)
            y += _read(flat, corner, lengths) * weight[:, None]
        return y.astype(x.dtype).reshape(*x.shape[:2], *grid.shape[1:-1])


@kernel
def grid_sample_backward(g, x, grid, mode, padding, corners, needs):
    """(dx, dgrid), None for what is not needed."""
    lengths, positions = x.shape[2:], math.prod(grid.shape[1:-1])
    flat = wide(x).reshape(*x.shape[:2], math.prod(lengths))
    flat_g = wide(g).reshape(*x.shape[:2], positions)
    dx = np.zeros_like(flat, dtype=np.float64)
    dgrid = np.zeros_like(flat, shape=(x.shape[0], positions, len(lengths)), dtype=np.float64)
    with np.errstate(invalid="ignore"):
        for corner in _corners(lengths, grid, mode, padding, corners):
            if needs[0]:
                weight = math.prod(each.weight for each in corner)
                _add(
                    dx,
                    _place(corner, lengths),
                    np.where(_counts(corner), flat_g * weight[:, None], 0),
                )
            if needs[1]:
                sums = np.sum(flat_g * _read(flat, corner, lengths), axis=1)
                for axis in range(len(lengths)):
                    factors = [e.slope if i == axis else e.weight for i, e in enumerate(corner)]
                    dgrid[..., -1 - axis] += sums * math.prod(factors)
        return (
            dx.astype(x.dtype).reshape(x.shape) if needs[0] else None,
            dgrid.astype(grid.dtype).reshape(grid.shape) if needs[1] else None,
        )


def _corners(lengths, grid, mode, padding, corners):
    """The corners of the cells around all positions, each a _Neighbour for each axis."""
    flat = grid.astype(np.float64).reshape(grid.shape[0], math.prod(grid.shape[1:-1]), len(lengths))
    along = (
        _along(flat[..., -1 - axis], n, mode, padding, corners) for axis, n in enumerate(lengths)
    )
    return itertools.product(*along)


def _along(at, n, mode, padding, corners):
    """The neighbours of positions along an axis of length n."""
    scale, cubic = (n - 1 if corners else n) / 2, mode == "bicubic"
    at, slope = (at + 1) * scale - (0 if corners else 0.5), np.full_like(at, scale)
    if padding == "reflection" and not cubic:
        at, sign = _reflected(at, n, corners)
        slope = slope * sign
    if padding != "reflection" or not cubic:
        beyond = 2 + cubic if padding == "zeros" or cubic else 0  # no neighbour is inside from here
        low, high = (-beyond, n + cubic) if beyond else (0, n - 1)
        slope = np.where((at < low) | (at > high), 0, slope)
        at = np.clip(at, low, high)
    base = np.rint(at) if mode == "nearest" else np.floor(at)
    t, found = at - base, []
    for j, (c0, c1, c2, c3) in enumerate(WEIGHTS[mode]):
        weight, rise = c0 + (c1 + (c2 + c3 * t) * t) * t, c1 + (2 * c2 + 3 * c3 * t) * t
        place = base + (FIRST[mode] + j)
        counts = ~((place < 0) | (place > n - 1)) | (padding != "zeros")
        if padding == "reflection" and cubic:
            place = _reflected(place, n, corners)[0]
        place = np.clip(np.where(place != place, 0, place), 0, n - 1).astype(np.int64)
        found.append(_Neighbour(place, weight, rise * slope, counts[:, None]))
    return found


def _reflected(at, n, corners):
    """(positions turned back at both ends as often as needed, the sign of the slope)."""
    low, high = (0, n - 1) if corners else (-0.5, n - 0.5)
    span = max(high - low, 1)  # an axis of one element has no room: positions are limited later
    distance = np.abs(at - low)
    turns = np.floor(distance / span)
    rest, turned = distance - turns * span, turns % 2 == 1
    sign = np.sign(at - low) * np.where(turned, -1, 1) * (high > low)
    return np.where(turned, span - rest, rest) + low, sign


def _place(corner, lengths):
    """The places (N, positions) of a corner among all elements of an image."""
    place = 0
    for each, n in zip(corner, lengths, strict=True):
        place = place * n + each.place
    return place[:, None]


def _counts(corner):
    return math.prod(each.counts for each in corner)


def _read(flat, corner, lengths):
    """x (N, C, elements) at a corner of all positions, 0 outside."""
    values = np.take_along_axis(flat, _place(corner, lengths), axis=2)
    return np.where(_counts(corner), values, 0)


def _add(dx, place, values):
    """Add values (N, C, positions) to dx (N, C, elements)."""
    n, c, size = dx.shape
    starts = np.arange(n * c, like=place).reshape(n, c, 1) * size
    scatter_add_(
        dx.reshape(n * c * size), (starts + place).reshape(values.size), values.reshape(-1)
    )
