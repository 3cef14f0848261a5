"""Matrix products by tiles in shared memory.

A thread sums the products of each tile, and adds these sums one after the other in the precision of
the arrays. So along a very long axis it loses digits that kernels/cuda keeps.
"""

import functools

import numpy as np
from numba import cuda, from_dtype

from .launch import TILE, blocks_for, check


@functools.cache
def _kernel(dtype):
    """The kernel for arrays of a dtype, which is that of its shared memory."""
    number = from_dtype(dtype)

    @cuda.jit
    def product(y, a, b, bias):
        """y = a b + bias; a block computes one tile of y, a thread one element of it."""
        tile_a = cuda.shared.array((TILE, TILE), number)
        tile_b = cuda.shared.array((TILE, TILE), number)
        column, row = cuda.grid(2)
        i, j = cuda.threadIdx.y, cuda.threadIdx.x
        total = number(0)
        for start in range(0, a.shape[1], TILE):
            # Each thread loads one element of each tile, zero outside the matrices.
            tile_a[i, j] = tile_b[i, j] = number(0)
            if row < a.shape[0] and start + j < a.shape[1]:
                tile_a[i, j] = a[row, start + j]
            if start + i < b.shape[0] and column < b.shape[1]:
                tile_b[i, j] = b[start + i, column]
            cuda.syncthreads()  # the tiles are complete
            of_tile = number(0)
            for k in range(TILE):
                of_tile += tile_a[i, k] * tile_b[k, j]
            total += of_tile
            cuda.syncthreads()  # the tiles may be overwritten
        if row < y.shape[0] and column < y.shape[1]:
            y[row, column] = total + bias[column]

    return product


def matmul(a, b):
    """a @ b of two matrices: (n, k) times (k, m)."""
    return _product("matmul", a, b, None)


def linear(x, weight, bias):
    """y = x weight + bias: (R, I), (I, O), (O,) -> (R, O)."""
    return _product("linear", x, weight, bias)


def _product(name, a, b, bias):
    check(name, a=a, b=b, bias=bias)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"[{name}] shapes {a.shape} and {b.shape}, expected (n, k) and (k, m)")
    if bias is not None and bias.shape != b.shape[1:]:
        raise ValueError(f"[{name}] bias has shape {bias.shape}, expected {b.shape[1:]}")
    y = np.zeros_like(a, shape=(a.shape[0], b.shape[1]))
    if y.size:
        grid = blocks_for(y.shape[1], TILE), blocks_for(y.shape[0], TILE)
        bias = np.zeros_like(y, shape=y.shape[1]) if bias is None else bias
        _kernel(np.dtype(a.dtype))[grid, (TILE, TILE)](y, a, b, bias)
    return y
