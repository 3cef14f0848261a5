"""Where a sliding window meets an image: the index arithmetic that convolution and pooling share.

Padding is never built. Along one axis, the output at o reads the input at o * stride + offset,
where kernel position i has offset i * dilation - padding; outputs that would read padding are
left out. Sizes, strides, paddings and dilations are pairs (h, w).

For pooling a padding may also be ((top, bottom), (left, right)). What is at the bottom and at the
right only says how many windows there are.
"""


def output_size(size, kernel, stride, padding, dilation=(1, 1)):
    """(height, width) of what a window makes of an image of that size."""
    return tuple(
        (size[a] + total_padding(padding[a]) - dilation[a] * (kernel[a] - 1) - 1) // stride[a] + 1
        for a in (0, 1)
    )


def total_padding(padding):
    """Before and after an axis."""
    return sum(padding) if isinstance(padding, tuple) else 2 * padding


def starts(padding):
    """The padding before each axis, of a pair or of two pairs."""
    return tuple(p[0] if isinstance(p, tuple) else p for p in padding)


def taps(x_size, y_size, kernel, stride, padding, dilation=(1, 1)):
    """(i, j, x_slices, y_slices) for each kernel position, row by row; both select equal shapes."""
    for i in range(kernel[0]):
        x_rows, y_rows = _meet(i * dilation[0] - padding[0], x_size[0], y_size[0], stride[0])
        for j in range(kernel[1]):
            x_cols, y_cols = _meet(j * dilation[1] - padding[1], x_size[1], y_size[1], stride[1])
            yield i, j, (..., x_rows, x_cols), (..., y_rows, y_cols)


def _meet(offset, x_size, y_size, stride):
    """The input and output slices along one axis for which o * stride + offset is in the image."""
    first = max(0, -(offset // stride))
    count = max(0, min(y_size, (x_size - 1 - offset) // stride + 1) - first)
    start = first * stride + offset
    return slice(start, start + count * stride, stride), slice(first, first + count)
