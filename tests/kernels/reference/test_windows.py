"""Convolution and pooling against their definitions, window by window."""

import numpy as np
import pytest
from tinygrad_like.kernels import reference as k
from tinygrad_like.kernels.geometry import conv_geometry, pool_geometry

CONVS = [  # x, weight, stride, padding, dilation, groups
    ((2, 3, 5, 6), (4, 3, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 4, 7, 6), (6, 2, 3, 2), (2, 1), (0, 1), (1, 2), 2),
    ((1, 3, 5, 5), (3, 1, 2, 2), (3, 2), (3, 2), (2, 1), 3),
    ((2, 2, 4, 4), (2, 2, 1, 1), (5, 1), (0, 3), (1, 1), 1),
]


def draw(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize("case", CONVS, ids=str)
def test_conv2d_is_its_definition(case):
    x_shape, weight_shape, stride, padding, dilation, groups = case
    x, weight = draw(x_shape, weight_shape)
    y = k.conv2d(x, weight, conv_geometry(*case))
    padded = np.pad(x, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2])
    expected = np.zeros_like(y)
    for n, o, p, q in np.ndindex(*y.shape):
        first = o // (weight_shape[0] // groups) * weight_shape[1]
        for c, i, j in np.ndindex(*weight_shape[1:]):
            row, column = p * stride[0] + i * dilation[0], q * stride[1] + j * dilation[1]
            expected[n, o, p, q] += weight[o, c, i, j] * padded[n, first + c, row, column]
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("case", CONVS, ids=str)
def test_conv2d_gradients_are_its_adjoints(case):
    x, weight = draw(*case[:2])
    geometry = conv_geometry(*case)
    y = k.conv2d(x, weight, geometry)
    (g,) = draw(y.shape)
    dx = k.conv2d_input_grad(g, weight, geometry)
    dweight = k.conv2d_weight_grad(g, x, geometry)
    inner = np.sum(g * y)
    np.testing.assert_allclose([np.sum(dx * x), np.sum(dweight * weight)], inner, rtol=1e-11)


def test_conv2d_in_many_chunks_is_conv2d_in_one():
    x, weight = draw((8, 16, 24, 24), (4, 16, 3, 3))  # chunks of 3, 3 and 2 images
    geometry = conv_geometry(x.shape, weight.shape, padding=(1, 1))
    y = k.conv2d(x, weight, geometry)
    one = geometry._replace(images=1)
    one_by_one = np.concatenate([k.conv2d(image[None], weight, one) for image in x])
    np.testing.assert_allclose(y, one_by_one, rtol=1e-12, atol=1e-12)
    inner = np.sum(y * y)
    dx = k.conv2d_input_grad(y, weight, geometry)
    dweight = k.conv2d_weight_grad(y, x, geometry)
    np.testing.assert_allclose([np.sum(dx * x), np.sum(dweight * weight)], inner, rtol=1e-12)


def test_max_pool2d_takes_the_first_of_ties():
    x = np.array([[[[1, 1, 2], [1, 1, 2], [0, 0, 2]]]], dtype=np.float32)
    y, index = k.max_pool2d(x, pool_geometry(x.shape, (2, 2), (1, 1), (0, 0)))
    np.testing.assert_array_equal(y, [[[[1, 2], [1, 2]]]])
    np.testing.assert_array_equal(index, [[[[0, 2], [3, 5]]]])
    assert index.dtype == np.int64


def test_max_pool2d_never_takes_padding():
    x = np.full((1, 1, 3, 3), -np.inf)
    y, index = k.max_pool2d(x, pool_geometry(x.shape, (3, 3), (2, 2), (1, 1)))
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), -np.inf))
    np.testing.assert_array_equal(index, [[[[0, 1], [3, 4]]]])


def test_max_pool2d_propagates_the_first_nan():
    x = np.array([[[[9, 1, 9], [1, np.nan, np.nan], [1, 1, 1]]]])
    y, index = k.max_pool2d(x, pool_geometry(x.shape, (2, 2), (1, 1), (0, 0)))
    assert np.isnan(y).all()
    np.testing.assert_array_equal(index, [[[[4, 4], [4, 4]]]])


@pytest.mark.parametrize("window", [((2, 2), (2, 2), (0, 0)), ((3, 2), (2, 1), (1, 1))])
def test_max_pool2d_gather_is_the_adjoint_of_backward(window):
    (x,) = draw((2, 3, 6, 7))
    geometry = pool_geometry(x.shape, *window)
    y, index = k.max_pool2d(x, geometry)
    np.testing.assert_array_equal(k.max_pool2d_gather(x, index), y)
    (g,) = draw(y.shape)
    inner = np.sum(k.max_pool2d_backward(g, index, geometry) * x)
    np.testing.assert_allclose(np.sum(g * y), inner, rtol=1e-12)


def test_avg_pool2d_counts_padding_in_the_divisor():
    x = np.ones((1, 1, 2, 2))
    y = k.avg_pool2d(x, pool_geometry(x.shape, (2, 2), (2, 2), (1, 1)))
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), 0.25))


@pytest.mark.parametrize("case", CONVS, ids=str)
def test_a_geometry_has_the_shapes_of_its_arrays(case):
    x_shape, weight_shape, stride, padding, dilation, groups = case
    s = conv_geometry(*case)
    assert (s.x_shape, s.weight_shape) == (x_shape, weight_shape)
    assert (s.stride, s.padding, s.dilation, s.groups) == (stride, padding, dilation, groups)
    x, weight = draw(x_shape, weight_shape)
    assert k.conv2d(x, weight, s).shape == s.y_shape
    assert s.macs == np.prod(s.y_shape) * np.prod(weight_shape[1:])
    assert s.inverse.inverse == s


def test_at_stride_1_the_inverse_with_flipped_weights_is_the_input_gradient():
    s = conv_geometry((2, 4, 7, 6), (6, 2, 3, 2), (1, 1), (1, 0), (1, 2), 2)
    g, weight = draw(s.y_shape, s.weight_shape)
    flipped = weight.reshape(2, 3, 2, 3, 2).swapaxes(1, 2)[..., ::-1, ::-1]
    dx = k.conv2d(g, flipped.reshape(s.inverse.weight_shape), s.inverse)
    np.testing.assert_allclose(dx, k.conv2d_input_grad(g, weight, s), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("padding", "outputs"),
    [
        ((0, 1), (2, 3)),
        (((0, 0), (1, 1)), (2, 3)),
        (((0, 1), (0, 2)), (3, 3)),
        (((0, -1), (0, 0)), (2, 2)),  # the last row is in no window
    ],
)
def test_the_padding_of_pools_may_differ_at_both_ends(padding, outputs):
    s = pool_geometry((2, 3, 5, 5), (2, 2), (2, 2), padding)
    assert (s.ho, s.wo) == outputs
    assert s.padding == tuple(p[0] if isinstance(p, tuple) else p for p in padding)
    assert (s.x_shape, s.y_shape) == ((2, 3, 5, 5), (2, 3, *outputs))
