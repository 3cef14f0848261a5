"""The CPU's convolutions against the reference in float64: all geometries, every path."""

import itertools

import numpy as np
import pytest
from cpu_threads import on_threads
from grouped import grouped
from tinygrad_like.kernels import cpu, reference
from tinygrad_like.kernels.geometry import conv_geometry, pool_geometry

# x, weight, stride, padding, dilation, groups
CASES = [
    ((2, 3, 6, 7), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 4, 7, 6), (6, 2, 3, 2), (2, 1), (0, 1), (1, 2), 2),
    ((1, 3, 5, 5), (3, 1, 2, 2), (3, 2), (3, 2), (2, 1), 3),
    ((5, 1, 28, 28), (32, 1, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((3, 32, 14, 14), (64, 32, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 17, 13, 11), (19, 17, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 64, 9, 16), (48, 64, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((2, 32, 12, 10), (32, 16, 3, 3), (1, 1), (2, 2), (1, 1), 2),
    ((3, 33, 8, 8), (20, 33, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 16, 15, 15), (24, 16, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 3, 31, 29), (16, 3, 7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((2, 8, 12, 12), (8, 1, 5, 5), (1, 1), (2, 2), (1, 1), 8),
    ((2, 24, 9, 9), (24, 1, 3, 3), (2, 2), (1, 1), (1, 1), 24),
    ((1, 20, 1, 40), (30, 20, 1, 5), (1, 1), (0, 2), (1, 1), 1),
    ((0, 4, 6, 6), (5, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((7, 2, 3, 3), (1, 2, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    # whole vectors of output channels, by their lines: strides, dilation, padding of all sizes,
    # lines in pieces, several images at once
    ((3, 16, 17, 13), (32, 16, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((2, 20, 16, 19), (16, 20, 3, 4), (3, 2), (2, 3), (2, 1), 1),
    ((2, 24, 11, 12), (48, 24, 3, 3), (1, 1), (4, 4), (2, 3), 1),
    ((1, 48, 1, 3000), (16, 48, 1, 5), (1, 1), (0, 2), (1, 1), 1),
    ((1, 48, 3, 1500), (32, 48, 2, 4), (1, 2), (0, 5), (1, 3), 1),
    ((30, 128, 2, 2), (128, 128, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((70, 64, 3, 1), (64, 64, 2, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 160, 20, 20), (96, 160, 1, 1), (2, 3), (0, 0), (1, 1), 1),
    ((3, 40, 23, 13), (16, 40, 1, 4), (2, 1), (3, 4), (1, 2), 1),
    ((3, 96, 9, 9), (90, 48, 5, 5), (1, 1), (2, 2), (1, 1), 2),
    ((1, 16, 70, 70), (30, 16, 7, 7), (1, 1), (6, 0), (1, 1), 1),
    # few weights for each output channel
    ((5, 1, 22, 34), (1, 1, 3, 2), (1, 1), (4, 0), (3, 1), 1),
    ((3, 2, 12, 33), (7, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 40, 50), (5, 3, 3, 5), (2, 2), (0, 3), (1, 2), 1),
    ((2, 4, 9, 90), (8, 2, 2, 4), (1, 3), (1, 0), (3, 1), 2),
    ((1, 1, 200, 300), (6, 1, 5, 5), (1, 1), (2, 2), (1, 1), 1),
    # depthwise: as many groups as channels
    ((3, 5, 9, 37), (5, 1, 3, 3), (1, 1), (1, 1), (1, 1), 5),
    ((2, 6, 11, 20), (6, 1, 3, 3), (2, 2), (1, 1), (1, 1), 6),
    ((2, 6, 12, 41), (6, 1, 5, 4), (2, 2), (3, 0), (1, 2), 6),
    ((2, 4, 13, 22), (4, 1, 3, 5), (3, 3), (4, 6), (2, 1), 4),
    ((2, 4, 40, 3), (4, 1, 3, 1), (2, 1), (0, 2), (3, 1), 4),
    ((2, 3, 7, 70), (3, 1, 1, 2), (1, 4), (0, 0), (1, 3), 3),
    ((4, 8, 7, 7), (8, 1, 7, 7), (1, 1), (3, 3), (1, 1), 8),
    ((2, 8, 9, 9), (16, 1, 3, 3), (1, 1), (1, 1), (1, 1), 8),
]


CHANNELS = [1, 2, 3, 5, 8, 15, 16, 17, 24, 32, 33, 40, 48, 64]


@pytest.mark.parametrize("case", CASES, ids=str)
@grouped("dtype count", itertools.product([np.float32, np.float64], [1, 2, 3]))
def test_all_three_agree_with_the_reference(case, dtype, count):
    """To 32 epsilons of the largest element."""
    x_shape, w_shape, *_ = case
    geometry = conv_geometry(*case)
    rng = np.random.default_rng(0)
    x, w, bias = (rng.standard_normal(s).astype(dtype) for s in (x_shape, w_shape, w_shape[:1]))
    with on_threads(count):
        y = cpu.conv2d(x, w, geometry)
        g = rng.standard_normal(y.shape).astype(dtype)
        ours = (
            y,
            cpu.conv2d(x, w, geometry, bias),
            cpu.conv2d_input_grad(g, w, geometry),
            cpu.conv2d_weight_grad(g, x, geometry),
        )
    x, w, g, bias = (a.astype(np.float64) for a in (x, w, g, bias))
    exact = (
        reference.conv2d(x, w, geometry),
        reference.conv2d(x, w, geometry, bias),
        reference.conv2d_input_grad(g, w, geometry),
        reference.conv2d_weight_grad(g, x, geometry),
    )
    for name, a, b in zip(("y", "y with bias", "dx", "dweight"), ours, exact, strict=True):
        assert (a.dtype, a.shape) == (dtype, b.shape), name
        bound = 32 * np.finfo(dtype).eps * np.abs(b).max(initial=0)
        np.testing.assert_allclose(a, b, rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize("depthwise", [False, True])
@grouped("seed", range(60))
def test_geometries_drawn_at_random(seed, depthwise):
    """To 32 epsilons of the largest element, on one to five threads."""
    rng = np.random.default_rng(seed)
    dtype = [np.float32, np.float64][seed % 2]
    groups, c_in, c_out = (int(rng.choice(n)) for n in ([1, 1, 2, 3], CHANNELS, CHANNELS))
    images, extent = int(rng.integers(1, 7)), rng.integers(1, 40, 2)
    kernel, stride, dilation = (rng.choice(n, 2) for n in ([1, 2, 3, 3, 5], [1, 1, 2, 3], [1, 2]))
    if depthwise:
        images, groups, c_in, c_out = int(rng.integers(1, 20)), int(rng.integers(2, 9)), 1, 1
        if seed % 3 == 0:
            kernel, stride, dilation = np.array([[3, 3], [1, 1], [1, 1]])
    padding = np.maximum(rng.integers(0, 5, 2), (dilation * (kernel - 1) + 2 - extent) // 2)
    options = *(tuple(map(int, pair)) for pair in (stride, padding, dilation)), groups
    x = rng.standard_normal((images, groups * c_in, *extent)).astype(dtype)
    w = rng.standard_normal((groups * c_out, c_in, *kernel)).astype(dtype)
    geometry = conv_geometry(x.shape, w.shape, *options)
    with on_threads(1 + seed % 5):
        y = cpu.conv2d(x, w, geometry)
        g = rng.standard_normal(y.shape).astype(dtype)
        dx = cpu.conv2d_input_grad(g, w, geometry)
        dw = cpu.conv2d_weight_grad(g, x, geometry)
    x, w, g = (a.astype(np.float64) for a in (x, w, g))
    for name, ours, exact in (
        ("y", y, reference.conv2d(x, w, geometry)),
        ("dx", dx, reference.conv2d_input_grad(g, w, geometry)),
        ("dweight", dw, reference.conv2d_weight_grad(g, x, geometry)),
    ):
        bound = 32 * np.finfo(dtype).eps * np.abs(exact).max()
        np.testing.assert_allclose(ours, exact, rtol=0, atol=bound, err_msg=name)


POOLS = [
    ((2, 3, 6, 7), (2, 2), (2, 2), (0, 0)),
    ((2, 3, 6, 7), (3, 2), (2, 1), (1, 1)),
    ((64, 32, 28, 28), (2, 2), (2, 2), (0, 0)),
    ((3, 5, 9, 8), (3, 3), (1, 1), (1, 1)),
    ((2, 3, 5, 7), (2, 2), (2, 2), ((0, 1), (0, 1))),  # the last windows stand out
    ((2, 3, 6, 5), (2, 2), (2, 2), ((0, 0), (0, 1))),
    ((2, 3, 6, 7), (3, 4), (2, 3), ((2, 0), (1, 3))),
    ((0, 3, 6, 6), (2, 2), (2, 2), (0, 0)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_pooling_chooses_what_the_reference_chooses(case, dtype):
    """Ties, NaN and windows of -inf included."""
    shape, *window = case
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, shape).astype(dtype)
    x[rng.random(shape) < 0.02] = np.nan
    x[rng.random(shape) < 0.3] = -np.inf
    geometry = pool_geometry(shape, *window)
    y, index = cpu.max_pool2d(x, geometry)
    expected, places = reference.max_pool2d(x, geometry)
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(index, places)
    g = rng.integers(-4, 5, y.shape).astype(dtype)
    ours = cpu.max_pool2d_backward(g, index, geometry)
    np.testing.assert_array_equal(ours, reference.max_pool2d_backward(g, index, geometry))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_average_pooling_agrees_with_the_reference(case, dtype):
    shape, *window = case
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, shape).astype(dtype)
    geometry = pool_geometry(shape, *window)
    y = cpu.avg_pool2d(x, geometry)
    bound = {"rtol": 4 * np.finfo(dtype).eps, "atol": 4 * np.finfo(dtype).eps}
    np.testing.assert_allclose(y, reference.avg_pool2d(x, geometry), **bound)
    g = rng.integers(-4, 5, y.shape).astype(dtype)
    ours = cpu.avg_pool2d_backward(g, geometry)
    np.testing.assert_allclose(ours, reference.avg_pool2d_backward(g, geometry), **bound)
    assert y.dtype == ours.dtype == dtype


@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
@pytest.mark.parametrize("groups", [1, 32])
def test_infinity_spreads_no_further_than_in_the_reference(groups, stride):
    x = np.random.default_rng(0).standard_normal((2, 32, 8, 8)).astype(np.float32)
    w = np.random.default_rng(1).standard_normal((32, 32 // groups, 3, 3)).astype(np.float32)
    geometry = conv_geometry(x.shape, w.shape, stride, (1, 1), groups=groups)
    g = np.array(reference.conv2d(x, w, geometry))
    bad_x, bad_g = x.copy(), g.copy()
    bad_x[0, 3, 4, 5] = bad_x[1, 5, 7, 7] = bad_g[0, 3, 3, 2] = bad_g[1, 5, 0, -1] = np.inf
    for name, inputs in (
        ("conv2d", (bad_x, w)),
        ("conv2d_input_grad", (bad_g, w)),
        ("conv2d_weight_grad", (g, bad_x)),
        ("conv2d_weight_grad", (bad_g, x)),
    ):
        with np.errstate(invalid="ignore"):
            expected = getattr(reference, name)(*inputs, geometry)
            ours = getattr(cpu, name)(*inputs, geometry)
            pair = [np.isinf(a) if np.isinf(a).any() else np.ones_like(a) for a in inputs]
            pair = [a.astype(np.float32) for a in pair]
            meets = getattr(reference, name)(*pair, geometry) > 0
        # An infinity times the zeros of the padding is the reference's NaN: it may be, or not.
        finite = np.isfinite(expected)
        assert not np.isfinite(ours[meets]).any(), name
        assert np.isfinite(ours[finite]).all(), name
        np.testing.assert_allclose(ours[finite], expected[finite], rtol=1e-3, atol=2e-3)


def test_the_same_bits_from_run_to_run():
    x = np.random.default_rng(0).standard_normal((9, 32, 14, 14)).astype(np.float32)
    w = np.random.default_rng(1).standard_normal((64, 32, 3, 3)).astype(np.float32)
    geometry = conv_geometry(x.shape, w.shape, padding=(1, 1))

    def results():
        y = cpu.conv2d(x, w, geometry)
        dx = cpu.conv2d_input_grad(y, w, geometry)
        return y, dx, cpu.conv2d_weight_grad(y, x, geometry)

    first = results()
    for _ in range(10):
        for a, b in zip(first, results(), strict=True):
            np.testing.assert_array_equal(a, b)
