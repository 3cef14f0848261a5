"""Winograd's convolutions: their error, what stays equal, and what is computed directly."""

import numpy as np
import pytest
from cpu_threads import on_threads
from tinygrad_like.kernels import cpu, reference
from tinygrad_like.kernels.cpu.conv import direct as conv_direct
from tinygrad_like.kernels.cpu.conv import winograd as conv_winograd
from tinygrad_like.kernels.geometry import conv_geometry

CHANNELS = [1, 2, 3, 5, 8, 15, 16, 17, 24, 32, 33, 40, 48, 64]


def unit(x, w):
    """The Geometry at stride 1 whose outputs are as large as the images."""
    return conv_geometry(x.shape, w.shape, padding=(1, 1))


def normal(seed, shape, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def forward(x, w, padding=(1, 1), groups=1, bias=None, count=2):
    """(y, whether all of it is finite) by Winograd, whether it pays or not."""
    s = conv_geometry(x.shape, w.shape, (1, 1), padding, (1, 1), groups)
    y = np.full(s.y_shape, np.nan, x.dtype)
    bias = np.empty(0, x.dtype) if bias is None else bias
    with on_threads(count):
        return y, conv_winograd.forward(x, w, bias, y, s, False, count)


def input_grad(g, w, x_shape, padding, groups, count=2):
    """(dx, whether all of it is finite) by Winograd."""
    s = conv_geometry(x_shape, w.shape, (1, 1), padding, (1, 1), groups).inverse
    dx = np.full(x_shape, np.nan, g.dtype)
    with on_threads(count):
        return dx, conv_winograd.forward(g, w, np.empty(0, g.dtype), dx, s, True, count)


def scale(x, w, padding, groups):
    """For each output, over channels the sum of the largest |x| in its patch times sum |w|."""
    (down, across), (n, channels) = padding, x.shape[:2]
    x = np.pad(np.abs(x), ((0, 0), (0, 0), (down, down), (across, across)))
    largest = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3)).max((-2, -1))
    largest = largest.reshape(n, groups, channels // groups, *largest.shape[2:])
    weights = np.abs(w).sum((2, 3)).reshape(groups, -1, channels // groups)
    sums = np.einsum("ngchw,goc->ngohw", largest, weights)
    return sums.reshape(n, -1, *sums.shape[3:])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(80))
def test_the_error_is_within_2_epsilons_of_the_largest_numbers_met(seed):
    """By `scale`, for each output and input; on one to five threads."""
    rng = np.random.default_rng(seed)
    dtype = [np.float32, np.float64][seed % 2]
    groups, c_in, c_out = (int(rng.choice(n)) for n in ([1, 1, 2, 3], CHANNELS, CHANNELS))
    images, extent = int(rng.integers(1, 7)), rng.integers(1, 50, 2)
    padding = np.maximum(rng.integers(0, 3, 2), (3 - extent) // 2)
    padding = tuple(map(int, padding))
    x = rng.standard_normal((images, groups * c_in, *extent)).astype(dtype)
    w = rng.standard_normal((groups * c_out, c_in, 3, 3)).astype(dtype)
    s = conv_geometry(x.shape, w.shape, padding=padding, groups=groups)
    y, finite = forward(x, w, padding, groups, count=1 + seed % 5)
    g = rng.standard_normal(y.shape).astype(dtype)
    dx, dx_finite = input_grad(g, w, x.shape, padding, groups, 1 + seed % 5)
    assert finite
    assert dx_finite
    exact_x, exact_w, exact_g = (a.astype(np.longdouble) for a in (x, w, g))
    turned = w.reshape(groups, c_out, c_in, 3, 3).swapaxes(1, 2).reshape(-1, c_out, 3, 3)
    exact_dx = reference.conv2d_input_grad(exact_g, exact_w, s)
    for ours, exact, largest in (
        (y, reference.conv2d(exact_x, exact_w, s), scale(x, w, padding, groups)),
        (dx, exact_dx, scale(g, turned, (s.inverse.ph, s.inverse.pw), groups)),
    ):
        assert (np.abs(ours - exact) <= 2 * np.finfo(dtype).eps * largest).all()


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("c_in", [8, 16, 24, 64, 200])
def test_with_some_channels_it_is_within_5_epsilons_of_what_is_summed(c_in, dtype):
    x, w = normal(c_in, (3, c_in, 30, 31), dtype), normal(1, (40, c_in, 3, 3), dtype)
    y, _ = forward(x, w)
    x, w = x.astype(np.longdouble), w.astype(np.longdouble)
    s = unit(x, w)
    summed = reference.conv2d(np.abs(x), np.abs(w), s)
    assert (np.abs(y - reference.conv2d(x, w, s)) <= 5 * np.finfo(dtype).eps * summed).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("axis", [2, 3])
def test_where_an_image_does_not_change_outputs_do_not(axis, padding, dtype):
    """To the last bit: max pooling chooses among them."""
    shape = [3, 20, 18, 21]
    shape[axis] = 1
    x = np.repeat(normal(0, shape, dtype), 20, axis)
    y, _ = forward(
        x, normal(1, (24, 20, 3, 3), dtype), (padding, padding), bias=normal(2, 24, dtype)
    )
    inner = slice(padding, y.shape[axis] - padding)
    inside = y[:, :, inner] if axis == 2 else y[:, :, :, inner]
    np.testing.assert_array_equal(
        inside, np.repeat(inside.take([0], axis), inside.shape[axis], axis)
    )


def test_an_output_depends_on_its_own_patch_alone():
    """And not on the rest of the tile."""
    x, w = normal(0, (2, 16, 9, 10)), normal(1, (16, 16, 3, 3))
    before, _ = forward(x, w)
    for at in ((0, 3, 4, 5), (1, 5, 8, 9), (1, 0, 3, 4), (0, 15, 0, 0)):
        changed = x.copy()
        changed[at] = 1e30
        after, finite = forward(changed, w)
        met = np.zeros(before.shape, bool)
        image, _, row, column = at
        met[image, :, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
        assert finite
        np.testing.assert_array_equal(after[~met], before[~met])
        assert (after[met] != before[met]).all()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 3e38])
def test_what_would_come_out_as_nan_is_computed_directly(value, count):
    """Infinities, NaN, and numbers whose sums overflow in a tile, but not in the convolution."""
    x, w = normal(0, (9, 32, 14, 14)), normal(1, (32, 32, 3, 3)) / 1e3
    s = unit(x, w)
    assert conv_winograd.suits(s, x.itemsize)
    x[8, 31, 12:, 12:] = value
    assert not forward(x, w, count=count)[1]
    direct = np.empty_like(x)
    with on_threads(count):
        conv_direct.forward(x, w, np.empty(0, x.dtype), direct, s, False, count)
        np.testing.assert_array_equal(cpu.conv2d(x, w, s), direct)
        dx = cpu.conv2d_input_grad(x, w, s)
    with np.errstate(invalid="ignore", over="ignore"):
        expected = reference.conv2d_input_grad(x.astype(np.float64), w, s)
        expected = expected.astype(np.float32)
    np.testing.assert_array_equal(np.isfinite(dx), np.isfinite(expected))


@pytest.mark.parametrize("case", [
    ((64, 32, 14, 14), 64), ((32, 64, 32, 32), 64), ((16, 128, 16, 16), 256), ((2, 24, 41, 30), 48),
], ids=str)  # fmt: skip
def test_convolutions_are_winograds_where_it_pays(case, monkeypatch):
    """By the cost that `suits` knows; the outputs are the same, bit for bit."""
    shape, c_out = case
    x, w = normal(0, shape), normal(1, (c_out, shape[1], 3, 3))
    y, finite = forward(x, w)
    assert finite
    with on_threads(2):
        np.testing.assert_array_equal(cpu.conv2d(x, w, unit(x, w)), y)


def test_no_batch_no_products():
    x, w = normal(0, (0, 32, 14, 14)), normal(1, (32, 32, 3, 3))
    assert cpu.conv2d(x, w, unit(x, w)).shape == (0, 32, 14, 14)
