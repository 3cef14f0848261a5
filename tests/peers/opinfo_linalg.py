"""How PyTorch's linear algebra and Fourier transforms are called here."""

import numpy as np
from opinfo import call

import tinygrad_like as tg
from tinygrad_like import fft, linalg


def pinv(x, *, rtol=None, hermitian=False):
    return linalg.pinv(x, rtol, hermitian)


def solve_triangular(a, b, *, upper, left=True, unitriangular=False):
    if left:
        return linalg.solve_triangular(a, b, lower=not upper, unit_diagonal=unitriangular)
    x = linalg.solve_triangular(a.mT, b.mT, lower=upper, unit_diagonal=unitriangular)
    return x.mT


def logdet(x):
    sign, logarithm = linalg.slogdet(x)
    return logarithm + tg.log(sign) if x.dtype.kind == "c" else logarithm


class WithMH:
    """PyTorch's name of `H`, which the samples of `svd` ask for."""

    def __init__(self, x):
        self.mH = x.H


def svd(x, some=True):
    u, s, vh = linalg.svd(x, full_matrices=not some)
    return u, s, WithMH(vh.H)


def stft(x, n_fft, *, return_complex=None, **options):
    y = tg.stft(x, n_fft, **options)
    return tg.view_as_real(y) if return_complex is False else y


def istft(x, n_fft, *, return_complex=False, onesided=None, **options):
    onesided = x.shape[-2] != n_fft if onesided is None else onesided
    if not (onesided or return_complex):  # a real signal, for which PyTorch reads one half
        x, onesided = x[..., : n_fft // 2 + 1, :], True
    return tg.istft(x, n_fft, onesided=onesided, **options)


def vander(x, N=None):
    rows = tg.atleast_1d(x)
    return rows[..., None] ** np.arange(N or rows.shape[-1])


def cholesky_inverse(x, upper=False):
    return linalg.inv(x.triu().H @ x.triu() if upper else x.tril() @ x.tril().H)


PRODUCTS = {
    "addbmm": lambda x, a, b, beta=1, alpha=1: beta * x + alpha * (a @ b).sum(axis=0),
    "addmm": lambda x, a, b, beta=1, alpha=1: beta * x + alpha * (a @ b),
    "addmm.decomposed": lambda x, a, b, beta=1, alpha=1: beta * x + alpha * (a @ b),
    "addmv": lambda x, a, b, beta=1, alpha=1: beta * x + alpha * (a @ b),
    "addr": lambda x, a, b, beta=1, alpha=1: beta * x + alpha * tg.outer(a, b),
    "baddbmm": lambda x, a, b, beta=1, alpha=1: beta * x + alpha * (a @ b),
    "bmm": tg.matmul,
    "cross": call(tg.cross, "dim", inputs=2),
    "dot": tg.dot,
    "einsum": lambda xs, subscripts: tg.einsum(subscripts, *xs),
    "inner": tg.inner,
    "linalg.cross": call(tg.cross, "dim", inputs=2),
    "linalg.multi_dot": linalg.multi_dot,
    "linalg.vecdot": lambda a, b, dim=-1: tg.sum(tg.conj(a) * b, axis=dim),
    "matmul": tg.matmul,
    "__rmatmul__": lambda x, y: y @ x,
    "mm": tg.matmul,
    "mv": tg.matmul,
    "outer": tg.outer,
    "tensordot": lambda a, b, dims: tg.tensordot(a, b, dims),
    "trace": tg.trace,
    "vdot": tg.vdot,
    "nn.functional.linear": lambda x, weight, bias=None: tg.linear(x, weight.T, bias),
}

MATRICES = {
    "block_diag": linalg.block_diag,
    "cholesky": linalg.cholesky,
    "cholesky_solve": linalg.cholesky_solve,
    "linalg.cholesky": linalg.cholesky,
    "linalg.cond": linalg.cond,
    "linalg.det": linalg.det,
    "linalg.eig": tg.eig,
    "linalg.eigh": linalg.eigh,
    "linalg.eigvals": tg.eigvals,
    "linalg.eigvalsh": linalg.eigvalsh,
    "linalg.inv": linalg.inv,
    "linalg.lstsq": lambda a, b, *, driver: (linalg.lstsq(a, b)[0], ..., ..., ...),
    "linalg.lstsq.grad_oriented": lambda a, b, *, driver: (linalg.lstsq(a, b)[0], ...),
    "linalg.lu": lambda x, *, pivot: linalg.lu(x),
    "linalg.matrix_norm": call(linalg.matrix_norm, "ord dim keepdim", dim="axis"),
    "linalg.matrix_power": linalg.matrix_power,
    "linalg.matrix_rank": call(linalg.matrix_rank, "tol", atol="tol"),
    "linalg.matrix_rank.hermitian": call(linalg.matrix_rank, "tol"),
    "linalg.norm": call(linalg.norm, "ord dim keepdim"),
    "linalg.norm.subgradients_at_zero": call(linalg.norm, "ord dim keepdim"),
    "linalg.pinv": pinv,
    "linalg.pinv.hermitian": pinv,
    "linalg.pinv.singular": lambda a, b: linalg.pinv(a @ b.mT),
    "cholesky_inverse": cholesky_inverse,
    "linalg.qr": linalg.qr,
    "linalg.slogdet": linalg.slogdet,
    "linalg.solve": linalg.solve,
    "linalg.solve_triangular": solve_triangular,
    "linalg.svd": linalg.svd,
    "linalg.svdvals": linalg.svdvals,
    "linalg.tensorinv": np.linalg.tensorinv,
    "linalg.tensorsolve": call(np.linalg.tensorsolve, "dims", 2, dims="axes"),
    "linalg.vander": vander,
    "logdet": logdet,
    "matrix_exp": linalg.expm,
    "pinverse": linalg.pinv,
    "qr": lambda x, some=True: linalg.qr(x, "reduced" if some else "complete"),
    "svd": svd,
}

DISTANCES = {
    "cdist": lambda a, b, p=2.0, compute_mode=None: tg.cdist(a, b, p),
    "nn.functional.pdist": tg.pdist,
}

FOURIER = {
    **{
        f"fft.{name}": call(getattr(fft, name), "n dim norm")
        for name in "fft ifft rfft irfft hfft ihfft".split()
    },
    **{
        f"fft.{name}": call(getattr(fft, name), "s dim norm", dim="axes")
        for name in "fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn".split()
    },
    "fft.fftshift": call(fft.fftshift, "dim", dim="axes"),
    "fft.ifftshift": call(fft.ifftshift, "dim", dim="axes"),
    "stft": stft,
    "istft": istft,
}

ROWS = {**PRODUCTS, **MATRICES, **DISTANCES, **FOURIER}
