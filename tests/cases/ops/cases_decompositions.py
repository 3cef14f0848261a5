"""Rows for linalg: ops/triangular.py, decompositions.py, measures.py and matrix_functions.py.

Vectors have arbitrary signs, so the rows of decompositions are of what does not depend on them.
"""

import math

import scipy.linalg
from case import Apart, Case, N, P, Spd, Square, Values, torch
from cases_linalg import symmetric

import tinygrad_like as tg
from tinygrad_like import linalg
from tinygrad_like.ops.matrices.decompositions import _quotient

LAPACK = {"half": False, "empty": False}


def row(name, f, g, *inputs, **more):
    """A row of a function of linalg inside `f`, with the same of torch in `g`."""
    return Case(f, *inputs, torch=g, name=name, **{"half": False, "empty": False, **more})


def sym(x):
    return (x + x.swapaxes(-1, -2)) * 0.5


def of_signs(u, s, vh):
    """What of a decomposition does not depend on the signs of its vectors."""
    return u**2, s, vh**2, u[..., :, :1] @ vh[..., :1, :]


def in_torch(function, **options):
    return lambda *xs: getattr(torch.linalg, function)(*xs, **options)


def eigh_row(*shape, **options):
    def f(x):
        w, v = linalg.eigh(sym(x), **options)
        return w, v**2, v[..., :1] @ v[..., :1].swapaxes(-1, -2)

    def g(x):
        w, v = torch.linalg.eigh(sym(x), **options)
        return w, v**2, v[..., :1] @ v[..., :1].swapaxes(-1, -2)

    return row("eigh", f, g, N(*shape), empty=len(shape) > 2)


def svd_row(shape, k=None, **options):
    """Of the first k vectors: those that fill up the space have no gradient in torch."""

    def f(x):
        u, s, vh = linalg.svd(x, **options)
        return of_signs(u[..., :k], s, vh[..., :k, :])

    def g(x):
        u, s, vh = torch.linalg.svd(x, **options)
        return of_signs(u[..., :k], s, vh[..., :k, :])

    return row("svd", f, g, N(*shape), empty=len(shape) > 2)


def qr_row(shape, mode="reduced", empty=False):
    return row(
        "qr",
        lambda x: linalg.qr(x, mode=mode),
        lambda x: torch.linalg.qr(x, mode=mode),
        N(*shape),
        empty=empty,
    )


def polar(library, x):
    """The nearest matrix with orthonormal columns, by the vectors alone."""
    u, _, vh = library.svd(x, full_matrices=False)
    return u @ vh


def rest_of_space(x):
    """The projector on what full_matrices fills up, from its vectors; and from the others."""
    u, _, _ = linalg.svd(x)
    return u[:, 2:] @ u[:, 2:].T


def triangular(a, b, **options):
    def oracle(a, b):
        a = a.tril() if options.get("lower") else a.triu()
        if options.get("unit_diagonal"):
            a = a - torch.diag_embed(a.diagonal(dim1=-2, dim2=-1)) + torch.eye(a.shape[-1]).to(a)
        a = a.mT if options.get("trans") in (1, "T") else a
        return torch.linalg.solve(a, b)

    return Case(linalg.solve_triangular, Square(*a), N(*b), torch=oracle, **LAPACK, **options)


def cholesky_solve(b, x, upper=False):
    factor = linalg.cholesky(sym(x), upper=upper)
    return linalg.cholesky_solve(b, factor, upper=upper)


BAND = [
    [0.3, 0.5, -0.2, 0.4],
    [4.0, 5.0, -4.0, 3.0],
    [0.5, 1.0, -0.7, 0.1],
    [0.2, -0.6, 0.9, 0.4],
]
DISTINCT = [[1.0, -2.0, 0.5], [0.25, 3.0, -1.5]]  # sums by rows and columns that do not tie
SQUARE = [[1.0, 2.0, 0.5], [2.0, 4.0, 1.0], [0.0, 1.0, 3.0]]  # of rank 2


def torch_cond(x):
    return torch.linalg.matrix_norm(x, 1) * torch.linalg.matrix_norm(x.inverse(), 1)


def torch_lstsq(a, b):
    x = torch.linalg.pinv(a) @ b
    return x, ((b - a @ x) ** 2).sum(0)


def sylvester(a, b, q):
    """As one system for all elements of x."""
    n, m = q.shape
    whole = torch.kron(a, torch.eye(m).to(a)) + torch.kron(torch.eye(n).to(a), b.mT.contiguous())
    return torch.linalg.solve(whole, q.reshape(-1)).reshape(n, m)


def dense(band, b):
    """Two diagonals below, one above, as torch solves it."""
    n = band.shape[-1]
    rows = [
        band[1 + i - j, j] if -1 <= i - j <= 2 else 0 * band[0, 0]
        for i in range(n)
        for j in range(n)
    ]
    return torch.linalg.solve(torch.stack(rows).reshape(n, n), b)


