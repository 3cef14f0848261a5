"""Decompositions of matrices: eigh, svd, qr, lu; leading axes are a batch.

The gradient of vectors divides by the gaps between the values that belong to them. Where values
are equal, or differ by rounding errors alone, the vectors are some basis of their space, and what
depends on which one has no derivative. See `_over_gaps` for what is well defined nevertheless.

Complex vectors are determined up to a factor of size 1, as real ones are up to their sign. The
rules are written for gradients as torch has them, of which the walk carries the conjugates, see
engine/fit.py: `conjugate` turns one into the other, and is nothing for real numbers.
"""

import math

import numpy as np

from tinygrad_like.engine import (
    GraphError,
    by_element,
    by_matrix,
    check_choice,
    check_flag,
    composed,
    in_single,
    op,
)
from tinygrad_like.ops.arrays.shape import concatenate, expand_dims
from tinygrad_like.ops.elements.compare import greater, less, less_equal, logical_and
from tinygrad_like.ops.elements.complex import imag
from tinygrad_like.ops.elements.elementwise import abs, maximum, where, zeros_of
from tinygrad_like.ops.indexing.index import tril, triu
from tinygrad_like.ops.matrices.linalg import check_square, lapack
from tinygrad_like.ops.matrices.systems import (
    adjoint,
    check_matrix,
    conjugate,
    each_on_host,
    scipy_linalg,
    solve_triangular,
    transposed,
)
from tinygrad_like.ops.reductions.reduce import any, max, norm


def _rounding(values):
    """What counts as a rounding error, relative to the numbers that were computed with."""
    return 10 * values.shape[-1] * float(np.finfo(values.dtype).eps)


@op(
    complex=True,
    batch=by_element,
    part=lambda g, gaps, nothing: g / where(nothing, math.nan, gaps),
    gaps=lambda g, gaps, nothing, out: -(g * out) / where(nothing, math.nan, gaps),
)
def _quotient(be, part, gaps, nothing):
    """part / gaps, and 0 where there is `nothing`: its derivative is not known there, and NaN."""
    return be.xp.where(nothing, 0, part / be.xp.where(nothing, 1, gaps))


def _over_gaps(part, gaps, size, values, with_values):
    """part / gaps: how a gradient of vectors goes on to the matrix.

    Args:
        part: how the loss changes as vectors turn towards each other, (..., m, k).
        gaps: between the values of these vectors, (..., m, k).
        size: of the gradients from which `part` was computed, and so of its rounding errors.
        values: all of them, (..., k).
        with_values: whether the loss depends on the values too.

    A loss of the vectors alone has a derivative, where values are equal, only if it does not change
    as their vectors turn. Then `part` is 0 but for rounding errors, and so is the result: think of
    the projector on their space. A loss of the values too may be a function of the whole matrix,
    such as v @ diag(exp(w)) @ v.T, which has a derivative that cannot be seen here: then it is NaN
    where `part` and the gap are rounding errors. That the values take part is seen only if they
    come from the same call as the vectors.

    Elsewhere it is linear in `part`, also where that is 0, which derivatives of it need.
    """
    if not values.shape[-1]:
        return part / gaps
    error = _rounding(values)
    largest = expand_dims(max(abs(values), axis=-1, keepdims=True), -1)
    equal = less_equal(abs(gaps), error * largest)
    if with_values:
        unknown = logical_and(equal, less(abs(part), error * size))
        return where(unknown, math.nan, part) / gaps
    some = any(greater(size, 0), axis=(-2, -1), keepdims=True)  # not where derivatives start from 0
    nothing = logical_and(logical_and(equal, some), less_equal(abs(part), error * size))
    return _quotient(part, gaps, nothing)


def _turning(vectors, g):
    """How the loss changes as pairs of vectors turn, antisymmetric (..., k, k), and its size.

    Of complex vectors it is anti-Hermitian; its diagonal says how the loss depends on their phases.
    """
    inner, lengths = adjoint(vectors) @ g, norm(g, axis=-2)
    return inner - adjoint(inner), expand_dims(lengths, -1) + expand_dims(lengths, -2)


def _nan_by_phase(be, x, part, size):
    """x, or NaN for matrices whose loss depends on the phases of complex vectors.

    These are arbitrary, and x is right for a loss that does not depend on them. Near a minimum both
    sides are rounding errors, of which no relative bound can tell what they are: the absolute one
    of 0.01 is PyTorch's, which raises.
    """
    if part.dtype.kind != "c":
        return x
    on_diagonal = be.xp.eye(part.shape[-1], dtype=bool)
    turn = abs(imag(part)) * 0.5
    depends = logical_and(on_diagonal, greater(turn, maximum(size * 0.005, 0.01)))
    return where(any(depends, axis=(-2, -1), keepdims=True), math.nan, x)


