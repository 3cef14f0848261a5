"""Convolution over images (N, C, H, W) and sequences (N, C, L).

`kernel_size`, `stride`, `padding` and `dilation` are integers, or one integer for each axis of the
window: pairs for (H, W). A padding may also be uneven, ((top, bottom), (left, right)), `"valid"`
(none) or `"same"`: then H_out = H / stride, rounded up, with the greater half of an odd number of
rows at the bottom. Any input may be a single example without N. With a `padding_mode` other than
"zeros" convolutions pad as `tg.pad` does in "reflect", "replicate" or "circular" mode.
Weights and biases start as U(-1/sqrt(fan_in), 1/sqrt(fan_in)), as in PyTorch.
"""

from collections.abc import Callable
from typing import Any

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments, init
from tinygrad_like.nn.base.dtype import like
from tinygrad_like.nn.base.module import Module
from tinygrad_like.ops.indexing import window
from tinygrad_like.ops.indexing.padding import pad
from tinygrad_like.ops.neural.conv import conv1d, conv2d, conv_transpose2d

Lengths = int | tuple[int, ...]
Padding = int | tuple[int | tuple[int, int], ...] | str
MODES = ("zeros", "reflect", "replicate", "circular")


class Convolution(Module):
    """What the convolution layers share: checked settings, and the starting weight and bias."""

    _axes: int  # that a window has
    _op: Callable[..., Tensor]

    c_in: int
    c_out: int
    groups: int
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


class Conv(Convolution):
    """What Conv1D, Conv2D and Conv3D share: all but the op."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel_size: Lengths,
        stride: Lengths = 1,
        padding: Padding = 0,
        dilation: Lengths = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ):
        self._set(c_in, c_out, kernel_size, stride, padding, dilation, groups)
        name = type(self).__name__
        self.padding_mode = arguments.choice(name, "padding_mode", padding_mode, MODES)
        self._draw(self.c_out, self.c_in, bias)

    def forward(self, x: Tensor) -> Tensor:
        x, padding = self._padded(like(x, self.weight))
        return self._op(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def _padded(self, x: Tensor) -> tuple[Tensor, Any]:
        """(x, the padding that is left for the op): all but zeros are put around x here."""
        if self.padding_mode == "zeros":
            return x, self.padding
        axes, name = self._axes, type(self).__name__
        window_of = self.kernel_size, self.stride, self.dilation
        alike = (v if isinstance(v, tuple) else (v,) * axes for v in window_of)
        ends = window.edges_of(
            window.edges_along(name, self.padding, axes), x.shape[-axes:], *alike
        )
        return pad(x, ((0, 0),) * (x.ndim - axes) + ends, self.padding_mode), 0


class ConvTranspose(Convolution):
    """What ConvTranspose1D, ConvTranspose2D and ConvTranspose3D share: all but the op."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel_size: Lengths,
        stride: Lengths = 1,
        padding: Padding = 0,
        dilation: Lengths = 1,
        groups: int = 1,
        bias: bool = True,
        output_padding: Lengths = 0,
    ):
        self._set(c_in, c_out, kernel_size, stride, padding, dilation, groups)
        name, axes = type(self).__name__, self._axes
        self.output_padding = arguments.several(name, "output_padding", output_padding, axes, 0)
        self._draw(self.c_in, self.c_out, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self._op(
            like(x, self.weight),
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
            groups=self.groups,
        )


class Conv1D(Conv):
    """y[o, i] = b[o] + sum_c,k W[o, c, k] x[c, i stride + k dilation - padding].

    (N, c_in, L) -> (N, c_out, L_out), L_out = (L + 2 padding - dilation (k - 1) - 1) // stride + 1.
    `weight` is (c_out, c_in / groups, k), `bias` (c_out,) or None. An uneven padding is
    `((before, after),)`: a causal convolution has `((k - 1, 0),)`.
    """

    _axes, _op = 1, staticmethod(conv1d)


class Conv2D(Conv):
    """y[o, i, j] = b[o] + sum_c,k,l W[o, c, k, l] x[c, i stride + k dilation - padding, j ...].

    (N, c_in, H, W) -> (N, c_out, H_out, W_out),
    H_out = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1.
    `weight` is (c_out, c_in / groups, kh, kw), `bias` (c_out,) or None.
    """

    _axes, _op = 2, staticmethod(conv2d)


class ConvTranspose2D(ConvTranspose):
    """The gradient of Conv2D with respect to its input, as a layer that enlarges images.

    (N, c_in, H, W) -> (N, c_out, H_out, W_out),
    H_out = (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1.
    `weight` is (c_in, c_out / groups, kh, kw), `bias` (c_out,) or None.
    """

    _axes, _op = 2, staticmethod(conv_transpose2d)
