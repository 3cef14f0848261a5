"""Rows for ops/matrices/linalg.py: one line a row, see case.py."""

from case import Case, N, Spd, Square, torch

import tinygrad_like as tg


def einsum(subscripts, *inputs, **more):
    """A row of `tg.einsum`, with torch's as the oracle."""
    return Case(
        lambda *xs: tg.einsum(subscripts, *xs),
        *inputs,
        torch=lambda *xs: torch.einsum(subscripts, *xs),
        name=f"einsum {subscripts}",
        **more,
    )


def symmetric(function):
    """A function of symmetric matrices as one of any (so that one element can be moved alone)."""

    def call(x):
        return function((x + x.swapaxes(-1, -2)) * 0.5)

    call.__name__ = function.__name__
    return call


def torch_cholesky(x):
    return torch.linalg.cholesky((x + x.mT) / 2)


def torch_dot(a, b):
    return torch.tensordot(a, b, ([-1], [-2 if b.ndim > 1 else 0]))


MATMUL = [  # a, b, whether an empty batch makes sense
    ((2, 3), (3, 4), True),
    ((3,), (3, 2), False),
    ((2, 3), (3,), True),
    ((3,), (3,), False),
    ((2, 3, 1), (1, 4), True),
    ((2, 3, 2), (2, 2, 2), True),
    ((2, 1, 1, 3), (4, 3, 1), True),
    ((2, 2, 1, 2), (2, 2, 3), False),
    ((3,), (2, 3, 2), False),
    ((2, 2, 3), (3,), True),
    ((1, 3), (2, 3, 2), False),
    ((2, 3), (4, 3, 2), True),
    ((1, 1), (1, 1), False),
]

CASES = [
    *(Case(tg.matmul, N(*a), N(*b), empty=empty) for a, b, empty in MATMUL),
    Case(lambda x: x @ x.T, N(2, 3), torch=lambda x: x @ x.T, name="x@x.T"),
    Case(lambda x: x @ x, N(2, 2), torch=lambda x: x @ x, name="x@x", empty=False),
    *(
        Case(tg.linear, N(*x), N(x[-1], 2), torch=lambda x, w: x @ w, empty=len(x) > 1)
        for x in ((4, 3), (3,), (2, 1, 3))
    ),
    *(
        Case(tg.linear, N(*x), N(x[-1], 2), N(2), torch=lambda x, w, b: x @ w + b, empty=len(x) > 1)
        for x in ((4, 3), (3,), (4, 1, 3))
    ),
    Case(tg.outer, N(3), N(4)),
    Case(tg.outer, N(2, 2), N(3), torch=lambda a, b: torch.outer(a.flatten(), b)),
    *(
        Case(tg.dot, N(*a), N(*b), torch=torch_dot, empty=len(a) > 1)
        for a, b in (((3,), (3,)), ((2, 3), (3,)), ((2, 3), (3, 4)))
    ),
    Case(tg.dot, N(2, 3), N(4, 3, 2), torch=torch_dot),
    Case(tg.dot, N(2, 2, 3), N(4, 3, 2), torch=torch_dot),
    Case(tg.dot, N(3), N(4, 3, 2), torch=torch_dot, empty=False),
    Case(tg.dot, N(2, 2, 3), N(3, 4), torch=torch_dot),
    Case(tg.dot, N(), N(2, 3), torch=lambda a, b: a * b),
    Case(tg.dot, N(), N(), torch=lambda a, b: a * b),
    einsum("ij,jk->ik", N(2, 3), N(3, 4)),
    einsum("ij,jk", N(2, 3), N(3, 4)),
    einsum("ij->ji", N(2, 3)),
    einsum("ji", N(2, 3)),
    einsum("ij->", N(2, 3)),
    einsum("ij->i", N(2, 3)),
    einsum("i->i", N(3)),
    einsum("ii->", N(3, 3), empty=False),
    einsum("ii->i", N(3, 3), empty=False),
    einsum("ii", N(3, 3), empty=False),
    einsum("iij->j", N(2, 2, 3), empty=False),
    einsum("iji->ij", N(2, 3, 2), empty=False),
    einsum("i,i->", N(3), N(3)),
    einsum("i,j->ij", N(3), N(4)),
    einsum("i,j", N(3), N(4)),
    einsum("ij,ij->i", N(2, 3), N(2, 3)),
    einsum("ij,k->i", N(2, 3), N(4)),
    einsum("bij,bjk->bik", N(2, 3, 2), N(2, 2, 3)),
    einsum("bhqd,bhkd->bhqk", N(1, 2, 2, 3), N(1, 2, 3, 3)),
    einsum("...ij,...jk->...ik", N(2, 2, 3), N(2, 3, 2)),
    einsum("...ij,jk->...ik", N(2, 2, 3), N(3, 2)),
    einsum("i...,i...->...", N(2, 3), N(2, 3)),
    einsum("...i->...", N(2, 3, 2)),
    einsum("...", N(2, 3)),
    einsum("...ii->...i", N(2, 3, 3)),
    einsum("...,i->...i", N(2, 2), N(3)),
    einsum("b...,...b->b", N(2, 3), N(3, 2), empty=False),
    einsum("ij,jk,kl->il", N(2, 3), N(3, 2), N(2, 4), empty=False),
    einsum("a,b,c->abc", N(2), N(3), N(4)),
    einsum("ij,ji,ij->", N(2, 3), N(3, 2), N(2, 3), empty=False),
    einsum("i,ij,j->", N(2), N(2, 3), N(3)),
    einsum(",ij->ij", N(), N(2, 3)),
    einsum("i j , j k -> i k", N(2, 3), N(3, 4)),
    einsum("ij,jk->ik", N(2, 1), N(3, 4)),
    einsum("...i,...i->...", N(2, 1, 3), N(4, 3)),
    einsum("aab,bc->ac", N(2, 2, 3), N(3, 2), empty=False),
    Case(tg.inv, Square(3, 3), half=False, empty=False),
    Case(tg.inv, Square(2, 2, 2), half=False),
    Case(tg.inv, Square(1, 1), half=False, empty=False),
    Case(tg.solve, Square(3, 3), N(3, 2), half=False, empty=False),
    Case(tg.solve, Square(2, 2, 2), N(2, 2, 1), half=False),
    Case(tg.solve, Square(2, 2), N(3, 2, 2), half=False, empty=False),
    Case(tg.solve, Square(3, 2, 2), N(2, 1), half=False),
    Case(symmetric(tg.cholesky), Spd(3, 3), torch=torch_cholesky, half=False, empty=False),
    Case(symmetric(tg.cholesky), Spd(2, 2, 2), torch=torch_cholesky, half=False),
    Case(symmetric(tg.cholesky), Spd(1, 1), torch="cholesky", half=False, empty=False),
    Case(tg.slogdet, Square(3, 3), half=False, empty=False),
    Case(tg.slogdet, Square(2, 2, 2), half=False),
    Case(lambda x: tg.slogdet(x)[1], Square(2, 2), torch=lambda x: torch.linalg.slogdet(x)[1],
         name="logdet", half=False, empty=False),
]  # fmt: skip
