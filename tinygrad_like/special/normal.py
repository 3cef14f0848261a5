"""Relatives of the error function, and the normal distribution function with its inverse."""

import math

import numpy as np

from tinygrad_like.engine import elementwise_op, in_single
from tinygrad_like.ops.elements.elementwise import exp
from tinygrad_like.ops.elements.special import of_one

ROOT_2PI = math.sqrt(2 * math.pi)


@elementwise_op(
    autocast=in_single,
    floating=True,
    x=lambda g, x, out: g * (2 * x * out - 2 / math.sqrt(math.pi)),
)
def erfcx(be, x):
    """exp(x^2) erfc(x), which falls as slowly as 1 / x."""
    return of_one(be.special.erfcx, x)


@elementwise_op(
    autocast=in_single,
    floating=True,
    x=lambda g, out: g * exp(out * out) * (-math.sqrt(math.pi) / 2),
)
def erfcinv(be, x):
    """The inverse of erfc: infinite at 0 and 2, NaN outside."""
    return of_one(be.special.erfcinv, x)


def _bell(g, x):
    with np.errstate(under="ignore"):  # far from 0 it rounds to 0
        return g * exp(-0.5 * x * x) * (1 / ROOT_2PI)


@elementwise_op(autocast=in_single, floating=True, x=_bell)
def ndtr(be, x):
    """The normal distribution function: the share of a standard normal variable below x."""
    return of_one(be.special.ndtr, x)


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x, out: -g * out * (x + out))
def _hazard(be, x):
    """The derivative of log_ndtr, the bell curve over ndtr, where both may round to 0."""
    scale = math.sqrt(2 / math.pi)
    with np.errstate(over="ignore"):  # far to the right erfcx is infinite, and this is 0
        return of_one(lambda x: scale / be.special.erfcx(x * -math.sqrt(0.5)), x)


@elementwise_op(autocast=in_single, floating=True, x=lambda g, x: g * _hazard(x))
def log_ndtr(be, x):
    """log(ndtr(x)), also where ndtr rounds to 0."""
    return of_one(be.special.log_ndtr, x)


@elementwise_op(
    autocast=in_single, floating=True, x=lambda g, out: g * exp(0.5 * out * out) * ROOT_2PI
)
def ndtri(be, x):
    """The inverse of ndtr, the quantile of a share: infinite at 0 and 1, NaN outside."""
    return of_one(be.special.ndtri, x)
