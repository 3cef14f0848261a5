"""Linear systems: general, by Cholesky's factor, triangular, banded, and Sylvester's equation.

Where NumPy has no function, SciPy's LAPACK solves them on the CPU, one matrix after the other.
Batches of triangular systems, and those of other devices, are solved as general ones.
"""

import functools
import importlib

import numpy as np

from tinygrad_like.engine import (
    by_matrix,
    check_choice,
    check_flag,
    check_integer,
    composed,
    conj,
    in_single,
    op,
)
from tinygrad_like.ops.arrays.shape import expand_dims
from tinygrad_like.ops.elements.elementwise import where
from tinygrad_like.ops.indexing.index import tril, triu
from tinygrad_like.ops.matrices.linalg import check_square, lapack, refuse_half


def transposed(x):
    """The last two axes exchanged."""
    return x.swapaxes(-1, -2)


def conjugate(x):
    """The conjugate of complex numbers; real ones themselves, which are not copied."""
    return conj(x) if x.dtype.kind == "c" else x


def adjoint(x):
    """The conjugates of matrices, transposed; of real ones a view."""
    return transposed(conjugate(x))


def check_matrix(name, x, what="x"):
    """Raise ValueError unless x is a matrix, or a batch of such."""
    if x.ndim < 2:
        raise ValueError(f"[{name}] {what} is {x.shape}, expected matrices (..., m, n)")


def each_on_host(be, function, *arrays):
    """SciPy's `function` of single matrices, for each of a batch: an array, or a tuple of them.

    Arrays of another device are copied to the host and back. float16 is refused, as by LAPACK.
    """
    refuse_half(*(x.dtype for x in arrays))
    batch = np.broadcast_shapes(*(x.shape[:-2] for x in arrays))
    spread = [np.broadcast_to(be.to_host(x), batch + x.shape[-2:]) for x in arrays]
    if not batch:
        found = function(*spread)
    else:
        # A batch of none has the shapes of one: LAPACK is asked for them with unit matrices.
        places = list(np.ndindex(batch)) or [None]
        rows = [
            function(*(np.eye(*x.shape[-2:], dtype=x.dtype) if i is None else x[i] for x in spread))
            for i in places
        ]
        found = _joined(rows, batch)
    return tuple(map(be.from_host, found)) if type(found) is tuple else be.from_host(found)


def _joined(rows, batch):
    if type(rows[0]) is tuple:
        return tuple(_joined(part, batch) for part in zip(*rows, strict=True))
    return np.stack(rows)[: int(np.prod(batch))].reshape(*batch, *rows[0].shape)


def scipy_linalg():
    """SciPy's linear algebra, which is loaded on first use."""
    return importlib.import_module("scipy.linalg")


@op(
    complex=True,
    batch=by_matrix,
    a=lambda g, a, out: -(_solve(transposed(a), g) @ transposed(out)),
    b=lambda g, a: _solve(transposed(a), g),
)
def _solve(be, a, b):
    if a.shape[:-2] != b.shape[:-2]:  # which CuPy does not broadcast
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        a, b = (be.xp.broadcast_to(x, batch + x.shape[-2:]) for x in (a, b))
    return lapack(be, a, b).solve(a, b)


@composed
def solve(a, b):
    """The `x` with a @ x = b, for `a` (..., n, n) and `b` (..., n, k), whose batches broadcast.

    A 1-d `b` (n,) is one column: then `x` is (..., n). A batch of columns is `b[..., None]`.
    ValueError if a matrix is singular.
    """
    check_square("solve", a, "a")
    return of_columns("solve", _solve, a, b)


def of_columns(name, solve, a, b, **options):
    """`solve` of matrices, for a `b` (..., n, k), or (n,) as one column."""
    n = a.shape[-1]
    if not b.ndim or b.shape[-2 if b.ndim > 1 else -1] != n:
        expected = f"(..., {n}, k) or ({n},)"
        raise ValueError(f"[{name}] b is {b.shape}, expected {expected} (a: {a.shape})")
    if b.ndim == 1:
        return solve(a, expand_dims(b, -1), **options)[..., 0]
    return solve(a, b, **options)


def _cholesky_rule(g, be, out):
    """Murray 2016, "Differentiation of the Cholesky decomposition", section 3.2.

    Of complex numbers it is Hermitian, as `x` is.
    """
    n = out.shape[-1]
    across = adjoint(out)
    inner = across @ where(be.xp.tri(n, dtype=bool), conjugate(g), 0)
    diagonal, below = be.xp.eye(n, dtype=bool), be.xp.tri(n, k=-1, dtype=bool)
    half = where(below, inner, where(diagonal, inner * 0.5, 0))
    right = _solve(across, adjoint(_solve(across, half)))
    return conjugate(right + adjoint(right)) * 0.5


