"""2-D convolution and its two gradients: see kernels/reference/conv.py for the layouts.

Which file computes what:
    conv_winograd.py   output channels that fill whole vectors, with 3 x 3 weights
    conv_direct.py     output channels that fill whole vectors, with any other weights
    conv_few.py        gradients with respect to few weights
    conv_depthwise.py  groups of one channel
    conv_planes.py     all other forward passes
    conv_patches.py    all other gradients
"""

import numpy as np

from .. import reference
from . import (
    conv_channels,
    conv_depthwise,
    conv_depthwise_3x3,
    conv_direct,
    conv_few,
    conv_patches,
    conv_planes,
    conv_winograd,
)
from .conv_geometry import geometry
from .half import all_half, by_single
from .memory import empty
from .threads import num_threads, pool

SMALL = 1 << 16  # multiplications that are worth a thread
PIXELS = 64  # of the output; for so few, an order of the weights that suits us does not pay


def _is_ours(*arrays):
    dtype = arrays[0].dtype
    return dtype in (np.float32, np.float64) and all(x.dtype == dtype for x in arrays)


def _is_little(s):
    return s.groups == 1 and s.images * s.ho * s.wo <= PIXELS


def _is_depthwise(s):
    return s.c_in == s.c_out == 1 < s.groups and s.macs > 0


def _padded(s, plane, dtype):
    """A padded plane for each thread, and how it lies there."""
    return empty((_threads(s), plane.size(np.dtype(dtype).itemsize)), dtype), s, plane


def _flat(x):
    return x.reshape(x.size)


def _threads(s):
    return max(1, min(num_threads(), s.macs // SMALL))


def conv2d(x, weight, stride, padding, dilation, groups, bias=None):
    """y[n, o, p, q] = bias[o] + sum of weight[o, c, i, j] * x[n, c, p*stride + i*dilation, ...]."""
    if not _is_ours(x, weight, *(() if bias is None else (bias,))):
        given = x, weight, stride, padding, dilation, groups, bias
        if all_half(x, weight, bias):
            return by_single(conv2d, *given)
        return reference.conv2d(*given)
    s = geometry(x.shape, weight.shape, stride, padding, dilation, groups)
    if _is_little(s):
        return reference.conv2d(x, weight, stride, padding, dilation, groups, bias)
    return _forward(x, weight, np.empty(0, x.dtype) if bias is None else bias, s, False)


def conv2d_input_grad(g, weight, x_shape, stride, padding, dilation, groups):
    """dx, where g is the gradient with respect to y."""
    if not _is_ours(g, weight):
        given = g, weight, x_shape, stride, padding, dilation, groups
        if all_half(g, weight):
            return by_single(conv2d_input_grad, *given)
        return reference.conv2d_input_grad(*given)
    s = geometry(x_shape, weight.shape, stride, padding, dilation, groups)
    if _is_little(s):
        given = g, weight, x_shape, stride, padding, dilation, groups
        return reference.conv2d_input_grad(*given)
    if _is_depthwise(s):
        dx = empty(x_shape, g.dtype)
        arrays = pool(), conv_depthwise_3x3.suits(s), _flat(g), _flat(weight), _flat(dx)
        plane = conv_depthwise.plane_of_g(s)
        conv_depthwise.input_grad(*arrays, *_padded(s, plane, g.dtype))
        return dx
    turned = s.inverse
    may_turn = s.sh == s.sw == 1 and min(turned.ph, turned.pw) >= 0
    if may_turn and (conv_channels.suits(turned, g.itemsize) or 2 * s.c_in >= s.c_out):
        return _forward(g, weight, np.empty(0, g.dtype), turned, True)
    dx = empty(x_shape, g.dtype)
    if s.macs:
        conv_patches.input_grad(g, weight, dx, s, _threads(s))
    else:
        dx[...] = 0
    return dx


def conv2d_weight_grad(g, x, weight_shape, stride, padding, dilation, groups):
    """dweight, where g is the gradient with respect to y."""
    if not _is_ours(g, x):
        given = g, x, weight_shape, stride, padding, dilation, groups
        if all_half(g, x):
            return by_single(conv2d_weight_grad, *given)
        return reference.conv2d_weight_grad(*given)
    s = geometry(x.shape, weight_shape, stride, padding, dilation, groups)
    if _is_little(s):
        return reference.conv2d_weight_grad(g, x, weight_shape, stride, padding, dilation, groups)
    dweight = empty(weight_shape, x.dtype)
    if not s.macs:
        dweight[...] = 0
    elif _is_depthwise(s):
        arrays = pool(), conv_depthwise_3x3.suits(s), _flat(g), _flat(x), _flat(dweight)
        plane = conv_depthwise.plane_of_x(s)
        conv_depthwise.weight_grad(*arrays, *_padded(s, plane, x.dtype))
    else:
        s = s.in_one_line
        way = conv_few if conv_few.suits(s, x.itemsize) else conv_patches
        if conv_channels.suits(s, x.itemsize):
            way = conv_direct
        way.weight_grad(g, x, dweight, s, _threads(s))
    return dweight


def _forward(x, weight, bias, s, turned):
    """x * weight + bias; with the weights turned, the gradient with respect to the input."""
    y = empty((s.images, s.groups * s.c_out, s.ho, s.wo), x.dtype)
    if not s.macs:
        y[...] = bias[:, None, None] if bias.size else 0
    elif _is_depthwise(s) and not turned:
        arrays = pool(), conv_depthwise_3x3.suits(s), _flat(x), _flat(weight), bias, _flat(y)
        plane = conv_depthwise.plane_of_x(s)
        conv_depthwise.forward(*arrays, *_padded(s, plane, x.dtype))
    else:
        s = s.in_one_line
        given = x, weight, bias, y, s, turned, _threads(s)
        if not conv_channels.suits(s, x.itemsize):
            conv_planes.forward(*given)
        elif not (conv_winograd.suits(s, x.itemsize) and conv_winograd.forward(*given)):
            conv_direct.forward(*given)  # also what is not finite by Winograd's way
    return y
