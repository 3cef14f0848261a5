"""Attention, out = softmax(q k^T scale + mask) v for each head, block by block.

q is (N, Hq, T, d), k (N, Hk, S, d), v (N, Hk, S, dv), and Hk divides Hq: the query heads come in
groups of Hq / Hk that share a key head. `mask` is None or has four axes, each of length 1 or in
full, (N, Hq, T, S): booleans, True where a query may look, or values to add to the scores.
`causal` lets query i look at the keys up to i + S - T: the last query stands at the last key. A
query that may look nowhere gets zeros, its sums are 0, and no gradient comes from it.

The forward keeps `sums`, (2, N, Hq, T): sums[0] is the peak of each query's scores, sums[1] the
logarithm of the sum of exp(score - peak). From them the backward computes the weights again. Their
sum alone would lose the logarithm where the peak is large: a row that a mask lowers by the least
float32 would get weights of 1 each.

A block is some queries of some batch entries with all keys that they may look at. It has at most
max(BLOCK, Hq * S) scores. Two arrays of this size exist at a time, in the backward four (and while
a block's dropout is drawn, some of its random words).

Dropout zeroes weights with probability p and scales the others by 1 / (1 - p). The weights of each
query take their float32 uniforms from separate Philox blocks, blocks(S) of them from
offset + ((n * Hq + h) * T + i) * blocks(S) on, so that they can be computed in any order.
"""

import numpy as np

from .contract import kernel
from .precision import narrow, result_dtype, wide, wide_dtype
from .random import LOW_32, LOW_64, blocks, philox4x32

BLOCK = 1 << 18  # scores: 1 MB of float32, which stays in cache
LONGEST = 512  # scores that are added up, for the gradient of a mask, in their own dtype
ROWS = 64  # queries: with more, more scores would be computed that `causal` then hides


@kernel(any_layout=True)
def attention(q, k, v, mask, causal, scale, p, seed, offset):
    """(out, sums): (N, Hq, T, dv) and (2, N, Hq, T), the peak and log(total) of each query."""
    dtype = _result_type(q, k, v, mask)
    out = np.zeros_like(v, shape=(*q.shape[:3], v.shape[3]), dtype=wide_dtype(dtype))
    sums = np.zeros_like(out, shape=(2, *q.shape[:3]), order="C")
    k, v = wide(k), wide(v)
    for block in _blocks(q, k, causal):
        batch, rows, keys = block
        weights = _scores(q, k, mask, causal, scale, block)
        peak = np.max(weights.real, axis=-1, keepdims=True)
        peak = np.where(peak == -np.inf, 0, peak)
        weights -= peak
        np.exp(weights, out=weights)
        total = np.sum(weights, axis=-1, keepdims=True)
        total = np.where(total == 0, 1, total)
        sums[0, batch, :, rows] = peak[..., 0]
        sums[1, batch, :, rows] = np.log(total)[..., 0]
        if p:
            weights *= _kept((*q.shape[:3], k.shape[2]), p, seed, offset, block, sums)
        mixed = _in_groups(weights, k) @ v[batch, :, keys]
        out[batch, :, rows] = mixed.reshape(total.shape[:3] + v.shape[3:]) / total
    return narrow(out, dtype), sums


@kernel(any_layout=True)
def attention_backward(g, q, k, v, out, sums, mask, causal, scale, p, seed, offset, needs):
    """(dq, dk, dv, dmask), each None where `needs` says so; the weights are computed again."""
    dtype = wide_dtype(g.dtype, out.dtype)
    dq, dk, dv, dmask = (
        np.zeros_like(x, dtype=dtype) if need else None
        for x, need in zip((q, k, v, mask), needs, strict=True)
    )
    if dmask is not None:
        dmask = dmask.astype(sum_dtype((*q.shape[:3], *k.shape[1:3]), mask, dtype), copy=False)
    along = np.sum(wide(g) * wide(out), axis=-1, keepdims=True)  # sum(weights * dweights)
    wide_q, wide_k, wide_v, kept = wide(q), wide(k), wide(v), 1
    for block in _blocks(q, k, causal):
        batch, rows, keys = block
        weights = _scores(q, wide_k, mask, causal, scale, block)
        weights -= sums[0, batch, :, rows, None]
        weights -= sums[1, batch, :, rows, None]
        np.exp(weights, out=weights)
        if p:
            kept = _kept((*q.shape[:3], k.shape[2]), p, seed, offset, block, sums)
        grouped_g = _in_groups(wide(g[batch, :, rows]), k)
        if dv is not None:
            dropped = weights * kept if p else weights
            dv[batch, :, keys] += _in_groups(dropped, k).swapaxes(-1, -2) @ grouped_g
        if not (needs[0] or needs[1] or needs[3]):
            continue

        dscores = grouped_g @ wide_v[batch, :, keys].swapaxes(-1, -2)
        dscores = dscores.reshape(weights.shape)
        if p:
            dscores *= kept
        dscores = weights * (dscores - along[batch, :, rows])
        if dmask is not None:
            _add_summed(dmask, _of_mask(mask, block), dscores)
        grouped = _in_groups(dscores, k)
        if dq is not None:
            dq_part = grouped @ wide_k[batch, :, keys]
            dq[batch, :, rows] = dq_part.reshape(dq[batch, :, rows].shape) * scale
        if dk is not None:
            grouped_q = _in_groups(wide_q[batch, :, rows], k)
            dk[batch, :, keys] += grouped.swapaxes(-1, -2) @ grouped_q * scale
    return tuple(
        None if dx is None else narrow(dx.astype(dtype, copy=False), x.dtype)
        for dx, x in zip((dq, dk, dv, dmask), (q, k, v, mask), strict=True)
    )


