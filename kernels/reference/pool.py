"""Max and average pooling, (N, C, H, W) -> (N, C, Ho, Wo); sums are added up in float64.

All sizes are in a Geometry (kernels/geometry.py), which the arrays must fit. Each window contains
at least one pixel of the image.
"""

import numpy as np

from ..geometry import pool_geometry
from .contract import kernel
from .index import scatter_add_
from .precision import wide
from .windows import taps


@kernel
def max_pool2d(x, geometry):
    """(y, index): the maximum of each window, and its flat position h * W + w in the input plane.

    Of equal maxima the first in row-major order is taken; padding never is. The first NaN of a
    window wins over everything. Complex numbers compare lexicographically. Integers and booleans
    stay what they are.
    """
    h, w = x.shape[2:]
    meets = list(taps(geometry))

    y = np.full_like(x, _least(x.dtype), shape=geometry.y_shape)
    for _, _, x_slices, y_slices in meets:
        np.maximum(y[y_slices], x[x_slices], out=y[y_slices])

    position = np.arange(h * w, like=x).reshape(h, w)
    index = np.zeros_like(x, shape=y.shape, dtype=position.dtype)
    for _, _, x_slices, y_slices in reversed(meets):  # so that the first of equals is written last
        candidate = x[x_slices]
        chosen = (candidate == y[y_slices]) | (candidate != candidate)
        index[y_slices] = np.where(chosen, position[x_slices], index[y_slices])
    return y, index


def _least(dtype):
    """The least value of a dtype."""
    if dtype.kind in "iu":
        return np.iinfo(dtype).min
    return False if dtype.kind == "b" else -np.inf


@kernel
def adaptive_max_pool2d(x, size):
    """(y, index) as max_pool2d, of the windows that cover the image: (N, C, *size).

    Window i of `count` along an axis of length n is [floor(i n / count), ceil((i + 1) n / count)).
    """
    (rows, height), (columns, width) = (
        _side_by_side(n, count, x) for n, count in zip(x.shape[2:], size, strict=True)
    )
    spread = np.take(np.take(x, rows, axis=2), columns, axis=3)
    window = height, width
    y, index = max_pool2d(spread, pool_geometry(spread.shape, window, window, (0, 0)))
    positions = rows[:, None] * x.shape[3] + columns
    return y, positions.reshape(-1)[index]


def _side_by_side(n, count, like):
    """(the places of adaptive windows one after the other, the length that each one has there).

    A shorter window ends with its last place once more, which is never the first maximum.
    """
    i = np.arange(count, like=like)
    first, end = i * n // count, -(-(i + 1) * n // count)
    longest = int((end - first).max())
    places = np.minimum(first[:, None] + np.arange(longest, like=like), end[:, None] - 1)
    return places.reshape(-1), longest


@kernel
def max_pool2d_backward(g, index, geometry):
    """dx: g added at the positions that max_pool2d chose; overlapping windows add up."""
    n, c, h, w = geometry.x_shape
    dx = np.zeros_like(g, shape=n * c * h * w)
    plane_start = np.arange(n * c, like=index).reshape(n, c, 1, 1) * (h * w)
    scatter_add_(dx, (plane_start + index).reshape(g.size), g.reshape(g.size))
    return dx.reshape(geometry.x_shape)


@kernel
def max_pool2d_gather(x, index):
    """y = x at index, plane by plane: the adjoint of max_pool2d_backward."""
    n, c, h, w = x.shape
    planes = index.reshape(n, c, index.shape[2] * index.shape[3])
    return np.take_along_axis(x.reshape(n, c, h * w), planes, axis=2).reshape(index.shape)


@kernel
def avg_pool2d(x, geometry):
    """The mean of each window; padding counts as zeros and is counted in the divisor."""
    wide_x = wide(x)
    dtype = np.result_type(wide_x.dtype, np.float64)
    y = np.zeros_like(wide_x, shape=geometry.y_shape, dtype=dtype)
    for _, _, x_slices, y_slices in taps(geometry):
        y[y_slices] += wide_x[x_slices]
    y /= geometry.kh * geometry.kw
    return y.astype(x.dtype, copy=False)


@kernel
def avg_pool2d_backward(g, geometry):
    """dx: each window's gradient spread evenly over the window."""
    share = wide(g) / (geometry.kh * geometry.kw)
    dx = np.zeros_like(g, shape=geometry.x_shape, dtype=np.result_type(share.dtype, np.float64))
    for _, _, x_slices, y_slices in taps(geometry):
        dx[x_slices] += share[y_slices]
    return dx.astype(g.dtype, copy=False)
