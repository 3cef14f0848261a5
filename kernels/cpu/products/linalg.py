"""Matrix products on all threads, of arrays of any strides: see kernels/reference/linalg.py."""

import numpy as np

from ..machine.compile import jit
from ..machine.kernel import kernel
from ..machine.memory import empty, writable
from ..machine.simd import body, inside, lanes
from ..machine.threads import num_threads, pool, run, share, tasks_for, threads_of
from .outer import outer
from .packed_gemm import keep_rooms, packed_gemm, rooms

# Up to this many multiply-adds NumPy's BLAS is called: it uses one thread then, and starts sooner.
SMALL = 1 << 18
FEW_OUTER = 1 << 16  # elements of outer products up to which NumPy's product is as fast
LITTLE = 1 << 14  # multiply-adds of each product of a stack, below which packing costs too much
TASK = 1 << 19  # multiply-adds that are worth a thread

# BLAS may add up a whole sum one product after the other, in the precision of the matrices, so it
# gets no sums of more than SHORT products. A result of up to NARROW elements is added up in float64
# if its sums have more than FEW products: that takes no longer, and is more precise.
FEW, SHORT = 128, 512
NARROW = 16
RUN = 256  # products of a narrow result's sum that are added up at a time
PIECE = 1 << 14  # products of a narrow result's sum that one task adds up


