"""Pooling over sequences and volumes, adaptive pooling, and norms of windows.

Pooling over images is in conv.py, whose arguments these layers have: integers, or one for each
axis. Any input may be a single example without N.
"""

from typing import Any

from tinygrad_like.engine import Tensor
from tinygrad_like.nn import arguments
from tinygrad_like.nn.module import Module
from tinygrad_like.ops.pool_nd import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    max_pool1d,
    max_pool3d,
)


class _Windows(Module):
    """What poolings by windows share: checked settings."""

    _axes: int

    def _set(self, size: Any, stride: Any, padding: Any, ceil_mode: bool) -> None:
        name, axes = type(self).__name__, self._axes
        self.size = arguments.several(name, "size", size, axes)
        stride = size if stride is None else stride
        self.stride = arguments.several(name, "stride", stride, axes)
        self.padding = arguments.padding(name, padding, axes)
        self.ceil_mode = arguments.flag(name, "ceil_mode", ceil_mode)


class MaxPool1D(_Windows):
    """The maximum of each window of sequences (N, C, L) -> (N, C, L_out).

    Lengths and options are those of MaxPool2D, see `tg.max_pool1d`.
    """

    _axes = 1

    def __init__(
        self,
        size: Any,
        stride: Any = None,
        padding: Any = 0,
        *,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ):
        self._set(size, stride, padding, ceil_mode)
        self.dilation = arguments.several("MaxPool1D", "dilation", dilation, 1)
        self.return_indices = arguments.flag("MaxPool1D", "return_indices", return_indices)

    def forward(self, x: Tensor) -> Any:
        return max_pool1d(
            x,
            self.size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )


class AvgPool1D(_Windows):
    """The mean of each window of sequences (N, C, L) -> (N, C, L_out).

    Lengths and options are those of AvgPool2D, see `tg.avg_pool1d`.
    """

    _axes = 1

    def __init__(
        self,
        size: Any,
        stride: Any = None,
        padding: Any = 0,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        self._set(size, stride, padding, ceil_mode)
        self.count_include_pad = arguments.flag("AvgPool1D", "count_include_pad", count_include_pad)

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool1d(
            x,
            self.size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )


class MaxPool3D(_Windows):
    """The maximum of each window of volumes (N, C, D, H, W) -> (N, C, D_out, H_out, W_out).

    Lengths and options are those of MaxPool2D, see `tg.max_pool3d`.
    """

    _axes = 3

    def __init__(
        self,
        size: Any,
        stride: Any = None,
        padding: Any = 0,
        *,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ):
        self._set(size, stride, padding, ceil_mode)
        self.dilation = arguments.several("MaxPool3D", "dilation", dilation, 3)
        self.return_indices = arguments.flag("MaxPool3D", "return_indices", return_indices)

    def forward(self, x: Tensor) -> Any:
        return max_pool3d(
            x,
            self.size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )


class AvgPool3D(_Windows):
    """The mean of each window of volumes (N, C, D, H, W) -> (N, C, D_out, H_out, W_out).

    Lengths and options are those of AvgPool2D, see `tg.avg_pool3d`.
    """

    _axes = 3

    def __init__(
        self,
        size: Any,
        stride: Any = None,
        padding: Any = 0,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        self._set(size, stride, padding, ceil_mode)
        self.count_include_pad = arguments.flag("AvgPool3D", "count_include_pad", count_include_pad)
        self.divisor_override = divisor_override
        if divisor_override is not None:
            arguments.integer("AvgPool3D", "divisor_override", divisor_override)

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool3d(
            x,
            self.size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
            divisor_override=self.divisor_override,
        )


class _Norms(Module):
    """What LpPool1D and LpPool2D share."""

    _axes: int

    def __init__(self, ord: float, size: Any, stride: Any = None, *, ceil_mode: bool = False):
        name = type(self).__name__
        self.ord = arguments.number(name, "ord", ord)
        self.size = arguments.several(name, "size", size, self._axes)
        stride = size if stride is None else stride
        self.stride = arguments.several(name, "stride", stride, self._axes)
        self.ceil_mode = arguments.flag(name, "ceil_mode", ceil_mode)


class LpPool1D(_Norms):
    """y = (sum of x^ord)^(1 / ord) over each window: (N, C, L) -> (N, C, L_out)."""

    _axes = 1

    def forward(self, x: Tensor) -> Tensor:
        return lp_pool1d(x, self.ord, self.size, stride=self.stride, ceil_mode=self.ceil_mode)


class LpPool2D(_Norms):
    """y = (sum of x^ord)^(1 / ord) over each window: (N, C, H, W) -> (N, C, H_out, W_out)."""

    _axes = 2

    def forward(self, x: Tensor) -> Tensor:
        return lp_pool2d(x, self.ord, self.size, stride=self.stride, ceil_mode=self.ceil_mode)


class _Adaptive(Module):
    """What adaptive poolings share: the lengths of the result, of which None keeps that of x."""

    _axes: int

    def __init__(self, size: Any):
        name, axes = type(self).__name__, self._axes
        lengths = tuple(size) if isinstance(size, (tuple, list)) else (size,) * axes
        if len(lengths) != axes:
            raise ValueError(f"[{name}] size is {size!r}, expected an integer or {axes} of them")
        for length in lengths:
            if length is not None:
                arguments.integer(name, "size", length)
        self.size = lengths


class AdaptiveAvgPool1D(_Adaptive):
    """The mean of each of the windows that cover x: (N, C, L) -> (N, C, size)."""

    _axes = 1

    def forward(self, x: Tensor) -> Tensor:
        return adaptive_avg_pool1d(x, self.size)


class AdaptiveAvgPool2D(_Adaptive):
    """The mean of each of the windows that cover x: (N, C, H, W) -> (N, C, *size)."""

    _axes = 2

    def forward(self, x: Tensor) -> Tensor:
        return adaptive_avg_pool2d(x, self.size)


class AdaptiveAvgPool3D(_Adaptive):
    """The mean of each of the windows that cover x: (N, C, D, H, W) -> (N, C, *size)."""

    _axes = 3

    def forward(self, x: Tensor) -> Tensor:
        return adaptive_avg_pool3d(x, self.size)


class AdaptiveMaxPool1D(_Adaptive):
    """The maximum of each of the windows that cover x: (N, C, L) -> (N, C, size).

    With `return_indices` (y, the places of the maxima).
    """

    _axes = 1

    def __init__(self, size: Any, *, return_indices: bool = False):
        super().__init__(size)
        name = "AdaptiveMaxPool1D"
        self.return_indices = arguments.flag(name, "return_indices", return_indices)

    def forward(self, x: Tensor) -> Any:
        return adaptive_max_pool1d(x, self.size, return_indices=self.return_indices)


class AdaptiveMaxPool2D(_Adaptive):
    """The maximum of each of the windows that cover x: (N, C, H, W) -> (N, C, *size).

    With `return_indices` (y, the places of the maxima).
    """

    _axes = 2

    def __init__(self, size: Any, *, return_indices: bool = False):
        super().__init__(size)
        name = "AdaptiveMaxPool2D"
        self.return_indices = arguments.flag(name, "return_indices", return_indices)

    def forward(self, x: Tensor) -> Any:
        return adaptive_max_pool2d(x, self.size, return_indices=self.return_indices)
