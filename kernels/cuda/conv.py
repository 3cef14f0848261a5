"""2-D convolution and its two gradients, launched from conv.cu."""

import functools

import numpy as np

from .linalg import (
    LARGE,
    MIDDLE,
    MULTIPROCESSORS,
    SIMT,
    SMALL,
    STEP,
    TENSOR,
    has_tensor_cores,
    longest_part,
)
from .machine.dtypes import WIDE, dtype_name
from .machine.kernel import kernel
from .machine.launcher import Source, capability_of
from .reduce import sum_middle

TENSOR_TILES = tuple({**tile, "TENSOR": 1} for tile in TENSOR.tiles)
SOURCE = Source("conv.cu", variants=(MIDDLE, SMALL), for_singles=(LARGE,), for_halves=TENSOR_TILES)
SPLIT = 512  # the fewest positions that are worth a block
MOST = 2**31 - 2**20  # positions of all images: kernels count these, and a share more, in an int


@kernel("x weight bias?")
def conv2d(x, weight, geometry, bias=None):
    """y[n, o, p, q] = bias[o] + sum of weight[o, c, i, j] * x[n, c, p*stride + i*dilation, ...]."""
    dtype = dtype_name(x.dtype)
    if not _fits(geometry):
        return NotImplemented
    s, y = geometry, np.empty_like(x, shape=geometry.y_shape)
    if x.size == 0 or y.size == 0 or weight.size == 0:
        return NotImplemented
    _, kernel, blocks, threads = _launch(
        "conv2d", x, dtype, s.groups, s.c_out, s.images * s.ho * s.wo
    )
    kernel(blocks, threads, y, x, weight, bias, _shape(s))
    return y


@kernel("g weight")
def conv2d_input_grad(g, weight, geometry):
    """dx: every output's gradient times the weights, added up where its window lies."""
    dtype = dtype_name(g.dtype)
    if not _fits(geometry) or g.size == 0 or weight.size == 0:
        return NotImplemented
    s, dx = geometry, np.empty_like(g, shape=geometry.x_shape)
    _, kernel, blocks, threads = _launch(
        "conv2d_input_grad", g, dtype, s.groups, s.c_in, s.images * s.h * s.w
    )
    kernel(blocks, threads, dx, g, weight, _shape(s))
    return dx


@kernel("g x")
def conv2d_weight_grad(g, x, geometry):
    """dweight: the output's gradient times the patches, summed over images and positions."""
    dtype = dtype_name(g.dtype)
    if not _fits(geometry) or g.size == 0 or x.size == 0:
        return NotImplemented
    s, weight_shape = geometry, geometry.weight_shape
    positions = s.images * s.ho * s.wo
    core, kernel, blocks, threads = _launch(
        "conv2d_weight_grad", g, dtype, s.groups, s.c_out, s.c_in * s.kh * s.kw
    )
    parts = max(1, min(2 * MULTIPROCESSORS // blocks, positions // SPLIT))
    share = min(-(-positions // parts // STEP) * STEP, longest_part(core, dtype))
    parts = -(-positions // share)
    workspace = np.empty_like(x, shape=(parts, *weight_shape), dtype=WIDE[dtype])
    kernel((blocks, parts), threads, workspace, g, x, _shape(s), share)
    if parts == 1:
        return workspace.reshape(weight_shape).astype(x.dtype, copy=False)
    summed = sum_middle(workspace.reshape(1, parts, workspace.size // parts))
    return summed.reshape(weight_shape).astype(x.dtype, copy=False)


@functools.lru_cache(maxsize=1024)
def _shape(s):
    """The fields of conv.cu's Shape, from a Geometry."""
    filters = s.groups * s.c_out
    sizes = *s.x_shape, filters, *s.kernel, s.groups, s.ho, s.wo
    return *sizes, *s.stride, *s.padding, *s.dilation


def _fits(s):
    """Whether an int can count the positions, and the elements of a padded side."""
    sides = max(s.h + 2 * s.ph, s.w + 2 * s.pw)
    return max(s.images * s.h * s.w, s.images * s.ho * s.wo, sides) <= MOST


def _launch(name, array, dtype, groups, rows, columns):
    """(core, kernel, blocks, threads) for the largest tile that keeps the array's GPU busy."""
    core, tiles = SIMT, (MIDDLE, SMALL) if dtype == "float64" else (LARGE, MIDDLE, SMALL)
    if has_tensor_cores("conv2d", dtype, capability_of(array)):
        core, tiles = TENSOR, TENSOR_TILES
    for tile in tiles:
        blocks = groups * -(-rows // core.rows_of(tile)) * -(-columns // core.columns_of(tile))
        filled = rows > core.rows_of(tile) // 2 and columns > core.columns_of(tile) // 2
        if filled and blocks >= MULTIPROCESSORS:
            break
    return core, SOURCE.kernel(name, dtype, **tile), blocks, core.threads(tile)
