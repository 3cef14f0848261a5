"""2-D convolution and its two gradients: see kernels/reference/conv.py for the layouts.

Which file computes what:
    winograd.py   output channels that fill whole vectors, with 3 x 3 weights
    direct.py     output channels that fill whole vectors, with any other weights
    few.py        gradients with respect to few weights
    depthwise.py  groups of one channel
    planes.py     all other forward passes
    patches.py    all other gradients
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...geometry import Geometry
from ..machine.kernel import kernel
from ..machine.memory import empty
from ..machine.threads import num_threads, pool
from . import channels, depthwise, depthwise_3x3, direct, few, patches, planes, winograd

SMALL = 1 << 16  # multiplications that are worth a thread
PIXELS = 64  # of the output, up to which rearranging the weights costs more than it saves


class Plan(NamedTuple):
    """How one of the three kernels is computed for a Geometry and a dtype."""

    algorithm: Callable  # its arguments end with the Geometry and the number of threads
    geometry: Geometry  # as the algorithm takes it
    threads: int  # how many the work is worth; fewer may be available


def _plan(algorithm, s):
    return Plan(algorithm, s, max(1, s.macs // SMALL))


@kernel("x weight bias?", half=True)
def conv2d(x, weight, geometry, bias=None):
    """y[n, o, p, q] = bias[o] + sum of weight[o, c, i, j] * x[n, c, p*stride + i*dilation, ...]."""
    plan = _forward_plan(geometry, x.itemsize, False)
    if plan is None:
        return NotImplemented
    bias = np.empty(0, x.dtype) if bias is None else bias
    y = empty(geometry.y_shape, x.dtype)
    threads = min(plan.threads, num_threads())
    plan.algorithm(x, weight, bias, y, plan.geometry, False, threads)
    return y


@kernel("g weight", half=True)
def conv2d_input_grad(g, weight, geometry):
    """dx, where g is the gradient with respect to y."""
    return _gradient(_input_grad_plan(geometry, g.itemsize), g, weight, geometry.x_shape)


@kernel("g x", half=True)
def conv2d_weight_grad(g, x, geometry):
    """dweight, where g is the gradient with respect to y."""
    return _gradient(_weight_grad_plan(geometry, g.itemsize), g, x, geometry.weight_shape)


def _gradient(plan, g, factor, shape):
    """A gradient of this shape by its plan; `factor` is the other array of the products with g."""
    if plan is None:
        return NotImplemented
    gradient = empty(shape, g.dtype)
    plan.algorithm(g, factor, gradient, plan.geometry, min(plan.threads, num_threads()))
    return gradient


# Plans are made once for a Geometry. None leaves the call to the reference.


@functools.lru_cache(maxsize=1024)
def _forward_plan(s, itemsize, flipped):
    """The plan of x * weight + bias or, with flipped weights, of the gradient with respect to x."""
    if _is_little(s) and not flipped:
        return None
    if not s.macs:
        return _plan(_bias_alone, s)
    if _is_depthwise(s) and not flipped:
        return _plan(_depthwise_forward, s)
    s = _in_one_line(s)
    if not channels.suits(s, itemsize):
        return _plan(planes.forward, s)
    return _plan(_by_winograd if winograd.suits(s, itemsize) else direct.forward, s)


@functools.lru_cache(maxsize=1024)
def _input_grad_plan(s, itemsize):
    if _is_little(s):
        return None
    if _is_depthwise(s):
        return _plan(_depthwise_input_grad, s)
    inverse = s.inverse
    may_flip = s.sh == s.sw == 1 and min(inverse.ph, inverse.pw) >= 0
    if may_flip and (channels.suits(inverse, itemsize) or 2 * s.c_in >= s.c_out):
        forward = _forward_plan(inverse, itemsize, True)
        return forward._replace(algorithm=functools.partial(_flipped, forward.algorithm))
    return _plan(patches.input_grad if s.macs else _no_input_grad, s)


@functools.lru_cache(maxsize=1024)
def _weight_grad_plan(s, itemsize):
    if _is_little(s):
        return None
    if not s.macs:
        return _plan(_no_weight_grad, s)
    if _is_depthwise(s):
        return _plan(_depthwise_weight_grad, s)
    s = _in_one_line(s)
    if channels.suits(s, itemsize):
        return _plan(direct.weight_grad, s)
    return _plan(few.weight_grad if few.suits(s, itemsize) else patches.weight_grad, s)


def _is_little(s):
    return s.groups == 1 and s.images * s.ho * s.wo <= PIXELS


def _is_depthwise(s):
    return s.c_in == s.c_out == 1 < s.groups and s.macs > 0


def _in_one_line(s):
    """The same with each image as one line, where the weights are 1 x 1, at stride 1, unpadded."""
    if (s.kh, s.kw, s.sh, s.sw, s.ph, s.pw) != (1, 1, 1, 1, 0, 0):
        return s
    pixels = s.h * s.w
    return s._replace(h=1, w=pixels, ho=1, wo=pixels)


# Algorithms that are not the forward, input_grad or weight_grad of a module


def _by_winograd(x, weight, bias, y, s, flipped, threads):
    if not winograd.forward(x, weight, bias, y, s, flipped, threads):  # something is not finite
        direct.forward(x, weight, bias, y, s, flipped, threads)


def _flipped(forward, g, weight, dx, inverse, threads):
    """dx as the convolution of g with the flipped weights."""
    forward(g, weight, np.empty(0, g.dtype), dx, inverse, True, threads)


def _bias_alone(x, weight, bias, y, s, flipped, threads):
    y[...] = bias[:, None, None] if bias.size else 0


def _no_input_grad(g, weight, dx, s, threads):
    dx[...] = 0


def _no_weight_grad(g, x, dweight, s, threads):
    dweight[...] = 0


def _depthwise_forward(x, weight, bias, y, s, flipped, threads):
    arrays = pool(), depthwise_3x3.suits(s), _flat(x), _flat(weight), bias, _flat(y)
    depthwise.forward(*arrays, *_padded(s, depthwise.plane_of_x(s), x.dtype, threads))


def _depthwise_input_grad(g, weight, dx, s, threads):
    arrays = pool(), depthwise_3x3.suits(s), _flat(g), _flat(weight), _flat(dx)
    depthwise.input_grad(*arrays, *_padded(s, depthwise.plane_of_g(s), g.dtype, threads))


def _depthwise_weight_grad(g, x, dweight, s, threads):
    arrays = pool(), depthwise_3x3.suits(s), _flat(g), _flat(x), _flat(dweight)
    depthwise.weight_grad(*arrays, *_padded(s, depthwise.plane_of_x(s), x.dtype, threads))


def _padded(s, plane, dtype, threads):
    """(memory for a padded plane for each thread, the Geometry, the layout of the plane)."""
    return empty((threads, plane.size(dtype.itemsize)), dtype), s, plane


def _flat(x):
    return x.reshape(x.size)
