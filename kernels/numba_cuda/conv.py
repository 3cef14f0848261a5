"""2-D convolution and its two gradients, computed directly: each thread computes one element.

It sums each channel, tap or image, and adds these sums one after the other in the precision of the
arrays. So over very many of them it loses digits that kernels/cuda keeps.
"""

import numpy as np
from numba import cuda

from .launch import THREADS, blocks_for, check


@cuda.jit
def _forward(y, x, weight, stride, padding, dilation, groups):
    """y[n, o, p, q]: the window at (p, q) times filter o."""
    _, filters, height, width = y.shape
    place = cuda.grid(1)
    if place >= y.size:
        return
    n, o = place // (filters * height * width), place // (height * width) % filters
    p, q = place // width % height, place % width
    channels = weight.shape[1]
    first = o // (filters // groups) * channels  # the first channel of the filter's group
    total = y.dtype.type(0)
    for c in range(channels):
        of_channel = y.dtype.type(0)
        for i in range(weight.shape[2]):
            row = p * stride[0] - padding[0] + i * dilation[0]
            if row < 0 or row >= x.shape[2]:
                continue
            for j in range(weight.shape[3]):
                column = q * stride[1] - padding[1] + j * dilation[1]
                if 0 <= column < x.shape[3]:
                    of_channel += weight[o, c, i, j] * x[n, first + c, row, column]
        total += of_channel
    y[n, o, p, q] = total


@cuda.jit
def _input_grad(dx, g, weight, stride, padding, dilation, groups):
    """dx[n, c, row, column]: from every output whose window covers that place."""
    _, channels, height, width = dx.shape
    place = cuda.grid(1)
    if place >= dx.size:
        return
    n, c = place // (channels * height * width), place // (height * width) % channels
    row, column = place // width % height, place % width
    group_filters = weight.shape[0] // groups
    group = c // (channels // groups)
    total = dx.dtype.type(0)
    for i in range(weight.shape[2]):
        p = row + padding[0] - i * dilation[0]
        if p < 0 or p % stride[0] != 0 or p // stride[0] >= g.shape[2]:
            continue
        for j in range(weight.shape[3]):
            q = column + padding[1] - j * dilation[1]
            if q < 0 or q % stride[1] != 0 or q // stride[1] >= g.shape[3]:
                continue
            of_tap = dx.dtype.type(0)
            for o in range(group * group_filters, (group + 1) * group_filters):
                of_tap += (
                    weight[o, c % weight.shape[1], i, j] * g[n, o, p // stride[0], q // stride[1]]
                )
            total += of_tap
    dx[n, c, row, column] = total


@cuda.jit
def _weight_grad(dweight, g, x, stride, padding, dilation, groups):
    """dweight[o, c, i, j]: over all images and outputs, in a fixed order."""
    filters, channels, kernel_h, kernel_w = dweight.shape
    place = cuda.grid(1)
    if place >= dweight.size:
        return
    o, c = place // (channels * kernel_h * kernel_w), place // (kernel_h * kernel_w) % channels
    i, j = place // kernel_w % kernel_h, place % kernel_w
    channel = o // (filters // groups) * channels + c
    total = dweight.dtype.type(0)
    for n in range(g.shape[0]):
        of_image = dweight.dtype.type(0)
        for p in range(g.shape[2]):
            of_row = dweight.dtype.type(0)
            row = p * stride[0] - padding[0] + i * dilation[0]
            if row < 0 or row >= x.shape[2]:
                continue
            for q in range(g.shape[3]):
                column = q * stride[1] - padding[1] + j * dilation[1]
                if 0 <= column < x.shape[3]:
                    of_row += g[n, o, p, q] * x[n, channel, row, column]
            of_image += of_row
        total += of_image
    dweight[o, c, i, j] = total


def conv2d(x, weight, geometry, bias=None):
    """y[n, o, p, q] = bias[o] + sum of weight[o, c, i, j] * x[n, c, p*stride + i*dilation, ...]."""
    check("conv2d", x=x, weight=weight, bias=bias)
    y = np.zeros_like(x, shape=geometry.y_shape)
    _launch(_forward, y, x, weight, geometry)
    return y if bias is None else y + bias[:, None, None]


def conv2d_input_grad(g, weight, geometry):
    """dx: every output's gradient times the weights, added up where its window lies."""
    check("conv2d_input_grad", g=g, weight=weight)
    dx = np.zeros_like(g, shape=geometry.x_shape)
    _launch(_input_grad, dx, g, weight, geometry)
    return dx


def conv2d_weight_grad(g, x, geometry):
    """dweight: the output's gradient times the patches, summed over images and positions."""
    check("conv2d_weight_grad", g=g, x=x)
    dweight = np.zeros_like(x, shape=geometry.weight_shape)
    _launch(_weight_grad, dweight, g, x, geometry)
    return dweight


def _launch(kernel, out, a, b, geometry):
    """Launch a kernel with a thread for each element of `out`."""
    if out.size:
        s = geometry
        options = s.stride, s.padding, s.dilation, s.groups
        kernel[blocks_for(out.size), THREADS](out, a, b, *options)
