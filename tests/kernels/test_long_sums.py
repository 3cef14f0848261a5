"""Long sums in the kernels of layers: never thousands of additions one after the other in float32.

Most sums here are of equal numbers: their true value is known without a second implementation, and
adding them one by one rounds in the same direction again and again. So 128 of them may lose some
10 epsilons; thousands lose hundreds.
"""

import importlib

import numpy as np
import pytest
from tinygrad_like.kernels import cpu, reference
from tinygrad_like.kernels.geometry import conv_geometry, pool_geometry

EPS = np.finfo(np.float32).eps
BOTH = pytest.mark.parametrize("kernels", [cpu, reference], ids=["cpu", "reference"])


def full(*shape, value=0.3):
    return np.full(shape, value, np.float32)


def check(got, true, epsilons=16):
    """Each number of `got` is `true`, a number or an array, to some epsilons of the largest."""
    np.testing.assert_allclose(got, true, rtol=0, atol=epsilons * EPS * np.abs(true).max())


def equal_products(x, w, count):
    return float(x.flat[0]) * float(w.flat[0]) * count


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "groups"),
    [
        ((16_384, 1, 6, 18), (2, 1, 3, 3), 1),  # few weights: of many images, of large ones
        ((8, 1, 500, 500), (2, 1, 3, 3), 1),
        ((64, 8, 66, 66), (16, 8, 3, 3), 1),  # whole vectors of channels
        ((64, 8, 66, 66), (3, 8, 3, 3), 1),  # patches: of large images, of many small ones
        ((4096, 8, 10, 10), (3, 8, 3, 3), 1),
        ((4, 2, 226, 226), (2, 1, 3, 3), 2),  # depthwise: by the loop for 3 x 3, and by the other
        ((4, 2, 226, 226), (2, 1, 5, 5), 2),
        ((1, 2, 3, 40_000), (2, 1, 3, 3), 2),
    ],
    ids=str,
)
def test_gradients_of_a_convolutions_weights(x_shape, w_shape, groups):
    size = [n - k + 1 for n, k in zip(x_shape[2:], w_shape[2:], strict=True)]
    x, g = full(*x_shape), full(x_shape[0], w_shape[0], *size, value=0.7)
    dw = cpu.conv2d_weight_grad(g, x, conv_geometry(x_shape, w_shape, groups=groups))
    check(dw, equal_products(x, g, x_shape[0] * size[0] * size[1]))


def test_the_reference_adds_up_chunks_of_images_in_float64(monkeypatch):
    conv = importlib.import_module("tinygrad_like.kernels.reference.conv")
    monkeypatch.setattr(conv, "PATCH_BYTES", 1)  # one image to a chunk
    x, g = full(10_000, 1, 1, 1), full(10_000, 1, 1, 1, value=0.7)
    dw = conv.conv2d_weight_grad(g, x, conv_geometry(x.shape, (1, 1, 1, 1)))
    check(dw, equal_products(x, g, 10_000), 2)
    assert dw.dtype == np.float32


