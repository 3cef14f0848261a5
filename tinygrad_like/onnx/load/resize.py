"""Resize and Upsample of ONNX: along one axis after the other, from a table of taps.

Each element along an axis of the output is a weighted sum of a few elements of the input: which
ones, and their weights, is computed once in NumPy.
"""

from collections.abc import Callable

import numpy as np

from tinygrad_like.engine import Tensor
from tinygrad_like.onnx.load.errors import Refused
from tinygrad_like.onnx.load.shapes import refuse_unless
from tinygrad_like.onnx.load.table import Host, axis_of, runs
from tinygrad_like.ops.elements.elementwise import where
from tinygrad_like.ops.indexing import index as indexing

NEAREST: dict[str, Callable] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _half_pixel(i, n, m, scale, roi):
    return (i + 0.5) / scale - 0.5


def _pytorch_half_pixel(i, n, m, scale, roi):
    return (i + 0.5) / scale - 0.5 if m > 1 else i * 0.0


def _align_corners(i, n, m, scale, roi):
    length = n * scale
    return i * (n - 1) / (length - 1) if length != 1 else i * 0.0


def _half_pixel_symmetric(i, n, m, scale, roi):
    return n / 2 * (1 - m / (n * scale)) + (i + 0.5) / scale - 0.5


def _crop_and_resize(i, n, m, scale, roi):
    start, end = roi
    if m > 1:
        return start * (n - 1) + i * (end - start) * (n - 1) / (m - 1)
    return i * 0.0 + 0.5 * (start + end) * (n - 1)


# Where element i of m stands in an input of length n.
COORDINATES: dict[str, Callable] = {
    "half_pixel": _half_pixel,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "align_corners": _align_corners,
    "asymmetric": lambda i, n, m, scale, roi: i / scale,
    "tf_half_pixel_for_nn": lambda i, n, m, scale, roi: (i + 0.5) / scale,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "tf_crop_and_resize": _crop_and_resize,
}


def _triangle(t, a):
    return np.maximum(1 - np.abs(t), 0)


def _cubic(t, a):
    """Keys' kernel (Keys 1981, "Cubic convolution interpolation")."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = (((t - 5) * t + 8) * t - 4) * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


KERNELS = {"linear": (_triangle, 1), "cubic": (_cubic, 2)}


def taps(places, n, kind, scale, a=-0.75, antialias=False, exclude_outside=False):
    """(indices, weights), each (outputs, taps), of an interpolation at places of an axis."""
    kernel, reach = KERNELS[kind]
    scale = min(scale, 1.0) if antialias else 1.0
    first = int(np.floor(-reach / scale)) + 1
    indices = np.floor(places)[:, None] + np.arange(first, 2 - first)
    weights = kernel((indices - places[:, None]) * scale, a)
    if exclude_outside:
        weights = np.where((indices < 0) | (indices >= n), 0, weights)
    if antialias or exclude_outside:
        weights = weights / weights.sum(1, keepdims=True)
    return np.clip(indices, 0, n - 1).astype(np.int64), weights


def _along(x, axis, indices, weights):
    """Weighted sums of the slices of x along an axis."""
    shape = [1] * x.ndim
    shape[axis] = len(indices)
    y = 0
    for k in range(indices.shape[1]):
        w = Tensor(weights[:, k].reshape(shape).astype(x.dtype), device=x.device)
        y = y + indexing.take(x, indices[:, k], axis) * w
    return y


def _lengths(shape, axes, scales, sizes, policy):
    """[(axis, output length, scale)]."""
    if sizes is None:  # the scales have the digits of float32, in which 0.7 times 10 is 7
        return [
            (a, int(np.float32(shape[a]) * np.float32(s)), s)
            for a, s in zip(axes, scales, strict=True)
        ]
    ratios = [size / shape[a] for a, size in zip(axes, sizes, strict=True)]
    if policy == "stretch":
        return [(a, m, r) for a, m, r in zip(axes, sizes, ratios, strict=True)]
    ratio = min(ratios) if policy == "not_larger" else max(ratios)
    return [(a, int(ratio * shape[a] + 0.5), ratio) for a in axes]


def _floats(x):
    return None if x is None or x.size == 0 else [float(v) for v in x.reshape(-1)]


@runs("Resize", since=11)
def resize(
    x, roi: Host = None, scales: Host = None, sizes: Host = None, *, antialias=0, axes=None,
    coordinate_transformation_mode="half_pixel", cubic_coeff_a=-0.75, exclude_outside=0,
    extrapolation_value=0.0, keep_aspect_ratio_policy="stretch", mode="nearest",
    nearest_mode="round_prefer_floor",
):  # fmt: skip
    """Each axis by its own scale, in turn; outside of a crop is `extrapolation_value`."""
    refuse_unless(COORDINATES, "Resize", "coordinate_transformation_mode",
                  coordinate_transformation_mode)  # fmt: skip
    refuse_unless(("nearest", *KERNELS), "Resize", "mode", mode)
    refuse_unless(NEAREST, "Resize", "nearest_mode", nearest_mode)
    axes = range(x.ndim) if axes is None else [axis_of(a, x.ndim) for a in axes]
    scales, sizes, roi = _floats(scales), _floats(sizes), _floats(roi)
    sizes = None if sizes is None else [int(m) for m in sizes]
    if (scales is None) == (sizes is None):
        raise ValueError("[Resize] expected either scales or sizes")
    crops = coordinate_transformation_mode == "tf_crop_and_resize"
    if crops and roi is None:
        raise ValueError("[Resize] tf_crop_and_resize without a roi")
    dtype = x.dtype
    for k, (axis, m, scale) in enumerate(
        _lengths(x.shape, axes, scales, sizes, keep_aspect_ratio_policy)
    ):
        n = x.shape[axis]
        if n == m and scale == 1 and not crops:
            continue
        if n == 0 or m == 0:
            raise Refused(f"[onnx] Resize of an axis of length {n} to {m}")
        of = (roi[k], roi[k + len(roi) // 2]) if crops else None
        function = COORDINATES[coordinate_transformation_mode]
        # The nearest one is found in float32, in which 1 divided by 1/3 is 3.
        precision = np.float32 if mode == "nearest" else np.float64
        places = function(np.arange(m, dtype=precision), n, m, precision(scale), of)
        if mode == "nearest":
            chosen = np.clip(NEAREST[nearest_mode](places), 0, n - 1).astype(np.int64)
            x = indexing.take(x, chosen, axis)
        else:
            table = taps(places, n, mode, scale, cubic_coeff_a, bool(antialias),
                         bool(exclude_outside))  # fmt: skip
            x = _along(x, axis, *table)
        if crops:
            shape = [1] * x.ndim
            shape[axis] = m
            inside = ((places >= 0) & (places <= n - 1)).reshape(shape)
            x = where(Tensor(inside, device=x.device), x, extrapolation_value)
    return x if x.dtype == dtype else x.astype(dtype)


@runs("Resize", since=10)
@runs("Upsample", since=7)
def upsample(x, scales: Host, *, mode="nearest"):
    """Before version 11: element i stands at i / scale, the nearest is the one before it."""
    options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return resize(x, None, np.asarray(scales), mode=mode, **options)
