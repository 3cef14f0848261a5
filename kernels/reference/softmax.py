"""Softmax, log-softmax and cross-entropy over the last axis, stable for logits of any size.

A row that is all -inf is a fully masked row: its softmax is zeros, its logsumexp counts as 0, so
its log-softmax is -inf and its loss +inf, and NaN appears nowhere.
"""

import numpy as np

from .contract import kernel
from .precision import narrow, underflow_is_fine, wide


def _peak(x):
    """The maximum of each row, to be subtracted before exp; 0 for a fully masked row.

    For complex numbers, that of the real parts: any shift will do, and -inf + bi is masked as well.
    """
    peak = np.max(x.real, axis=-1, keepdims=True)
    return np.where(peak == -np.inf, 0, peak)


def _total(exponentials):
    """The sum of each row; a fully masked row, of zeros, counts as 1."""
    total = np.sum(exponentials, axis=-1, keepdims=True)
    return np.where(total == 0, 1, total)


@kernel
@underflow_is_fine
def softmax(x):
    """y = exp(x) / sum(exp(x)) over the last axis: (..., D) -> (..., D)."""
    if x.size == 0:
        return np.zeros_like(x)
    y = wide(x)
    y = np.exp(y - _peak(y))
    y /= _total(y)
    return narrow(y, x.dtype)


@kernel
@underflow_is_fine
def softmax_backward(g, y):
    """dx = y * (g - sum(g * y)), from the output y."""
    wide_g, wide_y = wide(g), wide(y)
    dx = wide_y * (wide_g - np.sum(wide_g * wide_y, axis=-1, keepdims=True))
    return narrow(dx, y.dtype)


@kernel
@underflow_is_fine
def log_softmax(x):
    """y = x - log(sum(exp(x))) over the last axis: (..., D) -> (..., D)."""
    if x.size == 0:
        return np.zeros_like(x)
    y = wide(x)
    y = y - _peak(y)
    y -= np.log(_total(np.exp(y)))
    return narrow(y, x.dtype)


@kernel
@underflow_is_fine
def log_softmax_backward(g, y):
    """dx = g - exp(y) * sum(g), from the output y."""
    wide_g = wide(g)
    dx = wide_g - np.exp(wide(y)) * np.sum(wide_g, axis=-1, keepdims=True)
    return narrow(dx, y.dtype)


@kernel
@underflow_is_fine
def cross_entropy(logits, labels):
    """losses = log(sum(exp(logits))) - logits[label], and sums: (R, V), (R,) -> (R,), (2, R).

    `labels` are integers in [0, V). `sums`, which the backward needs, are the peak of each row and
    total = sum(exp(logits - peak)), float32 for float16 logits. They are kept apart because in
    peak + log(total) a large peak would round the logarithm away.
    """
    shifted = wide(logits)
    peak = _peak(shifted)
    shifted = shifted - peak
    total = _total(np.exp(shifted))
    losses = np.log(total) - np.take_along_axis(shifted, labels[:, None], axis=1)
    return narrow(losses[:, 0], logits.dtype), np.stack((peak[:, 0], total[:, 0]))


@kernel
@underflow_is_fine
def cross_entropy_backward(g, logits, labels, sums):
    """dlogits = g * (softmax(logits) - one_hot(labels)): (R,), (R, V), (R,), (2, R) -> (R, V)."""
    peak, total = sums[0], sums[1]
    dlogits = np.exp(wide(logits) - peak[:, None])
    dlogits[np.arange(len(labels), like=labels), labels] -= total
    return narrow((wide(g) / total)[:, None] * dlogits, logits.dtype)
