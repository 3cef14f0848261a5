"""Functions of arithmetic.py and transcendental.py where a row of the cases cannot go."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import Tensor


def gradient(f, values, dtype=np.float64):
    x = Tensor(np.array(values, dtype), requires_grad=True)
    f(x).sum().backward()
    return x.grad


def test_float_power_computes_in_float64_and_the_gradient_returns():
    x = Tensor([2.0, 9.0], requires_grad=True)
    y = tg.float_power(x, 0.5)
    assert y.dtype == np.float64
    np.testing.assert_allclose(y.numpy(), np.float_power([2.0, 9.0], 0.5), rtol=1e-15)
    y.sum().backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_allclose(x.grad.numpy(), [0.5 / 2**0.5, 1 / 6], rtol=1e-6)
    assert tg.float_power(2, 0.5).item() == 2**0.5


def test_lerp_ends_where_it_should():
    """0.1 + 1 (0.7 - 0.1) is not 0.7."""
    a, b = Tensor(np.array([0.1, -3.3])), Tensor(np.array([0.7, 1e-9]))
    assert tg.lerp(a, b, 0.0).tolist() == a.tolist()
    assert tg.lerp(a, b, 1.0).tolist() == b.tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slopes_of_large_and_small_numbers_neither_over_nor_underflow(dtype):
    large = float(np.finfo(dtype).max) ** 0.75
    for f, x, expected in (
        (tg.arcsinh, large, 1 / large),
        (tg.arccosh, large, 1 / large),
        (lambda x: tg.arctan2(x, 1 / large), 0.0, large),
        (lambda x: tg.arctan2(x, large), large, 0.5 / large),
        (lambda x: tg.hypot(x, large), large, 0.5**0.5),
        (lambda x: tg.logaddexp(x, -large), large, 1),
    ):
        np.testing.assert_allclose(gradient(f, [x], dtype).numpy(), [expected], rtol=1e-6)


def test_the_slope_of_sinc_is_exact_on_both_sides_of_its_series():
    """Its closed form loses half of the digits at 1e-8."""
    for x in (1e-8, 0.1999999, 0.2000001):
        z = np.longdouble(np.pi) * x
        terms = (-((-1) ** k) * 2 * k * z ** (2 * k - 1) for k in range(1, 12))
        sizes = (np.prod(np.arange(1.0, 2 * k + 2)) for k in range(1, 12))
        expected = -np.pi * sum(t / s for t, s in zip(terms, sizes, strict=True))
        np.testing.assert_allclose(gradient(tg.sinc, [x]).item(), float(expected), rtol=1e-13)


def test_quotients_and_shifts_by_what_there_is_none_of_are_refused():
    x = Tensor([5, 7])
    with pytest.raises(ValueError, match=r"^\[fmod\] integers are divided by 0"):
        tg.fmod(x, 0)
    for f in (tg.bitwise_left_shift, tg.gcd, tg.ldexp):
        with pytest.raises(TypeError, match=rf"^\[{f.__name__}\]"):
            f(tg.ones(2), Tensor([1.5, 2.5]))
    for bad, error in (("a", TypeError), (1e300, ValueError)):
        with pytest.raises(error, match=r"^\[nan_to_num\]"):
            tg.nan_to_num(tg.ones(2), nan=bad)
    with pytest.raises(TypeError, match=r"^\[polygamma\] n is 1.5"):
        tg.polygamma(1.5, tg.ones(2))


def test_numpys_other_names_of_these_functions():
    x = Tensor(np.array([-1.5, 30.0]), requires_grad=True)
    for f in (np.radians, np.degrees, np.fix, np.fabs, np.left_shift):
        y = f(Tensor([4]), 2) if f is np.left_shift else f(x)
        assert isinstance(y, Tensor)
        if f is not np.left_shift:
            np.testing.assert_allclose(y.numpy(), f(x.numpy()), rtol=1e-15)
