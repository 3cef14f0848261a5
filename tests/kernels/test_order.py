"""The largest elements of rows: the reference by its definition, the CPU against it."""

import numpy as np
import pytest
from tinygrad_like.kernels import cpu, reference


def test_the_reference_orders_by_value_and_then_by_place():
    x = np.array([[1.0, 3.0, 3.0, np.nan, 2.0], [0.0, 0.0, -1.0, np.inf, np.nan]])
    np.testing.assert_array_equal(reference.top_places(x, 4), [[3, 1, 2, 4], [4, 3, 0, 1]])


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("k", [0, 1, 7, 64, 65, 600, 700])
def test_the_cpu_finds_the_same_places(k, dtype):
    rng = np.random.default_rng(0)
    few_values, rising = rng.integers(-9, 9, (12, 700)), np.sort(rng.integers(0, 5000, (12, 700)))
    unknown = rng.standard_normal((12, 700))
    unknown[rng.random((12, 700)) < 0.05] = np.nan
    for x in (few_values, rising, *([unknown] if np.dtype(dtype).kind == "f" else [])):
        x = x.astype(dtype)
        np.testing.assert_array_equal(cpu.top_places(x, k), reference.top_places(x, k))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("values", [3, 3000, 100_000])
def test_equal_elements_keep_their_order(values, dtype):
    x = np.random.default_rng(0).integers(0, values, (5, 1200))
    x = (x % 60_000).astype(dtype)
    if np.dtype(dtype).kind == "f":
        x[:, ::50] = np.nan
    expected = np.argsort(x, axis=1, kind="stable")
    np.testing.assert_array_equal(cpu.argsort(x), expected)
    np.testing.assert_array_equal(reference.argsort(x), expected)
