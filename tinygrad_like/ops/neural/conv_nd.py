"""Convolution over volumes (N, C, D, H, W), and transposed convolution of sequences and volumes.

The slices of a volume that one output slice reads are the channels of one image: a convolution of
volumes is one of such images. `_read_slices` makes them, and its gradient `_add_slices` makes a
volume of gradients; each is the other's gradient.
"""

from typing import NamedTuple

from tinygrad_like.engine import check_integer, composed, op
from tinygrad_like.ops.arrays.shape import expand_dims, moveaxis, of_one, reshape, squeeze
from tinygrad_like.ops.indexing import window
from tinygrad_like.ops.neural.conv import check_bias, conv2d, conv_transpose2d


class Depth(NamedTuple):
    """How windows slide along the depth: `outputs` of `size` slices of a volume of depth `n`.

    Output o reads the slices o * stride + i * dilation - padding; those outside are zeros.
    """

    n: int
    outputs: int
    size: int
    stride: int
    dilation: int
    padding: int

    def meets(self):
        """(i, the slices of x, the outputs that read them) for each place i in a window."""
        for i in range(self.size):
            offset = i * self.dilation - self.padding
            first = max(0, -(offset // self.stride))
            last = min(self.outputs - 1, (self.n - 1 - offset) // self.stride)
            if last >= first:
                start = first * self.stride + offset
                stop = last * self.stride + offset + 1
                yield i, slice(start, stop, self.stride), slice(first, last + 1)


def _slices_all(call, arrays, attributes):
    return call.unfolded(call(call.folded(arrays[0]), **attributes))


@op(batch=_slices_all, x=lambda g, depth: _add_slices(g, depth=depth))
def _read_slices(be, x, *, depth):
    """x (N, C, D, H, W) -> (N, outputs, C, size, H, W): the slices in each window."""
    n, c, _, h, w = x.shape
    y = be.xp.zeros((n, depth.outputs, c, depth.size, h, w), x.dtype)
    for i, read, outputs in depth.meets():
        y[:, outputs, :, i] = x[:, :, read].swapaxes(1, 2)
    return y


@op(batch=_slices_all, g=lambda h, depth: _read_slices(h, depth=depth))
def _add_slices(be, g, *, depth):
    """The adjoint of `_read_slices`: windows that overlap add up."""
    n, _, c, _, h, w = g.shape
    x = be.xp.zeros((n, c, depth.n, h, w), g.dtype)
    for i, read, outputs in depth.meets():
        x[:, :, read] += g[:, outputs, :, i].swapaxes(1, 2)
    return x


def _along_depth(name, n, size, stride, dilation, ends):
    """The Depth of a convolution with this padding (before, after)."""
    span = dilation * (size - 1) + 1
    if n + sum(ends) < span:
        raise ValueError(
            f"[{name}] the window spans {span} slices, the padded input has only {n + sum(ends)}"
        )
    outputs = (n + sum(ends) - span) // stride + 1
    return Depth(n, outputs, size, stride, dilation, ends[0])


@composed
def conv3d(x, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    """The cross-correlation of volumes with a stack of filters.

    Args:
        x: (N, C, D, H, W), or one volume (C, D, H, W), which gives one volume.
        weight: (C_out, C / groups, kd, kh, kw). bias: (C_out,) or None.
        stride, dilation: an integer or three of them.
        padding: of zeros: an integer, three, three pairs (before, after), "valid" or "same"; see
            conv2d.

    Returns:
        (N, C_out, D_out, H_out, W_out), each length as in conv2d.

    >>> import tinygrad_like as tg
    >>> tg.conv3d(tg.ones((1, 2, 4, 5, 6)), tg.ones((3, 2, 2, 3, 3)), padding="same").shape
    (1, 3, 4, 5, 6)
    """
    if x.ndim == 4 and weight.ndim == 5:
        return of_one(conv3d, **locals())
    name = "conv3d"
    groups = check_integer(name, "groups", groups)
    window.check_conv(name, x.shape, weight.shape, groups, axes=("D, H, W", "kd, kh, kw"))
    check_bias(name, bias, weight.shape[0])
    stride = window.triple(name, "stride", stride, 1)
    dilation = window.triple(name, "dilation", dilation, 1)
    size, kernel = x.shape[2:], weight.shape[2:]
    window.check_kernel(name, kernel)
    ends = window.edges_of(window.edges_along(name, padding, 3), size, kernel, stride, dilation)
    depth = _along_depth(name, size[0], kernel[0], stride[0], dilation[0], ends[0])
    slices = _read_slices(x, depth=depth)
    n, outputs, c, kd, h, w = slices.shape
    y = conv2d(
        reshape(slices, (n * outputs, c * kd, h, w)),
        reshape(weight, (weight.shape[0], weight.shape[1] * kd, *kernel[1:])),
        bias,
        stride=stride[1:],
        padding=ends[1:],
        dilation=dilation[1:],
        groups=groups,
    )
    return moveaxis(reshape(y, (n, outputs, *y.shape[1:])), 1, 2)


@composed
def conv_transpose1d(
    x, weight, bias=None, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1
):
    """conv_transpose2d of sequences x (N, C, L), or of one, with filters (C, C_out / groups, k).

    `padding` is an integer, `((before, after),)`, "same" or "valid"; the others are integers, or
    each one in a tuple.
    """
    if x.ndim == 2 and weight.ndim == 3:
        return of_one(conv_transpose1d, **locals())
    name = "conv_transpose1d"
    if x.ndim != 3 or weight.ndim != 3:
        raise ValueError(
            f"[{name}] x is {x.shape}, weight is {weight.shape}, expected (N, C, L) and "
            "(C, C_out / groups, k)"
        )
    y = conv_transpose2d(
        expand_dims(x, 2),
        expand_dims(weight, 2),
        bias,
        stride=(1, check_integer(name, "stride", window.only(stride), 1)),
        padding=padding if isinstance(padding, str) else (0, window.of_one_axis(name, padding)),
        output_padding=(0, check_integer(name, "output_padding", window.only(output_padding), 0)),
        dilation=(1, check_integer(name, "dilation", window.only(dilation), 1)),
        groups=groups,
    )
    return squeeze(y, 2)


@composed
def conv_transpose3d(
    x, weight, bias=None, *, stride=1, padding=0, output_padding=0, dilation=1, groups=1
):
    """The gradient of conv3d with respect to its input, as a layer, which enlarges volumes.

    Args:
        x: (N, C, D, H, W), or one volume. weight: (C, C_out / groups, kd, kh, kw).
        bias: (C_out,) or None.
        padding: as conv3d's, which this op reverses: so much is cut off.
        output_padding: what is added at one side of each axis, less than the stride.
        The others are integers or three of them.

    Returns:
        (N, C_out, D_out, H_out, W_out), each length as in conv_transpose2d.
    """
    if x.ndim == 4 and weight.ndim == 5:
        return of_one(conv_transpose3d, **locals())
    name = "conv_transpose3d"
    groups = check_integer(name, "groups", groups, 1)
    if x.ndim != 5 or weight.ndim != 5 or x.shape[1] != weight.shape[0]:
        raise ValueError(
            f"[{name}] x is {x.shape}, weight is {weight.shape}, expected (N, C, D, H, W) and "
            "(C, C_out / groups, kd, kh, kw)"
        )
    stride = window.triple(name, "stride", stride, 1)
    dilation = window.triple(name, "dilation", dilation, 1)
    extra = window.triple(name, "output_padding", output_padding, 0)
    ends = window.edges_along(name, padding, 3)
    kernel = weight.shape[2:]
    window.check_kernel(name, kernel)
    n, c, d, h, w = x.shape
    c_out = weight.shape[1] * groups
    check_bias(name, bias, c_out)
    deep, flat = (ends, ends) if ends == "same" else (ends[0], ends[1:])
    y = conv_transpose2d(
        reshape(moveaxis(x, 2, 1), (n * d, c, h, w)),
        reshape(weight, (c, weight.shape[1] * kernel[0], *kernel[1:])),
        stride=stride[1:],
        padding=flat,
        output_padding=extra[1:],
        dilation=dilation[1:],
        groups=groups,
    )
    y = reshape(y, (n, d, c_out, kernel[0], *y.shape[2:]))
    y = _add_slices(y, depth=_enlarged(d, kernel[0], stride[0], dilation[0], deep, extra[0]))
    return y if bias is None else y + bias.reshape(-1, 1, 1, 1)


def _enlarged(d, size, stride, dilation, ends, extra):
    """The Depth of the convolution that has d output slices, whose gradient a volume is."""
    name = "conv_transpose3d"
    if ends == "same":
        if extra:
            raise ValueError(f"[{name}] output_padding is {extra}, expected 0 with padding='same'")
        n = d * stride
        ((before, _),) = window.edges_of("same", (n,), (size,), (stride,), (dilation,))
        return Depth(n, d, size, stride, dilation, before)
    before, after = ends
    n = (d - 1) * stride - before - after + dilation * (size - 1) + extra + 1
    if extra >= stride or n < 1:
        raise ValueError(
            f"[{name}] output_padding {extra} must be less than the stride {stride}, and the "
            f"depth of the output, {n}, not 0"
        )
    return Depth(n, d, size, stride, dilation, before)
