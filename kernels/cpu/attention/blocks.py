"""Attention by blocks of queries and keys, compiled: see attention.py, which calls it.

The scores of a block stand transposed, keys by queries: so its softmax runs along vectors of
queries, and each of its products is one that BLAS does without copying (not A B^T). A block is
small enough for that, and for the second-level cache. Where it does not hold all keys, the softmax
is kept up to date from block to block (Milakov and Gimelshein 2018, "Online normalizer calculation
for softmax"): the scores of all keys at once exist nowhere.

What is summed up over many blocks moves to float64 after every LONG of them, and begins anew: so
no sum meets more than some hundred roundings.

`apart` says of q, k, v and the others whether they are (N, T, heads, d) or (N, heads, T, d).
"""

import numpy as np

from ..machine.compile import jit
from ..machine.threads import run, share, tasks_for
from ..math.philox import cipher
from ..products.gemm import gemm
from .weights import (
    differentiate,
    exponentiate,
    finish,
    move,
    move_mixed,
    raise_peak,
    rescale,
    weigh,
)

ROWS = 64  # queries to a block
KEYS = 256  # keys to a block, at most
CHAIN = 128  # keys whose products BLAS adds up one after the other
LONG = 16  # blocks whose sums stay in the dtype of the inputs
PRODUCT = 1_000_000  # multiplications up to which BLAS copies nothing
WORTH_A_THREAD = 1 << 20  # multiplications


# Blocks


@jit
def _head(x, apart, n, h, first, size):
    """Rows of a head as a matrix; `apart` says that x is (N, T, heads, d), not (N, heads, T, d)."""
    if apart:
        return x[n, first : first + size, h, :]
    return x[n, h, first : first + size, :]


@jit
def _transpose(x, scale, y):
    """y = scale * x^T."""
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[c, i] = x[i, c] * scale


@jit
def _matrix(buffer, rows, columns):
    return buffer[: rows * columns].reshape(rows, columns)


@jit
def _parts(n, most):
    """How many parts of at most `most` make n, and the size of each where all are about equal."""
    count = (n + most - 1) // most
    return count, (n + count - 1) // count if count else 0


