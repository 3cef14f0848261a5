"""The reference kernels: against torch, against complex steps, and the promises of their contract.

Every row of kernel_rows.py goes through every test that takes `row`.
"""

import math

import numpy as np
import pytest
from foreign_array import Foreign
from kernel_rows import EPS, ROWS, draw
from oracle import needs_torch, torch
from tinygrad_like.kernels import reference as k
from tinygrad_like.kernels.reference import precision

import tinygrad_like as tg
from tinygrad_like import backend


def each(rows):
    return pytest.mark.parametrize("row", list(rows), ids=lambda row: row.name)


every_row = each(ROWS)


@needs_torch
@each(row for row in ROWS if row.oracle)
def test_values_and_gradients_are_torchs(row):
    g, inputs = draw(row)
    tensors = [torch.tensor(x, requires_grad=True) for x in inputs]
    y = row.oracle(torch.nn.functional, *tensors)
    np.testing.assert_allclose(row.forward(*inputs), y.detach().numpy(), rtol=1e-10, atol=1e-12)
    grads = torch.autograd.grad(y, tensors, torch.tensor(g))
    for ours, theirs in zip(row.backward(g, *inputs), grads, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-9, atol=1e-11)


@every_row
def test_gradients_are_the_complex_steps(row):
    g, inputs = draw(row)
    rng = np.random.default_rng(1)
    for i, grad in enumerate(row.backward(g, *inputs)):
        direction = rng.standard_normal(inputs[i].shape)
        stepped = [*inputs]
        stepped[i] = inputs[i] + 1e-30j * direction
        slope = np.sum(g * row.forward(*stepped).imag) / 1e-30
        np.testing.assert_allclose(np.sum(grad * direction), slope, rtol=1e-10, atol=1e-12)


