"""Convolution and pooling over images (N, C, H, W) and sequences (N, C, L).

`kernel_size`, `stride`, `padding`, `dilation` and `size` are integers, or pairs for (H, W). A
padding may also be uneven, ((top, bottom), (left, right)), `"valid"` (none) or `"same"`: then
H_out = H / stride, rounded up, with the greater half of an odd number of rows at the bottom.
Weights and biases start as U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as in PyTorch.
"""

from tinygrad_like.engine import Tensor
from tinygrad_like.nn import arguments, init
from tinygrad_like.nn.dtype import like
from tinygrad_like.nn.module import Module
from tinygrad_like.ops.conv import conv1d, conv2d, conv_transpose2d
from tinygrad_like.ops.pool import avg_pool2d, max_pool2d
from tinygrad_like.ops.reduce import mean
from tinygrad_like.ops.shape import flatten

Pair = int | tuple[int, int]
Padding = Pair | tuple[Pair, Pair] | str


class Conv1D(Module):
    """y[o, i] = b[o] + sum_c,k W[o, c, k] x[c, i stride + k dilation - padding].

    (N, c_in, L) -> (N, c_out, L_out), L_out = (L + 2 padding - dilation (k - 1) - 1) // stride + 1.
    `weight` is (c_out, c_in / groups, k), `bias` (c_out,) or None. An uneven padding is
    `((before, after),)`: a causal convolution has `((k - 1, 0),)`.
    """

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
    ):
        self.c_in = arguments.integer("Conv1D", "c_in", c_in)
        self.c_out = arguments.integer("Conv1D", "c_out", c_out)
        self.kernel_size = arguments.integer("Conv1D", "kernel_size", kernel_size)
        self.stride = arguments.integer("Conv1D", "stride", stride)
        self.padding = arguments.padding("Conv1D", padding, axes=1)
        self.dilation = arguments.integer("Conv1D", "dilation", dilation)
        self.groups = arguments.integer("Conv1D", "groups", groups)
        arguments.divides("Conv1D", self.groups, c_in=self.c_in, c_out=self.c_out)
        self.weight = init.fan_in_uniform((self.c_out, self.c_in // self.groups, self.kernel_size))
        has_bias = arguments.flag("Conv1D", "bias", bias)
        self.bias = _bias(self.c_out, self.weight) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        return conv1d(
            like(x, self.weight),
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )


class Conv2D(Module):
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
    ):
        self.c_in = arguments.integer("Conv2D", "c_in", c_in)
        self.c_out = arguments.integer("Conv2D", "c_out", c_out)
        self.kernel_size = arguments.pair("Conv2D", "kernel_size", kernel_size)
        self.stride = arguments.pair("Conv2D", "stride", stride)
        self.padding = arguments.padding("Conv2D", padding)
        self.dilation = arguments.pair("Conv2D", "dilation", dilation)
        self.groups = arguments.integer("Conv2D", "groups", groups)
        arguments.divides("Conv2D", self.groups, c_in=self.c_in, c_out=self.c_out)
        self.weight = init.fan_in_uniform(
            (self.c_out, self.c_in // self.groups, *_window(self.kernel_size))
        )
        has_bias = arguments.flag("Conv2D", "bias", bias)
        self.bias = _bias(self.c_out, self.weight) if has_bias else None

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(
            like(x, self.weight),
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )


class ConvTranspose2D(Module):
    """The gradient of Conv2D by its input, as a layer that enlarges images.

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
        name = "ConvTranspose2D"
        self.c_in = arguments.integer(name, "c_in", c_in)
        self.c_out = arguments.integer(name, "c_out", c_out)
        self.kernel_size = arguments.pair(name, "kernel_size", kernel_size)
        self.stride = arguments.pair(name, "stride", stride)
        self.padding = arguments.padding(name, padding)
        self.dilation = arguments.pair(name, "dilation", dilation)
        self.groups = arguments.integer(name, "groups", groups)
        self.output_padding = arguments.pair(name, "output_padding", output_padding, 0)
        arguments.divides(name, self.groups, c_in=self.c_in, c_out=self.c_out)
        self.weight = init.fan_in_uniform(
            (self.c_in, self.c_out // self.groups, *_window(self.kernel_size))
        )
        has_bias = arguments.flag(name, "bias", bias)
        self.bias = _bias(self.c_out, self.weight) if has_bias else None

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


def _window(kernel_size: Pair) -> tuple[int, int]:
    return kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)


def _bias(channels: int, weight: Tensor) -> Tensor:
    return init.fan_in_uniform(channels, init.fans(weight.shape)[0])


class MaxPool2D(Module):
    """The maximum of each window: (N, C, H, W) -> (N, C, H_out, W_out).

    H_out = (H + 2 padding - size) // stride + 1; the stride is by default the size. Padding is
    never chosen. With `ceil_mode` the division rounds up, see `max_pool2d`.
    """

    def __init__(
        self,
        size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        *,
        ceil_mode: bool = False,
    ):
        self.size = arguments.pair("MaxPool2D", "size", size)
        self.stride = self.size if stride is None else arguments.pair("MaxPool2D", "stride", stride)
        self.padding = arguments.padding("MaxPool2D", padding)
        self.ceil_mode = arguments.flag("MaxPool2D", "ceil_mode", ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        return max_pool2d(
            x, self.size, stride=self.stride, padding=self.padding, ceil_mode=self.ceil_mode
        )


class AvgPool2D(Module):
    """The mean of each window: (N, C, H, W) -> (N, C, H_out, W_out).

    H_out = (H + 2 padding - size) // stride + 1; the stride is by default the size. Padding
    counts as zeros, or not at all without `count_include_pad`. With `ceil_mode` the division
    rounds up, see `avg_pool2d`.
    """

    def __init__(
        self,
        size: Pair,
        stride: Pair | None = None,
        padding: Padding = 0,
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        self.size = arguments.pair("AvgPool2D", "size", size)
        self.stride = self.size if stride is None else arguments.pair("AvgPool2D", "stride", stride)
        self.padding = arguments.padding("AvgPool2D", padding)
        self.ceil_mode = arguments.flag("AvgPool2D", "ceil_mode", ceil_mode)
        self.count_include_pad = arguments.flag("AvgPool2D", "count_include_pad", count_include_pad)

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(
            x,
            self.size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )


class GlobalAvgPool2D(Module):
    """The mean of each channel over the image: (N, C, H, W) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        arguments.tensor("global_avg_pool2d", "x", x)
        if x.ndim != 4:
            raise ValueError(f"[global_avg_pool2d] x is {x.shape}, expected (N, C, H, W)")
        return mean(x, axis=(2, 3))


class Flatten(Module):
    """All axes but the first joined into one: (N, ...) -> (N, product of the others)."""

    def forward(self, x: Tensor) -> Tensor:
        return flatten(x, 1)
