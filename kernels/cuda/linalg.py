"""Matrix products: linalg.cu, on tensor cores linalg_tensor.cu, on warpgroups linalg_wgmma.cu."""

import functools
import math
from typing import NamedTuple

import numpy as np

from .machine import flat
from .machine.dtypes import ITEMSIZES, WIDE, common_dtype, log_once
from .machine.kernel import contiguous, kernel
from .machine.launcher import Source, TensorView, address, capability_of
from .machine.tiles import Choice, Shape, choices


class Operand(NamedTuple):
    """A matrix, or a batch of them, as it lies in memory."""

    array: object
    rows: int  # rows of A, or columns of B
    k: int
    step: int  # elements from one matrix of the batch to the next; 0 if one serves all
    across: bool  # whether neighbours in memory are neighbouring rows, and not neighbouring k

    @property
    def width(self):
        """How many elements are neighbours in memory."""
        return self.rows if self.across else self.k

    def view(self):
        """The matrices as tensor copies read them, in boxes of 64 x 64."""
        sizes = (self.rows, self.k) if self.across else (self.k, self.rows)
        matrix = self.rows * self.k
        count = self.array.size // matrix if self.step and matrix else 1
        return TensorView(self.array, (*sizes, count), (1, sizes[0], matrix), (64, 64, 1))


