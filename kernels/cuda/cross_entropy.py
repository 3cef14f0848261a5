"""Cross-entropy of logits against labels, launched from cross_entropy.cu."""

import numpy as np

from .kernel import kernel
from .launcher import Source, as_int64, dtype_name

SOURCE = Source("cross_entropy.cu")


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


def _threads(classes):
    """Four elements or more for each thread."""
    return min(1024, max(32, classes // 4 // 32 * 32))
