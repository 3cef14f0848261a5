"""Matrix products on all threads: see kernels/reference/linalg.py. Any strides are welcome."""

import numpy as np

from .. import reference
from .compile import jit
from .half import all_half, by_single
from .memory import empty
from .packed_gemm import packed_gemm, rooms
from .simd import body, lanes
from .threads import num_threads, pool, run, share, tasks_for, threads_of

# Multiply-adds up to which NumPy's BLAS is called: it stays on one thread there, and starts sooner.
SMALL = 1 << 18
LITTLE = 1 << 14  # multiply-adds of one of a stack of products, below which packing costs too much
LONG = 1 << 15  # products that are added up in their own precision: these sums are in float64
TASK = 1 << 19  # multiply-adds that are worth a thread
REAL = np.dtype(np.float32), np.dtype(np.float64)


def matmul(a, b):
    """a @ b."""
    is_long = a.shape[-1] > LONG
    if a.ndim == b.ndim == 2 and a.itemsize > 2 and a.size * b.shape[1] <= SMALL and not is_long:
        return a.dot(b)  # starts sooner than np.matmul
    if a.dtype.char == "e" and all_half(a, b):
        return by_single(matmul, a, b)
    if is_long and a.dtype is b.dtype and a.dtype in REAL and max(a.ndim, b.ndim) <= 2:
        return _matmul_long(a, b)
    if a.ndim == 2 and a.size * b.shape[-1] <= SMALL:
        return np.matmul(a, b)
    if a.dtype is not b.dtype or a.dtype not in REAL or min(a.ndim, b.ndim) < 2:
        return np.matmul(a, b)
    if b.ndim == 2 < a.ndim and a.size and a.flags.c_contiguous:  # one product of the whole batch
        return matmul(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    if a.size * b.shape[-1] <= SMALL:
        return np.matmul(a, b)
    if a.ndim == 2 and b.ndim == 2:
        c = empty((a.shape[0], b.shape[1]), a.dtype)
        _matmul(
            pool(), *_plain(a), *_plain(b), np.empty(0, c.dtype), c, rooms(num_threads(), c.dtype)
        )
        return c
    if a.shape[:-2] != b.shape[:-2] or a.shape[-2] * a.shape[-1] * b.shape[-1] < LITTLE:
        return np.matmul(a, b)
    c = empty((*a.shape[:-1], b.shape[-1]), a.dtype)
    _batched(pool(), *_stack(a), *_stack(b), *_stack(c)[1:], rooms(num_threads(), c.dtype))
    return c


def _matmul_long(a, b):
    """a @ b for long rows of a: the sum of the products of pieces, in float64."""
    total = np.zeros(a.shape[:-1] + b.shape[1:])
    for start in range(0, len(b), LONG):
        total += matmul(a[..., start : start + LONG], b[start : start + LONG])
    return total.astype(a.dtype)


def linear(x, weight, bias):
    """x weight + bias."""
    if all_half(x, weight, bias):
        return by_single(linear, x, weight, bias)
    same = x.dtype is weight.dtype and x.dtype is bias.dtype and x.dtype in REAL
    if not same or x.size * weight.shape[1] <= SMALL:
        return reference.linear(x, weight, bias)
    y = empty((x.shape[0], weight.shape[1]), x.dtype)
    bias = np.ascontiguousarray(bias)
    _matmul(pool(), *_plain(x), *_plain(weight), bias, y, rooms(num_threads(), y.dtype))
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
def _tasks(pool, work, rooms):
    """One task for each thread, since every task packs an operand anew."""
    threads = min(threads_of(pool), len(rooms))
    return threads if work >= threads * TASK else 1


@jit
def _matmul(pool, ta, a, tb, b, bias, c, rooms):
    args = ta, a, tb, b, bias, c, rooms
    run(pool, _matmul_part, args, _tasks(pool, a.size * c.shape[1], rooms))


@body
def _matmul_part(task, tasks, ta, a, tb, b, bias, c, rooms):
    """Some rows of c, or some columns, whichever are more."""
    (m, n), size = c.shape, lanes(c)
    top, bottom, left, right = 0, m, 0, n
    if m >= n:
        top, bottom = share(task, tasks, m)
    else:
        first, last = share(task, tasks, (n + size - 1) // size)
        left, right = first * size, min(last * size, n)
    packed_gemm(ta, a, tb, b, bias, c, top, bottom, left, right, rooms[task])


@jit
def _batched(pool, ta, a, tb, b, c, rooms):
    tasks = min(tasks_for(pool, a.size * c.shape[2], TASK), len(rooms))
    run(pool, _batched_part, (ta, a, tb, b, c, rooms), tasks)


@body
def _batched_part(task, tasks, ta, a, tb, b, c, rooms):
    none = np.empty(0, c.dtype)
    lo, hi = share(task, tasks, c.shape[0])
    for i in range(lo, hi):
        m, n = c[i].shape
        packed_gemm(ta, a[i], tb, b[i], none, c[i], 0, m, 0, n, rooms[task])
