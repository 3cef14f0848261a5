"""Windows of images as axes of their own, and their adjoint: windows added up in images.

Images are (N, C, H, W), windows (N, C, kh, kw, rows, columns). `stride` and `dilation` are pairs.
"""

import numpy as np

from .contract import kernel
from .precision import narrow, wide


@kernel
def cut_windows(x, kernel, counts, stride, dilation):
    """The windows of images; `counts` (rows, columns) of them."""
    y = np.empty_like(x, shape=(*x.shape[:2], *kernel, *counts))
    for i, j, pixels in _slices(kernel, counts, stride, dilation):
        y[:, :, i, j] = x[pixels]
    return y


@kernel
def join_windows(g, size, stride, dilation):
    """Images of this size in which the windows are added up."""
    y = np.zeros_like(wide(g), shape=(*g.shape[:2], *size))
    for i, j, pixels in _slices(g.shape[2:4], g.shape[4:], stride, dilation):
        y[pixels] += g[:, :, i, j]
    return narrow(y, g.dtype)


def _slices(kernel, counts, stride, dilation):
    """(i, j, the index of the pixels that element i, j of each window sees)."""
    for i, j in np.ndindex(*kernel):
        starts = i * dilation[0], j * dilation[1]
        cut = (
            slice(start, start + (n - 1) * step + 1, step)
            for start, n, step in zip(starts, counts, stride, strict=True)
        )
        yield i, j, (..., *cut)