@op(complex=True, batch=by_matrix, x=_cholesky_rule)
def _cholesky(be, x):
    return lapack(be, x).cholesky(x)


@composed
def cholesky(x, *, upper=False):
    """The lower triangular L with L @ L.H = x, for positive definite (..., n, n).

    L.H, the conjugate of L.T, is L.T for real numbers. With `upper` it is the U with U.H @ U = x.
    Only the lower triangle of `x` is read, or else the upper one; the gradient is symmetric, or for
    complex numbers Hermitian, as `x` is. ValueError if `x` is not positive definite.
    """
    check_square("cholesky", x)
    return (
        adjoint(_cholesky(adjoint(x))) if check_flag("cholesky", "upper", upper) else _cholesky(x)
    )


def _triangle(be, a, lower, unit_diagonal):
    """The triangle that counts of raw matrices, with ones on the diagonal if these are meant."""
    if unit_diagonal:
        strict = be.xp.tril(a, -1) if lower else be.xp.triu(a, 1)
        return strict + be.xp.eye(a.shape[-1], dtype=a.dtype)
    return be.xp.tril(a) if lower else be.xp.triu(a)


def _triangular_a(g, a, out, trans, lower, unit_diagonal):
    """The gradient of the triangle that counts; it is 0 elsewhere."""
    back = _solve_triangular(a, g, trans=not trans, lower=lower, unit_diagonal=unit_diagonal)
    whole = -(out @ transposed(back)) if trans else -(back @ transposed(out))
    k = int(unit_diagonal)
    return tril(whole, k=-k) if lower else triu(whole, k=k)


@op(
    complex=True,
    autocast=in_single,
    floating=True,
    batch=by_matrix,
    a=_triangular_a,
    b=lambda g, a, trans, lower, unit_diagonal: _solve_triangular(
        a, g, trans=not trans, lower=lower, unit_diagonal=unit_diagonal
    ),
)
def _solve_triangular(be, a, b, *, trans, lower, unit_diagonal):
    if be.xp is not np or a.ndim > 2 or b.ndim > 2 or not b.size:
        matrix = _triangle(be, a, lower, unit_diagonal)
        return _solve.op.forward(be, matrix.swapaxes(-1, -2) if trans else matrix, b)
    options = {"trans": int(trans), "lower": lower, "unit_diagonal": unit_diagonal}
    solve = functools.partial(scipy_linalg().solve_triangular, **options, check_finite=False)
    return each_on_host(be, solve, a, b)


@composed
def solve_triangular(a, b, *, trans=0, lower=False, unit_diagonal=False):
    """The `x` with a @ x = b, for triangular `a` (..., n, n) and `b` (..., n, k) or (n,).

    Args:
        trans: 0 or "N" for a @ x = b, 1 or "T" for a.T @ x = b, 2 or "C" for a.H @ x = b.
        lower: whether the lower triangle of `a` counts, instead of the upper one. What lies in the
            other one is not read, and its gradient is 0.
        unit_diagonal: whether the diagonal counts as ones, whatever it holds.

    Raises ValueError if a diagonal holds a 0. Names and defaults are SciPy's.

    Example:
        >>> import tinygrad_like as tg
    >>> a = tg.Tensor([[2.0, 1.0], [0.0, 4.0]])
        >>> tg.linalg.solve_triangular(a, tg.Tensor([4.0, 8.0])).tolist()
        [1.0, 2.0]
    """
    check_square("solve_triangular", a, "a")
    transposes, conjugates = _transposes(trans)
    options = {
        "trans": transposes,
        "lower": check_flag("solve_triangular", "lower", lower),
        "unit_diagonal": check_flag("solve_triangular", "unit_diagonal", unit_diagonal),
    }
    a = conjugate(a) if conjugates else a
    return of_columns("solve_triangular", _solve_triangular, a, b, **options)


def _transposes(trans):
    """Whether a matrix is to be transposed, and whether its conjugate is to be taken."""
    if isinstance(trans, str):
        letter = check_choice("solve_triangular", "trans", trans, ("N", "T", "C"))
        return letter != "N", letter == "C"
    expected = "0, 1, 2, 'N', 'T' or 'C'"
    number = check_integer("solve_triangular", "trans", trans, 0, 2, expected)
    return number > 0, number == 2


@composed
def cholesky_solve(b, factor, *, upper=False):
    """The `x` with a @ x = b, where `factor` is `cholesky(a, upper=upper)`; as PyTorch's.

    `b` is (..., n, k), or (n,) as one column.
    """
    lower = not check_flag("cholesky_solve", "upper", upper)
    half = solve_triangular(factor, b, trans=2 * int(not lower), lower=lower)
    return solve_triangular(factor, half, trans=2 * int(lower), lower=lower)


