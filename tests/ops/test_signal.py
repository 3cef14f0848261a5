"""tg.signal.convolve: its three ways to compute agree, and what does not fit is refused."""

import functools

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import Tensor


def directly(a, b):
    """The whole convolution of matrices, one product after the other."""
    out = np.zeros(np.add(a.shape, b.shape) - 1)
    for i, j in np.ndindex(b.shape):
        out[i : i + a.shape[0], j : j + a.shape[1]] += a * b[i, j]
    return out


@pytest.mark.parametrize("shape", [(2, 3), (9, 12), (29, 38)])
def test_sums_and_transforms_agree(shape):
    """Kernels of 6, of 108 and of nearly all elements; (30, 40) has the one of few sums."""
    rng = np.random.default_rng(0)
    a, b = (Tensor(rng.standard_normal(s)) for s in ((30, 40), shape))
    whole = directly(a.numpy(), b.numpy())
    inner = whole[shape[0] - 1 : 30, shape[1] - 1 : 40]
    for mode, expected in (("full", whole), ("valid", inner)):
        f = functools.partial(tg.signal.convolve, mode=mode)
        y, pull_back = tg.vjp(f, a, b)
        np.testing.assert_allclose(y.numpy(), expected, rtol=0, atol=1e-12)
        # The gradient is the transpose: both products with the output's are one number.
        g, da, db = (Tensor(rng.standard_normal(x.shape)) for x in (y, a, b))
        ga, gb = pull_back(g)
        for moved, slope in ((f(da, b) * g, ga * da), (f(a, db) * g, gb * db)):
            np.testing.assert_allclose(moved.sum().item(), slope.sum().item(), rtol=1e-9)


def test_long_sums_of_integers_are_exact_and_float32_stays():
    a = np.full(300, 2**40)
    y = tg.signal.convolve(a, np.arange(100))
    assert y.dtype == np.int64
    assert y[150] == 2**40 * np.arange(100).sum()
    assert tg.signal.convolve(a.astype("f4"), np.ones(100, "f4")).dtype == np.float32


A = np.ones((3, 4))
WRONG = [
    (lambda: tg.signal.convolve(A, A, "all"), ValueError, r"mode is 'all', expected 'full'"),
    (lambda: tg.signal.convolve(A, A[0]), ValueError, r".* they differ in their axes"),
    (lambda: tg.signal.convolve(A, np.ones((2, 9)), "valid"), ValueError, r".* the longer one on"),
    (lambda: tg.signal.convolve(A[:0], A), ValueError, r".* no element"),
    (lambda: tg.signal.convolve(A[0, 0], A[0, 0]), ValueError, r"there is no axis"),
    (lambda: tg.signal.convolve(A * 1j, A), TypeError, r"got complex numbers"),
    (lambda: tg.signal.convolve(A, A, axes=((0,), (5,))), IndexError, r"axis 5 is out of range"),
    (lambda: tg.signal.convolve(A, A.T, "full", ((0,), (1,)), ((1,), (1,))), ValueError,
     r"axis \(1, 1\) names an axis twice"),
    (lambda: tg.signal.convolve(A, A, "full", ((0,), (1,)), ((1,), (0,))), ValueError,
     r"the dot_axes have lengths"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "text"), WRONG, ids=[text for *_, text in WRONG])
def test_what_does_not_fit_is_refused(call, error, text):
    with pytest.raises(error, match=rf"^\[convolve\] {text}"):
        call()
