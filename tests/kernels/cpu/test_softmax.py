"""Softmax and cross-entropy on the CPU: wide rows, peaks of any size, rows ahead of their turn."""

import numba
import numpy as np
import pytest
from tinygrad_like.kernels import cpu, reference
from tinygrad_like.kernels.cpu.machine import fetch
from tinygrad_like.kernels.cpu.softmax import _softmax_by_number, _sum_by_number

EPS = np.finfo(np.float32).eps
PEAKS = [0.0, 0.3, -7.0, 100.1, 511.0, -511.9, 513.0, 1e4, -1e8, 1e30, -3e38]


def logits(rows, columns, peak):
    """Numbers below a peak, which each row has in another column."""
    rng = np.random.default_rng(0)
    x = (peak - np.abs(rng.standard_normal((rows, columns), np.float32)) * 8).astype(np.float32)
    x[np.arange(rows), rng.integers(0, columns, rows)] = peak
    return x, rng.integers(0, columns, rows)


def loss_and_gradient(kernels, x, labels):
    losses, sums = kernels.cross_entropy(x, labels)
    g = np.ones(len(x), x.dtype)
    return losses, kernels.cross_entropy_backward(g, x, labels, sums)


@pytest.mark.parametrize("columns", [1, 10, 255, 256, 300, 1027])
@pytest.mark.parametrize("peak", PEAKS)
def test_losses_are_exact_to_an_epsilon_at_any_peak(peak, columns):
    x, labels = logits(5, columns, peak)
    wide = x.astype(np.float64)
    losses, (peaks, totals) = cpu.cross_entropy(x, labels)
    true_losses, (_, true_totals) = reference.cross_entropy(wide, labels)
    np.testing.assert_array_equal(peaks, np.float32(peak))
    ours = losses, np.log(totals.astype(np.float64)), cpu.log_softmax(x)
    exact = true_losses, np.log(true_totals), reference.log_softmax(wide)
    for result, truth in zip(ours, exact, strict=True):
        assert (np.abs(result - truth) <= EPS * (1 + np.abs(truth))).all()


@pytest.mark.parametrize("spread", [1, 50])
@pytest.mark.parametrize(
    ("dtype", "offset"),
    [
        (dtype, offset)
        for dtype in (np.float16, np.float32, np.float64)
        for offset in (0, 1000, 1e4, 1e6, -1e8)
        if abs(offset) <= float(np.finfo(dtype).max)
    ],
)
@pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])
def test_losses_and_gradients_are_exact_to_an_epsilon_wherever_logits_lie(
    kernels, dtype, offset, spread
):
    """Peak + log(total), rounded to one number, lost digits of the gradient from 1000 on, and from
    1e7 on all of them."""
    rng = np.random.default_rng(0)
    x = (offset + spread * rng.standard_normal((40, 37))).astype(dtype)
    x[0, :3] = offset, -offset, 0  # far apart
    labels = rng.integers(0, 37, 40)
    losses, gradients = loss_and_gradient(kernels, x, labels)

    wide = x.astype(np.longdouble)
    shifted = wide - wide.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    totals, rows = exponentials.sum(axis=1), np.arange(40)
    true_losses = np.log(totals) - shifted[rows, labels]
    true_gradients = exponentials / totals[:, None] - np.eye(37)[labels]
    eps = np.finfo(dtype).eps
    assert losses.dtype == gradients.dtype == dtype
    assert (np.abs(losses - true_losses) <= 2 * eps * (1 + true_losses)).all()
    assert (np.abs(gradients - true_gradients) <= 2 * eps).all()


@pytest.mark.parametrize("columns", [1, 10, 256, 1000])
@pytest.mark.parametrize("peak", PEAKS)
def test_a_label_without_rivals_costs_nothing(peak, columns):
    x = np.full((3, columns), -np.inf, np.float32)
    x[:, columns // 2] = peak
    losses, (peaks, totals) = cpu.cross_entropy(x, np.full(3, columns // 2))
    np.testing.assert_array_equal(losses, 0)
    np.testing.assert_array_equal(peaks, np.float32(peak))
    np.testing.assert_array_equal(totals, 1)


def test_nan_and_infinity_in_wide_rows_are_what_they_are_in_the_reference():
    rows = [[1, np.nan, 2, 3], [np.inf, 0, 1, 2], [-np.inf] * 4, [-np.inf, 0, -np.inf, 0]]
    x, labels = np.tile(np.array(rows, np.float32), 75), np.array([0, 1, 2, 3])
    with np.errstate(invalid="ignore"):
        for name in ("softmax", "log_softmax"):
            expected = getattr(reference, name)(x)
            np.testing.assert_allclose(getattr(cpu, name)(x), expected, rtol=1e-6, err_msg=name)
        expected = loss_and_gradient(reference, x, labels)
        for ours, theirs in zip(loss_and_gradient(cpu, x, labels), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)


@pytest.mark.parametrize("columns", [37, 1024])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_fetched_ahead_of_their_turn_are_the_same_bits(dtype, columns):
    """Large arrays are fetched from memory before they are needed, also beyond their end."""
    rows = fetch.LARGE // np.dtype(dtype).itemsize // columns + 3
    x = np.random.default_rng(0).standard_normal((rows, columns)).astype(dtype)
    labels = np.arange(rows) % columns
    assert x.nbytes > fetch.LARGE

    def by_row(part):
        losses, sums = cpu.cross_entropy(x[part], labels[part])
        return cpu.softmax(x[part]), losses, sums.T

    whole = by_row(slice(None))
    for start in (0, rows // 2, rows - 5):
        part = slice(start, start + 5)
        for a, b in zip(whole, by_row(part), strict=True):
            np.testing.assert_array_equal(a[part], b)


@numba.njit
def _by_number(x, y):
    peak = np.float32(1)
    _softmax_by_number(x, 0, peak, y, 0)
    return _sum_by_number(x, 0, peak, 0, 0)[0]


def test_long_rows_lose_no_digits_without_vectors():
    """As on a CPU without AVX-512. Equal numbers are all rounded to the same side."""
    x = np.full((1, 3_000_000), np.float32(0.7))
    y, e = np.empty_like(x), np.exp(x.astype(np.float64) - 1)
    np.testing.assert_allclose(_by_number(x, y), e.sum(), rtol=10 * EPS)
    np.testing.assert_allclose(y, e / e.sum(), rtol=10 * EPS)
