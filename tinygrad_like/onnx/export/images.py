"""Convolution, pooling and windows."""

import numpy as np

from tinygrad_like.onnx.export.emit import Emitter
from tinygrad_like.onnx.export.errors import ExportError
from tinygrad_like.onnx.export.sizes import Size, product, values_of
from tinygrad_like.onnx.export.table import lowers


def _end(g: Emitter, name: str, n, outputs, kernel, stride, padding, dilation) -> int:
    """The padding behind the last row with which there are so many outputs in all runs."""
    span = dilation * (kernel - 1) + 1
    pairs = list(zip(values_of(n, g.runs), values_of(outputs, g.runs), strict=True))
    for end in range(span + stride):
        if all((m + padding + end - span) // stride + 1 == out for m, out in pairs):
            return end
    raise ExportError(
        f"[onnx.export] {name}: the padding differs from size to size (a stride of {stride} with "
        "'same' or ceil_mode does so); make height and width no dynamic axes, or pad by hand"
    )


def _window(g, name, s):
    """The attributes of a node that slides windows of a Geometry."""
    bottom = _end(g, name, s.h, s.ho, s.kh, s.sh, s.ph, s.dh)
    right = _end(g, name, s.w, s.wo, s.kw, s.sw, s.pw, s.dw)
    return {
        "kernel_shape": [s.kh, s.kw],
        "strides": [s.sh, s.sw],
        "pads": [s.ph, s.pw, bottom, right],
        "dilations": [s.dh, s.dw],
    }


def _refuse_integers(g, name):
    if g.outputs[0].dtype.kind != "f":
        raise ExportError(
            f"[onnx.export] {name} of {g.outputs[0].dtype} cannot be exported: ONNX's is of "
            "floating numbers; cast the input"
        )


@lowers("conv2d", cast="out")
def conv2d(g, x, weight, bias, *, geometry):
    _refuse_integers(g, "conv2d")
    return g.Conv(x, weight, bias, group=geometry.groups, **_window(g, "conv2d", geometry))


def _rest(g: Emitter, name: str, n, outputs, kernel, stride, dilation) -> int:
    """How many elements of an axis lie behind its last window, the same in all runs."""
    sizes = zip(values_of(n, g.runs), values_of(outputs, g.runs), strict=True)
    (rest, *others) = {m - ((o - 1) * stride + dilation * (kernel - 1) + 1) for m, o in sizes}
    if others:
        raise ExportError(f"[onnx.export] {name}: what its windows leave differs with the sizes")
    return rest


@lowers("conv2d_input_grad", cast="out")
def conv2d_input_grad(g, dy, weight, *, geometry):
    """A transposed convolution: what the windows leave at the end is cut off, or added."""
    _refuse_integers(g, "conv_transpose2d")
    s = geometry
    pads, more = [s.ph, s.pw], []
    for n, out, k, stride, p, d in (
        (s.h, s.ho, s.kh, s.sh, s.ph, s.dh),
        (s.w, s.wo, s.kw, s.sw, s.pw, s.dw),
    ):
        rest = _rest(g, "conv_transpose2d", n, out, k, stride, d) + p
        pads.append(max(-rest, 0))
        more.append(max(rest, 0))
    return g.ConvTranspose(
        dy, weight, kernel_shape=[s.kh, s.kw], strides=[s.sh, s.sw], dilations=[s.dh, s.dw],
        group=s.groups, pads=pads, output_padding=more,
    )  # fmt: skip


def _floating(g, name, x):
    """Values that ONNX can pool: integers of up to 32 bits as float64, which holds them."""
    if x.dtype.kind == "f":
        return x
    if x.dtype.itemsize > 4:
        raise ExportError(f"[onnx.export] {name} of {x.dtype} cannot be exported; cast the input")
    return g.cast(x, np.float64)


@lowers("max_pool2d")
def max_pool2d(g, x, *, geometry):
    x = _floating(g, "max_pool2d", x)
    return g.MaxPool(x, **_window(g, "max_pool2d", geometry))


@lowers("max_pool2d_with_places")
def max_pool2d_with_places(g, x, *, geometry):
    """ONNX counts the places through all planes, we in each."""
    y, places = g.MaxPool(
        _floating(g, "max_pool2d", x), outputs=2, **_window(g, "max_pool2d", geometry)
    )
    plane = g.Mul(g.number(geometry.h, np.int64), g.number(geometry.w, np.int64))
    return y, g.Mod(places._replace(dtype=np.dtype(np.int64)), plane)


@lowers("adaptive_max_pool2d")
def adaptive_max_pool2d(g, x, *, size):
    """Windows that differ in length: the maxima along the height first, then along the width."""
    x = _floating(g, "adaptive_max_pool2d", x)
    for axis, (n, outputs) in enumerate(zip(x.shape[2:], size, strict=True), 2):
        if isinstance(n, Size):
            raise ExportError(
                "[onnx.export] adaptive_max_pool2d: its windows differ with the sizes; make height "
                "and width no dynamic axes"
            )
        ends = [(i * n // outputs, -(-(i + 1) * n // outputs)) for i in range(outputs)]
        parts = [g.reduce("ReduceMax", g.slice(x, axis, *each), [axis]) for each in ends]
        x = g.Concat(*parts, axis=axis)
    return x


@lowers("avg_pool2d")
def avg_pool2d(g, x, *, geometry):
    """What lies in the padding counts, as `tg.avg_pool2d` corrects for it where it does not."""
    _refuse_integers(g, "avg_pool2d")
    window = _window(g, "avg_pool2d", geometry)
    del window["dilations"]
    if x.dtype == np.float64:  # which ONNX Runtime has no AveragePool of
        return _mean_of_slices(g, x, geometry, window["pads"])
    return g.AveragePool(x, count_include_pad=1, **window)


def _mean_of_slices(g, x, s, pads):
    """The mean of a window's places, each a strided slice of the padded images."""
    top, left, bottom, right = pads
    widths = g.constant(np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
    padded = g.Pad(x, widths, g.constant(0, x.dtype))
    parts = strided(g, padded, (s.ho, s.wo), s.kernel, s.stride, (1, 1))
    return g.Div(g.Sum(*parts), float(s.kh * s.kw))


# Slices of volumes: products with a matrix of zeros and ones


def _reads(g, depth) -> np.ndarray:
    """(outputs * size, n): which slice of a volume each place of each window reads."""
    if any(isinstance(n, Size) for n in depth):
        raise ExportError("[onnx.export] conv3d needs a fixed depth: leave that axis out")
    matrix = np.zeros((depth.outputs, depth.size, depth.n), np.float32)
    for i, read, outputs in depth.meets():
        rows = range(*outputs.indices(depth.outputs))
        matrix[list(rows), i, list(range(*read.indices(depth.n)))] = 1
    return matrix.reshape(-1, depth.n)


@lowers("read_slices", cast="out")
def read_slices(g, x, *, depth):
    """A product with a matrix that picks slices along the depth."""
    n, c, _, h, w = x.shape
    flat = _joined_last(g, x, 3)
    y = g.MatMul(g.constant(_reads(g, depth), x.dtype), flat)
    y = g.reshape(y, (n, c, depth.outputs, depth.size, h, w))
    return g.Transpose(y, perm=[0, 2, 1, 3, 4, 5])


@lowers("add_slices", cast="out")
def add_slices(g, x, *, depth):
    """The transpose of `read_slices`."""
    n, outputs, c, size, h, w = x.shape
    moved = g.Transpose(x, perm=[0, 2, 1, 3, 4, 5])._replace(shape=(n, c, outputs, size, h, w))
    joined = g.reshape(moved, (n, c, outputs * size, h, w))
    y = g.MatMul(g.constant(_reads(g, depth).T, x.dtype), _joined_last(g, joined, 3))
    return g.reshape(y, (n, c, depth.n, h, w))


def _joined_last(g, x, kept):
    """x with its last axes joined into one."""
    return g.reshape(x, (*x.shape[:kept], product(x.shape[kept:], g.runs)))


# Windows


@lowers("windows")
def windows(g, x, *, kernel, stride, dilation):
    shape = g.outputs[0].shape
    parts = strided(g, x, shape[-2:], kernel, stride, dilation)
    return g.reshape(g.Concat(*(g.unsqueeze(y, 2) for y in parts), axis=2), shape)


def strided(g: Emitter, x, counts, kernel, stride, dilation) -> list:
    """For each place of a window what all windows of images have there, in reading order."""
    axes, steps = g.integers([2, 3]), g.integers(stride)
    found = []
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            starts = [i * dilation[0], j * dilation[1]]
            ends = [
                g.Add(g.Mul(g.Sub(g.size(n), 1), s), first + 1)
                for n, s, first in zip(counts, stride, starts, strict=True)
            ]
            ends = g.Concat(*ends, axis=0)
            found.append(g.Slice(x, g.integers(starts), ends, axes, steps))
    return found


@lowers("joined", cast="out")
def joined(g, x, *, size, kernel, stride, dilation):
    """A transposed convolution of each channel with filters that have a single 1."""
    _refuse_integers(g, "fold")
    n, c, kh, kw, rows, columns = x.shape
    filters = np.tile(np.eye(kh * kw).reshape(kh * kw, 1, kh, kw), (c, 1, 1, 1))
    more = []
    for m, k, s, d, out in zip(size, kernel, stride, dilation, (rows, columns), strict=True):
        more.append(_rest(g, "fold", m, out, k, s, d))
    return g.ConvTranspose(
        g.reshape(x, (n, c * kh * kw, rows, columns)), g.constant(filters, x.dtype),
        kernel_shape=[kh, kw], strides=list(stride), dilations=list(dilation), group=c,
        output_padding=more,
    )  # fmt: skip
