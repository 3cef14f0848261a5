"""2-D convolution and its two gradients, launched from conv.cu."""

import numpy as np

from ..reference.windows import output_size
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
from .machine.dtypes import dtype_name
from .machine.kernel import kernel
from .machine.launcher import Source, capability_of
from .reduce import sum_middle

TENSOR_TILES = tuple({**tile, "TENSOR": 1} for tile in TENSOR.tiles)
SOURCE = Source("conv.cu", variants=(MIDDLE, SMALL), for_singles=(LARGE,), for_halves=TENSOR_TILES)
SPLIT = 512  # positions that are worth a block of their own
MOST = 2**31 - 1  # positions of all images, as an int


@kernel("x weight bias?")
def conv2d(x, weight, stride, padding, dilation, groups, bias=None):
    """y[n, o, p, q] = bias[o] + sum of weight[o, c, i, j] * x[n, c, p*stride + i*dilation, ...]."""
    dtype = dtype_name(x.dtype)
    shape = _shape(x.shape, weight.shape, stride, padding, dilation, groups)
    if not _fits(shape):
        return NotImplemented
    (n, *_), filters, (out_h, out_w) = x.shape, weight.shape[0], shape[8:10]
    y = np.empty_like(x, shape=(n, filters, out_h, out_w))
    if x.size == 0 or y.size == 0 or weight.size == 0:
        return NotImplemented
    _, kernel, blocks, threads = _launch(
        "conv2d", x, dtype, groups, filters // groups, n * out_h * out_w
    )
    kernel(blocks, threads, y, x, weight, bias, shape)
    return y


@kernel("g weight")
def conv2d_input_grad(g, weight, x_shape, stride, padding, dilation, groups):
    """dx, the mirror of conv2d."""
    dtype = dtype_name(g.dtype)
    shape = _shape(x_shape, weight.shape, stride, padding, dilation, groups)
    if not _fits(shape) or g.size == 0 or weight.size == 0:
        return NotImplemented
    n, channels, height, width = x_shape
    dx = np.empty_like(g, shape=x_shape)
    _, kernel, blocks, threads = _launch(
        "conv2d_input_grad", g, dtype, groups, channels // groups, n * height * width
    )
    kernel(blocks, threads, dx, g, weight, shape)
    return dx


@kernel("g x")
def conv2d_weight_grad(g, x, weight_shape, stride, padding, dilation, groups):
    """dweight: the output's gradient times the patches, summed over images and positions."""
    dtype = dtype_name(g.dtype)
    shape = _shape(x.shape, weight_shape, stride, padding, dilation, groups)
    if not _fits(shape) or g.size == 0 or x.size == 0:
        return NotImplemented
    filters, *patch = weight_shape
    positions = g.shape[0] * g.shape[2] * g.shape[3]
    core, kernel, blocks, threads = _launch(
        "conv2d_weight_grad", g, dtype, groups, filters // groups, patch[0] * patch[1] * patch[2]
    )
    parts = max(1, min(2 * MULTIPROCESSORS // blocks, positions // SPLIT))
    share = min(-(-positions // parts // STEP) * STEP, longest_part(core, dtype))
    parts = -(-positions // share)
    wide = np.float64 if dtype == "float64" else np.float32
    workspace = np.empty_like(x, shape=(parts, *weight_shape), dtype=wide)
    kernel((blocks, parts), threads, workspace, g, x, shape, share)
    if parts == 1:
        return workspace.reshape(weight_shape).astype(x.dtype, copy=False)
    summed = sum_middle(workspace.reshape(1, parts, workspace.size // parts))
    return summed.reshape(weight_shape).astype(x.dtype, copy=False)


def _shape(x_shape, weight_shape, stride, padding, dilation, groups):
    """The fields of conv.cu's Shape."""
    size = output_size(x_shape[2:], weight_shape[2:], stride, padding, dilation)
    filters, _, *taps = weight_shape
    fields = *x_shape, filters, *taps, groups, *size, *stride, *padding, *dilation
    return tuple(map(int, fields))


def _fits(shape):
    """Whether positions and padded sides can be counted in an int."""
    images, _, height, width, *_ = shape
    out_h, out_w = shape[8:10]
    padding = shape[12:14]
    sides = max(height + 2 * padding[0], width + 2 * padding[1])
    return max(images * height * width, images * out_h * out_w, sides) <= MOST


def _launch(name, array, dtype, groups, rows, columns):
    """(core, kernel, blocks, threads) of the largest tile of which an array's GPU gets enough."""
    core, tiles = SIMT, (MIDDLE, SMALL) if dtype == "float64" else (LARGE, MIDDLE, SMALL)
    if has_tensor_cores("conv2d", dtype, capability_of(array)):
        core, tiles = TENSOR, TENSOR_TILES
    for tile in tiles:
        blocks = groups * -(-rows // core.rows_of(tile)) * -(-columns // core.columns_of(tile))
        filled = rows > core.rows_of(tile) // 2 and columns > core.columns_of(tile) // 2
        if filled and blocks >= MULTIPROCESSORS:
            break
    return core, SOURCE.kernel(name, dtype, **tile), blocks, core.threads(tile)
