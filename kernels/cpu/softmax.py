"""Softmax, log-softmax and cross-entropy over the last axis: see kernels/reference/softmax.py.

A row stays in the fastest cache between its passes: memory is read once and written once.
"""

import math

import numpy as np

from .. import reference
from .compile import jit
from .memory import empty
from .simd import body, full, greater, greatest, lanes, load
from .threads import pool, run, share, tasks_for
from .vector_math import exp

REAL = np.dtype(np.float32), np.dtype(np.float64)
TASK = 1 << 13  # elements that are worth a thread

SOFTMAX, LOG_SOFTMAX = range(2)


def softmax(x):
    """exp(x) / sum(exp(x))."""
    return _forward(SOFTMAX, x) if x.dtype in REAL else reference.softmax(x)


def log_softmax(x):
    """x - log(sum(exp(x)))."""
    return _forward(LOG_SOFTMAX, x) if x.dtype in REAL else reference.log_softmax(x)


def softmax_backward(g, y):
    """y (g - sum(g y))."""
    return _backward(SOFTMAX, g, y) if _alike(g, y) else reference.softmax_backward(g, y)


def log_softmax_backward(g, y):
    """g - exp(y) sum(g)."""
    return _backward(LOG_SOFTMAX, g, y) if _alike(g, y) else reference.log_softmax_backward(g, y)


def cross_entropy(logits, labels):
    """(lse - logits[label], lse) of each row."""
    if logits.dtype not in REAL:
        return reference.cross_entropy(logits, labels)
    losses = np.empty(len(logits), logits.dtype)
    lse = np.empty(len(logits), logits.dtype)
    _cross_entropy(pool(), logits, _words(labels), losses, lse)
    return losses, lse


def cross_entropy_backward(g, logits, labels, lse):
    """g (softmax(logits) - one_hot(labels))."""
    if not g.dtype is logits.dtype is lse.dtype or g.dtype not in REAL:
        return reference.cross_entropy_backward(g, logits, labels, lse)
    dlogits = empty(logits.shape, logits.dtype)
    _cross_entropy_backward(pool(), g, logits, _words(labels), lse, dlogits)
    return dlogits


def _alike(g, y):
    return g.dtype is y.dtype and g.shape == y.shape and g.dtype in REAL


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


@jit
def _tasks(pool, x):
    return max(1, min(tasks_for(pool, x.size, TASK), x.shape[0]))


@body
def _maximum(x):
    """As if there were no NaN: exp(NaN - anything) will show one."""
    size = lanes(x)
    top = x.dtype.type(-np.inf)
    whole = x.size // (2 * size) * (2 * size)
    if whole:
        a, b = full(x, top), full(x, top)
        for i in range(0, whole, 2 * size):
            a, b = greater(load(x, i), a), greater(load(x, i + size), b)
        top = greatest(greater(a, b))
    for i in range(whole, x.size):
        top = x[i] if x[i] > top else top
    return top


@jit
def _peak(x):
    """The maximum, to be subtracted before exp; 0 of a row that is -inf."""
    top = _maximum(x)
    return x.dtype.type(0) if top == -np.inf else top


@jit
def _exponentials(x, peak, y):
    """y = exp(x - peak); returns the sum, 1 for a row that is -inf."""
    total = x.dtype.type(0)
    for i in range(x.size):
        e = exp(x[i] - peak)
        y[i] = e
        total += e
    return total if total != 0 else x.dtype.type(1)


@jit
def _sum_of_exponentials(x, peak):
    total = x.dtype.type(0)
    for i in range(x.size):
        total += exp(x[i] - peak)
    return total if total != 0 else x.dtype.type(1)


@jit
def _softmax(pool, code, x, y):
    run(pool, _softmax_part, (code, x, y), _tasks(pool, x))


@jit
def _softmax_part(task, tasks, code, x, y):
    lo, hi = share(task, tasks, x.shape[0])
    one = x.dtype.type(1)
    for r in range(lo, hi):
        row, to = x[r], y[r]
        peak = _peak(row)
        if code == SOFTMAX:
            scale = one / _exponentials(row, peak, to)
            for i in range(to.size):
                to[i] *= scale
        else:
            log_total = x.dtype.type(math.log(_sum_of_exponentials(row, peak)))
            for i in range(to.size):
                to[i] = (row[i] - peak) - log_total


@jit
def _softmax_backward(pool, code, g, y, dx):
    run(pool, _softmax_backward_part, (code, g, y, dx), _tasks(pool, y))


@jit
def _softmax_backward_part(task, tasks, code, g, y, dx):
    lo, hi = share(task, tasks, y.shape[0])
    for r in range(lo, hi):
        a, b, to = g[r], y[r], dx[r]
        total = y.dtype.type(0)
        if code == SOFTMAX:
            for i in range(a.size):
                total += a[i] * b[i]
            for i in range(a.size):
                to[i] = b[i] * (a[i] - total)
        else:
            for i in range(a.size):
                total += a[i]
            for i in range(a.size):
                to[i] = a[i] - exp(b[i]) * total


@jit
def _cross_entropy(pool, logits, labels, losses, lse):
    run(pool, _cross_entropy_part, (logits, labels, losses, lse), _tasks(pool, logits))


@jit
def _cross_entropy_part(task, tasks, logits, labels, losses, lse):
    lo, hi = share(task, tasks, logits.shape[0])
    for r in range(lo, hi):
        row = logits[r]
        peak = _peak(row)
        log_total = logits.dtype.type(math.log(_sum_of_exponentials(row, peak)))
        lse[r] = peak + log_total
        losses[r] = log_total - (row[labels[r]] - peak)


@jit
def _cross_entropy_backward(pool, g, logits, labels, lse, dlogits):
    tasks = _tasks(pool, logits)
    run(pool, _cross_entropy_backward_part, (g, logits, labels, lse, dlogits), tasks)


@jit
def _cross_entropy_backward_part(task, tasks, g, logits, labels, lse, dlogits):
    lo, hi = share(task, tasks, logits.shape[0])
    for r in range(lo, hi):
        row, to = logits[r], dlogits[r]
        for i in range(row.size):
            to[i] = g[r] * exp(row[i] - lse[r])
        to[labels[r]] = g[r] * (exp(row[labels[r]] - lse[r]) - logits.dtype.type(1))
