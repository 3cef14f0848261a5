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
    composed,
    elementwise_op,
    in_single,
)
from tinygrad_like.ops.arrays.shape import normal_axis, reshape, split
from tinygrad_like.ops.elements.compare import greater, less, less_equal, logical_and
from tinygrad_like.ops.elements.elementwise import (
    abs,
    add,
    clip,
    divide,
    erf,
    exp,
    multiply,
    negative,
    square,
    subtract,
    tanh,
    where,
    zeros_of,
)

TINIEST = math.ulp(0.0)  # the least positive number


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


def _softplus_rule(g, x, beta, threshold):
    if beta == 1 and threshold is None:
        return g * sigmoid(x)
    scaled = multiply(x, beta)
    slope = g * sigmoid(scaled)
    return slope if threshold is None else where(greater(scaled, threshold), g, slope)


@elementwise_op(autocast=in_single, floating=True, x=_softplus_rule)
def softplus(be, x, *, beta=1.0, threshold=None):
    """log(1 + exp(beta x)) / beta, without overflow.

    It is exact for all x; PyTorch's is x where beta x is above 20, which `threshold=20` does here.
    """
    beta = check_number("softplus", "beta", beta, TINIEST, expected="a positive number")
    if beta == 1 and threshold is None:
        return be.k.softplus(x)
    scaled = wide(x) * beta
    y = be.k.softplus(scaled) / beta
    if threshold is not None:
        threshold = check_number("softplus", "threshold", threshold)
        y = be.xp.where(scaled > threshold, wide(x), y)
    return narrow(y, x.dtype)


@composed
def logsigmoid(x):
    """log(sigmoid(x)), without overflow."""
    return negative(softplus(multiply(x, -1.0)))


@composed
def mish(x):
    """x tanh(softplus(x)) (Misra 2019)."""
    return multiply(x, tanh(softplus(x)))


# In pieces


@elementwise_op(
    x=lambda g, x, min, max: where(logical_and(greater(x, min), less(x, max)), g, 0),
)
def hardtanh(be, x, *, min=-1.0, max=1.0):
    """x limited to the range from `min` to `max`, as clip, but with gradient 0 at the limits.

    Raises ValueError for a `min` above `max`.
    """
    min, max = check_number("hardtanh", "min", min), check_number("hardtanh", "max", max)
    if min > max:
        raise ValueError(f"[hardtanh] min is {min}, expected at most max, {max}")
    return be.xp.clip(x, min, max)


@composed
def relu6(x):
    """min(max(x, 0), 6) (Krizhevsky 2010)."""
    return hardtanh(x, min=0.0, max=6.0)


@composed
def hardsigmoid(x):
    """A sigmoid in straight pieces: min(max(x + 3, 0), 6) / 6."""
    return divide(relu6(add(x, 3.0)), 6)


@composed
def hardswish(x):
    """x hardsigmoid(x) (Howard et al. 2019)."""
    return multiply(x, hardsigmoid(x))


@composed
def hardshrink(x, lambd=0.5):
    """x, and 0 where |x| <= lambd."""
    lambd = check_number("hardshrink", "lambd", lambd, 0)
    return where(less_equal(abs(x), lambd), 0, x)


@composed
def softshrink(x, lambd=0.5):
    """x moved towards 0 by lambd, or to 0 where it is nearer."""
    lambd = check_number("softshrink", "lambd", lambd, 0)
    return subtract(x, clip(x, -lambd, lambd))


@elementwise_op(floating=True, x=lambda g, x: g * square(tanh(x)))
def tanhshrink(be, x):
    """x - tanh(x)."""
    return narrow(wide(x) - be.xp.tanh(wide(x)), x.dtype)


@composed
def threshold(x, threshold, value):
    """x above `threshold`, the number `value` elsewhere."""
    threshold = check_number("threshold", "threshold", threshold)
    return where(less_equal(x, threshold), check_number("threshold", "value", value), x)


# Other curves


def _softsign_gradient(g, x):
    distance = 1 + abs(x)
    return g / distance / distance


@elementwise_op(floating=True, x=_softsign_gradient)
def softsign(be, x):
    """x / (1 + |x|)."""
    x_wide = wide(x)
    return narrow(x_wide / (1 + be.xp.abs(x_wide)), x.dtype)


@elementwise_op(
    floating=True,
    x=lambda g, x, alpha: multiply(g, exp(divide(where(x > 0, 0, x), alpha))),
)
def celu(be, x, *, alpha=1.0):
    """x above 0, alpha (exp(x / alpha) - 1) below (Barron 2017)."""
    alpha = check_number("celu", "alpha", alpha)
    if alpha == 0:
        raise ValueError("[celu] alpha is 0, expected another number")
    below = alpha * be.xp.expm1(be.xp.minimum(wide(x), 0) / alpha)
    return be.xp.where(x > 0, x, narrow(below, x.dtype))


SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@composed
def selu(x):
    """scale elu(x, alpha), with the numbers by which layers keep mean 0 and variance 1.

    Source: Klambauer et al. 2017, "Self-normalizing neural networks".
    """
    return multiply(elu(x, alpha=SELU_ALPHA), SELU_SCALE)


# With a second input


@composed
def glu(x, axis=-1):
    """a sigmoid(b) of the two halves a and b of x along an axis (Dauphin et al. 2017).

    Raises ValueError for an axis of odd length.
    """
    length = x.shape[normal_axis("glu", axis, len(x.shape))]
    if length % 2:
        raise ValueError(f"[glu] axis {axis} of x has length {length}, expected an even one")
    a, b = split(x, 2, axis)
    return multiply(a, sigmoid(b))


@composed
def prelu(x, weight):
    """x above 0, weight x below, where the slope can be learned (He et al. 2015).

    Args:
        x: (N, C, ...), or any shape if there is one slope.
        weight: one slope, or C of them.

    Raises ValueError for another number of slopes.
    """
    if weight.size != 1:
        channels = x.shape[1] if len(x.shape) > 1 else 1
        if weight.shape != (channels,):
            raise ValueError(
                f"[prelu] weight has shape {weight.shape}, expected one slope or {channels}, one "
                f"for each channel of x {x.shape}"
            )
        weight = reshape(weight, (channels, *(1,) * (len(x.shape) - 2)))
    elif len(weight.shape):
        weight = reshape(weight, ())
    positive = greater(x, 0)
    return where(positive, x, multiply(weight, where(positive, 0, x)))
