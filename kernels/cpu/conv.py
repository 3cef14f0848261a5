"""2-D convolution and its two gradients by patches: see kernels/reference/conv.py for the layouts.

Winograd's way takes fewer products, but its rounding differs from tile to tile: equal patches, as
on the plain background of an image, give unequal outputs, which max pooling then tells apart. A CNN
on MNIST left PyTorch's losses by 1e-4 within ten steps of Adam.
"""

import numpy as np

from .. import reference
from . import block_gemm, conv_depthwise, conv_direct, conv_patches, strip
from .conv_geometry import geometry
from .half import all_half, by_single
from .memory import empty
from .simd import REGISTER_BYTES
from .threads import num_threads, pool

SMALL = 1 << 16  # multiplications that are worth a thread


def _is_ours(*arrays):
    dtype = arrays[0].dtype
    return dtype in (np.float32, np.float64) and all(x.dtype == dtype for x in arrays)


def _is_depthwise(s):
    return s.c_in == s.c_out == 1 < s.groups and s.macs > 0


def _padded(s, plane, dtype):
    """A padded plane for each thread, and how it lies there."""
    return empty((_threads(s), plane.rows * plane.phases * plane.line), dtype), s, plane


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
    return _forward(x, weight, np.empty(0, x.dtype) if bias is None else bias, s, False)


def conv2d_input_grad(g, weight, x_shape, stride, padding, dilation, groups):
    """dx, where g is the gradient by y."""
    if not _is_ours(g, weight):
        given = g, weight, x_shape, stride, padding, dilation, groups
        if all_half(g, weight):
            return by_single(conv2d_input_grad, *given)
        return reference.conv2d_input_grad(*given)
    s = geometry(x_shape, weight.shape, stride, padding, dilation, groups)
    if _is_depthwise(s):
        dx = empty(x_shape, g.dtype)
        arrays = pool(), _flat(g), _flat(weight), _flat(dx)
        plane = conv_depthwise.plane_of_g(s, g.itemsize)
        conv_depthwise.input_grad(*arrays, *_padded(s, plane, g.dtype))
        return dx
    turned = s.inverse
    if s.sh == s.sw == 1 and min(turned.ph, turned.pw) >= 0 and 2 * s.c_in >= s.c_out:
        return _forward(g, weight, np.empty(0, g.dtype), turned, True)
    dx = empty(x_shape, g.dtype)
    if not s.macs:
        dx[...] = 0
        return dx
    block_gemm.prepare(g.dtype)
    threads = _threads(s)
    c = conv_patches.chunks(s._replace(images=1), g.itemsize, 1)
    u = empty((weight.size,), g.dtype)
    arrays = pool(), _flat(g), _flat(weight), _flat(dx), u
    conv_patches.input_grad(*arrays, *_scratch(threads, s, c, g.dtype), s, c)
    return dx


def conv2d_weight_grad(g, x, weight_shape, stride, padding, dilation, groups):
    """dweight, where g is the gradient by y."""
    if not _is_ours(g, x):
        given = g, x, weight_shape, stride, padding, dilation, groups
        if all_half(g, x):
            return by_single(conv2d_weight_grad, *given)
        return reference.conv2d_weight_grad(*given)
    s = geometry(x.shape, weight_shape, stride, padding, dilation, groups)
    dweight = empty(weight_shape, x.dtype)
    if not s.macs:
        dweight[...] = 0
        return dweight
    if _is_depthwise(s):
        arrays = pool(), _flat(g), _flat(x), _flat(dweight)
        plane = conv_depthwise.plane_of_x(s, x.itemsize)
        conv_depthwise.weight_grad(*arrays, *_padded(s, plane, x.dtype))
        return dweight
    threads, size = _threads(s), REGISTER_BYTES // x.itemsize
    if conv_direct.suits(s, size):
        strip.prepare(x.dtype)
        c = conv_direct.cuts(s, x.itemsize, size, threads, -(-s.c_out // size))
        rooms = [empty((threads, n), x.dtype) for n in conv_direct.weight_grad_rooms(s, c, size)]
        conv_direct.weight_grad(pool(), _flat(x), _flat(g), _flat(dweight), *rooms, s, c)
        return dweight
    block_gemm.prepare(x.dtype)
    c = conv_patches.chunks(s, x.itemsize, threads)
    sums = empty((threads, s.groups * s.c_in * s.kh * s.kw * c.g_line), x.dtype)
    arrays = pool(), _flat(x), _flat(g), _flat(dweight), sums
    conv_patches.weight_grad(*arrays, *_scratch(threads, s, c, x.dtype), s, c)
    return dweight


def _scratch(threads, s, c, dtype):
    return [empty((threads, size), dtype) for size in conv_patches.scratch_sizes(s, c)]


def _forward(x, weight, bias, s, turned):
    """x * weight + bias, or the gradient by the input with the weights turned."""
    y = empty((s.images, s.groups * s.c_out, s.ho, s.wo), x.dtype)
    if not s.macs:
        y[...] = bias[:, None, None] if bias.size else 0
        return y
    if _is_depthwise(s) and not turned:
        arrays = pool(), _flat(x), _flat(weight), bias, _flat(y)
        plane = conv_depthwise.plane_of_x(s, x.itemsize)
        conv_depthwise.forward(*arrays, *_padded(s, plane, x.dtype))
        return y
    threads = _threads(s)
    arrays = pool(), _flat(x), _flat(weight), bias, _flat(y)
    size = REGISTER_BYTES // x.itemsize
    if conv_direct.suits(s, size):
        strip.prepare(x.dtype)
        c = conv_direct.cuts(s, x.itemsize, size, threads, conv_direct.PANEL)
        u_next = (s.c_in * s.kh * s.kw + 1) * size
        u = empty((s.groups * c.vectors * u_next + size,), x.dtype)
        start = np.empty(s.groups * c.vectors * size, x.dtype)
        rooms = [empty((threads, n), x.dtype) for n in conv_direct.forward_rooms(s, c, size)]
        conv_direct.forward(*arrays, u, u_next, start, *rooms, s, c, turned)
        return y
    block_gemm.prepare(x.dtype)
    c = conv_patches.chunks(s, x.itemsize, threads)
    length = s.c_in * s.kh * s.kw
    w_line = length + 16 if length * x.itemsize % 1024 == 0 else length
    own = turned or w_line > length
    u = empty((s.groups * s.c_out * w_line if own else 0,), x.dtype)
    conv_patches.forward(*arrays, u, w_line, *_scratch(threads, s, c, x.dtype), s, c, turned)
    return y