@kernel
def attention_dropout(shape, p, seed, offset, like):
    """What multiplies the weights (N, Hq, T, S), 0 or 1 / (1 - p); `like` gives kind and dtype."""
    everything = slice(0, shape[0]), slice(0, shape[2]), slice(0, shape[3])
    return _kept(shape, p, seed, offset, everything, like)


def _result_type(q, k, v, mask):
    floating = (q, k, v) if mask is None or mask.dtype == np.bool_ else (q, k, v, mask)
    return result_dtype(*(x.dtype for x in floating))


def _blocks(q, k, causal):
    """(batch, rows, keys) slices of every block whose queries may look at any key."""
    n, heads, t, _ = q.shape
    s = k.shape[2]
    height = max(1, min(t, ROWS, BLOCK // max(1, heads * s)))
    entries = max(1, BLOCK // max(1, heads * height * s))
    for first in range(0, n, entries):
        for top in range(0, t, height):
            bottom = min(top + height, t)
            stop = min(s, bottom + s - t) if causal else s
            if stop > 0:
                yield slice(first, min(first + entries, n)), slice(top, bottom), slice(0, stop)


def _in_groups(x, k):
    """(n, Hq, rows, m) -> (n, Hk, Hq / Hk * rows, m): rows that meet the same key head."""
    n, heads, rows, m = x.shape
    return x.reshape(n, k.shape[1], heads // k.shape[1] * rows, m)


def _scores(q, k, mask, causal, scale, block):
    """The masked scores of a block, (n, Hq, rows, keys): -inf where a query may not look."""
    batch, rows, keys = block
    part = wide(q[batch, :, rows]) * scale
    scores = _in_groups(part, k) @ k[batch, :, keys].swapaxes(-1, -2)
    scores = scores.reshape(*part.shape[:3], keys.stop)
    if mask is not None:
        seen = mask[_of_mask(mask, block)]
        if mask.dtype == np.bool_:
            np.copyto(scores, -np.inf, where=~seen)
        else:
            scores = scores + seen
    if causal:
        last = np.arange(rows.start, rows.stop, like=scores) + (k.shape[2] - q.shape[2])
        start = max(0, rows.start + k.shape[2] - q.shape[2] + 1)  # all rows see those before
        hidden = np.arange(start, keys.stop, like=scores) > last[:, None]
        np.copyto(scores[..., start:], -np.inf, where=hidden)
    return scores


def _of_mask(mask, block):
    """The index of a block in a mask, or in its gradient; axes of length 1 stay whole."""
    batch, rows, keys = block
    parts = batch, slice(None), rows, keys
    return tuple(slice(None) if n == 1 else i for n, i in zip(mask.shape, parts, strict=True))


def sum_dtype(shape, mask, dtype):
    """The dtype to add up a mask's gradient in, from (N, Hq, T, Hk, S): float64 for long sums."""
    n, heads, t, _, s = shape
    long = n * heads * t * s > LONGEST * mask.size
    return np.result_type(dtype, np.float64) if long else dtype


def _add_summed(dmask, index, dscores):
    """dmask[index] += dscores, summed along the axes that the mask is broadcast along."""
    axes = tuple(axis for axis, n in enumerate(dmask.shape) if n == 1)
    dmask[index] += np.sum(dscores, axis=axes, keepdims=True, dtype=dmask.dtype)


def _kept(shape, p, seed, offset, block, like):
    """The part of attention_dropout that belongs to a block."""
    n, heads, t, s = shape
    batch, rows, keys = block
    row = np.arange(n * heads * t, dtype=np.uint64, like=like).reshape(n, heads, t)[batch, :, rows]
    column = np.arange(blocks(keys.stop), dtype=np.uint64, like=like)
    counter = row[..., None] * blocks(s) + column + (offset & LOW_64)
    zero = np.zeros_like(counter)
    key = seed & LOW_32, (seed >> 32) & LOW_32
    lanes = philox4x32((counter & LOW_32, counter >> 32, zero, zero), key)
    words = np.stack(lanes, axis=-1).reshape(*row.shape, 4 * blocks(keys.stop))
    uniform = (words[..., : keys.stop] >> 8).astype(np.float32) * 2.0**-24
    scale = 1 / (1 - p) if p < 1 else 1  # at p = 1 nothing is kept
    return (uniform >= p).astype(like.real.dtype) * scale
