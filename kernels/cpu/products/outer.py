"""Outer products of stacks of vectors: far more is written than read or computed."""

from ..machine.compile import jit
from ..machine.memory import empty
from ..machine.past_caches import fence, store_past
from ..machine.simd import REGISTER_BYTES, body, lanes, load, splat, store
from ..machine.threads import pool, run, share, tasks_for

TASK = 1 << 15  # elements that are worth a thread
FAR = 1 << 24  # bytes of a result that caches would not keep until it is read


def outer(x, y):
    """x[..., m, None] * y[..., None, n], C-contiguous arrays of one dtype, as a new array."""
    (*stack, m), n = x.shape, y.shape[-1]
    c = empty((*stack, m, n), x.dtype)
    aligned = not (c.ctypes.data | n * c.itemsize) % REGISTER_BYTES
    _outer(pool(), x.reshape(-1), y.reshape(-1), c.reshape(-1, n), m, aligned and c.nbytes > FAR)
    return c


@jit
def _outer(pool, x, y, c, m, past):
    run(pool, _outer_part, (x, y, c, m, past), tasks_for(pool, c.size, TASK))


@body
def _outer_part(task, tasks, x, y, c, m, past):
    """Some rows of c; `past` the caches if so, which spares reading c before it is written."""
    rows, n = c.shape
    size = lanes(c)
    whole = n // size * size
    for row in range(*share(task, tasks, rows)):
        first, line, factor = row // m * n, c[row], splat(x, row)
        if past:
            for i in range(0, whole, size):
                store_past(line, i, factor * load(y, first + i))
        else:
            for i in range(0, whole, size):
                store(line, i, factor * load(y, first + i))
            for i in range(whole, n):
                line[i] = x[row] * y[first + i]
    if past:
        fence()
