"""Products of matrices of any size: C = A B + bias, where blocks of B are packed for block_gemm.

A block of B is some rows and columns of it that stay in the second cache, copied so that its lines
do not compete for the same places there, and transposed if need be. A is read where it lies. Every
element of C is the same sum in the same order, whatever part of C a task computes: so the result
does not depend on the number of threads.
"""

import numpy as np

from .block_gemm import STEPS, multiply, multiply_and_add
from .memory import empty
from .simd import (
    REGISTER_BYTES,
    inlined,
    lanes,
    load,
    load_some,
    store,
    store_some,
    transpose,
)

VECTORS = 12  # columns of a block of B, in vectors: 4 times what block_gemm takes at once
ROWS = 512  # rows of C that meet a block of B before the next: their sums, too, stay in the cache


def rooms(tasks, dtype):
    """What packed_gemm needs besides its operands, for each of some tasks."""
    size = REGISTER_BYTES // np.dtype(dtype).itemsize
    return empty((tasks, STEPS * (VECTORS + 1) * size + ROWS * size), dtype)


@inlined
def packed_gemm(ta, a, tb, b, bias, c, top, bottom, left, right, room):
    """Rows top to bottom and columns left to right of c = op(a) @ op(b) + bias, on this thread.

    op transposes where the flag says so; a bias without elements is none. The matrices are of one
    dtype, with neighbours in a row beside each other; rows may lie at any distance. `left` is a
    multiple of lanes(c). To be called from compiled code, once block_gemm is prepared.
    """
    size = lanes(c)
    k = a.shape[0] if ta else a.shape[1]
    a_line, c_line = a.strides[0] // a.itemsize, c.strides[0] // c.itemsize
    a_row, a_step = (1, a_line) if ta else (a_line, 1)
    line = (VECTORS + 1) * size
    panel_rows, rest = np.arange(STEPS) * line, STEPS * line
    for upper in range(top, bottom, ROWS):
        m = min(ROWS, bottom - upper)
        for column in range(left, right, VECTORS * size):
            n = min(VECTORS * size, right - column)
            whole = n // size * size
            at = upper * c_line + column
            for first in range(0, max(k, 1), STEPS):
                steps = min(STEPS, k - first)
                _pack(tb, b, first, steps, column, n, room, line)
                start = upper * a_row + first * a_step
                if first == 0 and bias.size:
                    multiply_and_add(
                        a, start, a_row, a_step, room, 0, panel_rows,
                        c, at, c_line, bias, column, 0, m, whole, steps,
                    )  # fmt: skip
                else:
                    multiply(
                        a, start, a_row, a_step, room, 0, panel_rows,
                        c, at, c_line, m, whole, steps, first > 0,
                    )  # fmt: skip
                if whole < n:  # whole vectors would reach beyond the row
                    multiply(
                        a, start, a_row, a_step, room, whole, panel_rows,
                        room, rest, size, m, n - whole, steps, first > 0,
                    )  # fmt: skip
            if whole < n:
                for i in range(m):
                    value = load(room, rest + i * size)
                    if bias.size:
                        value = value + load_some(bias, column + whole, 0, n - whole)
                    store_some(c, at + i * c_line + whole, value, 0, n - whole)


@inlined
def _pack(tb, b, first, steps, column, n, panel, line):
    """panel[s * line + j] = op(b)[first + s, column + j], whole vectors of it."""
    size, b_line = lanes(panel), b.strides[0] // b.itemsize
    if tb:
        for j in range(0, n, size):
            for s in range(0, steps, size):
                transpose(
                    b, (column + j) * b_line + first + s, b_line, min(size, n - j),
                    min(size, steps - s), panel, s * line + j, line,
                )  # fmt: skip
    else:
        whole = n // size * size
        for s in range(steps):
            start = (first + s) * b_line + column
            for j in range(0, whole, size):
                store(panel, s * line + j, load(b, start + j))
            if whole < n:
                store(panel, s * line + whole, load_some(b, start + whole, 0, n - whole))
