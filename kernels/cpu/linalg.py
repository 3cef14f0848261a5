"""Matrix products on all threads: see kernels/reference/linalg.py. Any strides are welcome."""

import numpy as np

from .. import reference
from .compile import jit
from .gemm import gemm
from .memory import empty
from .threads import pool, run, share, tasks_for, threads_of

# Multiply-adds up to which NumPy's BLAS is called: it stays on one thread there, and starts sooner.
SMALL = 1 << 18
TASK = 1 << 19  # multiply-adds that are worth a thread
REAL = np.dtype(np.float32), np.dtype(np.float64)


def matmul(a, b):
    """a @ b."""
    if a.ndim == 2 and a.size * b.shape[-1] <= SMALL:
        return np.matmul(a, b)
    if a.dtype is not b.dtype or a.dtype not in REAL or min(a.ndim, b.ndim) < 2:
        return np.matmul(a, b)
    if b.ndim == 2 and a.ndim > 2 and a.flags.c_contiguous:  # one product over the whole batch
        return matmul(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    if a.size * b.shape[-1] <= SMALL:
        return np.matmul(a, b)
    if a.ndim == 2 and b.ndim == 2:
        c = empty((a.shape[0], b.shape[1]), a.dtype)
        _matmul(pool(), *_plain(a), *_plain(b), c)
        return c
    if a.shape[:-2] != b.shape[:-2]:
        return np.matmul(a, b)
    c = empty((*a.shape[:-1], b.shape[-1]), a.dtype)
    _batched(pool(), *_stack(a), *_stack(b), *_stack(c)[1:])
    return c


def linear(x, weight, bias):
    """x weight + bias."""
    same = x.dtype is weight.dtype and x.dtype is bias.dtype and x.dtype in REAL
    if not same or x.size * weight.shape[1] <= SMALL:
        return reference.linear(x, weight, bias)
    y = empty((x.shape[0], weight.shape[1]), x.dtype)
    _linear(pool(), *_plain(x), *_plain(weight), np.ascontiguousarray(bias), y)
    return y


def _plain(a):
    """(whether it is transposed, a C-contiguous matrix), copied only if it is neither."""
    if a.flags.c_contiguous:
        return False, a
    if a.flags.f_contiguous:
        return True, a.T
    return False, np.ascontiguousarray(a)


def _stack(a):
    """(whether each is transposed, C-contiguous matrices along one axis)."""
    swapped = a.swapaxes(-1, -2)
    transposed = not a.flags.c_contiguous and swapped.flags.c_contiguous
    a = swapped if transposed else a
    return transposed, np.ascontiguousarray(a).reshape(-1, *a.shape[-2:])


@jit
def _tasks(pool, work):
    """One task for each thread, since every task packs an operand anew."""
    threads = threads_of(pool)
    return threads if work >= threads * TASK else 1


@jit
def _matmul(pool, ta, a, tb, b, c):
    run(pool, _matmul_part, (ta, a, tb, b, c, 0), _tasks(pool, a.size * c.shape[1]))


@jit
def _linear(pool, ta, a, tb, b, bias, c):
    run(pool, _linear_part, (ta, a, tb, b, bias, c), _tasks(pool, a.size * c.shape[1]))


@jit
def _matmul_part(task, tasks, ta, a, tb, b, c, beta):
    """Some rows of c, or some columns, whichever are more."""
    m, n = c.shape
    if m >= n:
        lo, hi = share(task, tasks, m)
        gemm(ta, tb, a[:, lo:hi] if ta else a[lo:hi, :], b, c[lo:hi, :], beta)
    else:
        lo, hi = share(task, tasks, n)
        gemm(ta, tb, a, b[lo:hi, :] if tb else b[:, lo:hi], c[:, lo:hi], beta)


@jit
def _linear_part(task, tasks, ta, a, tb, b, bias, c):
    """BLAS fills its result with zeros first: with the bias it is no more work."""
    m, n = c.shape
    if m >= n:
        lo, hi = share(task, tasks, m)
        for i in range(lo, hi):
            c[i] = bias
    else:
        lo, hi = share(task, tasks, n)
        for i in range(m):
            c[i, lo:hi] = bias[lo:hi]
    _matmul_part(task, tasks, ta, a, tb, b, c, 1)


@jit
def _batched(pool, ta, a, tb, b, c):
    run(pool, _batched_part, (ta, a, tb, b, c), tasks_for(pool, a.size * c.shape[2], TASK))


@jit
def _batched_part(task, tasks, ta, a, tb, b, c):
    lo, hi = share(task, tasks, c.shape[0])
    for i in range(lo, hi):
        gemm(ta, tb, a[i], b[i], c[i], 0)
