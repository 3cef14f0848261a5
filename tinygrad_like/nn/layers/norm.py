"""Normalisation and dropout."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_like.backend import FLOATING
from tinygrad_like.engine import Tensor, astype, mode, no_grad
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.dtype import like
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.base.state import overwrite
from tinygrad_like.ops.arrays.create import ones, zeros
from tinygrad_like.ops.arrays.shape import reshape
from tinygrad_like.ops.neural.norm import (
    batch_norm,
    group_norm,
    layer_norm,
    normalize_channels,
    rms_norm,
)
from tinygrad_like.ops.samples.random import dropout


def scale_and_shift(
    layer: str, shape: int | tuple[int, ...], affine: bool, bias: bool
) -> tuple[Any, Any]:
    """The weight of a norm, ones, and its bias, zeros; None where it has none."""
    affine, bias = arguments.flag(layer, "affine", affine), arguments.flag(layer, "bias", bias)
    return init.ones(shape) if affine else None, init.zeros(shape) if affine and bias else None


class ChannelNorm(Module):
    """What BatchNorm and InstanceNorm share: parameters, and estimates that follow the batches."""

    num_features: int
    momentum: float | None = 0.1
    eps: float
    track_running_stats: bool

    running_mean: Tensor | None = None
    running_var: Tensor | None = None
    num_batches_tracked: Tensor | None = None

    def _start(self, affine: bool, bias: bool, track_running_stats: bool) -> None:
        """Set parameters and buffers."""
        name = type(self).__name__
        self.weight, self.bias = scale_and_shift(name, self.num_features, affine, bias)
        track_running_stats = arguments.flag(name, "track_running_stats", track_running_stats)
        if track_running_stats != self.track_running_stats:
            self.track_running_stats = track_running_stats
        if track_running_stats:
            self.running_mean = zeros(self.num_features)
            self.running_var = ones(self.num_features)
            if self.momentum is None:
                self.num_batches_tracked = zeros((), dtype=np.int64)

    def _cast(self, x: Tensor) -> Tensor:
        """x in the dtype of what the layer holds, if it holds anything."""
        own = self.running_mean if self.weight is None else self.weight
        x = x if own is None else like(x, own)
        if self.running_mean is not None and x.dtype.kind not in FLOATING:
            raise TypeError(f"[{type(self).__name__}] x is {x.dtype}, expected floating numbers")
        return x

    @no_grad()
    def _follow(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Move the running estimates towards those of a batch with `count` values in each mean."""
        if mode.recomputing or self.running_mean is None or self.running_var is None:
            return
        share: Any = self.momentum
        pairs = []
        if self.num_batches_tracked is not None:
            seen = self.num_batches_tracked + 1
            share = 1 / int(seen)
            pairs.append((self.num_batches_tracked, seen))
        var = var * (count / (count - 1))
        with np.errstate(over="ignore"):  # beyond float16's range they are infinite
            for own, new in ((self.running_mean, mean), (self.running_var, var)):
                moved = own * (1 - share) + new * share
                pairs.append((own, astype(moved, dtype=own.dtype)))
        overwrite((own, new.data) for own, new in pairs)


