"""Views of arrays of any strides, as sums read them: in the order of their memory."""

import numpy as np

SMALL = 1 << 12  # elements of a slice up to which it is not worth a view of whole rows


def in_memory_order(x, axes):
    """(x as it lies in memory, which of its axes to sum, times what, the order of those kept)."""
    if x.flags.c_contiguous:
        return x, axes, 1, None
    if axes is None:
        axes = tuple(range(x.ndim))
    times, cut = 1, []
    for i, (n, stride) in enumerate(zip(x.shape, x.strides, strict=True)):
        if stride == 0 and i in axes:  # one number, n times
            times *= n
            cut.append(slice(1))
        else:
            cut.append(slice(None, None, -1 if stride < 0 and i in axes else 1))
    x = x[tuple(cut)]
    order = sorted(range(x.ndim), key=lambda i: -abs(x.strides[i]))
    kept = [i for i in order if i not in axes]
    back = sorted(range(len(kept)), key=kept.__getitem__)
    return x.transpose(order), tuple(k for k, i in enumerate(order) if i in axes), times, back


def in_order(y, order):
    """The axes that were kept, in their order."""
    return y if order is None else y.transpose(order)


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
