"""Convolution and pooling over images (N, C, H, W) and sequences (N, C, L).

conv2d is linear in x and in weight. Its two gradients are ops of the same kind, and the three are
each other's gradients: that is all there is to know for every order.
"""

from tinygrad_like.engine import composed, in_half, op
from tinygrad_like.ops.reduce import sum
from tinygrad_like.ops.shape import expand_dims, squeeze


def _pair(name, what, value, least):
    """An int or a pair of ints, as a pair; ValueError if it is neither or too small."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(isinstance(n, int) and n >= least for n in pair):
        raise ValueError(
            f"[{name}] {what} is {value!r}, expected an integer of at least {least}, or a pair"
        )
    return pair


def _geometry(name, kernel, stride, padding, dilation):
    """(stride, padding, dilation) as pairs. `"same"` keeps the image's size at stride 1."""
    stride = _pair(name, "stride", stride, 1)
    dilation = _pair(name, "dilation", dilation, 1)
    if padding == "valid":
        padding = 0
    if padding == "same":
        spans = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        if stride != (1, 1) or any(s % 2 for s in spans):
            raise ValueError(
                f"[{name}] padding='same' needs stride 1 and an odd kernel, got stride {stride} "
                f"and kernel {tuple(kernel)}; give the padding as numbers"
            )
        padding = tuple(s // 2 for s in spans)
    return stride, _pair(name, "padding", padding, 0), dilation


def _out_size(name, x, kernel, stride, padding, dilation):
    """The size (H, W) of the output; ValueError if the window is larger than the image."""
    sizes = []
    for n, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True):
        span = d * (k - 1) + 1
        if n + 2 * p < span:
            raise ValueError(
                f"[{name}] the window spans {span}, the padded input only {n + 2 * p} "
                f"(x: {x.shape}, kernel: {tuple(kernel)})"
            )
        sizes.append((n + 2 * p - span) // s + 1)
    return sizes


def _check_conv(name, x, weight, bias, groups, axes=("H, W", "kh, kw")):
    """Raise ValueError unless the shapes of a convolution's arguments fit together."""
    ndim = 2 + axes[0].count(",") + 1
    if x.ndim != ndim or weight.ndim != ndim:
        raise ValueError(
            f"[{name}] x is {x.shape}, weight is {weight.shape}, expected (N, C, {axes[0]}) and "
            f"(C_out, C / groups, {axes[1]})"
        )
    if groups < 1 or x.shape[1] % groups or weight.shape[0] % groups:
        raise ValueError(
            f"[{name}] groups is {groups}, which does not divide {x.shape[1]} input and "
            f"{weight.shape[0]} output channels (x: {x.shape}, weight: {weight.shape})"
        )
    if x.shape[1] != weight.shape[1] * groups:
        raise ValueError(
            f"[{name}] x has {x.shape[1]} channels, weight expects {weight.shape[1] * groups} "
            f"(x: {x.shape}, weight: {weight.shape})"
        )
    _check_bias(name, bias, weight.shape[0])


def _check_bias(name, bias, channels):
    if bias is not None and tuple(bias.shape) != (channels,):
        raise ValueError(f"[{name}] bias is {bias.shape}, expected ({channels},)")


# The three of them: each is the gradient of the other two.


@op(
    autocast=in_half,
    x=lambda g, weight, x_shape, geometry, groups: conv2d_input_grad(
        g, weight, shape=x_shape, geometry=geometry, groups=groups
    ),
    weight=lambda g, x, weight_shape, geometry, groups: conv2d_weight_grad(
        g, x, shape=weight_shape, geometry=geometry, groups=groups
    ),
    bias=lambda g: sum(g, axis=(0, 2, 3)),
)
def _conv2d(be, x, weight, bias=None, *, geometry, groups):
    return be.k.conv2d(x, weight, *geometry, groups, bias)


@op(
    dy=lambda g, weight, geometry, groups: _conv2d(g, weight, geometry=geometry, groups=groups),
    weight=lambda g, dy, weight_shape, geometry, groups: conv2d_weight_grad(
        dy, g, shape=weight_shape, geometry=geometry, groups=groups
    ),
)
def conv2d_input_grad(be, dy, weight, *, shape, geometry, groups):
    """The gradient of conv2d by its input, which has this shape."""
    return be.k.conv2d_input_grad(dy, weight, shape, *geometry, groups)


@op(
    dy=lambda g, x, geometry, groups: _conv2d(x, g, geometry=geometry, groups=groups),
    x=lambda g, dy, x_shape, geometry, groups: conv2d_input_grad(
        dy, g, shape=x_shape, geometry=geometry, groups=groups
    ),
)
def conv2d_weight_grad(be, dy, x, *, shape, geometry, groups):
    """The gradient of conv2d by its weight, which has this shape."""
    return be.k.conv2d_weight_grad(dy, x, shape, *geometry, groups)


@composed
def conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """The cross-correlation of images with a stack of filters.

    Args:
        x: (N, C, H, W). weight: (C_out, C / groups, kh, kw). bias: (C_out,) or None.
        stride, dilation: an integer or a pair. padding: also `"same"` or `"valid"`.

    Returns:
        (N, C_out, H_out, W_out), H_out = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1.
    """
    _check_conv("conv2d", x, weight, bias, groups)
    geometry = _geometry("conv2d", weight.shape[2:], stride, padding, dilation)
    _out_size("conv2d", x, weight.shape[2:], *geometry)
    return _conv2d(x, weight, bias, geometry=geometry, groups=groups)


@composed
def conv1d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """The cross-correlation of sequences x (N, C, L) with filters (C_out, C / groups, k)."""
    _check_conv("conv1d", x, weight, bias, groups, axes=("L", "k"))
    for what, value, least in (("stride", stride, 1), ("dilation", dilation, 1)):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"[conv1d] {what} is {value!r}, expected a positive integer")
    y = conv2d(
        expand_dims(x, 2),
        expand_dims(weight, 2),
        bias,
        stride=(1, stride),
        padding=padding if isinstance(padding, str) else (0, padding),
        dilation=(1, dilation),
        groups=groups,
    )
    return squeeze(y, 2)


