"""Eigenvalues and eigenvectors of general matrices, which are complex numbers."""

import numpy as np

from tinygrad_like.engine import by_matrix, conj, op, real
from tinygrad_like.ops.arrays.shape import swapaxes
from tinygrad_like.ops.elements.compare import equal
from tinygrad_like.ops.elements.complex import imag
from tinygrad_like.ops.elements.elementwise import abs, where
from tinygrad_like.ops.indexing.index import take_along_axis
from tinygrad_like.ops.matrices.linalg import lapack, matmul
from tinygrad_like.ops.matrices.systems import solve
from tinygrad_like.ops.reductions.reduce import argmax, sum


def _eig_rule(g, be, out):
    """The gradient of x V = V diag(w), by how dC = V^-1 dx V moves both.

    dw is the diagonal of dC, and dV = V M, where M_ij = dC_ij / (w_j - w_i) off the diagonal. On
    it, M keeps the length of each vector, and its largest element real. Source: Boeddeker et al.
    2017, "On the computation of complex-valued gradients with application to statistically optimum
    beamforming", to which the last two conditions were added.
    """
    (g_w, g_v), (w, v) = g, out
    if not v.size:
        return v
    on_diagonal = be.xp.eye(w.shape[-1], dtype=bool)

    def diagonal(x):
        return sum(where(on_diagonal, x, 0), axis=-1)

    p = matmul(swapaxes(v, -1, -2), g_v)
    mixed = matmul(swapaxes(v, -1, -2), conj(v))
    along = diagonal(p)
    largest = argmax(where(equal(imag(v), 0), abs(v), -1), axis=-2)[..., None]
    rows = take_along_axis(v, largest, axis=-2)  # row j: that of vector j's largest real element
    turned = imag(along) / real(diagonal(rows))
    p = p - mixed * real(along)[..., None, :] - swapaxes(rows, -1, -2) * (1j * turned[..., None, :])
    gaps = where(on_diagonal, 1, w[..., None, :] - w[..., :, None])
    k = where(on_diagonal, g_w[..., None, :], p / gaps)
    v = swapaxes(v, -1, -2)
    return solve(v, matmul(k, v))


def _eigen(name, be, x):
    """The eigenvalues and vectors of arrays, as complex numbers."""
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"[{name}] x is {x.shape}, expected square matrices (..., n, n)")
    if not hasattr(be.xp.linalg, "eig"):
        raise TypeError(f"[{name}] {be.xp.__name__} cannot compute it here; take x.cpu()")
    dtype = np.result_type(x.dtype, np.complex64)
    return tuple(y.astype(dtype, copy=False) for y in lapack(be, x).eig(x))


@op(complex=True, floating=True, several=True, batch=by_matrix, x=_eig_rule)
def eig(be, x):
    """(w, v): the eigenvalues (..., n) of matrices (..., n, n), and their vectors, columns of v.

    Both are complex, also where NumPy's are real. Each vector has length 1, and a real element that
    is its largest, as LAPACK's. Vectors of equal eigenvalues are not determined: the gradient is
    inf or NaN. `eigvals` has that of the eigenvalues alone; for symmetric and Hermitian matrices
    eigh is better.

    Raises ValueError if `x` is not square, TypeError for float16.
    """
    return _eigen("eig", be, x)


def _eigvals_rule(g, x):
    v = swapaxes(eig(x)[1], -1, -2)
    return solve(v, g[..., None] * v)


@op(complex=True, floating=True, batch=by_matrix, x=_eigvals_rule)
def eigvals(be, x):
    """The eigenvalues (..., n) of matrices (..., n, n), complex numbers, in the order of `eig`.

    The gradient computes the vectors once more. Raises what `eig` raises.
    """
    return _eigen("eigvals", be, x)[0]
