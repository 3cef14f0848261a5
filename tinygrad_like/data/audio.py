"""Sound: WAV files read, cut into frames, and turned into mel spectrograms.

Samples are float32 (T,) from -1 to 1, `rate` is their number in a second. SciPy reads the files and
computes the spectra; it is loaded at the first use.
"""

import functools
import warnings
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tinygrad_like.data import arguments
from tinygrad_like.data.fetch import DataError
from tinygrad_like.engine import check_flag, check_number

SILENCE = 1e-4  # a peak below it, -80 dB of full scale, is none that anybody spoke


def read_wav(path, rate=None):
    """The sound in a WAV file: (samples, rate), samples float32 (T,) from -1 to 1.

    Integers of 8, 16, 24 and 32 bits and floats are read. Several channels become their mean.

    Args:
        path: the file.
        rate: how many samples a second it must have; None: any number.

    Raises:
        FileNotFoundError: for a file that is not there.
        DataError: for one that is no WAV file, is cut short, has no samples, is silent (its peak
            below 1e-4) or has another rate.

    >>> from scipy.io import wavfile
    >>> wavfile.write("tone.wav", 8000, np.array([0, 16384, 0, -16384], np.int16))
    >>> read_wav("tone.wav", 8000)
    (array([ 0. ,  0.5,  0. , -0.5], dtype=float32), 8000)
    """
    from scipy.io import wavfile

    path = Path(path)
    if rate is not None:
        rate = arguments.positive("read_wav", "rate", rate)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", wavfile.WavFileWarning)
            found, samples = wavfile.read(path)
    except (ValueError, EOFError) as error:
        raise DataError(f"[read_wav] {path} is not a WAV file that can be read: {error}") from None
    if any("prematurely" in str(warning.message) for warning in caught):
        raise DataError(
            f"[read_wav] {path} is cut short: it has fewer samples than its header says"
        )
    if rate is not None and found != rate:
        raise DataError(
            f"[read_wav] {path} has {found} samples a second, expected {rate}: resample it first, "
            f"by scipy.signal.resample_poly(samples, {rate}, {found}) for example"
        )
    samples = _as_floats(samples)
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    if not samples.size:
        raise DataError(f"[read_wav] {path} has no samples")
    peak = float(np.abs(samples).max())
    if peak < SILENCE:
        raise DataError(
            f"[read_wav] {path} is silent: its peak is {peak:.1g} of full scale, expected at least "
            f"{SILENCE:g}"
        )
    return samples, found


