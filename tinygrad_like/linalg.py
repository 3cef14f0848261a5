"""Linear algebra: decompositions, solutions, norms and functions of matrices.

The names are NumPy's, and SciPy's or PyTorch's for what NumPy does not have; `np.linalg.svd(t)` and
its like call them, too. Matrices are in the last two axes, and all other axes are a batch, which
`tg.vmap` adds one to. All are differentiable, any number of times, where a derivative exists.

    solutions         inv solve solve_triangular cholesky_solve solve_banded solve_sylvester
                      pinv lstsq
    decompositions    cholesky eigh eigvalsh svd svdvals qr lu
    numbers           det slogdet norm matrix_norm cond matrix_rank
    functions         expm sqrtm matrix_power multi_dot
    put together      block_diag toeplitz

All take complex matrices, which are Hermitian where real ones are symmetric. Half types are
refused, as by LAPACK. On `cuda` the factorisations are cuSOLVER's, by CuPy; `lu`, `sqrtm`,
`solve_banded` and `solve_sylvester` are SciPy's and run on the host.
"""

from tinygrad_like.ops.matrices.decompositions import eigh, eigvalsh, lu, qr, svd, svdvals
from tinygrad_like.ops.matrices.linalg import inv, slogdet
from tinygrad_like.ops.matrices.matrix_functions import (
    block_diag,
    expm,
    lstsq,
    matrix_power,
    multi_dot,
    pinv,
    sqrtm,
    toeplitz,
)
from tinygrad_like.ops.matrices.measures import cond, det, matrix_norm, matrix_rank, norm
from tinygrad_like.ops.matrices.systems import (
    cholesky,
    cholesky_solve,
    solve,
    solve_banded,
    solve_sylvester,
    solve_triangular,
)

__all__ = [
    "block_diag",
    "cholesky",
    "cholesky_solve",
    "cond",
    "det",
    "eigh",
    "eigvalsh",
    "expm",
    "inv",
    "lstsq",
    "lu",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_banded",
    "solve_sylvester",
    "solve_triangular",
    "sqrtm",
    "svd",
    "svdvals",
    "toeplitz",
]
