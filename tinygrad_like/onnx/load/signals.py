"""Ops of ONNX on signals: Fourier transforms, spectrograms, mel filters.

A complex number is an axis of length 2 at the end: its real and its imaginary part.
"""

import numpy as np

from tinygrad_like.engine import real
from tinygrad_like.onnx.load.dtypes import dtype_of
from tinygrad_like.onnx.load.errors import Refused
from tinygrad_like.onnx.load.table import Host, axis_of, integer, runs
from tinygrad_like.ops.arrays import shape as arrays
from tinygrad_like.ops.elements import complex as complexes
from tinygrad_like.ops.indexing import index as indexing
from tinygrad_like.ops.signals import fft


def _as_complex(x):
    """Numbers (..., 2) as complex ones, (..., 1) as real ones."""
    return x[..., 0] if x.shape[-1] == 1 else complexes.complex(x[..., 0], x[..., 1])


def _as_pairs(x):
    """Complex numbers as (..., 2), real ones as (..., 1)."""
    if x.dtype.kind != "c":
        return arrays.expand_dims(x, -1)
    return arrays.stack((real(x), complexes.imag(x)), axis=-1)


@runs("DFT", since=17)
def dft_of_attribute(x, length: Host = None, *, axis=1, inverse=0, onesided=0):
    return _dft(x, length, axis, inverse, onesided)


@runs("DFT", since=20)
def dft(x, length: Host = None, axis: Host = None, *, inverse=0, onesided=0):
    return _dft(x, length, -2 if axis is None else integer(axis), inverse, onesided)


def _dft(x, length, axis, inverse, onesided):
    """The transform of pairs or real numbers; the inverse of one side is real."""
    axis = axis_of(axis, x.ndim)
    n = None if length is None else integer(length)
    z = _as_complex(x)
    if onesided and inverse:
        if z.dtype.kind != "c":
            raise Refused("[onnx] DFT of real numbers with inverse and onesided")
        return _as_pairs(fft.irfft(z, n, axis))
    if onesided:
        if z.dtype.kind == "c":
            raise Refused("[onnx] DFT of complex numbers with onesided")
        return _as_pairs(fft.rfft(z, n, axis))
    return _as_pairs((fft.ifft if inverse else fft.fft)(z, n, axis))


@runs("STFT")
def stft(x, step: Host, window=None, length: Host = None, *, onesided=1):
    """Transforms of frames of x (N, L, 1 or 2): (N, frames, bins, 2)."""
    z = _as_complex(x)
    size = window.shape[0] if length is None else integer(length)
    count = (z.shape[1] - size) // integer(step) + 1
    places = np.arange(count)[:, None] * integer(step) + np.arange(size)
    frames = arrays.reshape(
        indexing.take(z, places.reshape(-1), 1), shape=(z.shape[0], count, size)
    )
    frames = frames if window is None else frames * window
    return _as_pairs((fft.rfft if onesided and z.dtype.kind != "c" else fft.fft)(frames))


@runs("MelWeightMatrix")
def mel_weights(bins: Host, length: Host, rate: Host, low: Host, high: Host, *, output_datatype=1):
    """Triangles on the mel scale, as a matrix (frequencies, bins)."""
    count, n = integer(bins), integer(length) // 2 + 1
    ends = 2595 * np.log10(1 + np.asarray([low, high], np.float64).reshape(-1) / 700)
    mels = np.arange(count + 2) * ((ends[1] - ends[0]) / (count + 2)) + ends[0]
    hertz = 700 * (np.power(10, mels / 2595) - 1)
    places = np.floor((integer(length) + 1) * hertz / integer(rate)).astype(np.int64)
    found = np.zeros((n, count))
    for i in range(count):
        first, middle, last = places[i : i + 3]
        if middle == first:
            found[middle, i] = 1
        else:
            rows = np.arange(first, middle + 1)
            found[rows, i] = (rows - first) / (middle - first)
        if last != middle:
            rows = np.arange(middle, last)
            found[rows, i] = (last - rows) / (last - middle)
    return found.astype(dtype_of(output_datatype, "the result of MelWeightMatrix"))
