"""Functions of matrices: pseudoinverse and least squares, powers, exponential, root; and matrices
put together from smaller ones, or from their diagonals.
"""

import builtins
import warnings

import numpy as np

from tinygrad_like.engine import (
    backend_of,
    by_matrix,
    check_flag,
    check_integer,
    composed,
    conj,
    in_single,
    op,
    real,
)
from tinygrad_like.ops.arrays.shape import concatenate, expand_dims, flip, reshape
from tinygrad_like.ops.elements.compare import greater, less, logical_and
from tinygrad_like.ops.elements.elementwise import abs, floor, log2, power, square, where, zeros_of
from tinygrad_like.ops.indexing.index import getitem
from tinygrad_like.ops.indexing.padding import pad
from tinygrad_like.ops.matrices.decompositions import svdvals
from tinygrad_like.ops.matrices.linalg import check_square, inv, lapack, matmul, refuse_half
from tinygrad_like.ops.matrices.measures import cutoff, rcond_of
from tinygrad_like.ops.matrices.systems import (
    adjoint,
    check_matrix,
    conjugate,
    each_on_host,
    scipy_linalg,
    solve_sylvester,
    transposed,
)
from tinygrad_like.ops.reductions.reduce import max, sum

# Pseudoinverse


def _mirrored_rule(g):
    """Half of what reaches an element and of what reaches the opposite one, by its conjugate."""
    return (g + adjoint(g)) * 0.5


@op(complex=True, autocast=in_single, floating=True, batch=by_matrix, x=_mirrored_rule)
def _mirrored(be, x):
    """The lower triangle in place of the upper one, too; the gradient is Hermitian.

    Of complex matrices the upper triangle is the conjugate, and the diagonal is real.
    """
    below = be.xp.tril(x, -1)
    above = below.swapaxes(-1, -2)
    if x.dtype.kind != "c":
        return be.xp.tril(x) + above
    return below + be.xp.conj(above) + be.xp.eye(x.shape[-1], dtype=bool) * x.real


def _pinv_rule(g, x, out):
    """Golub and Pereyra 1973, "The Differentiation of Pseudo-Inverses ...", section 4.

    Of an x (m, n) with m >= n, by products of which none is (m, m).
    """
    p, ph, g, gh = out, adjoint(out), conjugate(g), transposed(g)
    small = p @ gh
    outside = (gh - x @ small) @ (p @ ph)
    inside = ph @ (small - (small @ p) @ x - g @ ph)
    return conjugate(outside + inside)


@op(complex=True, autocast=in_single, floating=True, batch=by_matrix, x=_pinv_rule)
def _pinv(be, x, *, rcond):
    u, s, vh = lapack(be, x).svd(x, full_matrices=False)
    rcond = rcond_of("pinv", rcond, x.shape, x.dtype)
    large = s > rcond * s[..., :1]
    inverse = be.xp.where(large, 1 / be.xp.where(large, s, 1), 0)
    if x.dtype.kind == "c":
        u, vh = be.xp.conj(u), be.xp.conj(vh)
    return vh.swapaxes(-1, -2) @ (inverse[..., None] * u.swapaxes(-1, -2))


@composed
def pinv(x, rcond=None, hermitian=False, *, rtol=None):
    """The pseudoinverse (..., n, m) of `x` (..., m, n), of Moore and Penrose.

    Args:
        rcond: singular values up to this times the largest one count as 0; by default max(m, n)
            times the precision of the dtype, PyTorch's (NumPy's 1e-15 would keep the rounding
            errors of float32).
        hermitian: whether `x` is symmetric, or Hermitian if it is complex: then its lower triangle
            alone is read.
        rtol: NumPy's newer name of `rcond`.

    The gradient is that of matrices of one rank, as in PyTorch: where the rank changes, the
    pseudoinverse jumps.
    """
    check_matrix("pinv", x)
    if rtol is not None:
        if rcond is not None:
            raise ValueError("[pinv] got both rcond and rtol, expected one of them")
        rcond = rtol
    if check_flag("pinv", "hermitian", hermitian):
        check_square("pinv", x)
        x = _mirrored(x)
    if x.shape[-2] < x.shape[-1]:
        return transposed(_pinv(transposed(x), rcond=rcond))
    return _pinv(x, rcond=rcond)


