"""Attention for the CPU, in float32 and float64, block by block.

The arrays may also be views, of shape (N, heads, T, d), of C-contiguous (N, T, heads, d), as a
linear layer gives them. A gradient has the layout of its input, and out that of q.
"""

import math

import numpy as np

from ...reference.attention import sum_dtype
from ...reference.random import blocks
from ..machine import memory
from ..machine.kernel import complete_kernel, kernel
from ..machine.threads import num_threads, pool
from ..products import gemm
from ..random import least_kept, philox, signed
from .blocks import run_attention, run_attention_backward

LAST_WORD = 2**32 - 1
MOST_PARTS = 1 << 24  # elements of all partial sums of a mask's gradient


@kernel("q k v", mask="mask", any_layout=True, half=True, kept=(1,))
def attention(q, k, v, mask, causal, scale, p, seed, offset):
    """(out, sums): see kernels/reference/attention.py."""
    shape = *q.shape[:3], *k.shape[1:3]
    inputs, heads_last = _laid_out(q, k, v)
    out = _empty((*shape[:3], v.shape[3]), heads_last[0], q.dtype)
    sums = memory.empty((2, *shape[:3]), q.dtype)
    weighting = _weighting(_masks(mask, q.dtype), causal, scale, p, seed, offset)
    gemm.link()
    run_attention(pool(), shape, heads_last, inputs, (out, sums), weighting)
    return _heads_first(out, heads_last[0]), sums


@kernel("g q k v out", mask="mask", any_layout=True, half=True)
def attention_backward(g, q, k, v, out, sums, mask, causal, scale, p, seed, offset, needs):
    """(dq, dk, dv, dmask), each None if it is not needed."""
    if sums.dtype != q.dtype:
        return NotImplemented
    shape = *q.shape[:3], *k.shape[1:3]
    (*inputs, out, g), heads_last = _laid_out(q, k, v, out, g)
    grads = [
        memory.empty(x.shape, x.dtype) if need else x
        for x, need in zip(inputs, needs, strict=False)
    ]
    seen, added = _masks(mask, q.dtype)
    whole = added.shape[:2] == shape[:2]  # each head has its own part of the mask
    parts = 1
    if needs[3] and not whole:
        parts = max(1, min(num_threads(), MOST_PARTS // max(mask.size, 1)))
    dmasks = np.zeros((parts, *added.shape), sum_dtype(shape, added, q.dtype))
    weighting = _weighting((seen, added), causal, scale, p, seed, offset)
    gemm.link()
    run_attention_backward(
        pool(), shape, heads_last, tuple(inputs), (out, sums), (g, *grads, dmasks), weighting, needs
    )
    grads = (_heads_first(x, a) for x, a in zip(grads, heads_last[:3], strict=True))
    dmask = (dmasks[0] if whole else dmasks.sum(0)).astype(q.dtype, copy=False)
    return tuple(x if need else None for x, need in zip((*grads, dmask), needs, strict=True))


@complete_kernel
def attention_dropout(shape, p, seed, offset, like):
    """The factors by which dropout multiplies the weights, all at once; see the reference."""
    queries, keys = math.prod(shape[:3]), shape[3]
    each = 4 * blocks(keys)
    words = philox(seed, offset, queries * each, like).reshape(*shape[:3], each)
    scale = 1 / (1 - p) if p < 1 else 1
    return (words[..., :keys] >= least_kept(p)).astype(like.real.dtype) * scale


def _laid_out(*arrays):
    """(C-contiguous arrays, the fields of a HeadsLast), copied if neither layout is contiguous."""
    laid_out, heads_last = [], []
    for x in arrays:
        moved = x.transpose(0, 2, 1, 3)
        heads_last.append(not x.flags.c_contiguous and moved.flags.c_contiguous)
        x = moved if heads_last[-1] else np.ascontiguousarray(x)
        laid_out.append(memory.writable(x))
    return tuple(laid_out), tuple(heads_last)


def _heads_first(x, heads_last):
    """An array as (N, heads, T, d), whichever layout it has."""
    return x.transpose(0, 2, 1, 3) if heads_last else x


def _empty(shape, heads_last, dtype):
    """An uninitialised array for a result of shape (N, heads, T, d), in one of the layouts."""
    n, heads, t, d = shape
    return memory.empty((n, t, heads, d) if heads_last else shape, dtype)


def _masks(mask, dtype):
    """(seen, added): the mask as one of them, by its dtype; what is not given has no elements."""
    seen, added = np.empty((0, 0, 0, 0), bool), np.empty((0, 0, 0, 0), dtype)
    if mask is None:
        return seen, added
    mask = np.ascontiguousarray(mask)
    return (mask, added) if mask.dtype == bool else (seen, mask)


def _weighting(masks, causal, scale, p, seed, offset):
    """The fields of a Weighting; without dropout, its words do not matter."""
    weighting = *masks, bool(causal), float(scale)
    if not p:
        return *weighting, 0, 0, 0, 1.0
    least, factor = least_kept(p), 1 / (1 - p) if p < 1 else 0.0
    if least >> 32:  # nothing is kept
        least, factor = LAST_WORD, 0.0
    return *weighting, signed(seed), signed(offset), least, factor
