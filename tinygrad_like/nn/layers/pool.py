"""Pooling over sequences (N, C, L), images (N, C, H, W) and volumes (N, C, D, H, W).

`size`, `stride`, `padding` and `dilation` are integers, or one integer for each axis of the window;
a padding may also be what that of a convolution may be, see conv.py. The stride is by default the
size. Any input may be a single example without N.
"""

from collections.abc import Callable
from typing import Any

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments
from tinygrad_like.nn.base.module import Module
from tinygrad_like.nn.layers.conv import Lengths, Padding
from tinygrad_like.ops.neural.pool import avg_pool2d, max_pool2d
from tinygrad_like.ops.neural.pool_nd import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool3d,
)
from tinygrad_like.ops.reductions.reduce import mean


class WindowPool(Module):
    """What poolings by windows share: checked settings."""

    _axes: int  # that a window has
    _op: Callable[..., Any]

    def _set(self, size: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
        name, axes = type(self).__name__, self._axes
        self.size = arguments.several(name, "size", size, axes)
        stride = size if stride is None else stride
        self.stride = arguments.several(name, "stride", stride, axes)
        self.padding = arguments.padding(name, padding, axes)
        self.ceil_mode = arguments.flag(name, "ceil_mode", ceil_mode)


class MaxPool(WindowPool):
    """What MaxPool1D, MaxPool2D and MaxPool3D share: all but the op."""

    def __init__(
        self,
        size: Lengths,
        stride: Lengths | None = None,
        padding: Padding = 0,
        *,
        dilation: Lengths = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ):
        self._set(size, stride, padding, ceil_mode)
        name = type(self).__name__
        self.dilation = arguments.several(name, "dilation", dilation, self._axes)
        self.return_indices = arguments.flag(name, "return_indices", return_indices)

    def forward(self, x: Tensor) -> Any:
        return self._op(
            x,
            self.size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )


class AvgPool(WindowPool):
    """What AvgPool2D and AvgPool3D share: all but the op."""

    def __init__(
        self,
        size: Lengths,
        stride: Lengths | None = None,
        padding: Padding = 0,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        self._set(size, stride, padding, ceil_mode)
        name = type(self).__name__
        self.count_include_pad = arguments.flag(name, "count_include_pad", count_include_pad)
        self.divisor_override = divisor_override
        if divisor_override is not None:
            what = "divisor_override"
            self.divisor_override = arguments.integer(name, what, divisor_override)

    def forward(self, x: Tensor) -> Tensor:
        return self._op(
            x,
            self.size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
            divisor_override=self.divisor_override,
        )


class MaxPool1D(MaxPool):
    """The maximum of each window of sequences (N, C, L) -> (N, C, L_out).

    Lengths and options are those of MaxPool2D, see `tg.max_pool1d`.
    """

    _axes, _op = 1, staticmethod(max_pool1d)


class MaxPool2D(MaxPool):
    """The maximum of each window: (N, C, H, W) -> (N, C, H_out, W_out).

    H_out = (H + 2 padding - dilation (size - 1) - 1) // stride + 1; the stride is by default the
    size. Padding is never chosen. With `ceil_mode` the division rounds up, with `return_indices`
    the output is (y, the place of each maximum), see `max_pool2d`.
    """

    _axes, _op = 2, staticmethod(max_pool2d)


class MaxPool3D(MaxPool):
    """The maximum of each window of volumes (N, C, D, H, W) -> (N, C, D_out, H_out, W_out).

    Lengths and options are those of MaxPool2D, see `tg.max_pool3d`.
    """

    _axes, _op = 3, staticmethod(max_pool3d)


class AvgPool1D(WindowPool):
    """The mean of each window of sequences (N, C, L) -> (N, C, L_out).

    Lengths and options are those of AvgPool2D, but for the divisor, see `tg.avg_pool1d`.
    """

    _axes = 1

    def __init__(
        self,
        size: Lengths,
        stride: Lengths | None = None,
        padding: Padding = 0,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        self._set(size, stride, padding, ceil_mode)
        name = type(self).__name__
        self.count_include_pad = arguments.flag(name, "count_include_pad", count_include_pad)

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool1d(
            x,
            self.size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )


class AvgPool2D(AvgPool):
    """The mean of each window: (N, C, H, W) -> (N, C, H_out, W_out).

    H_out = (H + 2 padding - size) // stride + 1; the stride is by default the size. Padding
    counts as zeros, or not at all without `count_include_pad`. With `ceil_mode` the division
    rounds up; `divisor_override` divides the sums instead of the size; see `avg_pool2d`.
    """

    _axes, _op = 2, staticmethod(avg_pool2d)


class AvgPool3D(AvgPool):
    """The mean of each window of volumes (N, C, D, H, W) -> (N, C, D_out, H_out, W_out).

    Lengths and options are those of AvgPool2D, see `tg.avg_pool3d`.
    """

    _axes, _op = 3, staticmethod(avg_pool3d)


class GlobalAvgPool2D(Module):
    """The mean of each channel over the image: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        arguments.tensor("global_avg_pool2d", "x", x)
        if x.ndim != 4:
            raise ValueError(f"[global_avg_pool2d] x is {x.shape}, expected (N, C, H, W)")
        return mean(x, axis=(2, 3))


class LpPool(Module):
    """What LpPool1D, LpPool2D and LpPool3D share: all but the op."""

    _axes: int
    _op: Callable[..., Tensor]

    def __init__(self, ord: float, size: Any, stride: Any = None, *, ceil_mode: bool = False):
        name = type(self).__name__
        self.ord = arguments.number(name, "ord", ord)
        self.size = arguments.several(name, "size", size, self._axes)
        stride = size if stride is None else stride
        self.stride = arguments.several(name, "stride", stride, self._axes)
        self.ceil_mode = arguments.flag(name, "ceil_mode", ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        return self._op(x, self.ord, self.size, stride=self.stride, ceil_mode=self.ceil_mode)


class LpPool1D(LpPool):
    """y = (sum of x^ord)^(1 / ord) over each window: (N, C, L) -> (N, C, L_out)."""

    _axes, _op = 1, staticmethod(lp_pool1d)


class LpPool2D(LpPool):
    """y = (sum of x^ord)^(1 / ord) over each window: (N, C, H, W) -> (N, C, H_out, W_out)."""

    _axes, _op = 2, staticmethod(lp_pool2d)


class LpPool3D(LpPool):
    """y = (sum of x^ord)^(1 / ord) over each window: (N, C, D, H, W) -> (N, C, D_out, ...)."""

    _axes, _op = 3, staticmethod(lp_pool3d)


class AdaptivePool(Module):
    """What adaptive poolings share: the lengths of the result, of which None keeps that of x."""

    _axes: int
    _op: Callable[..., Any]

    def __init__(self, size: Any):
        name, axes = type(self).__name__, self._axes
        lengths = tuple(size) if isinstance(size, (tuple, list)) else (size,) * axes
        if len(lengths) != axes:
            raise ValueError(f"[{name}] size is {size!r}, expected an integer or {axes} of them")
        for length in lengths:
            if length is not None:
                arguments.integer(name, "size", length)
        self.size = lengths

    def forward(self, x: Tensor) -> Any:
        return self._op(x, self.size)


class AdaptiveMaxPool(AdaptivePool):
    """What the adaptive poolings of maxima share: all but the op."""

    def __init__(self, size: Any, *, return_indices: bool = False):
        super().__init__(size)
        name = type(self).__name__
        self.return_indices = arguments.flag(name, "return_indices", return_indices)

    def forward(self, x: Tensor) -> Any:
        return self._op(x, self.size, return_indices=self.return_indices)


class AdaptiveAvgPool1D(AdaptivePool):
    """The mean of each of the windows that cover x: (N, C, L) -> (N, C, size)."""

    _axes, _op = 1, staticmethod(adaptive_avg_pool1d)


class AdaptiveAvgPool2D(AdaptivePool):
    """The mean of each of the windows that cover x: (N, C, H, W) -> (N, C, *size)."""

    _axes, _op = 2, staticmethod(adaptive_avg_pool2d)


class AdaptiveAvgPool3D(AdaptivePool):
    """The mean of each of the windows that cover x: (N, C, D, H, W) -> (N, C, *size)."""

    _axes, _op = 3, staticmethod(adaptive_avg_pool3d)


class AdaptiveMaxPool1D(AdaptiveMaxPool):
    """The maximum of each of the windows that cover x: (N, C, L) -> (N, C, size).

    With `return_indices` (y, the places of the maxima).
    """

    _axes, _op = 1, staticmethod(adaptive_max_pool1d)


class AdaptiveMaxPool2D(AdaptiveMaxPool):
    """The maximum of each of the windows that cover x: (N, C, H, W) -> (N, C, *size).

    With `return_indices` (y, the places of the maxima).
    """

    _axes, _op = 2, staticmethod(adaptive_max_pool2d)


class AdaptiveMaxPool3D(AdaptiveMaxPool):
    """The maximum of each of the windows that cover x: (N, C, D, H, W) -> (N, C, *size).

    With `return_indices` (y, the places of the maxima).
    """

    _axes, _op = 3, staticmethod(adaptive_max_pool3d)