@kernel("a b", any_layout=True, half=True)
def matmul(a, b):
    """a @ b."""
    if a.ndim == b.ndim == 2:
        terms = len(b)
        if terms <= FEW and a.size * b.size <= SMALL * terms:
            return a.dot(b) if b.size > terms else _of_blas(a, b)  # starts sooner than np.matmul
        if a.shape[1] == b.shape[0]:
            return _matrix(a, b)
    if not _fit(a, b):
        return NotImplemented
    if min(a.ndim, b.ndim) < 2:
        if a.shape[-1] <= FEW:
            return _of_blas(a, b)
        return matmul(a, b[:, None])[..., 0] if b.ndim == 1 else matmul(a[None], b)[..., 0, :]
    if b.ndim == 2 and a.size and a.flags.c_contiguous:  # one product of the whole batch
        return matmul(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    return _stacks(a, b)


@kernel("x weight bias", any_layout=True, half=True)
def linear(x, weight, bias):
    """x weight + bias."""
    fits = x.shape[1] == weight.shape[0] and bias.shape == weight.shape[1:]
    return _matrix(x, weight, bias) if fits else NotImplemented


def _fit(a, b):
    """Whether a and b can be multiplied and are not empty; if not, NumPy says what is wrong."""
    return a.size and b.size and a.ndim and b.ndim and a.shape[-1] == b.shape[-2:][0]


def _of_blas(a, b):
    """a @ b by NumPy.

    For a column OpenBLAS computes with lanes that it never set, and drops them. What happens to lie
    there may look like an invalid operation to NumPy, which would warn of it.
    """
    with np.errstate(invalid="ignore"):
        return np.matmul(a, b)


def _matrix(a, b, bias=None):
    """a @ b + bias for matrices of one dtype, float32 or float64."""
    (m, k), n = a.shape, b.shape[1]
    work = m * k * n
    if 0 < m * n <= NARROW and k > FEW:
        c = np.empty((m, n), a.dtype)
        _narrow(pool(), *_stack(a), *_stack(b), c[None])
    elif work <= SMALL and (k <= SHORT or not work):
        c = a.dot(b) if n > 1 else _of_blas(a, b)
    else:
        c = empty((m, n), a.dtype)
        ends = np.empty(0, c.dtype) if bias is None else writable(np.ascontiguousarray(bias))
        room = rooms(num_threads(), c.dtype)
        _matmul(pool(), *_plain(a), *_plain(b), ends, c, room)
        keep_rooms(room)
        return c
    if bias is not None:
        c += bias
    return c


def _stacks(a, b):
    """a @ b for stacks of matrices of one dtype, float32 or float64."""
    (m, k), n = a.shape[-2:], b.shape[-1]
    if k == 1:
        if a.shape[:-2] != b.shape[:-2] or a.size * n <= FEW_OUTER:
            return a * b
        vectors = a[..., 0], b[..., 0, :]
        return outer(*(writable(np.ascontiguousarray(x)) for x in vectors))
    narrow, alike = 0 < m * n <= NARROW and k > FEW, a.shape[:-2] == b.shape[:-2]
    if k <= SHORT and not narrow and not (alike and a.size * n > SMALL and m * k * n >= LITTLE):
        return np.matmul(a, b) if n > 1 else _of_blas(a, b)
    if not alike:
        stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        c = empty((*stack, m, n), a.dtype)
        a, b = np.broadcast_to(a, (*stack, m, k)), np.broadcast_to(b, (*stack, k, n))
        for i in np.ndindex(stack):
            c[i] = matmul(a[i], b[i])
        return c
    c = empty((*a.shape[:-1], n), a.dtype)
    if narrow:
        _narrow(pool(), *_stack(a), *_stack(b), *_stack(c)[1:])
    else:
        room = rooms(num_threads(), c.dtype)
        _batched(pool(), *_stack(a), *_stack(b), *_stack(c)[1:], room)
        keep_rooms(room)
    return c


def _plain(a):
    """(transposed, a C-contiguous matrix): a or, if `transposed`, a^T; copied if neither is."""
    flags = a.flags
    if not flags.writeable:
        a = writable(a)
    if flags.c_contiguous:
        return False, a
    return (True, a.T) if flags.f_contiguous else (False, np.ascontiguousarray(a))


def _stack(a):
    """(transposed, C-contiguous matrices along one axis), as `_plain` for each of a stack."""
    swapped = a.swapaxes(-1, -2)
    transposed = not a.flags.c_contiguous and swapped.flags.c_contiguous
    a = swapped if transposed else a
    return transposed, writable(np.ascontiguousarray(a)).reshape(-1, *a.shape[-2:])


@body
def _tasks(pool, work, rooms):
    """How many tasks: at most one for each thread, since every task packs an operand anew."""
    threads = min(threads_of(pool), len(rooms))
    return threads if work >= threads * TASK else 1


@jit
def _matmul(pool, ta, a, tb, b, bias, c, rooms):
    """c = op(a) @ op(b) + bias, for the flags and arguments of packed_gemm."""
    args = ta, a, tb, b, bias, c, rooms
    run(pool, _matmul_part, args, _tasks(pool, a.size * c.shape[1], rooms))


@body
def _matmul_part(task, tasks, ta, a, tb, b, bias, c, rooms):
    """Some rows of c, or some columns if c has more of these."""
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
    """c[i] = op(a[i]) @ op(b[i])."""
    tasks = min(tasks_for(pool, a.size * c.shape[2], TASK), len(rooms))
    run(pool, _batched_part, (ta, a, tb, b, c, rooms), tasks)


@body
def _batched_part(task, tasks, ta, a, tb, b, c, rooms):
    none = np.empty(0, c.dtype)
    lo, hi = share(task, tasks, c.shape[0])
    for i in range(lo, hi):
        m, n = c[i].shape
        packed_gemm(ta, a[i], tb, b[i], none, c[i], 0, m, 0, n, rooms[task])


@jit
def _narrow(pool, ta, a, tb, b, c):
    """c[i] = op(a[i]) @ op(b[i]) for small c[i] and long sums, which tasks divide among them."""
    k = a.shape[1] if ta else a.shape[2]
    pieces = (k + PIECE - 1) // PIECE
    parts = np.zeros((pieces, *c.shape))
    tasks = min(tasks_for(pool, c.size * k, TASK), pieces * c.shape[0])
    run(pool, _narrow_part, (ta, a, tb, b, parts), tasks)
    sums = parts[0]
    for part in parts[1:]:
        sums += part
    c[:] = sums


@body
def _narrow_part(task, tasks, ta, a, tb, b, parts):
    """Some pieces of some products, for which runs of both matrices are copied to float64."""
    pieces, count, m, n = parts.shape
    k = a.shape[1] if ta else a.shape[2]
    rows, columns = np.empty((m, RUN)), np.empty((n, RUN))
    for item in range(*share(task, tasks, pieces * count)):
        piece, i = item % pieces, item // pieces
        end = min((piece + 1) * PIECE, k)
        for first in range(piece * PIECE, end, RUN):
            steps = min(RUN, end - first)
            _copy_run(not ta, a[i], first, rows[:, :steps])
            _copy_run(tb, b[i], first, columns[:, :steps])
            for r in range(m):
                for j in range(n):
                    row, column, total = rows[r, :steps], columns[j, :steps], 0.0
                    for s in range(steps):
                        total += row[s] * column[s]
                    parts[piece, i, r, j] += total


@inside
def _copy_run(along, matrix, first, to):
    """to[r, s] = matrix[r, first + s] if `along`, else matrix[first + s, r]."""
    count, steps = to.shape
    if along:
        for r in range(count):
            for s in range(steps):
                to[r, s] = matrix[r, first + s]
    else:
        for r in range(count):
            for s in range(steps):
                to[r, s] = matrix[first + s, r]
