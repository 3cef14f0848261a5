"""Windows that slide over images: a user's options, checked, and the Geometry of a call.

The options are checked at each call, and become tuples of plain integers. What follows from them
and from the shapes is computed once and cached: these functions see no arrays.
"""

import functools

import numpy as np

from tinygrad_like.kernels.geometry import conv_geometry, pool_geometry

KEPT = 1024  # geometries of each kind, the latest


def is_integer(value, least):
    """Whether a value is an integer (or one of NumPy's, but no bool) from `least` to 2^31 - 1."""
    integer = isinstance(value, (int, np.integer)) and type(value) is not bool
    return integer and least <= value < 1 << 31


def pair(name, what, value, least):
    """An integer or a pair of them as a pair; ValueError if it is neither or too small."""
    if type(value) is int and least <= value < 1 << 31:
        return value, value
    if type(value) is tuple and len(value) == 2:
        a, b = value
        if type(a) is int and type(b) is int and least <= a < 1 << 31 and least <= b < 1 << 31:
            return value
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or not all(is_integer(n, least) for n in both):
        raise ValueError(
            f"[{name}] {what} is {value!r}, expected an integer of at least {least}, or a pair"
        )
    return int(both[0]), int(both[1])


def edges(name, padding):
    """A padding as ((top, bottom), (left, right)), or "same", which depends on the image.

    `padding` is an integer, a pair (h, w) whose members may be pairs (before, after), `"valid"`
    (none) or `"same"`. ValueError for anything else.
    """
    if type(padding) is int and 0 <= padding < 1 << 31:
        return (padding, padding), (padding, padding)
    if isinstance(padding, str) and padding == "valid":
        return (0, 0), (0, 0)
    if isinstance(padding, str) and padding == "same":
        return padding
    both = padding if isinstance(padding, (tuple, list)) else (padding, padding)
    ends = tuple(map(ends_of_axis, both))
    if len(ends) == 2 and None not in ends:
        return ends
    raise ValueError(
        f"[{name}] padding is {padding!r}, expected an integer of at least 0, a pair (h, w), "
        "pairs ((top, bottom), (left, right)), 'same' or 'valid'"
    )


def ends_of_axis(padding):
    """(before, after) for an integer or a pair of them of at least 0; None for anything else."""
    ends = padding if isinstance(padding, (tuple, list)) else (padding, padding)
    if len(ends) == 2 and all(is_integer(n, 0) for n in ends):
        return int(ends[0]), int(ends[1])
    return None


def of_one_axis(name, padding):
    """The member for the last axis of a padding of images, from one of sequences.

    That is an integer or `((before, after),)`; ValueError for anything else.
    """
    if is_integer(padding, 0):
        return padding
    if isinstance(padding, (tuple, list)) and len(padding) == 1:
        ends = ends_of_axis(padding[0])
        if ends is not None:
            return ends
    raise ValueError(
        f"[{name}] padding is {padding!r}, expected an integer of at least 0, a pair in a tuple, "
        "((before, after),), 'same' or 'valid'"
    )


def only(value):
    """An option of one axis, which PyTorch also takes in a tuple: (3,) is 3."""
    return value[0] if isinstance(value, (tuple, list)) and len(value) == 1 else value


def lengths(name, what, value, axes, least):
    """An integer for all axes, or one for each, as a tuple; ValueError otherwise."""
    several = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    if len(several) != axes or not all(is_integer(n, least) for n in several):
        count = {1: "one in a tuple", 2: "two", 3: "three"}[axes]
        raise ValueError(
            f"[{name}] {what} is {value!r}, expected an integer of at least {least}, or {count}"
        )
    return tuple(int(n) for n in several)


def triple(name, what, value, least):
    """An integer or three of them, for (D, H, W), as three; ValueError otherwise."""
    return lengths(name, what, value, 3, least)


def edges_along(name, padding, axes):
    """`edges` for any number of axes: a pair (before, after) for each, or "same"."""
    if isinstance(padding, str):
        ends = edges(name, padding)
        return ends if ends == "same" else ((0, 0),) * axes
    several = padding if isinstance(padding, (tuple, list)) else (padding,) * axes
    ends = tuple(map(ends_of_axis, several))
    if len(ends) == axes and None not in ends:
        return ends
    raise ValueError(
        f"[{name}] padding is {padding!r}, expected an integer of at least 0, {axes} of them or "
        f"{axes} pairs (before, after), 'same' or 'valid'"
    )


