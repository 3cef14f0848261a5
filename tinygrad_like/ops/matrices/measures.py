"""Numbers that measure matrices: determinant, norms, condition, rank; and the norm as NumPy has it.

Leading axes are a batch, but for the norms, whose axes can be named.
"""

import math

import numpy as np

from tinygrad_like.engine import (
    by_matrix,
    check_flag,
    check_number,
    composed,
    in_single,
    op,
)
from tinygrad_like.ops.arrays.shape import expand_dims, moveaxis, normal_axes
from tinygrad_like.ops.elements.compare import equal, greater, not_equal
from tinygrad_like.ops.elements.elementwise import abs, where
from tinygrad_like.ops.matrices.decompositions import eigvalsh, svd, svdvals
from tinygrad_like.ops.matrices.linalg import check_square, inv, lapack, refuse_half, slogdet
from tinygrad_like.ops.matrices.systems import check_matrix, conjugate, transposed
from tinygrad_like.ops.reductions import reduce
from tinygrad_like.ops.reductions.reduce import max, min, prod, sum


def _cofactors(be, x):
    """The derivative of det, also of singular matrices (Stewart 1998, "On the adjugate matrix").

    It is det(u vh) u diag(the product of the other singular values) vh, for complex matrices with
    the conjugates of u and vh.
    """
    u, s, vh = svd(x, full_matrices=False)
    square = where(be.xp.eye(s.shape[-1], dtype=bool), 1, expand_dims(s, -2))
    others = expand_dims(prod(square, axis=-1), -2)
    return slogdet(u @ vh)[0][..., None, None] * conjugate((u * others) @ vh)


def _det_rule(g, be, x, out):
    """det(x) inv(x).T, unless a matrix is close to singular: then derivatives of that cancel."""
    if not be.holds_anywhere(equal(out, 0)):
        inverse = inv(x)
        bound = float(np.finfo(x.dtype).eps) ** -0.5
        sizes = [sum(abs(y), axis=(-2, -1)) for y in (x, inverse)]
        if not be.holds_anywhere(sizes[0] * sizes[1] > bound):
            return (g * out)[..., None, None] * transposed(inverse)
    return g[..., None, None] * _cofactors(be, x)


@op(complex=True, autocast=in_single, floating=True, batch=by_matrix, x=_det_rule)
def _det(be, x):
    return lapack(be, x).det(x)


@composed
def det(x):
    """The determinants (...) of `x` (..., n, n); `slogdet` neither over- nor underflows.

    The gradient is the matrix of cofactors, also where `x` is singular.
    """
    check_square("det", x)
    return _det(x)


ORDERS = ("fro", "nuc", math.inf, -math.inf, 1, -1, 2, -2)


@composed
def matrix_norm(x, ord="fro", axis=(-2, -1), keepdims=False):
    """A norm of the matrices in two axes of `x`, by default the last ones.

    Args:
        ord: "fro" for the root of the sum of squares, "nuc" for the sum of the singular values, 2
            and -2 for the largest and the smallest one; 1 and -1 for the largest and the smallest
            sum of absolute values in a column, inf and -inf in a row.
        axis: the axes of the rows and of the columns.
        keepdims: whether these axes remain, with length 1.

    Gradients at ties are those of `max` and `min`, of the singular values those of `svdvals`, and
    for "nuc" 0 at those of 0. Raises ValueError for another order.
    """
    if isinstance(ord, (bool, np.bool_)) or not any(ord == known for known in ORDERS):
        orders = ", ".join(map(repr, ORDERS))
        raise ValueError(f"[matrix_norm] ord is {ord!r}, expected one of {orders}")
    axes = normal_axes("matrix_norm", axis, x.ndim)
    if axis is None or len(axes) != 2:
        raise ValueError(f"[matrix_norm] axis is {axis!r}, expected two axes (x: {x.shape})")
    keepdims = check_flag("matrix_norm", "keepdims", keepdims)
    if ord == "fro":
        return reduce.norm(x, 2, axes, keepdims)
    rows = moveaxis(x, axes, (-2, -1))
    if ord in ("nuc", 2, -2):
        values = svdvals(rows)
        pick = sum if ord == "nuc" else max if ord == 2 else min
        y = pick(abs(values), axis=-1)  # abs, whose gradient at 0 is 0
    else:
        sums = sum(abs(rows), axis=-2 if ord in (1, -1) else -1)
        y = (max if ord > 0 else min)(sums, axis=-1)
    return expand_dims(y, axes) if keepdims else y


