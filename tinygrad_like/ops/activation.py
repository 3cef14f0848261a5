"""Activations: elementwise ops between the layers of a network.

What the gradient is at kinks: see the table in ops/__init__.py.
"""

import math

from tinygrad_like.backend import narrow, wide
from tinygrad_like.engine import (
    by_kernel,
    check_choice,
    check_flag,
    check_number,
    elementwise_op,
    in_single,
)
from tinygrad_like.ops.elementwise import add, erf, multiply, tanh, where, zeros_of


@elementwise_op(floating=True, x=lambda g, out: g * out * (1 - out))
def sigmoid(be, x):
    """1 / (1 + exp(-x)), without overflow."""
    return be.k.sigmoid(x)


@elementwise_op(g=lambda h, y: relu_backward(h, y), y=lambda h: zeros_of(h))
def relu_backward(be, g, y):
    """The gradient of relu with respect to its input, from its output y: g where y > 0, else 0."""
    return be.k.relu_backward(g, y)


@elementwise_op(x=lambda g, out: relu_backward(g, out))
def relu(be, x):
    """max(x, 0)."""
    return be.k.relu(x)


@elementwise_op(x=lambda g, x, slope: where(x > 0, g, multiply(g, slope)))
def leaky_relu(be, x, *, slope=0.01):
    """x above 0, slope x below (Maas et al. 2013)."""
    slope = check_number("leaky_relu", "slope", slope)
    return be.xp.where(x > 0, x, narrow(wide(x) * slope, x.dtype))


@elementwise_op(
    floating=True,
    x=lambda g, x, out, alpha: where(x > 0, g, multiply(g, add(out, alpha))),
)
def elu(be, x, *, alpha=1.0):
    """x above 0, alpha (exp(x) - 1) below (Clevert et al. 2016)."""
    alpha = check_number("elu", "alpha", alpha)
    below = alpha * be.xp.expm1(be.xp.minimum(wide(x), 0))
    return be.xp.where(x > 0, x, narrow(below, x.dtype))


def tanh_form(name, approximate):
    """Whether gelu's option asks for the tanh form: a boolean, or PyTorch's "tanh" or "none"."""
    if approximate is False or approximate is True:
        return approximate
    if isinstance(approximate, str):
        return check_choice(name, "approximate", approximate, ("none", "tanh")) == "tanh"
    return check_flag(name, "approximate", approximate)


def _gelu(x, approximate):
    if tanh_form("gelu", approximate):
        return x * 0.5 * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return x * 0.5 * (1 + erf(x * math.sqrt(0.5)))


@elementwise_op(
    floating=True,
    composite=_gelu,
    backward=lambda g, be, x, approximate: [
        be.k.gelu_backward(g, x, tanh_form("gelu", approximate))
    ],
    batch_backward=by_kernel,
)
def gelu(be, x, *, approximate=False):
    """x Phi(x), with the normal distribution function Phi; `approximate` takes the tanh form.

    PyTorch's names of the two, "none" and "tanh", are understood as well. Source: Hendrycks and
    Gimpel 2016, "Gaussian error linear units".
    """
    return be.k.gelu(x, tanh_form("gelu", approximate))


@elementwise_op(
    floating=True,
    composite=lambda x: x * sigmoid(x),
    backward=lambda g, be, x: [be.k.silu_backward(g, x)],
    batch_backward=by_kernel,
)
def silu(be, x):
    """x sigmoid(x), also called swish (Ramachandran et al. 2017)."""
    return be.k.silu(x)


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x: g * sigmoid(x))
def softplus(be, x):
    """log(1 + exp(x)), without overflow."""
    return be.k.softplus(x)
