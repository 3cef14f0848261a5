"""Ops of ONNX on integers that stand for floating numbers: q = round(x / scale) + zero point."""

import numpy as np

from tinygrad_like.engine import astype
from tinygrad_like.onnx.load.casts import cast
from tinygrad_like.onnx.load.dtypes import dtype_of
from tinygrad_like.onnx.load.table import axis_of, runs
from tinygrad_like.onnx.load.windows import convolve
from tinygrad_like.ops.arrays import shape as arrays
from tinygrad_like.ops.elements.compare import equal
from tinygrad_like.ops.elements.elementwise import clip, round, where
from tinygrad_like.ops.indexing import repetition
from tinygrad_like.ops.matrices import linalg
from tinygrad_like.ops.reductions import reduce

INT32, INT64 = np.dtype(np.int32), np.dtype(np.int64)


def _spread(p, x, axis, block_size):
    """Parameters for the whole tensor, for each slice along an axis or each block, beside x."""
    if p is None or p.ndim == 0 or p.shape == (1,):
        return p if p is None else arrays.reshape(p, shape=())
    axis = axis_of(axis, x.ndim)
    if block_size:
        wide = repetition.repeat(p, block_size, axis)
        return wide[arrays.slice_at(axis, 0, x.shape[axis])]
    shape = [1] * x.ndim
    shape[axis] = -1
    return arrays.reshape(p, shape=tuple(shape))


def quantized(x, scale, zero, dtype):
    """The integers of a dtype for floating numbers: nearest, ties to even, kept within range."""
    q = astype(round(x / scale), dtype=np.float64)
    if zero is not None:
        q = q + astype(zero, dtype=np.float64)
    info = np.iinfo(dtype)
    return cast(clip(q, min=float(info.min), max=float(info.max)), dtype)


@runs("QuantizeLinear")
def quantize(x, scale, zero=None, *, axis=1, block_size=0, output_dtype=0, precision=0, saturate=1):
    """The dtype is that of the zero point, or `output_dtype`, or uint8."""
    if zero is not None:
        dtype = zero.dtype
    else:
        dtype = dtype_of(output_dtype, "QuantizeLinear") if output_dtype else np.dtype(np.uint8)
    if precision:
        of = dtype_of(precision, "precision of QuantizeLinear")
        x, scale = cast(x, of), cast(scale, of)
    else:
        x = cast(x, scale.dtype)
    scale, zero = _spread(scale, x, axis, block_size), _spread(zero, x, axis, block_size)
    return quantized(x, scale, zero, dtype)


@runs("DequantizeLinear")
def dequantize(x, scale, zero=None, *, axis=1, block_size=0, output_dtype=0):
    """(x - zero) scale."""
    dtype = dtype_of(output_dtype, "DequantizeLinear") if output_dtype else scale.dtype
    scale, zero = _spread(scale, x, axis, block_size), _spread(zero, x, axis, block_size)
    wide = astype(x, dtype=INT64)
    if zero is not None:
        wide = wide - astype(zero, dtype=INT64)
    return astype(astype(wide, dtype=scale.dtype) * scale, dtype=dtype)


@runs("DynamicQuantizeLinear")
def dynamic_quantize(x):
    """(q, scale, zero point) with the range of x, and 0, spread over 0 to 255; of zeros scale 1."""
    low = clip(reduce.min(x), min=None, max=0.0)
    high = clip(reduce.max(x), min=0.0, max=None)
    scale = (high - low) / 255
    scale = where(equal(scale, 0), 1.0, scale)
    zero = cast(clip(round(-low / scale), min=0.0, max=255.0), np.dtype(np.uint8))
    return quantized(x, scale, zero, np.dtype(np.uint8)), scale, zero


def _shifted(x, zero, rows=None):
    """x minus its zero point, as wide integers; one for each row with `rows`, the axis of it."""
    x = astype(x, dtype=INT64)
    if zero is None:
        return x
    zero = astype(zero, dtype=INT64)
    if rows is not None and zero.ndim == 1 and zero.shape != (1,):
        shape = [1] * x.ndim
        shape[rows] = -1
        zero = arrays.reshape(zero, shape=tuple(shape))
    return x - zero


@runs("MatMulInteger")
def matmul_integer(a, b, a_zero=None, b_zero=None):
    y = linalg.matmul(_shifted(a, a_zero, -2), _shifted(b, b_zero))
    return cast(y, INT32)


@runs("ConvInteger")
def conv_integer(
    x, w, x_zero=None, w_zero=None, *, auto_pad="NOTSET", dilations=None, group=1,
    kernel_shape=None, pads=None, strides=None,
):  # fmt: skip
    y = convolve(
        _shifted(x, x_zero), _shifted(w, w_zero, 0), auto_pad=auto_pad, dilations=dilations,
        group=group, pads=pads, strides=strides,
    )  # fmt: skip
    return cast(y, INT32)


@runs("QLinearMatMul")
def qlinear_matmul(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero):
    y = linalg.matmul(_shifted(a, a_zero, -2), _shifted(b, b_zero))
    a_scale = _column(a_scale, y)
    return _requantized(y, a_scale * b_scale, _column(y_scale, y), _column(y_zero, y), y_zero.dtype)


def _column(p, y):
    """Parameters of rows beside a matrix."""
    return arrays.expand_dims(p, -1) if p.ndim == 1 and p.shape != (1,) else p


def _requantized(y, scale, y_scale, zero, dtype):
    real = astype(y, dtype=np.float64) * astype(scale, dtype=np.float64)
    return quantized(real, astype(y_scale, dtype=np.float64), zero, dtype)


@runs("QLinearConv")
def qlinear_conv(
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias=None, *, auto_pad="NOTSET",
    dilations=None, group=1, kernel_shape=None, pads=None, strides=None,
):  # fmt: skip
    """The convolution of integers, rescaled; the bias is an integer of scale x_scale w_scale."""
    bias = None if bias is None else astype(bias, dtype=INT64)
    y = convolve(
        _shifted(x, x_zero), _shifted(w, w_zero, 0), bias, auto_pad=auto_pad, dilations=dilations,
        group=group, pads=pads, strides=strides,
    )  # fmt: skip
    if w_scale.ndim == 1 and w_scale.shape != (1,):
        w_scale = arrays.reshape(w_scale, shape=(-1, *(1,) * (y.ndim - 2)))
    return _requantized(y, x_scale * w_scale, y_scale, y_zero, y_zero.dtype)
