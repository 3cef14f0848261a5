"""Normalisation of single images: InstanceNorm, and LocalResponseNorm of neighbouring channels."""

from tinygrad_like.engine import Tensor
from tinygrad_like.nn import arguments, init
from tinygrad_like.nn.dtype import like
from tinygrad_like.nn.module import Module
from tinygrad_like.ops.norm import group_norm
from tinygrad_like.ops.pool import avg_pool2d
from tinygrad_like.ops.shape import reshape


class InstanceNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias for each channel of each x of (N, C, ...).

    Mean and variance are those of a single channel of a single image (or sequence, or volume), in
    training and in evaluation. `weight` and `bias`, (C,), start as 1 and 0; by default, with
    `affine=False`, they are None.

    Source: Ulyanov et al. 2016, "Instance normalization".
    """

    def __init__(self, num_features: int, eps: float = 1e-5, affine: bool = False):
        self.num_features = arguments.integer("InstanceNorm", "num_features", num_features)
        self.eps = arguments.number("InstanceNorm", "eps", eps, 0)
        affine = arguments.flag("InstanceNorm", "affine", affine)
        self.weight = init.ones(self.num_features) if affine else None
        self.bias = init.zeros(self.num_features) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        arguments.tensor("InstanceNorm", "x", x)
        if x.ndim < 3 or x.shape[1] != self.num_features:
            raise ValueError(
                f"[InstanceNorm] x is {x.shape}, expected (N, {self.num_features}, L, ...)"
            )
        x = x if self.weight is None else like(x, self.weight)
        return group_norm(x, self.weight, self.bias, groups=self.num_features, eps=self.eps)


class LocalResponseNorm(Module):
    """y = x / (k + alpha m)^beta, m the mean of x^2 over `size` neighbouring channels.

    x is (N, C, L, ...). Channels beyond the first and the last count as zeros.

    Source: Krizhevsky et al. 2012, "ImageNet classification with deep convolutional networks".
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0):
        self.size = arguments.integer("LocalResponseNorm", "size", size)
        self.alpha = arguments.number("LocalResponseNorm", "alpha", alpha)
        self.beta = arguments.number("LocalResponseNorm", "beta", beta)
        self.k = arguments.number("LocalResponseNorm", "k", k)

    def forward(self, x: Tensor) -> Tensor:
        arguments.tensor("LocalResponseNorm", "x", x)
        if x.ndim < 3:
            raise ValueError(f"[LocalResponseNorm] x is {x.shape}, expected (N, C, L, ...)")
        n, channels = x.shape[:2]
        columns = 1
        for length in x.shape[2:]:
            columns *= length
        around = (self.size // 2, (self.size - 1) // 2), (0, 0)
        squares = reshape(x * x, (n, 1, channels, columns))
        means = avg_pool2d(squares, (self.size, 1), stride=1, padding=around)
        return x / (self.k + self.alpha * reshape(means, x.shape)) ** self.beta
