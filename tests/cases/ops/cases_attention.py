"""Rows for ops/neural/attention.py: one line a row, see case.py."""

import numpy as np
from case import Bools, Case, Maker, N, Values, torch

import tinygrad_like as tg


def torch_weights(query, key, mask=None, causal=False, scale=None):
    """softmax(query key^T scale + mask) written out; rows that see nothing are zeros."""
    group = query.shape[1] // key.shape[1]
    t, s = query.shape[2], key.shape[2]
    scale = query.shape[3] ** -0.5 if scale is None else scale
    scores = query @ key.repeat_interleave(group, 1).mT * scale
    if mask is not None and mask.dtype != torch.bool:
        scores = scores + mask
    elif mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    if causal:
        scores = scores.masked_fill(~torch.ones(t, s, dtype=torch.bool).tril(s - t), -torch.inf)
    blind = (scores == -torch.inf).all(-1, keepdim=True)
    return scores.masked_fill(blind, 0).softmax(-1).masked_fill(blind, 0)


def torch_attention(query, key, value, mask=None, **options):
    weights = torch_weights(query, key, mask, **options)
    return weights @ value.repeat_interleave(query.shape[1] // key.shape[1], 1)


def attend(query, key, value, mask=None, **options):
    return tg.scaled_dot_product_attention(query, key, value, mask=mask, **options)


def dropped(query, key, value, p, causal=False, mask=None):
    """Attention with the same dropout at every call."""
    tg.seed(3)
    return attend(query, key, value, mask, causal=causal, dropout=p)


def torch_dropped(query, key, value, p, causal=False, mask=None):
    weights = torch_weights(query, key, mask, causal)
    be = tg.backend.CPU
    factors = be.k.attention_dropout(tuple(weights.shape), p, 3, 0, np.empty(0))
    value = value.repeat_interleave(query.shape[1] // key.shape[1], 1)
    return weights * torch.tensor(factors) @ value


def row(query, key, value, *mask, **options):
    """A row of given shapes: query, key, value, and the maker of a mask."""
    return Case(
        attend,
        *(N(*shape) for shape in (query, key, value)),
        *mask,
        torch=lambda *xs: torch_attention(*xs, **options),
        name="scaled_dot_product_attention",
        **options,
    )


def Masks(*shape):
    """Numbers to add to scores, -inf here and there, and in all of the last row."""

    def draw(rng, s):
        mask = np.where(rng.random(s) < 0.2, -np.inf, rng.standard_normal(s))
        mask[..., -1, :] = -np.inf
        return mask

    return Maker(shape, draw, tame=True)


BLIND = np.array([[True, False, True], [False, False, False]])  # the second query sees nothing

ATTENTION = [
    row((2, 1, 3, 2), (2, 1, 3, 2), (2, 1, 3, 2)),
    row((1, 2, 2, 3), (1, 2, 4, 3), (1, 2, 4, 1)),
    row((2, 4, 2, 2), (2, 2, 3, 2), (2, 2, 3, 2)),
    row((1, 3, 2, 2), (1, 1, 2, 2), (1, 1, 2, 2), causal=True),
    row((2, 1, 3, 2), (2, 1, 3, 2), (2, 1, 3, 2), causal=True),
    row((1, 1, 2, 2), (1, 1, 4, 2), (1, 1, 4, 2), causal=True),
    row((1, 1, 4, 2), (1, 1, 2, 2), (1, 1, 2, 2), causal=True),  # two queries see nothing
    row((1, 2, 2, 2), (1, 2, 3, 2), (1, 2, 3, 2), scale=0.3),
    row((2, 2, 2, 2), (2, 1, 3, 2), (2, 1, 3, 2), Bools(2, 2, 2, 3)),
    row((1, 1, 2, 2), (1, 1, 3, 2), (1, 1, 3, 2), Values(BLIND)),
    row((2, 1, 2, 2), (2, 1, 3, 2), (2, 1, 3, 2), Values(np.zeros((2, 1, 1, 3), bool))),
    row((2, 1, 3, 2), (2, 1, 3, 2), (2, 1, 3, 2), Bools(1, 3), causal=True),
    row((3, 2, 2, 2), (3, 1, 3, 2), (3, 1, 3, 2), N(2, 3)),
    row((2, 2, 2, 2), (2, 2, 2, 2), (2, 2, 2, 2), N(2, 2, 2, 2), causal=True),
    row((1, 2, 2, 2), (1, 1, 3, 2), (1, 1, 3, 2), N(2, 1, 3)),
    row((1, 2, 2, 2), (1, 2, 3, 2), (1, 2, 3, 2), Masks(1, 1, 2, 3)),
    row((1, 2, 2, 2), (1, 2, 3, 2), (1, 2, 3, 2), Masks(2, 2, 3)),
    *(
        Case(dropped, N(2, 2, 2, 2), N(2, 1, 5, 2), N(2, 1, 5, 2), *mask, p=p, causal=causal,
             torch=lambda q, k, v, m=None, p=p, causal=causal: torch_dropped(q, k, v, p, causal, m),
             name="scaled_dot_product_attention dropout")
        for p, causal, mask in ((0.4, False, ()), (0.4, True, ()), (1.0, False, ()))
    ),
    Case(lambda q, k, v, m: dropped(q, k, v, 0.3, mask=m), N(1, 2, 3, 2), N(1, 2, 3, 2),
         N(1, 2, 3, 2), N(3, 3), torch=lambda q, k, v, m: torch_dropped(q, k, v, 0.3, mask=m),
         name="scaled_dot_product_attention dropout mask"),
    Case(lambda x: attend(x, x, x), N(2, 1, 3, 2), torch=lambda x: torch_attention(x, x, x),
         name="scaled_dot_product_attention self"),
]  # fmt: skip

WEIGHTS = [
    Case(tg.attention_weights, N(2, 1, 3, 2), N(2, 1, 3, 2), torch=torch_weights),
    Case(tg.attention_weights, N(2, 4, 2, 2), N(2, 2, 3, 2), scale=0.4, causal=True,
         torch=lambda q, k: torch_weights(q, k, None, True, 0.4)),
    Case(lambda q, k, m: tg.attention_weights(q, k, mask=m), N(1, 2, 2, 2), N(1, 2, 3, 2),
         Values(BLIND), torch=torch_weights, name="attention_weights bool"),
    Case(lambda q, k, m: tg.attention_weights(q, k, mask=m), N(1, 2, 2, 2), N(1, 2, 3, 2),
         Masks(1, 2, 2, 3), torch=torch_weights, name="attention_weights added"),
]  # fmt: skip


def torch_rotary(x, offset=0, base=10000.0):
    """Complex multiplication by exp(i position rate)."""
    t, d = x.shape[-2:]
    rates = base ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    turn = torch.arange(offset, offset + t, dtype=torch.float64)[:, None] * rates
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], d // 2, 2).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(turn), turn)).reshape(x.shape)


ROTARY = [
    Case(tg.rotary, N(*shape), torch=lambda x, kw=kw: torch_rotary(x, **kw), **kw)
    for shape, kw in (
        ((3, 2), {}),
        ((2, 2, 3, 4), {}),
        ((2, 3, 4), {"offset": 5}),
        ((2, 6), {"offset": 2, "base": 50.0}),
    )
]

CASES = ATTENTION + WEIGHTS + ROTARY
