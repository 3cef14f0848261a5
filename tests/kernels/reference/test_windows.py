"""Convolution and pooling against their definitions, window by window."""

import numpy as np
import pytest
from tinygrad_like.kernels import reference as k

CONVS = [  # x, weight, stride, padding, dilation, groups
    ((2, 3, 5, 6), (4, 3, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 4, 7, 6), (6, 2, 3, 2), (2, 1), (0, 1), (1, 2), 2),
    ((1, 3, 5, 5), (3, 1, 2, 2), (3, 2), (3, 2), (2, 1), 3),
    ((2, 2, 4, 4), (2, 2, 1, 1), (5, 1), (0, 3), (1, 1), 1),
]


def draw(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize("geometry", CONVS, ids=str)
def test_conv2d_is_its_definition(geometry):
    x_shape, weight_shape, stride, padding, dilation, groups = geometry
    x, weight = draw(x_shape, weight_shape)
    y = k.conv2d(x, weight, *geometry[2:])
    padded = np.pad(x, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2])
    expected = np.zeros_like(y)
    for n, o, p, q in np.ndindex(*y.shape):
        first = o // (weight_shape[0] // groups) * weight_shape[1]
        for c, i, j in np.ndindex(*weight_shape[1:]):
            row, column = p * stride[0] + i * dilation[0], q * stride[1] + j * dilation[1]
            expected[n, o, p, q] += weight[o, c, i, j] * padded[n, first + c, row, column]
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("geometry", CONVS, ids=str)
def test_conv2d_gradients_are_its_adjoints(geometry):
    x, weight = draw(*geometry[:2])
    y = k.conv2d(x, weight, *geometry[2:])
    (g,) = draw(y.shape)
    dx = k.conv2d_input_grad(g, weight, x.shape, *geometry[2:])
    dweight = k.conv2d_weight_grad(g, x, weight.shape, *geometry[2:])
    inner = np.sum(g * y)
    np.testing.assert_allclose([np.sum(dx * x), np.sum(dweight * weight)], inner, rtol=1e-11)


def test_conv2d_in_many_chunks_is_conv2d_in_one():
    x, weight = draw((8, 16, 24, 24), (4, 16, 3, 3))  # chunks of 3, 3 and 2 images
    geometry = (1, 1), (1, 1), (1, 1), 1
    y = k.conv2d(x, weight, *geometry)
    one_by_one = np.concatenate([k.conv2d(image[None], weight, *geometry) for image in x])
    np.testing.assert_allclose(y, one_by_one, rtol=1e-12, atol=1e-12)
    inner = np.sum(y * y)
    dx = k.conv2d_input_grad(y, weight, x.shape, *geometry)
    dweight = k.conv2d_weight_grad(y, x, weight.shape, *geometry)
    np.testing.assert_allclose([np.sum(dx * x), np.sum(dweight * weight)], inner, rtol=1e-12)


def test_max_pool2d_takes_the_first_of_ties():
    x = np.array([[[[1, 1, 2], [1, 1, 2], [0, 0, 2]]]], dtype=np.float32)
    y, index = k.max_pool2d(x, (2, 2), (1, 1), (0, 0))
    np.testing.assert_array_equal(y, [[[[1, 2], [1, 2]]]])
    np.testing.assert_array_equal(index, [[[[0, 2], [3, 5]]]])
    assert index.dtype == np.int64


def test_max_pool2d_never_takes_padding():
    x = np.full((1, 1, 3, 3), -np.inf)
    y, index = k.max_pool2d(x, (3, 3), (2, 2), (1, 1))
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), -np.inf))
    np.testing.assert_array_equal(index, [[[[0, 1], [3, 4]]]])


def test_max_pool2d_propagates_the_first_nan():
    x = np.array([[[[9, 1, 9], [1, np.nan, np.nan], [1, 1, 1]]]])
    y, index = k.max_pool2d(x, (2, 2), (1, 1), (0, 0))
    assert np.isnan(y).all()
    np.testing.assert_array_equal(index, [[[[4, 4], [4, 4]]]])


@pytest.mark.parametrize("window", [((2, 2), (2, 2), (0, 0)), ((3, 2), (2, 1), (1, 1))])
def test_max_pool2d_gather_is_the_adjoint_of_backward(window):
    (x,) = draw((2, 3, 6, 7))
    y, index = k.max_pool2d(x, *window)
    np.testing.assert_array_equal(k.max_pool2d_gather(x, index), y)
    (g,) = draw(y.shape)
    inner = np.sum(k.max_pool2d_backward(g, index, x.shape) * x)
    np.testing.assert_allclose(np.sum(g * y), inner, rtol=1e-12)


def test_avg_pool2d_counts_padding_in_the_divisor():
    x = np.ones((1, 1, 2, 2))
    y = k.avg_pool2d(x, (2, 2), (2, 2), (1, 1))
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), 0.25))