def _band(be, n, lower, upper):
    """For each element of a band: its row in the matrix, and whether there is one.

    The band (lower + upper + 1, n) holds a matrix as LAPACK does: element (i, j) in row
    upper + i - j, column j.
    """
    row = np.arange(n) + np.arange(-upper, lower + 1)[:, None]
    return be.from_host(row.clip(0, n - 1)), be.from_host((row >= 0) & (row < n))


def _transposed_band(be, band, lower, upper):
    """The band of the transposed matrix, with `upper` diagonals below the main one."""
    row, exists = _band(be, band.shape[-1], upper, lower)
    source = be.xp.arange(lower + upper, -1, -1)[:, None]
    return where(exists, band[..., source, row], 0)


def _banded_b(g, be, band, lower, upper):
    return _solve_banded(_transposed_band(be, band, lower, upper), g, lower=upper, upper=lower)


def _banded_a(g, be, band, out, lower, upper):
    """Element (i, j) of the matrix gets -back[i] . out[j]."""
    row, exists = _band(be, band.shape[-1], lower, upper)
    back = _banded_b(g, be, band, lower, upper)
    return where(exists, -(back[..., row, :] * expand_dims(out, -3)).sum(-1), 0)


@op(complex=True, autocast=in_single, floating=True, batch=by_matrix, band=_banded_a, b=_banded_b)
def _solve_banded(be, band, b, *, lower, upper):
    if not b.size or not band.size:
        batch = np.broadcast_shapes(band.shape[:-2], b.shape[:-2])
        return be.xp.zeros(batch + b.shape[-2:], b.dtype)

    def solve(band, b):
        return scipy_linalg().solve_banded((lower, upper), band, b, check_finite=False)

    return each_on_host(be, solve, band, b)


@composed
def solve_banded(l_and_u, ab, b):
    """The `x` with a @ x = b, for matrices given by their diagonals; as SciPy's.

    Args:
        l_and_u: how many diagonals there are below the main one, and how many above.
        ab: the diagonals (..., l + u + 1, n): element (i, j) of a matrix is ab[u + i - j, j].
        b: (..., n, k), or (n,) as one column.

    Raises ValueError if a matrix is singular. It runs on the host on every device.
    """
    try:
        lower, upper = (check_integer("solve_banded", "l_and_u", n, 0) for n in l_and_u)
    except (TypeError, ValueError):
        raise ValueError(
            f"[solve_banded] l_and_u is {l_and_u!r}, expected two numbers of diagonals"
        ) from None
    check_matrix("solve_banded", ab, "ab")
    if ab.shape[-2] != lower + upper + 1:
        raise ValueError(
            f"[solve_banded] ab is {ab.shape}, expected (..., {lower + upper + 1}, n) for "
            f"{lower} diagonals below the main one and {upper} above"
        )
    return of_columns("solve_banded", _solve_banded, ab, b, lower=lower, upper=upper)


def _sylvester_rules(g, a, b, out, needs):
    """Kao and Hennequin 2020, "Automatic differentiation of Sylvester, Lyapunov, ...", section 2.

    With y the solution of a.T @ y + y @ b.T = g: -y @ out.T, -out.T @ y, and y.
    """
    y = _solve_sylvester(transposed(a), transposed(b), g)
    of_a = -(y @ transposed(out)) if needs[0] else None
    return of_a, -(transposed(out) @ y) if needs[1] else None, y


@op(complex=True, autocast=in_single, floating=True, batch=by_matrix, backward=_sylvester_rules)
def _solve_sylvester(be, a, b, q):
    return each_on_host(be, scipy_linalg().solve_sylvester, a, b, q)


@composed
def solve_sylvester(a, b, q):
    """The `x` with a @ x + x @ b = q, for `a` (..., n, n), `b` (..., m, m), `q` (..., n, m).

    There is one if no eigenvalue of `a` is the opposite of one of `b`; else the result is not
    reliable. It runs on the host on every device (Bartels and Stewart 1972).
    """
    check_square("solve_sylvester", a, "a")
    check_square("solve_sylvester", b, "b")
    if q.ndim < 2 or q.shape[-2:] != (a.shape[-1], b.shape[-1]):
        expected = f"(..., {a.shape[-1]}, {b.shape[-1]})"
        raise ValueError(
            f"[solve_sylvester] q is {q.shape}, expected {expected} (a: {a.shape}, b: {b.shape})"
        )
    return _solve_sylvester(a, b, q)
