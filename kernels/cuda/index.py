"""Rows of a table by index, and rows added to a table, launched from index.cu.

What is added to lines are rows of one element.
"""

import math

import numpy as np

from ..reference.lines import numbers_of
from .machine import flat
from .machine.dtypes import ITEMSIZES, as_int64, dtype_name
from .machine.kernel import kernel
from .machine.launcher import Source, address

SOURCE = Source("index.cu")
WARP, THREADS = 32, 256  # of a block of scatter_add: its most columns, and its threads
WIDEST = WARP * 65535  # columns: the limit of grid.y


@kernel("table", others="index")
def gather_rows(table, index):
    """table[index]: (V, ...), (n,) -> (n, ...)."""
    dtype = dtype_name(table.dtype)
    n, width = index.size, math.prod(table.shape[1:])
    y = np.empty_like(table, shape=(n, *table.shape[1:]))
    if y.size:
        packed = width * ITEMSIZES[dtype] % 16 == 0 and address(table) % 16 == 0
        kernel = SOURCE.kernel("gather_rows", dtype)
        blocks = flat.blocks(y.size * ITEMSIZES[dtype] // 16 if packed else y.size)
        kernel(blocks, flat.THREADS, y, table, as_int64(index), n, width, packed)
    return y


@kernel("out updates")
def scatter_add_(out, index, updates):
    """out[index[i]] += updates[i] for every i: (V, ...), (n,), (n, ...); duplicates accumulate."""
    dtype, width = dtype_name(out.dtype), math.prod(out.shape[1:])
    contiguous = out.flags.c_contiguous and updates.flags.c_contiguous
    if not contiguous or width > WIDEST:
        return NotImplemented
    if updates.size:
        n = index.size
        order = np.argsort(index, kind="stable")
        ordered = as_int64(index[order])
        columns = min(1 << (width - 1).bit_length(), WARP)
        grid, block = (n, -(-width // columns)), (columns, THREADS // columns)
        kernel = SOURCE.kernel("scatter_add", dtype)
        kernel(grid, block, out, ordered, as_int64(order), updates, n, width)
    return None


@kernel("updates", others="index")
def sum_rows(index, updates):
    """(rows, sums): the distinct numbers in `index`, rising, and the sum of each one's updates."""
    rows, places = np.unique(index, return_inverse=True)
    sums = np.zeros_like(updates, shape=(rows.size, *updates.shape[1:]))
    scatter_add_(sums, places, updates)
    return as_int64(rows), sums


@kernel("g", others="index")
def spread_lines(g, index, n):
    """The adjoint of gather_lines: zeros (outer, n, inner) to which g is added at the places."""
    return _added(np.zeros_like(g, shape=(g.shape[0], n, g.shape[2])), index, g)


@kernel("x updates", others="index")
def scatter_lines(x, index, updates, reduce):
    """A copy of x in which `updates` are written at the places; here, added to it."""
    return NotImplemented if reduce != "sum" else _added(x.copy(), index, updates)


def _added(y, index, updates):
    if updates.size:
        scatter_add_(y.reshape(-1, 1), numbers_of(index, y), updates.reshape(-1, 1))
    return y