@pytest.mark.parametrize("kernel", [1, 3])
def test_convolutions_of_many_channels(kernel):
    """By 1 x 1 and stride 2, and by Winograd."""
    x, w = full(8, 8192, 8, 8), full(16, 8192, kernel, kernel, value=0.7)
    y = cpu.conv2d(x, w, conv_geometry(x.shape, w.shape, (3 - kernel // 2,) * 2))
    check(y, equal_products(x, w, 8192 * kernel * kernel), 16 if kernel == 1 else 48)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sums_over_outer_axes(dtype):
    """In two steps, of which the second has few numbers, but long sums of them."""
    x = np.full((8000, 2, 301), 0.7314, dtype)
    got = cpu.sum_axes(x, (0, 2))
    true = float(x[0, 0, 0]) * 8000 * 301
    np.testing.assert_allclose(got, true, rtol=16 * np.finfo(dtype).eps)


@BOTH
@pytest.mark.parametrize("shape", [(100, 100), (1, 20_000), (20_000, 1)], ids=str)
def test_the_mean_of_a_large_window(kernels, shape):
    x = np.random.default_rng(0).random((1, 2, *shape), np.float32)
    true = x.mean((2, 3), np.float64, keepdims=True)
    geometry = pool_geometry(x.shape, shape, (1, 1), (0, 0))
    check(kernels.avg_pool2d(x, geometry), true, 1)


@BOTH
def test_the_gradient_where_thousands_of_windows_overlap(kernels):
    """In the middle is a number of all windows, and the largest of all."""
    shape = 1, 1, 199, 199
    geometry = pool_geometry(shape, (100, 100), (1, 1), (0, 0))
    x = np.zeros(shape, np.float32)
    x[0, 0, 99, 99] = 1
    g = np.random.default_rng(0).random((1, 1, 100, 100), np.float32)
    true = g.sum(dtype=np.float64)
    _, index = kernels.max_pool2d(x, geometry)
    check(kernels.max_pool2d_backward(g, index, geometry)[0, 0, 99, 99], true, 1)
    dx = kernels.avg_pool2d_backward(g, geometry)
    check(dx[0, 0, 99, 99], true / 10_000, 1)


def attend(kernels, q, k, v, mask=None):
    return kernels.attention(q, k, v, mask, False, 1.0, 0.0, 0, 0)


def test_a_query_of_thousands_of_keys():
    """And the values' gradients of thousands of queries."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.random((1, 1, n, 8), np.float32) for n in (3, 60_000, 60_000))
    out, sums = attend(cpu, q, k, v)
    true_out, true_sums = attend(reference, *(x.astype(np.float64) for x in (q, k, v)))
    check(sums, true_sums, 1)
    check(out, true_out, 4)
    q, k, v = full(1, 1, 3, 4), full(1, 1, 200_000, 4), full(1, 1, 200_000, 4, value=0.7314)
    check(attend(cpu, q, k, v)[0], v[0, 0, 0, 0], 12)
    q, k, v = full(1, 1, 200_000, 4), full(1, 1, 2, 4), full(1, 1, 2, 4)
    out, sums = attend(cpu, q, k, v)
    how = None, False, 1.0, 0.0, 0, 0, (True, True, True, False)
    grads = cpu.attention_backward(full(*q.shape, value=0.7), q, k, v, out, sums, *how)
    check(grads[2], float(np.float32(0.7)) * 100_000, 8)  # BLAS adds up each block in its own order


@BOTH
@pytest.mark.parametrize("shape", [(1, 1, 1, 2), (1, 1, 70, 2)], ids=str)
def test_the_gradient_of_a_mask_for_all_of_a_batch(kernels, shape):
    """Of two keys, equal but for their values 1 and 0."""
    batch, heads, t = 3000, 4, 70
    g = np.random.default_rng(0).random((batch, heads, t, 1), np.float32)
    q, k, v = full(batch, heads, t, 1), full(batch, heads, 2, 1), full(batch, heads, 2, 1, value=0)
    v[:, :, 0] = 1
    mask = full(*shape, value=0)
    out, sums = attend(kernels, q, k, v, mask)
    how = mask, False, 1.0, 0.0, 0, 0, (False, False, False, True)
    dmask = kernels.attention_backward(g, q, k, v, out, sums, *how)[3]
    axes = (0, 1) if shape[2] == t else (0, 1, 2)
    slopes = g.sum(axes, np.float64).reshape(shape[2], 1) * [0.25, -0.25]
    check(dmask[0, 0], slopes, 4)
    assert dmask.dtype == np.float32


@pytest.mark.parametrize(("features", "units"), [(8192, 4), (4, 4096)])
def test_recurrent_layers_of_many_features_or_units(features, units):
    """The products of many rows at a time: x W, and da W^T, by 1024 numbers."""
    x, w, g = full(16, 1, features), full(features, units, value=0.7), full(16, 1, units)
    u, bias = np.zeros((units, units), np.float32), np.zeros(units, np.float32)
    out, last = cpu.rnn(x, w, u, bias, None, None, False, "relu")
    check(out, equal_products(x, w, features), 32)
    needs = True, False, False, False, False
    grads = cpu.rnn_backward(g, 0 * last, x, w, u, None, out, None, False, "relu", needs)
    check(grads[0], equal_products(g, w, units), 32)


def test_recurrent_layers_of_long_sequences():
    """The gradients with respect to weights and bias, of equal numbers."""
    n, steps, h = 512, 2048, 4
    x, g = full(n, steps, 2), full(n, steps, h, value=0.7)
    w, u, bias = full(2, h), np.zeros((h, h), np.float32), np.zeros(h, np.float32)
    out, last = cpu.rnn(x, w, u, bias, None, None, False, "relu")
    needs = (True,) * 5
    grads = cpu.rnn_backward(g, 0 * last, x, w, u, None, out, None, False, "relu", needs)
    _, dw, du, dbias, _ = grads
    rows = n * steps
    check(dw, equal_products(x, g, rows))
    check(du, equal_products(out, g, rows - n))
    check(dbias, equal_products(full(1, value=1), g, rows))
