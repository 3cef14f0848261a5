"""Normalisation and dropout."""

import numpy as np

from tinygrad_like.backend import FLOATING
from tinygrad_like.engine import Tensor, astype, mode, no_grad
from tinygrad_like.nn import arguments, init
from tinygrad_like.nn.dtype import like
from tinygrad_like.nn.module import Module
from tinygrad_like.nn.state import overwrite
from tinygrad_like.ops.create import ones, zeros
from tinygrad_like.ops.norm import batch_norm, group_norm, layer_norm, normalize_channels, rms_norm
from tinygrad_like.ops.random import dropout


class BatchNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, for each channel c of x (N, C, ...).

    In training, mean and (biased) var are those of the batch, over all axes but the channels',
    and the buffers follow them: running += momentum (batch - running), with the unbiased variance.
    In evaluation they are the buffers `running_mean` and `running_var`, (C,), at first 0 and 1.
    `weight` and `bias`, (C,), start as 1 and 0; with `affine=False` they are None.

    Inside `tg.vmap` each example is a batch of its own, and the buffers could not follow all of
    them: in training that raises GraphError. Call `eval()` first, or use GroupNorm.

    Source: Ioffe and Szegedy 2015, "Batch normalization".
    """

    def __init__(
        self, num_features: int, momentum: float = 0.1, eps: float = 1e-5, affine: bool = True
    ):
        self.num_features = arguments.integer("BatchNorm", "num_features", num_features)
        self.momentum = arguments.number("BatchNorm", "momentum", momentum, 0, 1)
        self.eps = arguments.number("BatchNorm", "eps", eps, 0)
        affine = arguments.flag("BatchNorm", "affine", affine)
        self.weight = init.ones(self.num_features) if affine else None
        self.bias = init.zeros(self.num_features) if affine else None
        self.running_mean = zeros(self.num_features)
        self.running_var = ones(self.num_features)

    def forward(self, x: Tensor) -> Tensor:
        arguments.tensor("BatchNorm", "x", x)
        if x.ndim < 2 or x.shape[1] != self.num_features:
            raise ValueError(f"[batch_norm] x is {x.shape}, expected (N, {self.num_features}, ...)")
        x = like(x, self.running_mean if self.weight is None else self.weight)
        if x.dtype.kind not in FLOATING:  # the estimates are real
            raise TypeError(f"[BatchNorm] x is {x.dtype}, expected floating numbers")
        if not self.training:
            mean, var = self.running_mean, self.running_var
            return normalize_channels(x, mean, var, self.weight, self.bias, eps=self.eps)
        y, mean, var = batch_norm(x, self.weight, self.bias, eps=self.eps)
        if not mode.recomputing:
            self._follow(mean, var, x.size // self.num_features)
        return y

    @no_grad()
    def _follow(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Move the running estimates towards those of a batch with `count` values a channel."""
        var = var * (count / (count - 1))
        pairs = (self.running_mean, mean), (self.running_var, var)
        rest = 1 - self.momentum
        with np.errstate(over="ignore"):  # beyond float16's range they are infinite
            moved = [
                astype(own * rest + new * self.momentum, dtype=own.dtype) for own, new in pairs
            ]
        overwrite((own, new.data) for (own, _), new in zip(pairs, moved, strict=True))


class LayerNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last axes: (..., *shape) -> same.

    `weight` and `bias` are of this shape and start as 1 and 0; the bias is None with `bias=False`.

    Source: Ba et al. 2016, "Layer normalization".
    """

    def __init__(self, shape: int | tuple[int, ...], eps: float = 1e-5, bias: bool = True):
        self.shape = arguments.axes("LayerNorm", shape)
        self.eps = arguments.number("LayerNorm", "eps", eps, 0)
        bias = arguments.flag("LayerNorm", "bias", bias)
        self.weight = init.ones(self.shape)
        self.bias = init.zeros(self.shape) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(like(x, self.weight), self.weight, self.bias, eps=self.eps)


class RMSNorm(Module):
    """y = x / sqrt(mean(x^2) + eps) * weight over the last axes: (..., *shape) -> same.

    `weight` is of this shape and starts as 1.

    Source: Zhang and Sennrich 2019, "Root mean square layer normalization".
    """

    def __init__(self, shape: int | tuple[int, ...], eps: float = 1e-6):
        self.shape = arguments.axes("RMSNorm", shape)
        self.eps = arguments.number("RMSNorm", "eps", eps, 0)
        self.weight = init.ones(self.shape)

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(like(x, self.weight), self.weight, eps=self.eps)


class GroupNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over groups of channels of x (N, C, ...).

    Each of the `groups` takes C / groups channels of one image. `weight` and `bias`, (C,), start
    as 1 and 0.

    Source: Wu and He 2018, "Group normalization".
    """

    def __init__(self, groups: int, channels: int, eps: float = 1e-5):
        self.groups = arguments.integer("GroupNorm", "groups", groups)
        self.channels = arguments.integer("GroupNorm", "channels", channels)
        self.eps = arguments.number("GroupNorm", "eps", eps, 0)
        arguments.divides("GroupNorm", "groups", self.groups, channels=self.channels)
        self.weight = init.ones(self.channels)
        self.bias = init.zeros(self.channels)

    def forward(self, x: Tensor) -> Tensor:
        x = like(x, self.weight)
        return group_norm(x, self.weight, self.bias, groups=self.groups, eps=self.eps)


class Dropout(Module):
    """In training y = x m / (1 - p), each m 0 with probability p, else 1; in evaluation y = x.

    Source: Srivastava et al. 2014, "Dropout".
    """

    def __init__(self, p: float = 0.5):
        self.p = arguments.number("Dropout", "p", p, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, training=self.training)
