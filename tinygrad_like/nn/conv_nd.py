"""Convolution over volumes (N, C, D, H, W), and transposed convolution of sequences and volumes.

Arguments are those of the layers in conv.py: integers, or three of them for (D, H, W).
"""

from typing import Any

from tinygrad_like.engine import Tensor
from tinygrad_like.nn import arguments
from tinygrad_like.nn.conv import MODES, Convolution
from tinygrad_like.nn.dtype import like
from tinygrad_like.ops.conv_nd import conv3d, conv_transpose1d, conv_transpose3d

Triple = int | tuple[int, int, int]


class Conv3D(Convolution):
    """The convolution of volumes: (N, c_in, D, H, W) -> (N, c_out, D_out, H_out, W_out).

    D_out = (D + 2 padding - dilation (kd - 1) - 1) // stride + 1, and so on.
    `weight` is (c_out, c_in / groups, kd, kh, kw), `bias` (c_out,) or None.

    >>> import tinygrad_like as tg
    >>> tg.nn.Conv3D(2, 8, 3, padding="same")(tg.ones((1, 2, 4, 6, 6))).shape
    (1, 8, 4, 6, 6)
    """

    _axes = 3

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel_size: Triple,
        stride: Triple = 1,
        padding: Any = 0,
        dilation: Triple = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
    ):
        self._set(c_in, c_out, kernel_size, stride, padding, dilation, groups)
        self.padding_mode = arguments.choice("Conv3D", "padding_mode", padding_mode, MODES)
        self._draw(self.c_out, self.c_in, bias)

    def forward(self, x: Tensor) -> Tensor:
        x, padding = self._padded(like(x, self.weight))
        return conv3d(
            x,
            self.weight,
            self.bias,
            stride=self.stride,
            padding=padding,
            dilation=self.dilation,
            groups=self.groups,
        )


class ConvTranspose1D(Convolution):
    """The gradient of Conv1D with respect to its input, as a layer that lengthens sequences.

    (N, c_in, L) -> (N, c_out, L_out),
    L_out = (L - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1.
    `weight` is (c_in, c_out / groups, k), `bias` (c_out,) or None.
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
        output_padding: int = 0,
    ):
        self._set(c_in, c_out, kernel_size, stride, padding, dilation, groups)
        name = type(self).__name__
        self.output_padding = arguments.integer(name, "output_padding", output_padding, 0)
        self._draw(self.c_in, self.c_out, bias)

    def forward(self, x: Tensor) -> Tensor:
        return conv_transpose1d(
            like(x, self.weight),
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
            groups=self.groups,
        )


class ConvTranspose3D(Convolution):
    """The gradient of Conv3D with respect to its input, as a layer that enlarges volumes.

    (N, c_in, D, H, W) -> (N, c_out, D_out, H_out, W_out),
    D_out = (D - 1) stride - 2 padding + dilation (kd - 1) + output_padding + 1.
    `weight` is (c_in, c_out / groups, kd, kh, kw), `bias` (c_out,) or None.
    """

    _axes = 3

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel_size: Triple,
        stride: Triple = 1,
        padding: Any = 0,
        dilation: Triple = 1,
        groups: int = 1,
        bias: bool = True,
        output_padding: Triple = 0,
    ):
        self._set(c_in, c_out, kernel_size, stride, padding, dilation, groups)
        name = type(self).__name__
        self.output_padding = arguments.several(name, "output_padding", output_padding, 3, 0)
        self._draw(self.c_in, self.c_out, bias)

    def forward(self, x: Tensor) -> Tensor:
        return conv_transpose3d(
            like(x, self.weight),
            self.weight,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation=self.dilation,
            groups=self.groups,
        )
