"""Ops of ONNX that slide windows: convolution, pooling, unpooling."""

import math
from typing import NamedTuple

import numpy as np

from tinygrad_like.engine import Tensor, astype
from tinygrad_like.onnx.load.errors import Refused
from tinygrad_like.onnx.load.shapes import refuse_unless
from tinygrad_like.onnx.load.table import Host, integers, runs
from tinygrad_like.ops.arrays import create
from tinygrad_like.ops.arrays import shape as arrays
from tinygrad_like.ops.elements.compare import equal
from tinygrad_like.ops.elements.elementwise import abs, power, where
from tinygrad_like.ops.indexing import index as indexing
from tinygrad_like.ops.indexing import padding
from tinygrad_like.ops.neural import conv, conv_nd, pool, pool_nd
from tinygrad_like.ops.reductions import reduce, scatter

CONVOLUTIONS = {1: conv.conv1d, 2: conv.conv2d, 3: conv_nd.conv3d}
TRANSPOSED = {1: conv_nd.conv_transpose1d, 2: conv.conv_transpose2d, 3: conv_nd.conv_transpose3d}
MAXIMA = {1: pool_nd.max_pool1d, 2: pool.max_pool2d, 3: pool_nd.max_pool3d}
MEANS = {1: pool_nd.avg_pool1d, 2: pool.avg_pool2d, 3: pool_nd.avg_pool3d}
AUTO_PAD = "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"


class Windows(NamedTuple):
    """How windows slide: for each axis the size, stride, dilation, and (before, after) of it."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    ends: tuple[tuple[int, int], ...]

    @property
    def span(self) -> tuple[int, ...]:
        """How far each window reaches, from its first to its last element."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True))

    def counts(self, lengths: tuple[int, ...], ceil_mode: bool = False) -> list[int]:
        """The number of windows along each axis; with `ceil_mode` one may reach beyond the end."""
        found = []
        for n, s, span, (before, after) in zip(
            lengths, self.stride, self.span, self.ends, strict=True
        ):
            room = n + before + after - span
            count = (-(-room // s) if ceil_mode else room // s) + 1
            if ceil_mode and (count - 1) * s >= n + before:
                count -= 1  # it would begin beyond the end
            found.append(count)
        return found


def windows(op, lengths, size, strides, dilations, pads, auto_pad):
    """The Windows that the attributes of a node say, over axes of these lengths."""
    refuse_unless(AUTO_PAD, op, "auto_pad", auto_pad)
    axes = len(lengths)
    size = tuple(size)
    if len(size) != axes:
        raise ValueError(f"[{op}] kernel_shape is {size}, expected {axes} lengths")
    strides = tuple(strides) if strides else (1,) * axes
    dilations = tuple(dilations) if dilations else (1,) * axes
    if auto_pad == "NOTSET":
        pads = pads or (0,) * (2 * axes)
        ends = tuple(zip(pads[:axes], pads[axes:], strict=True))
    elif auto_pad == "VALID":
        ends = ((0, 0),) * axes
    else:
        ends = ()
        for n, k, s, d in zip(lengths, size, strides, dilations, strict=True):
            total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
            less, more = total // 2, total - total // 2
            ends += ((less, more) if auto_pad == "SAME_UPPER" else (more, less),)
    return Windows(size, strides, dilations, ends)


def by_axes(table, op, axes):
    """The function of a table for so many axes; Refused if there is none."""
    if axes not in table:
        raise Refused(f"[onnx] {op} over {axes} axes, expected 1, 2 or 3")
    return table[axes]


def ends_for(function_axes, ends):
    """Paddings as the ops of sequences, images and volumes take them."""
    return (ends[0],) if function_axes == 1 else tuple(ends)


@runs("Conv")
def convolve(
    x, w, bias=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None, pads=None,
    strides=None,
):  # fmt: skip
    axes = x.ndim - 2
    function = by_axes(CONVOLUTIONS, "Conv", axes)
    s = windows("Conv", x.shape[2:], w.shape[2:], strides, dilations, pads, auto_pad)
    options = _options(s, axes)
    return function(x, w, bias, groups=group, **options)


def _options(s, axes):
    """Windows as keyword arguments of this library's convolutions."""
    return {
        "stride": s.stride[0] if axes == 1 else s.stride,
        "dilation": s.dilation[0] if axes == 1 else s.dilation,
        "padding": ends_for(axes, s.ends),
    }


@runs("ConvTranspose")
def convolve_transposed_before_11(
    x, w, bias=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None,
    output_padding=None, output_shape=None, pads=None, strides=None,
):  # fmt: skip
    """Before version 11 it is not said in one way which end of an axis has the greater padding."""
    refuse_unless(("NOTSET", "VALID"), "ConvTranspose, before opset 11,", "auto_pad", auto_pad)
    refuse_unless((None,), "ConvTranspose, before opset 11,", "output_shape", output_shape)
    return convolve_transposed(
        x, w, bias, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads,
        output_padding=output_padding, strides=strides,
    )  # fmt: skip


@runs("ConvTranspose", since=11)
def convolve_transposed(
    x, w, bias=None, *, auto_pad="NOTSET", dilations=None, group=1, kernel_shape=None,
    output_padding=None, output_shape=None, pads=None, strides=None,
):  # fmt: skip
    """All that the windows reach, of which the padding is cut off, and to which some is added."""
    axes = x.ndim - 2
    function = by_axes(TRANSPOSED, "ConvTranspose", axes)
    given = "NOTSET" if output_shape or auto_pad != "VALID" else auto_pad
    s = windows("ConvTranspose", x.shape[2:], w.shape[2:], strides, dilations, pads, given)
    extra = tuple(output_padding or (0,) * axes)
    ends = s.ends
    if output_shape or auto_pad.startswith("SAME"):
        lengths = output_shape or [n * t for n, t in zip(x.shape[2:], s.stride, strict=True)]
        ends = ()
        for n, t, span, e, m in zip(
            x.shape[2:], s.stride, s.span, extra, lengths[-axes:], strict=True
        ):
            total = (n - 1) * t + e + span - m
            less, more = total // 2, total - total // 2
            ends += ((less, more) if auto_pad == "SAME_UPPER" else (more, less),)
    options = _options(s._replace(ends=((0, 0),) * axes), axes)
    y = function(x, w, groups=group, **options)
    cut = tuple((-before, e - after) for (before, after), e in zip(ends, extra, strict=True))
    if any(n for pair in cut for n in pair):
        y = padding.pad(y, ((0, 0), (0, 0), *cut))
    return y if bias is None else y + arrays.reshape(bias, shape=(-1, *(1,) * axes))


# Pooling


@runs("MaxPool")
def max_pool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, pads=None, storage_order=0,
    strides=None, outputs=1,
):  # fmt: skip
    """Places count through the whole tensor; with storage_order=1 planes are read by columns."""
    axes, lengths = x.ndim - 2, x.shape[2:]
    function = by_axes(MAXIMA, "MaxPool", axes)
    s = windows("MaxPool", lengths, kernel_shape, strides, dilations, pads, auto_pad)
    options = {"size": s.size[0] if axes == 1 else s.size, "ceil_mode": bool(ceil_mode)}
    options |= _options(s, axes)
    if outputs == 1:
        return function(x, **options)
    y, places = function(x, return_indices=True, **options)
    plane = math.prod(lengths)
    if storage_order:
        along, rest = [], places
        for n in reversed(lengths):
            along.append(rest % n)
            rest = rest // n
        places, step = 0, 1
        for part, n in zip(reversed(along), lengths, strict=True):
            places, step = places + part * step, step * n
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1,) * axes)
    return y, astype(places, dtype=np.int64) + Tensor(planes * plane, device=x.device)


