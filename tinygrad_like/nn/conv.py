"""Convolution and pooling over images (N, C, H, W) and sequences (N, C, L).

`kernel_size`, `stride`, `padding`, `dilation` and `size` are integers, or pairs for (H, W). A
padding may also be uneven, ((top, bottom), (left, right)), `"valid"` (none) or `"same"`: then
H_out = H / stride, rounded up, with the greater half of an odd number of rows at the bottom.
Any input may be a single example without N. With a `padding_mode` other than "zeros" convolutions
pad as `tg.pad` does in "reflect", "replicate" or "circular" mode.
Weights and biases start as U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as in PyTorch.
"""

from typing import Any

from tinygrad_like.engine import Tensor
from tinygrad_like.nn import arguments, init
from tinygrad_like.nn.dtype import like
from tinygrad_like.nn.module import Module
from tinygrad_like.ops import window
from tinygrad_like.ops.conv import conv1d, conv2d, conv_transpose2d
from tinygrad_like.ops.padding import pad
from tinygrad_like.ops.pool import avg_pool2d, max_pool2d
from tinygrad_like.ops.reduce import mean

Pair = int | tuple[int, int]
MODES = ("zeros", "reflect", "replicate", "circular")
Padding = Pair | tuple[Pair, Pair] | str


class Convolution(Module):
    """What the convolution layers share: checked settings, and the starting weight and bias."""

    _axes = 2  # that a window has

    c_in: int
    c_out: int
    groups: int
    padding_mode: str = "zeros"
    weight: Tensor
    bias: Tensor | None

    def _set(
        self,
        c_in: int,
        c_out: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        groups: int,
    ) -> None:
        """Check the settings and keep them as attributes."""
        name = type(self).__name__

        def of_window(layer: str, what: str, value: Any) -> Any:
            return arguments.several(layer, what, value, self._axes)

        self.c_in = arguments.integer(name, "c_in", c_in)
        self.c_out = arguments.integer(name, "c_out", c_out)
        self.kernel_size = of_window(name, "kernel_size", kernel_size)
        self.stride = of_window(name, "stride", stride)
        self.padding = arguments.padding(name, padding, self._axes)
        self.dilation = of_window(name, "dilation", dilation)
        self.groups = arguments.integer(name, "groups", groups)

    def _padded(self, x: Tensor) -> tuple[Tensor, Any]:
        """(x, the padding that is left for the op): all but zeros are put around x here."""
        if self.padding_mode == "zeros":
            return x, self.padding
        axes, name = self._axes, type(self).__name__
        alike = (v if isinstance(v, tuple) else (v,) * axes for v in self._window())
        ends = window.edges_of(
            window.edges_along(name, self.padding, axes), x.shape[-axes:], *alike
        )
        return pad(x, ((0, 0),) * (x.ndim - axes) + ends, self.padding_mode), 0

    def _window(self) -> tuple:
        return self.kernel_size, self.stride, self.dilation

    def _draw(self, first: int, second: int, bias: bool) -> None:
        """Draw `weight` (first, second / groups, *kernel), and `bias` (c_out,) if it is wanted."""
        name = type(self).__name__
        arguments.divides(name, "groups", self.groups, c_in=self.c_in, c_out=self.c_out)
        has_bias = arguments.flag(name, "bias", bias)
        kernel = self.kernel_size
        lengths = kernel if isinstance(kernel, tuple) else (kernel,) * self._axes
        self.weight = init.fan_in_uniform((first, second // self.groups, *lengths))
        fan_in, _ = init.fans(self.weight.shape)
        self.bias = init.fan_in_uniform(self.c_out, fan_in) if has_bias else None


class Conv1D(Convolution):
    """y[o, i] = b[o] + sum_c,k W[o, c, k] x[c, i stride + k dilation - padding].

    (N, c_in, L) -> (N, c_out, L_out), L_out = (L + 2 padding - dilation (k - 1) - 1) // stride + 1.
    `weight` is (c_out, c_in / groups, k), `bias` (c_out,) or None. An uneven padding is
    `((before, after),)`: a causal convolution has `((k - 1, 0),)`.
    """

    _axes = 1

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel_size: int,
        stride: int = 1,
        padding: int | tuple[tuple[int, int]] | str = 0,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ):
        self._set(c_in, c_out, kernel_size, stride, padding, dilation, groups)
        self.padding_mode = arguments.choice("Conv1D", "padding_mode", padding_mode, MODES)
        self._draw(self.c_out, self.c_in, bias)

    def forward(self, x: Tensor) -> Tensor:
        x, padding = self._padded(like(x, self.weight))
        return conv1d(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
        )


class Conv2D(Convolution):
    """y[o, i, j] = b[o] + sum_c,k,l W[o, c, k, l] x[c, i stride + k dilation - padding, j ...].

    (N, c_in, H, W) -> (N, c_out, H_out, W_out),
    H_out = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1.
    `weight` is (c_out, c_in / groups, kh, kw), `bias` (c_out,) or None.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Padding = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ):
        self._set(c_in, c_out, kernel_size, stride, padding, dilation, groups)
        self.padding_mode = arguments.choice("Conv2D", "padding_mode", padding_mode, MODES)
        self._draw(self.c_out, self.c_in, bias)

    def forward(self, x: Tensor) -> Tensor:
        x, padding = self._padded(like(x, self.weight))
        return conv2d(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
        )


class ConvTranspose2D(Convolution):
    """The gradient of Conv2D with respect to its input, as a layer that enlarges images.

    (N, c_in, H, W) -> (N, c_out, H_out, W_out),
    H_out = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1.
    `weight` is (c_in, c_out / groups, kh, kw), `bias` (c_out,) or None.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Padding = 0,
        dilation: Pair = 1,
        groups: int = 1,
        bias: bool = True,
        output_padding: Pair = 0,
    ):
        self._set(c_in, c_out, kernel_size, stride, padding, dilation, groups)
        name = type(self).__name__
        self.output_padding = arguments.pair(name, "output_padding", output_padding, 0)
        self._draw(self.c_in, self.c_out, bias)

    def forward(self, x: Tensor) -> Tensor:
        return conv_transpose2d(
            like(x, self.weight),
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
            groups=self.groups,
        )


