"""Layers without parameters that move elements or resize: flattening, pixel shuffles, Upsample."""

from typing import Any

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments
from tinygrad_like.nn.base.module import Module
from tinygrad_like.ops.arrays.shape import flatten, reshape
from tinygrad_like.ops.neural.resize import MODES, interpolate, pixel_shuffle, pixel_unshuffle


class Identity(Module):
    """y = x: a place where a layer may stand, or has stood.

    >>> from tinygrad_like import nn
    >>> model = nn.Sequential(nn.Dense(2, 3), nn.ReLU())
    >>> model[1] = nn.Identity()
    """

    def forward(self, x: Tensor) -> Tensor:
        return x


class Flatten(Module):
    """The axes from `start_axis` to `end_axis` joined into one: (N, ...) -> (N, product of these).

    >>> import tinygrad_like as tg
    >>> tg.nn.Flatten()(tg.ones((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_axis: int = 1, end_axis: int = -1):
        least = -(1 << 30)
        self.start_axis = arguments.integer("Flatten", "start_axis", start_axis, least)
        self.end_axis = arguments.integer("Flatten", "end_axis", end_axis, least)

    def forward(self, x: Tensor) -> Tensor:
        return flatten(x, self.start_axis, self.end_axis)


class Unflatten(Module):
    """An axis split into several, of the lengths `shape`: the opposite of Flatten.

    >>> import tinygrad_like as tg
    >>> tg.nn.Unflatten(1, (3, 4))(tg.ones((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, axis: int, shape: tuple[int, ...]):
        self.axis = arguments.integer("Unflatten", "axis", axis, -(1 << 30))
        self.shape = arguments.axes("Unflatten", shape)

    def forward(self, x: Tensor) -> Tensor:
        arguments.tensor("Unflatten", "x", x)
        if not -x.ndim <= self.axis < x.ndim:
            raise ValueError(f"[Unflatten] axis is {self.axis}, x is {x.shape}")
        axis = self.axis % x.ndim
        return reshape(x, (*x.shape[:axis], *self.shape, *x.shape[axis + 1 :]))


class PixelShuffle(Module):
    """(N, C r^2, H, W) -> (N, C, H r, W r): channels become pixels, see `tg.pixel_shuffle`.

    Source: Shi et al. 2016, "Real-time single image and video super-resolution".
    """

    def __init__(self, factor: int):
        self.factor = arguments.integer("PixelShuffle", "factor", factor)

    def forward(self, x: Tensor) -> Tensor:
        return pixel_shuffle(x, self.factor)


class PixelUnshuffle(Module):
    """(N, C, H r, W r) -> (N, C r^2, H, W): the opposite of PixelShuffle."""

    def __init__(self, factor: int):
        self.factor = arguments.integer("PixelUnshuffle", "factor", factor)

    def forward(self, x: Tensor) -> Tensor:
        return pixel_unshuffle(x, self.factor)


class Upsample(Module):
    """Sequences, images or volumes resized to `size` or by `scale_factor`: see `tg.interpolate`.

    >>> import tinygrad_like as tg
    >>> tg.nn.Upsample(scale_factor=2, mode="bilinear")(tg.ones((1, 3, 4, 5))).shape
    (1, 3, 8, 10)
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        *,
        align_corners: bool = False,
    ):
        if (size is None) == (scale_factor is None):
            raise ValueError(
                f"[Upsample] size is {size}, scale_factor is {scale_factor}, expected one of them"
            )
        self.size: Any = tuple(size) if isinstance(size, list) else size
        self.scale_factor: Any = scale_factor
        self.mode = arguments.choice("Upsample", "mode", mode, MODES)
        self.align_corners = arguments.flag("Upsample", "align_corners", align_corners)

    def forward(self, x: Tensor) -> Tensor:
        return interpolate(
            x,
            self.size,
            scale_factor=self.scale_factor,
            mode=self.mode,
            align_corners=self.align_corners,
        )