@runs("AveragePool")
def average_pool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, count_include_pad=0, dilations=None,
    pads=None, strides=None,
):  # fmt: skip
    """By this library's pooling where it has the options, else as sums over counts."""
    axes, lengths = x.ndim - 2, x.shape[2:]
    s = windows("AveragePool", lengths, kernel_shape, strides, dilations, pads, auto_pad)
    fits = all(max(e) < n for e, n in zip(s.ends, s.size, strict=True))
    if axes in MEANS and set(s.dilation) == {1} and fits:
        options = {name: v for name, v in _options(s, axes).items() if name != "dilation"}
        return MEANS[axes](
            x,
            s.size[0] if axes == 1 else s.size,
            ceil_mode=bool(ceil_mode),
            count_include_pad=bool(count_include_pad),
            **options,
        )
    y = window_sums(x, s, ceil_mode)
    counts = np.ones((), np.float64)
    for n, (before, after), places in zip(
        lengths, s.ends, _places(lengths, s, ceil_mode), strict=True
    ):
        low, high = (-before, n + after) if count_include_pad else (0, n)
        seen = ((places >= low) & (places < high)).sum(1)
        counts = counts[..., None] * seen
    return y / Tensor(counts.astype(x.dtype), device=x.device)


def _places(lengths, s, ceil_mode):
    """For each axis, the places (windows, size) that each window reads; outside is padding."""
    counts = s.counts(lengths, bool(ceil_mode))
    return [
        np.arange(m)[:, None] * t - before + np.arange(k) * d
        for m, k, t, d, (before, _) in zip(
            counts, s.size, s.stride, s.dilation, s.ends, strict=True
        )
    ]


