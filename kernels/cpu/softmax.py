"""Softmax, log-softmax and cross-entropy over the last axis: see kernels/reference/softmax.py.

A row stays in the fastest cache between its passes: memory is read once and written once.
"""

import math

import numpy as np

from .machine.compile import jit
from .machine.fetch import ahead_of, prefetch
from .machine.kernel import kernel
from .machine.memory import empty
from .machine.simd import (
    body,
    first_lanes,
    full,
    greater,
    greatest,
    inlined,
    inside,
    lanes,
    load,
    load_first,
    load_some,
    store,
    store_some,
)
from .machine.simd import total as sum_of
from .machine.threads import pool, run, share, tasks_for
from .math.each import by_array
from .math.lookup import exp2
from .math.sums import RUN, sum_of_products, sum_of_row
from .math.vector_math import exp, exp_of_difference, minus

TASK = 1 << 13  # elements that are worth a thread
FEW = 32  # the same where the compiler may add them one after the other
LOG2_E = np.float32(1 / math.log(2))

SOFTMAX, LOG_SOFTMAX = range(2)


@kernel("x")
def softmax(x):
    """exp(x) / sum(exp(x))."""
    return _forward(SOFTMAX, x)


@kernel("x")
def log_softmax(x):
    """x - log(sum(exp(x)))."""
    return _forward(LOG_SOFTMAX, x)


@kernel("g y", alike=True)
def softmax_backward(g, y):
    """y (g - sum(g y))."""
    return _backward(SOFTMAX, g, y)


@kernel("g y", alike=True)
def log_softmax_backward(g, y):
    """g - exp(y) sum(g)."""
    return _backward(LOG_SOFTMAX, g, y)


@kernel("logits", others="labels")
def cross_entropy(logits, labels):
    """(logsumexp - logits[label], (peak, total)) of each row."""
    losses = np.empty(len(logits), logits.dtype)
    sums = np.empty((2, len(logits)), logits.dtype)
    _cross_entropy(pool(), logits, _words(labels), losses, sums)
    return losses, sums


@kernel("g logits sums", others="labels")
def cross_entropy_backward(g, logits, labels, sums):
    """g (softmax(logits) - one_hot(labels))."""
    dlogits = empty(logits.shape, logits.dtype)
    _cross_entropy_backward(pool(), g, logits, _words(labels), sums, dlogits)
    return dlogits


def _words(labels):
    return labels.astype(np.int64, copy=False)


