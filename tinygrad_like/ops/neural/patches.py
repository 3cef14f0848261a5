"""Windows of a tensor as an axis of their own: of images (unfold and its adjoint, fold), or of any
axis (sliding_window_view).
"""

from tinygrad_like.engine import backend_of, check_integer, composed, op
from tinygrad_like.ops.arrays.shape import integers, moveaxis, normal_axes, reshape
from tinygrad_like.ops.indexing.index import take
from tinygrad_like.ops.indexing.padding import pad
from tinygrad_like.ops.indexing.window import pair


def _counts(size, kernel, stride, dilation):
    """How many windows fit along each axis of an image."""
    return tuple(
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)
    )


def _of_all_images(call, arrays, attributes):
    return call.unfolded(call(call.folded(arrays[0]), **attributes))


@op(
    complex=True,
    batch=_of_all_images,
    x=lambda g, x_shape, kernel, stride, dilation: _joined(
        g, size=x_shape[2:], kernel=kernel, stride=stride, dilation=dilation
    ),
)
def _windows(be, x, *, kernel, stride, dilation):
    """The windows of images (N, C, H, W): (N, C, kh, kw, rows, columns)."""
    counts = _counts(x.shape[2:], kernel, stride, dilation)
    return be.k.cut_windows(x, kernel, counts, stride, dilation)


@op(
    complex=True,
    batch=_of_all_images,
    g=lambda h, kernel, stride, dilation: _windows(
        h, kernel=kernel, stride=stride, dilation=dilation
    ),
)
def _joined(be, g, *, size, kernel, stride, dilation):
    """The adjoint of `_windows`: windows added up in images of this size."""
    return be.k.join_windows(g, size, stride, dilation)


def _options(name, kernel_size, stride, padding, dilation):
    kernel = pair(name, "kernel_size", kernel_size, 1)
    return (
        kernel,
        pair(name, "stride", stride, 1),
        pair(name, "padding", padding, 0),
        pair(name, "dilation", dilation, 1),
    )


def _check_windows(name, size, kernel, stride, dilation):
    """How many windows there are, if there is one; else ValueError."""
    counts = _counts(size, kernel, stride, dilation)
    if min(counts) < 1:
        raise ValueError(f"[{name}] no window fits: padded images {size}, kernel {kernel}")
    return counts


@composed
def unfold(x, kernel_size, stride=1, padding=0, dilation=1):
    """The windows of images as columns: (N, C, H, W) to (N, C kh kw, windows).

    What a convolution multiplies with its weights. The options are those of conv2d, integers or
    pairs; `padding` is of zeros. Raises ValueError where no window fits.
    """
    kernel, stride, padding, dilation = _options("unfold", kernel_size, stride, padding, dilation)
    if x.ndim != 4:
        raise ValueError(f"[unfold] x is {x.shape}, expected (N, C, H, W)")
    if any(padding):
        x = pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    counts = _check_windows("unfold", x.shape[2:], kernel, stride, dilation)
    y = _windows(x, kernel=kernel, stride=stride, dilation=dilation)
    n, c = x.shape[:2]
    return reshape(y, (n, c * kernel[0] * kernel[1], counts[0] * counts[1]))


@composed
def fold(x, output_size, kernel_size, stride=1, padding=0, dilation=1):
    """The adjoint of `unfold`: columns (N, C kh kw, windows) added up to images (N, C, H, W).

    `output_size` is (H, W). Raises ValueError for columns that do not fit.
    """
    kernel, stride, padding, dilation = _options("fold", kernel_size, stride, padding, dilation)
    height, width = pair("fold", "output_size", output_size, 1)
    size = height + 2 * padding[0], width + 2 * padding[1]
    counts = _check_windows("fold", size, kernel, stride, dilation)
    area, windows = kernel[0] * kernel[1], counts[0] * counts[1]
    if x.ndim != 3 or x.shape[1] % area or x.shape[2] != windows:
        raise ValueError(f"[fold] x is {x.shape}, expected (N, C {area}, {windows})")
    g = reshape(x, (x.shape[0], x.shape[1] // area, *kernel, *counts))
    y = _joined(g, size=size, kernel=kernel, stride=stride, dilation=dilation)
    top, left = padding
    return y[:, :, top : top + height, left : left + width]


@composed
def sliding_window_view(x, window_shape, axis=None, *, step=1):
    """The windows of one axis or several, each moved by `step`: their elements become last axes.

    NumPy's, except that it is a copy; with one axis PyTorch's `x.unfold(axis, size, step)`. Without
    `axis` the window has a length for every axis.

    >>> import tinygrad_like as tg
    >>> tg.sliding_window_view(tg.arange(5), 3).numpy()
    array([[0, 1, 2],
           [1, 2, 3],
           [2, 3, 4]])
    """
    name = "sliding_window_view"
    lengths = integers(name, "window_shape", window_shape)
    axes = normal_axes(name, axis, x.ndim)
    step = check_integer(name, "step", step, least=1)
    if len(lengths) != len(axes):
        raise ValueError(f"[{name}] window_shape has {len(lengths)} lengths for {len(axes)} axes")
    xp = backend_of(x).xp
    for a, length in zip(axes, lengths, strict=True):
        if not 0 <= length <= x.shape[a]:
            raise ValueError(f"[{name}] the window is {length}, axis {a} of x has {x.shape[a]}")
        starts = xp.arange(0, x.shape[a] - length + 1, step)
        windows = take(x, starts[:, None] + xp.arange(length), a)
        x = moveaxis(windows, a + 1, -1)
    return x
