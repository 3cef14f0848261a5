"""Cases of conv.cu."""

from cuda_case import Case
from tinygrad_like.kernels import cuda
from tinygrad_like.kernels.cuda import conv
from tinygrad_like.kernels.geometry import conv_geometry


def _convolution(x, weight, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, tile=None):
    """All three of a convolution; `tile` is one that the shape would not choose."""
    geometry = conv_geometry(x, weight, stride, padding, dilation, groups)

    def make(rng):
        return [rng.standard_normal(s) for s in (x, weight, geometry.y_shape, (weight[0],))]

    def call(k, x, weight, g, bias):
        before = conv.MULTIPROCESSORS, conv.SPLIT
        if k is cuda and tile is not None:
            conv.MULTIPROCESSORS, conv.SPLIT = tile
        try:
            return (
                k.conv2d(x, weight, geometry, bias),
                k.conv2d(x, weight, geometry),
                k.conv2d_input_grad(g, weight, geometry),
                k.conv2d_weight_grad(g, x, geometry),
            )
        finally:
            conv.MULTIPROCESSORS, conv.SPLIT = before

    label = "-".join("x".join(map(str, s)) for s in (x, weight, stride, padding, dilation))
    name = f"conv2d-{label}-{groups}" + ("" if tile is None else f"-{tile}")
    return Case(name, "conv.cu", call, make, 16)


CASES = [
    _convolution((2, 3, 6, 7), (4, 3, 3, 3), padding=(1, 1)),
    _convolution((2, 4, 7, 6), (6, 2, 3, 2), (2, 1), (0, 1), (1, 2), 2),
    _convolution((1, 3, 5, 5), (3, 1, 2, 2), (3, 2), (3, 2), (2, 1), 3),
    _convolution((1, 1, 8, 9), (5, 1, 3, 3), padding=(1, 1)),
    _convolution((2, 5, 4, 5), (33, 5, 1, 1)),
    _convolution((3, 2, 5, 4), (3, 2, 5, 4)),
    _convolution((0, 3, 6, 7), (4, 3, 3, 3), padding=(1, 1)),
    # 64 x 64 and 128 x 128 tiles, and several parts of the positions
    _convolution((2, 40, 7, 6), (40, 40, 2, 1), tile=(2, 30)),
    _convolution((2, 65, 6, 6), (66, 65, 1, 2), tile=(1, 40))._replace(dtypes=("float32",)),
]
