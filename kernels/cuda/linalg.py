"""Matrix products with bias, activation and residual: matmul.cu and tensor_matmul.cu."""

import functools
import logging
import math
from typing import NamedTuple

import numpy as np

from .. import reference
from . import flat
from .launcher import ITEMSIZES, Source, address, capability, common_dtype


class Core(NamedTuple):
    """One way to multiply: its source, and the tiles of C that a block of it computes."""

    source: Source
    row: int  # the numbers of C in a piece of a warp, of which a tile counts ROWS x COLUMNS
    column: int
    tiles: tuple  # the largest, which read the operands least often, first
    reads: dict  # by bytes of a number: how many are read at a time where rows are aligned so
    writes: int  # numbers that are written at a time
    stage: int = 0  # bytes of dynamic shared memory for each row and column of a tile

    def rows_of(self, tile):
        """The rows of C that a tile covers."""
        return tile["ROWS"] * tile["WARPS_M"] * self.row

    def columns_of(self, tile):
        """The columns of C that a tile covers."""
        return tile["COLUMNS"] * tile["WARPS_N"] * self.column

    def shared(self, tile):
        """Bytes of dynamic shared memory of a block."""
        return self.stage * (self.rows_of(tile) + self.columns_of(tile))


def _tile(rows, columns, warps_m, warps_n):
    return {"ROWS": rows, "COLUMNS": columns, "WARPS_M": warps_m, "WARPS_N": warps_n}


LARGE = _tile(2, 2, 4, 2)  # 128 x 128, 256 threads
MIDDLE = _tile(2, 1, 2, 2)  # 64 x 64, 128 threads
SMALL = _tile(1, 1, 2, 1)  # 32 x 32, 64 threads
SOURCE = Source("matmul.cu", variants=(MIDDLE, SMALL), for_singles=(LARGE,))
SIMT = Core(SOURCE, 16, 32, (LARGE, MIDDLE, SMALL), {2: 4, 4: 4, 8: 4}, 4)
# On tensor cores: 128 x 128 with 256 threads, 64 x 64 with 128.
TENSOR_TILES = _tile(4, 4, 2, 4), _tile(2, 4, 2, 2)
TENSOR_SOURCE = Source("tensor_matmul.cu", ("float32", "float16", "bfloat16"), TENSOR_TILES)
TENSOR = Core(TENSOR_SOURCE, 16, 8, TENSOR_TILES, {2: 8, 4: 4}, 2, stage=4 * 64)
TENSOR_CAPABILITY = 80  # cp.async, and mma.sync of bfloat16 and tf32
ACTIVATIONS = {None: 0, "relu": 1, "gelu": 2, "silu": 3}  # as activation.cuh has them
MULTIPROCESSORS = 132  # of an H100: as many blocks keep it busy
STEP = 32  # a part of k is a multiple of it, as of each BK
SPLIT = 256  # a part of k that is worth a block of its own


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


def gemm(
    a,
    b,
    *,
    bias=None,
    activation=None,
    residual=None,
    core=None,
    tile=None,
    parts=None,
):
    """activation(a @ b + bias) + residual of arrays of one dtype: (..., m, k), (..., k, n), (n,).

    `activation` is None, "relu", "gelu" or "silu"; `residual` has the result's shape. `core`,
    `tile` and `parts` (along k) are chosen by dtype and shape unless they are given: half types
    multiply on tensor cores, float32 only where `core=TENSOR` asks for rounding to 11 bits (tf32).
    """
    dtype = common_dtype(a, b, bias, residual)
    (m, k), n = a.shape[-2:], b.shape[-1]
    leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    batch = math.prod(leading)
    c = np.empty_like(a, shape=(*leading, m, n), order="C")
    if c.size == 0:
        return c
    a, a_step, a_transposed = _operand(a, leading)
    b, b_step, b_transposed = _operand(b, leading)
    core = core or (TENSOR if has_tensor_cores("matmul", dtype, capability(a)) else SIMT)
    tile = choose_tile(core, m, n, batch, dtype) if tile is None else tile
    blocks = batch * -(-m // core.rows_of(tile)) * -(-n // core.columns_of(tile))
    parts = choose_parts(blocks, k) if parts is None else parts
    share = max(STEP, -(-k // parts // STEP) * STEP)
    parts = max(1, -(-k // share))
    workspace = None
    if parts > 1:
        wide = np.float64 if dtype == "float64" else np.float32
        workspace = np.empty_like(a, shape=(parts, *c.shape), dtype=wide, order="C")
    code = ACTIVATIONS[activation]
    together = core.reads[ITEMSIZES[dtype]]
    vectors = (
        _in_vectors(a, (m if a_transposed else k), dtype, together),
        _in_vectors(b, (k if b_transposed else n), dtype, together),
        _in_vectors(c, n, dtype, core.writes),
    )
    threads = tile["WARPS_M"] * tile["WARPS_N"] * 32
    to = (c, None) if workspace is None else (None, workspace)
    steps = a_step, b_step, a_transposed, b_transposed
    ends = bias, residual, m, n, k, *steps, *vectors, code, share
    kernel = core.source.kernel("gemm", dtype, **tile)
    kernel((blocks, parts), threads, *to, a, b, *ends, shared=core.shared(tile))
    if workspace is not None:
        kernel = SOURCE.kernel("combine", dtype, **SMALL)
        grid = flat.blocks(c.size)
        kernel(grid, flat.THREADS, c, workspace, bias, residual, n, parts, code, c.size)
    return c


def has_tensor_cores(op, dtype, capability):
    """Whether an op has kernels for the GPU's tensor cores; logs once if the GPU is too old."""
    if ITEMSIZES[dtype] == 2 and capability < TENSOR_CAPABILITY:
        _log_fallback(op, dtype, capability)
    return ITEMSIZES[dtype] == 2 and capability >= TENSOR_CAPABILITY


@functools.cache  # once for each
def _log_fallback(op, dtype, capability):
    logging.getLogger(__name__).warning(
        "[%s] %s without tensor cores: this GPU is of compute capability %d.%d, and the kernels "
        "need 8.0",
        *(op, dtype, *divmod(capability, 10)),
    )


def choose_tile(core, m, n, batch, dtype):
    """The largest tile of which there are enough to keep the GPU busy."""
    tiles = [tile for tile in core.tiles if dtype != "float64" or tile is not LARGE]
    for tile in tiles:
        rows, columns = core.rows_of(tile), core.columns_of(tile)
        if batch * -(-m // rows) * -(-n // columns) >= MULTIPROCESSORS and rows > 32:
            return tile
    return tiles[-1] if core is TENSOR or min(m, n) <= 32 else MIDDLE


def choose_parts(blocks, k):
    """In how many parts k is cut, so that there are about two blocks a multiprocessor."""
    return max(1, min(2 * MULTIPROCESSORS // blocks, k // SPLIT))


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


def _in_vectors(x, width, dtype, numbers):
    """Whether rows of this width can be read or written as aligned vectors of so many numbers."""
    return width % numbers == 0 and address(x) % (numbers * ITEMSIZES[dtype]) == 0
