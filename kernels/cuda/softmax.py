"""Softmax, log-softmax and cross-entropy over the last axis, launched from softmax.cu."""

import numpy as np

from .machine.dtypes import as_int64, dtype_name
from .machine.flat import threads_for_row
from .machine.kernel import kernel
from .machine.launcher import Source

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


@kernel("logits", others="labels")
def cross_entropy(logits, labels):
    """(losses, sums), sums = (peak, sum(exp(logits - peak))): (R, V), (R,) -> (R,), (2, R)."""
    dtype = dtype_name(logits.dtype)
    rows, classes = logits.shape
    losses = np.empty_like(logits, shape=(rows,))
    sums_dtype = np.float64 if dtype == "float64" else np.float32
    sums = np.empty_like(losses, shape=(2, rows), dtype=sums_dtype)
    if rows:
        kernel = SOURCE.kernel("cross_entropy", dtype)
        kernel(rows, _threads(classes), losses, sums, logits, as_int64(labels), classes)
    return losses, sums


@kernel("g logits", others="labels sums")
def cross_entropy_backward(g, logits, labels, sums):
    """dlogits = g * (softmax(logits) - one_hot(labels)): (R,), (R, V), (R,), (2, R) -> (R, V)."""
    dtype = dtype_name(g.dtype)
    dlogits = np.empty_like(logits)
    if dlogits.size:
        rows, classes = logits.shape
        kernel = SOURCE.kernel("cross_entropy_backward", dtype)
        kernel(rows, _threads(classes), dlogits, g, logits, as_int64(labels), sums, classes)
    return dlogits


def _over_rows(name, *arrays):
    """A kernel that takes rows of equal shape and gives one more."""
    dtype = dtype_name(arrays[0].dtype)
    out = np.empty_like(arrays[0])
    if out.size:
        columns = out.shape[-1]
        kernel = SOURCE.kernel(name, dtype)
        kernel(out.size // columns, threads_for_row(columns), out, *arrays, columns)
    return out


def _threads(classes):
    """Four elements or more for each thread."""
    return min(1024, max(32, classes // 4 // 32 * 32))
