"""What NumPy offers under further names: `np.divmod(tensor, 2)` calls a function of this file.

Each is composed of ops and has no function tg.name, where a shorter way says the same: operators,
tg.round, tg.cumsum, tg.einsum. Options that a function does not name here are NumPy's, on the
values, see protocol.py.
"""

import math

import numpy as np

from tinygrad_like.backend import FLOATING
from tinygrad_like.engine import (
    check_integer,
    composed,
    conj,
    real,
)
from tinygrad_like.ops.arrays.shape import (
    concatenate,
    normal_axes,
    reshape,
    stack,
    swapaxes,
    transpose,
)
from tinygrad_like.ops.elements.arithmetic import trunc
from tinygrad_like.ops.elements.compare import isinf, less
from tinygrad_like.ops.elements.complex import imag
from tinygrad_like.ops.elements.elementwise import (
    abs,
    add,
    floor_divide,
    multiply,
    power,
    remainder,
    round,
    subtract,
    where,
)
from tinygrad_like.ops.matrices.diagonal import diagonal, trace
from tinygrad_like.ops.matrices.linalg import einsum, inv
from tinygrad_like.ops.matrices.systems import solve
from tinygrad_like.ops.reductions.reduce import all, cumsum
from tinygrad_like.ops.reductions.scan import cumprod
from tinygrad_like.ops.samples.statistics import diff


def divmod(a, b):
    """The quotient rounded down, and the remainder."""
    return floor_divide(a, b), remainder(a, b)


def modf(x):
    """The fraction, with the sign of x, and the whole number; the fraction of infinities is 0."""
    finite = where(isinf(x), 0, x)
    return subtract(finite, trunc(finite)), trunc(x)


def rint(x):
    """x rounded to whole numbers, those halfway to even ones."""
    return round(x if x.dtype.kind in FLOATING + "c" else multiply(x, 1.0))


@composed
def real_if_close(x, tol=100):
    """The real part if all imaginary ones are below `tol` (above 1: in units of rounding)."""
    if x.dtype.kind != "c":
        return x
    tol = tol * np.finfo(x.dtype).eps if tol > 1 else tol
    return real(x) if all(less(abs(imag(x)), tol)).item() else x


@composed
def einsum_in_any_order(*operands, optimize=False):
    """np.einsum, whose `optimize` chooses an order of the products: tg.einsum has its own."""
    return einsum(*operands)


@composed
def vecdot(a, b):
    """Scalar products along the last axis, of the conjugate of a."""
    return einsum("...i,...i->...", conj(a), b)


@composed
def matvec(a, b):
    """Matrices times vectors."""
    return einsum("...ij,...j->...i", a, b)


@composed
def vecmat(a, b):
    """The conjugates of vectors times matrices."""
    return einsum("...i,...ij->...j", conj(a), b)


def matrix_transpose(x):
    """The last two axes swapped."""
    if x.ndim < 2:
        raise ValueError(f"[matrix_transpose] x is {x.shape}, expected matrices (..., n, m)")
    return swapaxes(x, -1, -2)


def matrix_trace(x, offset=0):
    """np.linalg.trace, of the matrices of the last two axes."""
    return trace(x, offset, -2, -1)


def matrix_diagonal(x, offset=0):
    """np.linalg.diagonal, of the matrices of the last two axes."""
    return diagonal(x, offset, -2, -1)


def ravel(x):
    """All elements in order, as one row."""
    return reshape(x, (-1,))


@composed
def joined(xs, axis=0):
    """np.concatenate: with None as the axis, of flat tensors."""
    if axis is None:
        xs, axis = [ravel(x) for x in xs], 0
    return concatenate(xs, axis)


def _running(name, scan, x, axis):
    if axis is None and x.ndim != 1:
        raise ValueError(f"[{name}] x is {x.shape}, expected an axis for what is not one row")
    return scan(x, axis)


def cumulative_sum(x, axis=None):
    """The running sum along an axis, which rows alone may leave out."""
    return _running("cumulative_sum", cumsum, x, axis)


def cumulative_prod(x, axis=None):
    """The running product along an axis, which rows alone may leave out."""
    return _running("cumulative_prod", cumprod, x, axis)


def ediff1d(x):
    """The differences of neighbours in the flat tensor."""
    return diff(ravel(x))


@composed
def polyval(p, x):
    """The polynomial with coefficients p, that of the highest power first, at x."""
    y = multiply(x, 0)
    for coefficient in p:
        y = add(multiply(y, x), coefficient)
    return y


@composed
def vander(x, N=None, increasing=False):
    """The powers of x from N - 1 down to 0, as columns."""
    if x.ndim != 1:
        raise ValueError(f"[vander] x is {x.shape}, expected one row of numbers")
    n = check_integer("vander", "N", x.shape[0] if N is None else N, 1)
    powers = range(n) if increasing else range(n - 1, -1, -1)
    return stack([power(x, k) for k in powers], 1)


@composed
def tensorinv(a, ind=2):
    """The inverse of a tensor as a map from its last axes to its first `ind` ones."""
    ind = check_integer("tensorinv", "ind", ind, 1)
    matrix = reshape(a, (math.prod(a.shape[:ind]), -1))
    return reshape(inv(matrix), (*a.shape[ind:], *a.shape[:ind]))


@composed
def tensorsolve(a, b, axes=None):
    """The x with tensordot(a, x, x.ndim) = b, after `axes` of a were moved to its end."""
    axes = normal_axes("tensorsolve", axes, a.ndim) if axes is not None else ()
    a = transpose(a, [i for i in range(a.ndim) if i not in axes] + [*axes])
    shape = a.shape[b.ndim :]
    if math.prod(shape) != b.size or math.prod(a.shape) != b.size**2:
        raise ValueError(f"[tensorsolve] a is {a.shape}, b is {b.shape}: there is no square matrix")
    return reshape(solve(reshape(a, (b.size, b.size)), ravel(b)), shape)
