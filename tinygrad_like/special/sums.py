"""Sums of exponentials with SciPy's arguments: over all elements where no axis is given."""

import math

from tinygrad_like.engine import composed, no_grad
from tinygrad_like.ops.arrays.shape import reshape, squeeze
from tinygrad_like.ops.elements.compare import equal, isfinite
from tinygrad_like.ops.elements.elementwise import add, exp, log, multiply, subtract, where
from tinygrad_like.ops.neural import softmax as ops
from tinygrad_like.ops.reductions.reduce import max, sum


@composed
def logsumexp(a, axis=None, b=None, keepdims=False):
    """log(sum(b exp(a))) over an axis, several, or all elements, without overflow.

    NaN where the sum is negative. Args:
        b: factors that broadcast with `a`; None: 1.
    """
    if b is None:
        return ops.logsumexp(a, axis=axis, keepdims=keepdims)
    with no_grad():
        peak = max(where(equal(b, 0), -math.inf, a), axis=axis, keepdims=True)
        peak = where(isfinite(peak), peak, 0)
    terms = multiply(b, exp(subtract(where(equal(b, 0), peak, a), peak)))
    total = add(log(sum(terms, axis=axis, keepdims=True)), peak)
    return total if keepdims else squeeze(total, axis)


def _over(function, x, axis):
    """A function along one axis, over all elements if that is None."""
    if axis is None:
        return reshape(function(reshape(x, (-1,)), axis=0), tuple(x.shape))
    return function(x, axis=axis)


@composed
def softmax(x, axis=None):
    """exp(x) / sum(exp(x)) along an axis, or over all elements."""
    return _over(ops.softmax, x, axis)


@composed
def log_softmax(x, axis=None):
    """log(softmax(x)) along an axis, or over all elements, without overflow."""
    return _over(ops.log_softmax, x, axis)
