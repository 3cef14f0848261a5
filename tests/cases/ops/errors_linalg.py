"""Rows of tests/ops/test_errors.py for tg.linalg."""

import math

import numpy as np

from tinygrad_like import linalg

MATRICES = "expected matrices (..., m, n)"
SQUARES = "expected square matrices (..., n, n)"

ERRORS = [
    *(
        (lambda t, f=f: f(t(3)), ValueError, f"[{f.__name__}] x is (3,), {MATRICES}")
        for f in (linalg.svd, linalg.svdvals, linalg.qr, linalg.lu, linalg.pinv, linalg.cond)
    ),
    *(
        (lambda t, f=f: f(t(2, 3)), ValueError, f"[{f.__name__}] x is (2, 3), {SQUARES}")
        for f in (linalg.eigh, linalg.eigvalsh, linalg.det, linalg.expm, linalg.sqrtm)
    ),
    (lambda t: linalg.svd([[1.0]]), TypeError, "[svd] x is a list, expected a Tensor, an array"),
    (lambda t: linalg.svd(t(2, 2), "no"), ValueError, "[svd] full_matrices is 'no', expected True"),
    (lambda t: linalg.svd(t(2, 2) * math.nan), ValueError, "[svd] SVD did not converge"),
    (lambda t: linalg.eigh(t(2, 2), "left"), ValueError, "[eigh] UPLO is 'left', expected 'L'"),
    (lambda t: linalg.qr(t(2, 2), "full"), ValueError, "[qr] mode is 'full', expected 'reduced'"),
    (lambda t: linalg.pinv(t(2, 2), -1), ValueError, "[pinv] rcond is -1, expected a number of at"),
    (lambda t: linalg.pinv(t(2, 3), hermitian=True), ValueError, f"[pinv] x is (2, 3), {SQUARES}"),
    (lambda t: linalg.matrix_rank(t(2, 2), "a"), TypeError, "[matrix_rank] tol is 'a', expected a"),
    (lambda t: linalg.lstsq(t(2, 3), t(3)), ValueError, "[lstsq] b is (3,), expected (..., 2, k)"),
    (lambda t: linalg.matrix_norm(t(2, 2), 3), ValueError, "[matrix_norm] ord is 3, expected one"),
    (lambda t: linalg.matrix_norm(t(2, 2), axis=0), ValueError, "[matrix_norm] axis is 0, expecte"),
    (lambda t: linalg.matrix_norm(t(2)), IndexError, "[matrix_norm] axis -2 is out of range for"),
    (lambda t: linalg.norm(t(2, 2, 2), 1), ValueError, "[norm] x is (2, 2, 2), expected a vector"),
    (lambda t: linalg.norm(t(2, 2), "fro", 0), ValueError, "[norm] ord is 'fro', expected a numbe"),
    (lambda t: linalg.cond(t(2, 2), 1), ValueError, "[cond] Singular matrix"),
    (lambda t: linalg.matrix_power(t(2, 2), 0.5), TypeError, "[matrix_power] n is 0.5, expected a"),
    (lambda t: linalg.matrix_power(t(2, 2), -1), ValueError, "[matrix_power] Singular matrix"),
    (lambda t: linalg.multi_dot([t(2, 2)]), ValueError, "[multi_dot] expected a list of at least"),
    (lambda t: linalg.multi_dot([t(2, 3), t(2, 3)]), ValueError, "[multi_dot] arrays[0] is (2, 3)"),
    (lambda t: linalg.multi_dot([t(2), t(2), t(2)]), ValueError, "[multi_dot] arrays[1] is (2,)"),
    (lambda t: linalg.solve_triangular(t(2, 2), t(3)), ValueError,
     "[solve_triangular] b is (3,), expected (..., 2, k) or (2,) (a: (2, 2))"),
    (lambda t: linalg.solve_triangular(t(2, 2), t(2), trans="H"), ValueError,
     "[solve_triangular] trans is 'H', expected 'N', 'T' or 'C'"),
    (lambda t: linalg.solve_triangular(t(2, 2) * 0, t(2)), ValueError, "[solve_triangular] singul"),
    (lambda t: linalg.cholesky_solve(t(2), t(2, 3)), ValueError,
     "[cholesky_solve] a is (2, 3), expected square matrices"),
    (lambda t: linalg.solve_banded(1, t(3, 3), t(3)), ValueError, "[solve_banded] l_and_u is 1, e"),
    (lambda t: linalg.solve_banded((1, 0), t(3, 3), t(3)), ValueError,
     "[solve_banded] ab is (3, 3), expected (..., 2, n) for 1 diagonals below the main one and 0"),
    (lambda t: linalg.solve_sylvester(t(2, 2), t(3, 3), t(3, 2)), ValueError,
     "[solve_sylvester] q is (3, 2), expected (..., 2, 3)"),
    (lambda t: linalg.sqrtm(t.of(-np.eye(2))), ValueError, "[sqrtm] a matrix has no real root"),
    (lambda t: linalg.sqrtm(t.of(np.eye(2, k=1))), ValueError, "[sqrtm] a matrix has no root: it"),
    (lambda t: linalg.block_diag(), TypeError, "[block_diag] expected at least one matrix"),
    (lambda t: linalg.toeplitz(t(0)), ValueError, "[toeplitz] c is (0,), expected (..., n) with n"),
]  # fmt: skip
