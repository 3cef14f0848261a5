"""The size of a launch: over the elements of flat arrays, or with a block for each row."""

from .dtypes import ITEMSIZES
from .launcher import address

THREADS = 256
MAX_BLOCKS = 132 * 16  # two rounds on an H100: 132 multiprocessors of 2048 threads


def packs(n, dtype, *arrays):
    """How many packs of 16 bytes n elements fill; 0 if an array does not begin at a multiple."""
    if any(address(a) % 16 for a in arrays):
        return 0
    return n * ITEMSIZES[dtype] // 16


def blocks(items):
    """How many blocks of THREADS go over the items, in strides of the grid if they are many."""
    return max(1, min(-(-items // THREADS), MAX_BLOCKS))


def threads_for_row(columns):
    """The threads of a block that works on a row: a thread keeps 8 elements (rows.cuh)."""
    return min(1024, max(32, -(-columns // 256) * 32))


def launch(kernel, n, dtype, out, *arrays):
    """Launch a kernel that computes each element of `out` from those at its place in the arrays."""
    count = packs(n, dtype, out, *arrays)
    kernel(blocks(count or n), THREADS, out, *arrays, n, count)
