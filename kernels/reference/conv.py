"""2-D convolution (cross-correlation) and its two gradients, as patches times a matrix.

x: (N, C, H, W), weight: (O, C / groups, kh, kw), y: (N, O, Ho, Wo). These sizes and all options are
in a Geometry (kernels/geometry.py), which the arrays must fit. Images are taken a few at a time, so
that their patches stay in the cache. The patches of such a chunk form one matrix for each group,
which one GEMM multiplies by the weight.
"""

import numpy as np

from .contract import kernel
from .linalg import add_bias
from .precision import narrow, result_dtype, wide, wide_dtype
from .windows import taps

# Measured with 2 MiB of L2 cache a core: 2 to 4 MiB is within 15 % of the best for small and large
# images alike; the patches of a whole batch of large images cost up to 60 % more time.
PATCH_BYTES = 2**21


@kernel
def conv2d(x, weight, geometry, bias=None):
    """y[n, o, p, q] = bias[o] + sum of weight[o, c, i, j] * x[n, c, p*stride + i*dilation, ...].

    Here x stands for the images with their padding.
    """
    windows = _Windows(geometry)
    matrix = windows.as_matrix(wide(weight))
    y = np.empty_like(x, shape=geometry.y_shape, dtype=wide_dtype(x.dtype, weight.dtype))
    for images in windows.chunks(x.dtype):
        y[images] = windows.as_images(matrix @ windows.gather(wide(x[images])))
    if bias is not None:
        y = add_bias(y, wide(bias)[:, None, None])
    return narrow(y, result_dtype(*(a.dtype for a in (x, weight, bias) if a is not None)))


@kernel
def conv2d_input_grad(g, weight, geometry):
    """dx, the mirror of conv2d: each patch's gradient is added where the patch came from."""
    windows = _Windows(geometry)
    matrix = windows.as_matrix(wide(weight)).swapaxes(1, 2)
    dx = np.zeros_like(g, shape=geometry.x_shape, dtype=wide_dtype(g.dtype, weight.dtype))
    for images in windows.chunks(g.dtype):
        windows.scatter_(dx[images], matrix @ windows.as_columns(wide(g[images])))
    return narrow(dx, g.dtype)


@kernel
def conv2d_weight_grad(g, x, geometry):
    """dweight: the output's gradient times the patches, summed over images and positions."""
    windows, weight_shape = _Windows(geometry), geometry.weight_shape
    dtype = wide_dtype(g.dtype, x.dtype)
    # In float64: there may be thousands of chunks.
    dweight = np.zeros_like(x, shape=weight_shape, dtype=np.result_type(dtype, np.float64))
    for images in windows.chunks(x.dtype):
        patches = windows.gather(wide(x[images])).swapaxes(1, 2)
        dweight += (windows.as_columns(wide(g[images])) @ patches).reshape(weight_shape)
    return narrow(dweight.astype(dtype, copy=False), x.dtype)


class _Windows:
    """The patches of one convolution; K = C / groups * kh * kw, and m images make a chunk."""

    def __init__(self, geometry):
        self.images, self.groups = geometry.images, geometry.groups
        self.kernel, self.y_size = geometry.kernel, geometry.y_shape[2:]
        self.taps = list(taps(geometry))
        self.positions = geometry.ho * geometry.wo
        self.patch_size = geometry.c_in * geometry.kh * geometry.kw

    def chunks(self, dtype):
        """Slices of the batch whose patches take about PATCH_BYTES each."""
        n, image_elements = self.images, self.groups * self.patch_size * self.positions
        step = max(1, PATCH_BYTES // max(1, image_elements * wide_dtype(dtype).itemsize))
        return (slice(start, min(start + step, n)) for start in range(0, n, step))

    def as_matrix(self, weight):
        """(O, C / groups, kh, kw) -> (groups, O / groups, K)."""
        return weight.reshape(self.groups, len(weight) // self.groups, self.patch_size)

    def as_columns(self, y):
        """(m, O, Ho, Wo) -> (groups, O / groups, m * Ho * Wo)."""
        m, channels = y.shape[:2]
        rows = channels // self.groups
        return y.swapaxes(0, 1).reshape(self.groups, rows, m * self.positions)

    def as_images(self, columns):
        """(groups, O / groups, m * Ho * Wo) -> (m, O, Ho, Wo), a view."""
        groups, rows, width = columns.shape
        m = width // max(1, self.positions)
        return columns.reshape(groups * rows, m, *self.y_size).swapaxes(0, 1)

    def gather(self, x):
        """The patches of m images, (m, C, H, W) -> (groups, K, m * Ho * Wo); padding reads as 0."""
        m, channels = x.shape[:2]
        patches = np.zeros_like(x, shape=(channels, *self.kernel, m, *self.y_size))
        planes = x.swapaxes(0, 1)
        for i, j, x_slices, y_slices in self.taps:
            patches[:, i, j][y_slices] = planes[x_slices]
        return patches.reshape(self.groups, self.patch_size, m * self.positions)

    def scatter_(self, x, patches):
        """Add patches, laid out as `gather` returns them, to the m images that they come from."""
        m, channels = x.shape[:2]
        patches = patches.reshape(channels, *self.kernel, m, *self.y_size)
        planes = x.swapaxes(0, 1)
        for i, j, x_slices, y_slices in self.taps:
            planes[x_slices] += patches[:, i, j][y_slices]