def edges_of(padding, size, kernel, stride, dilation):
    """What `edges` returned, but for "same" the padding of an image of this size.

    Then the output has the input's size divided by the stride, rounded up. An odd number of rows
    or columns has the greater half at the end, as in PyTorch and TensorFlow.
    """
    return tuple(map(_same, size, kernel, stride, dilation)) if padding == "same" else padding


def _same(n, kernel, stride, dilation):
    """(before, after) with which an axis of length n gives ceil(n / stride) outputs."""
    outputs = -(-n // stride)
    total = max((outputs - 1) * stride + dilation * (kernel - 1) + 1 - n, 0)
    return total // 2, total - total // 2


def _split(ends):
    """(the padding (ph, pw) that both ends of an axis have in common, what is left at each end).

    Kernels pad both ends of an axis alike; the op must add what is left (None if that is nothing).
    """
    common = tuple(map(min, ends))
    left = tuple((before - p, after - p) for (before, after), p in zip(ends, common, strict=True))
    return common, None if left == ((0, 0), (0, 0)) else left


def check_kernel(name, kernel):
    """Raise ValueError for an empty window."""
    if min(kernel) < 1:
        raise ValueError(f"[{name}] the kernel is {tuple(kernel)}, expected no length of 0")


def _check_fits(name, x_shape, kernel, ends, dilation=(1, 1)):
    """Raise ValueError for a window that is empty, or larger than the padded image."""
    check_kernel(name, kernel)
    for n, k, (before, after), d in zip(x_shape[2:], kernel, ends, dilation, strict=True):
        span = d * (k - 1) + 1
        if n + before + after < span:
            raise ValueError(
                f"[{name}] the window spans {span}, the padded input only {n + before + after} "
                f"(x: {x_shape}, kernel: {tuple(kernel)})"
            )


def check_conv(name, x_shape, weight_shape, groups, axes=("H, W", "kh, kw")):
    """Raise ValueError unless the shapes of a convolution's arguments fit together."""
    ndim = 2 + axes[0].count(",") + 1
    if len(x_shape) != ndim or len(weight_shape) != ndim:
        raise ValueError(
            f"[{name}] x is {x_shape}, weight is {weight_shape}, expected (N, C, {axes[0]}) and "
            f"(C_out, C / groups, {axes[1]})"
        )
    if groups < 1 or x_shape[1] % groups or weight_shape[0] % groups:
        raise ValueError(
            f"[{name}] groups is {groups}, which does not divide {x_shape[1]} input and "
            f"{weight_shape[0]} output channels (x: {x_shape}, weight: {weight_shape})"
        )
    if x_shape[1] != weight_shape[1] * groups:
        raise ValueError(
            f"[{name}] x has {x_shape[1]} channels, weight expects {weight_shape[1] * groups} "
            f"(x: {x_shape}, weight: {weight_shape})"
        )


# The geometries. All arguments are tuples of plain integers, as the functions above return them:
# True and 1.0, which a cache takes for 1, have been refused before.


@functools.lru_cache(KEPT)
def convolution(x_shape, weight_shape, stride, padding, dilation, groups):
    """(Geometry, border) of conv2d.

    `border` is the padding ((top, bottom), (left, right)) that the images are given first, which
    the Geometry counts as theirs, or None.
    """
    name = "conv2d"
    check_conv(name, x_shape, weight_shape, groups)
    size, kernel = x_shape[2:], weight_shape[2:]
    ends = edges_of(padding, size, kernel, stride, dilation)
    _check_fits(name, x_shape, kernel, ends, dilation)
    common, border = _split(ends)
    if border is not None:
        size = tuple(n + before + after for n, (before, after) in zip(size, border, strict=True))
    shape = (*x_shape[:2], *size)
    return conv_geometry(shape, weight_shape, stride, common, dilation, groups), border


@functools.lru_cache(KEPT)
def transposed(x_shape, weight_shape, stride, padding, output_padding, dilation, groups):
    """(Geometry, cut) of conv_transpose2d: of the convolution that has x for its output.

    The result is the gradient with respect to the input of that convolution: the part of it that
    the index `cut` takes, or all of it if `cut` is None.
    """
    name, extra = "conv_transpose2d", output_padding
    if len(x_shape) != 4 or len(weight_shape) != 4 or groups < 1 or x_shape[1] != weight_shape[0]:
        raise ValueError(
            f"[{name}] x is {x_shape}, weight is {weight_shape}, expected (N, C, H, W) and "
            "(C, C_out / groups, kh, kw)"
        )
    if x_shape[1] % groups:
        raise ValueError(f"[{name}] {groups} groups do not divide {x_shape[1]} channels")
    kernel = weight_shape[2:]
    check_kernel(name, kernel)
    whole = tuple(n * s for n, s in zip(x_shape[2:], stride, strict=True))
    ends = edges_of(padding, whole, kernel, stride, dilation)
    size = tuple(
        (n - 1) * s - before - after + d * (k - 1) + e + 1
        for n, k, s, (before, after), d, e in zip(
            x_shape[2:], kernel, stride, ends, dilation, extra, strict=True
        )
    )
    if padding == "same":
        if extra != (0, 0):
            raise ValueError(f"[{name}] output_padding is {extra}, expected 0 with padding='same'")
        size = whole
    if any(e >= s for e, s in zip(extra, stride, strict=True)) or min(size) < 1:
        raise ValueError(
            f"[{name}] output_padding {extra} must be less than the stride {stride}, and "
            f"the output, {size}, not empty"
        )
    common, border = _split(ends)
    cut = None
    if border is not None:
        cut = ..., *(slice(b, b + n) for (b, _), n in zip(border, size, strict=True))
        size = tuple(n + before + after for n, (before, after) in zip(size, border, strict=True))
    shape = (x_shape[0], weight_shape[1] * groups, *size)
    return conv_geometry(shape, weight_shape, stride, common, dilation, groups), cut


@functools.lru_cache(KEPT)
def pooling(x_shape, size, stride, padding, ceil_mode, dilation=(1, 1)):
    """(Geometry, ends, whether a window reaches beyond these ends) of max_pool2d and avg_pool2d.

    `ends` are the padding as ((top, bottom), (left, right)). With `ceil_mode` the windows may
    reach further.
    """
    name = "pooling"
    if len(x_shape) != 4:
        raise ValueError(f"[{name}] x is {x_shape}, expected (N, C, H, W)")
    if 0 in x_shape[2:]:
        raise ValueError(f"[{name}] x is {x_shape}, expected images of at least one pixel")
    spans = tuple(d * (k - 1) + 1 for d, k in zip(dilation, size, strict=True))
    reach = ends = edges_of(padding, x_shape[2:], size, stride, dilation)
    if ceil_mode:
        reach = tuple(map(_reach_of_all, x_shape[2:], spans, stride, ends))
    _check_fits(name, x_shape, size, reach, dilation)
    beyond = any(r > e for (_, r), (_, e) in zip(reach, ends, strict=True))
    geometry = pool_geometry(x_shape, size, stride, reach, dilation)
    if dilation != (1, 1):
        _check_sees(name, geometry)
    return geometry, ends, beyond


def _check_sees(name, s):
    """Raise ValueError if a dilated window steps over the image, and sees nothing but padding."""
    axes = zip((s.h, s.w), (s.ho, s.wo), s.kernel, s.stride, s.padding, s.dilation, strict=True)
    for n, outputs, size, stride, padding, dilation in axes:
        places = np.arange(outputs)[:, None] * stride - padding + np.arange(size) * dilation
        if not ((places >= 0) & (places < n)).any(axis=1).all():
            raise ValueError(
                f"[{name}] dilation is {s.dilation}: a window of {s.kernel} sees nothing but "
                f"padding (x: {s.x_shape}, padding: {s.padding})"
            )


def _reach_of_all(n, span, stride, ends):
    """(before, after) for windows up to the last that begins in the image."""
    before, after = ends
    last = -(-(n + before + after - span) // stride)
    if last * stride >= n + before:  # it would begin in the padding
        last -= 1
    return before, last * stride + span - n - before