def _off_diagonal(be, gaps):
    """Gaps between values, infinite on the diagonal, where nothing turns."""
    return where(be.xp.eye(gaps.shape[-1], dtype=bool), math.inf, gaps)


def _eigh_rule(g, be, out):
    """Giles 2008, "An extended collection of matrix derivative results", section 3.1.

    Symmetric, or for complex numbers Hermitian, as the matrix is; the other triangle is not read.
    """
    (of_values, of_vectors), (values, vectors) = g, out
    if of_vectors is None:
        return _from_values(of_values, vectors)
    part, size = _turning(vectors, conjugate(of_vectors))
    gaps = _off_diagonal(be, expand_dims(values, -2) - expand_dims(values, -1))
    inner = _over_gaps(part, gaps, size, values, of_values is not None) * 0.5
    inner = _nan_by_phase(be, inner, part, size)
    turned = conjugate(vectors @ inner @ adjoint(vectors))
    return turned if of_values is None else turned + _from_values(of_values, vectors)


def _from_values(g, vectors):
    return (conjugate(vectors) * expand_dims(g, -2)) @ transposed(vectors)


@op(
    complex=True,
    several=True,
    autocast=in_single,
    floating=True,
    partial=True,
    batch=by_matrix,
    x=_eigh_rule,
)
def _eigh(be, x, *, uplo):
    return tuple(lapack(be, x).eigh(x, uplo))


def _eigvalsh_rule(g, x, uplo):
    """By the vectors. The values, of which g may be a function, take part for `_over_gaps`: it must
    not take the second derivative for one of the vectors alone.
    """
    values, vectors = _eigh(x, uplo=uplo)
    return _from_values(g + values * 0, vectors)


@op(complex=True, autocast=in_single, floating=True, batch=by_matrix, x=_eigvalsh_rule)
def _eigvalsh(be, x, *, uplo):
    return lapack(be, x).eigvalsh(x, uplo)


def _triangle(name, x, uplo):
    check_square(name, x)
    return check_choice(name, "UPLO", uplo, ("L", "U", "l", "u")).upper()


@composed
def eigh(x, UPLO="L"):
    """(eigenvalues (..., n), rising, and eigenvectors (..., n, n), in columns) of symmetric x.

    Args:
        x: (..., n, n), symmetric, or Hermitian if it is complex; one triangle of it is read, and
            the gradient is symmetric or Hermitian, too.
        UPLO: "L" to read the lower triangle, "U" the upper one.

    The sign of a vector (the phase of a complex one), and the basis of those with equal values, are
    arbitrary: a loss should not depend on them, and for one that plainly depends on a phase the
    gradient is NaN. That of the values alone exists for equal ones too, of the vectors only if the
    loss stays the same as these turn; otherwise it is inf or NaN. A loss of both takes both from
    one call. ValueError if LAPACK finds no solution.

    Example:
        >>> w, v = tg.linalg.eigh(tg.Tensor([[2.0, 1.0], [1.0, 2.0]]))
        >>> w.numpy().round(5).tolist()
        [1.0, 3.0]
    """
    return _eigh(x, uplo=_triangle("eigh", x, UPLO))


@composed
def eigvalsh(x, UPLO="L"):
    """The eigenvalues (..., n) of symmetric or Hermitian `x` (..., n, n), rising; see `eigh`.

    The gradient of equal ones is that of the vectors that LAPACK finds for them: it is right for
    losses that treat them alike.
    """
    return _eigvalsh(x, uplo=_triangle("eigvalsh", x, UPLO))


def _svd_rule(g, be, out):
    """Townsend 2016, "Differentiating the Singular Value Decomposition"; of complex matrices Wan
    and Zhang 2019, "Automatic differentiation for complex valued SVD", arXiv:1909.02659.

    1 / (s_j^2 - s_i^2) is split into 1 / (s_j - s_i) and 1 / (s_j + s_i): the first part is of u
    and v turning together, the second one against each other. Complex vectors of one value turn
    against each other, too, in their phases, while turning together changes no matrix.
    """
    (of_u, of_values, of_vh), (u, values, vh) = g, out
    k = values.shape[-1]
    first, first_h = u[..., :k], vh[..., :k, :]
    if of_u is None and of_vh is None:
        return _from_singular_values(of_values, first, first_h)
    of_u = zeros_of(u) if of_u is None else conjugate(of_u)
    of_v = transposed(zeros_of(vh) if of_vh is None else of_vh)
    v, with_values = adjoint(vh), of_values is not None
    part_u, size_u = _turning(first, of_u[..., :k])
    part_v, size_v = _turning(v[..., :k], of_v[..., :k])
    size, across, along = size_u + size_v, expand_dims(values, -1), expand_dims(values, -2)
    part, gaps, sums = part_u + part_v, _off_diagonal(be, along - across), along + across
    sums = sums if u.dtype.kind == "c" else _off_diagonal(be, sums)
    together = _over_gaps(part, gaps, size, values, with_values)
    against = _over_gaps(part_u - part_v, sums, size, values, with_values)
    total = first @ _nan_by_phase(be, (together + against) * 0.5, part, size) @ first_h
    if u.shape[-2] > k:
        total = total + _out_of_space(u, of_u, values, with_values) @ first_h
    if vh.shape[-1] > k:
        total = total + first @ adjoint(_out_of_space(v, of_v, values, with_values))
    total = conjugate(total)
    return total if of_values is None else total + _from_singular_values(of_values, first, first_h)


