"""Short-time Fourier transforms: spectra of overlapping frames of a signal, and the way back."""

import numpy as np

from tinygrad_like.engine import backend_of, broadcast_to, check_flag, check_integer, composed
from tinygrad_like.engine.errors import describe
from tinygrad_like.ops.arrays.shape import reshape, swapaxes
from tinygrad_like.ops.elements.compare import less_equal
from tinygrad_like.ops.elements.elementwise import abs
from tinygrad_like.ops.indexing.index import scatter_add, take
from tinygrad_like.ops.indexing.padding import pad
from tinygrad_like.ops.signals.fft import fft, ifft, irfft, rfft


@composed
def stft(
    x,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    pad_mode="reflect",
    normalized=False,
    onesided=None,
):
    """The spectra of frames of `x` (..., T), as PyTorch's: (..., frequencies, frames).

    Args:
        n_fft: how many points a frame has.
        hop_length: how far apart frames begin; by default n_fft // 4.
        win_length, window: by what a frame is multiplied: `win_length` numbers (by default n_fft of
            them, ones) in the middle of the frame, zeros beside them.
        center: whether frame t has its middle at t * hop_length: the signal is padded first, by
            `pad_mode` (see `tg.pad`).
        normalized: whether spectra are divided by sqrt(n_fft).
        onesided: whether to leave out the half that is the conjugate of the other: n_fft // 2 + 1
            frequencies. By default for real signals.

    Raises ValueError for a signal shorter than a frame, and options that do not fit each other.

    >>> import tinygrad_like as tg
    >>> tg.stft(tg.ones(16), 8, window=tg.ones(8)).shape
    (5, 9)
    """
    if not x.ndim:
        raise ValueError("[stft] x is a number, expected a signal (..., T)")
    n, hop, window = _frame("stft", x, n_fft, hop_length, win_length, window)
    one = x.dtype.kind != "c" if onesided is None else check_flag("stft", "onesided", onesided)
    if check_flag("stft", "center", center):
        x = pad(x, [(0, 0)] * (x.ndim - 1) + [(n // 2, n // 2)], pad_mode)
    if x.shape[-1] < n:
        raise ValueError(f"[stft] x has {x.shape[-1]} points, expected {n} for a frame")
    starts = np.arange(0, x.shape[-1] - n + 1, hop)
    frames = take(x, backend_of(x).xp.asarray(starts[:, None] + np.arange(n)), axis=-1) * window
    spectra = (rfft if one else fft)(frames, norm=_norm("stft", normalized))
    return swapaxes(spectra, -1, -2)


@composed
def istft(
    x,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    normalized=False,
    onesided=True,
    length=None,
):
    """The signal (..., T) of spectra (..., frequencies, frames): the inverse of `stft`.

    The frames are multiplied by the window once more, added up where they overlap, and divided by
    the sum of the squared windows: the signal whose spectra are nearest to these (Griffin and Lim
    1984, "Signal estimation from modified short-time Fourier transform").

    Args:
        n_fft, hop_length, win_length, window, center, normalized: as for `stft`.
        onesided: whether there are n_fft // 2 + 1 frequencies, of a real signal; else all n_fft of
            a complex one.
        length: of the signal; by default as far as whole frames go.

    Raises ValueError where the windows add up to 0, and for a wrong number of frequencies.
    """
    n, hop, window = _frame("istft", x, n_fft, hop_length, win_length, window)
    one = check_flag("istft", "onesided", onesided)
    count = n // 2 + 1 if one else n
    if x.ndim < 2 or x.shape[-2] != count or not x.shape[-1]:
        raise ValueError(f"[istft] x is {x.shape}, expected (..., {count}, frames)")
    norm, spectra = _norm("istft", normalized), swapaxes(x, -1, -2)
    frames = irfft(spectra, n, norm=norm) if one else ifft(spectra, norm=norm)
    places = np.arange(x.shape[-1])[:, None] * hop + np.arange(n)
    total = int(places[-1, -1]) + 1
    first = n // 2 if check_flag("istft", "center", center) else 0
    last = total - first if length is None else first + check_integer("istft", "length", length, 1)
    squares = _added_up(broadcast_to(window * window, places.shape), places)[first:last]
    if backend_of(squares).holds_anywhere(less_equal(abs(squares), 1e-11)):
        raise ValueError("[istft] the windows add up to 0 somewhere: the signal is unknown there")
    signal = _added_up(frames * window, places)[..., first:last] / squares
    missing = max(0, last - total)
    return pad(signal, [(0, 0)] * (signal.ndim - 1) + [(0, missing)]) if missing else signal


def _frame(name, x, n_fft, hop_length, win_length, window):
    """(the points of a frame, how far apart frames begin, the window of a whole frame)."""
    n = check_integer(name, "n_fft", n_fft, 1)
    hop = max(n // 4, 1) if hop_length is None else check_integer(name, "hop_length", hop_length, 1)
    width = n if win_length is None else check_integer(name, "win_length", win_length, 1, n)
    if window is None:
        dtype = np.float64 if x.dtype in (np.float64, np.complex128) else np.float32
        window = backend_of(x).xp.ones(width, dtype)
    if getattr(window, "shape", None) != (width,):
        raise ValueError(f"[{name}] window is {describe(window)}, expected ({width},)")
    before = (n - width) // 2
    return n, hop, pad(window, (before, n - width - before)) if width < n else window


def _norm(name, normalized):
    return "ortho" if check_flag(name, "normalized", normalized) else "backward"


def _added_up(frames, places):
    """Frames (..., count, n) added up where they overlap, at these places: (..., T)."""
    flat = reshape(frames, (*frames.shape[:-2], places.size))
    total = int(places[-1, -1]) + 1
    zeros = backend_of(frames).xp.zeros((*flat.shape[:-1], total), frames.dtype)
    return scatter_add(zeros, np.broadcast_to(places.reshape(-1), flat.shape), flat, axis=-1)
