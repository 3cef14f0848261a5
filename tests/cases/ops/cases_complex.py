"""Rows of complex numbers, for complex.py and the ops of other families that take them."""

import numpy as np
import scipy.special
from case import Bools, Case, Ints, N, P, Square, Values, Z, ZSquare, torch

import tinygrad_like as tg
from tinygrad_like.engine.fit import itself
from tinygrad_like.nn.base.gates import hooked
from tinygrad_like.ops import to_device


def eig(x):
    """NumPy's, complex also where it is real."""
    return [y.astype(np.complex128) for y in np.linalg.eig(x)]


PARTS = [
    *(Case(f, Z(3)) for f in (tg.real, tg.imag, tg.abs, tg.angle)),
    *(Case(f, N(3), numpy=f.__name__) for f in (tg.real, tg.imag)),
    Case(tg.conj, Z(2, 2), torch="conj_physical"),
    Case(tg.conj, N(3), torch="conj_physical"),
    Case(tg.angle, N(4)),
    Case(tg.angle, Z(3), deg=True, torch=lambda z: torch.rad2deg(z.angle())),
    Case(tg.sign, Z(3), torch="sgn"),
    Case(tg.round, Values([0.2 + 1.7j, -2.4 - 0.3j]), numpy="round"),
    Case(tg.complex, N(2, 1), N(3), torch=lambda a, b: a + 1j * b),
    Case(tg.polar, P(3), N(3)),
    Case(tg.view_as_real, Z(2, 2)),
    Case(tg.view_as_complex, N(3, 2)),
    *(
        Case(f, x, numpy=f.__name__, grad=False)
        for f in (tg.isreal, tg.iscomplex)
        for x in (Values([1 + 2j, 3, 0j]), N(3))
    ),
]

ANALYTIC = [
    *(Case(f, Z(2, 1), Z(3)) for f in (tg.add, tg.subtract, tg.multiply, tg.divide)),
    Case(tg.multiply, N(3), Z(2, 3)),
    Case(tg.divide, Z(3), P(2, 1)),
    Case(tg.multiply, Z(3), Ints(5, 3, low=1)),
    Case(tg.power, Z(3), Z(3), torch="pow"),
    Case(tg.power, P(3), Z(3), torch="pow"),
    Case(tg.power, Z(3), N(3), torch="pow"),
    *(
        Case(f, Z(2), torch=f, name=name)
        for name, f in {
            "z**3": lambda z: z**3,
            "z**(1+2j)": lambda z: z ** (1 + 2j),
            "(1+2j)**z": lambda z: (1 + 2j) ** z,
            "(2j-z)/3": lambda z: (2j - z) / 3,
        }.items()
    ),
    Case(lambda x: x * (1 + 2j) - 1j, N(3), torch=lambda x: x * (1 + 2j) - 1j, name="x*(1+2j)-1j"),
    *(
        Case(f, Z(3))
        for f in (
            *(tg.negative, tg.exp, tg.expm1, tg.log, tg.log1p, tg.log2, tg.sqrt, tg.rsqrt),
            *(tg.square, tg.sin, tg.cos, tg.tan, tg.sinh, tg.cosh, tg.tanh),
            *(tg.arcsin, tg.arccos, tg.arctan, tg.arcsinh, tg.arccosh, tg.arctanh),
            *(tg.exp2, tg.log10, tg.positive),
        )
    ),
    *(Case(f, Z(3), numpy=getattr(scipy.special, f.__name__)) for f in (tg.erf, tg.erfc)),
    Case(tg.lerp, Z(3), Z(3), Z(2, 1)),
    Case(tg.where, Bools(3), Z(3), N(2, 1), torch=lambda c, a, b: torch.where(c, a, b + 0j)),
    Case(tg.matmul, Z(2, 3), Z(3, 2)),
    Case(tg.matmul, N(3, 2), Z(2), torch=lambda a, b: a.to(b.dtype) @ b),
    Case(tg.linear, Z(4, 3), Z(3, 2), Z(2), torch=lambda x, w, b: x @ w + b),
    Case(
        lambda a, b: tg.einsum("ij,kj->ik", a, b),
        Z(2, 2),
        Z(1, 2),
        torch=lambda a, b: torch.einsum("ij,kj->ik", a, b),
        name="einsum",
    ),
    Case(tg.inv, ZSquare(2, 2), half=False, empty=False),
    Case(tg.solve, ZSquare(2, 2), Z(2, 1), half=False, empty=False),
    *(Case(tg.eigvals, x, half=False, empty=False) for x in (Square(2, 2), ZSquare(2, 2))),
    *(
        Case(tg.eig, x, numpy=eig, half=False, empty=False)
        for x in (ZSquare(2, 2), Values([[1.0, 2.0], [-3.0, 0.5]]))
    ),
]