@every_row
def test_gradients_are_linear_in_g_also_along_the_imaginary_axis(row):
    g, inputs = draw(row)
    other = np.random.default_rng(1).standard_normal(g.shape)
    both = row.backward(g + 1j * other, *inputs)
    apart = zip(row.backward(g, *inputs), row.backward(other, *inputs), strict=True)
    for z, (re, im) in zip(both, apart, strict=True):
        np.testing.assert_allclose(z, re + 1j * im, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@every_row
def test_dtype_is_kept_and_precision_is_its_own(row, dtype):
    tolerance = 8 * np.finfo(dtype).eps
    g, inputs = draw(row, dtype)
    exact_g, exact_inputs = g.astype(np.float64), [x.astype(np.float64) for x in inputs]
    results = row.forward(*inputs), *row.backward(g, *inputs)
    exact = row.forward(*exact_inputs), *row.backward(exact_g, *exact_inputs)
    for ours, truth in zip(results, exact, strict=True):
        assert ours.dtype == dtype
        assert ours.flags.c_contiguous
        scale = np.abs(truth).max()
        np.testing.assert_allclose(ours, truth, rtol=tolerance, atol=tolerance * scale)


@each(row for row in ROWS if row.name != "gather_rows")  # an empty table has no rows to gather
def test_an_empty_batch_gives_empty_results_and_zero_weight_gradients(row):
    y_shape = row.forward(*draw(row)[1]).shape
    inputs = [np.ones(shape) for shape in row.shapes]
    inputs[0] = inputs[0][:0]
    y = row.forward(*inputs)
    assert y.shape == (0, *y_shape[1:])
    dx, *rest = row.backward(np.zeros_like(y), *inputs)
    assert dx.shape == inputs[0].shape
    for grad, x in zip(rest, inputs[1:], strict=True):
        np.testing.assert_array_equal(grad, np.zeros(x.shape))


@every_row
def test_foreign_arrays_dispatch_and_give_the_same(row):
    g, inputs = draw(row, np.float32)
    foreign = [Foreign(x) for x in inputs]
    results = row.forward(*foreign), *row.backward(Foreign(g), *foreign)
    expected = row.forward(*inputs), *row.backward(g, *inputs)
    for ours, theirs in zip(results, expected, strict=True):
        np.testing.assert_array_equal(ours.array, theirs)


def test_a_fully_masked_row_has_no_probability_and_no_nan():
    x = np.array([[-np.inf] * 3, [0.0, -np.inf, 0.0]], dtype=np.float32)
    np.testing.assert_array_equal(k.softmax(x), [[0, 0, 0], [0.5, 0, 0.5]])
    np.testing.assert_array_equal(k.log_softmax(x)[0], [-np.inf] * 3)
    labels = np.array([1, 1])
    losses, sums = k.cross_entropy(x, labels)
    np.testing.assert_array_equal(losses, [np.inf, np.inf])
    dlogits = k.cross_entropy_backward(np.ones(2, np.float32), x, labels, sums)
    np.testing.assert_allclose(dlogits, [[0, -1, 0], [0.5, -1, 0.5]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_large_arguments_are_stable(dtype):
    x = np.array([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]], dtype=dtype)
    np.testing.assert_allclose(k.softmax(x), [[1, 0, 0], [1 / 3] * 3], rtol=1e-3)
    np.testing.assert_allclose(k.cross_entropy(x, np.array([1, 0]))[0], [2e4, 1.0986], rtol=1e-3)
    z, g = x[0], np.ones(3, dtype)
    expected = {
        "sigmoid": (k.sigmoid(z), [1, 0, 0.5]),
        "silu": (k.silu(z), [1e4, 0, 0]),
        "silu'": (k.silu_backward(g, z), [1, 0, 0.5]),
        "softplus": (k.softplus(z), [1e4, 0, math.log(2)]),
        "softplus'": (k.softplus_backward(g, z), [1, 0, 0.5]),
        **{f"gelu {a}": (k.gelu(z, a), [1e4, 0, 0]) for a in (False, True)},
        **{f"gelu' {a}": (k.gelu_backward(g, z, a), [1, 0, 0.5]) for a in (False, True)},
    }
    for name, (ours, truth) in expected.items():
        np.testing.assert_allclose(ours, np.array(truth, dtype), rtol=1e-3, err_msg=name)


def test_tails_keep_their_relative_precision():
    x = np.array([-12.0], dtype=np.float32)
    assert math.isclose(k.sigmoid(x)[0], 1 / (1 + math.exp(12)), rel_tol=1e-6)
    assert math.isclose(k.softplus(x)[0], math.log1p(math.exp(-12)), rel_tol=1e-6)
    assert math.isclose(k.gelu(x, False)[0], -6 * math.erfc(12 / math.sqrt(2)), rel_tol=1e-4)
    assert math.isclose(k.erf(x / 10)[0], math.erf(-1.2), rel_tol=1e-6)


def test_statistics_of_float16_are_float32():
    x = np.ones((2, 4), np.float16)
    planes = x[:, :, None]
    kept = [k.cross_entropy(x, np.array([0, 1]))[1], k.rms_norm(x, None, EPS)[1]]
    kept += k.layer_norm(x, None, None, EPS)[1:] + k.batch_norm(planes, None, None, EPS)[1:]
    kept += k.group_norm(planes, None, None, 2, EPS)[1:]
    assert [a.dtype for a in kept] == [np.float32] * 8


def test_norm_gradients_that_are_not_needed_are_none():
    x = np.random.default_rng(0).standard_normal((4, 6))
    _, mean, rstd = k.layer_norm(x, None, None, EPS)
    dx, dweight, dbias = k.layer_norm_backward(x, x, None, mean, rstd, (True, False, False))
    assert dx.shape == x.shape
    assert dweight is None
    assert dbias is None


@pytest.mark.parametrize(("rows", "n"), [(1, 1), (1, 100), (65, 300), (1000, 30), (5, 0)])
def test_scatter_add_accumulates_duplicates(rows, n):
    rng = np.random.default_rng(0)
    out, updates = rng.standard_normal((rows, 2, 3)), rng.standard_normal((n, 2, 3))
    index = rng.integers(0, rows, n)
    expected = out.copy()
    np.add.at(expected, index, updates)
    kept = updates.copy()
    assert k.scatter_add_(out, index, updates) is None
    np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(updates, kept)


def test_scatter_add_of_float16_rounds_once():
    updates = np.random.default_rng(0).random((1000, 20)).astype(np.float16)
    out = np.zeros((1, 20), np.float16)
    k.scatter_add_(out, np.zeros(1000, np.int64), updates)
    np.testing.assert_array_equal(out[0], updates.sum(0, dtype=np.float64).astype(np.float16))


def test_the_dtype_of_a_result_takes_dtypes_and_their_types():
    assert precision.result_dtype(np.int64, np.dtype(np.float32)) == np.float32
    assert precision.result_dtype(np.int8, np.int64) == np.int64
    assert precision.wide_dtype(np.float16, np.int64) == np.float32
    assert precision.wide_dtype(np.float16, np.float64) == np.float64


@pytest.mark.parametrize("which", ["ours", "reference"])
def test_a_product_and_its_bias_are_rounded_once(which):
    """In float16 the product alone would be infinite."""
    x, bias = np.full((1, 700), 10, np.float16), np.full(1, -20_000, np.float16)
    with tg.use_kernels(which):
        y = tg.linear(x, x.T.copy(), bias)
        z = tg.conv2d(x.reshape(1, 1, 1, 700), x.reshape(1, 1, 1, 700), bias)
    assert y.dtype == z.dtype == np.float16
    assert y.item() == z.item() == np.float16(50_000)


@pytest.mark.parametrize("which", ["ours", "reference"])
def test_a_bias_of_another_length_is_no_bias(which):
    table = backend.CPU.tables[which]
    with pytest.raises(ValueError, match="broadcast"):
        table.linear(np.ones((4, 600)), np.ones((600, 500)), np.ones(3))


@pytest.mark.parametrize("which", ["ours", "reference"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint64])
def test_lengths_may_be_unsigned(which, dtype):
    x, w = np.ones((2, 3, 1), np.float32), np.ones((1, 1), np.float32)
    with tg.use_kernels(which):
        _, last = tg.rnn(x, w, w, w[0], lengths=np.array([0, 2], dtype))
        _, expected = tg.rnn(x, w, w, w[0], lengths=np.array([0, 2]))
    np.testing.assert_array_equal(last, expected)
