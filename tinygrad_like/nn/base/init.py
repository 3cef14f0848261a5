"""Initialisers: new float32 Tensors that require a gradient, drawn from the library's own stream.

`tg.seed(n)` makes them reproducible. A variance is chosen so that signals keep their size from
layer to layer; `fans` says how many inputs and outputs a unit has.

    xavier    Glorot and Bengio 2010, "Understanding the difficulty of training deep ... networks"
    kaiming   He et al. 2015, "Delving deep into rectifiers"
    orthogonal    Saxe et al. 2014, "Exact solutions to the nonlinear dynamics of learning ..."
"""

import math
from typing import Any

from tinygrad_like import backend
from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments
from tinygrad_like.ops.arrays import create
from tinygrad_like.ops.samples import random

Shape = int | tuple[int, ...] | list[int]
RELU_GAIN = math.sqrt(2)  # a rectifier passes half of the variance


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out): the inputs that one output sums over, the outputs that one input feeds.

    For a Dense weight (n_in, n_out), or a convolution's (c_out, c_in / groups, *kernel), where
    fan_out counts the output channels of all groups. ValueError for fewer than two axes.

    >>> fans((784, 128)), fans((32, 16, 3, 3))
    ((784, 128), (144, 288))
    """
    dims = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if len(dims) < 2:
        raise ValueError(
            f"[fans] shape is {shape!r}, expected a Dense weight's (n_in, n_out) or a "
            "convolution's (c_out, c_in / groups, *kernel)"
        )
    if len(dims) == 2:
        return dims[0], dims[1]
    window = math.prod(dims[2:])
    return dims[1] * window, dims[0] * window


def zeros(shape: Shape) -> Tensor:
    """0 everywhere."""
    return create.zeros(shape, requires_grad=True)


def ones(shape: Shape) -> Tensor:
    """1 everywhere."""
    return create.ones(shape, requires_grad=True)


def uniform(shape: Shape, low: float = 0.0, high: float = 1.0) -> Tensor:
    """U(low, high)."""
    low = arguments.number("init.uniform", "low", low)
    high = arguments.number("init.uniform", "high", high)
    return _parameter(float(low) + float(high - low) * random.rand(shape).data)


def normal(shape: Shape, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """N(mean, std^2)."""
    mean = arguments.number("init.normal", "mean", mean)
    std = arguments.number("init.normal", "std", std)
    return _parameter(float(mean) + float(std) * random.randn(shape).data)


def fan_in_uniform(shape: Shape, fan_in: int | None = None) -> Tensor:
    """U(-b, b), b = 1 / sqrt(fan_in): PyTorch's default for dense and convolution layers.

    `fan_in` is by default the shape's own; a bias is given that of its weight.
    """
    bound = 1 / math.sqrt(max(1, fans(shape)[0] if fan_in is None else fan_in))
    return uniform(shape, -bound, bound)


def xavier_uniform(shape: Shape, gain: float = 1.0) -> Tensor:
    """U(-b, b) of standard deviation gain sqrt(2 / (fan_in + fan_out))."""
    bound = math.sqrt(3) * gain * _xavier_std(shape)
    return uniform(shape, -bound, bound)


def xavier_normal(shape: Shape, gain: float = 1.0) -> Tensor:
    """N(0, s^2), s = gain sqrt(2 / (fan_in + fan_out))."""
    return normal(shape, 0, gain * _xavier_std(shape))


def kaiming_uniform(shape: Shape, gain: float = RELU_GAIN) -> Tensor:
    """U(-b, b) of standard deviation gain / sqrt(fan_in); the gain is by default ReLU's."""
    bound = math.sqrt(3) * gain / math.sqrt(max(1, fans(shape)[0]))
    return uniform(shape, -bound, bound)


def kaiming_normal(shape: Shape, gain: float = RELU_GAIN) -> Tensor:
    """N(0, s^2), s = gain / sqrt(fan_in); the gain is by default ReLU's."""
    return normal(shape, 0, gain / math.sqrt(max(1, fans(shape)[0])))


def orthogonal(shape: Shape, gain: float = 1.0) -> Tensor:
    """A random orthogonal matrix times `gain`: rows along the first axis, columns along the others.

    Its rows are orthonormal if there are no more rows than columns, else its columns are.
    """
    fans(shape)  # refuses fewer than two axes
    gaussian = random.randn(shape).data
    tall = gaussian.reshape(gaussian.shape[0], -1)
    wide = tall.shape[0] < tall.shape[1]
    xp = backend.of(gaussian).xp
    q, r = xp.linalg.qr(tall.T if wide else tall)
    q = q * xp.where(xp.diagonal(r) < 0, -1, 1).astype(q.dtype)  # makes q uniformly distributed
    return _parameter(float(gain) * (q.T if wide else q).reshape(gaussian.shape))


def _xavier_std(shape: Shape) -> float:
    return math.sqrt(2 / max(1, sum(fans(shape))))


def _parameter(array: Any) -> Tensor:  # float32, so the factors above are Python floats
    return Tensor(array, requires_grad=True)
