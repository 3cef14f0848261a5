"""Attention for the CPU, float32 and float64: what the reference computes, block by block.

The arrays may also be views (N, heads, T, d) of C-contiguous (N, T, heads, d), as they come from a
linear layer. A result has the layout of the input that it belongs to: out and dq that of q.
"""

import math

import numpy as np

from ...reference.attention import sum_dtype
from ...reference.random import blocks
from ..machine import memory
from ..machine.kernel import complete_kernel, kernel
from ..machine.threads import num_threads, pool
from ..random import least_kept, philox, signed
from .blocks import run_attention, run_attention_backward

LAST_WORD = 2**32 - 1
MOST_PARTS = 1 << 24  # numbers: partial sums of the gradient of a mask


@kernel("q k v", mask="mask", any_layout=True, half=True, kept=(1,))
def attention(q, k, v, mask, causal, scale, p, seed, offset):
    """(out, sums): see kernels/reference/attention.py."""
    shape = *q.shape[:3], *k.shape[1:3]
    inputs, apart = _laid_out(q, k, v)
    out = _empty((*shape[:3], v.shape[3]), apart[0], q.dtype)
    sums = memory.empty((2, *shape[:3]), q.dtype)
    how = _weighting(_masks(mask, q.dtype), causal, scale, p, seed, offset)
    run_attention(pool(), shape, apart, inputs, (out, sums), how)
    return _heads_first(out, apart[0]), sums


@kernel("g q k v out", mask="mask", any_layout=True, half=True)
def attention_backward(g, q, k, v, out, sums, mask, causal, scale, p, seed, offset, needs):
    """(dq, dk, dv, dmask), each None where `needs` says so."""
    if sums.dtype != q.dtype:
        return NotImplemented
    shape = *q.shape[:3], *k.shape[1:3]
    (*inputs, out, g), apart = _laid_out(q, k, v, out, g)
    grads = [
        memory.empty(x.shape, x.dtype) if need else x
        for x, need in zip(inputs, needs, strict=False)
    ]
    seen, added = _masks(mask, q.dtype)
    whole = added.shape[:2] == shape[:2]
    parts = 1
    if needs[3] and not whole:
        parts = max(1, min(num_threads(), MOST_PARTS // max(mask.size, 1)))
    dmasks = np.zeros((parts, *added.shape), sum_dtype(shape, added, q.dtype))
    how = _weighting((seen, added), causal, scale, p, seed, offset)
    run_attention_backward(
        pool(), shape, apart, tuple(inputs), (out, sums), (g, *grads, dmasks), how, needs
    )
    grads = (_heads_first(x, a) for x, a in zip(grads, apart[:3], strict=True))
    dmask = (dmasks[0] if whole else dmasks.sum(0)).astype(q.dtype, copy=False)
    return tuple(x if need else None for x, need in zip((*grads, dmask), needs, strict=True))


@complete_kernel
def attention_dropout(shape, p, seed, offset, like):
    """The same words in the same order as when drawn block by block."""
    queries, keys = math.prod(shape[:3]), shape[3]
    each = 4 * blocks(keys)
    words = philox(seed, offset, queries * each, like).reshape(*shape[:3], each)
    scale = 1 / (1 - p) if p < 1 else 1
    return (words[..., :keys] >= least_kept(p)).astype(like.real.dtype) * scale


def _laid_out(*arrays):
    """Arrays with their axes in the order of memory, and whether heads come after positions."""
    laid, apart = [], []
    for x in arrays:
        moved = x.transpose(0, 2, 1, 3)
        apart.append(not x.flags.c_contiguous and moved.flags.c_contiguous)
        x = moved if apart[-1] else np.ascontiguousarray(x)
        laid.append(x if x.flags.writeable else x.copy())  # numba has another type for the others
    return tuple(laid), tuple(apart)


def _heads_first(x, apart):
    return x.transpose(0, 2, 1, 3) if apart else x


def _empty(shape, apart, dtype):
    n, heads, t, d = shape
    return memory.empty((n, t, heads, d) if apart else shape, dtype)


def _masks(mask, dtype):
    """(seen, added): the mask as what it is, and nothing as the other."""
    seen, added = np.empty((0, 0, 0, 0), bool), np.empty((0, 0, 0, 0), dtype)
    if mask is None:
        return seen, added
    mask = np.ascontiguousarray(mask)
    return (mask, added) if mask.dtype == bool else (seen, mask)


def _weighting(masks, causal, scale, p, seed, offset):
    """The fields of a Weighting; without dropout the words that it would draw do not matter."""
    how = *masks, bool(causal), float(scale)
    if not p:
        return *how, 0, 0, 0, 1.0
    least, factor = least_kept(p), 1 / (1 - p) if p < 1 else 0.0
    if least >> 32:  # nothing is kept
        least, factor = LAST_WORD, 0.0
    return *how, signed(seed), signed(offset), least, factor
