"""Updates added to rows of a table on the CPU: few of many rows, and many of few."""

import tracemalloc

import numpy as np
import pytest
from tinygrad_like.kernels import cpu, reference


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("width", [1, 3, 7])
@pytest.mark.parametrize(
    ("rows", "index"),
    [
        (50, [3, 1, 3, 3, 0, 1, 49]),
        (50, [0, 7, 49]),
        (50, [7]),
        (4, [3, 1, 3, 3, 0, 1, 3, 2, 2]),
        (100_000, np.random.default_rng(0).integers(0, 300, 9000) * 333),
        (100_000, np.arange(9000) * 11),
    ],
)
def test_narrow_updates(rows, index, width, dtype):
    rng = np.random.default_rng(1)
    out = rng.random((rows, width)).astype(dtype)
    updates = rng.random((len(index), width)).astype(dtype)
    true = out.astype(np.float64)
    np.add.at(true, index, updates.astype(np.float64))
    cpu.scatter_add_(out, np.array(index), updates)
    roundings = 40 if dtype == np.float64 else 2  # there the true sum is no better
    np.testing.assert_allclose(out, true, rtol=roundings * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("width", [(), (3,), (2, 8)])
@pytest.mark.parametrize(
    "index", [[], [7], [5, 1, 9], [3, 1, 3, 3, 10**12, 1], np.arange(900) ** 2 % 101 * 10**9]
)
def test_the_updates_of_each_row_are_added_up(index, width, dtype):
    """However large the table is: here of more rows than any memory holds."""
    index = np.array(index, np.int64)
    updates = np.random.default_rng(0).random((index.size, *width)).astype(dtype)
    expected = np.unique(index)
    true = np.zeros((expected.size, *width))
    np.add.at(true, np.searchsorted(expected, index), updates.astype(np.float64))
    for kernels in (cpu, reference):
        rows, sums = kernels.sum_rows(index, updates)
        assert rows.dtype == np.int64
        assert sums.dtype == dtype
        np.testing.assert_array_equal(rows, expected)
        np.testing.assert_allclose(sums, true, rtol=40 * np.finfo(dtype).eps)
        if sums.size:
            assert not np.shares_memory(sums, updates)


def test_few_updates_of_many_rows_need_little_memory():
    out, updates = np.zeros((3_000_000, 1), np.float32), np.ones((1000, 1), np.float32)
    for index in (np.arange(1000), np.arange(1000) // 2 * 2000):
        tracemalloc.start()
        try:
            cpu.scatter_add_(out, index, updates)
            assert tracemalloc.get_traced_memory()[1] < 1e6
        finally:
            tracemalloc.stop()
    assert out.sum(dtype=np.float64) == 2000


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["short runs", "long runs", "no order"])
def test_rows_are_added_from_where_they_lie(kind, dtype):
    rng = np.random.default_rng(0)
    index = rng.integers(0, 9 if kind == "long runs" else 300, 3000)
    index = index if kind == "no order" else np.sort(index)
    x, source = rng.standard_normal((50, 16)).astype(dtype), rng.integers(0, 50, 3000)
    out = rng.standard_normal((300, 16)).astype(dtype)
    expected = out.astype(np.float64)
    np.add.at(expected, index, x[source].astype(np.float64))
    for kernels in (cpu, reference):
        found = out.copy()
        kernels.add_rows_(found, index, x, source)
        np.testing.assert_allclose(found, expected, atol=300 * np.finfo(dtype).eps)
