"""Rows of a table by index, and the adjoint: rows added to a table. Index values are in [0, V)."""

import numpy as np

from .contract import kernel
from .precision import wide


@kernel
def gather_rows(table, index):
    """table[index]: (V, ...), (n,) -> (n, ...)."""
    return np.take(table, index, axis=0)


@kernel
def scatter_add_(out, index, updates):
    """out[index[i]] += updates[i] for every i: (V, ...), (n,), (n, ...); duplicates accumulate.

    Deterministic: the updates of one row are added pairwise, in the order in which they came, in
    log2(most duplicates) rounds, and their sum is added to `out` once.
    """
    if not _has_duplicates(index, len(out)):
        out[index] += updates
        return
    # np.add.at would be one line, but it is slow for rows, and CuPy dispatches no ufunc methods.
    order = np.argsort(index, kind="stable")
    index, sums = index[order], wide(updates[order])
    rank = _rank_in_run(index)
    longest, step = int(rank.max()), 1
    while step <= longest:
        givers = np.flatnonzero(rank % (2 * step) == step)
        sums[givers - step] += sums[givers]
        step *= 2
    first = np.flatnonzero(rank == 0)
    out[index[first]] += sums[first]


def _has_duplicates(index, size):
    seen = np.zeros_like(index, shape=size, dtype=bool)
    seen[index] = True
    return np.count_nonzero(seen) < index.size


def _rank_in_run(index):
    """How many equal elements stand before each one of a sorted index: [3, 5, 5] -> [0, 0, 1]."""
    position = np.arange(index.size, like=index)
    starts_run = position == 0
    starts_run[1:] = index[1:] != index[:-1]
    run = np.cumsum(starts_run) - 1
    return position - np.flatnonzero(starts_run)[run]


@kernel
def scatter_write_(out, index, updates, reduce):
    """out[index[i]] = updates[i] for every i in turn: (V,), (n,), (n,); so the last one stays.

    `reduce` is None, or "amax" or "amin": then the maximum or minimum of all, or NaN, if one is.
    """
    order = np.argsort(index, kind="stable")
    if reduce is not None:
        best = updates if reduce == "amax" else -updates
        by_value = np.argsort(best, kind="stable")  # NaN stands last
        order = by_value[np.argsort(index[by_value], kind="stable")]
    index, updates = index[order], updates[order]
    last = np.ones_like(index, dtype=bool)
    last[:-1] = index[1:] != index[:-1]
    index, updates = index[last], updates[last]
    if reduce is not None:
        updates = (np.maximum if reduce == "amax" else np.minimum)(out[index], updates)
    out[index] = updates
