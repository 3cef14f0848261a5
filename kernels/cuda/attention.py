"""Attention by blocks, launched from attention.cu and, for half types, from attention_tensor.cu.

See kernels/reference/attention.py.
"""

import numpy as np

from .. import reference
from ..reference.random import LOW_64
from .linalg import has_tensor_cores
from .machine.dtypes import WIDE, dtype_name, log_once
from .machine.kernel import contiguous, kernel
from .machine.launcher import Source, capability_of, max_shared

HEADS = ({"HEAD": 32}, {"HEAD": 64}, {"HEAD": 128})
SOURCE = Source("attention.cu", variants=HEADS)
TENSOR_SOURCE = Source("attention_tensor.cu", ("float16", "bfloat16"), HEADS)
THREADS = 128
# What a kernel of attention.cu holds in shared memory: how many tiles of (rows, HEAD), and how many
# square tiles of weights.
TILES = {"attention": (3, 1), "attention_query_grad": (4, 1), "attention_key_grad": (4, 2)}


@kernel("q k v", mask="mask", any_layout=True)
def attention(q, k, v, mask, causal, scale, p, seed, offset):
    """(out, sums): (N, Hq, T, dv) and (2, N, Hq, T), the peak and log(total) of each query."""
    call = _Call(("attention",), q, k, v, mask, causal, scale, p, seed, offset)
    if not call.taken:
        return NotImplemented
    q, k, v = map(contiguous, (q, k, v))
    out = np.empty_like(q, shape=(*q.shape[:3], v.shape[3]))
    sums = np.empty_like(q, shape=(2, *q.shape[:3]), dtype=call.wide)
    call.run("attention", call.query_tiles, out, *sums, q, k, v)
    return out, sums


@kernel("g q k v out", mask="mask", any_layout=True)
def attention_backward(g, q, k, v, out, sums, mask, causal, scale, p, seed, offset, needs):
    """(dq, dk, dv, dmask), each None where `needs` says so; the weights are computed again."""
    names = "attention_query_grad", "attention_key_grad"
    call = _Call(names, q, k, v, mask, causal, scale, p, seed, offset)
    if not call.taken:
        return NotImplemented
    dmask = None
    if needs[3]:  # rare: all scores' gradients, summed along the axes where the mask is broadcast
        args = g, q, k, v, out, sums, mask, causal, scale, p, seed, offset
        dmask = reference.attention_backward(*args, (False, False, False, True))[3]
    g, q, k, v, out = map(contiguous, (g, q, k, v, out))
    dq, dk, dv = (
        np.empty_like(x) if need else None for x, need in zip((q, k, v), needs[:3], strict=True)
    )
    if any(needs[:3]):
        along = np.empty_like(sums[0])  # the sum of g * out over the values of each query
        rows, width = along.size, out.shape[3]
        kernel = SOURCE.kernel("attention_along", call.dtype, **call.variant)
        kernel(-(-rows // 4), THREADS, along, g, out, rows, width)
        saved = g, q, k, v, *sums, along
        if needs[0]:
            call.run("attention_query_grad", call.query_tiles, dq, *saved)
        if needs[1] or needs[2]:
            call.run("attention_key_grad", call.key_tiles, dk, dv, *saved)
    return dq, dk, dv, dmask


class _Call:
    """The arguments that all kernels of one call share: sizes, mask, dropout, variant.

    `names` are the kernels of the call, and `taken` says whether they can compute it.
    """

    def __init__(self, names, q, k, v, mask, causal, scale, p, seed, offset):
        self.boolean = mask is not None and mask.dtype == np.bool_
        self.dtype = dtype_name(q.dtype)
        self.taken = min(q.size, k.size, v.size) > 0
        if not self.taken:
            return
        (n, heads, queries, d), (_, key_heads, keys, dv) = q.shape, v.shape
        capability = capability_of(q)
        self.wide = WIDE[self.dtype]
        self.tensor = has_tensor_cores("attention", self.dtype, capability)
        self.tile = 64 if self.tensor else 16 if self.dtype == "float64" else 32
        self.variant = next((x for x in HEADS if x["HEAD"] >= max(d, dv)), None)
        room = max_shared(capability)
        self.taken = self.variant is not None and max(map(self.shared, names)) <= room
        if not self.taken:
            log_once(
                "[attention] no kernel for %s with heads of %s on compute capability %s: the "
                "array library's products instead, block by block",
                *(self.dtype, max(d, dv), capability / 10),
            )
            return
        self.query_tiles = n * heads * -(-queries // self.tile)
        self.key_tiles = n * key_heads * -(-keys // self.tile)
        seen, added, steps = None, None, (0, 0, 0, 0)
        if mask is not None:
            mask = contiguous(mask)
            seen, added = (mask, None) if self.boolean else (None, mask)
            steps = _steps(mask.shape)
        sizes = n, heads, key_heads, queries, keys, d, dv, int(causal)
        kept_scale = 1 / (1 - p) if p < 1 else 1.0
        numbers = float(scale), float(p), float(kept_scale), seed & LOW_64, offset & LOW_64
        self.args = seen, added, *steps, sizes, *numbers

    def shared(self, name):
        """Bytes of shared memory that a block of a kernel needs."""
        head, tile, (tiles, squares) = self.variant["HEAD"], self.tile, TILES[name]
        if self.tensor:  # two tiles (in the forward pass one), and a ring of two stages of two
            walked = 32 if name == "attention_key_grad" and head > 64 else tile
            return ((tiles - 2) * tile + 4 * walked) * head * 2
        elements = tiles * tile * (head + 1) + squares * tile * (tile + 1)
        return elements * self.wide.itemsize

    def run(self, name, blocks, *arrays):
        """Launch a kernel on `arrays` and the shared arguments."""
        source = TENSOR_SOURCE if self.tensor else SOURCE
        kernel = source.kernel(name, self.dtype, **self.variant)
        kernel(blocks, THREADS, *arrays, *self.args, shared=self.shared(name))


def _steps(shape):
    """Elements from one index to the next along each axis of a mask; 0 along broadcast axes."""
    steps, size = [], 1
    for n in reversed(shape):
        steps.append(0 if n == 1 else size)
        size *= n
    return steps[::-1]
