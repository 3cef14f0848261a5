"""Ops of ONNX that rearrange: reshape, transpose, concatenate, split, slice, pad, tile."""

import math

import numpy as np

from tinygrad_like.engine import broadcast_to
from tinygrad_like.onnx.load.errors import Refused
from tinygrad_like.onnx.load.table import Host, axis_of, integer, integers, runs
from tinygrad_like.ops.arrays import shape as arrays
from tinygrad_like.ops.indexing import index as indexing
from tinygrad_like.ops.indexing import padding, repetition


@runs("Reshape")
def reshape(x, shape: Host, *, allowzero=0):
    """0 stands for the length of the input there, -1 for what is left."""
    lengths = integers(shape)
    if not allowzero:
        lengths = tuple(x.shape[i] if n == 0 else n for i, n in enumerate(lengths))
    return arrays.reshape(x, shape=lengths)


@runs("Flatten")
def flatten(x, *, axis=1):
    axis = x.ndim if axis == x.ndim else axis_of(axis, x.ndim)
    return arrays.reshape(x, shape=(math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@runs("Squeeze")
def squeeze(x, axes: Host = None):
    return arrays.squeeze(x, None if axes is None else integers(axes))


@runs("Unsqueeze")
def unsqueeze(x, axes: Host):
    """Axes count in the result."""
    axes = integers(axes)
    places = sorted(axis_of(a, x.ndim + len(axes)) for a in axes)
    shape = list(x.shape)
    for place in places:
        shape.insert(place, 1)
    if len(set(places)) < len(places):
        raise ValueError(f"[Unsqueeze] axes are {axes}, expected different ones")
    return arrays.reshape(x, shape=tuple(shape))


@runs("Transpose")
def transpose(x, *, perm=None):
    return arrays.transpose(x, None if perm is None else tuple(perm))


@runs("Expand")
def expand(x, shape: Host):
    return broadcast_to(x, shape=np.broadcast_shapes(x.shape, integers(shape)))


@runs("Concat")
def concat(*xs, axis=1):
    return arrays.concatenate(xs, axis=axis)


@runs("Split")
def split(x, split: Host = None, *, axis=0, num_outputs=None, outputs):
    """Without lengths the parts are equal, but for a shorter last one."""
    axis = axis_of(axis, x.ndim)
    if split is None:
        size = -(-x.shape[axis] // (num_outputs or outputs))
        stops = np.arange(1, num_outputs or outputs) * size
    else:
        if sum(integers(split)) != x.shape[axis]:
            raise ValueError(f"[Split] of {x.shape} into {integers(split)} along axis {axis}")
        stops = np.cumsum(integers(split))[:-1]
    return tuple(arrays.split(x, [int(s) for s in stops], axis))


@runs("Slice")
def slice_of(x, starts: Host, ends: Host, axes: Host = None, steps: Host = None):
    """Starts and ends beyond an axis are those at its end, also where NumPy would take nothing."""
    starts, ends = integers(starts), integers(ends)
    axes = range(len(starts)) if axes is None else integers(axes)
    steps = (1,) * len(starts) if steps is None else integers(steps)
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        n = x.shape[axis]
        low, high = (0, n) if step > 0 else (-1, n - 1)
        first = start + n if start < 0 else start
        last = end + n if end < 0 else end
        first = min(max(first, 0), high)
        last = min(max(last, low), high)
        index[axis] = slice(first, None if last < 0 else last, step)
    return x[tuple(index)]


@runs("Pad")
def pad(x, pads: Host, value: Host = None, axes: Host = None, *, mode="constant"):
    """Negative widths cut off."""
    pads = integers(pads)
    axes = range(x.ndim) if axes is None else [axis_of(a, x.ndim) for a in integers(axes)]
    widths = [(0, 0)] * x.ndim
    for i, axis in enumerate(axes):
        widths[axis] = (pads[i], pads[i + len(pads) // 2])
    if mode != "constant":
        return padding.pad(x, tuple(widths), mode)
    number = 0 if value is None else np.asarray(value).reshape(()).item()
    if x.dtype.kind == "b":
        return padding.pad(x, tuple(widths), value=bool(number))
    return padding.pad(x, tuple(widths), value=number)


@runs("Tile", since=6)
def tile(x, repeats: Host):
    return repetition.tile(x, integers(repeats))


@runs("Trilu")
def triangle(x, k: Host = None, *, upper=1):
    k = 0 if k is None else integer(k)
    return (indexing.triu if upper else indexing.tril)(x, k=k)


@runs("DepthToSpace")
def depth_to_space(x, *, blocksize, mode="DCR"):
    """Blocks of channels become blocks of pixels; the mode says which axis is first."""
    n, c, h, w = x.shape
    b = blocksize
    if mode == "DCR":
        y = arrays.reshape(x, shape=(n, b, b, c // b**2, h, w))
        y = arrays.transpose(y, (0, 3, 4, 1, 5, 2))
    else:
        y = arrays.reshape(x, shape=(n, c // b**2, b, b, h, w))
        y = arrays.transpose(y, (0, 1, 4, 2, 5, 3))
    return arrays.reshape(y, shape=(n, c // b**2, h * b, w * b))


@runs("SpaceToDepth")
def space_to_depth(x, *, blocksize, mode="DCR"):
    """The inverse of DepthToSpace."""
    n, c, h, w = x.shape
    b = blocksize
    y = arrays.reshape(x, shape=(n, c, h // b, b, w // b, b))
    y = arrays.transpose(y, (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4))
    return arrays.reshape(y, shape=(n, c * b * b, h // b, w // b))


@runs("CenterCropPad")
def center_crop_pad(x, shape: Host, *, axes=None):
    """Half of what is missing or too much at each end; an odd one at the last."""
    axes = range(x.ndim) if axes is None else [axis_of(a, x.ndim) for a in axes]
    widths, index = [(0, 0)] * x.ndim, [slice(None)] * x.ndim
    for axis, n in zip(axes, integers(shape), strict=True):
        missing = n - x.shape[axis]
        if missing > 0:
            widths[axis] = (missing // 2, missing - missing // 2)
        else:
            first = -missing // 2
            index[axis] = slice(first, first + n)
    return padding.pad(x[tuple(index)], tuple(widths))


@runs("ReverseSequence")
def reverse_sequence(x, lengths: Host, *, batch_axis=1, time_axis=0):
    """The first `lengths` elements of each sequence, in the opposite order."""
    moved = arrays.moveaxis(x, (batch_axis, time_axis), (0, 1))
    n, t = moved.shape[:2]
    places = np.arange(t)[None].repeat(n, 0)
    ends = np.asarray(integers(lengths))[:, None]
    places = np.where(places < ends, ends - 1 - places, places)
    y = moved[np.arange(n)[:, None], places]
    return arrays.moveaxis(y, (0, 1), (batch_axis, time_axis))


def refuse_unless(known, op, what, value):
    """Raise Refused unless an option has one of the known values."""
    if value not in known:
        raise Refused(f"[onnx] {op} with {what}={value!r}")
