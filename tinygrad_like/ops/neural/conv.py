"""Convolution over images (N, C, H, W) and sequences (N, C, L), or one of them, without N.

conv2d is linear in x and in weight. Its two gradients are ops of the same kind, and the three are
each other's gradients, which gives derivatives of every order. They share one Geometry.
"""

from tinygrad_like.engine import (
    check_integer,
    composed,
    in_half,
    op,
    wrap,
)
from tinygrad_like.ops.arrays.shape import expand_dims, moveaxis, of_one, reshape, squeeze
from tinygrad_like.ops.indexing import window
from tinygrad_like.ops.indexing.padding import pad
from tinygrad_like.ops.reductions.reduce import sum


def check_bias(name, bias, channels):
    """Raise ValueError unless there is no bias, or one number for each output channel."""
    if bias is not None and tuple(bias.shape) != (channels,):
        raise ValueError(f"[{name}] bias is {bias.shape}, expected ({channels},)")


def _check_numbers(x, weight):
    """Raise TypeError for a product of booleans; the public function puts its own name in front."""
    if x.dtype.kind == weight.dtype.kind == "b":
        raise TypeError("[conv2d] x and weight are booleans, expected numbers; cast one of them")


# Three ops, each of which is the gradient of the other two. Under vmap, examples that share their
# filters are so many more images; where each has its own, they are groups of channels.


def _conv_all(call, arrays, attributes):
    (x, weight, bias), s = arrays, attributes["geometry"]
    if bias is not None and bias.mapped:
        y = call.full(_conv2d(wrap(x), wrap(weight), geometry=s))
        return y + reshape(bias.inner, (call.size, 1, -1, 1, 1))
    if not weight.mapped:
        more = s._replace(images=call.size * s.images)
        y = call(call.folded(x), weight.inner, None if bias is None else bias.inner, geometry=more)
        return call.unfolded(y)
    s = s._replace(groups=call.size * s.groups)
    bias = None if bias is None else reshape(bias.full(), (-1,))
    return _of_each(call, call(_as_groups(x), call.folded(weight), bias, geometry=s))


def _as_groups(x):
    """The images (N, C, H, W) of all examples, or gradients, as (N, size C, H, W)."""
    images = moveaxis(x.full(), 0, 1)
    return reshape(images, (images.shape[0], -1, *images.shape[3:]))


