"""The CPU's random numbers and dropout: the reference's, bit for bit."""

import numpy as np
import pytest
from tinygrad_like.kernels import cpu, reference

LIKE = np.empty(0)


@pytest.mark.parametrize("n", [0, 1, 3, 4, 1000, 100_003])
@pytest.mark.parametrize(("seed", "offset"), [(0, 0), (7, 5), ((1 << 64) - 3, (1 << 32) - 7)])
def test_words_and_uniform_numbers_are_the_references(seed, offset, n):
    np.testing.assert_array_equal(
        cpu.philox(seed, offset, n, LIKE), reference.philox(seed, offset, n, LIKE)
    )
    for dtype in (np.float16, np.float32, np.float64):
        ours = cpu.uniform(seed, offset, n, dtype, LIKE)
        np.testing.assert_array_equal(ours, reference.uniform(seed, offset, n, dtype, LIKE))
        assert ours.dtype == dtype


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (257, 1031)])
def test_dropout_drops_what_the_reference_drops(shape, dtype, p):
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    ours, expected = (k.dropout(x, p, 7, 5) for k in (cpu, reference))
    np.testing.assert_array_equal(ours == 0, expected == 0)
    np.testing.assert_allclose(ours, expected, rtol=2 * np.finfo(dtype).eps)
    assert ours.dtype == dtype
