"""`tg.fft`: discrete Fourier transforms, with the names and arguments of `np.fft`.

    fft ifft rfft irfft hfft ihfft     along one axis
    fft2 ifft2 rfft2 irfft2            along two
    fftn ifftn rfftn irfftn            along any number
    fftfreq rfftfreq fftshift ifftshift

`np.fft.fft(tensor)` calls them, too. float32 is transformed in single precision, to complex64, as
are integers and half types. Along each axis, a length (`n`, or `s` for several axes) cuts the input
or pads it with zeros first. `norm` says which direction divides by the number n of points: the
inverse ("backward"), the forward one ("forward"), or both by sqrt(n) ("ortho").

A transform is linear, and its matrix W is symmetric: so the gradient of a transform is the same
transform of the gradient. That of real numbers (rfft) leaves out the half of the spectrum that is
the conjugate of the other: what is left out counts double in its inverse, and in the gradients.

The work is done by scipy.fft on the CPU (pocketfft: Cooley-Tukey, Bluestein for large primes), and
by cupyx.scipy.fft on a GPU.
"""

import numpy as np

from tinygrad_like.backend import num_threads, wide
from tinygrad_like.engine import (
    Tensor,
    check_choice,
    check_integer,
    check_number,
    composed,
    conj,
    op,
)
from tinygrad_like.ops.arrays.create import FLOAT
from tinygrad_like.ops.arrays.shape import along_axes, normal_axes, roll, slice_at
from tinygrad_like.ops.indexing.padding import pad

__all__ = [
    *("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"),
    *("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn"),
    *("fftfreq", "rfftfreq", "fftshift", "ifftshift"),
]

# The norm with which the opposite direction has the factor of this one.
OPPOSITE = {"backward": "forward", "forward": "backward", "ortho": "ortho"}


MANY = 1 << 16  # elements from which on threads share the rows


def _transform(be, name, x, **options):
    """A function of SciPy's, on all threads where that pays."""
    if be.device == "cpu" and x.size >= MANY:
        options["workers"] = num_threads()
    return getattr(be.fft, name)(wide(x), **options)


# The ops. `axes` are from 0 on; along the last of them _rdft and _irdft have half a spectrum.


@op(
    complex=True,
    floating=True,
    batch=along_axes,
    x=lambda g, axes, norm: _dft(g, axes=axes, norm=norm),
)
def _dft(be, x, *, axes, norm):
    return _transform(be, "fftn", x, axes=axes, norm=norm)


@op(
    complex=True,
    floating=True,
    batch=along_axes,
    x=lambda g, axes, norm: _inverse_dft(g, axes=axes, norm=norm),
)
def _inverse_dft(be, x, *, axes, norm):
    return _transform(be, "ifftn", x, axes=axes, norm=norm)


def _rdft_rule(g, be, x_shape, axes, norm):
    """The real part of the whole transform of g, in which _irdft counts the inner half twice."""
    n = x_shape[axes[-1]]
    h = conj(g) * _of_inner(be, 0.5, n, g, axes[-1])
    return _irdft(h, n=n, axes=axes, norm=OPPOSITE[norm])


@op(floating=True, batch=along_axes, x=_rdft_rule)
def _rdft(be, x, *, axes, norm):
    return _transform(be, "rfftn", x, axes=axes, norm=norm)


def _irdft_rule(g, be, n, axes, norm):
    h = conj(_rdft(g, axes=axes, norm=OPPOSITE[norm]))
    return h * _of_inner(be, 2.0, n, h, axes[-1])


@op(complex=True, floating=True, batch=along_axes, x=_irdft_rule)
def _irdft(be, x, *, n, axes, norm):
    s = [x.shape[a] for a in axes[:-1]] + [n]
    return _transform(be, "irfftn", x, s=s, axes=axes, norm=norm)


def _of_inner(be, weight, n, like, axis):
    """Along one axis of a half spectrum of n points: `weight`, but 1 for what has no mirror image.

    That is the constant and, for an even n, the highest frequency.
    """
    count = n // 2 + 1
    weights = be.xp.full(count, weight, np.float32 if like.dtype.itemsize == 8 else np.float64)
    weights[:1] = 1
    if n % 2 == 0:
        weights[-1:] = 1
    return weights.reshape((count, *(1,) * (len(like.shape) - axis - 1)))


# The arguments of the public functions


