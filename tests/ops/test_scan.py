"""Scans where sums are large, empty or infinite, and what they refuse."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like.engine import gradients

INF = np.inf


def test_logcumsumexp_of_any_size():
    x = np.array([[800.0, 810.0, 790.0], [-900.0, -901.0, -850.0], [-INF, -INF, 3.0]])
    expected = np.logaddexp.accumulate(x, axis=1)
    np.testing.assert_allclose(tg.logcumsumexp(x), expected, rtol=1e-14)
    with_infinity = np.array([1.0, INF, 0.0, np.nan, 2.0])
    np.testing.assert_array_equal(tg.logcumsumexp(with_infinity)[1:], [INF, INF, np.nan, np.nan])


def test_the_gradient_of_logcumsumexp_is_0_at_infinity_below():
    x = tg.Tensor([-INF, -INF, 1.0, -INF], dtype=np.float64, requires_grad=True)
    (g,) = gradients([tg.logcumsumexp(x)], [x], [tg.ones(4, dtype=np.float64)])
    np.testing.assert_array_equal(g.numpy(), [0, 0, 2, 0])


def test_a_cumulative_maximum_takes_the_latest_of_equals_and_keeps_nan():
    values, places = tg.cummax(tg.Tensor([1.0, 3.0, 3.0, np.nan, 5.0]))
    np.testing.assert_array_equal(values.numpy(), [1, 3, 3, np.nan, np.nan])
    np.testing.assert_array_equal(places.numpy(), [0, 1, 2, 3, 3])


@pytest.mark.parametrize("dtype", [np.float16, np.int8, bool])
def test_cumulative_extremes_of_any_dtype(dtype):
    x = np.random.default_rng(0).integers(-9, 9, (3, 20)).astype(dtype)
    np.testing.assert_array_equal(tg.cummin(x)[0], np.minimum.accumulate(x, 1))
    np.testing.assert_array_equal(tg.cummax(x, 0)[0], np.maximum.accumulate(x, 0))


@pytest.mark.parametrize("count", [*range(10)])
def test_an_associative_scan_of_any_length(count):
    x = np.random.default_rng(0).standard_normal((2, count))
    np.testing.assert_allclose(tg.associative_scan(tg.add, x), np.cumsum(x, 1), atol=1e-14)
    back = tg.associative_scan(tg.add, x, reverse=True)
    np.testing.assert_allclose(back, np.cumsum(x[:, ::-1], 1)[:, ::-1], atol=1e-14)


def test_what_an_associative_scan_does_not_take():
    with pytest.raises(ValueError, match=r"\[associative_scan\] f returned shapes \[\(\)\]"):
        tg.associative_scan(lambda a, b: (a + b).sum(), tg.ones(4))
    with pytest.raises(ValueError, match=r"\[associative_scan\] x has parts of shapes"):
        tg.associative_scan(lambda a, b: a, (tg.ones(3), tg.ones(4)))
