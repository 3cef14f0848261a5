"""Products of matrices of any size: C = A B + bias, where blocks of B are packed for block_gemm.

A block of B is some of its rows and columns that stay in the second-level cache. It is copied, so
that its rows do not compete for the same places there, and transposed if need be. A is read where
it lies, unless B has enough columns to make up for packing A too: then a block of A is copied into
the order in which it is read, tile after tile of the rows that block_gemm takes at once. Which part
of C a task computes, and whether A is packed, does not change the order in which an element of C is
added up: so the result does not depend on the number of threads.

Sums have three levels: STEPS products are added up in registers, up to LONG of them in C, and more
in float64. So no product meets more than some hundred roundings.
"""

import numpy as np

from ..machine.memory import empty
from ..machine.simd import (
    REGISTER_BYTES,
    inlined,
    lanes,
    load,
    load_some,
    store,
    store_some,
)
from .block_gemm import ROWS as TILE
from .block_gemm import STEPS, multiply_onto, prepare
from .transposing import prepare_transpose, transpose

VECTORS = 12  # columns of a block of B, in vectors: 4 times what block_gemm takes at once
# Rows and columns of a packed block of A, half a megabyte of float32. The columns are a multiple of
# STEPS, so that packing does not change the order of a sum.
HIGH, DEEP = 256, max(1, 512 // STEPS) * STEPS
WIDE = 256  # columns of C for which packing A starts to pay
ROWS = 512  # rows of C that use a block of B before the next: their sums, too, stay in the cache
LONG = 32 * STEPS  # products that are added up in C, before their sum goes to one in float64
SIDE = 1536  # columns of C whose sums in float64 are kept at a time


_kept: dict[tuple, list] = {}  # scratch that was given back, by the number of tasks and dtype


def rooms(tasks, dtype):
    """Scratch memory for packed_gemm, (tasks, elements): each task passes its row as `room`.

    Call this before a kernel that calls packed_gemm is compiled or loaded: it compiles what that
    needs. Give the memory to `keep_rooms` after the product, so that the next one can have it.
    """
    kept = _kept.get((tasks, dtype))
    if kept:
        try:
            return kept.pop()
        except IndexError:  # another thread was faster
            pass
    prepare(dtype)
    prepare_transpose(dtype)
    size = REGISTER_BYTES // np.dtype(dtype).itemsize
    return empty((tasks, STEPS * (VECTORS + 1) * size + ROWS * size + HIGH * DEEP + size), dtype)


def keep_rooms(rooms):
    """Keep scratch memory from `rooms` for the next product."""
    kept = _kept.setdefault((len(rooms), rooms.dtype), [])
    if not kept:
        kept.append(rooms)


@inlined
def packed_gemm(ta, a, tb, b, bias, c, top, bottom, left, right, room):
    """Rows top to bottom and columns left to right of c = op(a) @ op(b) + bias, on this thread.

    op transposes a if `ta`, and b if `tb`; a bias without elements is none. The matrices are of one
    dtype. The elements of a row are contiguous, and rows may lie at any distance. `left` is a
    multiple of lanes(c). `room` is scratch memory from `rooms`. This is for compiled code.
    """
    size = lanes(c)
    k = a.shape[0] if ta else a.shape[1]
    a_line, c_line = a.strides[0] // a.itemsize, c.strides[0] // c.itemsize
    a_row, a_step = (1, a_line) if ta else (a_line, 1)
    line = (VECTORS + 1) * size
    panel_rows, rest = np.arange(STEPS) * line, STEPS * line
    packs = right - left >= WIDE and bottom - top >= HIGH // 2
    high, deep = (HIGH, DEEP) if packs else (ROWS, min(k, LONG))
    tiles = rest + ROWS * size
    side = SIDE if k > LONG else max(right - left, 1)
    wide = np.empty(min(high, bottom - top) * min(side, right - left) if k > LONG else 0)
    for west in range(left, right, side):
        east = min(west + side, right)
        for upper in range(top, bottom, high):
            m = min(high, bottom - upper)
            for begin in range(0, max(k, 1), max(deep, 1)):
                depth = min(deep, k - begin)
                opening, closes = begin // LONG * LONG, (begin + depth) % LONG == 0
                closes = closes or begin + depth == k
                if packs:
                    _pack_tiles(ta, a, upper, m, begin, depth, room, tiles)
                for column in range(west, east, VECTORS * size):
                    n = min(VECTORS * size, east - column)
                    whole = n // size * size
                    at = upper * c_line + column
                    for first in range(begin, begin + max(depth, 1), STEPS):
                        steps = min(STEPS, k - first)
                        _pack(tb, b, first, steps, column, n, room, line)
                        start = a.ctypes.data + (upper * a_row + first * a_step) * a.itemsize
                        rows = start, TILE * a_row, a_row, a_step
                        if packs:
                            start = room.ctypes.data + (tiles + (first - begin) * TILE) * a.itemsize
                            rows = start, depth * TILE, 1, TILE
                        panel, sums = (room, 0, panel_rows), (c, at, c_line)
                        more = first > opening
                        if first == 0 and bias.size:
                            multiply_onto(rows, panel, sums, (bias, column, 0), m, whole, steps)
                        else:
                            onto = c, at, c_line if more else -1
                            multiply_onto(rows, panel, sums, onto, m, whole, steps)
                        if whole < n:  # in c a whole vector would reach beyond the row
                            panel, sums = (room, whole, panel_rows), (room, rest, size)
                            onto = room, rest, size if more else -1
                            multiply_onto(rows, panel, sums, onto, m, n - whole, steps)
                    if whole < n and closes:
                        for i in range(m):
                            value = load(room, rest + i * size)
                            if bias.size and opening == 0:
                                value = value + load_some(bias, column + whole, 0, n - whole)
                            store_some(c, at + i * c_line + whole, value, 0, n - whole)
                if k > LONG and closes:
                    _add_up(c, upper, m, west, east, wide, opening == 0, begin + depth == k)


@inlined
def _add_up(c, upper, m, west, east, sums, is_first, is_last):
    """Add a block of c to its sums in float64, and write these to c if it is the last."""
    n = east - west
    for i in range(m):
        row, total = c[upper + i, west:east], sums[i * n : (i + 1) * n]
        for j in range(n):
            value = row[j] if is_first else total[j] + row[j]
            total[j] = value
            if is_last:
                row[j] = value


@inlined
def _pack_tiles(ta, a, upper, m, begin, depth, room, at):
    """room[at + tile * depth * TILE + s * TILE + r] = op(a)[upper + tile * TILE + r, begin + s]."""
    size, a_line = lanes(room), a.strides[0] // a.itemsize
    for top in range(0, m, TILE):
        rows, target = min(TILE, m - top), at + top * depth
        if ta:
            for s in range(depth):
                source = (begin + s) * a_line + upper + top
                store(room, target + s * TILE, load_some(a, source, 0, rows))
        else:
            for s in range(0, depth, size):
                transpose(
                    a, (upper + top) * a_line + begin + s, a_line, rows,
                    min(size, depth - s), room, target + s * TILE, TILE,
                )  # fmt: skip


@inlined
def _pack(tb, b, first, steps, column, n, panel, line):
    """panel[s * line + j] = op(b)[first + s, column + j] for j < n, then zeros up to a vector."""
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