@composed
def lstsq(a, b, rcond=None):
    """The `x` for which the squares of b - a @ x add up to least, and what is known of `a`.

    Args:
        a: (..., m, n).
        b: (..., m, k), or (m,) as one column.
        rcond: see `pinv`.

    Returns, as NumPy's, a tuple of
        x: (..., n, k) or (..., n); of all minimizers the shortest one.
        residuals: the sums of squares (..., k), for one column (..., 1). As NumPy's, they are empty
            unless m > n and every matrix has rank n.
        rank: of each matrix, int64 (...), without gradient.
        s: the singular values (..., min(m, n)).

    The gradient is that of matrices of one rank, see `pinv`.
    """
    check_matrix("lstsq", a)
    m, n = a.shape[-2:]
    if not b.ndim or b.shape[-2 if b.ndim > 1 else -1] != m:
        raise ValueError(f"[lstsq] b is {b.shape}, expected (..., {m}, k) or ({m},) (a: {a.shape})")
    values = svdvals(a)
    rank = sum(greater(values, cutoff("lstsq", values, a.shape, rcond)), axis=-1)
    columns = b if b.ndim > 1 else expand_dims(b, -1)
    x = matmul(pinv(a, rcond), columns)
    if m > n and not backend_of(a).holds_anywhere(rank < n):
        off = columns - a @ x
        squares = real(off * conj(off)) if off.dtype.kind == "c" else square(off)
        residuals = sum(squares, axis=-2)
    else:
        residuals = reshape(x, (-1,))[:0]
    return (x if b.ndim > 1 else x[..., 0]), residuals, rank, values


# Powers and products


@composed
def matrix_power(x, n):
    """The product of `n` matrices `x` (..., m, m); of -n inverses for a negative n."""
    check_square("matrix_power", x)
    n = check_integer("matrix_power", "n", n)
    if n < 0:
        x, n = inv(x), -n
    result = None
    while n:
        if n & 1:
            result = x if result is None else matmul(result, x)
        n >>= 1
        x = matmul(x, x) if n else x
    if result is None:  # where, so that it has a gradient, 0
        return where(True, backend_of(x).xp.eye(x.shape[-1], dtype=x.dtype), x)
    return result


@composed
def multi_dot(arrays):
    """The product of a list of at least two matrices, in the order that multiplies least.

    The first and the last one may be vectors, whose axis is left out of the result.
    """
    if not isinstance(arrays, (list, tuple)) or len(arrays) < 2:
        raise ValueError("[multi_dot] expected a list of at least two tensors")
    last = len(arrays) - 1
    for i, x in enumerate(arrays):
        if x.ndim != 2 and not (x.ndim == 1 and i in (0, last)):
            raise ValueError(f"[multi_dot] arrays[{i}] is {x.shape}, expected a matrix")
        if i and x.shape[0] != arrays[i - 1].shape[-1]:
            raise ValueError(
                f"[multi_dot] arrays[{i - 1}] is {arrays[i - 1].shape}, arrays[{i}] {x.shape}"
            )
    first, *between, end = arrays
    matrices = [
        first if first.ndim == 2 else expand_dims(first, 0),
        *between,
        end if end.ndim == 2 else expand_dims(end, 1),
    ]
    lengths = [x.shape[0] for x in matrices] + [matrices[-1].shape[1]]
    y = _multiplied(matrices, _cheapest_cuts(lengths), 0, last)
    y = y[:, 0] if end.ndim == 1 else y
    return y[0] if first.ndim == 1 else y


