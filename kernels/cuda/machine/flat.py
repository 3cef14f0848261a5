"""How large a launch is: over the elements of flat arrays, or of one row a block."""

from .dtypes import ITEMSIZES
from .launcher import address

THREADS = 256
MAX_BLOCKS = 132 * 16  # more would only queue: 2048 threads on each multiprocessor of an H100


def packs(n, dtype, *arrays):
    """How many packs of 16 bytes n elements begin with; 0 where an array is not aligned to them."""
    if any(address(a) % 16 for a in arrays):
        return 0
    return n * ITEMSIZES[dtype] // 16


def blocks(items):
    """How many blocks of THREADS go over so many items, by strides of the grid if need be."""
    return max(1, min(-(-items // THREADS), MAX_BLOCKS))


def threads_for_row(columns):
    """The threads of a block that works on a row: a thread keeps 8 elements (rows.cuh)."""
    return min(1024, max(32, -(-columns // 256) * 32))


def launch(kernel, n, dtype, out, *arrays):
    """kernel(out, *arrays, n, packs): each element of the output from those at its place."""
    count = packs(n, dtype, out, *arrays)
    kernel(blocks(count or n), THREADS, out, *arrays, n, count)
