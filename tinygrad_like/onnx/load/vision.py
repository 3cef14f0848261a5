"""Ops of ONNX on images: samples at points of a grid, regions, boxes."""

import itertools
import math
from typing import Any

import numpy as np

from tinygrad_like.engine import Tensor, astype
from tinygrad_like.onnx.load.errors import Refused
from tinygrad_like.onnx.load.shapes import refuse_unless
from tinygrad_like.onnx.load.table import Host, integers, runs
from tinygrad_like.onnx.load.windows import windows
from tinygrad_like.ops.arrays import shape as arrays
from tinygrad_like.ops.arrays.create import ones_like
from tinygrad_like.ops.elements.compare import greater_equal, less_equal, logical_and
from tinygrad_like.ops.elements.elementwise import (
    abs,
    clip,
    floor,
    minimum,
    remainder,
    round,
    where,
)
from tinygrad_like.ops.matrices import linalg
from tinygrad_like.ops.neural.resize import cubic_weights
from tinygrad_like.ops.reductions import reduce

GRID_MODES = {
    "linear": "linear", "bilinear": "linear", "nearest": "nearest", "cubic": "cubic",
    "bicubic": "cubic",
}  # fmt: skip


def _reflected(c, n, align_corners):
    """Coordinates mirrored at the borders until they lie within."""
    low, span = (0.0, n - 1.0) if align_corners else (-0.5, float(n))
    if span == 0:
        return c * 0
    c = remainder(abs(c - low), 2 * span)
    return clip(minimum(c, 2 * span - c) + low, min=0.0, max=n - 1.0)


def _taps(c, n, mode, padding_mode, align_corners):
    """[(indices, weight)] along one axis for coordinates c: a weight of 0 for padding."""
    if mode != "cubic":  # places are moved, before their neighbours are found
        c = _within(c, n, padding_mode, align_corners)
    if mode == "nearest":
        found = [(round(c), ones_like(c))]
    else:
        low = floor(c)
        t = c - low
        if mode == "linear":
            found = [(low, 1 - t), (low + 1, t)]
        else:
            found = list(zip((low - 1, low, low + 1, low + 2), cubic_weights(t), strict=True))
    taps = []
    for place, weight in found:
        if mode == "cubic":
            place = _within(place, n, padding_mode, align_corners)
        inside = logical_and(greater_equal(place, 0), less_equal(place, n - 1))
        weight = where(inside, weight, 0)
        taps.append((astype(clip(place, min=0, max=n - 1), dtype=np.int64), weight))
    return taps


def _within(c, n, padding_mode, align_corners):
    if padding_mode == "border":
        return clip(c, min=0.0, max=n - 1.0)
    return _reflected(c, n, align_corners) if padding_mode == "reflection" else c


@runs("GridSample")
def grid_sample(x, grid, *, align_corners=0, mode="linear", padding_mode="zeros"):
    """x (N, C, *lengths) at the points grid (N, *outputs, axes), in [-1, 1], the last axis first.

    Both x and the grid have gradients.
    """
    refuse_unless(GRID_MODES, "GridSample", "mode", mode)
    refuse_unless(("zeros", "border", "reflection"), "GridSample", "padding_mode", padding_mode)
    lengths, axes = x.shape[2:], x.ndim - 2
    along = []
    for k, n in enumerate(lengths):
        g = grid[..., axes - 1 - k]
        c = (g + 1) * ((n - 1) / 2) if align_corners else ((g + 1) * n - 1) / 2
        along.append(_taps(c, n, GRID_MODES[mode], padding_mode, bool(align_corners)))
    return _sum_of_taps(x, along)


def _sum_of_taps(x, along):
    """The sum over all combinations of taps along the axes of x: (N, C, *outputs)."""
    outputs = along[0][0][0].shape[1:]
    images = np.arange(x.shape[0]).reshape(-1, *(1,) * len(outputs))
    first = Tensor(np.broadcast_to(images, (x.shape[0], *outputs)), device=x.device)
    rows = arrays.moveaxis(x, 1, -1)
    y: Any = 0
    for combination in itertools.product(*along):
        weight: Any = math.prod(w for _, w in combination)
        index = (first, *(place for place, _ in combination))
        y = y + rows[index] * arrays.expand_dims(astype(weight, dtype=x.dtype), -1)
    return arrays.moveaxis(y, -1, 1)


