"""Kernels that the CPU has for large arrays alone, against the reference, with ties and NaN.

Small arrays are the reference's on every target, and are checked by the rows of the ops.
"""

import numpy as np
import pytest
from tinygrad_like.kernels import cpu, reference
from tinygrad_like.kernels.geometry import pool_geometry

pytestmark = pytest.mark.long
DTYPES = pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])


def drawn(*shape, dtype, values=None):
    """Normal numbers, or few different ones, a twentieth of them NaN."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape) if values is None else rng.integers(-values, values, shape) * 1.0
    x[rng.random(shape) < 0.05] = np.nan
    return x.astype(dtype)


def assert_the_same(found, expected, roundings=0):
    """Arrays of one dtype, equal but for some roundings of the largest number."""
    assert found.dtype == expected.dtype
    if not roundings:
        np.testing.assert_array_equal(found, expected)
        return
    exact = expected.astype(np.float64)
    scale = np.nanmax(np.abs(exact), initial=0, where=np.isfinite(exact))
    tolerance = roundings * np.finfo(expected.dtype).eps * scale
    np.testing.assert_allclose(found.astype(np.float64), exact, atol=tolerance, rtol=0)


@DTYPES
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("shape", [(7, 701, 1), (1, 5003, 1), (2, 9, 300), (1, 2500, 2)])
def test_running_sums(shape, reverse, dtype):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    assert_the_same(cpu.running_sum(x, reverse), reference.running_sum(x, reverse), 1)
    x[0, shape[1] // 2, 0], x[0, shape[1] // 3, 0] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        found, expected = (k.running_sum(x, reverse) for k in (cpu, reference))
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))


@DTYPES
@pytest.mark.parametrize("lines", [1, 3, 4, 9])
def test_recurrences_of_any_number_of_lines(lines, dtype):
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, (lines, 50, 1)).astype(dtype)
    b, g = (rng.standard_normal((lines, 50, 1)).astype(dtype) for _ in "bg")
    initial = rng.standard_normal((lines, 1)).astype(dtype)
    for reverse in (False, True):
        h = reference.linear_scan(a, b, initial, reverse)
        assert_the_same(cpu.linear_scan(a, b, initial, reverse), h, 2)
        found = cpu.linear_scan_backward(g, a, h, initial, reverse)
        expected = reference.linear_scan_backward(g, a, h, initial, reverse)
        for pair in zip(found, expected, strict=True):
            assert_the_same(*pair, 2)


@DTYPES
@pytest.mark.parametrize("values", [None, 3])
@pytest.mark.parametrize("size", [(7, 5), (1, 1), (40, 37), (60, 1)])
def test_adaptive_maxima(size, values, dtype):
    x = drawn(2, 3, 41, 37, dtype=dtype, values=values)
    found, expected = (k.adaptive_max_pool2d(x, size) for k in (cpu, reference))
    assert_the_same(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@DTYPES
@pytest.mark.parametrize("window", [((3, 3), (2, 2), (1, 1)), ((5, 1), (1, 1), (0, 0))])
def test_maxima_of_windows(window, dtype):
    x = drawn(2, 3, 41, 37, dtype=dtype, values=2)
    geometry = pool_geometry(x.shape, *window)
    found, expected = (k.max_pool2d(x, geometry) for k in (cpu, reference))
    assert_the_same(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(3, 50, 70), (40, 90, 1), (2, 3000, 3)])
def test_slices_are_added(shape, dtype):
    rng = np.random.default_rng(0)
    index = rng.integers(0, shape[1], 500)
    out = rng.standard_normal(shape).astype(dtype)
    updates = rng.standard_normal((shape[0], 500, shape[2])).astype(dtype)
    found, expected = out.copy(), out.copy()
    cpu.add_slices_(found, index, updates)
    reference.add_slices_(expected, index, updates)
    assert_the_same(found, expected, 4)


@DTYPES
@pytest.mark.parametrize("stride", [(1, 1), (3, 2), (2, 7)])
def test_windows_are_added(stride, dtype):
    g = np.random.default_rng(0).standard_normal((2, 3, 3, 2, 6, 40)).astype(dtype)
    size = 5 * stride[0] + 2 * 2 + 2, 39 * stride[1] + 4
    found, expected = (k.join_windows(g, size, stride, (2, 3)) for k in (cpu, reference))
    assert_the_same(found, expected)


@DTYPES
@pytest.mark.parametrize("values", [None, 2])
@pytest.mark.parametrize("width", [1, 17, 64])
def test_maxima_of_bags(width, values, dtype):
    table = drawn(60, width, dtype=dtype, values=values)
    rng = np.random.default_rng(1)
    starts = np.sort(np.append(rng.integers(0, 5000, 30), [0, 0, 5000]))
    ids, counted = rng.integers(0, 60, 5000), rng.random(5000) < 0.8
    found, expected = (k.bag_maxima(table, ids, counted, starts) for k in (cpu, reference))
    for pair in zip(found, expected, strict=True):
        assert_the_same(*pair)
    bags = np.repeat(np.arange(32), np.diff(starts))
    g = rng.standard_normal(expected[0].shape).astype(dtype)
    args = g, table, ids, counted, bags, *expected
    found, expected = (k.bag_maxima_backward(*args) for k in (cpu, reference))
    assert_the_same(found, expected, 20)


@pytest.mark.parametrize("equal_nan", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("values", [3, 5000, 1 << 45])
def test_distinct_elements(values, dtype, equal_nan):
    rng = np.random.default_rng(0)
    x = rng.integers(-values, values, 9000).astype(dtype)
    if dtype == np.int64:
        x[7:9] = np.iinfo(dtype).min, np.iinfo(dtype).max
    else:
        x[rng.random(9000) < 0.05] = np.nan
    for pair in zip(*(k.unique_places(x, equal_nan) for k in (cpu, reference)), strict=True):
        assert_the_same(*pair)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64])
@pytest.mark.parametrize("values", [3, 1000])
def test_the_most_frequent_element(values, dtype):
    x = np.random.default_rng(0).integers(0, values, (6, 900)).astype(dtype)
    if dtype != np.int64:
        x[1], x[2, ::2] = np.nan, np.nan
    assert_the_same(cpu.mode_places(x), reference.mode_places(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_paths_through_frames(dtype):
    rng = np.random.default_rng(0)
    n, frames, states = 6, 50, 17
    scores = np.log(rng.random((n, frames, states))).astype(dtype)
    scores[0, 3], scores[1, 9, 4] = -np.inf, np.nan
    skips, ends = rng.random((n, states)) < 0.5, rng.random((n, states)) < 0.3
    counts = rng.integers(1, frames + 1, n)
    for name, more in (("ctc_alphas", ()), ("ctc_betas", (counts, ends))):
        with np.errstate(invalid="ignore"):
            found, expected = (getattr(k, name)(scores, skips, *more) for k in (cpu, reference))
        assert_the_same(found, expected, 20)
