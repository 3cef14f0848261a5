"""Where a sliding window meets an image: the index arithmetic that convolution and pooling share.

Padding is never built. Along one axis, the output at o reads the input at o * stride + offset,
where kernel position i has offset i * dilation - padding; outputs that would read padding are
left out.
"""


def taps(s):
    """(i, j, x_slices, y_slices) for each kernel position of a Geometry, row by row.

    The slices are of the last two axes, and both select equal shapes.
    """
    for i in range(s.kh):
        x_rows, y_rows = _meet(i * s.dh - s.ph, s.h, s.ho, s.sh)
        for j in range(s.kw):
            x_cols, y_cols = _meet(j * s.dw - s.pw, s.w, s.wo, s.sw)
            yield i, j, (..., x_rows, x_cols), (..., y_rows, y_cols)


def _meet(offset, x_size, y_size, stride):
    """The input and output slices along one axis for which o * stride + offset is in the image."""
    first = max(0, -(offset // stride))
    count = max(0, min(y_size, (x_size - 1 - offset) // stride + 1) - first)
    start = first * stride + offset
    return slice(start, start + count * stride, stride), slice(first, first + count)
