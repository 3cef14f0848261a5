"""Convolution over volumes (N, C, D, H, W), and transposed convolution of sequences and volumes.

Arguments are those of the layers in conv.py: integers, or three of them for (D, H, W).
"""

from tinygrad_like.nn.layers.conv import Conv, ConvTranspose
from tinygrad_like.ops.neural.conv_nd import conv3d, conv_transpose1d, conv_transpose3d


class Conv3D(Conv):
    """The convolution of volumes: (N, c_in, D, H, W) -> (N, c_out, D_out, H_out, W_out).

    D_out = (D + 2 padding - dilation (kd - 1) - 1) // stride + 1, and so on.
    `weight` is (c_out, c_in / groups, kd, kh, kw), `bias` (c_out,) or None.

    >>> import tinygrad_like as tg
    >>> tg.nn.Conv3D(2, 8, 3, padding="same")(tg.ones((1, 2, 4, 6, 6))).shape
    (1, 8, 4, 6, 6)
    """

    _axes, _op = 3, staticmethod(conv3d)


class ConvTranspose1D(ConvTranspose):
    """The gradient of Conv1D with respect to its input, as a layer that lengthens sequences.

    (N, c_in, L) -> (N, c_out, L_out),
    L_out = (L - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1.
    `weight` is (c_in, c_out / groups, k), `bias` (c_out,) or None.
    """

    _axes, _op = 1, staticmethod(conv_transpose1d)


class ConvTranspose3D(ConvTranspose):
    """The gradient of Conv3D with respect to its input, as a layer that enlarges volumes.

    (N, c_in, D, H, W) -> (N, c_out, D_out, H_out, W_out),
    D_out = (D - 1) stride - 2 padding + dilation (kd - 1) + output_padding + 1.
    `weight` is (c_in, c_out / groups, kd, kh, kw), `bias` (c_out,) or None.
    """

    _axes, _op = 3, staticmethod(conv_transpose3d)