def _along(x, n, axis):
    """(x with n points along the axis, the axis as a tuple)."""
    axes = normal_axes("fft", check_integer("fft", "axis", axis), x.ndim)
    return _resized(x, [x.shape[axes[0]] if n is None else n], axes), axes


def _axes_of_all(x, s, axes):
    """The axes to transform: by default all of them, or as many of the last as `s` has."""
    if axes is None and s is not None:
        axes = tuple(range(-len(s) if isinstance(s, (tuple, list)) else -1, 0))
    axes = normal_axes("fft", axes, x.ndim)
    if not axes:
        raise ValueError(f"[fft] x is {x.shape}, expected at least one axis to transform")
    return axes


def _along_all(x, s, axes):
    """(x with the points `s` along the axes, the axes)."""
    axes = _axes_of_all(x, s, axes)
    return _resized(x, _lengths(x, s, axes), axes), axes


def _lengths(x, s, axes):
    """`s`, with the length that x has wherever it is -1 or None."""
    if s is None:
        return [x.shape[a] for a in axes]
    s = s if isinstance(s, (tuple, list)) else (s,)
    if len(s) != len(axes):
        raise ValueError(f"[fft] s has {len(s)} lengths, expected one for each of {len(axes)} axes")
    return [x.shape[a] if n is None or n == -1 else n for n, a in zip(s, axes, strict=True)]


def _resized(x, lengths, axes):
    """x cut to these lengths along the axes, or padded with zeros."""
    widths = [(0, 0)] * x.ndim
    for n, axis in zip(lengths, axes, strict=True):
        have = x.shape[axis]
        if check_integer("fft", "n", n) < 1:
            raise ValueError(
                f"[fft] axis {axis} has {n} points, expected at least 1 (x: {x.shape})"
            )
        if n < have:
            x = x[slice_at(axis, 0, n)]
        widths[axis] = 0, max(n - have, 0)
    return pad(x, widths) if any(after for _, after in widths) else x


def _norm(norm):
    return check_choice("fft", "norm", "backward" if norm is None else norm, tuple(OPPOSITE))


