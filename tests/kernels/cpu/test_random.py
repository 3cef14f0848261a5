"""The CPU's random numbers and dropout: the reference's, bit for bit."""

import numpy as np
import pytest
from cpu_threads import on_threads
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


@pytest.mark.parametrize("n", [0, 1, 2, 7, 1000, 100_003])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normal_numbers_are_box_mullers_of_the_uniform_ones(n, dtype):
    ours = cpu.normal(7, 5, n, dtype, LIKE)
    u, v = reference.uniform(7, 5, n + n % 2, dtype, LIKE).astype(np.longdouble).reshape(-1, 2).T
    angle = 2 * np.longdouble("3.14159265358979323846") * v
    exact = np.sqrt(-2 * np.log(1 - u)) * [np.cos(angle), np.sin(angle)]
    # Each factor has a relative error, but near a zero of cos or sin the angle an absolute one.
    np.testing.assert_allclose(ours, exact.T.ravel()[:n], atol=6 * np.finfo(dtype).eps, rtol=0)
    assert ours.dtype == dtype


def test_half_normal_numbers_are_the_references():
    ours, theirs = (k.normal(7, 5, 9, np.float16, LIKE) for k in (cpu, reference))
    np.testing.assert_array_equal(ours, theirs)


def test_normal_numbers_are_the_same_bits_at_any_number_of_threads():
    drawn = []
    for count in (1, 2, 3):
        with on_threads(count):
            drawn.append(cpu.normal(1, 0, 200_001, np.float32, LIKE))
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])
