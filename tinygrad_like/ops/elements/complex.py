"""Complex numbers: their parts, sizes and angles, and the way between them and pairs of reals.

Gradients of complex numbers are PyTorch's: for a real loss, z.grad = dL/dRe(z) + i dL/dIm(z). The
rules below see its conjugate, as all rules do (engine/fit.py says why): of a change dz they must
say Re(G dz).
"""

import math

import numpy as np

from tinygrad_like.backend import as_complex
from tinygrad_like.engine import (
    Tensor,
    check_flag,
    composed,
    conj,
    elementwise_op,
    real,
    with_numbers,
)
from tinygrad_like.ops.arrays.shape import stack
from tinygrad_like.ops.elements.elementwise import cos, equal, sin, where, zeros_of

__all__ = ["conj", "real"]  # of the engine, which fits gradients with them


@elementwise_op(any_dtype=True, complex=True, x=lambda g: g * -1j)
def imag(be, x):
    """The imaginary part; of real numbers zeros of their own dtype."""
    return x.imag.copy() if x.dtype.kind == "c" else be.xp.zeros_like(x)


@elementwise_op(
    floating=True,
    any_dtype=True,
    numbers=with_numbers,
    real=lambda g: g,
    imag=lambda g: g * 1j,
)
def complex(be, real, imag):
    """real + i imag: complex64, or complex128 if one of them is of float64."""
    dtypes = [x.dtype for x in (real, imag) if hasattr(x, "dtype")]
    part = np.float64 if np.dtype(np.float64) in dtypes else np.float32
    parts = [be.xp.asarray(x).astype(part) for x in (real, imag)]
    return as_complex(*be.xp.broadcast_arrays(*parts))


def _angle_rule(g, x):
    if x.dtype.kind != "c":
        return zeros_of(g)
    at_0 = equal(x, 0)
    return where(at_0, 0, g * -1j / where(at_0, 1, x))


@elementwise_op(floating=True, complex=True, x=_angle_rule)
def _angle(be, x):
    return be.xp.angle(x)


@composed
def angle(x, deg=False):
    """The angle of complex numbers in (-pi, pi], in radians or degrees; its gradient at 0 is 0.

    That of real numbers is 0, or pi for negative ones.
    """
    found = _angle(x)
    return found * (180 / math.pi) if check_flag("angle", "deg", deg) else found


@composed
def polar(abs, angle):
    """The complex numbers of these sizes and angles (in radians), as PyTorch's.

    >>> import math, tinygrad_like as tg
    >>> tg.polar(tg.Tensor([1.0, 2.0]), tg.Tensor([0.0, math.pi])).real
    Tensor([ 1., -2.], dtype=float32)
    """
    return complex(abs * cos(angle), abs * sin(angle))


@composed
def view_as_real(x):
    """Complex numbers (...) as pairs (..., 2) of real and imaginary parts: a copy."""
    if x.dtype.kind != "c":
        raise TypeError(f"[view_as_real] x is of {x.dtype}, expected complex numbers")
    return stack([real(x), imag(x)], axis=-1)


@composed
def view_as_complex(x):
    """Pairs (..., 2) of real and imaginary parts as complex numbers (...): a copy."""
    if not x.ndim or x.shape[-1] != 2 or x.dtype.kind == "c":
        raise ValueError(
            f"[view_as_complex] x is {x.shape} of {x.dtype}, expected real pairs (..., 2)"
        )
    return complex(x[..., 0], x[..., 1])


@elementwise_op(any_dtype=True, complex=True)
def isreal(be, x):
    """Where the imaginary part is 0, as booleans."""
    return be.xp.isreal(x)


@elementwise_op(any_dtype=True, complex=True)
def iscomplex(be, x):
    """Where the imaginary part is not 0, as booleans."""
    return be.xp.iscomplex(x)


def iscomplexobj(x):
    """Whether a tensor, an array or a number is of a complex dtype, whatever its values."""
    return np.iscomplexobj(x.data if isinstance(x, Tensor) else x)
