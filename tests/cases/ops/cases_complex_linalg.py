"""Rows of complex matrices, for linear algebra.

Vectors have arbitrary phases, so the rows of decompositions are of what does not depend on them.
"""

import numpy as np
import scipy.linalg
from case import Case, Maker, N, P, Values, Z, ZSquare, torch
from cases_decompositions import BAND, in_torch, row, sylvester

from tinygrad_like import linalg
from tinygrad_like.ops.matrices.decompositions import _quotient


def ZPositive(*shape):
    """Complex Hermitian positive definite matrices (..., n, n)."""

    def draw(rng, s):
        root = 0.5 * (rng.standard_normal(s) + 1j * rng.standard_normal(s))
        return root @ root.conj().swapaxes(-1, -2) + np.eye(s[-1])

    return Maker(shape, draw, tame=True)


def adjoint(x):
    return x.mT.conj()


def hermitian(x):
    """A function of Hermitian matrices as one of any (so that one element can be moved alone)."""
    return (x + adjoint(x)) * 0.5


def of_eigen(values, vectors):
    """What of eigenvectors does not depend on their phases."""
    return values, abs(vectors), vectors[..., :1] @ adjoint(vectors[..., :1])


def of_singular(u, s, vh):
    """What of singular vectors does not depend on their phases."""
    return abs(u), s, abs(vh), u[..., :1] @ vh[..., :1, :]


def both(name, f, *inputs, **more):
    """A row of f(library, *inputs), where the library is ours or torch.linalg."""
    ours, theirs = (lambda *xs: f(linalg, *xs)), (lambda *xs: f(torch.linalg, *xs))
    return row(name, ours, theirs, *inputs, **more)


def rest_of_space(x):
    """The projector on what full_matrices fills up, from its vectors; and from the others."""
    u, _, _ = linalg.svd(x)
    return u[:, 1:] @ adjoint(u[:, 1:])


def cholesky_solve(b, x, upper):
    factor = linalg.cholesky(hermitian(x), upper=upper)
    return linalg.cholesky_solve(b, factor, upper=upper)


def torch_root(x):
    w, v = torch.linalg.eigh(hermitian(x))
    return (v * w.sqrt()) @ adjoint(v)


def dense(band, b):
    """The system of two diagonals below and one above, as torch solves it."""
    n = band.shape[-1]
    at = [(i, j) for i in range(n) for j in range(n)]
    rows = [band[1 + i - j, j] if -1 <= i - j <= 2 else 0 * band[0, 0] for i, j in at]
    return torch.linalg.solve(torch.stack(rows).reshape(n, n), b)


CASES = [
    both("cholesky", lambda m, x: m.cholesky(hermitian(x)), ZPositive(2, 2)),
    both("cholesky", lambda m, x: m.cholesky(hermitian(x), upper=True), ZPositive(2, 2)),
    both("eigh", lambda m, x: of_eigen(*m.eigh(hermitian(x))), Z(2, 2)),
    both("eigh", lambda m, x: of_eigen(*m.eigh(hermitian(x), "U"))[1:], Z(2, 2, 2), empty=True),
    both("eigvalsh", lambda m, x: m.eigvalsh(hermitian(x)), Z(3, 3)),
    both("svd", lambda m, x: of_singular(*m.svd(x, full_matrices=False)), Z(2, 2)),
    both("svd", lambda m, x: of_singular(*m.svd(x, full_matrices=False)), Z(2, 2, 1), empty=True),
    both("svd", lambda m, x: abs(m.svd(x, full_matrices=False)[2]), Z(2, 3)),
    row("svd", rest_of_space, lambda x: torch.eye(3).to(x) - x @ torch.linalg.pinv(x), Z(3, 1)),
    Case(
        _quotient,
        Z(2, 3),
        P(1, 3),
        Values([[False, False, False]] * 2),
        torch=lambda part, gaps, nothing: part / gaps,
    ),
    both("svdvals", lambda m, x: m.svdvals(x), Z(2, 3)),
    both("qr", lambda m, x: m.qr(x), Z(3, 2)),
    both("qr", lambda m, x: m.qr(x), Z(2, 3)),
    both("lu", lambda m, x: m.lu(x)[1:], ZSquare(2, 2)),
    both("slogdet", lambda m, x: m.slogdet(x), ZSquare(2, 2, 2), empty=True),
    both("det", lambda m, x: m.det(x), Z(2, 3, 3), empty=True),
    both("pinv", lambda m, x: m.pinv(x), Z(3, 2)),
    row(
        "pinv",
        lambda x: linalg.pinv(hermitian(x), hermitian=True),
        lambda x: torch.linalg.pinv(hermitian(x)),
        ZSquare(2, 2),
    ),
    both("matrix_norm", lambda m, x: m.matrix_norm(x, "nuc"), Z(2, 3)),
    both("cond", lambda m, x: m.cond(x), ZSquare(2, 2)),
    row(
        "lstsq",
        lambda a, b: linalg.lstsq(a, b)[:2],
        lambda a, b: (
            torch.linalg.pinv(a) @ b,
            (abs(b - a @ (torch.linalg.pinv(a) @ b)) ** 2).sum(0),
        ),
        Z(2, 1),
        Z(2, 1),
    ),
    row(
        "solve_triangular",
        lambda a, b: linalg.solve_triangular(a, b, trans="C", lower=True),
        lambda a, b: torch.linalg.solve(adjoint(a.tril()), b),
        ZSquare(2, 2),
        Z(2, 1),
    ),
    row(
        "cholesky_solve",
        lambda b, x: cholesky_solve(b, x, upper=False),
        lambda b, x: torch.linalg.solve(hermitian(x), b),
        Z(2, 1),
        ZPositive(2, 2),
    ),
    row(
        "cholesky_solve",
        lambda b, x: cholesky_solve(b, x, upper=True),
        lambda b, x: torch.linalg.solve(hermitian(x), b.to(x.dtype)),
        N(2),
        ZPositive(2, 2),
    ),
    row(
        "solve_banded",
        lambda band, b: linalg.solve_banded((2, 1), band * (1 + 0.3j), b),
        lambda band, b: dense(band * (1 + 0.3j), b),
        Values(np.array(BAND)[:, :3] + 0j),
        Z(3, 1),
    ),
    row(
        "solve_sylvester",
        linalg.solve_sylvester,
        sylvester,
        ZPositive(2, 2),
        ZSquare(1, 1),
        Z(2, 1),
    ),
    row("expm", linalg.expm, in_torch("matrix_exp"), Z(2, 2, 2), empty=True),
    Case(linalg.toeplitz, Z(3), numpy=scipy.linalg.toeplitz, empty=False),
    row("sqrtm", lambda x: linalg.sqrtm(hermitian(x)), torch_root, ZPositive(2, 2)),
]