def _cheapest_cuts(lengths):
    """{(i, j): after which matrix to cut the product of matrices i to j}.

    Cormen et al., "Introduction to Algorithms", section 15.2; matrix i is (lengths[i],
    lengths[i + 1]).
    """
    count = len(lengths) - 1
    cost, cuts = {(i, i): 0 for i in range(count)}, {}
    for width in range(1, count):
        for i in range(count - width):
            j = i + width
            choices = [
                (cost[i, k] + cost[k + 1, j] + lengths[i] * lengths[k + 1] * lengths[j + 1], k)
                for k in range(i, j)
            ]
            cost[i, j], cuts[i, j] = sorted(choices)[0]
    return cuts


def _multiplied(matrices, cuts, i, j):
    if i == j:
        return matrices[i]
    cut = cuts[i, j]
    return matmul(_multiplied(matrices, cuts, i, cut), _multiplied(matrices, cuts, cut + 1, j))


# Exponential and root

# The numerator of Padé's approximant of order 13, by rising powers (Higham 2005, table 2.1).
PADE = (
    64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0,
    129060195264000.0, 10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0,
    40840800.0, 960960.0, 16380.0, 182.0, 1.0,
)  # fmt: skip
LARGEST = 4.25  # the size up to which it is exact in float64 (Al-Mohy and Higham 2009, table 3.1)
ERROR = 1 / 113250775606021113483283660800000000  # the first coefficient of its error, of x^27


def _one_norm(be, x):
    return be.xp.abs(x).sum(axis=-2, keepdims=True).max(axis=-1, keepdims=True)


def _even_powers(x):
    x2 = x @ x
    x4 = x2 @ x2
    return x2, x4, x4 @ x2


def _halvings(be, x, x4, x6):
    """How often to halve a matrix for PADE, (..., 1, 1).

    By the norms of its powers, which for matrices far from normal ones are much below the power of
    the norm: more halvings than needed cost precision (Al-Mohy and Higham 2009, algorithm 5.1, of
    whose bounds this is the one that needs no further powers).
    """
    size = be.xp.maximum(_one_norm(be, x4) ** (1 / 4), _one_norm(be, x6) ** (1 / 6))
    count = be.xp.maximum(be.xp.ceil(be.xp.log2(size / LARGEST)), 0)
    absolute = be.xp.abs(x) * 2.0**-count
    row = be.xp.ones((*x.shape[:-2], 1, x.shape[-1]), absolute.dtype)
    for _ in range(27):  # the norm of |x|^27
        row = row @ absolute
    bound = ERROR * row.max(axis=-1, keepdims=True) / _one_norm(be, absolute)
    unit = float(np.finfo(x.dtype).eps) / 2
    count += be.xp.maximum(be.xp.ceil(be.xp.log2(bound / unit) / 26), 0)
    by_norm = be.xp.maximum(be.xp.ceil(be.xp.log2(_one_norm(be, x) / LARGEST)), 0)
    count = be.xp.where(be.xp.isfinite(count), count, by_norm)  # a power is beyond the dtype
    return be.xp.where(be.xp.isfinite(count), count, 0)


def _exponential(be, x):
    """Scaling and squaring: r(x / 2^s)^(2^s), with Padé's approximant r of order 13."""
    x2, x4, x6 = _even_powers(x)
    count = _halvings(be, x, x4, x6)
    most = int(count.max())
    if most:
        x = x * 2.0**-count
        x2, x4, x6 = _even_powers(x)
    b, eye = PADE, be.xp.eye(x.shape[-1], dtype=x.dtype)
    odd = b[7] * x6 + b[5] * x4 + b[3] * x2 + b[1] * eye
    odd = x @ (x6 @ (b[13] * x6 + b[11] * x4 + b[9] * x2) + odd)
    even = b[6] * x6 + b[4] * x4 + b[2] * x2 + b[0] * eye
    even = x6 @ (b[12] * x6 + b[10] * x4 + b[8] * x2) + even
    y = be.xp.linalg.solve(even - odd, even + odd)
    for i in range(most):
        y = be.xp.where(count > i, y @ y, y)
    return y


