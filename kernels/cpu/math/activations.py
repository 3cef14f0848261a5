"""The activations and their gradients as formulas, for the loops of each.py and fused loops.

A formula is a function of a dtype that returns a function of that dtype's scalars and, in float32,
of vectors: see each.py.
"""

import math

from ..machine.simd import fma
from .vector_math import mirrored, normal_tail, positive, sigmoid

RATE, CUBIC = 2 * math.sqrt(2 / math.pi), 0.044715  # of gelu's tanh form
BELL = 1 / math.sqrt(2 * math.pi)  # the normal density at 0


def silu(real):
    return lambda x: x * sigmoid(x)


def silu_backward(real):
    one = real(1)

    def gradient(g, x):
        s = sigmoid(x)
        return g * (s * fma(x, one - s, one))

    return gradient


def gelu(real):
    """max(x, 0) - t Phi(-t), t = |x|."""

    def gelu(x):
        t, tail, _ = normal_tail(x)
        return fma(-t, tail, positive(x))

    return gelu


def gelu_backward(real):
    """Phi(x) + x Phi'(x) at -|x|; its value at |x| is 1 minus that."""
    bell = real(BELL)

    def gradient(g, x):
        t, tail, density = normal_tail(x)
        return g * mirrored(fma(t * -bell, density, tail), x)

    return gradient


def gelu_tanh(real):
    """x sigmoid(2 z), with z as in the tanh form."""
    rate, cubic = real(RATE), real(RATE * CUBIC)
    return lambda x: x * sigmoid(x * fma(x * x, cubic, rate))


def gelu_tanh_backward(real):
    one, rate, cubic, cubic3 = real(1), real(RATE), real(RATE * CUBIC), real(3 * RATE * CUBIC)

    def gradient(g, x):
        square = x * x
        s = sigmoid(x * fma(square, cubic, rate))
        return g * fma(x * (s * (one - s)), fma(square, cubic3, rate), s)

    return gradient