def _half(x, lengths, axes):
    """(half a spectrum with the right number of points, the points of the whole)."""
    n = check_integer("fft", "n", lengths[-1])
    if n < 1:
        raise ValueError(f"[fft] n is {n}, expected at least 1 point (x: {x.shape})")
    return _resized(x, [*lengths[:-1], n // 2 + 1], axes), n


# One axis


@composed
def fft(x, n=None, axis=-1, norm=None):
    """The spectrum of `x` along an axis: y[k] = sum over t of x[t] exp(-2 pi i k t / n).

    Args:
        n: how many points: x is cut, or padded with zeros.
        norm: "backward" (the default), "ortho" or "forward", see above.

    >>> import tinygrad_like as tg
    >>> tg.fft.fft(tg.Tensor([1.0, 0.0, 0.0, 0.0])).real
    Tensor([1., 1., 1., 1.], dtype=float32)
    """
    x, axes = _along(x, n, axis)
    return _dft(x, axes=axes, norm=_norm(norm))


@composed
def ifft(x, n=None, axis=-1, norm=None):
    """The inverse of `fft`: x[t] = sum over k of y[k] exp(2 pi i k t / n) / n."""
    x, axes = _along(x, n, axis)
    return _inverse_dft(x, axes=axes, norm=_norm(norm))


@composed
def rfft(x, n=None, axis=-1, norm=None):
    """The first n // 2 + 1 values of the spectrum of real `x`; the others are their conjugates.

    Raises TypeError for complex numbers.
    """
    x, axes = _along(x, n, axis)
    return _rdft(x, axes=axes, norm=_norm(norm))


@composed
def irfft(x, n=None, axis=-1, norm=None):
    """The inverse of `rfft`: n real numbers, by default 2 (m - 1) for m values of the spectrum.

    Give an odd n, which the spectrum does not tell. The imaginary parts of the first value, and
    of the last one for an even n, do not count.
    """
    axes = normal_axes("fft", check_integer("fft", "axis", axis), x.ndim)
    x, n = _half(x, [2 * (x.shape[axes[0]] - 1) if n is None else n], axes)
    return _irdft(x, n=n, axes=axes, norm=_norm(norm))


@composed
def hfft(x, n=None, axis=-1, norm=None):
    """The real spectrum, of n points, of a signal of which x[-t] is the conjugate of x[t].

    `x` has its first n // 2 + 1 values; by default n is 2 (m - 1) for m of them.
    """
    return irfft(conj(x), n, axis, OPPOSITE[_norm(norm)])


@composed
def ihfft(x, n=None, axis=-1, norm=None):
    """The inverse of `hfft`: the first n // 2 + 1 values of a signal whose spectrum `x` is real."""
    return conj(rfft(x, n, axis, OPPOSITE[_norm(norm)]))


# Several axes


@composed
def fftn(x, s=None, axes=None, norm=None):
    """The spectrum of `x` along several axes, by default all.

    Args:
        s: the number of points along each axis, to which `x` is cut or padded with zeros; -1
            keeps the length of an axis.
        axes: the axes; by default all, or as many of the last ones as `s` has numbers.
        norm: see `fft`.
    """
    x, axes = _along_all(x, s, axes)
    return _dft(x, axes=axes, norm=_norm(norm))


@composed
def ifftn(x, s=None, axes=None, norm=None):
    """The inverse of `fftn`."""
    x, axes = _along_all(x, s, axes)
    return _inverse_dft(x, axes=axes, norm=_norm(norm))


@composed
def rfftn(x, s=None, axes=None, norm=None):
    """The spectrum of real `x` along several axes: of the last one the first n // 2 + 1 values."""
    x, axes = _along_all(x, s, axes)
    return _rdft(x, axes=axes, norm=_norm(norm))


@composed
def irfftn(x, s=None, axes=None, norm=None):
    """The inverse of `rfftn`: the last length is by default 2 (m - 1) for m values."""
    axes = _axes_of_all(x, s, axes)
    lengths = _lengths(x, s, axes)
    if s is None or (isinstance(s, (tuple, list)) and s[-1] in (None, -1)):
        lengths[-1] = 2 * (lengths[-1] - 1)
    x, n = _half(x, lengths, axes)
    return _irdft(x, n=n, axes=axes, norm=_norm(norm))


@composed
def fft2(x, s=None, axes=(-2, -1), norm=None):
    """`fftn` along two axes, by default the last two."""
    return fftn(x, s, axes, norm)


@composed
def ifft2(x, s=None, axes=(-2, -1), norm=None):
    """The inverse of `fft2`."""
    return ifftn(x, s, axes, norm)


@composed
def rfft2(x, s=None, axes=(-2, -1), norm=None):
    """`rfftn` along two axes, by default the last two."""
    return rfftn(x, s, axes, norm)


@composed
def irfft2(x, s=None, axes=(-2, -1), norm=None):
    """The inverse of `rfft2`."""
    return irfftn(x, s, axes, norm)


# Frequencies


def fftfreq(n, d=1.0, *, dtype=FLOAT, device=None):
    """The frequencies of `fft`'s n points, of samples d apart: 0, 1, ..., -2, -1 over n d.

    >>> import tinygrad_like as tg
    >>> tg.fft.fftfreq(4).tolist()
    [0.0, 0.25, -0.5, -0.25]
    """
    n, d = check_integer("fftfreq", "n", n, 1), _spacing("fftfreq", d)
    return Tensor(np.fft.fftfreq(n, d), dtype=dtype, device=device)


def rfftfreq(n, d=1.0, *, dtype=FLOAT, device=None):
    """The frequencies of `rfft`'s n // 2 + 1 values, of samples d apart: 0, 1, ... over n d."""
    n, d = check_integer("rfftfreq", "n", n, 1), _spacing("rfftfreq", d)
    return Tensor(np.fft.rfftfreq(n, d), dtype=dtype, device=device)


def _spacing(name, d):
    d = check_number(name, "d", d)
    if d == 0:
        raise ValueError(f"[{name}] d is 0, expected another number")
    return d


@composed
def fftshift(x, axes=None):
    """`x` with the frequency 0 moved from the first place to the middle, along the axes (all)."""
    axes = normal_axes("fftshift", axes, x.ndim)
    return roll(x, tuple(x.shape[a] // 2 for a in axes), axes) if axes else x


@composed
def ifftshift(x, axes=None):
    """The inverse of `fftshift`."""
    axes = normal_axes("ifftshift", axes, x.ndim)
    return roll(x, tuple(-(x.shape[a] // 2) for a in axes), axes) if axes else x
