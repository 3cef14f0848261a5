"""The compiled passes of attention, by blocks of queries and keys: kernels.py calls them.

The scores of a block are stored transposed, as (keys, queries). So its softmax runs along vectors
of queries, and BLAS copies no operand of its products, as it would for A B^T. A block is small
enough for that, and for the second-level cache. If a query looks at several blocks of keys, its
softmax is updated from block to block (Milakov and Gimelshein 2018, "Online normalizer calculation
for softmax"), so the scores of all keys never exist at once.

Sums over many blocks are added to sums in float64 after every LONG blocks, and begin anew. So no
sum meets more than some hundred roundings.

Most functions take the tuples of arguments.py.
"""

import numpy as np

from ..machine.compile import jit
from ..machine.simd import body
from ..machine.threads import run, share, tasks_for
from ..math.philox import cipher
from ..products.gemm import gemm
from .arguments import (
    Gradients,
    HeadsLast,
    Inputs,
    Needs,
    Place,
    Results,
    Scratch,
    Shape,
    Weighting,
)
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
PRODUCT = 1_000_000  # up to this many multiplications BLAS copies no operand
WORTH_A_THREAD = 1 << 20  # multiplications for which a thread pays


# Blocks


@body
def _head(x, heads_last, n, h, first, size):
    """`size` rows of head h of batch entry n as a matrix, from row `first` on.

    x is (N, T, heads, d) if `heads_last`, else (N, heads, T, d).
    """
    if heads_last:
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
    """The beginning of a flat buffer as a matrix."""
    return buffer[: rows * columns].reshape(rows, columns)


@jit
def _parts(n, most):
    """(count, size) of the parts of n that are at most `most` each, and about equal in size."""
    count = (n + most - 1) // most
    return count, (n + count - 1) // count if count else 0