class BatchNorm(ChannelNorm):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, for each channel c of x (N, C, ...).

    In training, mean and (biased) var are those of the batch, over all axes but the channels',
    and the buffers follow them: running += momentum (batch - running), with the unbiased variance.
    In evaluation they are the buffers `running_mean` and `running_var`, (C,), at first 0 and 1.
    `weight` and `bias`, (C,), start as 1 and 0; with `affine=False` they are None.

    Args:
        momentum: None makes the buffers the plain means over all batches, whose number the buffer
            `num_batches_tracked` keeps.
        bias: False leaves out the bias alone.
        track_running_stats: False leaves out the buffers: evaluation takes those of the batch too.

    Inside `tg.vmap` each example is a batch of its own, and the buffers could not follow all of
    them: in training that raises GraphError. Call `eval()` first, or use GroupNorm.

    Source: Ioffe and Szegedy 2015, "Batch normalization".
    """

    track_running_stats = True

    def __init__(
        self,
        num_features: int,
        momentum: float | None = 0.1,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        track_running_stats: bool = True,
    ):
        self.num_features = arguments.integer("BatchNorm", "num_features", num_features)
        if momentum is not None:
            momentum = arguments.number("BatchNorm", "momentum", momentum, 0, 1)
        self.momentum = momentum
        self.eps = arguments.number("BatchNorm", "eps", eps, 0)
        self._start(affine, bias, track_running_stats)

    def forward(self, x: Tensor) -> Tensor:
        arguments.tensor("BatchNorm", "x", x)
        if x.ndim < 2 or x.shape[1] != self.num_features:
            raise ValueError(f"[batch_norm] x is {x.shape}, expected (N, {self.num_features}, ...)")
        x, mean, var = self._cast(x), self.running_mean, self.running_var
        if not self.training and mean is not None:
            return normalize_channels(x, mean, var, self.weight, self.bias, eps=self.eps)
        y, mean, var = batch_norm(x, self.weight, self.bias, eps=self.eps)
        if self.training:
            self._follow(mean, var, x.size // self.num_features)
        return y


class LayerNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last axes: (..., *shape) -> same.

    `weight` and `bias` are of this shape and start as 1 and 0; the bias is None with `bias=False`,
    both with `affine=False`.

    Source: Ba et al. 2016, "Layer normalization".
    """

    def __init__(
        self,
        shape: int | tuple[int, ...],
        eps: float = 1e-5,
        bias: bool = True,
        *,
        affine: bool = True,
    ):
        self.shape = arguments.axes("LayerNorm", shape)
        self.eps = arguments.number("LayerNorm", "eps", eps, 0)
        self.weight, self.bias = scale_and_shift("LayerNorm", self.shape, affine, bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.weight is None:
            return _of_rows(layer_norm, self, x)
        return layer_norm(like(x, self.weight), self.weight, self.bias, eps=self.eps)


class RMSNorm(Module):
    """y = x / sqrt(mean(x^2) + eps) * weight over the last axes: (..., *shape) -> same.

    `weight` is of this shape and starts as 1; it is None with `affine=False`.

    Source: Zhang and Sennrich 2019, "Root mean square layer normalization".
    """

    def __init__(self, shape: int | tuple[int, ...], eps: float = 1e-6, *, affine: bool = True):
        self.shape = arguments.axes("RMSNorm", shape)
        self.eps = arguments.number("RMSNorm", "eps", eps, 0)
        self.weight, _ = scale_and_shift("RMSNorm", self.shape, affine, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.weight is None:
            return _of_rows(rms_norm, self, x)
        return rms_norm(like(x, self.weight), self.weight, eps=self.eps)


def _of_rows(norm: Callable, layer: Any, x: Tensor) -> Tensor:
    """A norm over the last axes of x, those of `layer.shape`, without parameters to say them."""
    name, shape = type(layer).__name__, layer.shape
    arguments.tensor(name, "x", x)
    first = x.ndim - len(shape)
    if first < 0 or tuple(x.shape[first:]) != shape:
        raise ValueError(f"[{name}] x is {x.shape}, expected (..., {', '.join(map(str, shape))})")
    rows = reshape(x, (*x.shape[:first], math.prod(shape)))
    return reshape(norm(rows, eps=layer.eps), x.shape)


class GroupNorm(Module):
    """y = (x - mean) / sqrt(var + eps) * weight + bias over groups of channels of x (N, C, ...).

    Each of the `groups` takes C / groups channels of one image. `weight` and `bias`, (C,), start
    as 1 and 0; the bias is None with `bias=False`, both with `affine=False`.

    Source: Wu and He 2018, "Group normalization".
    """

    def __init__(
        self,
        groups: int,
        channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
    ):
        self.groups = arguments.integer("GroupNorm", "groups", groups)
        self.channels = arguments.integer("GroupNorm", "channels", channels)
        self.eps = arguments.number("GroupNorm", "eps", eps, 0)
        arguments.divides("GroupNorm", "groups", self.groups, channels=self.channels)
        self.weight, self.bias = scale_and_shift("GroupNorm", self.channels, affine, bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.weight is not None:
            x = like(x, self.weight)
        elif getattr(x, "ndim", 0) > 1 and x.shape[1] != self.channels:
            raise ValueError(f"[GroupNorm] x is {x.shape}, expected (N, {self.channels}, ...)")
        return group_norm(x, self.weight, self.bias, groups=self.groups, eps=self.eps)


class Dropout(Module):
    """In training y = x m / (1 - p), each m 0 with probability p, else 1; in evaluation y = x.

    Source: Srivastava et al. 2014, "Dropout".
    """

    def __init__(self, p: float = 0.5):
        self.p = arguments.number("Dropout", "p", p, 0, 1)

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, training=self.training)
