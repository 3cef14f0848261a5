"""Kernels of one element at a time: activations with their gradients, the sum of two arrays.

Nothing overflows: exp only ever sees arguments of at most 0.
"""

import math
from importlib import import_module

import numpy as np

from .contract import kernel
from .precision import narrow, underflow_is_fine, wide

GELU_RATE = 2 * math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715


def _special(x):
    """The module of special functions for x's kind of array: they do not dispatch as np's do."""
    on_gpu = type(x).__module__.partition(".")[0] == "cupy"
    return import_module("cupyx.scipy.special" if on_gpu else "scipy.special")


def _minus_abs(x):
    """-|x|; for complex numbers the lesser of x and -x, so that a complex step passes through."""
    return np.minimum(x, -x)


def _logistic(x):
    """1 / (1 + exp(-x)), or exp(x) / (1 + exp(x)) for x < 0: to full relative precision."""
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(_minus_abs(x)))


@kernel(any_layout=True)
def add(a, b):
    """a + b, of arrays that broadcast, or of scalars."""
    return a + b


@kernel
@underflow_is_fine
def erf(x):
    """The error function, 2 / sqrt(pi) * the integral of exp(-t^2) from 0 to x."""
    return narrow(_special(x).erf(wide(x)), x.dtype)


@kernel(any_layout=True)
@underflow_is_fine
def sigmoid(x):
    """y = 1 / (1 + exp(-x))."""
    return narrow(_logistic(wide(x)), x.dtype)


@kernel(any_layout=True)
@underflow_is_fine
def sigmoid_backward(g, y):
    """dx = g * y * (1 - y), from the output y."""
    wide_y = wide(y)
    return narrow(wide(g) * wide_y * (1 - wide_y), y.dtype)


@kernel(any_layout=True)
@underflow_is_fine
def tanh_backward(g, y):
    """dx = g * (1 - y^2), from the output y."""
    wide_y = wide(y)
    return narrow(wide(g) * (1 - wide_y * wide_y), y.dtype)


@kernel(any_layout=True)
def relu(x):
    """y = max(x, 0)."""
    return np.maximum(x, 0)


@kernel(any_layout=True)
def relu_backward(g, y):
    """dx = g where the output y is above 0, else 0."""
    return np.where(y > 0, g, 0)


@kernel
@underflow_is_fine
def silu(x):
    """y = x * sigmoid(x)."""
    wide_x = wide(x)
    return narrow(wide_x * _logistic(wide_x), x.dtype)


@kernel
@underflow_is_fine
def silu_backward(g, x):
    """dx = g * s * (1 + x * (1 - s)), s = sigmoid(x)."""
    wide_x = wide(x)
    s = _logistic(wide_x)
    return narrow(wide(g) * s * (1 + wide_x * (1 - s)), x.dtype)


@kernel
@underflow_is_fine
def softplus(x):
    """y = log(1 + exp(x)), as max(x, 0) + log(1 + exp(-|x|))."""
    wide_x = wide(x)
    y = np.maximum(wide_x, 0) + np.log1p(np.exp(_minus_abs(wide_x)))
    return narrow(y, x.dtype)


@kernel
@underflow_is_fine
def softplus_backward(g, x):
    """dx = g * sigmoid(x)."""
    return narrow(wide(g) * _logistic(wide(x)), x.dtype)


@kernel
@underflow_is_fine
def gelu(x, approximate):
    """y = x * Phi(x), Phi the normal distribution function, or its tanh form where `approximate`.

    At -inf it is 0, the limit; the tanh form is NaN there.

    Hendrycks and Gimpel 2016, "Gaussian error linear units".
    """
    wide_x = wide(x)
    finite = wide_x if approximate else np.where(wide_x == -np.inf, 0, wide_x)
    return narrow(finite * _normal_cdf(wide_x, approximate), x.dtype)


@kernel
@underflow_is_fine
def gelu_backward(g, x, approximate):
    """dx = g * (Phi(x) + x * Phi'(x))."""
    wide_x = wide(x)
    cdf = _normal_cdf(wide_x, approximate)
    if approximate:
        slope = cdf * (1 - cdf) * GELU_RATE * (1 + 3 * GELU_CUBIC * wide_x * wide_x)
        return narrow(wide(g) * (cdf + wide_x * slope), x.dtype)
    slope = np.exp(-0.5 * wide_x * wide_x) / math.sqrt(2 * math.pi)
    finite = np.where(np.isinf(wide_x), 0, wide_x)
    return narrow(wide(g) * (cdf + finite * slope), x.dtype)


def _normal_cdf(x, approximate):
    """Phi(x), or 0.5 * (1 + tanh(u)), u = sqrt(2 / pi) * (x + 0.044715 x^3), as sigmoid(2u).

    Both keep their relative precision for x << 0, where 1 + erf and 1 + tanh lose it.
    """
    if approximate:
        return _logistic(GELU_RATE * (x + GELU_CUBIC * x * x * x))
    return _special(x).ndtr(x)