@body
def _most_keys(rows, d):
    """How many keys a block may have: a multiple of 16, so that it begins with a Philox block."""
    return min(max(PRODUCT // max(rows * d, 1), 64), KEYS) // 16 * 16


@body
def _visible_keys(causal, end, t, s, most):
    """How many keys the queries before `end` look at, and how many of these make a block."""
    keys = max(0, min(s, end + s - t)) if causal else s
    return keys, max((_parts(keys, most)[1] + 15) // 16 * 16, 1)


@body
def _of_head(mask, n, h):
    """The mask (T, S) of a head; its first two axes may have length 1."""
    return mask[min(n, mask.shape[0] - 1), min(h, mask.shape[1] - 1)]


@body
def _hide(scores, weighting, place, key, behind):
    """Apply the masks to the scores (keys, queries) of the queries at a Place and the keys from
    `key` on. If attention is causal, query i looks at the keys up to i + behind.
    """
    row, (keys, rows) = place.row, scores.shape
    hidden = scores.dtype.type(-np.inf)
    if weighting.seen.size:
        part = _of_head(weighting.seen, place.batch, place.h)
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
    if weighting.added.size:
        part = _of_head(weighting.added, place.batch, place.h)
        step = 1 if part.shape[1] > 1 else 0
        for i in range(rows):
            line = part[min(row + i, part.shape[0] - 1)]
            for j in range(keys):
                scores[j, i] += line[(key + j) * step]
    if weighting.causal:
        for j in range(max(0, row + behind + 1 - key), keys):
            scores[j, : min(rows, key + j - row - behind)] = hidden


@body
def _draw_kept(kept, weighting, shape, place, key):
    """Fill in the factors of dropout, 0 or `weighting.factor`, for a block as in `_hide`.

    The random words of a query begin (S + 3) // 4 Philox blocks after those of the one before.
    """
    keys, rows = kept.shape
    dtype, least = kept.dtype.type, np.uint32(weighting.least)
    zero, scale = dtype(0), dtype(weighting.factor)
    step = (shape.s + 3) // 4
    query = (place.batch * shape.heads + place.h) * shape.t + place.row
    block = weighting.offset + query * step + key // 4
    seed, step, words = np.uint64(weighting.seed), np.uint64(step), np.empty((4, rows), np.uint32)
    for first in range(0, keys, 4):
        start = np.uint64(block + first // 4)
        for i in range(rows):
            c0, c1, c2, c3 = cipher(start + np.uint64(i) * step, seed)
            words[0, i], words[1, i], words[2, i], words[3, i] = c0, c1, c2, c3
        for lane in range(min(4, keys - first)):
            drawn, row = words[lane], kept[first + lane]
            for i in range(row.size):
                row[i] = scale if drawn[i] >= least else zero


@body
def _mix(weights, values, mixed, more):
    """mixed = weights^T values, or mixed += that if `more`; weights are (keys, queries)."""
    for first in range(0, len(weights), CHAIN):
        part = slice(first, first + CHAIN)
        gemm(True, False, weights[part], values[part], mixed, min(first + more, 1))


# Forward


@body
def _attend(task, tasks, shape, heads_last, inputs, results, weighting):
    """The forward pass for a task's blocks of queries, each with all keys that it looks at."""
    n, heads, t, key_heads, s = shape
    (q, k, v), (out, sums) = inputs, results
    d, dv = q.shape[3], v.shape[3]
    dtype = q.dtype.type
    count, height = _parts(t, ROWS)
    most = _most_keys(height, max(d, dv))
    query_buffer, row_buffer = np.empty(d * height, q.dtype), np.empty((3, height), q.dtype)
    totals = np.empty(height, np.float64)  # the sums of the totals of all blocks of keys
    below, whole_buffer = np.empty(height, np.float64), np.empty(height * dv, np.float64)
    score_buffer = np.empty(height * min(most, s), q.dtype)
    kept_buffer = np.empty(score_buffer.size if weighting.least else 0, q.dtype)
    for item in range(*share(task, tasks, n * heads * count)):
        head, row = item // count, item % count * height
        batch, h, rows = head // heads, head % heads, min(height, t - row)
        key_head = h // (heads // key_heads)
        place = Place(batch, h, key_head, row, rows)
        query = _matrix(query_buffer, d, rows)
        _transpose(_head(q, heads_last.q, batch, h, row, rows), dtype(weighting.scale), query)
        mixed = _head(out, heads_last.out, batch, h, row, rows)
        before, peak, part = row_buffer[0, :rows], row_buffer[1, :rows], row_buffer[2, :rows]
        total = totals[:rows]
        peak[:], total[:] = -np.finfo(dtype).max, 0
        visible, width = _visible_keys(weighting.causal, row + rows, t, s, most)
        if visible == 0:
            mixed[:, :] = 0
        stretch, whole = LONG * width, _matrix(whole_buffer, rows, dv)
        if visible > stretch:
            below[:], whole[:, :] = -np.finfo(dtype).max, 0
        for key in range(0, visible, width):
            keys = min(width, visible - key)
            scores = _matrix(score_buffer, keys, rows)
            gemm(False, False, _head(k, heads_last.k, batch, key_head, key, keys), query, scores, 0)
            _hide(scores, weighting, place, key, s - t)
            before[:] = peak
            raise_peak(peak, scores)
            if key:
                rescale(mixed, total, before, peak)
            part[:] = 0
            exponentiate(scores, peak, part)
            _add(part, total)
            if weighting.least:
                kept = _matrix(kept_buffer, keys, rows)
                _draw_kept(kept, weighting, shape, place, key)
                _multiply(scores, kept)
            values = _head(v, heads_last.v, batch, key_head, key, keys)
            _mix(scores, values, mixed, min(key % stretch, 1))
            if visible > stretch and (key + width >= visible or (key + width) % stretch == 0):
                move_mixed(mixed, peak, whole, below)
        if visible > stretch:
            mixed[:, :] = whole
        at = slice(row, row + rows)
        finish(mixed, total, peak, sums[0, batch, h, at], sums[1, batch, h, at])


@jit
def _add(x, y):
    """y += x."""
    for i in range(x.size):
        y[i] += x[i]


@jit
def _multiply(x, y):
    """x *= y, for contiguous matrices."""
    x, y = x.reshape(x.size), y.reshape(y.size)
    for i in range(x.size):
        x[i] *= y[i]


@jit
def run_attention(pool, shape, heads_last, inputs, results, weighting):
    """Fill in the results. The arguments are the fields of the tuples of arguments.py.

    `heads_last` has only q, k and v: `out` has the layout of q.
    """
    shape, weighting = Shape(*shape), Weighting(*weighting)
    inputs, results = Inputs(*inputs), Results(*results)
    heads_last = HeadsLast(heads_last[0], heads_last[1], heads_last[2], heads_last[0], False)
    n, heads, t, _, s = shape
    work = n * heads * t * s * (inputs.q.shape[3] + inputs.v.shape[3])
    tasks = min(tasks_for(pool, work, WORTH_A_THREAD), n * heads * _parts(t, ROWS)[0])
    run(pool, _attend, (shape, heads_last, inputs, results, weighting), max(tasks, 1))


# Backward


@jit
def _along(g, out, along):
    """along = sum(g * out) of each query: the sum of its weights times their gradients."""
    for i in range(along.size):
        total = 0.0
        for c in range(g.shape[1]):
            total += g[i, c] * out[i, c]
        along[i] = total


@body
def _add_to_mask(dmask, slopes, row, key):
    """Add the gradients with respect to scores (keys, queries) to that with respect to a mask.

    They are summed along axes of the mask that have length 1.
    """
    one_row, one_key = dmask.shape[0] == 1, dmask.shape[1] == 1
    for j in range(slopes.shape[0]):
        column = 0 if one_key else key + j
        if one_row:
            dmask[0, column] += slopes[j].sum()  # of at most ROWS elements
        else:
            for i in range(slopes.shape[1]):
                dmask[row + i, column] += slopes[j, i]


@body
def _attend_backward(task, tasks, shape, heads_last, inputs, results, grads, weighting, needs):
    """The backward pass for a task's heads of keys, one after the other."""
    n, heads, t, key_heads, s = shape
    group = heads // key_heads
    count, height = _parts(t, ROWS)
    scratch = _scratch(shape, inputs, weighting)
    is_long = group * count > LONG
    rows_of_keys = s if is_long else 0
    whole_dk = np.zeros((rows_of_keys if needs.k else 0, inputs.k.shape[3]), np.float64)
    whole_dv = np.zeros((rows_of_keys if needs.v else 0, inputs.v.shape[3]), np.float64)
    for item in range(*share(task, tasks, n * key_heads)):
        batch, key_head = item // key_heads, item % key_heads
        dk = _head(grads.k, heads_last.k, batch, key_head, 0, s)
        dv = _head(grads.v, heads_last.v, batch, key_head, 0, s)
        if needs.k:
            dk[:, :] = 0
        if needs.v:
            dv[:, :] = 0
        for part in range(group * count):
            if is_long and part and part % LONG == 0:
                if needs.k:
                    move(dk, whole_dk)
                if needs.v:
                    move(dv, whole_dv)
            h, row = key_head * group + part // count, part % count * height
            place = Place(batch, h, key_head, row, min(height, t - row))
            _queries_backward(
                task, place, shape, heads_last, inputs, results, grads, weighting, needs, scratch
            )
        if is_long and needs.k:
            move(whole_dk, dk)
        if is_long and needs.v:
            move(whole_dv, dv)


@body
def _scratch(shape, inputs, weighting):
    """The scratch memory of a task of the backward pass."""
    dtype, d, dv = inputs.q.dtype, inputs.q.shape[3], inputs.v.shape[3]
    height = _parts(shape.t, ROWS)[1]
    block = height * min(_most_keys(height, max(d, dv)), shape.s)
    return Scratch(
        query=np.empty(d * height, dtype),
        grad=np.empty(dv * height, dtype),
        along=np.empty(height, dtype),
        weights=np.empty(block, dtype),
        slopes=np.empty(block, dtype),
        kept=np.empty(block if weighting.least else 0, dtype),
        whole=np.empty(height * d, np.float64),
    )


@body
def _queries_backward(
    task, place, shape, heads_last, inputs, results, grads, weighting, needs, scratch
):
    """dq of a block of queries, and what it adds to the other gradients."""
    batch, h, _, row, rows = place
    q, d, dv = inputs.q, inputs.q.shape[3], inputs.v.shape[3]
    query, grad = _matrix(scratch.query, d, rows), _matrix(scratch.grad, dv, rows)
    g = _head(grads.g, heads_last.g, batch, h, row, rows)
    dq = _head(grads.q, heads_last.q, batch, h, row, rows)
    _transpose(_head(q, heads_last.q, batch, h, row, rows), q.dtype.type(weighting.scale), query)
    _transpose(g, q.dtype.type(1), grad)
    _along(g, _head(results.out, heads_last.out, batch, h, row, rows), scratch.along[:rows])
    most = _most_keys(_parts(shape.t, ROWS)[1], max(d, dv))
    visible, width = _visible_keys(weighting.causal, row + rows, shape.t, shape.s, most)
    if visible == 0 and needs.q:
        dq[:, :] = 0
    stretch, whole = LONG * width, _matrix(scratch.whole, rows, d)
    if visible > stretch:
        whole[:, :] = 0
    for key in range(0, visible, width):
        keys = min(width, visible - key)
        _block_backward(
            task, place, key, keys, shape, heads_last, inputs, results.sums, grads,
            weighting, needs, scratch,
        )  # fmt: skip
        if needs.q and visible > stretch and (key + width) % stretch == 0:
            move(dq, whole)
    if needs.q and visible > stretch:
        move(whole, dq)


@body
def _block_backward(
    task, place, key, keys, shape, heads_last, inputs, sums, grads, weighting, needs, scratch
):  # fmt: skip
    """What a block of queries and `keys` keys from `key` on add to the gradients."""
    batch, h, key_head, row, rows = place
    weights, slopes = _matrix(scratch.weights, keys, rows), _matrix(scratch.slopes, keys, rows)
    kept = _matrix(scratch.kept, keys, rows) if weighting.least else weights
    k = _head(inputs.k, heads_last.k, batch, key_head, key, keys)
    gemm(False, False, k, _matrix(scratch.query, k.shape[1], rows), weights, 0)
    _hide(weights, weighting, place, key, shape.s - shape.t)
    at = slice(row, row + rows)
    weigh(weights, sums[0, batch, h, at], sums[1, batch, h, at])
    if weighting.least:
        _draw_kept(kept, weighting, shape, place, key)
    if needs.q or needs.k or needs.mask:
        v = _head(inputs.v, heads_last.v, batch, key_head, key, keys)
        gemm(False, False, v, _matrix(scratch.grad, v.shape[1], rows), slopes, 0)
        if weighting.least:
            _multiply(slopes, kept)
        scale = 1.0 if needs.mask else weighting.scale
        differentiate(weights, slopes, scratch.along[:rows], scale)
        if needs.mask:
            dmask = _of_head(grads.masks[min(task, grads.masks.shape[0] - 1)], batch, h)
            _add_to_mask(dmask, slopes, row, key)
            flat = slopes.reshape(slopes.size)
            for i in range(flat.size):
                flat[i] *= slopes.dtype.type(weighting.scale)
        if needs.q:
            dq = _head(grads.q, heads_last.q, batch, h, row, rows)
            _mix(slopes, k, dq, min(key, 1))
        if needs.k:
            q = _head(inputs.q, heads_last.q, batch, h, row, rows)
            dk = _head(grads.k, heads_last.k, batch, key_head, key, keys)
            gemm(False, False, slopes, q, dk, 1)
    if needs.v:
        if weighting.least:
            _multiply(weights, kept)
        g = _head(grads.g, heads_last.g, batch, h, row, rows)
        gemm(False, False, weights, g, _head(grads.v, heads_last.v, batch, key_head, key, keys), 1)


@jit
def run_attention_backward(pool, shape, heads_last, inputs, results, grads, weighting, needs):
    """Fill in the gradients that are needed. The arguments are fields, as in `run_attention`."""
    shape, heads_last, weighting = Shape(*shape), HeadsLast(*heads_last), Weighting(*weighting)
    inputs, results, grads = Inputs(*inputs), Results(*results), Gradients(*grads)
    needs = Needs(*needs)
    n, heads, t, key_heads, s = shape
    work = n * heads * t * s * (inputs.q.shape[3] + inputs.v.shape[3])
    tasks = min(tasks_for(pool, work, WORTH_A_THREAD), n * key_heads)
    apart = grads.masks.shape[1] == n and grads.masks.shape[2] == heads
    if needs.mask and not apart and grads.masks.shape[0] < tasks:  # several add to one mask
        tasks = grads.masks.shape[0]
    args = shape, heads_last, inputs, results, grads, weighting, needs
    run(pool, _attend_backward, args, max(tasks, 1))
