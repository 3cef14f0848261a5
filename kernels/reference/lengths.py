"""Distances of vectors: a (N, n, d) and b (N, m, d), each vector of a to each one of b (N, n, m).

p is the order of the norm: 0 counts the elements that differ, inf takes the largest difference.
"""

import numpy as np

from .contract import kernel
from .precision import wide


@kernel
def distances(a, b, p):
    """The distances; they neither over- nor underflow where they can be represented."""
    size = np.abs(_differences(a, b))
    if p == 0:
        return np.count_nonzero(size, axis=-1).astype(a.dtype)
    peak = np.max(size, axis=-1, initial=0)
    if p == np.inf:
        return peak.astype(a.dtype)
    scale = np.where((peak > 0) & (peak < np.inf), peak, 1)
    return (np.sum((size / scale[..., None]) ** p, axis=-1) ** (1 / p) * scale).astype(a.dtype)


@kernel
def distances_backward(g, a, b, out, p):
    """(da, db). A distance of 0 has the gradient 0; differences that tie for the largest share."""
    difference, far = _differences(a, b), wide(out)[..., None].astype(np.float64)
    ratio = np.abs(difference) / np.where(far == 0, 1, far)
    if p == 0:
        slope = ratio * 0
    elif p == np.inf:
        size = np.abs(difference)
        largest = size == np.max(size, axis=-1, keepdims=True, initial=0)
        slope = largest / np.maximum(np.count_nonzero(largest, axis=-1, keepdims=True), 1)
    else:
        slope = np.where(ratio == 0, 1, ratio) ** (p - 1) * (ratio > 0)
    slope *= np.sign(difference) * wide(g)[..., None]
    return slope.sum(axis=2).astype(a.dtype), -slope.sum(axis=1).astype(b.dtype)


def _differences(a, b):
    return wide(a).astype(np.float64)[:, :, None] - wide(b).astype(np.float64)[:, None]