class Core(NamedTuple):
    """One implementation of products: its source, and the tiles of C that a block can compute."""

    source: Source
    row: int  # rows of C in one of a warp's ROWS x COLUMNS pieces
    column: int  # columns of C in such a piece
    tiles: tuple  # defines, the largest tile first: it reads the operands least often
    reads: dict  # by itemsize: how many elements are read at a time from rows so aligned
    writes: int  # elements that are written at a time
    stage: int = 0  # bytes of dynamic shared memory for each row and column of a tile
    kernel: str = "gemm"

    def rows_of(self, tile):
        """The rows of C that a tile covers."""
        return tile["ROWS"] * tile["WARPS_M"] * self.row

    def columns_of(self, tile):
        """The columns of C that a tile covers."""
        return tile["COLUMNS"] * tile["WARPS_N"] * self.column

    def blocks(self, tile, m, n):
        """How many tiles cover C."""
        return -(-m // self.rows_of(tile)) * -(-n // self.columns_of(tile))

    def threads(self, tile):
        """The threads of a block."""
        return tile["WARPS_M"] * tile["WARPS_N"] * 32

    def shared(self, tile):
        """Bytes of dynamic shared memory of a block."""
        return self.stage * (self.rows_of(tile) + self.columns_of(tile))

    def operands(self, a, b, dtype):
        """The kernel's arguments for two Operands: (a, b, how they lie in memory)."""
        together = self.reads[ITEMSIZES[dtype]]
        vectors = (_in_vectors(x.array, x.width, dtype, together) for x in (a, b))
        return a.array, b.array, (a.step, b.step, a.across, not b.across, *vectors)


class Warpgroups(Core):
    """wgmma, on operands that tensor copies bring to shared memory."""

    def rows_of(self, tile):
        return tile["BLOCKS"] * self.row

    def columns_of(self, tile):
        return self.column

    def threads(self, tile):
        return 3 * 128

    def shared(self, tile):
        barriers = 2 * 4 * 8
        return super().shared(tile) + barriers

    def operands(self, a, b, dtype):
        return a.view(), b.view(), (a.step > 0, b.step > 0, a.across, b.across)


def _tile(rows, columns, warps_m, warps_n):
    return {"ROWS": rows, "COLUMNS": columns, "WARPS_M": warps_m, "WARPS_N": warps_n}


LARGE = _tile(2, 2, 4, 2)  # 128 x 128, 256 threads
MIDDLE = _tile(2, 1, 2, 2)  # 64 x 64, 128 threads
SMALL = _tile(1, 1, 2, 1)  # 32 x 32, 64 threads
SOURCE = Source("linalg.cu", variants=(MIDDLE, SMALL), for_singles=(LARGE,))
SIMT = Core(SOURCE, 16, 32, (LARGE, MIDDLE, SMALL), {2: 4, 4: 4, 8: 4}, 4)
# On tensor cores: 128 x 128 with 256 threads, 64 x 64 with 128.
TENSOR_TILES = _tile(4, 4, 2, 4), _tile(2, 4, 2, 2)
TENSOR_SOURCE = Source("linalg_tensor.cu", ("float32", "float16", "bfloat16"), TENSOR_TILES)
TENSOR = Core(TENSOR_SOURCE, 16, 8, TENSOR_TILES, {2: 8, 4: 4}, 2, stage=4 * 64)
# On warpgroups: 256 x 128 and 128 x 128.
WGMMA_TILES = {"BLOCKS": 2}, {"BLOCKS": 1}
WGMMA_SOURCE = Source(
    "linalg_wgmma.cu", ("float16", "bfloat16"), WGMMA_TILES, architecture="sm_90a"
)
WGMMA = Warpgroups(WGMMA_SOURCE, 128, 128, WGMMA_TILES, {}, 2, 4 * 128, "wgmma_gemm")
CORES = {core.source.path.stem: core for core in (SIMT, TENSOR, WGMMA)}
TENSOR_CAPABILITY = 80  # the first with cp.async, and with mma.sync of bfloat16 and tf32
ACTIVATIONS = {None: 0, "relu": 1, "gelu": 2, "silu": 3}  # as activation.cuh has them
MULTIPROCESSORS = 132  # of an H100, which that many blocks keep busy
STEP = 64  # the length of a part of k is a multiple of it, and it is one of each BK
SPLIT = 256  # the shortest part of k that is worth a block


@kernel("a b", any_layout=True)
def matmul(a, b, *, tf32=False):
    """a @ b by the rules of NumPy: (..., n, k) times (..., k, m), leading axes broadcast."""
    if a.ndim == 0 or b.ndim == 0:
        return NotImplemented
    y = gemm(a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b, tf32=tf32)
    y = y[..., 0] if b.ndim == 1 else y
    return y if a.ndim > 1 else y[..., 0, :] if b.ndim > 1 else y[..., 0]


@kernel("x weight bias", any_layout=True)
def linear(x, weight, bias, *, tf32=False):
    """y = x weight + bias: (R, I), (I, O), (O,) -> (R, O)."""
    return gemm(x, weight, bias=contiguous(bias), tf32=tf32)


def gemm(
    a,
    b,
    *,
    bias=None,
    activation=None,
    residual=None,
    tf32=False,
    core=None,
    tile=None,
    parts=None,
):
    """activation(a @ b + bias) + residual of arrays of one dtype: (..., m, k), (..., k, n), (n,).

    `activation` is None, "relu", "gelu" or "silu"; `residual` has the result's shape. `core`,
    `tile` and `parts` (along k) are chosen by dtype and shape unless they are given: half types
    multiply on tensor cores, float32 only where `tf32` allows rounding to 11 bits. A very long k
    is cut into more parts than `parts` (see `longest_part`).
    """
    dtype = common_dtype(a, b, bias, residual)
    (m, k), n = a.shape[-2:], b.shape[-1]
    leading = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    c = np.empty_like(a, shape=(*leading, m, n), order="C")
    if c.size == 0:
        return c
    if leading and math.prod(b.shape[:-2]) == 1 and not _transposed(a):
        # One product of all rows, which lie in the same order in c and in the residual.
        m, leading = m * math.prod(leading), ()
        a, b = a.reshape(m, k), b.reshape(k, n)
    batch = math.prod(leading)
    left, right = _operand(a, leading), _operand(b.swapaxes(-1, -2), leading)
    core = core or choose_core(left, right, dtype, tf32)
    if tile is None:
        layout = "nt"[left.across] + "tn"[right.across]
        tile, best = choose(core.source, dtype, layout, m, n, k, batch, capability_of(c))
        parts = parts or best
    blocks = batch * core.blocks(tile, m, n)
    parts = parts or choose_parts(blocks, k)
    share = min(max(STEP, -(-k // parts // STEP) * STEP), longest_part(core, dtype))
    parts = max(1, -(-k // share))
    workspace = None
    if parts > 1:
        workspace = np.empty_like(a, shape=(parts, *c.shape), dtype=WIDE[dtype], order="C")
    code = ACTIVATIONS[activation]
    outputs = (c, None) if workspace is None else (None, workspace)
    a, b, layouts = core.operands(left, right, dtype)
    options = *layouts, _in_vectors(c, n, dtype, core.writes), code, share
    kernel = core.source.kernel(core.kernel, dtype, **tile)
    size = (blocks, parts), core.threads(tile)
    kernel(*size, *outputs, a, b, bias, residual, m, n, k, *options, shared=core.shared(tile))
    if workspace is not None:
        kernel = SOURCE.kernel("combine", dtype, **SMALL)
        grid = flat.blocks(c.size)
        kernel(grid, flat.THREADS, c, workspace, bias, residual, n, parts, code, c.size)
    return c


def has_tensor_cores(op, dtype, capability, tf32=False):
    """Whether an op has kernels for the GPU's tensor cores; logs once if the GPU is too old."""
    wanted = ITEMSIZES[dtype] == 2 or (tf32 and dtype == "float32")
    if wanted and capability < TENSOR_CAPABILITY:
        need = "[%s] %s without tensor cores: the GPU's compute capability is %s, below 8.0"
        log_once(need, op, dtype, capability / 10)
    return wanted and capability >= TENSOR_CAPABILITY


def choose_core(a, b, dtype, tf32=False):
    """The Core for two Operands: warpgroups, tensor cores or neither."""
    capability = capability_of(a.array)
    if not has_tensor_cores("matmul", dtype, capability, tf32):
        return SIMT
    if dtype == "float32" or capability // 10 != 9 or min(a.rows, b.rows) < 128 or a.k < 64:
        return TENSOR
    problem = a.view().problem() or b.view().problem()
    if problem:
        log_once("[matmul] %s without warpgroups: %s", dtype, problem)
    return TENSOR if problem else WGMMA


@functools.lru_cache(4096)
def choose(source, dtype, layout, m, n, k, batch, capability):
    """The Choice for a product: from a table timed on such a GPU if it is there, else by rule."""
    shape = Shape(source.path.stem, dtype, layout, m, n, k, batch)
    return choices(capability).get(shape) or by_rule(shape)


def by_rule(shape):
    """The largest tile that keeps the GPU busy, and parts of k where no tile does."""
    core, (m, n, k, batch) = CORES[shape.source], shape[3:]
    tile = choose_tile(core, m, n, batch, shape.dtype)
    return Choice(tile, choose_parts(batch * core.blocks(tile, m, n), k))


def choose_tile(core, m, n, batch, dtype):
    """The largest tile of which C has enough to keep the GPU busy."""
    tiles = [tile for tile in core.tiles if dtype != "float64" or tile is not LARGE]
    for tile in tiles:
        if batch * core.blocks(tile, m, n) >= MULTIPROCESSORS and core.rows_of(tile) > 32:
            return tile
    return tiles[-1] if core is not SIMT or min(m, n) <= 32 else MIDDLE


def choose_parts(blocks, k):
    """How many parts k is cut into, so that each multiprocessor has about two blocks."""
    return max(1, min(2 * MULTIPROCESSORS // blocks, k // SPLIT))


def longest_part(core, dtype):
    """The longest part of k that one block adds up, so that float32 sums keep their digits.

    No sum has more than 1024 terms one after the other. gemm_tile.cuh adds up runs of 512 products,
    and then the runs; tensor cores add 16 products at a time, or 8 of float32.
    """
    return 512 * 512 if core is SIMT else 1024 * 32 // ITEMSIZES[dtype]


def _transposed(x):
    """Whether matrices lie transposed in memory, one after the other and without gaps."""
    return not x.flags.c_contiguous and x.swapaxes(-1, -2).flags.c_contiguous


def _operand(x, leading):
    """The Operand for an array (..., rows, k), copied unless it lies along or across."""
    own, (rows, k) = x.shape[:-2], x.shape[-2:]
    if own != leading and math.prod(own) > 1:
        x = np.broadcast_to(x, (*leading, rows, k))
    step = rows * k if math.prod(x.shape[:-2]) > 1 else 0
    if x.flags.c_contiguous:
        return Operand(x, rows, k, step, False)
    if _transposed(x):
        return Operand(x.swapaxes(-1, -2), rows, k, step, True)
    return Operand(x.copy(order="C"), rows, k, step, False)


def _in_vectors(x, width, dtype, size):
    """Whether rows of this width can be read or written as aligned vectors of `size` elements."""
    return width % size == 0 and address(x) % (size * ITEMSIZES[dtype]) == 0
