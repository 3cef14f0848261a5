"""Windows that slide over images: their options as pairs (h, w), and how many fit."""

import numpy as np


def is_integer(value, least):
    """Whether a value is an integer from `least` to 2^31 - 1, or NumPy's; a bool is none."""
    integer = isinstance(value, (int, np.integer)) and type(value) is not bool
    return integer and least <= value < 1 << 31


def pair(name, what, value, least):
    """An integer or a pair of them as a pair; ValueError if it is neither or too small."""
    if type(value) is int and least <= value < 1 << 31:
        return value, value
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or not all(is_integer(n, least) for n in both):
        raise ValueError(
            f"[{name}] {what} is {value!r}, expected an integer of at least {least}, or a pair"
        )
    return int(both[0]), int(both[1])


def edges(name, padding, size, kernel, stride, dilation=(1, 1)):
    """A padding as ((top, bottom), (left, right)).

    `padding` is an integer, a pair (h, w) whose members may be pairs (before, after), `"valid"`
    (none), or `"same"`: the output has the input's size divided by the stride, rounded up. An odd
    number of rows or columns has the greater half at the end, as in PyTorch and TensorFlow.
    """
    if type(padding) is int and 0 <= padding < 1 << 31:
        return (padding, padding), (padding, padding)
    if isinstance(padding, str) and padding == "valid":
        return (0, 0), (0, 0)
    if isinstance(padding, str) and padding == "same":
        return tuple(map(_same, size, kernel, stride, dilation))
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


def _same(n, kernel, stride, dilation):
    """(before, after) with which an axis of length n gives ceil(n / stride) outputs."""
    outputs = -(-n // stride)
    total = max((outputs - 1) * stride + dilation * (kernel - 1) + 1 - n, 0)
    return total // 2, total - total // 2


def in_the_middle(ends):
    """(ph, pw) for ((top, bottom), (left, right)): as much as both ends of each axis have."""
    (top, bottom), (left, right) = ends
    return min(top, bottom), min(left, right)


def is_even(ends):
    """Whether both ends of each axis have the same padding."""
    (top, bottom), (left, right) = ends
    return top == bottom and left == right


def check_kernel(name, kernel):
    """Raise ValueError for a window without a place in it."""
    if min(kernel) < 1:
        raise ValueError(f"[{name}] the kernel is {tuple(kernel)}, expected no length of 0")


def check_fits(name, x, kernel, ends, dilation=(1, 1)):
    """Raise ValueError for a window that is empty, or larger than the padded image."""
    check_kernel(name, kernel)
    for n, k, (before, after), d in zip(x.shape[2:], kernel, ends, dilation, strict=True):
        span = d * (k - 1) + 1
        if n + before + after < span:
            raise ValueError(
                f"[{name}] the window spans {span}, the padded input only {n + before + after} "
                f"(x: {x.shape}, kernel: {tuple(kernel)})"
            )