@jit
def _most_keys(rows, d):
    """How many keys a block may have: a multiple of 16, and so of the words of a Philox block."""
    return min(max(PRODUCT // max(rows * d, 1), 64), KEYS) // 16 * 16


@jit
def _keys_to_meet(causal, end, t, s, most):
    """How many keys the queries before `end` look at, and how many of them go to a block."""
    keys = max(0, min(s, end + s - t)) if causal else s
    return keys, max((_parts(keys, most)[1] + 15) // 16 * 16, 1)


@jit
def _of_head(mask, n, h):
    """The mask of a head; axes of length 1 hold for all."""
    return mask[min(n, mask.shape[0] - 1), min(h, mask.shape[1] - 1)]


@jit
def _hide(scores, seen, added, causal, n, h, row, key, behind):
    """Mask the scores (keys, queries) of a block that begins at query `row` and key `key`.

    Under `causal` query i looks at the keys up to i + behind.
    """
    keys, rows = scores.shape
    hidden = scores.dtype.type(-np.inf)
    if seen.size:
        part = _of_head(seen, n, h)
        step = 1 if part.shape[1] > 1 else 0
        if part.shape[0] == 1:
            for j in range(keys):
                if not part[0, (key + j) * step]:
                    scores[j, :] = hidden
        else:
            for i in range(rows):
                for j in range(keys):
                    if not part[row + i, (key + j) * step]:
                        scores[j, i] = hidden
    if added.size:
        part = _of_head(added, n, h)
        step = 1 if part.shape[1] > 1 else 0
        for i in range(rows):
            line = part[min(row + i, part.shape[0] - 1)]
            for j in range(keys):
                scores[j, i] += line[(key + j) * step]
    if causal:
        for j in range(max(0, row + behind + 1 - key), keys):
            scores[j, : min(rows, key + j - row - behind)] = hidden


@jit
def _draw_kept(kept, block, step, seed, least, scale):
    """The factors (keys, queries) of dropout, `scale` or 0, from the first query's `block` on.

    The words of each query lie `step` blocks behind those of the one before.
    """
    keys, rows = kept.shape
    zero, scale, least = kept.dtype.type(0), kept.dtype.type(scale), np.uint32(least)
    seed, step, words = np.uint64(seed), np.uint64(step), np.empty((4, rows), np.uint32)
    for key in range(0, keys, 4):
        start = np.uint64(block + key // 4)
        for i in range(rows):
            c0, c1, c2, c3 = cipher(start + np.uint64(i) * step, seed)
            words[0, i], words[1, i], words[2, i], words[3, i] = c0, c1, c2, c3
        for lane in range(min(4, keys - key)):
            drawn, row = words[lane], kept[key + lane]
            for i in range(row.size):
                row[i] = scale if drawn[i] >= least else zero


@jit
def _mix(weights, values, mixed, more):
    """mixed = weights^T values, or is added to if `more`; weights are (keys, queries)."""
    for first in range(0, len(weights), CHAIN):
        part = slice(first, first + CHAIN)
        gemm(True, False, weights[part], values[part], mixed, min(first + more, 1))


# Forward


@jit
def _attend(task, tasks, shape, apart, q, k, v, out, sums, seen, added, causal, scale, drop):
    n, heads, t, key_heads, s = shape
    seed, offset, least, factor = drop
    d, dv = q.shape[3], v.shape[3]
    dtype = q.dtype.type
    count, height = _parts(t, ROWS)
    most = _most_keys(height, max(d, dv))
    turned, bounds = np.empty(d * height, q.dtype), np.empty((3, height), q.dtype)
    totals = np.empty(height, np.float64)  # of all blocks of keys: each is added up by itself
    below, wholes = np.empty(height, np.float64), np.empty(height * dv, np.float64)
    room = np.empty(height * min(most, s), q.dtype)
    kept_room = np.empty(room.size if least else 0, q.dtype)
    for item in range(*share(task, tasks, n * heads * count)):
        head, row = item // count, item % count * height
        batch, h, rows = head // heads, head % heads, min(height, t - row)
        key_head = h // (heads // key_heads)
        query = _matrix(turned, d, rows)
        _transpose(_head(q, apart[0], batch, h, row, rows), dtype(scale), query)
        mixed = _head(out, apart[0], batch, h, row, rows)
        before, peak, part = bounds[0, :rows], bounds[1, :rows], bounds[2, :rows]
        total = totals[:rows]
        peak[:], total[:] = -np.finfo(dtype).max, 0
        meets, width = _keys_to_meet(causal, row + rows, t, s, most)
        if meets == 0:
            mixed[:, :] = 0
        stretch, whole = LONG * width, _matrix(wholes, rows, dv)
        if meets > stretch:
            below[:], whole[:, :] = -np.finfo(dtype).max, 0
        for key in range(0, meets, width):
            keys = min(width, meets - key)
            scores = _matrix(room, keys, rows)
            gemm(False, False, _head(k, apart[1], batch, key_head, key, keys), query, scores, 0)
            _hide(scores, seen, added, causal, batch, h, row, key, s - t)
            before[:] = peak
            raise_peak(peak, scores)
            if key:
                rescale(mixed, total, before, peak)
            part[:] = 0
            exponentiate(scores, peak, part)
            _add(part, total)
            if least:
                kept, words = _matrix(kept_room, keys, rows), (s + 3) // 4
                _draw_kept(
                    kept, offset + (head * t + row) * words + key // 4, words, seed, least, factor
                )
                _multiply(scores, kept)
            values = _head(v, apart[2], batch, key_head, key, keys)
            _mix(scores, values, mixed, min(key % stretch, 1))
            if meets > stretch and (key + width >= meets or (key + width) % stretch == 0):
                move_mixed(mixed, peak, whole, below)
        if meets > stretch:
            mixed[:, :] = whole
        at = slice(row, row + rows)
        finish(mixed, total, peak, sums[0, batch, h, at], sums[1, batch, h, at])


@jit
def _add(x, y):
    """y += x"""
    for i in range(x.size):
        y[i] += x[i]


@jit
def _multiply(x, y):
    """x *= y, for matrices that lie in one piece."""
    x, y = x.reshape(x.size), y.reshape(y.size)
    for i in range(x.size):
        x[i] *= y[i]


@jit
def run_attention(pool, shape, apart, q, k, v, out, sums, seen, added, causal, scale, drop):
    n, heads, t, _, s = shape
    work = n * heads * t * s * (q.shape[3] + v.shape[3])
    tasks = min(tasks_for(pool, work, WORTH_A_THREAD), n * heads * _parts(t, ROWS)[0])
    args = shape, apart, q, k, v, out, sums, seen, added, causal, scale, drop
    run(pool, _attend, args, max(tasks, 1))


# Backward


@jit
def _along(g, out, along):
    """sum(g * out) of each query, which is that of its weights and their gradients."""
    for i in range(along.size):
        total = 0.0
        for c in range(g.shape[1]):
            total += g[i, c] * out[i, c]
        along[i] = total


@jit
def _add_to_mask(dmask, slopes, row, key):
    """Add the gradients of scores (keys, queries) to that of a mask, along whose axes of length 1
    they are summed."""
    one_row, one_key = dmask.shape[0] == 1, dmask.shape[1] == 1
    for j in range(slopes.shape[0]):
        column = 0 if one_key else key + j
        if one_row:
            dmask[0, column] += slopes[j].sum()  # of ROWS numbers at most
        else:
            for i in range(slopes.shape[1]):
                dmask[row + i, column] += slopes[j, i]


@jit
def _attend_backward(
    task, tasks, shape, apart, g, q, k, v, out, sums, dq, dk, dv, dmasks, seen, added, causal,
    scale, drop, needs,
):  # fmt: skip
    n, heads, t, key_heads, s = shape
    seed, offset, least, factor = drop
    group = heads // key_heads
    one = q.dtype.type(1)
    width_q, width_v = q.shape[3], v.shape[3]
    count, height = _parts(t, ROWS)
    most = _most_keys(height, max(width_q, width_v))
    turned_q, turned_g = np.empty(width_q * height, q.dtype), np.empty(width_v * height, q.dtype)
    along_room = np.empty(height, q.dtype)
    room, slope_room = (
        np.empty(height * min(most, s), q.dtype),
        np.empty(height * min(most, s), q.dtype),
    )
    kept_room = np.empty(room.size if least else 0, q.dtype)
    wholes = np.empty(height * width_q, np.float64)
    rows_of_keys = s if group * count > LONG else 0
    whole_dk = np.zeros((rows_of_keys if needs[1] else 0, width_q), np.float64)
    whole_dv = np.zeros((rows_of_keys if needs[2] else 0, width_v), np.float64)
    for item in range(*share(task, tasks, n * key_heads)):
        batch, key_head = item // key_heads, item % key_heads
        if needs[1]:
            _head(dk, apart[2], batch, key_head, 0, s)[:, :] = 0
        if needs[2]:
            _head(dv, apart[3], batch, key_head, 0, s)[:, :] = 0
        for part in range(group * count):
            if rows_of_keys and part and part % LONG == 0:
                if needs[1]:
                    move(_head(dk, apart[2], batch, key_head, 0, s), whole_dk)
                if needs[2]:
                    move(_head(dv, apart[3], batch, key_head, 0, s), whole_dv)
            h, row = key_head * group + part // count, part % count * height
            rows, head = min(height, t - row), batch * heads + h
            query, grad = _matrix(turned_q, width_q, rows), _matrix(turned_g, width_v, rows)
            q_rows = _head(q, apart[1], batch, h, row, rows)
            g_rows = _head(g, apart[0], batch, h, row, rows)
            dq_rows = _head(dq, apart[1], batch, h, row, rows) if needs[0] else q_rows
            _transpose(q_rows, q.dtype.type(scale), query)
            _transpose(g_rows, one, grad)
            along = along_room[:rows]
            _along(g_rows, _head(out, apart[4], batch, h, row, rows), along)
            meets, width = _keys_to_meet(causal, row + rows, t, s, most)
            if meets == 0 and needs[0]:
                dq_rows[:, :] = 0
            stretch, whole = LONG * width, _matrix(wholes, rows, width_q)
            if meets > stretch:
                whole[:, :] = 0
            for key in range(0, meets, width):
                keys = min(width, meets - key)
                weights, slopes = _matrix(room, keys, rows), _matrix(slope_room, keys, rows)
                kept = _matrix(kept_room, keys, rows) if least else weights
                k_rows = _head(k, apart[2], batch, key_head, key, keys)
                gemm(False, False, k_rows, query, weights, 0)
                _hide(weights, seen, added, causal, batch, h, row, key, s - t)
                at = slice(row, row + rows)
                weigh(weights, sums[0, batch, h, at], sums[1, batch, h, at])
                if least:
                    words = (s + 3) // 4
                    _draw_kept(
                        kept,
                        offset + (head * t + row) * words + key // 4,
                        words,
                        seed,
                        least,
                        factor,
                    )
                if needs[0] or needs[1] or needs[3]:
                    gemm(
                        False,
                        False,
                        _head(v, apart[3], batch, key_head, key, keys),
                        grad,
                        slopes,
                        0,
                    )
                    if least:
                        _multiply(slopes, kept)
                    differentiate(weights, slopes, along, 1.0 if needs[3] else scale)
                    if needs[3]:
                        dmask = _of_head(dmasks[min(task, dmasks.shape[0] - 1)], batch, h)
                        _add_to_mask(dmask, slopes, row, key)
                        flat = slopes.reshape(slopes.size)
                        for i in range(flat.size):
                            flat[i] *= q.dtype.type(scale)
                    if needs[0]:
                        _mix(slopes, k_rows, dq_rows, min(key, 1))
                        if meets > stretch and (key + width) % stretch == 0:
                            move(dq_rows, whole)
                    if needs[1]:
                        gemm(
                            False,
                            False,
                            slopes,
                            q_rows,
                            _head(dk, apart[2], batch, key_head, key, keys),
                            1,
                        )
                if needs[2]:
                    if least:
                        _multiply(weights, kept)
                    gemm(
                        False,
                        False,
                        weights,
                        g_rows,
                        _head(dv, apart[3], batch, key_head, key, keys),
                        1,
                    )
            if needs[0] and meets > stretch:
                move(whole, dq_rows)
        if rows_of_keys and needs[1]:
            move(whole_dk, _head(dk, apart[2], batch, key_head, 0, s))
        if rows_of_keys and needs[2]:
            move(whole_dv, _head(dv, apart[3], batch, key_head, 0, s))


@jit
def run_attention_backward(
    pool,
    shape,
    apart,
    g,
    q,
    k,
    v,
    out,
    sums,
    dq,
    dk,
    dv,
    dmasks,
    seen,
    added,
    causal,
    scale,
    drop,
    needs,
):
    n, heads, t, key_heads, s = shape
    work = n * heads * t * s * (q.shape[3] + v.shape[3])
    tasks = min(tasks_for(pool, work, WORTH_A_THREAD), n * key_heads)
    if needs[3] and dmasks.shape[0] < tasks:
        tasks = dmasks.shape[0]
    args = (
        shape,
        apart,
        g,
        q,
        k,
        v,
        out,
        sums,
        dq,
        dk,
        dv,
        dmasks,
        seen,
        added,
        causal,
        scale,
        drop,
        needs,
    )
    run(pool, _attend_backward, args, max(tasks, 1))
