"""Convolution over images (N, C, H, W) and sequences (N, C, L).

conv2d is linear in x and in weight. Its two gradients are ops of the same kind, and the three are
each other's gradients: that is all there is to know for every order.
"""

from tinygrad_like.engine import check_integer, composed, in_half, op
from tinygrad_like.ops import window
from tinygrad_like.ops.padding import pad
from tinygrad_like.ops.reduce import sum
from tinygrad_like.ops.shape import expand_dims, squeeze


def _evenly_padded(x, ends):
    """(x, padding): what the ends of its axes have in common is left to the kernels.

    They pad both ends alike and never build it; the rest, if any, is put around the images here.
    """
    common = window.in_the_middle(ends)
    if not window.is_even(ends):
        rest = [(before - p, after - p) for (before, after), p in zip(ends, common, strict=True)]
        x = pad(x, ((0, 0), (0, 0), *rest))
    return x, common


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
    _check_numbers(name, x, weight)


def _check_numbers(name, x, weight):
    if x.dtype.kind == weight.dtype.kind == "b":
        raise TypeError(f"[{name}] x and weight are booleans, expected numbers; cast one of them")


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
        stride, dilation: an integer or a pair.
        padding: of zeros: an integer, a pair (ph, pw), pairs ((top, bottom), (left, right)),
            `"valid"` for none, or `"same"`: H_out = H / stride, rounded up, with the greater half
            of an odd number of rows at the bottom, as in PyTorch and TensorFlow.

    Returns:
        (N, C_out, H_out, W_out), H_out = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1,
        with top + bottom for 2 padding. Integers stay in their dtype, and wrap as NumPy's do.
    """
    groups = check_integer("conv2d", "groups", groups)
    _check_conv("conv2d", x, weight, bias, groups)
    kernel = weight.shape[2:]
    stride = window.pair("conv2d", "stride", stride, 1)
    dilation = window.pair("conv2d", "dilation", dilation, 1)
    ends = window.edges("conv2d", padding, x.shape[2:], kernel, stride, dilation)
    window.check_fits("conv2d", x, kernel, ends, dilation)
    x, padding = _evenly_padded(x, ends)
    return _conv2d(x, weight, bias, geometry=(stride, padding, dilation), groups=groups)


@composed
def conv1d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """The cross-correlation of sequences x (N, C, L) with filters (C_out, C / groups, k).

    As conv2d. `padding` is an integer, `((before, after),)`, `"same"` or `"valid"`.
    """
    groups = check_integer("conv1d", "groups", groups)
    _check_conv("conv1d", x, weight, bias, groups, axes=("L", "k"))
    for what, value in (("stride", stride), ("dilation", dilation)):
        if not window.is_integer(value, 1):
            raise ValueError(f"[conv1d] {what} is {value!r}, expected a positive integer")
    y = conv2d(
        expand_dims(x, 2),
        expand_dims(weight, 2),
        bias,
        stride=(1, stride),
        padding=padding if isinstance(padding, str) else (0, _of_one_axis(padding)),
        dilation=(1, dilation),
        groups=groups,
    )
    return squeeze(y, 2)


def _of_one_axis(padding):
    """The member for the last axis of a padding of conv2d, from one of conv1d."""
    if window.is_integer(padding, 0):
        return padding
    if isinstance(padding, (tuple, list)) and len(padding) == 1:
        ends = window.ends_of_axis(padding[0])
        if ends is not None:
            return ends
    raise ValueError(
        f"[conv1d] padding is {padding!r}, expected an integer of at least 0, a pair in a tuple, "
        "((before, after),), 'same' or 'valid'"
    )


@composed
def conv_transpose2d(
    x, weight, bias=None, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1
):
    """The gradient of conv2d by its input, as a layer: it enlarges images.

    Args:
        x: (N, C, H, W). weight: (C, C_out / groups, kh, kw). bias: (C_out,) or None.
        padding: as conv2d's, of which this is the way back: so many rows and columns are cut off.
            With `"same"` H_out = H stride.
        output_padding: rows and columns added at one side of the output, fewer than the stride.

    Returns:
        (N, C_out, H_out, W_out), with H_out =
        (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1.
    """
    name = "conv_transpose2d"
    groups = check_integer(name, "groups", groups)
    if x.ndim != 4 or weight.ndim != 4 or groups < 1 or x.shape[1] != weight.shape[0]:
        raise ValueError(
            f"[{name}] x is {x.shape}, weight is {weight.shape}, expected (N, C, H, W) and "
            "(C, C_out / groups, kh, kw)"
        )
    if x.shape[1] % groups:
        raise ValueError(f"[{name}] {groups} groups do not divide {x.shape[1]} channels")
    channels = weight.shape[1] * groups
    _check_bias(name, bias, channels)
    _check_numbers(name, x, weight)
    kernel = weight.shape[2:]
    window.check_kernel(name, kernel)
    stride = window.pair(name, "stride", stride, 1)
    dilation = window.pair(name, "dilation", dilation, 1)
    extra = window.pair(name, "output_padding", output_padding, 0)
    whole = [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
    ends = window.edges(name, padding, whole, kernel, stride, dilation)
    size = [
        (n - 1) * s - before - after + d * (k - 1) + e + 1
        for n, k, s, (before, after), d, e in zip(
            x.shape[2:], kernel, stride, ends, dilation, extra, strict=True
        )
    ]
    if padding == "same":
        if extra != (0, 0):
            raise ValueError(f"[{name}] output_padding is {extra}, expected 0 with padding='same'")
        size = whole
    if any(e >= s for e, s in zip(extra, stride, strict=True)) or min(size) < 1:
        raise ValueError(
            f"[{name}] output_padding {extra} must be less than the stride {stride}, and "
            f"the output, {tuple(size)}, not empty"
        )
    common = window.in_the_middle(ends)
    cuts = [(before - p, after - p) for (before, after), p in zip(ends, common, strict=True)]
    shape = (x.shape[0], channels, *(n + b + a for n, (b, a) in zip(size, cuts, strict=True)))
    y = conv2d_input_grad(
        x, weight, shape=shape, geometry=(stride, common, dilation), groups=groups
    )
    if not window.is_even(ends):
        (top, _), (left, _) = cuts
        y = y[:, :, top : top + size[0], left : left + size[1]]
    return y if bias is None else y + bias.reshape(-1, 1, 1)
