"""Cases of index.cu."""

import numpy as np
from cuda_case import Case


def _gather(rows, width, n, start=0):
    def make(rng):
        return rng.standard_normal((rows, *width)), rng.integers(0, rows, n)

    def call(k, table, index):
        return k.gather_rows(table[start:], index % (rows - start))

    label = f"gather_rows-{rows}-{width}-{n}-{start}"
    return Case(label, "index.cu", call, make, bound=0)


def _scatter(rows, width, n, kind=np.int64):
    """`n` entries, half of them for row 1."""

    def make(rng):
        index = np.where(rng.random(n) < 0.5, 1 % rows, rng.integers(0, rows, n))
        shapes = (rows, *width), (n, *width)
        out, updates = (rng.standard_normal(shape) for shape in shapes)
        return out, index.astype(kind), updates

    def call(k, out, index, updates):
        out = out.copy()
        k.scatter_add_(out, index, updates)
        return out

    return Case(f"scatter_add_-{rows}-{width}-{n}-{kind.__name__}", "index.cu", call, make)


def _summed(rows, width, n):
    """The updates of each row added up; half of them are of row 1."""

    def make(rng):
        index = np.where(rng.random(n) < 0.5, 1, rng.integers(0, rows, n))
        return index, rng.standard_normal((n, *width))

    return Case(
        f"sum_rows-{rows}-{width}-{n}",
        "index.cu",
        lambda k, index, updates: k.sum_rows(index, updates),
        make,
    )


def _added_to_lines(outer, n, m, inner):
    def make(rng):
        index = rng.integers(0, n, (outer, m, inner))
        return rng.standard_normal((outer, n, inner)), rng.standard_normal(index.shape), index

    def call(k, x, updates, index):
        return k.scatter_lines(x, index, updates, "sum"), k.spread_lines(updates, index, n)

    return Case(f"scatter_lines-{outer}-{n}-{m}-{inner}", "index.cu", call, make)


CASES = [
    _gather(7, (16,), 9),
    _gather(7, (3, 2), 9),
    _gather(5, (7,), 4, start=1),
    _gather(3, (), 5),
    _gather(3, (4,), 0),
    _scatter(7, (33,), 40),
    _scatter(5, (3, 2), 9, np.int32),
    _scatter(4, (), 60),
    _scatter(2, (), 700),  # runs longer than the rows of threads
    _scatter(3, (4,), 0),
    _summed(50, (33,), 40),
    _summed(1000, (), 60),
    _summed(5, (3,), 0),
    _added_to_lines(2, 3, 8, 3),
    _added_to_lines(1, 3, 0, 1),
]
