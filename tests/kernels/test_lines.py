"""Reading and writing at places along lines: the reference against loops, the CPU against it."""

import numpy as np
import pytest
from tinygrad_like.kernels import cpu, reference

COMBINED = {
    None: lambda old, new: new,
    "sum": np.add,
    "prod": np.multiply,
    "amax": np.maximum,
    "amin": np.minimum,
}
REDUCTIONS = pytest.mark.parametrize("reduce", COMBINED)


def drawn(outer, n, m, inner, dtype=np.float64):
    """(x, index, updates), with many updates for each place, among them zeros."""
    rng = np.random.default_rng(0)
    x, updates = (np.round(rng.uniform(-2, 2, (outer, k, inner)), 1) for k in (n, m))
    return x.astype(dtype), rng.integers(0, n, (outer, m, inner)), updates.astype(dtype)


def in_a_loop(x, index, updates, reduce):
    y = x.copy()
    for a, i, b in np.ndindex(index.shape):
        place = a, index[a, i, b], b
        y[place] = COMBINED[reduce](y[place], updates[a, i, b])
    return y


@REDUCTIONS
@pytest.mark.parametrize("shape", [(2, 4, 9, 3), (1, 5, 3, 1), (3, 2, 0, 2)], ids=str)
def test_the_reference_writes_as_a_loop_does(shape, reduce):
    x, index, updates = drawn(*shape)
    updates[:1, 1:2] = np.nan
    expected = in_a_loop(x, index, updates, reduce)
    found = reference.scatter_lines(x, index, updates, reduce)
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-15)


def test_the_reference_reads_and_adds():
    x, index, updates = drawn(2, 4, 9, 3)
    np.testing.assert_array_equal(reference.gather_lines(x, index), np.take_along_axis(x, index, 1))
    expected = in_a_loop(0 * x, index, updates, "sum")
    np.testing.assert_allclose(reference.spread_lines(updates, index, 4), expected, atol=1e-14)


def test_the_reference_gives_a_place_the_gradient_of_its_last_update():
    g, index, _ = drawn(2, 4, 9, 3)
    dx, dupdates = reference.scatter_last_backward(g, index)
    expected, last = g.copy(), np.zeros(index.shape)
    for a, b in np.ndindex(2, 3):
        for place in set(index[a, :, b]):
            latest = max(i for i in range(9) if index[a, i, b] == place)
            last[a, latest, b], expected[a, place, b] = g[a, place, b], 0
    np.testing.assert_array_equal(dx, expected)
    np.testing.assert_array_equal(dupdates, last)


def test_the_reference_multiplies_all_other_updates():
    x, index, updates = drawn(2, 4, 9, 3)
    updates[0, 2] = 0
    g = np.random.default_rng(1).standard_normal(x.shape)
    dx, dupdates = reference.scatter_product_backward(g, x, updates, index)
    expected = g * in_a_loop(np.ones_like(x), index, updates, "prod")
    np.testing.assert_allclose(dx, expected, atol=1e-12)
    for place in np.ndindex(index.shape):
        others = updates.copy()
        others[place] = 1
        product = in_a_loop(g * x, index, others, "prod")
        a, _, b = place
        np.testing.assert_allclose(dupdates[place], product[a, index[place], b], atol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.int8])
@pytest.mark.parametrize(
    "shape",
    [(1, 3000, 5000, 1), (7, 300, 400, 1), (3, 50, 80, 40), (1, 9, 100, 700), (2, 3000, 0, 1)],
    ids=str,
)
def test_the_cpu_writes_as_the_reference_does(shape, dtype):
    x, index, updates = drawn(*shape, dtype=dtype)
    if np.dtype(dtype).kind == "f":
        updates[:1, ::13] = np.nan
    np.testing.assert_array_equal(cpu.gather_lines(x, index), reference.gather_lines(x, index))
    rounding = 64 * (np.finfo(dtype).eps if np.dtype(dtype).kind == "f" else 0)
    for reduce in COMBINED:
        with np.errstate(over="ignore", invalid="ignore"):
            expected = reference.scatter_lines(x, index, updates, reduce)
            found = cpu.scatter_lines(x, index, updates, reduce)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=rounding, atol=rounding)


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "shape", [(1, 3000, 2000, 1), (7, 300, 400, 1), (3, 50, 80, 40), (1, 9, 100, 700)], ids=str
)
def test_gradients_on_the_cpu_are_the_references(shape, dtype):
    x, index, updates = drawn(*shape, dtype=dtype)
    g = np.random.default_rng(1).uniform(0.5, 2, x.shape).astype(dtype)
    extreme = reference.scatter_lines(x, index, updates, "amax")
    calls = {
        "spread_lines": (updates, index, shape[1]),
        "scatter_last_backward": (g, index),
        "scatter_product_backward": (g, x, updates, index),
        "scatter_extreme_backward": (g, x, updates, index, extreme),
    }
    for name, arguments in calls.items():
        found, expected = (getattr(k, name)(*arguments) for k in (cpu, reference))
        pairs = (
            zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
        )
        for a, b in pairs:
            assert a.dtype == dtype, name
            rounding = 200 * np.finfo(dtype).eps
            np.testing.assert_allclose(a, b, rtol=rounding, atol=rounding, err_msg=name)


@pytest.mark.long
def test_long_sums_of_float32_are_rounded_once():
    ones = np.full((1, 200_000, 1), 0.3, np.float32)
    places = np.zeros(ones.shape, np.int64)
    for found in (
        cpu.spread_lines(ones, places, 2),
        cpu.scatter_lines(np.zeros((1, 2, 1), np.float32), places, ones, "sum"),
    ):
        np.testing.assert_allclose(found[0, 0, 0], 200_000 * float(ones[0, 0, 0]), rtol=1e-7)
