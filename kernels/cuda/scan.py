"""The linear recurrence along the middle axis, launched from scan.cu."""

import numpy as np

from .machine import flat
from .machine.dtypes import dtype_name
from .machine.kernel import kernel
from .machine.launcher import Source

SOURCE = Source("scan.cu")


@kernel("a b initial")
def linear_scan(a, b, initial, reverse):
    """h: the state after each step, at the place of that step."""
    h = np.empty_like(b)
    if h.size:
        _launch("linear_scan", (h, a, b, initial), a.shape, reverse)
    return h


@kernel("g a h initial")
def linear_scan_backward(g, a, h, initial, reverse):
    """(da, db, dinitial) for g, the gradient of h."""
    if not a.size:
        return NotImplemented
    results = np.empty_like(a), np.empty_like(a), np.empty_like(initial)
    _launch("linear_scan_backward", (*results, g, a, h, initial), a.shape, reverse)
    return results


def _launch(name, arrays, shape, reverse):
    kernel = SOURCE.kernel(name, dtype_name(arrays[0].dtype))
    kernel(flat.blocks(shape[0] * shape[2]), flat.THREADS, *arrays, *shape, reverse)