def _of_each(call, y):
    """The opposite of `_as_groups`: (size, N, C, H, W)."""
    n, channels, *size = y.shape
    return moveaxis(reshape(y, (n, call.size, channels // call.size, *size)), 1, 0)


def _input_grad_all(call, arrays, attributes):
    (dy, weight), s = arrays, attributes["geometry"]
    if not weight.mapped:
        more = s._replace(images=call.size * s.images)
        return call.unfolded(call(call.folded(dy), weight.inner, geometry=more))
    s = s._replace(groups=call.size * s.groups)
    return _of_each(call, call(_as_groups(dy), call.folded(weight), geometry=s))


def _weight_grad_all(call, arrays, attributes):
    s = attributes["geometry"]
    s = s._replace(groups=call.size * s.groups)
    return call.unfolded(call(*map(_as_groups, arrays), geometry=s))


@op(
    autocast=in_half,
    batch=_conv_all,
    x=lambda g, weight, geometry: conv2d_input_grad(g, weight, geometry=geometry),
    weight=lambda g, x, geometry: conv2d_weight_grad(g, x, geometry=geometry),
    bias=lambda g: sum(g, axis=(0, 2, 3)),
)
def _conv2d(be, x, weight, bias=None, *, geometry):
    _check_numbers(x, weight)
    return be.k.conv2d(x, weight, geometry, bias)


@op(
    batch=_input_grad_all,
    dy=lambda g, weight, geometry: _conv2d(g, weight, geometry=geometry),
    weight=lambda g, dy, geometry: conv2d_weight_grad(dy, g, geometry=geometry),
)
def conv2d_input_grad(be, dy, weight, *, geometry):
    """The gradient with respect to the input of the conv2d that has this Geometry."""
    _check_numbers(dy, weight)
    return be.k.conv2d_input_grad(dy, weight, geometry)


@op(
    batch=_weight_grad_all,
    dy=lambda g, x, geometry: _conv2d(x, g, geometry=geometry),
    x=lambda g, dy, geometry: conv2d_input_grad(dy, g, geometry=geometry),
)
def conv2d_weight_grad(be, dy, x, *, geometry):
    """The gradient with respect to the weight of the conv2d that has this Geometry."""
    return be.k.conv2d_weight_grad(dy, x, geometry)


@composed
def conv2d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """The cross-correlation of images with a stack of filters.

    Args:
        x: (N, C, H, W), or one image (C, H, W), which gives one image.
        weight: (C_out, C / groups, kh, kw). bias: (C_out,) or None.
        stride, dilation: an integer or a pair.
        padding: of zeros: an integer, a pair (ph, pw), pairs ((top, bottom), (left, right)),
            `"valid"` for none, or `"same"`: H_out = H / stride, rounded up, with the greater half
            of an odd number of rows at the bottom, as in PyTorch and TensorFlow.

    Returns:
        (N, C_out, H_out, W_out), H_out = (H + 2 padding - dilation (kh - 1) - 1) // stride + 1,
        with top + bottom for 2 padding. Integers stay in their dtype, and wrap as NumPy's do.
    """
    if x.ndim == 3 and weight.ndim == 4:
        return of_one(conv2d, **locals())
    weight_shape = weight.shape
    geometry, border = window.convolution(
        x.shape,
        weight_shape,
        window.pair("conv2d", "stride", stride, 1),
        window.edges("conv2d", padding),
        window.pair("conv2d", "dilation", dilation, 1),
        check_integer("conv2d", "groups", groups),
    )
    check_bias("conv2d", bias, weight_shape[0])
    if border is not None:
        x = pad(x, ((0, 0), (0, 0), *border))
    return _conv2d(x, weight, bias, geometry=geometry)


@composed
def conv1d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """The cross-correlation of sequences x (N, C, L) with filters (C_out, C / groups, k).

    As conv2d. `padding` is an integer, `((before, after),)`, `"same"` or `"valid"`; the others are
    integers, or each one in a tuple.
    """
    if x.ndim == 2 and weight.ndim == 3:
        return of_one(conv1d, **locals())
    groups = check_integer("conv1d", "groups", groups)
    window.check_conv("conv1d", x.shape, weight.shape, groups, axes=("L", "k"))
    check_bias("conv1d", bias, weight.shape[0])
    stride, dilation = window.only(stride), window.only(dilation)
    for what, value in (("stride", stride), ("dilation", dilation)):
        if not window.is_integer(value, 1):
            raise ValueError(f"[conv1d] {what} is {value!r}, expected a positive integer")
    y = conv2d(
        expand_dims(x, 2),
        expand_dims(weight, 2),
        bias,
        stride=(1, stride),
        padding=padding if isinstance(padding, str) else (0, window.of_one_axis("conv1d", padding)),
        dilation=(1, dilation),
        groups=groups,
    )
    return squeeze(y, 2)


@composed
def conv_transpose2d(
    x, weight, bias=None, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1
):
    """The gradient of conv2d with respect to its input, as a layer, which enlarges images.

    Args:
        x: (N, C, H, W), or one image (C, H, W). weight: (C, C_out / groups, kh, kw).
        bias: (C_out,) or None.
        padding: as conv2d's, which this op reverses: that many rows and columns are cut off. With
            `"same"` H_out = H stride.
        output_padding: rows and columns added at one side of the output, fewer than the stride.

    Returns:
        (N, C_out, H_out, W_out), with H_out =
        (H - 1) stride - 2 padding + dilation (kh - 1) + output_padding + 1.
    """
    if x.ndim == 3 and weight.ndim == 4:
        return of_one(conv_transpose2d, **locals())
    name = "conv_transpose2d"
    weight_shape = weight.shape
    groups = check_integer(name, "groups", groups)
    geometry, cut = window.transposed(
        x.shape,
        weight_shape,
        window.pair(name, "stride", stride, 1),
        window.edges(name, padding),
        window.pair(name, "output_padding", output_padding, 0),
        window.pair(name, "dilation", dilation, 1),
        groups,
    )
    check_bias(name, bias, weight_shape[1] * groups)
    y = conv2d_input_grad(x, weight, geometry=geometry)
    if cut is not None:
        y = y[cut]
    return y if bias is None else y + bias.reshape(-1, 1, 1)