def _as_floats(samples):
    """Samples as float32, where full scale is 1."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return np.divide(samples, -float(np.iinfo(samples.dtype).min), dtype=np.float32)
    return samples.astype(np.float32)


def frames(samples, length, hop):
    """Overlapping frames of a sound, one every `hop` samples: (1 + (T - length) // hop, length).

    They are a read-only view of the samples (T,); what is left behind the last whole frame is
    dropped.

    Raises ValueError for samples that are not (T,), and fewer than `length` of them.

    >>> frames(np.arange(7), 4, 2)
    array([[0, 1, 2, 3],
           [2, 3, 4, 5]])
    """
    samples = _sound("frames", samples)
    length = arguments.positive("frames", "length", length)
    hop = arguments.positive("frames", "hop", hop)
    if len(samples) < length:
        raise ValueError(
            f"[frames] there are {len(samples)} samples, expected at least {length} for a frame"
        )
    return sliding_window_view(samples, length)[::hop]


def mel_spectrogram(samples, rate, *, n_fft=512, hop=None, bands=40, low=0.0, high=None, log=False):
    """The power of a sound in bands that are even to the ear: float32 (1 + T // hop, bands).

    Frame k has its middle at sample k hop; beyond the ends are zeros. Its spectrum, behind a Hann
    window, is summed in overlapping triangles, whose middles are evenly spaced in mels (Slaney's:
    linear up to 1000 Hz, logarithmic above), and whose areas over the frequency are 1.

    Args:
        samples: (T,) real numbers.
        rate: samples a second.
        n_fft: samples in a frame.
        hop: samples between the middles of two frames; by default n_fft // 4.
        bands: how many triangles.
        low, high: the frequencies between which they lie, in Hz; `high` is by default rate / 2.
        log: whether to return log(max(power, 1e-10)), which networks read better.

    Raises ValueError for samples that are not (T,), no samples, frequencies that are not
    0 <= low < high <= rate / 2, and bands so narrow that one has no frequency of the spectrum.

    Source: Slaney 1998, "Auditory toolbox", as in librosa, with whose values it agrees.

    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    >>> mel = mel_spectrogram(tone, 8000, bands=20)
    >>> mel.shape, int(mel[30].argmax())
    ((63, 20), 8)
    """
    from scipy.signal import ShortTimeFFT, get_window

    name = "mel_spectrogram"
    samples = _sound(name, samples)
    rate = arguments.positive(name, "rate", rate)
    n_fft = arguments.positive(name, "n_fft", n_fft)
    hop = arguments.positive(name, "hop", max(1, n_fft // 4) if hop is None else hop)
    log = check_flag(name, "log", log)
    if not samples.size:
        raise ValueError(f"[{name}] there are no samples")
    filters = mel_filters(rate, n_fft, bands, low, high)
    transform = ShortTimeFFT(get_window("hann", n_fft), hop, rate, fft_mode="onesided")
    x, short = samples.astype(np.float64), n_fft - len(samples)
    x = np.pad(x, (0, max(0, short)))  # which the transform needs, and would be zeros in any case
    spectra = transform.stft(x, p0=0, p1=1 + len(samples) // hop)
    power = (filters @ (spectra.real**2 + spectra.imag**2)).T
    return (np.log(np.maximum(power, 1e-10)) if log else power).astype(np.float32)


def mel_filters(rate, n_fft, bands, low=0.0, high=None):
    """The triangles of `mel_spectrogram`: float64 (bands, n_fft // 2 + 1). See there.

    >>> mel_filters(8000, 256, 20).shape
    (20, 129)
    """
    name = "mel_filters"
    rate = arguments.positive(name, "rate", rate)
    n_fft = arguments.positive(name, "n_fft", n_fft)
    bands = arguments.positive(name, "bands", bands)
    high = rate / 2 if high is None else check_number(name, "high", high, 0, rate / 2)
    low = check_number(name, "low", low, 0, rate / 2)
    if low >= high:
        raise ValueError(f"[{name}] low is {low} and high is {high}, expected low < high")
    return _filters(rate, n_fft, bands, low, high)


@functools.lru_cache(maxsize=16)
def _filters(rate, n_fft, bands, low, high):
    first, last = _mels(np.array([low, high]))
    edges = _hertz(np.linspace(first, last, bands + 2))
    frequencies = np.fft.rfftfreq(n_fft, 1 / rate)
    rise = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    filters = np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    empty = np.flatnonzero(filters.max(axis=1) == 0)
    if empty.size:
        raise ValueError(
            f"[mel_filters] band {empty[0]} of {bands} has no frequency of a spectrum of {n_fft} "
            "samples: take fewer bands or a larger n_fft"
        )
    filters.flags.writeable = False
    return filters


def _mels(hertz):
    """Slaney's mels: 3 for 200 Hz up to 1000 Hz, then 27 for each factor of 6.4."""
    above = 15 + 27 * np.log(np.maximum(hertz, 1000) / 1000) / np.log(6.4)
    return np.where(hertz < 1000, 3 * hertz / 200, above)


def _hertz(mels):
    return np.where(mels < 15, 200 * mels / 3, 1000 * 6.4 ** ((mels - 15) / 27))


def _sound(name, samples):
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise ValueError(
            f"[{name}] samples have shape {samples.shape}, expected (T,): one channel, such as the "
            "mean of several"
        )
    if samples.dtype.kind not in "fiu":
        raise TypeError(f"[{name}] samples are of {samples.dtype}, expected real numbers")
    return samples
