"""FLOPs of convolutions, from their Geometry: each output element is one sum of products."""

from math import prod

from tinygrad_like.inspect.flops.rules import Cost


def _products(call):
    """Twice the outputs times the size of a filter, in every direction of the gradients."""
    s = call.attributes["geometry"]
    return 2 * prod(s.y_shape) * s.c_in * s.kh * s.kw


def _conv2d(call):
    n = _products(call)
    return Cost(n, (n, n, 0))


def _gradient(call):
    n = _products(call)
    return Cost(n, n)


CONVOLUTION = {
    "conv2d": _conv2d,
    "conv2d_input_grad": _gradient,
    "conv2d_weight_grad": _gradient,
}