def window_sums(x, s, ceil_mode=False, before=2):
    """The sum of each window over the axes from `before` on, one axis after the other."""
    for i, places in enumerate(_places(x.shape[before : before + len(s.size)], s, ceil_mode)):
        axis = before + i
        n = x.shape[axis]
        widths = [(0, 0)] * x.ndim
        widths[axis] = (
            max(-int(places.min(initial=0)), 0),
            max(int(places.max(initial=0)) + 1 - n, 0),
        )
        padded = padding.pad(x, tuple(widths))
        read = indexing.take(padded, (places + widths[axis][0]).reshape(-1), axis)
        spread = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
        x = reduce.sum(arrays.reshape(read, shape=spread), axis=axis + 1)
    return x


def _root(sums, p):
    """The p-th root, with the gradient 0 at 0."""
    none = equal(sums, 0)
    return where(none, 0.0, power(where(none, 1.0, sums), 1 / p))


@runs("LpPool", since=2)
def lp_pool(
    x, *, kernel_shape, auto_pad="NOTSET", ceil_mode=0, dilations=None, p=2, pads=None, strides=None
):
    s = windows("LpPool", x.shape[2:], kernel_shape, strides, dilations, pads, auto_pad)
    return _root(window_sums(power(abs(x), p), s, ceil_mode), p)


@runs("GlobalAveragePool")
def global_average_pool(x):
    return reduce.mean(x, axis=tuple(range(2, x.ndim)), keepdims=True)


@runs("GlobalMaxPool")
def global_max_pool(x):
    return reduce.max(x, axis=tuple(range(2, x.ndim)), keepdims=True)


@runs("GlobalLpPool", since=2)
def global_lp_pool(x, *, p=2):
    return _root(reduce.sum(power(abs(x), p), axis=tuple(range(2, x.ndim)), keepdims=True), p)


@runs("MaxUnpool")
def max_unpool(x, places, output_shape: Host = None, *, kernel_shape, pads=None, strides=None):
    """Each value at the place where MaxPool found it, zeros elsewhere."""
    s = windows("MaxUnpool", x.shape[2:], kernel_shape, strides, None, pads, "NOTSET")
    lengths = [
        (n - 1) * t + k - sum(ends)
        for n, t, k, ends in zip(x.shape[2:], s.stride, s.size, s.ends, strict=True)
    ]
    shape = (*x.shape[:2], *lengths)
    zeros = create.zeros(math.prod(shape), dtype=x.dtype, device=x.device)
    row = (-1,)
    y = scatter.scatter(zeros, arrays.reshape(places, shape=row), arrays.reshape(x, shape=row))
    y = arrays.reshape(y, shape=shape)
    if output_shape is None:
        return y
    more = [m - n for m, n in zip(integers(output_shape), shape, strict=True)]
    return padding.pad(y, tuple((0, n) for n in more))


@runs("Col2Im")
def columns_to_image(
    x, image_shape: Host, block_shape: Host, *, dilations=None, pads=None, strides=None
):
    """Blocks in columns (N, C prod(block), L), added up at their places in images."""
    lengths, size = integers(image_shape), integers(block_shape)
    s = windows("Col2Im", lengths, size, strides, dilations, pads, "NOTSET")
    places = _places(lengths, s, False)
    whole = [n + sum(ends) for n, ends in zip(lengths, s.ends, strict=True)]
    numbers = np.zeros((), np.int64)
    for n, (before, _), along in zip(whole, s.ends, places, strict=True):
        along = (along + before).T  # (size, windows)
        numbers = numbers[..., None, None] * n + along
    axes = len(size)
    numbers = numbers.transpose(*range(0, 2 * axes, 2), *range(1, 2 * axes, 2)).reshape(-1)
    planes = x.shape[0] * x.shape[1] // math.prod(size)
    updates = arrays.reshape(x, shape=(planes, numbers.size))
    zeros = create.zeros((planes, math.prod(whole)), dtype=x.dtype, device=x.device)
    y = scatter.index_add(zeros, Tensor(numbers, device=x.device), updates, axis=1)
    y = arrays.reshape(y, shape=(x.shape[0], -1, *whole))
    cut = (slice(b, b + n) for n, (b, _) in zip(lengths, s.ends, strict=True))
    index = (slice(None), slice(None), *cut)
    return y[index]


@runs("LRN")
def local_response_normalization(x, *, size, alpha=0.0001, beta=0.75, bias=1.0):
    ends = ((size - 1) // 2, size // 2)
    s = Windows((size,), (1,), (1,), (ends,))
    return x / power(window_sums(x * x, s, before=1) * (alpha / size) + bias, beta)
