"""Slices as sums read them: whole rows, where they lie in memory."""

import numpy as np

SMALL = 1 << 12  # elements of a slice up to which it is not worth a view of whole rows


def lines_of(x):
    """A C-contiguous array whose part [:A, :R, :B] is x, in its memory; None if there is none.

    Beyond that part it is not to be read: it may reach beyond the memory of x.
    """
    (a, r, b), (block, row, step), size = x.shape, x.strides, x.itemsize
    if b == 1:  # runs of r numbers
        shape, line, fits = (a, block // size, 1), block, row == size and block >= r * size
    else:
        rows = r if a == 1 else block // row if row else 0
        shape, line = (a, rows, row // size), row
        fits = step == size and row >= b * size and rows >= r and (a == 1 or block % row == 0)
    if x.size <= SMALL or not fits or line % size:
        return None
    return np.lib.stride_tricks.as_strided(
        x, shape, (shape[1] * shape[2] * size, shape[2] * size, size)
    )
