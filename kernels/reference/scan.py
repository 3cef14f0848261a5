"""The linear recurrence h_t = a_t h_(t-1) + b_t along the middle axis, and other scans.

a, b, h: (N, T, M); initial, the h before the first step: (N, M). With `reverse` the steps run from
the end of the axis to its start. The state is kept in float64 (complex128) from step to step.
"""

import numpy as np

from .contract import kernel
from .precision import result_dtype, wide
from .reduce import accumulator


@kernel
def linear_scan(a, b, initial, reverse):
    """h: the state after each step, at the place of that step."""
    dtype = result_dtype(a.dtype, b.dtype, initial.dtype)
    state, h = _exact(initial), np.empty_like(b, dtype=dtype)
    for t in _steps(a.shape[1], reverse):
        state = a[:, t] * state + b[:, t]
        h[:, t] = state.astype(dtype)
    return h


@kernel
def linear_scan_backward(g, a, h, initial, reverse):
    """(da, db, dinitial) for g, the gradient of h.

    With u_t = g_t + a_(t+1) u_(t+1): da_t = u_t h_(t-1), db_t = u_t, and dinitial is what the first
    step hands on, a u.
    """
    dtype = result_dtype(g.dtype, a.dtype, h.dtype, initial.dtype)
    da, db = np.empty_like(a, dtype=dtype), np.empty_like(a, dtype=dtype)
    steps = _steps(a.shape[1], reverse)
    handed_on = np.zeros_like(_exact(initial))
    for before, t in reversed([*zip([None, *steps], steps, strict=False)]):
        u = g[:, t] + handed_on
        db[:, t] = u.astype(dtype)
        da[:, t] = (u * (initial if before is None else h[:, before])).astype(dtype)
        handed_on = a[:, t] * u
    return da, db, handed_on.astype(dtype)


def _steps(count, reverse):
    return range(count)[::-1] if reverse else range(count)


def _exact(x):
    return wide(x).astype(accumulator(x.dtype))


@kernel
def running_sum(x, reverse):
    """At each step the sum of all elements so far, in the dtype of x; see `total` in reduce.py."""
    x, dtype = wide(x[:, ::-1] if reverse else x), x.dtype
    y = np.cumsum(x, axis=1, dtype=accumulator(x.dtype)).astype(dtype)
    return y[:, ::-1].copy() if reverse else y


@kernel
def running_extreme(x, largest):
    """At each step the place, on the middle axis, of the maximum (or minimum) so far, as int64.

    Of equals it is the latest one; once there has been a NaN, the latest NaN.
    """
    places = np.zeros_like(x, dtype=np.int64)
    best, place = x[:, :1], places[:, :1]
    for t in range(1, x.shape[1]):
        new = x[:, t : t + 1]
        better = new >= best if largest else new <= best
        better = better | (new != new)
        best, place = np.where(better, new, best), np.where(better, t, place)
        places[:, t : t + 1] = place
    return places
