"""The linear algebra extension of the standard: of matrices in the last two axes."""

from typing import Any, NamedTuple

from tinygrad_like.engine import Tensor, conj
from tinygrad_like.ops.arrays.shape import normal_axis
from tinygrad_like.ops.matrices import decompositions, eigen
from tinygrad_like.ops.matrices import diagonal as diagonals
from tinygrad_like.ops.matrices import linalg as products
from tinygrad_like.ops.matrices.decompositions import eigvalsh, svdvals
from tinygrad_like.ops.matrices.diagonal import tensordot
from tinygrad_like.ops.matrices.eigen import eigvals
from tinygrad_like.ops.matrices.linalg import inv, matmul
from tinygrad_like.ops.matrices.matrix_functions import matrix_power
from tinygrad_like.ops.matrices.matrix_functions import pinv as pseudo_inverse
from tinygrad_like.ops.matrices.measures import det
from tinygrad_like.ops.matrices.measures import matrix_norm as norm_of_matrices
from tinygrad_like.ops.matrices.measures import matrix_rank as rank
from tinygrad_like.ops.matrices.systems import cholesky, solve
from tinygrad_like.ops.protocols import numpy_options
from tinygrad_like.ops.protocols.numpy_names import matrix_transpose
from tinygrad_like.ops.reductions import reduce

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "trace",
    "vecdot",
    "vector_norm",
]


class EighResult(NamedTuple):
    """Eigenvalues, rising, and eigenvectors in columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class EigResult(NamedTuple):
    """Complex eigenvalues, and eigenvectors in columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


class QRResult(NamedTuple):
    """Orthonormal columns, and an upper triangle."""

    Q: Tensor
    R: Tensor


class SlogdetResult(NamedTuple):
    """The sign of a determinant, and the logarithm of its absolute value."""

    sign: Tensor
    logabsdet: Tensor


class SVDResult(NamedTuple):
    """Singular vectors in columns, singular values, falling, and singular vectors in rows."""

    U: Tensor
    S: Tensor
    Vh: Tensor


def cross(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """The vector product of vectors of three elements along an axis."""
    return diagonals.cross(x1, x2, axis=axis)


def diagonal(x: Tensor, /, *, offset: int = 0) -> Tensor:
    """The diagonals of matrices."""
    return diagonals.diagonal(x, offset, -2, -1)


def trace(x: Tensor, /, *, offset: int = 0, dtype: Any = None) -> Tensor:
    """The sums of the diagonals of matrices, of small integers in 64 bits, or in `dtype`."""
    return numpy_options.sum(diagonal(x, offset=offset), -1, dtype)


def eigh(x: Tensor, /) -> EighResult:
    """The eigenvalues and eigenvectors of Hermitian matrices."""
    return EighResult(*decompositions.eigh(x))


def eig(x: Tensor, /) -> EigResult:
    """The eigenvalues and eigenvectors of matrices."""
    return EigResult(*eigen.eig(x))


def qr(x: Tensor, /, *, mode: str = "reduced") -> QRResult:
    """Q and R, whose product is `x`."""
    return QRResult(*decompositions.qr(x, mode))


def slogdet(x: Tensor, /) -> SlogdetResult:
    """The signs and the logarithms of determinants."""
    return SlogdetResult(*products.slogdet(x))


def svd(x: Tensor, /, *, full_matrices: bool = True) -> SVDResult:
    """The singular value decomposition."""
    return SVDResult(*decompositions.svd(x, full_matrices))


def matrix_norm(x: Tensor, /, *, keepdims: bool = False, ord: Any = "fro") -> Tensor:
    """A norm of matrices."""
    return norm_of_matrices(x, ord, (-2, -1), keepdims)


def matrix_rank(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """How many singular values are larger than `rtol` of the largest."""
    return rank(x, rtol=rtol)


def pinv(x: Tensor, /, *, rtol: Any = None) -> Tensor:
    """The pseudo-inverse, of the singular values larger than `rtol` of the largest."""
    return pseudo_inverse(x, rtol=rtol)


def outer(x1: Tensor, x2: Tensor, /) -> Tensor:
    """The products of all elements of one vector and all of another."""
    return products.outer(x1, x2)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Scalar products along an axis, of the conjugate of x1."""
    for x in (x1, x2):
        normal_axis("vecdot", axis, x.ndim)
    n, m = x1.shape[axis], x2.shape[axis]
    if n != m:
        raise ValueError(f"[vecdot] axis {axis} has length {n} and {m}, expected equal ones")
    x1 = conj(x1) if x1.dtype.kind == "c" else x1
    product = x1 * x2
    return numpy_options.sum(product, axis, product.dtype).astype(product.dtype)


def vector_norm(x: Tensor, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Tensor:
    """The norm of the vectors along an axis, along several, or of all elements."""
    return reduce.norm(x, ord, axis, keepdims)
