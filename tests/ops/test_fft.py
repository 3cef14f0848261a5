"""Fourier transforms, beside their rows: frames, dtypes, frequencies, and what they refuse."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import Tensor

RNG = np.random.default_rng(0)


def test_a_signal_comes_back_from_its_frames():
    x, w = RNG.standard_normal((2, 33)), RNG.uniform(0.5, 1, 5)
    for options in (
        {"hop_length": 3, "win_length": 5, "window": w, "normalized": True},
        {"hop_length": 2, "onesided": False},
    ):
        y = tg.istft(tg.stft(Tensor(x), 8, **options), 8, length=33, **options)
        np.testing.assert_allclose(y.numpy(), x, atol=1e-12)
    for call, message in (
        (lambda: tg.stft(x, 64, center=False), r"\[stft\] x has 33 points, expected 64"),
        (lambda: tg.stft(x, 8, window=w), r"\[stft\] window is \(5,\), expected \(8,\)"),
        (lambda: tg.istft(x, 8), r"\[istft\] x is \(2, 33\), expected \(..., 5, frames\)"),
        (lambda: tg.istft(np.ones((5, 3)), 8, window=np.zeros(8)), "add up to 0 somewhere"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_single_precision_stays_single():
    for dtype in (np.float16, np.float32, np.int8, bool):
        x = Tensor(np.ones((2, 4), dtype))
        assert {tg.fft.fft(x).dtype, tg.fft.rfft(x).dtype, tg.fft.ifftn(x).dtype} == {
            np.dtype(np.complex64)
        }
    assert tg.fft.irfft(Tensor(np.ones(3, np.complex64))).dtype == np.float32


def test_frequencies_and_numpy_s_functions():
    for n in (1, 4, 5):
        np.testing.assert_allclose(
            tg.fft.fftfreq(n, 0.5, dtype=np.float64).numpy(), np.fft.fftfreq(n, 0.5)
        )
        np.testing.assert_allclose(tg.fft.rfftfreq(n, 2).numpy(), np.fft.rfftfreq(n, 2), rtol=1e-6)
    x = Tensor(RNG.standard_normal((3, 4)), requires_grad=True)
    y = np.fft.rfft2(x, s=(2, 5), norm="ortho")
    assert y.requires_grad
    expected = np.fft.rfft2(x.detach().numpy(), s=(2, 5), axes=(-2, -1), norm="ortho")
    np.testing.assert_allclose(y.detach().numpy(), expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: tg.fft.fft(x, n=0), ValueError, r"\[fft\] axis 1 has 0 points"),
        (lambda x: tg.fft.irfft(x, n=0), ValueError, r"\[irfft\] n is 0, expected at least 1"),
        (lambda x: tg.fft.irfft(x[:, :1]), ValueError, r"\[irfft\] n is 0, expected at least 1"),
        (lambda x: tg.fft.fft(x, n=2.5), TypeError, r"\[fft\] n is 2.5, expected an integer"),
        (lambda x: tg.fft.fft(x, axis=2), IndexError, r"\[fft\] axis 2 is out of range"),
        (lambda x: tg.fft.fft(x, norm="none"), ValueError, r"\[fft\] norm is 'none'"),
        (lambda x: tg.fft.fftn(x, s=(1, 2, 3)), IndexError, r"\[fftn\] axis -3 is out of range"),
        (lambda x: tg.fft.fft2(x, s=(1,)), ValueError, r"\[fft2\] s has 1 lengths, .* 2 axes"),
        (lambda x: tg.fft.rfftn(x, axes=(0, 0)), ValueError, r"\[rfftn\] axis .* twice"),
        (lambda x: tg.fft.fftn(x[0, 0]), ValueError, r"\[fftn\] x is \(\), expected at least one"),
        (lambda x: tg.fft.fftfreq(3, 0), ValueError, r"\[fftfreq\] d is 0"),
    ],
)
def test_what_cannot_be_transformed_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(Tensor(np.ones((2, 3))))
