"""The maxima of bags of rows of a table, each column by itself.

The ids of bag b stand at starts[b] to starts[b + 1] - 1 of `ids`; those that are not `counted` are
none of the bag.
"""

import numpy as np

from .contract import kernel
from .index import scatter_add_
from .precision import wide


@kernel
def bag_maxima(table, ids, counted, starts):
    """(y, ties): the maxima (bags, d), and how many rows of a bag have each one.

    NaN is the maximum where there is one. An empty bag has zeros, which no row has.
    """
    steps = np.arange(int(np.diff(starts).max(initial=0)), like=starts)
    places = np.minimum(starts[:-1, None] + steps, max(ids.size - 1, 0))
    if not places.size:
        shape = starts.size - 1, table.shape[1]
        return np.zeros_like(table, shape=shape), np.zeros_like(ids, shape=shape, dtype=np.int32)
    inside = (steps < np.diff(starts)[:, None]) & counted[places]
    rows = wide(table)[ids[places]]
    y = np.where(inside[:, :, None], rows, -np.inf).max(axis=1)
    ties = inside[:, :, None] & ((rows == y[:, None]) | (rows != rows))
    y = np.where(inside.any(axis=1)[:, None], y, 0).astype(table.dtype)
    return y, np.count_nonzero(ties, axis=1).astype(np.int32)


@kernel
def bag_maxima_backward(g, table, ids, counted, bags, y, ties):
    """dtable: all rows of a bag that have a maximum share its gradient; `bags` has each id's."""
    rows = table[ids]
    found = counted[:, None] & ((rows == y[bags]) | (rows != rows))
    shares = wide(g)[bags] / np.maximum(ties, 1)[bags].astype(wide(g).dtype)
    dtable = np.zeros_like(table)
    scatter_add_(dtable, ids, np.where(found, shares, 0).astype(table.dtype))
    return dtable
