"""Softmax and log-softmax over the last axis, launched from softmax.cu."""

import numpy as np

from .. import reference
from .flat import threads_for_row
from .launcher import Source, kernel_dtype

SOURCE = Source("softmax.cu")


def softmax(x):
    """y = exp(x) / sum(exp(x)) over the last axis: (..., D) -> (..., D)."""
    return _over_rows("softmax", x)


def softmax_backward(g, y):
    """dx = y * (g - sum(g * y)), from the output y."""
    return _over_rows("softmax_backward", g, y)


def log_softmax(x):
    """y = x - log(sum(exp(x))) over the last axis: (..., D) -> (..., D)."""
    return _over_rows("log_softmax", x)


def log_softmax_backward(g, y):
    """dx = g - exp(y) * sum(g), from the output y."""
    return _over_rows("log_softmax_backward", g, y)


def _over_rows(name, *arrays):
    """A kernel that takes rows of equal shape and gives one more."""
    dtype = kernel_dtype(name, *arrays)
    if dtype is None:
        return getattr(reference, name)(*arrays)
    out = np.empty_like(arrays[0])
    if out.size:
        columns = out.shape[-1]
        kernel = SOURCE.kernel(name, dtype)
        kernel(out.size // columns, threads_for_row(columns), out, *arrays, columns)
    return out
