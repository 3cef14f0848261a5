"""Normalisation of single images: InstanceNorm, and LocalResponseNorm of neighbouring channels."""

import math

from tinygrad_like.engine import Tensor, no_grad
from tinygrad_like.nn.base import arguments
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.layers.norm import ChannelNorm
from tinygrad_like.ops.arrays.shape import reshape
from tinygrad_like.ops.neural.norm import group_norm, normalize_channels
from tinygrad_like.ops.neural.pool import avg_pool2d
from tinygrad_like.ops.reductions.reduce import mean
from tinygrad_like.ops.reductions.reduce import var as variance


class InstanceNorm(ChannelNorm):
    """y = (x - mean) / sqrt(var + eps) * weight + bias for each channel of each x of (N, C, ...).

    Mean and variance are those of a single channel of a single image (or sequence, or volume), in
    training and in evaluation. `weight` and `bias`, (C,), start as 1 and 0; by default, with
    `affine=False`, they are None, and with `bias=False` the bias alone is.

    With `track_running_stats` it has BatchNorm's buffers: in training they follow the means of both
    over the batch, by `momentum`, and in evaluation they stand for them.

    Source: Ulyanov et al. 2016, "Instance normalization".
    """

    track_running_stats = False

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        affine: bool = False,
        *,
        bias: bool = True,
        momentum: float = 0.1,
        track_running_stats: bool = False,
    ):
        self.num_features = arguments.integer("InstanceNorm", "num_features", num_features)
        self.eps = arguments.number("InstanceNorm", "eps", eps, 0)
        momentum = arguments.number("InstanceNorm", "momentum", momentum, 0, 1)
        if track_running_stats:
            self.momentum = momentum
        self._start(affine, bias, track_running_stats)

    def forward(self, x: Tensor) -> Tensor:
        arguments.tensor("InstanceNorm", "x", x)
        if x.ndim < 3 or x.shape[1] != self.num_features:
            raise ValueError(
                f"[InstanceNorm] x is {x.shape}, expected (N, {self.num_features}, L, ...)"
            )
        x, average, var = self._cast(x), self.running_mean, self.running_var
        if not self.training and average is not None:
            return normalize_channels(x, average, var, self.weight, self.bias, eps=self.eps)
        y = group_norm(x, self.weight, self.bias, groups=self.num_features, eps=self.eps)
        if self.training and average is not None:
            self._follow_images(x.detach())
        return y

    @no_grad()
    def _follow_images(self, x: Tensor) -> None:
        """Move the running estimates towards the means over the images of a batch."""
        axes = tuple(range(2, x.ndim))
        count = math.prod(x.shape[2:])
        if not x.shape[0] or count < 2:
            raise ValueError(
                f"[InstanceNorm] x is {x.shape}: one value for each channel has no variance to "
                "follow; use larger images, or model.eval()"
            )
        self._follow(mean(x, axis=(0, *axes)), mean(variance(x, axis=axes), axis=0), count)


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