def _rows(x):
    return x.reshape(x.size // max(1, x.shape[-1]), x.shape[-1])


def _forward(code, x):
    y = empty(x.shape, x.dtype)
    _softmax(pool(), code, _rows(x), _rows(y))
    return y


def _backward(code, g, y):
    dx = empty(y.shape, y.dtype)
    _softmax_backward(pool(), code, _rows(g), _rows(y), _rows(dx))
    return dx


@body
def _tasks(pool, x):
    return max(1, min(tasks_for(pool, x.size, TASK), x.shape[0]))


# Rows are passed as (x, r), not as x[r]: threads that count references to one array hinder each
# other. Vector instructions index x as if it were flat.


@body
def _peak(x, r):
    """The maximum of a row, to be subtracted before exp; 0 for a row of -inf.

    NaN is passed over here: exp(NaN - peak) is NaN for any peak.
    """
    size, n = lanes(x), x.shape[1]
    top = x.dtype.type(-np.inf)
    start, whole = r * n, n // (2 * size) * (2 * size)
    if whole:
        a, b = full(x, top), full(x, top)
        for i in range(start, start + whole, 2 * size):
            a, b = greater(load(x, i), a), greater(load(x, i + size), b)
        top = greatest(greater(a, b))
    for i in range(whole, n):
        top = x[r, i] if x[r, i] > top else top
    return x.dtype.type(0) if top == -np.inf else top


@inside
def _greatest_or_zero(x, tops):
    """The greatest element of a vector; 0 for -inf."""
    top = greatest(tops)
    return x.dtype.type(0) if top == -np.inf else top


@inlined
def _or_one(x, total):
    """A sum of exponentials to divide by: 1 for a row of -inf."""
    return total if total != 0 else x.dtype.type(1)


@body
def _softmax_by_number(x, r, peak, y, ahead):
    one, n, whole = x.dtype.type(1), x.shape[1], 0.0
    for start in range(0, n, FEW):
        total = x.dtype.type(0)
        for i in range(start, min(start + FEW, n)):
            e = exp(x[r, i] - peak)
            y[r, i] = e
            total += e
        whole += total
    factor = one / _or_one(x, x.dtype.type(whole))
    for i in range(n):
        y[r, i] *= factor
    return _peak(x, ahead)


@body
def _softmax_by_vector(x, r, peak, y, ahead):
    one, total = x.dtype.type(1), full(x, x.dtype.type(0))
    last, tops = total, full(x, x.dtype.type(-np.inf))
    size, n = lanes(x), x.shape[1]
    start, rest, away = r * n, n % size, (ahead - r) * n
    end, far, whole = start + n - rest, ahead_of(x), 0.0
    for run_of in range(start, end, RUN):
        if run_of > start:
            whole += sum_of(total)
            total = full(x, x.dtype.type(0))
        for i in range(run_of, min(run_of + RUN, end), size):
            if far:
                prefetch(x, i + away + far)
                prefetch(y, i + far)
            e = exp_of_difference(load(x, i) - peak)
            store(y, i, e)
            total = total + e
            tops = greater(load(x, i + away), tops)
    if rest:
        last = first_lanes(exp_of_difference(load_some(x, end, 0, rest) - peak), rest)
        tops = greater(load_first(x, end + away, rest, tops), tops)
    factor = one / _or_one(x, x.dtype.type(whole + sum_of(total + last)))
    for i in range(start, end, size):
        store(y, i, factor * load(y, i))
    if rest:
        store_some(y, end, factor * last, 0, rest)
    return _greatest_or_zero(x, tops)


@body
def _scaled_by_number(x, r, shift, factor, y):
    for i in range(x.shape[1]):
        y[r, i] = factor * exp(x[r, i] - shift)


@body
def _scaled_by_vector(x, r, shift, factor, y):
    size, n = lanes(x), x.shape[1]
    start, rest = r * n, n % size
    end = start + n - rest
    for i in range(start, end, size):
        store(y, i, factor * exp_of_difference(load(x, i) - shift))
    if rest:
        e = exp_of_difference(load_some(x, end, 0, rest) - shift)
        store_some(y, end, factor * e, 0, rest)


@body
def _sum_by_number(x, r, peak, ahead, far):
    n, whole = x.shape[1], 0.0
    for start in range(0, n, FEW):
        total = x.dtype.type(0)
        for i in range(start, min(start + FEW, n)):
            total += exp(x[r, i] - peak)
        whole += total
    return x.dtype.type(whole), _peak(x, ahead)


@body
def _sum_by_vector(x, r, peak, ahead, far):
    size, n, total = lanes(x), x.shape[1], full(x, x.dtype.type(0))
    start, rest, away = r * n, n % size, (ahead - r) * n
    end, tops, whole = start + n - rest, full(x, x.dtype.type(-np.inf)), 0.0
    # exp2 takes fewer steps than exp. Its argument is rounded, which costs small terms only digits
    # that are lost beside the peak's term, 1.
    for run_of in range(start, end, RUN):
        if run_of > start:
            whole += sum_of(total)
            total = full(x, x.dtype.type(0))
        for i in range(run_of, min(run_of + RUN, end), size):
            if far:
                prefetch(x, i + away + far)
            total = total + exp2((load(x, i) - peak) * LOG2_E)
            tops = greater(load(x, i + away), tops)
    if rest:
        terms = exp2((load_some(x, end, 0, rest) - peak) * LOG2_E)
        total = total + first_lanes(terms, rest)
        tops = greater(load_first(x, end + away, rest, tops), tops)
    return x.dtype.type(whole + sum_of(total)), _greatest_or_zero(x, tops)


# For a row: y = softmax(x), y = factor exp(x - shift), and the sum of exp(x - peak). The first and
# the last also return the peak of a row ahead, which is thus loaded during arithmetic. It is the
# second row ahead, so that the next row need not wait for its peak.
_softmax_of = by_array(_softmax_by_number, _softmax_by_vector)
_scaled_exponentials = by_array(_scaled_by_number, _scaled_by_vector)
_sum_of_exponentials = by_array(_sum_by_number, _sum_by_vector)


@jit
def _softmax(pool, code, x, y):
    run(pool, _softmax_part, (code, x, y), _tasks(pool, x))


@body
def _softmax_part(task, tasks, code, x, y):
    lo, hi = share(task, tasks, x.shape[0])
    if lo == hi:
        return
    peak, coming = _peak(x, lo), _peak(x, min(lo + 1, hi - 1))
    for r in range(lo, hi):
        shift, peak, ahead = peak, coming, min(r + 2, hi - 1)
        if code == SOFTMAX:
            coming = _softmax_of(x, r, shift, y, ahead)
        else:
            total, coming = _sum_of_exponentials(x, r, shift, ahead, 0)
            log_total = x.dtype.type(math.log(_or_one(x, total)))
            for i in range(x.shape[1]):
                y[r, i] = minus(minus(x[r, i], shift), log_total)


@jit
def _softmax_backward(pool, code, g, y, dx):
    run(pool, _softmax_backward_part, (code, g, y, dx), _tasks(pool, y))


@body
def _softmax_backward_part(task, tasks, code, g, y, dx):
    lo, hi = share(task, tasks, y.shape[0])
    for r in range(lo, hi):
        if code == SOFTMAX:
            total = y.dtype.type(sum_of_products(g[r], y[r]))
            for i in range(y.shape[1]):
                dx[r, i] = y[r, i] * (g[r, i] - total)
        else:
            total = y.dtype.type(sum_of_row(g[r]))
            _scaled_exponentials(y, r, y.dtype.type(0), -total, dx)
            for i in range(y.shape[1]):
                dx[r, i] += g[r, i]


@jit
def _cross_entropy(pool, logits, labels, losses, sums):
    run(pool, _cross_entropy_part, (logits, labels, losses, sums), _tasks(pool, logits))


@body
def _cross_entropy_part(task, tasks, logits, labels, losses, sums):
    lo, hi = share(task, tasks, logits.shape[0])
    if lo == hi:
        return
    far = ahead_of(logits)
    peak, coming = _peak(logits, lo), _peak(logits, min(lo + 1, hi - 1))
    for r in range(lo, hi):
        shift, peak = peak, coming
        total, coming = _sum_of_exponentials(logits, r, shift, min(r + 2, hi - 1), far)
        total = _or_one(logits, total)
        sums[0, r], sums[1, r] = shift, total
        log_total = logits.dtype.type(math.log(total))
        losses[r] = minus(log_total, minus(logits[r, labels[r]], shift))


@jit
def _cross_entropy_backward(pool, g, logits, labels, sums, dlogits):
    tasks = _tasks(pool, logits)
    run(pool, _cross_entropy_backward_part, (g, logits, labels, sums, dlogits), tasks)


@body
def _cross_entropy_backward_part(task, tasks, g, logits, labels, sums, dlogits):
    lo, hi = share(task, tasks, logits.shape[0])
    for r in range(lo, hi):
        peak, total, label = sums[0, r], sums[1, r], labels[r]
        factor = g[r] / total
        _scaled_exponentials(logits, r, peak, factor, dlogits)
        dlogits[r, label] = factor * minus(exp(minus(logits[r, label], peak)), total)
