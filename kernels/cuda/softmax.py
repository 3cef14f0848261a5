"""Softmax and log-softmax over the last axis, launched from softmax.cu."""

import numpy as np

from .flat import threads_for_row
from .kernel import kernel
from .launcher import Source, dtype_name

SOURCE = Source("softmax.cu")


@kernel("x")
def softmax(x):
    """y = exp(x) / sum(exp(x)) over the last axis: (..., D) -> (..., D)."""
    return _over_rows("softmax", x)


@kernel("g y", alike=True)
def softmax_backward(g, y):
    """dx = y * (g - sum(g * y)), from the output y."""
    return _over_rows("softmax_backward", g, y)


@kernel("x")
def log_softmax(x):
    """y = x - log(sum(exp(x))) over the last axis: (..., D) -> (..., D)."""
    return _over_rows("log_softmax", x)


@kernel("g y", alike=True)
def log_softmax_backward(g, y):
    """dx = g - exp(y) * sum(g), from the output y."""
    return _over_rows("log_softmax_backward", g, y)


def _over_rows(name, *arrays):
    """A kernel that takes rows of equal shape and gives one more."""
    dtype = dtype_name(arrays[0].dtype)
    out = np.empty_like(arrays[0])
    if out.size:
        columns = out.shape[-1]
        kernel = SOURCE.kernel(name, dtype)
        kernel(out.size // columns, threads_for_row(columns), out, *arrays, columns)
    return out
