"""The reference kernels: against torch, against complex steps, and the promises of their contract.

ROWS is a table of kernels with their gradients; every row goes through every test that takes `row`.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from tinygrad_like.kernels import reference as k

try:
    import torch
except ImportError:
    torch = None

needs_torch = pytest.mark.skipif(torch is None, reason="torch, the oracle, is not installed")

EPS = 1e-5
ALL = (True, True, True)
LABELS = np.array([2, 0, 5, 5, 1])
INDEX = np.array([3, 0, 3, 3, 6, 0])
POOLS = [((2, 2), (2, 2), (0, 0)), ((3, 2), (2, 1), (1, 1))]
CONVS = [  # x, weight, stride, padding, dilation, groups
    ((2, 3, 6, 7), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 4, 7, 6), (6, 2, 3, 2), (2, 1), (0, 1), (1, 2), 2),
    ((1, 3, 5, 5), (3, 1, 2, 2), (3, 2), (3, 2), (2, 1), 3),
]


class Row(NamedTuple):
    name: str
    forward: Callable  # inputs -> y
    backward: Callable  # g, inputs -> gradients
    oracle: Callable | None  # torch.nn.functional, inputs -> y; None where torch draws otherwise
    shapes: list


def like(array, x):
    """A NumPy array as the kind of array that x is."""
    return Foreign(array) if isinstance(x, Foreign) else array


def labels_for(logits):
    return like(LABELS[: len(logits)], logits)


def cross_entropy_grads(g, logits):
    labels = labels_for(logits)
    return (k.cross_entropy_backward(g, logits, labels, k.cross_entropy(logits, labels)[1]),)


def layer_norm_grads(g, x, weight, bias):
    _, mean, rstd = k.layer_norm(x, weight, bias, EPS)
    return k.layer_norm_backward(g, x, weight, mean, rstd, ALL)


def rms_norm_grads(g, x, weight):
    return k.rms_norm_backward(g, x, weight, k.rms_norm(x, weight, EPS)[1], ALL[:2])


def batch_norm_grads(g, x, weight, bias):
    _, mean, var = k.batch_norm(x, weight, bias, EPS)
    return k.batch_norm_backward(g, x, weight, mean, var, EPS, ALL)


def group_norm_grads(g, x, weight, bias):
    _, mean, rstd = k.group_norm(x, weight, bias, 2, EPS)
    return k.group_norm_backward(g, x, weight, 2, mean, rstd, ALL)


def gather_grads(g, table):
    dtable = np.zeros_like(table, dtype=np.result_type(g.dtype, table.dtype))
    k.scatter_add_(dtable, like(INDEX, table), g)
    return (dtable,)


def conv_row(x_shape, weight_shape, *geometry):
    return Row(
        f"conv2d-{'-'.join(map(str, geometry))}",
        lambda x, w: k.conv2d(x, w, *geometry),
        lambda g, x, w: (
            k.conv2d_input_grad(g, w, x.shape, *geometry),
            k.conv2d_weight_grad(g, x, w.shape, *geometry),
        ),
        lambda F, x, w: F.conv2d(x, w, None, *geometry),
        [x_shape, weight_shape],
    )


def max_pool_row(*window):
    return Row(
        f"max_pool2d-{window}",
        lambda x: k.max_pool2d(x, *window)[0],
        lambda g, x: (k.max_pool2d_backward(g, k.max_pool2d(x, *window)[1], x.shape),),
        lambda F, x: F.max_pool2d(x, *window),
        [(2, 3, 6, 7)],
    )


def avg_pool_row(*window):
    return Row(
        f"avg_pool2d-{window}",
        lambda x: k.avg_pool2d(x, *window),
        lambda g, x: (k.avg_pool2d_backward(g, x.shape, *window),),
        lambda F, x: F.avg_pool2d(x, *window),
        [(2, 3, 6, 7)],
    )


def recurrent_row(kind, blocks, *how, lengths=False):
    """A recurrent kernel from fixed first states; the last states are further steps of y."""
    states = 2 if kind == "lstm" else 1
    steps, size = 3, 2

    def arguments(x):
        rng = np.random.default_rng(2)
        real = np.empty(0, x.dtype).real.dtype
        start = [rng.standard_normal((4, size)).astype(real)[: len(x)] for _ in range(states)]
        cut = like(np.array([2, 0, 3, 1])[: len(x)], x) if lengths else None
        return [like(s, x) for s in start], cut

    def forward(x, *weights):
        start, cut = arguments(x)
        out, *rest = getattr(k, kind)(x, *weights, *start, cut, *how)
        return np.concatenate([out, *(s[:, None] for s in rest[:states])], axis=1)

    def backward(g, x, weight, recurrent, bias):
        start, cut = arguments(x)
        out, *rest = getattr(k, kind)(x, weight, recurrent, bias, *start, cut, *how)
        gs = [g[:, :steps], *(g[:, steps + s] for s in range(states))]
        saved = [out, *rest[states:]]
        given = [*gs, x, weight, recurrent, *start, *saved, cut, *how, (True,) * 6]
        return getattr(k, f"{kind}_backward")(*given)[:4]

    bias = 4 if kind == "gru" else blocks
    shapes = [(4, steps, 3), (3, blocks * size), (size, blocks * size), (bias * size,)]
    name = "-".join(map(str, [kind, *how, *(["lengths"] if lengths else [])]))
    return Row(name, forward, backward, None, shapes)


def attention_row(name, t, key_heads=4, mask=None, bias=(), causal=False, p=0.0):
    """4 heads of t queries and 5 keys; `bias` is the shape of a mask of numbers, an input."""
    options = (causal, 0.5, p, 7, 5)

    def forward(query, key, value, *bias):
        seen = bias[0] if bias else like(mask, query) if mask is not None else None
        return k.attention(query, key, value, seen, *options)

    def backward(g, query, key, value, *bias):
        seen = bias[0] if bias else like(mask, query) if mask is not None else None
        needs = (True, True, True, bool(bias))
        results = forward(query, key, value, *bias)
        return k.attention_backward(g, query, key, value, *results, seen, *options, needs)[
            : 3 + len(bias)
        ]

    def oracle(F, query, key, value, bias=None):
        seen = bias if mask is None else torch.tensor(mask)
        return F.scaled_dot_product_attention(
            query, key, value, seen, is_causal=causal, scale=0.5, enable_gqa=True
        )

    shapes = [(2, 4, t, 3), (2, key_heads, 5, 3), (2, key_heads, 5, 2), *([bias] if bias else [])]
    return Row(name, lambda *xs: forward(*xs)[0], backward, None if p else oracle, shapes)


def elementwise_row(name, forward, backward, oracle):
    return Row(name, forward, lambda g, x: (backward(g, x),), oracle, [(5, 7)])


ROWS = [
    Row(
        "softmax",
        k.softmax,
        lambda g, x: (k.softmax_backward(g, k.softmax(x)),),
        lambda F, x: F.softmax(x, -1),
        [(3, 2, 6)],
    ),
    Row(
        "log_softmax",
        k.log_softmax,
        lambda g, x: (k.log_softmax_backward(g, k.log_softmax(x)),),
        lambda F, x: F.log_softmax(x, -1),
        [(3, 2, 6)],
    ),
    Row(
        "cross_entropy",
        lambda x: k.cross_entropy(x, labels_for(x))[0],
        cross_entropy_grads,
        lambda F, x: F.cross_entropy(x, torch.tensor(LABELS), reduction="none"),
        [(5, 6)],
    ),
    Row(
        "layer_norm",
        lambda x, w, b: k.layer_norm(x, w, b, EPS)[0],
        layer_norm_grads,
        lambda F, x, w, b: F.layer_norm(x, (6,), w, b, EPS),
        [(5, 6), (6,), (6,)],
    ),
    Row(
        "rms_norm",
        lambda x, w: k.rms_norm(x, w, EPS)[0],
        rms_norm_grads,
        lambda F, x, w: F.rms_norm(x, (6,), w, EPS),
        [(5, 6), (6,)],
    ),
    Row(
        "batch_norm",
        lambda x, w, b: k.batch_norm(x, w, b, EPS)[0],
        batch_norm_grads,
        lambda F, x, w, b: F.batch_norm(x, None, None, w, b, True, 0.1, EPS),
        [(3, 4, 5), (4,), (4,)],
    ),
    Row(
        "group_norm",
        lambda x, w, b: k.group_norm(x, w, b, 2, EPS)[0],
        group_norm_grads,
        lambda F, x, w, b: F.group_norm(x, 2, w, b, EPS),
        [(3, 4, 5), (4,), (4,)],
    ),
    Row(
        "gather_rows",
        lambda table: k.gather_rows(table, like(INDEX, table)),
        gather_grads,
        lambda F, table: table[torch.tensor(INDEX)],
        [(7, 2, 3)],
    ),
    Row(
        "dropout",
        lambda x: k.dropout(x, 0.3, 7, 5),
        lambda g, x: (k.dropout(g, 0.3, 7, 5),),
        None,
        [(5, 7)],
    ),
    attention_row("attention", 3),
    attention_row("attention-causal", 5, causal=True),
    attention_row("attention-grouped", 3, key_heads=2),
    attention_row("attention-mask", 3, mask=np.tri(3, 5, k=-1, dtype=bool)[None, None]),
    attention_row("attention-bias", 3, key_heads=1, bias=(1, 4, 1, 5)),
    attention_row("attention-dropout", 3, key_heads=2, p=0.3, bias=(2, 1, 3, 5), causal=True),
    *(conv_row(*geometry) for geometry in CONVS),
    *(max_pool_row(*window) for window in POOLS),
    *(avg_pool_row(*window) for window in POOLS),
    recurrent_row("rnn", 1, False, "tanh"),
    recurrent_row("rnn", 1, True, "relu", lengths=True),
    recurrent_row("gru", 3, False),
    recurrent_row("gru", 3, True, lengths=True),
    recurrent_row("lstm", 4, False),
    recurrent_row("lstm", 4, True, lengths=True),
    elementwise_row(
        "sigmoid",
        k.sigmoid,
        lambda g, x: k.sigmoid_backward(g, k.sigmoid(x)),
        lambda F, x: x.sigmoid(),
    ),
    elementwise_row("silu", k.silu, k.silu_backward, lambda F, x: F.silu(x)),
    elementwise_row(
        "softplus", k.softplus, k.softplus_backward, lambda F, x: F.softplus(x, threshold=100)
    ),
    elementwise_row(
        "gelu",
        lambda x: k.gelu(x, False),
        lambda g, x: k.gelu_backward(g, x, False),
        lambda F, x: F.gelu(x),
    ),
    elementwise_row(
        "gelu-tanh",
        lambda x: k.gelu(x, True),
        lambda g, x: k.gelu_backward(g, x, True),
        lambda F, x: F.gelu(x, approximate="tanh"),
    ),
]


def each(rows):
    return pytest.mark.parametrize("row", list(rows), ids=lambda row: row.name)


every_row = each(ROWS)


def draw(row, dtype=np.float64):
    """(g, inputs) of a row, the same numbers in every dtype."""
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape).astype(dtype) for shape in row.shapes]
    g = rng.standard_normal(row.forward(*inputs).shape).astype(dtype)
    return g, inputs


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


class Foreign(np.lib.mixins.NDArrayOperatorsMixin):
    """An array as CuPy's are: reached by NumPy's protocols alone, never silently a NumPy array."""

    def __init__(self, array):
        self.array = array

    shape = property(lambda self: self.array.shape)
    size = property(lambda self: self.array.size)
    dtype = property(lambda self: self.array.dtype)
    real = property(lambda self: Foreign(self.array.real))

    def __array__(self, *args, **kwargs):
        raise TypeError("implicit conversion to NumPy")

    def __len__(self):
        return len(self.array)

    def __int__(self):
        return int(self.array)

    def __bool__(self):
        return bool(self.array)

    def __getitem__(self, key):
        return Foreign(self.array[native(key)])

    def __setitem__(self, key, value):
        self.array[native(key)] = native(value)

    def __matmul__(self, other):
        return Foreign(self.array @ other.array)

    def __getattr__(self, name):
        if name not in ("reshape", "astype", "swapaxes", "max"):
            raise AttributeError(name)
        return lambda *args, **kwargs: Foreign(getattr(self.array, name)(*args, **kwargs))

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **kwargs):
        if method != "__call__" or ufunc.signature is not None:
            return NotImplemented
        result = ufunc(*native(inputs), **({"out": native(out)} if out else {}), **kwargs)
        return out[0] if out else Foreign(result)

    def __array_function__(self, func, types, args, kwargs):
        options = {name: native(x) for name, x in kwargs.items()}
        return Foreign(func(*native(list(args)), **options))


def native(x):
    """Foreign arrays unwrapped, in tuples and lists too; a NumPy array among them is an error."""
    if isinstance(x, (tuple, list)):
        return type(x)(native(item) for item in x)
    assert not isinstance(x, np.ndarray), "a NumPy array met a foreign one"
    return x.array if isinstance(x, Foreign) else x


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
    losses, lse = k.cross_entropy(x, labels)
    np.testing.assert_array_equal(losses, [np.inf, np.inf])
    dlogits = k.cross_entropy_backward(np.ones(2, np.float32), x, labels, lse)
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