REDUCED = [
    *(
        Case(f, Z(2, 3), axis=1, torch=oracle)
        for f, oracle in {
            tg.sum: lambda z: z.sum(1),
            tg.mean: lambda z: z.mean(1),
            tg.prod: lambda z: z.prod(1),
            tg.cumsum: lambda z: z.cumsum(1),
            tg.var: lambda z: z.var(1, correction=0),
            tg.std: lambda z: z.std(1, correction=0),
            tg.norm: lambda z: torch.linalg.norm(z, dim=1),
        }.items()
    ),
    Case(tg.sum, Z(3), keepdims=True, torch=lambda z: z.sum(0, keepdim=True)),
    Case(tg.prod, Values([1 + 2j, 0, 3j])),
    Case(tg.cumprod, Z(3), axis=0, torch=lambda z: z.cumprod(0)),
    Case(tg.norm, Z(3), ord=3, torch=lambda z: torch.linalg.norm(z, 3)),
    Case(tg.norm, Z(3), ord=1, torch=lambda z: torch.linalg.norm(z, 1)),
    Case(tg.norm, Values([1j, 0, 2]), ord=0, torch=lambda z: torch.linalg.norm(z, 0), grad=False),
    Case(tg.vdot, Z(3), Z(3)),
    Case(tg.vdot, Z(3), N(3), torch=lambda a, b: torch.vdot(a, b.to(a.dtype))),
    Case(tg.cov, Z(2, 3), empty=False),
    Case(tg.corrcoef, Z(2, 3), empty=False),
]

MOVED = [
    *(
        Case(f, Z(3, 2), torch=f, name=name, empty=False)
        for name, f in {
            "z[1:,None]": lambda z: z[1:, None],
            "z[[0,2,0]]": lambda z: z[[0, 2, 0]],
        }.items()
    ),
    Case(
        lambda z: tg.scatter_add(z, np.array([1, 1]), z[:2]),
        Z(3),
        torch=lambda z: z.scatter_add(0, torch.tensor([1, 1]), z[:2]),
        name="scatter_add",
        empty=False,
    ),
    Case(
        lambda z: tg.concatenate([z, tg.real(z)]),
        Z(2),
        torch=lambda z: torch.cat([z, z.real]),
        name="concatenate",
    ),
    Case(
        tg.index_add,
        Z(3, 2),
        Ints(3, 2),
        Z(2, 2),
        empty=False,
        torch=lambda x, i, u: x.index_add(0, i, u),
    ),
    Case(
        tg.scatter,
        Z(2, 4),
        Values([[3, 0, 2], [1, 2, 3]]),
        Z(2, 3),
        axis=1,
        torch=lambda x, i, u: x.scatter(1, i, u),
        empty=False,
    ),
    Case(
        tg.index_copy,
        Z(2, 3),
        Values([2, 0]),
        Z(2, 2),
        axis=1,
        torch=lambda x, i, u: x.index_copy(1, i, u),
        empty=False,
    ),
    Case(tg.embedding, Z(3, 2), Values([2, 0, 2]), torch=lambda w, i: w[i], empty=False),
    Case(tg.diagonal, Z(2, 3), empty=False, offset=1, torch=lambda z: z.diagonal(1)),
    Case(tg.trace, Z(2, 2), empty=False),
    Case(tg.diag_embed, Z(2), offset=-1, torch=lambda z: z.diag_embed(-1)),
    Case(tg.pad, Z(2), pad_width=1, torch=lambda z: torch.constant_pad_nd(z, (1, 1))),
    Case(tg.tile, Z(2), reps=(2,), torch=lambda z: z.tile(2)),
    Case(tg.repeat, Z(2), repeats=2, torch="repeat_interleave"),
    Case(tg.triu, Z(2, 2)),
    Case(tg.tril, Z(2, 2)),
    Case(tg.split, Z(2, 2), indices_or_sections=2, axis=1, torch=lambda z: z.split(1, 1)),
    Case(tg.unbind, Z(2, 2), axis=1),
    Case(itself, Z(2), numpy=np.copy),
    Case(lambda z: hooked([z], watch=list)[0], Z(2), numpy=np.copy, name="hooked"),
    Case(tg.copy, Z(2), torch="clone"),
    Case(lambda z: tg.astype(z, dtype=z.dtype), Z(2), numpy=np.copy, name="astype"),
    Case(to_device, Z(2), device="cpu", source="cpu", numpy=np.copy),
    Case(tg.diagonal, Z(2, 3), offset=1),
    Case(tg.trace, Z(2, 2)),
    Case(tg.diag_embed, Z(2), offset=-1),
    Case(tg.positive, Z(2)),
    Case(tg.unfold, Z(1, 1, 2, 3), kernel_size=2),
    Case(tg.fold, Z(1, 2, 3), output_size=(1, 4), kernel_size=(1, 2)),
]

