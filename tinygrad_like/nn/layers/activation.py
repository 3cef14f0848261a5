"""Activations: functions of each element (Softmax: of each row), any shape in, the same out."""

import sys

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments
from tinygrad_like.nn.base.module import Module
from tinygrad_like.ops.elements.activation import (
    elu,
    gelu,
    leaky_relu,
    relu,
    sigmoid,
    silu,
    softplus,
    tanh_form,
)
from tinygrad_like.ops.elements.elementwise import tanh
from tinygrad_like.ops.neural.softmax import softmax


class ReLU(Module):
    """y = max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return relu(x)


class LeakyReLU(Module):
    """y = x above 0, slope x below (Maas et al. 2013)."""

    def __init__(self, slope: float = 0.01):
        self.slope = arguments.number("LeakyReLU", "slope", slope)

    def forward(self, x: Tensor) -> Tensor:
        return leaky_relu(x, slope=self.slope)


class ELU(Module):
    """y = x above 0, alpha (exp(x) - 1) below (Clevert et al. 2016)."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = arguments.number("ELU", "alpha", alpha)

    def forward(self, x: Tensor) -> Tensor:
        return elu(x, alpha=self.alpha)


class GELU(Module):
    """y = x Phi(x), Phi the normal distribution function; `approximate` takes its tanh form.

    PyTorch's names of the two, "none" and "tanh", are understood as well.
    Source: Hendrycks and Gimpel 2016, "Gaussian error linear units".
    """

    def __init__(self, approximate: bool | str = False):
        self.approximate = tanh_form("GELU", approximate)

    def forward(self, x: Tensor) -> Tensor:
        return gelu(x, approximate=self.approximate)


class SiLU(Module):
    """y = x sigmoid(x), also called swish (Ramachandran et al. 2017)."""

    def forward(self, x: Tensor) -> Tensor:
        return silu(x)


class Tanh(Module):
    """y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))."""

    def forward(self, x: Tensor) -> Tensor:
        return tanh(x)


class Sigmoid(Module):
    """y = 1 / (1 + exp(-x))."""

    def forward(self, x: Tensor) -> Tensor:
        return sigmoid(x)


class Softmax(Module):
    """y = exp(x) / sum(exp(x)) along an axis."""

    def __init__(self, axis: int = -1):
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return softmax(x, axis=self.axis)


class Softplus(Module):
    """y = log(1 + exp(beta x)) / beta, exact for all x.

    PyTorch's is x where beta x is above 20, which `threshold=20` does here.
    """

    def __init__(self, beta: float = 1.0, threshold: float | None = None):
        positive = sys.float_info.min
        self.beta = arguments.number(
            "Softplus", "beta", beta, positive, expected="a positive number"
        )
        if threshold is not None:
            threshold = arguments.number("Softplus", "threshold", threshold)
        self.threshold = threshold

    def forward(self, x: Tensor) -> Tensor:
        return softplus(x, beta=self.beta, threshold=self.threshold)
