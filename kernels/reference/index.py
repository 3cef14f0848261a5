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
    """out[index[i]] += updates[i] for every i: (V, ...), (n,), (n, ...); duplicates accumulate."""
    combine_(out, index, updates, np.add)


@kernel
def add_rows_(out, index, x, source):
    """out[index[i]] += x[source[i]] for every i: (V, d), (n,), (W, d), (n,); as scatter_add_."""
    scatter_add_(out, index, x[source])


@kernel
def sum_rows(index, updates):
    """(rows, sums): the distinct numbers in `index`, rising, and the sum of each one's updates.

    (n,), (n, ...) -> (m,) of int64, (m, ...), however large the table is that the rows are of.
    """
    rows, places = np.unique(index, return_inverse=True)
    sums = np.zeros_like(updates, shape=(rows.size, *updates.shape[1:]))
    scatter_add_(sums, places, updates)
    return rows.astype(np.int64), sums


@kernel
def add_slices_(out, index, updates):
    """out[a, index[i]] += updates[a, i] for every a and i: (N, V, d), (n,), (N, n, d)."""
    count, size, width = out.shape
    rows = np.arange(count, like=index)[:, None] * size + index
    flat = out.reshape(count * size, width)
    scatter_add_(flat, rows.reshape(-1), updates.reshape(rows.size, width))


def combine_(out, index, updates, combine):
    """out[index[i]] = combine(out[index[i]], updates[i]) for every i, for an associative function.

    Deterministic: the updates of one row are combined pairwise, in the order in which they came, in
    log2(most duplicates) rounds, and what they give with `out` once.
    """
    if not _has_duplicates(index, len(out)):
        out[index] = combine(out[index], updates)
        return
    # np.add.at would be one line, but it is slow for rows, and CuPy dispatches no ufunc methods.
    order = np.argsort(index, kind="stable")
    index, found = index[order], wide(updates[order])
    begins = np.ones_like(index, dtype=bool)
    begins[1:] = index[1:] != index[:-1]
    rank = rank_in_run(begins)
    longest, step = int(rank.max()), 1
    while step <= longest:
        givers = np.flatnonzero(rank % (2 * step) == step)
        found[givers - step] = combine(found[givers - step], found[givers])
        step *= 2
    first = np.flatnonzero(rank == 0)
    out[index[first]] = combine(out[index[first]], found[first])


def _has_duplicates(index, size):
    seen = np.zeros_like(index, shape=size, dtype=bool)
    seen[index] = True
    return np.count_nonzero(seen) < index.size


def rank_in_run(begins):
    """How many elements of its run stand before each one: [1, 1, 0] -> [0, 0, 1]."""
    run = np.cumsum(begins) - 1
    return np.arange(begins.size, like=begins) - np.flatnonzero(begins)[run]
