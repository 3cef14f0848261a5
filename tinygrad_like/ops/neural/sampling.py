"""Images and volumes read at any places: grid_sample, and the grids of affine maps.

Source: Jaderberg et al. 2015, "Spatial transformer networks". Positions are those of PyTorch: -1
and 1 are the two ends of an axis, its outer edges or, with `align_corners`, its first and last
elements; the last axis of a grid has x before y (before z), the axes of the image the other way.
"""

import itertools
import math

import numpy as np

from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import (
    astype,
    backend_of,
    check_choice,
    check_flag,
    composed,
    op,
)
from tinygrad_like.ops.arrays.shape import expand_dims, reshape, stack, swapaxes
from tinygrad_like.ops.elements.compare import (
    equal,
    greater,
    isnan,
    less,
    logical_and,
    logical_not,
    logical_or,
)
from tinygrad_like.ops.elements.elementwise import abs, clip, floor, remainder, round, where
from tinygrad_like.ops.indexing.index import embedding
from tinygrad_like.ops.indexing.window import is_integer
from tinygrad_like.ops.matrices.linalg import matmul
from tinygrad_like.ops.neural.resize import cubic_weights
from tinygrad_like.ops.reductions.reduce import sum

NEIGHBOURS = {"nearest": (0,), "bilinear": (0, 1), "bicubic": (-1, 0, 1, 2)}


def _reflected(at, low, high):
    """Positions turned back at low and high, as often as needed."""
    span = high - low
    if span == 0:
        return at * 0
    distance = abs(at - low)
    rest = remainder(distance, span)
    turned = equal(remainder(floor(distance / span), 2), 1)
    return where(turned, span - rest, rest) + low


def _padded(at, n, padding_mode, corners):
    """Positions along an axis of length n, moved to where elements are."""
    if padding_mode == "reflection":
        at = _reflected(at, *((0, n - 1) if corners else (-0.5, n - 0.5)))
    return clip(at, min=0.0, max=n - 1.0)


def _along(at, n, mode, padding_mode, corners):
    """(indices, weights, which count) of each neighbour of positions along an axis of length n.

    All count but those outside of an image with zeros around. A position of NaN has weights of NaN.
    "nearest" rounds halves to even, as PyTorch does.
    """
    at = ((at + 1) * (n - 1) if corners else (at + 1) * n - 1) / 2
    reach = int(mode == "bicubic")  # neighbours on each side beyond the closest two
    if padding_mode == "zeros" or (reach and padding_mode == "border"):
        at = clip(at, min=-2.0 - reach, max=float(n) + reach)  # where no neighbour is inside
    elif not reach:
        at = _padded(at, n, padding_mode, corners)
    base = (round if mode == "nearest" else floor)(at)
    t = at - base
    weights = {
        "nearest": lambda: (t * 0 + 1,),
        "bilinear": lambda: (1 - t, t),
        "bicubic": lambda: cubic_weights(t),
    }[mode]()
    found = []
    for shift, weight in zip(NEIGHBOURS[mode], weights, strict=True):
        place, counts = base + shift, True
        if padding_mode == "zeros":
            counts = logical_not(logical_or(less(place, 0), greater(place, n - 1)))
        elif reach:
            place = _padded(place, n, padding_mode, corners)
        place = clip(where(isnan(place), 0, place), min=0, max=n - 1)
        found.append((astype(place, dtype=np.int64), weight, counts))
    return found


def _check(x, grid):
    if x.ndim not in (4, 5):
        raise ValueError(f"[grid_sample] x is {x.shape}, expected (N, C, H, W) or (N, C, D, H, W)")
    if grid.ndim != x.ndim or grid.shape[-1] != x.ndim - 2 or grid.shape[0] != x.shape[0]:
        outputs = "H, W" if x.ndim == 4 else "D, H, W"
        raise ValueError(
            f"[grid_sample] grid is {grid.shape}, expected ({x.shape[0]}, {outputs}, {x.ndim - 2}) "
            f"(x: {x.shape})"
        )
    if 0 in x.shape[2:]:
        raise ValueError(f"[grid_sample] x is {x.shape}, expected no axis of length 0 but N and C")
    for name, array in (("x", x), ("grid", grid)):
        if array.dtype.kind not in INEXACT:
            raise TypeError(
                f"[grid_sample] {name} has dtype {array.dtype}, expected a floating one"
            )


def _read(x, places, weights, counted, outputs):
    """The weighted sums of elements of x (N, C, ...) at (N, neighbours, positions).

    Those that do not count may be infinite, and their weights anything but NaN.
    """
    n, c = x.shape[:2]
    size = math.prod(x.shape[2:])
    rows = reshape(swapaxes(reshape(x, (n, c, size)), 1, 2), (n * size, c))
    first = backend_of(x).xp.arange(n)[:, None, None] * size
    values = embedding(rows, places + first)
    if counted is not None:
        values = where(expand_dims(counted, -1), values, 0)
    y = sum(values * expand_dims(weights, -1), axis=1)
    return reshape(swapaxes(y, 1, 2), (n, c, *outputs))