def _out_of_space(vectors, g, values, with_values):
    """The part of a gradient (..., m, k) that turns k of m vectors out of the space they span.

    NaN if the loss depends on which vectors full_matrices found to fill up the rest of the space.
    """
    k = values.shape[-1]
    inside, of_inside = vectors[..., :k], g[..., :k]
    part = of_inside - inside @ (adjoint(inside) @ of_inside)
    if vectors.shape[-1] > k:
        others, of_others = vectors[..., k:], g[..., k:]
        turning, size = _turning(others, of_others)
        arbitrary = any(
            greater(abs(turning), _rounding(vectors) * size), axis=(-2, -1), keepdims=True
        )
        part = where(arbitrary, math.nan, part - others @ (adjoint(of_others) @ inside))
    lengths = expand_dims(norm(of_inside, axis=-2), -2)
    return _over_gaps(part, expand_dims(values, -2), lengths, values, with_values)


def _from_singular_values(g, u, vh):
    return (conjugate(u) * expand_dims(g, -2)) @ conjugate(vh)


@op(
    complex=True,
    several=True,
    autocast=in_single,
    floating=True,
    partial=True,
    batch=by_matrix,
    x=_svd_rule,
)
def _svd(be, x, *, full_matrices):
    return tuple(lapack(be, x).svd(x, full_matrices=full_matrices))


def _svdvals_rule(g, x):
    u, values, vh = _svd(x, full_matrices=False)
    return _from_singular_values(g + values * 0, u, vh)  # see _eigvalsh_rule


@op(complex=True, autocast=in_single, floating=True, batch=by_matrix, x=_svdvals_rule)
def _svdvals(be, x):
    return lapack(be, x).svd(x, compute_uv=False)


@composed
def svdvals(x):
    """The singular values (..., min(m, n)) of `x` (..., m, n), falling; see `svd`.

    The gradient of equal ones is that of the vectors that LAPACK finds for them: it is right for
    losses that treat them alike.
    """
    check_matrix("svdvals", x)
    return _svdvals(x)


@composed
def svd(x, full_matrices=True, compute_uv=True):
    """(u, s, vh) with x = u @ diag(s) @ vh: the singular value decomposition of (..., m, n).

    Args:
        full_matrices: whether `u` is (..., m, m) and `vh` (..., n, n), NumPy's default; otherwise
            they are (..., m, k) and (..., k, n), with k = min(m, n).
        compute_uv: False for `s` (..., k) alone, as `svdvals`.

    The values `s` are falling and real, also of complex matrices. The sign (or phase) that a pair
    of vectors shares, and the basis of those with equal values, are arbitrary: a loss should not
    depend on them, and for one that plainly depends on a phase the gradient is NaN. That of the
    values alone exists for equal ones too, of the vectors only if the loss stays the same as these
    turn (such as u @ vh, for values above 0); otherwise it is inf or NaN. It is NaN, too, for a
    loss that depends on which basis full_matrices found for the rest of the space.

    Example:
        >>> u, s, vh = tg.linalg.svd(tg.Tensor([[3.0, 0.0], [0.0, -2.0]]))
        >>> s.tolist()
        [3.0, 2.0]
    """
    check_matrix("svd", x)
    full_matrices = check_flag("svd", "full_matrices", full_matrices)
    if not check_flag("svd", "compute_uv", compute_uv):
        return _svdvals(x)
    return _svd(x, full_matrices=full_matrices)


def _qr_rule(g, be, out):
    """Walter and Lehmann 2010; Roberts and Roberts 2020 for wide matrices, arXiv:2009.10071.

    A wide x is [left, q @ right]: the gradient of what is on the right goes into that of q.
    """
    (of_q, of_r), (q, r) = g, out
    m, n = q.shape[-2], r.shape[-1]
    if q.shape[-1] > n:
        raise GraphError(
            "[qr] has no gradient with mode='complete' for more rows than columns: the last "
            "columns of q are arbitrary; use mode='reduced'"
        )
    of_q = zeros_of(q) if of_q is None else conjugate(of_q)
    of_r = zeros_of(r) if of_r is None else conjugate(of_r)
    if n <= m:
        return conjugate(_qr_square(be, of_q, of_r, q, r))
    of_right, right = of_r[..., m:], r[..., m:]
    of_q = of_q + q @ (right @ adjoint(of_right))
    of_left = _qr_square(be, of_q, of_r[..., :m], q, r[..., :m])
    return conjugate(concatenate([of_left, q @ of_right], axis=-1))