@composed
def norm(x, ord=None, axis=None, keepdims=False):
    """NumPy's norm: of vectors along one axis, of matrices in two, as `axis` says.

    Without an axis it is the norm of a vector or matrix `x`, as it has one axis or two; without an
    order, too, the root of the sum of all squares, for any number of axes. `tg.norm` takes vector
    norms over any axes, `matrix_norm` norms of matrices.
    """
    if axis is None and ord is None:
        return reduce.norm(x, 2, None, keepdims)
    if axis is None and x.ndim not in (1, 2):
        raise ValueError(f"[norm] x is {x.shape}, expected a vector or a matrix, or axis=")
    axes = normal_axes("norm", axis, x.ndim)
    if len(axes) == 2:
        return matrix_norm(x, "fro" if ord is None else ord, axes, keepdims)
    if len(axes) != 1:
        raise ValueError(f"[norm] axis is {axis!r}, expected one axis, or two for matrices")
    return reduce.norm(x, 2 if ord is None else ord, axes[0], keepdims)


@composed
def cond(x, p=None):
    """The condition numbers (...) of `x`: how much solving with it enlarges relative errors.

    Args:
        x: (..., m, n), square for other norms than None, 2 and -2.
        p: the order of the norm in norm(x) norm(inv(x)), as `matrix_norm` takes it; None, or 2,
            for the ratio of the largest to the smallest singular value, -2 for its inverse.

    Singular matrices have inf for None and 2, and are refused by the other norms.
    """
    check_matrix("cond", x)
    if p is None or p in (2, -2):
        values = svdvals(x)
        largest, smallest = values[..., 0], values[..., -1]
        if p == -2:
            return smallest / largest
        return where(equal(largest, 0), math.inf, largest / smallest)
    return matrix_norm(x, p) * matrix_norm(inv(x), p)


def rcond_of(name, rcond, shape, dtype):
    """`rcond`, or rtol, checked; by default max(m, n) times the precision of a dtype."""
    refuse_half(dtype)
    if rcond is None:
        m, n = shape[-2:]
        return (m if m > n else n) * float(np.finfo(dtype).eps)
    return check_number(name, "rcond", rcond, 0)


def cutoff(name, values, shape, rcond):
    """Below which singular values (..., k) of matrices of a shape count as 0: (..., 1)."""
    if not values.shape[-1]:
        return values
    return rcond_of(name, rcond, shape, values.dtype) * max(values, axis=-1, keepdims=True)


@composed
def matrix_rank(x, tol=None, hermitian=False, *, rtol=None):
    """How many singular values of `x` (..., m, n) are above `tol`: int64 (...), without gradient.

    Args:
        tol: a number; by default it is `rtol` times the largest singular value.
        hermitian: whether `x` is symmetric: then the sizes of its eigenvalues count.
        rtol: by default max(m, n) times the precision of the dtype.

    A vector has rank 1 unless it is 0, as in NumPy.
    """
    if x.ndim < 2:
        return sum(reduce.any(not_equal(x, 0)))
    hermitian = check_flag("matrix_rank", "hermitian", hermitian)
    values = abs(eigvalsh(x)) if hermitian else svdvals(x)
    if tol is None:
        tol = cutoff("matrix_rank", values, x.shape, rtol)
    elif rtol is not None:
        raise ValueError("[matrix_rank] got both tol and rtol, expected one of them")
    else:
        tol = check_number("matrix_rank", "tol", tol, 0)
    return sum(greater(values, tol), axis=-1)
