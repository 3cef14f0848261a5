"""Layer, RMS, batch and group normalisation: xhat = (x - mean) * rstd, y = xhat * weight + bias.

rstd = 1 / sqrt(var + eps), and var is the biased variance. `weight` and `bias` may be None. A
backward kernel gets `needs`, a bool for each gradient: one that is not needed is None. Statistics
are float32 for float16 input; over no elements at all, mean and var are 0.
"""

import numpy as np

from .contract import kernel
from .precision import narrow, wide
from .reduce import total


def _sum(x, axes):
    return total(x, axes).astype(x.dtype)


def _mean(x, axes):
    """The mean over `axes`, kept as axes of length 1; 0 where there is nothing to average."""
    sums = total(x, axes, keepdims=True)
    return (sums / max(x.size // max(sums.size, 1), 1)).astype(x.dtype)


def _standardise(x, axes, eps):
    """(xhat, mean, var, rstd) of x over `axes`."""
    mean = _mean(x, axes)
    xhat = x - mean
    var = _mean(xhat * xhat, axes)
    rstd = 1 / np.sqrt(var + eps)
    xhat *= rstd
    return xhat, mean, var, rstd


def _standardise_backward(g, xhat, rstd, axes):
    """The gradient with respect to x: g less its mean, less its part along xhat, times rstd."""
    return rstd * (g - _mean(g, axes) - xhat * _mean(g * xhat, axes))


def _scaled(x, weight):
    return x if weight is None else x * wide(weight)


def _moved(x, bias):
    return x if bias is None else x + wide(bias)


def _parameter_grads(g, xhat, axes, needs, dtype):
    """(dweight, dbias) of y = xhat * weight + bias."""
    dweight = narrow(_sum(g * xhat, axes), dtype) if needs[0] else None
    dbias = narrow(_sum(g, axes), dtype) if needs[1] else None
    return dweight, dbias


def _per_channel(parameter):
    """(C,) -> (C, 1), to stand beside (N, C, L)."""
    return None if parameter is None else parameter[:, None]


@kernel
def layer_norm(x, weight, bias, eps):
    """(y, mean, rstd) of each row: (R, D), (D,), (D,) -> (R, D), (R,), (R,)."""
    xhat, mean, _, rstd = _standardise(wide(x), -1, eps)
    y = _moved(_scaled(xhat, weight), bias)
    return narrow(y, x.dtype), mean[:, 0], rstd[:, 0]


@kernel
def layer_norm_backward(g, x, weight, mean, rstd, needs):
    """(dx, dweight, dbias), each None where `needs` says so."""
    wide_g, rstd = wide(g), rstd[:, None]
    xhat = (wide(x) - mean[:, None]) * rstd
    dx = None
    if needs[0]:
        dx = _standardise_backward(_scaled(wide_g, weight), xhat, rstd, -1)
        dx = narrow(dx, x.dtype)
    return dx, *_parameter_grads(wide_g, xhat, 0, needs[1:], x.dtype)


@kernel
def rms_norm(x, weight, eps):
    """y = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps): (R, D), (D,) -> (R, D), (R,)."""
    wide_x = wide(x)
    rstd = 1 / np.sqrt(_mean(wide_x * wide_x, -1) + eps)
    y = _scaled(wide_x * rstd, weight)
    return narrow(y, x.dtype), rstd[:, 0]


@kernel
def rms_norm_backward(g, x, weight, rstd, needs):
    """(dx, dweight), each None where `needs` says so."""
    wide_g, rstd = wide(g), rstd[:, None]
    xhat = wide(x) * rstd
    dx = None
    if needs[0]:
        scaled = _scaled(wide_g, weight)
        dx = narrow(rstd * (scaled - xhat * _mean(scaled * xhat, -1)), x.dtype)
    dweight, _ = _parameter_grads(wide_g, xhat, 0, (needs[1], False), x.dtype)
    return dx, dweight


@kernel
def batch_norm(x, weight, bias, eps):
    """(y, mean, var) of each channel over the whole batch: (N, C, L) -> (N, C, L), (C,), (C,)."""
    xhat, mean, var, _ = _standardise(wide(x), (0, 2), eps)
    y = _moved(_scaled(xhat, _per_channel(weight)), _per_channel(bias))
    return narrow(y, x.dtype), mean[0, :, 0], var[0, :, 0]


@kernel
def batch_norm_backward(g, x, weight, mean, var, eps, needs):
    """(dx, dweight, dbias), each None where `needs` says so; mean and var are functions of x."""
    wide_g = wide(g)
    rstd = _per_channel(1 / np.sqrt(var + eps))
    xhat = (wide(x) - _per_channel(mean)) * rstd
    dx = None
    if needs[0]:
        dx = _standardise_backward(_scaled(wide_g, _per_channel(weight)), xhat, rstd, (0, 2))
        dx = narrow(dx, x.dtype)
    return dx, *_parameter_grads(wide_g, xhat, (0, 2), needs[1:], x.dtype)


def _in_groups(x, groups):
    """(N, C, L) -> (N, groups, C / groups * L)."""
    n, c, length = x.shape
    return x.reshape(n, groups, c // groups * length)


@kernel
def group_norm(x, weight, bias, groups, eps):
    """(y, mean, rstd) of each group of channels in each image: mean and rstd are (N, groups)."""
    xhat, mean, _, rstd = _standardise(_in_groups(wide(x), groups), -1, eps)
    y = _moved(_scaled(xhat.reshape(x.shape), _per_channel(weight)), _per_channel(bias))
    return narrow(y, x.dtype), mean[:, :, 0], rstd[:, :, 0]


@kernel
def group_norm_backward(g, x, weight, groups, mean, rstd, needs):
    """(dx, dweight, dbias), each None where `needs` says so."""
    wide_g, rstd = wide(g), rstd[:, :, None]
    xhat = (_in_groups(wide(x), groups) - mean[:, :, None]) * rstd
    dx = None
    if needs[0]:
        scaled = _in_groups(_scaled(wide_g, _per_channel(weight)), groups)
        dx = _standardise_backward(scaled, xhat, rstd, -1)
        dx = narrow(dx.reshape(x.shape), x.dtype)
    return dx, *_parameter_grads(wide_g, xhat.reshape(x.shape), (0, 2), needs[1:], x.dtype)