CASES = [
    Case(tg.solve, Square(3, 3), N(3), **LAPACK),
    Case(
        tg.solve,
        Square(2, 3, 3),
        N(3),
        torch=lambda a, b: torch.linalg.solve(a, b[:, None])[..., 0],
        **LAPACK,
    ),
    row(
        "cholesky upper",
        lambda x: tg.cholesky(sym(x), upper=True),
        lambda x: torch.linalg.cholesky(sym(x), upper=True),
        Spd(3, 3),
    ),
    triangular((3, 3), (3,), lower=True, trans=1),
    triangular((3, 3), (2, 3, 2), lower=True, unit_diagonal=True),
    row(
        "cholesky_solve",
        lambda b, x: cholesky_solve(b, x, upper=True),
        lambda b, x: torch.linalg.solve(sym(x), b),
        N(3),
        Spd(3, 3),
    ),
    row(
        "solve_banded",
        lambda band, b: linalg.solve_banded((2, 1), band, b),
        dense,
        Values(BAND),
        N(4, 2),
    ),
    row("solve_sylvester", linalg.solve_sylvester, sylvester, Spd(3, 3), Spd(2, 2), N(3, 2)),
    eigh_row(3, 3),
    eigh_row(2, 2, 2, UPLO="U"),
    Case(
        symmetric(linalg.eigvalsh), N(3, 3), torch=lambda x: torch.linalg.eigvalsh(sym(x)), **LAPACK
    ),
    svd_row((2, 3, 2), full_matrices=False),
    svd_row((2, 4), full_matrices=False),
    svd_row((4, 2), k=2),
    row("svd", rest_of_space, lambda x: torch.eye(4).to(x) - x @ torch.linalg.pinv(x), N(4, 2)),
    row("svd", lambda x: polar(linalg, x), lambda x: polar(torch.linalg, x), N(2, 3, 2)),
    Case(
        _quotient,
        N(2, 3),
        P(1, 3),
        Values([[False, False, False]] * 2),
        torch=lambda part, gaps, nothing: part / gaps,
    ),
    Case(linalg.svdvals, N(2, 3, 2), half=False),
    qr_row((2, 4, 2), empty=True),
    qr_row((2, 4)),
    qr_row((2, 3), mode="complete"),
    row("qr", lambda x: linalg.qr(x, "r"), lambda x: torch.linalg.qr(x)[1], N(3, 2)),
    row("lu", lambda x: linalg.lu(x[:, :2]), lambda x: torch.linalg.lu(x[:, :2]), Square(3, 3)),
    row("lu", lambda x: linalg.lu(x[:2]), lambda x: torch.linalg.lu(x[:2]), Square(4, 4)),
    Case(linalg.det, N(2, 2, 2), half=False),
    row("det", linalg.det, lambda x: x[0] @ torch.linalg.cross(x[1], x[2]), Values(SQUARE)),
    *(
        Case(
            linalg.matrix_norm,
            Values(DISTINCT),
            torch=in_torch("matrix_norm", ord=p),
            half=p not in ("nuc", 2, -2),
            empty=False,
            ord=p,
        )
        for p in ("nuc", -1, 2, math.inf)
    ),
    Case(linalg.norm, N(2, 3)),
    Case(linalg.norm, N(2, 3), ord=2, **LAPACK),
    Case(linalg.norm, Apart(2, 3), torch=lambda x: torch.linalg.norm(x, 1, dim=1), ord=1, axis=1),
    Case(linalg.cond, Square(3, 3), **LAPACK),
    Case(linalg.cond, Square(2, 2), torch=torch_cond, p=1, **LAPACK),
    Case(linalg.matrix_rank, Values(SQUARE), grad=False, **LAPACK),
    Case(linalg.pinv, N(2, 3, 2), half=False),
    Case(linalg.pinv, N(2, 3), **LAPACK),
    row(
        "pinv",
        lambda x: linalg.pinv(sym(x), hermitian=True),
        lambda x: torch.linalg.pinv(sym(x)),
        Square(3, 3),
    ),
    row("lstsq", lambda a, b: linalg.lstsq(a, b)[:2], torch_lstsq, N(4, 2), N(4, 2)),
    row(
        "lstsq",
        lambda a, b: linalg.lstsq(a, b)[::3],
        lambda a, b: (torch.linalg.pinv(a) @ b, torch.linalg.svdvals(a)),
        N(2, 3),
        N(2),
    ),
    *(
        Case(
            linalg.matrix_power,
            Square(2, 2),
            torch=in_torch("matrix_power", n=n),
            half=n >= 0,
            empty=False,
            n=n,
        )
        for n in (0, -3)
    ),
    Case(
        lambda *xs: linalg.multi_dot(xs),
        N(2, 3),
        N(3, 1),
        N(1, 4),
        N(4, 2),
        torch=lambda *xs: torch.linalg.multi_dot(xs),
        name="multi_dot",
        empty=False,
    ),
    Case(linalg.expm, N(2, 3, 3), torch="matrix_exp", half=False),
    row("sqrtm", lambda x: linalg.sqrtm(x @ x), lambda x: x, Spd(3, 3)),
    Case(linalg.block_diag, N(1, 2), N(2, 2), N(3), empty=False),
    Case(linalg.toeplitz, N(3), N(2), numpy=scipy.linalg.toeplitz, empty=False),
]
