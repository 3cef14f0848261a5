"""The normal distribution of vectors of length d, with a mean and a covariance.

The covariance is a matrix (d, d) that is positive definite, or its diagonal (d,), or a number for
all of the diagonal, as in SciPy.
"""

import math

import numpy as np

from tinygrad_like.backend import result_dtype
from tinygrad_like.engine import backend_of, check_flag
from tinygrad_like.ops.arrays.shape import expand_dims
from tinygrad_like.ops.elements.compare import greater, less
from tinygrad_like.ops.elements.elementwise import exp, subtract, where
from tinygrad_like.ops.matrices.decompositions import eigvalsh
from tinygrad_like.ops.matrices.linalg import einsum
from tinygrad_like.ops.matrices.matrix_functions import pinv
from tinygrad_like.ops.matrices.systems import cholesky, solve
from tinygrad_like.ops.reductions.reduce import norm, sum
from tinygrad_like.stats.numbers import density, log


@density
def logpdf(x, mean=0.0, cov=1.0, allow_singular=False):
    """The logarithm of the density at vectors x, (..., d); where d is 1, x may also be () or (n,).

    Args:
        mean: (d,), or a number for all elements.
        cov: the covariance. It is the shapes of these two that say what d is.
        allow_singular: whether `cov` may be a singular matrix. Then the density is one on the space
            that the vectors fill, and 0 elsewhere; the gradient is that of matrices of one rank.

    Raises ValueError for shapes that do not fit, and for a matrix that is not positive definite, or
    has negative eigenvalues.
    """
    d = _length(mean, cov)
    x = expand_dims(x, -1) if d == 1 and len(x.shape) < 2 else x
    if x.shape[-1:] != (d,):
        raise ValueError(f"[logpdf] x is {x.shape}, expected (..., {d}) for this mean and cov")
    distance = subtract(x, mean)
    if check_flag("logpdf", "allow_singular", allow_singular):
        return _on_its_space(distance, cov, d)
    root, log_determinant = _factor(cov, d)
    if root is None:
        squares = sum(distance * distance / cov, axis=-1)
    else:
        scaled = solve(root, distance.reshape((-1, d)).T)
        squares = sum(scaled * scaled, axis=0).reshape(tuple(distance.shape[:-1]))
    return -0.5 * (squares + log_determinant + d * math.log(2 * math.pi))


@density
def pdf(x, mean=0.0, cov=1.0, allow_singular=False):
    """The density at x."""
    return exp(logpdf(x, mean, cov, allow_singular))


@density
def entropy(mean=0.0, cov=1.0):
    """The entropy, which depends on the covariance alone, and the length of the mean."""
    d = _length(mean, cov)
    return 0.5 * (_factor(cov, d)[1] + d * (1 + math.log(2 * math.pi)))


def _on_its_space(distance, cov, d):
    """The logarithm of the density on the space of the eigenvectors whose values count.

    Those that count, and how far from this space x may lie, are SciPy's.
    """
    xp, matrix = backend_of(distance).xp, _checked(cov, d)
    if not hasattr(matrix, "dtype"):
        matrix = xp.asarray(matrix, distance.dtype)
    if matrix.shape != (d, d):
        matrix = where(xp.eye(d, dtype=bool), matrix, 0)
    matrix = matrix.astype(result_dtype(distance.dtype, matrix.dtype))
    relative = (1e3 if matrix.dtype.itemsize == 4 else 1e6) * float(np.finfo(matrix.dtype).eps)
    values = eigvalsh(matrix)
    smallest = relative * abs(values).max()
    if backend_of(values).holds_anywhere(less(values, -smallest)):
        raise ValueError("[multivariate_normal] cov has negative eigenvalues")
    counts = greater(values, smallest)
    inverse = pinv(matrix, relative, hermitian=True)
    scaled = distance @ inverse
    outside = greater(norm(distance - scaled @ matrix, axis=-1), 1e3 * smallest)
    log_determinant = sum(log(where(counts, values, 1)))
    rank = sum(counts).astype(matrix.dtype)
    squares = sum(scaled * distance, axis=-1)
    logarithm = -0.5 * (squares + log_determinant + rank * math.log(2 * math.pi))
    return where(outside, -math.inf, logarithm)


def _length(mean, cov):
    """The length d of the vectors."""
    return max((x.shape[-1] for x in (mean, cov) if len(getattr(x, "shape", ()))), default=1)


def _factor(cov, d):
    """(the Cholesky factor, None of a diagonal covariance; the logarithm of the determinant)."""
    shape = tuple(getattr(_checked(cov, d), "shape", ()))
    if len(shape) == 2:
        root = cholesky(cov)
        return root, 2 * sum(log(einsum("ii->i", root)))
    return None, sum(log(cov)) if shape else d * log(cov)


def _checked(cov, d):
    shape = tuple(getattr(cov, "shape", ()))
    if shape not in ((), (d,), (d, d)):
        raise ValueError(f"[multivariate_normal] cov is {shape}, expected {(d, d)}, {(d,)} or ()")
    return cov