STATISTICS = [
    Case(tg.cov, Z(2, 3), empty=False),
    Case(tg.corrcoef, Z(2, 4), empty=False),
    *(
        Case(f, Z(2, 3), axis=1, torch=oracle, empty=False)
        for f, oracle in {
            tg.nanmean: lambda z: z.mean(1),
            tg.nanvar: lambda z: z.var(1, correction=0),
            tg.nanstd: lambda z: z.std(1, correction=0),
        }.items()
    ),
]

LOGICAL = tg.logical_and, tg.logical_or, tg.logical_xor

TRUTH = [
    *(
        Case(f, Values([1j, 2, 0]), Values([1j, 2j, 0]), numpy=f.__name__, grad=False)
        for f in (*(tg.equal, tg.not_equal, tg.isclose), *LOGICAL)
    ),
    *(
        Case(
            f, Values([complex(1, np.nan), 1j, complex(np.inf, 1), 0]), numpy=f.__name__, grad=False
        )
        for f in (tg.isnan, tg.isinf, tg.isfinite, tg.logical_not, tg.any, tg.all)
    ),
    Case(tg.nonzero, Values([0, 1j, 1]), numpy="nonzero", grad=False),
]


def transform(name, *inputs, **attributes):
    """A row of tg.fft beside torch.fft."""
    theirs = {"dim" if k in ("axis", "axes") else k: v for k, v in attributes.items()}
    return Case(
        getattr(tg.fft, name),
        *inputs,
        torch=lambda x: getattr(torch.fft, name)(x, **theirs),
        empty=False,
        **attributes,
    )


TRANSFORMS = [
    transform("fft", Z(3)),
    transform("fft", N(2, 3), axis=0, norm="ortho"),
    transform("fft", Z(4), n=3),
    transform("ifft", Z(3), n=5, norm="forward"),
    transform("rfft", N(5)),
    transform("rfft", N(2, 4), norm="ortho"),
    transform("irfft", Z(3)),
    transform("irfft", Z(2, 3), axis=1, n=5, norm="forward"),
    transform("irfft", N(3), n=2),
    transform("hfft", Z(3), n=3),
    transform("ihfft", N(4), norm="ortho"),
    transform("fft2", Z(2, 3)),
    transform("ifft2", Z(2, 2, 2), norm="ortho"),
    transform("rfft2", N(3, 4)),
    transform("irfft2", Z(2, 2), s=(2, 3)),
    transform("fftn", Z(2, 3), s=(3,)),
    transform("ifftn", N(2, 2)),
    transform("rfftn", N(2, 2, 3), axes=(0, 2), s=(3, 2)),
    transform("irfftn", Z(2, 1, 2), axes=(2, 0), s=(-1, 2)),
    transform("fftshift", Z(2, 3)),
    transform("ifftshift", N(5)),
]

FRAMES = [
    Case(
        lambda x, w: tg.stft(x, 4, 2, window=w, normalized=True),
        N(2, 7),
        P(4),
        torch=lambda x, w: torch.stft(x, 4, 2, window=w, normalized=True, return_complex=True),
        name="stft",
        empty=False,
    ),
    Case(
        lambda x, w: tg.istft(x, 4, 3, window=w, center=False),
        Z(3, 2),
        P(4),
        torch=lambda x, w: torch.istft(x, 4, 3, window=w, center=False),
        name="istft",
        empty=False,
    ),
    Case(
        lambda x, w: tg.istft(x, 4, 2, window=w, length=5),
        Z(3, 3),
        P(4),
        torch=lambda x, w: torch.istft(x, 4, 2, window=w, length=5),
        name="istft",
        empty=False,
    ),
]

CASES = PARTS + ANALYTIC + REDUCED + MOVED + STATISTICS + TRUTH + TRANSFORMS + FRAMES
