"""Attention by blocks, launched from attention.cu and, of half types, from tensor_attention.cu.

See kernels/reference/attention.py.
"""

import numpy as np

from .. import reference
from ..reference.random import LOW_64
from .launcher import Source, capability_of, common_dtype, dtype_name, log_once
from .linalg import has_tensor_cores

HEADS = ({"HEAD": 32}, {"HEAD": 64}, {"HEAD": 128})
SOURCE = Source("attention.cu", variants=HEADS)
TENSOR_SOURCE = Source("tensor_attention.cu", ("float16", "bfloat16"), HEADS)
THREADS = 128


def attention(q, k, v, mask, causal, scale, p, seed, offset):
    """(out, lse): (N, Hq, T, dv) and (N, Hq, T), lse being log(sum(exp(scores))) of each query."""
    call = _Call(q, k, v, mask, causal, scale, p, seed, offset)
    if not call.taken:
        return reference.attention(q, k, v, mask, causal, scale, p, seed, offset)
    q, k, v = map(_contiguous, (q, k, v))
    out = np.empty_like(q, shape=(*q.shape[:3], v.shape[3]))
    lse = np.empty_like(q, shape=q.shape[:3], dtype=call.wide)
    call.run("attention", call.query_tiles, 3, 1, out, lse, q, k, v)
    return out, lse


def attention_backward(g, q, k, v, out, lse, mask, causal, scale, p, seed, offset, needs):
    """(dq, dk, dv, dmask), each None where `needs` says so; the weights are computed again."""
    call = _Call(q, k, v, mask, causal, scale, p, seed, offset)
    if not call.taken or common_dtype(q, g, out) is None:
        given = g, q, k, v, out, lse, mask, causal, scale, p, seed, offset, needs
        return reference.attention_backward(*given)
    dmask = None
    if needs[3]:  # rare, and the sum of all scores' gradients along the mask's short axes
        given = g, q, k, v, out, lse, mask, causal, scale, p, seed, offset
        dmask = reference.attention_backward(*given, (False, False, False, True))[3]
    g, q, k, v, out = map(_contiguous, (g, q, k, v, out))
    dq, dk, dv = (
        np.empty_like(x) if need else None for x, need in zip((q, k, v), needs[:3], strict=True)
    )
    if any(needs[:3]):
        along = np.empty_like(lse)
        rows, width = along.size, out.shape[3]
        kernel = SOURCE.kernel("attention_along", call.dtype, **call.variant)
        kernel(-(-rows // 4), THREADS, along, g, out, rows, width)
        saved = g, q, k, v, lse, along
        if needs[0]:
            call.run("attention_query_grad", call.query_tiles, 4, 1, dq, *saved)
        if needs[1] or needs[2]:
            call.run("attention_key_grad", call.key_tiles, 4, 2, dk, dv, *saved)
    return dq, dk, dv, dmask


class _Call:
    """What the kernels of one attention have in common: sizes, mask, dropout, variant."""

    def __init__(self, q, k, v, mask, causal, scale, p, seed, offset):
        self.boolean = mask is not None and mask.dtype == np.bool_
        self.dtype = common_dtype(q, k, v, None if self.boolean else mask)
        width = max(q.shape[3], v.shape[3])
        fitting = [each for each in SOURCE.variants if each["HEAD"] >= width]
        full = min(q.size, k.size, v.size) > 0
        self.taken = self.dtype is not None and full and bool(fitting)
        if not self.taken:
            if full:
                what = f"{dtype_name(q.dtype)} with heads of {width}"
                log_once("[attention] no kernel for %s: all scores are held in memory", what)
            return
        (n, heads, queries, d), (_, key_heads, keys, dv) = q.shape, v.shape
        self.variant, self.wide = fitting[0], np.float64 if self.dtype == "float64" else np.float32
        self.tensor = has_tensor_cores("attention", self.dtype, capability_of(q))
        self.tile = 64 if self.tensor else 16 if self.dtype == "float64" else 32
        self.query_tiles = n * heads * -(-queries // self.tile)
        self.key_tiles = n * key_heads * -(-keys // self.tile)
        seen, added, steps = None, None, (0, 0, 0, 0)
        if mask is not None:
            mask = _contiguous(mask)
            seen, added = (mask, None) if self.boolean else (None, mask)
            steps = _steps(mask.shape)
        sizes = n, heads, key_heads, queries, keys, d, dv, int(causal)
        kept = 1 / (1 - p) if p < 1 else 1.0
        key = seed & LOW_64, offset & LOW_64
        self.given = seen, added, *steps, sizes, float(scale), float(p), float(kept), *key

    def run(self, name, blocks, tiles, squares, *arrays):
        """A kernel that holds so many tiles of heads, and of weights, in shared memory."""
        head, tile = self.variant["HEAD"], self.tile
        if self.tensor:  # two tiles, or in the forward pass one, and a ring of two stages of two
            kernel = TENSOR_SOURCE.kernel(name, self.dtype, **self.variant)
            walked = 32 if name == "attention_key_grad" and head > 64 else tile
            shared = ((tiles - 2) * tile + 4 * walked) * head * 2
        else:
            kernel = SOURCE.kernel(name, self.dtype, **self.variant)
            numbers = tiles * tile * (head + 1) + squares * tile * (tile + 1)
            shared = numbers * np.dtype(self.wide).itemsize
        kernel(blocks, THREADS, *arrays, *self.given, shared=shared)


def _contiguous(x):
    return x if x.flags.c_contiguous else x.copy(order="C")


def _steps(shape):
    """Elements from one index to the next along each axis of a mask; 0 where it is broadcast."""
    steps, size = [], 1
    for n in reversed(shape):
        steps.append(0 if n == 1 else size)
        size *= n
    return steps[::-1]
