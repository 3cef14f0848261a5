"""Resampling along an axis, see kernels/reference/resample.py.

Along the last axis a task takes whole rows, and a loop over their outputs gathers. Along another
one it takes outputs, each of which is a weighted sum of rows that are contiguous. Few terms are
added up in the dtype of x, many in float64.
"""

import numpy as np

from ..machine.compile import jit
from ..machine.kernel import kernel
from ..machine.memory import empty
from ..machine.simd import body, inlined
from ..machine.threads import pool, run, share, tasks_for

TASK = 1 << 13  # products that are worth a thread
FEW = 8  # terms of an output that are added up in the dtype of x
SMALL = 1 << 12  # products, below which NumPy is as fast and needs no compiler


@kernel("x", half=True)
def resample(x, starts, places, weights):
    """x (outer, n, inner) -> y (outer, outputs, inner)."""
    outer, _, inner = x.shape
    if outer * inner * places.size < SMALL:
        return NotImplemented
    y = empty((outer, starts.size - 1, inner), x.dtype)
    longest = int(np.diff(starts).max(initial=0))
    _resample(pool(), x, y, starts, places, weights.astype(x.dtype), longest)
    return y


@jit
def _resample(pool, x, y, starts, places, weights, longest):
    outer, outputs, inner = y.shape
    tasks = tasks_for(pool, outer * inner * max(places.size, outputs), TASK)
    items = outer if inner == 1 else outer * outputs
    tasks = max(1, min(tasks, items))
    run(pool, _resample_part, (x, y, starts, places, weights, longest), tasks)


@body
def _resample_part(task, tasks, x, y, starts, places, weights, longest):
    outer, outputs, inner = y.shape
    if inner == 1:
        lo, hi = share(task, tasks, outer)
        for a in range(lo, hi):
            row, out = x[a].reshape(x.shape[1]), y[a].reshape(outputs)
            if longest == 1 and places.size == outputs:
                _singles(row, out, places, weights)
            elif longest == 2 and places.size == 2 * outputs:
                _pairs(row, out, places, weights)
            else:
                _gathered(row, out, starts, places, weights)
        return
    sums = np.empty(inner if longest > FEW else 0, np.float64)
    lo, hi = share(task, tasks, outer * outputs)
    for item in range(lo, hi):
        a, i = item // outputs, item % outputs
        first, end = starts[i], starts[i + 1]
        if longest > FEW:
            _weighted_sum(sums, x[a], places[first:end], weights[first:end])
            _copy(sums, y[a, i])
        elif end - first == 1:
            _scaled(x[a, places[first]], weights[first], y[a, i])
        elif end - first == 2:
            k, m = places[first], places[first + 1]
            _blend(x[a, k], x[a, m], weights[first], weights[first + 1], y[a, i])
        else:
            _weighted_sum(y[a, i], x[a], places[first:end], weights[first:end])


@inlined
def _singles(row, out, places, weights):
    """Outputs of one term each."""
    for i in range(out.size):
        out[i] = row[places[i]] * weights[i]


@inlined
def _pairs(row, out, places, weights):
    """Outputs of two terms each."""
    for i in range(out.size):
        k, m = places[2 * i], places[2 * i + 1]
        out[i] = row[k] * weights[2 * i] + row[m] * weights[2 * i + 1]


@inlined
def _gathered(row, out, starts, places, weights):
    """Outputs of any number of terms."""
    for i in range(out.size):
        total = 0.0
        for j in range(starts[i], starts[i + 1]):
            total += row[places[j]] * weights[j]
        out[i] = total


@inlined
def _scaled(a, of_a, out):
    """out = a of_a."""
    for j in range(out.size):
        out[j] = a[j] * of_a


@inlined
def _blend(a, b, of_a, of_b, out):
    """out = a of_a + b of_b."""
    for j in range(out.size):
        out[j] = a[j] * of_a + b[j] * of_b


@inlined
def _weighted_sum(out, rows, places, weights):
    """out = the sum of rows[places] * weights."""
    out[:] = 0
    for k in range(places.size):
        row, weight = rows[places[k]], weights[k]
        for j in range(out.size):
            out[j] += row[j] * weight


@inlined
def _copy(x, y):
    """y = x."""
    for k in range(x.size):
        y[k] = x[k]
