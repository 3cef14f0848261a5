"""Functions that `tg.fuse` makes one loop of, with the shapes of their arguments."""

from typing import Any, NamedTuple

import tinygrad_like as tg
from bench.fuse import gelu_of_sum, softmax_row, swish_gate


class FusedFunction(NamedTuple):
    """A function, and the shapes of the arguments that it is called with."""

    name: str
    f: Any
    shapes: tuple
    smooth: bool = True  # whether its derivatives are continuous, as far as steps of 0.1 tell


def layer_norm(x, weight, bias):
    centred = x - tg.mean(x, axis=-1, keepdims=True)
    variance = tg.mean(tg.square(centred), axis=-1, keepdims=True)
    return centred * tg.rsqrt(variance + 1e-5) * weight + bias


def squared_error(x, y):
    return tg.mean(tg.square(x - y), axis=-1)


def of_many_kinds(x, scale, shift):
    a = tg.where(x > scale, tg.log(1 + tg.exp(x)), tg.leaky_relu(x, 0.1) + tg.elu(x))
    b = tg.clip(x, -1, 1) + tg.minimum(x, 0.3) * tg.maximum(shift, x) + tg.abs(x) ** 3
    return a * tg.tanh(b) / tg.exp(shift) + tg.erf(x) * tg.sigmoid(x) + tg.softplus(scale - x)


def of_logarithms(x, y):
    z = tg.log1p(tg.square(x)) + tg.expm1(y) * tg.sqrt(tg.abs(y) + 1)
    return tg.max(tg.sin(z) * tg.cos(x) - tg.relu(z) / (tg.square(y) + 0.5), axis=-1, keepdims=True)


def of_smooth_steps(x, y):
    z = tg.log1p(tg.square(x)) + 0.3 * tg.expm1(y) * tg.rsqrt(tg.square(y) + 1)
    z = tg.sin(z) * tg.cos(x) + tg.log(1 + tg.exp(x)) / tg.sqrt(2 + tg.tanh(y))
    z = z * tg.sigmoid(y) + tg.softplus(x) - tg.gelu(y, approximate=True) ** 3
    return tg.mean(z * tg.erf(x), axis=-1, keepdims=True)


ROWS = [
    FusedFunction("gelu_of_sum", gelu_of_sum, ((5, 37), (37,))),
    FusedFunction("swish_gate", swish_gate, ((3, 4, 19), (3, 4, 19))),
    FusedFunction("softmax_row", softmax_row, ((2, 3, 33),)),
    FusedFunction("layer_norm", layer_norm, ((20, 35), (35,), (1, 35))),
    FusedFunction("squared_error", squared_error, ((4, 21), (4, 1))),
    FusedFunction("of_many_kinds", of_many_kinds, ((4, 18), (4, 1), ()), smooth=False),
    FusedFunction("of_logarithms", of_logarithms, ((5, 17), (5, 17)), smooth=False),
    FusedFunction("of_smooth_steps", of_smooth_steps, ((3, 9), (3, 9))),
]
