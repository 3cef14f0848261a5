"""2-D convolution and its two gradients: see kernels/reference/conv.py for the layouts.

Which file computes what:
    winograd.py   output channels that fill whole vectors, with 3 x 3 weights
    direct.py     output channels that fill whole vectors, with any other weights
    few.py        gradients with respect to few weights
    depthwise.py  groups of one channel
    planes.py     all other forward passes
    patches.py    all other gradients
"""

import numpy as np

from ..machine.kernel import kernel
from ..machine.memory import empty
from ..machine.threads import num_threads, pool
from . import channels, depthwise, depthwise_3x3, direct, few, patches, planes, winograd
from .geometry import geometry

SMALL = 1 << 16  # multiplications that are worth a thread
PIXELS = 64  # of the output; for so few, an order of the weights that suits us does not pay


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


@kernel("x weight bias?", half=True)
def conv2d(x, weight, stride, padding, dilation, groups, bias=None):
    """y[n, o, p, q] = bias[o] + sum of weight[o, c, i, j] * x[n, c, p*stride + i*dilation, ...]."""
    s = geometry(x.shape, weight.shape, stride, padding, dilation, groups)
    if _is_little(s):
        return NotImplemented
    return _forward(x, weight, np.empty(0, x.dtype) if bias is None else bias, s, False)


@kernel("g weight", half=True)
def conv2d_input_grad(g, weight, x_shape, stride, padding, dilation, groups):
    """dx, where g is the gradient with respect to y."""
    s = geometry(x_shape, weight.shape, stride, padding, dilation, groups)
    if _is_little(s):
        return NotImplemented
    if _is_depthwise(s):
        dx = empty(x_shape, g.dtype)
        arrays = pool(), depthwise_3x3.suits(s), _flat(g), _flat(weight), _flat(dx)
        plane = depthwise.plane_of_g(s)
        depthwise.input_grad(*arrays, *_padded(s, plane, g.dtype))
        return dx
    turned = s.inverse
    may_turn = s.sh == s.sw == 1 and min(turned.ph, turned.pw) >= 0
    if may_turn and (channels.suits(turned, g.itemsize) or 2 * s.c_in >= s.c_out):
        return _forward(g, weight, np.empty(0, g.dtype), turned, True)
    dx = empty(x_shape, g.dtype)
    if s.macs:
        patches.input_grad(g, weight, dx, s, _threads(s))
    else:
        dx[...] = 0
    return dx


@kernel("g x", half=True)
def conv2d_weight_grad(g, x, weight_shape, stride, padding, dilation, groups):
    """dweight, where g is the gradient with respect to y."""
    s = geometry(x.shape, weight_shape, stride, padding, dilation, groups)
    if _is_little(s):
        return NotImplemented
    dweight = empty(weight_shape, x.dtype)
    if not s.macs:
        dweight[...] = 0
    elif _is_depthwise(s):
        arrays = pool(), depthwise_3x3.suits(s), _flat(g), _flat(x), _flat(dweight)
        plane = depthwise.plane_of_x(s)
        depthwise.weight_grad(*arrays, *_padded(s, plane, x.dtype))
    else:
        s = s.in_one_line
        way = few if few.suits(s, x.itemsize) else patches
        if channels.suits(s, x.itemsize):
            way = direct
        way.weight_grad(g, x, dweight, s, _threads(s))
    return dweight


def _forward(x, weight, bias, s, turned):
    """x * weight + bias; with the weights turned, the gradient with respect to the input."""
    y = empty((s.images, s.groups * s.c_out, s.ho, s.wo), x.dtype)
    if not s.macs:
        y[...] = bias[:, None, None] if bias.size else 0
    elif _is_depthwise(s) and not turned:
        arrays = pool(), depthwise_3x3.suits(s), _flat(x), _flat(weight), bias, _flat(y)
        plane = depthwise.plane_of_x(s)
        depthwise.forward(*arrays, *_padded(s, plane, x.dtype))
    else:
        s = s.in_one_line
        given = x, weight, bias, y, s, turned, _threads(s)
        if not channels.suits(s, x.itemsize):
            planes.forward(*given)
        elif not (winograd.suits(s, x.itemsize) and winograd.forward(*given)):
            direct.forward(*given)  # also what is not finite by Winograd's way
    return y