@runs("AffineGrid")
def affine_grid(theta, size: Host, *, align_corners=0):
    """The points theta (N, axes, axes + 1) of a regular grid, the last axis of it first."""
    lengths = integers(size)[2:]
    along = []
    for n in lengths:
        if align_corners:
            along.append(np.linspace(-1, 1, n) if n > 1 else np.zeros(1))
        else:
            along.append((2 * np.arange(n) + 1) / n - 1)
    points = np.stack([*np.meshgrid(*along, indexing="ij")[::-1], np.ones(lengths)])
    points = points.reshape(len(lengths) + 1, -1).astype(theta.dtype)
    y = linalg.matmul(theta, Tensor(points, device=theta.device))
    return arrays.reshape(arrays.swapaxes(y, 1, 2), shape=(y.shape[0], *lengths, len(lengths)))


@runs("DeformConv")
def deformable_convolution(
    x, w, offset, bias=None, mask=None, *, dilations=None, group=1, kernel_shape=None,
    offset_group=1, pads=None, strides=None,
):  # fmt: skip
    """Convolution whose windows read at places moved by `offset` (Dai et al. 2017)."""
    if x.ndim != 4:
        raise Refused(f"[onnx] DeformConv over {x.ndim - 2} axes, expected 2")
    n, c = x.shape[:2]
    s = windows("DeformConv", x.shape[2:], w.shape[2:], strides, dilations, pads, "NOTSET")
    out = s.counts(x.shape[2:])
    size = math.prod(s.size)
    moved = arrays.reshape(offset, shape=(n * offset_group, size, 2, *out))
    parts = arrays.reshape(x, shape=(n * offset_group, c // offset_group, *x.shape[2:]))
    along = []
    for k, length in enumerate(x.shape[2:]):
        inside = np.arange(s.size[k]) * s.dilation[k] - s.ends[k][0]
        inside = np.broadcast_to(np.expand_dims(inside, 1 - k), s.size).reshape(size, 1, 1)
        steps = np.expand_dims(np.arange(out[k]) * s.stride[k], 1 - k)
        place = Tensor((inside + steps).astype(x.dtype), device=x.device) + moved[:, :, k]
        along.append(_taps(place, length, "linear", "zeros", False))
    read = _sum_of_taps(parts, along)  # (N groups, C / groups, size, *out)
    if mask is not None:
        read = read * arrays.reshape(mask, shape=(n * offset_group, 1, size, *out))
    columns = arrays.reshape(read, shape=(n, group, c // group * size, math.prod(out)))
    filters = arrays.reshape(w, shape=(group, w.shape[0] // group, c // group * size))
    y = arrays.reshape(linalg.matmul(filters, columns), shape=(n, w.shape[0], *out))
    return y if bias is None else y + arrays.reshape(bias, shape=(-1, 1, 1))


# Regions and boxes


def _bilinear(places, n):
    """[(indices, weights)] of points along an axis: 0 beyond a pixel outside the image."""
    outside = (places < -1) | (places > n)
    places = np.clip(places, 0, n - 1)
    low = np.minimum(np.floor(places), n - 1).astype(np.int64)
    t = places - low
    return [
        (low, np.where(outside, 0, 1 - t)),
        (np.minimum(low + 1, n - 1), np.where(outside, 0, t)),
    ]


@runs("RoiAlign")
def roi_align(
    x, rois: Host, batch: Host, *, coordinate_transformation_mode=None, mode="avg", output_height=1,
    output_width=1, sampling_ratio=0, spatial_scale=1.0,
):  # fmt: skip
    """Means of bilinear samples in the cells of each region (He et al. 2017); x has gradients."""
    return _roi_align(x, rois, batch, coordinate_transformation_mode or "output_half_pixel", mode,
                      (output_height, output_width), sampling_ratio, spatial_scale)  # fmt: skip


@runs("RoiAlign", since=16)
def roi_align_of_half_pixels(
    x, rois: Host, batch: Host, *, coordinate_transformation_mode="half_pixel", mode="avg",
    output_height=1, output_width=1, sampling_ratio=0, spatial_scale=1.0,
):  # fmt: skip
    """Since version 16 regions are moved by half a pixel, unless the node says otherwise."""
    return _roi_align(x, rois, batch, coordinate_transformation_mode, mode,
                      (output_height, output_width), sampling_ratio, spatial_scale)  # fmt: skip


def _roi_align(x, rois, batch, transformation, mode, out, sampling_ratio, spatial_scale):
    """For each region two matrices, of rows and columns, that sample the image."""
    refuse_unless(("avg",), "RoiAlign", "mode", mode)
    half = transformation == "half_pixel"
    results = []
    for roi, k in zip(rois.astype(np.float64), batch.reshape(-1), strict=True):
        x1, y1, x2, y2 = roi * spatial_scale - (0.5 if half else 0)
        taps, counts = [], []
        for start, end, n, m in ((y1, y2, x.shape[2], out[0]), (x1, x2, x.shape[3], out[1])):
            length = end - start if half else max(end - start, 1.0)
            samples = sampling_ratio or max(math.ceil(length / m), 1)
            places = start + (np.arange(m * samples) + 0.5) * (length / m / samples)
            taps.append(_bilinear(places, n))
            counts.append(samples)
        image = x[int(k)]
        matrices = [_matrix(t, n, x) for t, n in zip(taps, x.shape[2:], strict=True)]
        y = linalg.matmul(linalg.matmul(matrices[0], image), matrices[1].T)
        y = arrays.reshape(y, shape=(x.shape[1], out[0], counts[0], out[1], counts[1]))
        results.append(reduce.mean(y, axis=(2, 4)))
    if not results:
        return arrays.reshape(x[:0], shape=(0, x.shape[1], *out))
    return arrays.stack(results)


def _matrix(taps, n, x):
    """Taps along an axis of length n as a matrix (points, n)."""
    count = len(taps[0][0])
    found = np.zeros((count, n))
    for indices, weights in taps:
        np.add.at(found, (np.arange(count), indices), weights)
    return Tensor(found.astype(x.dtype), device=x.device)


@runs("NonMaxSuppression")
def non_max_suppression(
    boxes: Host, scores: Host, most: Host = None, iou_threshold: Host = None,
    score_threshold: Host = None, *, center_point_box=0,
):  # fmt: skip
    """(number, 3): batch, class, box of those kept, the highest score of each class first."""
    limit = 0 if most is None else int(most.reshape(-1)[0])
    overlap = 0.0 if iou_threshold is None else float(iou_threshold.reshape(-1)[0])
    least = None if score_threshold is None else float(score_threshold.reshape(-1)[0])
    found = []
    for b, (corners, of_classes) in enumerate(
        zip(_corners(boxes, center_point_box), scores, strict=True)
    ):
        for c, values in enumerate(of_classes):
            order = np.argsort(-values, kind="stable")
            kept: list[int] = []
            for k in order if least is None else order[values[order] > least]:
                if len(kept) >= limit:
                    break
                if not kept or (_overlaps(corners[k], corners[kept]) <= overlap).all():
                    kept.append(int(k))
            found += [(b, c, k) for k in kept]
    return np.asarray(found, np.int64).reshape(-1, 3)


def _corners(boxes, center_point_box):
    """Boxes as (low, low, high, high)."""
    if center_point_box:
        middle, half = boxes[..., :2], boxes[..., 2:] / 2
        return np.concatenate([middle - half, middle + half], -1)
    a, b = boxes[..., :2], boxes[..., 2:]
    return np.concatenate([np.minimum(a, b), np.maximum(a, b)], -1)


def _overlaps(box, others):
    """The intersection of a box with each of others, divided by the union."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.maximum(high - low, 0), -1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], -1) - common
    return common / np.maximum(union, np.finfo(np.float64).tiny)