@composed
def conv_transpose2d(
    x, weight, bias=None, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1
):
    """The gradient of conv2d by its input, as a layer: it enlarges images.

    Args:
        x: (N, C, H, W). weight: (C, C_out / groups, kh, kw). bias: (C_out,) or None.
        output_padding: rows and columns added at one side of the output, fewer than the stride.

    Returns:
        (N, C_out, H_out, W_out), with H_out =
        (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1.
    """
    name = "conv_transpose2d"
    if x.ndim != 4 or weight.ndim != 4 or groups < 1 or x.shape[1] != weight.shape[0]:
        raise ValueError(
            f"[{name}] x is {x.shape}, weight is {weight.shape}, expected (N, C, H, W) and "
            "(C, C_out / groups, kh, kw)"
        )
    if x.shape[1] % groups:
        raise ValueError(f"[{name}] {groups} groups do not divide {x.shape[1]} channels")
    channels = weight.shape[1] * groups
    _check_bias(name, bias, channels)
    geometry = _geometry(name, weight.shape[2:], stride, padding, dilation)
    extra = _pair(name, "output_padding", output_padding, 0)
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, k, s, p, d, e in zip(x.shape[2:], weight.shape[2:], *geometry, extra, strict=True)
    ]
    if any(e >= s for e, s in zip(extra, geometry[0], strict=True)) or min(size) < 1:
        raise ValueError(
            f"[{name}] output_padding {extra} must be less than the stride {geometry[0]}, and "
            f"the output, {tuple(size)}, not empty"
        )
    shape = (x.shape[0], channels, *size)
    y = conv2d_input_grad(x, weight, shape=shape, geometry=geometry, groups=groups)
    return y if bias is None else y + bias.reshape(-1, 1, 1)


# Pooling


@op(
    saves=("index",),
    x=lambda g, index, x_shape: _max_pool2d_backward(g, index=index, shape=x_shape),
)
def _max_pool2d(be, x, *, size, stride, padding):
    y, index = be.k.max_pool2d(x, size, stride, padding)
    return y, (index,)


@op(g=lambda h, index: _max_pool2d_gather(h, index=index))
def _max_pool2d_backward(be, g, *, index, shape):
    return be.k.max_pool2d_backward(g, index, shape)


@op(x=lambda g, index, x_shape: _max_pool2d_backward(g, index=index, shape=x_shape))
def _max_pool2d_gather(be, x, *, index):
    return be.k.max_pool2d_gather(x, index)


def _pooling(name, x, size, stride, padding):
    if x.ndim != 4:
        raise ValueError(f"[{name}] x is {x.shape}, expected (N, C, H, W)")
    size = _pair(name, "size", size, 1)
    stride = size if stride is None else _pair(name, "stride", stride, 1)
    padding = _pair(name, "padding", padding, 0)
    if any(2 * p > k for p, k in zip(padding, size, strict=True)):
        raise ValueError(f"[{name}] padding {padding} is more than half of the window {size}")
    _out_size(name, x, size, stride, padding, (1, 1))
    return size, stride, padding


@composed
def max_pool2d(x, size, *, stride=None, padding=0):
    """The maximum of each window of images (N, C, H, W); the stride is by default the size.

    Where elements of a window tie, the first in reading order gets the gradient. Padding is
    never chosen.
    """
    size, stride, padding = _pooling("max_pool2d", x, size, stride, padding)
    return _max_pool2d(x, size=size, stride=stride, padding=padding)


@op(
    x=lambda g, x_shape, size, stride, padding: _avg_pool2d_backward(
        g, shape=x_shape, size=size, stride=stride, padding=padding
    )
)
def _avg_pool2d(be, x, *, size, stride, padding):
    return be.k.avg_pool2d(x, size, stride, padding)


@op(g=lambda h, size, stride, padding: _avg_pool2d(h, size=size, stride=stride, padding=padding))
def _avg_pool2d_backward(be, g, *, shape, size, stride, padding):
    return be.k.avg_pool2d_backward(g, shape, size, stride, padding)


@composed
def avg_pool2d(x, size, *, stride=None, padding=0):
    """The mean of each window of images (N, C, H, W); the stride is by default the size.

    Padding counts as zeros.
    """
    size, stride, padding = _pooling("avg_pool2d", x, size, stride, padding)
    return _avg_pool2d(x, size=size, stride=stride, padding=padding)
