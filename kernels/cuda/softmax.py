"""Softmax, log-softmax and cross-entropy over the last axis, launched from softmax.cu."""

import numpy as np

from .machine.dtypes import WIDE, as_int64, dtype_name
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
    sums = np.empty_like(losses, shape=(2, rows), dtype=WIDE[dtype])
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
    """The result of a kernel on the rows of arrays of one shape."""
    dtype = dtype_name(arrays[0].dtype)
    out = np.empty_like(arrays[0])
    if out.size:
        columns = out.shape[-1]
        kernel = SOURCE.kernel(name, dtype)
        kernel(out.size // columns, threads_for_row(columns), out, *arrays, columns)
    return out


def _threads(classes):
    """The threads of a block for a row of logits, with four elements or more for each."""
    return min(1024, max(32, classes // 4 // 32 * 32))