def _by_corners(x, grid, *, mode, padding_mode, corners):
    """grid_sample in plain ops: each corner of the cells around the positions is an array."""
    lengths, count = x.shape[2:], x.ndim - 2
    flat = reshape(grid, (grid.shape[0], math.prod(grid.shape[1:-1]), count))
    along = [
        _along(flat[..., count - 1 - axis], lengths[axis], mode, padding_mode, corners)
        for axis in range(count)
    ]
    places, weights, counted = [], [], []
    for corner in itertools.product(*along):
        place, weight, inside = 0, 1, True
        for n, (index, share, counts) in zip(lengths, corner, strict=True):
            place, weight = place * n + index, weight * share
            inside = counts if inside is True else logical_and(inside, counts)
        places.append(place)
        weights.append(weight)
        counted.append(inside)
    kept = stack(counted, 1) if padding_mode == "zeros" else None
    return _read(x, stack(places, 1), stack(weights, 1), kept, grid.shape[1:-1])


def _sampled_of_all(call, arrays, attributes):
    return call.unfolded(call(*map(call.folded, arrays), **attributes))


def _sample_rule(g, be, x, grid, mode, padding_mode, corners, needs):
    return be.k.grid_sample_backward(g, x, grid, mode, padding_mode, corners, needs)


def _sample_backward_of_all(call, g, be, x, grid, mode, padding_mode, corners, needs):
    arrays = call.raw_folded(x), call.raw_folded(grid)
    given = call.raw_folded(g), call.raw(be), *arrays, mode, padding_mode, corners, needs
    return call.gradients([call.unfolded(d) for d in _sample_rule(*given)])


@op(
    batch=_sampled_of_all,
    batch_backward=_sample_backward_of_all,
    composite=_by_corners,
    backward=_sample_rule,
)
def _sample(be, x, grid, *, mode, padding_mode, corners):
    """x at the positions of a grid, see grid_sample."""
    return be.k.grid_sample(x, grid, mode, padding_mode, corners)


@composed
def grid_sample(x, grid, *, mode="bilinear", padding_mode="zeros", align_corners=False):
    """`x` (N, C, H, W) read at the positions of a grid (N, H', W', 2): (N, C, H', W').

    Volumes (N, C, D, H, W) have grids (N, D', H', W', 3).

    Args:
        grid: x and y (and z) of each output. -1 is the left, upper or front edge, 1 the other.
        mode: "bilinear" between neighbours (of volumes trilinear), "nearest", or "bicubic"
            (Keys 1981; of images).
        padding_mode: what is read outside: "zeros", "border" for the closest element, or
            "reflection" for what a mirror at each edge shows.
        align_corners: whether -1 and 1 are the first and the last elements, not their outer edges.

    Gradients go to x and, but for "nearest", to the grid; at a kink to a position as `clip` and
    `abs` have it. A position of NaN gives NaN.

    Raises ValueError for shapes or modes that do not fit, TypeError unless both are floating.

    >>> import tinygrad_like as tg
    >>> tg.grid_sample(tg.Tensor([[[[1.0, 3.0]]]]), tg.zeros(1, 1, 1, 2)).tolist()
    [[[[2.0]]]]
    """
    check_choice("grid_sample", "mode", mode, NEIGHBOURS)
    check_choice("grid_sample", "padding_mode", padding_mode, ("zeros", "border", "reflection"))
    corners = check_flag("grid_sample", "align_corners", align_corners)
    _check(x, grid)
    if mode == "bicubic" and x.ndim == 5:
        raise ValueError(f"[grid_sample] mode 'bicubic' reads images, x has 3 axes (x: {x.shape})")
    if x.dtype != grid.dtype or x.dtype.kind != "f":
        return _by_corners(x, grid, mode=mode, padding_mode=padding_mode, corners=corners)
    return _sample(x, grid, mode=mode, padding_mode=padding_mode, corners=corners)


@composed
def affine_grid(theta, size, *, align_corners=False):
    """The grid of `grid_sample` that reads an image after an affine map of its positions.

    Args:
        theta: maps (N, 2, 3) of (x, y, 1) to the position that is read; of volumes (N, 3, 4).
        size: of the result of grid_sample, (N, C, H, W) or (N, C, D, H, W).
        align_corners: as grid_sample has it.

    Returns:
        (N, H, W, 2) or (N, D, H, W, 3).

    >>> import tinygrad_like as tg
    >>> tg.affine_grid(tg.Tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]]), (1, 1, 1, 2)).tolist()
    [[[[0.0, 0.0], [1.0, 0.0]]]]
    """
    corners = check_flag("affine_grid", "align_corners", align_corners)
    size = tuple(size) if isinstance(size, (tuple, list)) else (size,)
    count = len(size) - 2
    if count not in (2, 3) or not all(is_integer(n, 1) for n in size):
        raise ValueError(f"[affine_grid] size is {size}, expected (N, C, H, W) or (N, C, D, H, W)")
    if theta.shape != (size[0], count, count + 1):
        raise ValueError(
            f"[affine_grid] theta is {theta.shape}, expected {(size[0], count, count + 1)} for "
            f"size {size}"
        )
    if theta.dtype.kind not in INEXACT:
        raise TypeError(f"[affine_grid] theta has dtype {theta.dtype}, expected a floating one")
    lengths = size[2:]
    ends = [1.0 if corners and n > 1 else 0.0 if corners else 1 - 1 / n for n in lengths]
    lines = [np.linspace(-end, end, n) for end, n in zip(ends, lengths, strict=True)]
    positions = np.stack([*reversed(np.meshgrid(*lines, indexing="ij")), np.ones(lengths)], -1)
    base = positions.reshape(math.prod(lengths), count + 1).astype(theta.dtype)
    grid = matmul(backend_of(theta).from_host(base), swapaxes(theta, 1, 2))
    return reshape(grid, (size[0], *lengths, count))