class MaxPool2D(Module):
    """The maximum of each window: (N, C, H, W) -> (N, C, H_out, W_out).

    H_out = (H + 2 padding - dilation (size - 1) - 1) // stride + 1; the stride is by default the
    size. Padding is never chosen. With `ceil_mode` the division rounds up, with `return_indices`
    the output is (y, the place of each maximum), see `max_pool2d`.
    """

    def __init__(
        self,
        size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        *,
        dilation: Pair = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ):
        self.size = arguments.pair("MaxPool2D", "size", size)
        self.stride = self.size if stride is None else arguments.pair("MaxPool2D", "stride", stride)
        self.padding = arguments.padding("MaxPool2D", padding)
        self.dilation = arguments.pair("MaxPool2D", "dilation", dilation)
        self.ceil_mode = arguments.flag("MaxPool2D", "ceil_mode", ceil_mode)
        self.return_indices = arguments.flag("MaxPool2D", "return_indices", return_indices)

    def forward(self, x: Tensor) -> Any:
        return max_pool2d(
            x,
            self.size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
            return_indices=self.return_indices,
        )


class AvgPool2D(Module):
    """The mean of each window: (N, C, H, W) -> (N, C, H_out, W_out).

    H_out = (H + 2 padding - size) // stride + 1; the stride is by default the size. Padding
    counts as zeros, or not at all without `count_include_pad`. With `ceil_mode` the division
    rounds up; `divisor_override` divides the sums instead of the size; see `avg_pool2d`.
    """

    def __init__(
        self,
        size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        self.size = arguments.pair("AvgPool2D", "size", size)
        self.stride = self.size if stride is None else arguments.pair("AvgPool2D", "stride", stride)
        self.padding = arguments.padding("AvgPool2D", padding)
        self.ceil_mode = arguments.flag("AvgPool2D", "ceil_mode", ceil_mode)
        self.count_include_pad = arguments.flag("AvgPool2D", "count_include_pad", count_include_pad)
        self.divisor_override = divisor_override
        if divisor_override is not None:
            name = "divisor_override"
            self.divisor_override = arguments.integer("AvgPool2D", name, divisor_override)

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(
            x,
            self.size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
            divisor_override=self.divisor_override,
        )


class GlobalAvgPool2D(Module):
    """The mean of each channel over the image: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        arguments.tensor("global_avg_pool2d", "x", x)
        if x.ndim != 4:
            raise ValueError(f"[global_avg_pool2d] x is {x.shape}, expected (N, C, H, W)")
        return mean(x, axis=(2, 3))