def _qr_square(be, of_q, of_r, q, r):
    inner = tril(r @ adjoint(of_r) - adjoint(of_q) @ q)
    both = inner + adjoint(inner)
    both = where(be.xp.eye(both.shape[-1], dtype=bool), both * 0.5, both)
    return adjoint(solve_triangular(r, adjoint(of_q + q @ both)))


@op(
    complex=True,
    several=True,
    autocast=in_single,
    floating=True,
    partial=True,
    batch=by_matrix,
    x=_qr_rule,
)
def _qr(be, x, *, mode):
    return tuple(lapack(be, x).qr(x, mode=mode))


@composed
def qr(x, mode="reduced"):
    """(q, r) with x = q @ r, the columns of q orthonormal, r upper triangular; x is (..., m, n).

    The diagonal of r is real, also for complex numbers.

    Args:
        mode: "reduced" for (..., m, k) and (..., k, n) with k = min(m, n), "complete" for
            (..., m, m) and (..., m, n), "r" for `r` of the reduced form alone.

    Raises ValueError in the gradient where the first k columns of `x` are not independent, and
    GraphError in that of mode "complete" for more rows than columns, whose last columns of q are
    arbitrary.

    Example:
        >>> q, r = tg.linalg.qr(tg.Tensor([[3.0, 1.0], [4.0, 2.0]]))
        >>> abs(r).numpy().round(4)
        array([[5. , 2.2],
               [0. , 0.4]], dtype=float32)
    """
    check_matrix("qr", x)
    mode = check_choice("qr", "mode", mode, ("reduced", "complete", "r"))
    return _qr(x, mode="reduced")[1] if mode == "r" else _qr(x, mode=mode)


def _lu_rule(g, out):
    """De Hoog, Anderssen and Lukas 2011, "Differentiation of matrix functionals using triangular
    factorization", with what is beside the square part put into its gradient first."""
    (_, of_l, of_u), (p, lower, upper) = g, out
    of_l = zeros_of(lower) if of_l is None else of_l
    of_u = zeros_of(upper) if of_u is None else of_u
    k = lower.shape[-1]
    l1, u1, of_l1, of_u1 = lower[..., :k, :], upper[..., :k], of_l[..., :k, :], of_u[..., :k]
    beside = None
    if lower.shape[-2] > k:  # the rows below are l2 @ u1
        beside = transposed(solve_triangular(u1, transposed(of_l[..., k:, :])))
        of_u1 = of_u1 - transposed(lower[..., k:, :]) @ beside
    elif upper.shape[-1] > k:  # the columns on the right are l1 @ u2
        beside = _solve_unit(l1, of_u[..., k:])
        of_l1 = of_l1 - beside @ transposed(upper[..., k:])
    inner = tril(transposed(l1) @ of_l1, k=-1) + triu(of_u1 @ transposed(u1))
    total = transposed(solve_triangular(u1, transposed(_solve_unit(l1, inner))))
    if beside is not None:
        total = concatenate([total, beside], axis=-2 if lower.shape[-2] > k else -1)
    return p @ total


def _solve_unit(lower, b):
    return solve_triangular(lower, b, trans=1, lower=True, unit_diagonal=True)


@op(
    complex=True,
    several=True,
    autocast=in_single,
    floating=True,
    partial=True,
    batch=by_matrix,
    x=_lu_rule,
)
def _lu(be, x):
    if not x.size:  # for which SciPy's p has no rows
        *batch, m, n = x.shape
        k = n if n < m else m
        p, lower = (be.xp.eye(m, c, dtype=x.dtype) for c in (m, k))
        p, lower = (be.xp.broadcast_to(y, (*batch, *y.shape)).copy() for y in (p, lower))
        return p, lower, be.xp.zeros((*batch, k, n), x.dtype)
    return each_on_host(be, scipy_linalg().lu, x)


@composed
def lu(x):
    """(p, l, u) with x = p @ l @ u: Gauss's elimination with exchanges of rows, of (..., m, n).

    p (..., m, m) is the matrix of the exchanges, which has no gradient, l (..., m, k) is lower
    triangular with ones on its diagonal, u (..., k, n) upper triangular, with k = min(m, n). It
    runs on the host on every device.

    Raises ValueError in the gradient where u has a 0 on its diagonal.
    """
    check_matrix("lu", x)
    return _lu(x)