def _expm_rule(g, x):
    """The derivative along g at x.T: a block of the exponential of [[x.T, g], [0, x.T]].

    Mathias 1996, "A chain rule for matrix functions and applications"; g is scaled to about 1 by a
    power of 2, so that neither part drowns in the other.
    """
    n, a = x.shape[-1], transposed(x)
    if not x.size:
        return zeros_of(x)
    size = max(abs(g), axis=(-2, -1), keepdims=True)
    usual = logical_and(greater(size, 0), less(size, np.inf))
    scale = power(2.0, floor(log2(where(usual, size, 1))))
    upper = concatenate([a, g / scale], axis=-1)
    lower = concatenate([zeros_of(a), a], axis=-1)
    return expm(concatenate([upper, lower], axis=-2))[..., :n, n:] * scale


@op(complex=True, autocast=in_single, floating=True, batch=by_matrix, x=_expm_rule)
def expm(be, x):
    """The exponential of matrices (..., n, n): 1 + x + x @ x / 2 + ...

    By scaling and squaring: Higham 2005, "The scaling and squaring method for the matrix
    exponential revisited", with the scaling of Al-Mohy and Higham 2009.
    """
    check_square("expm", x)
    refuse_half(x.dtype)
    if not x.size:
        return x.copy()
    with np.errstate(all="ignore"):  # norms that over- or underflow, of which none decides
        return _exponential(be, x)


def _root(x):
    """SciPy's root of one matrix; ValueError if there is no real one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a singular matrix: what it found is looked at here
        y = scipy_linalg().sqrtm(x)
    if y.dtype.kind == "c" and x.dtype.kind != "c":
        raise ValueError(
            "a matrix has no real root: some of its eigenvalues are negative; for a complex one "
            "take x.astype(complex)"
        )
    if np.isfinite(x).all() and not np.isfinite(y).all():
        raise ValueError("a matrix has no root: it is singular, and not symmetric")
    return y.astype(x.dtype, copy=False)


@op(
    complex=True,
    autocast=in_single,
    floating=True,
    batch=by_matrix,
    x=lambda g, out: solve_sylvester(transposed(out), transposed(out), g),
)
def _sqrtm(be, x):
    return each_on_host(be, _root, x)


@composed
def sqrtm(x):
    """The principal root of matrices (..., n, n): the y with y @ y = x whose eigenvalues are >= 0.

    Complex matrices have complex ones. Raises ValueError if a real matrix has no real one. The
    gradient needs a regular `x`. It runs on the host on every device (Björck and Hammarling 1983).
    """
    check_square("sqrtm", x)
    return _sqrtm(x)


# Put together


@composed
def block_diag(*arrays):
    """The matrices (..., m, n) one after the other along the diagonal, with zeros beside them.

    A vector counts as a row, a number as a matrix of one element.
    """
    if not arrays:
        raise TypeError("[block_diag] expected at least one matrix")
    blocks = [x if x.ndim > 1 else reshape(x, (1, -1)) for x in arrays]
    width, before, rows = builtins.sum(x.shape[-1] for x in blocks), 0, []
    for x in blocks:
        beside = (before, width - before - x.shape[-1])
        rows.append(pad(x, [(0, 0)] * (x.ndim - 1) + [beside]))
        before += x.shape[-1]
    return concatenate(rows, axis=-2)


@composed
def toeplitz(c, r=None):
    """The matrix (..., m, n) that is constant along its diagonals.

    Args:
        c: its first column (..., m).
        r: its first row (..., n), whose first element is not read; by default the
            conjugate of `c`, as SciPy's.
    """
    r = conjugate(c) if r is None else r
    for name, x in (("c", c), ("r", r)):
        if not x.ndim or not x.shape[-1]:
            raise ValueError(f"[toeplitz] {name} is {x.shape}, expected (..., n) with n > 0")
    m, n = c.shape[-1], r.shape[-1]
    xp = backend_of(c).xp
    diagonals = concatenate([flip(r[..., 1:], axis=-1), c], axis=-1)
    return getitem(diagonals, (..., xp.arange(m)[:, None] - xp.arange(n) + n - 1))
