"""Matrix products, launched from matmul.cu: transposed or not, batched, bias and activation."""

import math

import numpy as np

from .. import reference
from . import flat
from .launcher import ITEMSIZES, Source, address, common_dtype

# The tiles of C that a block computes. Large ones read the operands least often; small ones make
# enough blocks of a small product.
LARGE = {"ROWS": 2, "COLUMNS": 2, "WARPS_M": 4, "WARPS_N": 2}  # 128 x 128, 256 threads
MIDDLE = {"ROWS": 2, "COLUMNS": 1, "WARPS_M": 2, "WARPS_N": 2}  # 64 x 64, 128 threads
SMALL = {"ROWS": 1, "COLUMNS": 1, "WARPS_M": 2, "WARPS_N": 1}  # 32 x 32, 64 threads
SOURCE = Source("matmul.cu", variants=(MIDDLE, SMALL), for_singles=(LARGE,))
ACTIVATIONS = {None: 0, "relu": 1, "gelu": 2, "silu": 3}  # as activation.cuh has them
MULTIPROCESSORS = 132  # of an H100: as many blocks keep it busy
SPLIT = 256  # a part of k that is worth a block of its own
STEP = 8  # BK of matmul.cu


def matmul(a, b):
    """a @ b by the rules of NumPy: (..., n, k) times (..., k, m), leading axes broadcast."""
    if common_dtype(a, b) is None or a.ndim == 0 or b.ndim == 0:
        return reference.matmul(a, b)
    y = gemm(a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b)
    y = y[..., 0] if b.ndim == 1 else y
    return y if a.ndim > 1 else y[..., 0, :] if b.ndim > 1 else y[..., 0]


def linear(x, weight, bias):
    """y = x weight + bias: (R, I), (I, O), (O,) -> (R, O)."""
    if common_dtype(x, weight, bias) is None:
        return reference.linear(x, weight, bias)
    return gemm(x, weight, bias=bias)


def gemm(a, b, *, bias=None, activation=None, tile=None, parts=None):
    """activation(a @ b + bias) of arrays of one dtype: (..., m, k), (..., k, n), (n,).

    `activation` is None, "relu", "gelu" or "silu"; `tile` and `parts` (along k) are chosen by the
    shape unless they are given.
    """
    dtype = common_dtype(a, b, bias)
    (m, k), n = a.shape[-2:], b.shape[-1]
    leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    batch = math.prod(leading)
    c = np.empty_like(a, shape=(*leading, m, n), order="C")
    if c.size == 0:
        return c
    a, a_step, a_transposed = _operand(a, leading)
    b, b_step, b_transposed = _operand(b, leading)
    tile = choose_tile(m, n, batch, dtype) if tile is None else tile
    blocks = batch * -(-m // rows_of(tile)) * -(-n // columns_of(tile))
    parts = choose_parts(blocks, k) if parts is None else parts
    share = max(STEP, -(-k // parts // STEP) * STEP)
    parts = max(1, -(-k // share))
    workspace = None
    if parts > 1:
        wide = np.float64 if dtype == "float64" else np.float32
        workspace = np.empty_like(a, shape=(parts, *c.shape), dtype=wide, order="C")
    code = ACTIVATIONS[activation]
    vectors = (
        _in_fours(a, (m if a_transposed else k), dtype),
        _in_fours(b, (k if b_transposed else n), dtype),
        _in_fours(c, n, dtype),
    )
    threads = tile["WARPS_M"] * tile["WARPS_N"] * 32
    to = (c, None) if workspace is None else (None, workspace)
    steps = a_step, b_step, a_transposed, b_transposed
    kernel = SOURCE.kernel("gemm", dtype, **tile)
    kernel((blocks, parts), threads, *to, a, b, bias, m, n, k, *steps, *vectors, code, share)
    if workspace is not None:
        kernel = SOURCE.kernel("combine", dtype, **tile)
        grid = flat.blocks(c.size)
        kernel(grid, flat.THREADS, c, workspace, bias, n, parts, code, c.size)
    return c


def choose_tile(m, n, batch, dtype):
    """The largest tile of which there are enough to keep the GPU busy."""
    for tile in (MIDDLE,) if dtype == "float64" else (LARGE, MIDDLE):
        if batch * (-(-m // rows_of(tile))) * (-(-n // columns_of(tile))) >= MULTIPROCESSORS:
            return tile
    return SMALL if min(m, n) <= 32 else MIDDLE


def choose_parts(blocks, k):
    """In how many parts k is cut, so that there are about two blocks a multiprocessor."""
    return max(1, min(2 * MULTIPROCESSORS // blocks, k // SPLIT))


def rows_of(tile):
    """The rows of C that a tile covers."""
    return tile["ROWS"] * tile["WARPS_M"] * 16


def columns_of(tile):
    """The columns of C that a tile covers."""
    return tile["COLUMNS"] * tile["WARPS_N"] * 32


def _operand(x, leading):
    """(contiguous array, elements from one matrix to the next, whether it lies transposed)."""
    own = x.shape[:-2]
    if own != leading and math.prod(own) > 1:
        x = np.broadcast_to(x, (*leading, *x.shape[-2:]))
    step = x.shape[-2] * x.shape[-1] if math.prod(x.shape[:-2]) > 1 else 0
    if x.flags.c_contiguous:
        return x, step, False
    across = x.swapaxes(-1, -2)
    if across.flags.c_contiguous:
        return across, step, True
    return x.copy(order="C"), step, False


def _in_fours(x, width, dtype):
    """Whether rows of this width can be read as aligned vectors of four."""
    return width % 4 == 0 and address(x) % (4 * ITEMSIZES[dtype]) == 0
