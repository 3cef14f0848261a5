"""Windows added up in images, see kernels/reference/patches.py: plane by plane, in the cache."""

from .machine.compile import jit
from .machine.kernel import kernel
from .machine.memory import empty
from .machine.simd import inside
from .machine.threads import pool, run, share, tasks_for

SMALL = 1 << 12  # elements, up to which NumPy is quick enough and needs no compiler
TASK = 1 << 14  # elements that are worth a thread


@kernel("g", half=True)
def join_windows(g, size, stride, dilation):
    """Images of this size in which the windows are added up."""
    if g.size <= SMALL:
        return NotImplemented
    n, c, kh, kw, rows, columns = g.shape
    y = empty((n, c, *size), g.dtype)
    planes = y.reshape(n * c, *size)
    _join(pool(), g.reshape(n * c, kh, kw, rows, columns), planes, stride, dilation)
    return y


@jit
def _join(pool, g, y, stride, dilation):
    tasks = max(1, min(tasks_for(pool, g.size, TASK), y.shape[0]))
    run(pool, _join_part, (g, y, stride, dilation), tasks)


@jit
def _join_part(task, tasks, g, y, stride, dilation):
    _, kh, kw, rows, _ = g.shape
    for plane in range(*share(task, tasks, y.shape[0])):
        y[plane] = 0
        for i in range(kh):
            for j in range(kw):
                for p in range(rows):
                    row = y[plane, p * stride[0] + i * dilation[0], j * dilation[1] :]
                    _add_apart(row, g[plane, i, j, p], stride[1])


@inside
def _add_apart(row, new, step):
    """Add elements to every step-th one of a row."""
    if step == 1:
        part = row[: new.size]
        for q in range(part.size):
            part[q] += new[q]
    else:
        for q in range(new.size):
            row[q * step] += new[q]
