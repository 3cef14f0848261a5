"""A table of the kernels with their gradients and their oracles in torch."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from foreign_array import Foreign
from oracle import torch
from tinygrad_like.kernels import reference
from tinygrad_like.kernels.geometry import conv_geometry, pool_geometry


class _Kernels:
    """The kernels that the rows call: the reference, unless a test turns to another target."""

    module = reference

    def __getattr__(self, name):
        return lambda *args: getattr(_Kernels.module, name)(*args)

    def turn_to(self, module):
        _Kernels.module = module


k = _Kernels()
EPS = 1e-5
ALL = (True, True, True)
LABELS = np.array([2, 0, 5, 5, 1])
INDEX = np.array([3, 0, 3, 3, 6, 0])
POOLED = (2, 3, 6, 7)
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


def conv_row(x_shape, weight_shape, *options):
    def geometry(x):
        """For the images of x or of g, of which a test may leave none."""
        return conv_geometry((x.shape[0], *x_shape[1:]), weight_shape, *options)

    return Row(
        f"conv2d-{'-'.join(map(str, options))}",
        lambda x, w: k.conv2d(x, w, geometry(x)),
        lambda g, x, w: (
            k.conv2d_input_grad(g, w, geometry(g)),
            k.conv2d_weight_grad(g, x, geometry(g)),
        ),
        lambda F, x, w: F.conv2d(x, w, None, *options),
        [x_shape, weight_shape],
    )


def pooled(x, window):
    """The Geometry for the images of x or of g, of which a test may leave none."""
    return pool_geometry((x.shape[0], *POOLED[1:]), *window)


def max_pool_row(*window):
    def backward(g, x):
        geometry = pooled(x, window)
        return (k.max_pool2d_backward(g, k.max_pool2d(x, geometry)[1], geometry),)

    return Row(
        f"max_pool2d-{window}",
        lambda x: k.max_pool2d(x, pooled(x, window))[0],
        backward,
        lambda F, x: F.max_pool2d(x, *window),
        [POOLED],
    )


def avg_pool_row(*window):
    return Row(
        f"avg_pool2d-{window}",
        lambda x: k.avg_pool2d(x, pooled(x, window)),
        lambda g, x: (k.avg_pool2d_backward(g, pooled(g, window)),),
        lambda F, x: F.avg_pool2d(x, *window),
        [POOLED],
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


def scan_row(reverse):
    """Lines of 5 steps; x holds a, b and the first states."""

    def parts(x):
        return x[:, :5], x[:, 5:10], x[:, 10]

    def backward(g, x):
        a, b, initial = parts(x)
        h = k.linear_scan(a, b, initial, reverse)
        da, db, dinitial = k.linear_scan_backward(g, a, h, initial, reverse)
        return (np.concatenate([da, db, dinitial[:, None]], axis=1),)

    def oracle(F, x):
        a, b, initial = parts(x)
        states, order = [initial], range(a.shape[1])
        for t in reversed(order) if reverse else order:
            states.append(a[:, t] * states[-1] + b[:, t])
        return torch.stack(states[:0:-1] if reverse else states[1:], 1)

    name = f"linear_scan-{reverse}"
    return Row(name, lambda x: k.linear_scan(*parts(x), reverse), backward, oracle, [(3, 11, 2)])


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
        "matmul",
        k.matmul,
        lambda g, a, b: (k.matmul(g, b.swapaxes(0, 1)), k.matmul(a.swapaxes(0, 1), g)),
        lambda F, a, b: a @ b,
        [(5, 6), (6, 4)],
    ),
    Row(
        "linear",
        k.linear,
        lambda g, x, w, b: (
            k.matmul(g, w.swapaxes(0, 1)),
            k.matmul(x.swapaxes(0, 1), g),
            np.sum(g, axis=0),
        ),
        lambda F, x, w, b: F.linear(x, w.T, b),
        [(5, 6), (6, 4), (4,)],
    ),
    Row(
        "sum_middle",
        k.sum_middle,
        lambda g, x: (g[:, None] + np.zeros_like(x),),
        lambda F, x: x.sum(1),
        [(3, 4, 5)],
    ),
    Row(
        "sum_axes",
        lambda x: k.sum_axes(x, (1, 2)),
        lambda g, x: (g[:, None, None] + np.zeros_like(x),),
        lambda F, x: x.sum((1, 2)),
        [(3, 4, 5)],
    ),
    scan_row(False),
    scan_row(True),
    Row("add", lambda x: k.add(x, x), lambda g, x: (k.add(g, g),), lambda F, x: x + x, [(5, 7)]),
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
        "relu",
        k.relu,
        lambda g, x: k.relu_backward(g, np.real(k.relu(x))),
        lambda F, x: F.relu(x),
    ),
    elementwise_row(
        "sigmoid",
        k.sigmoid,
        lambda g, x: k.sigmoid_backward(g, k.sigmoid(x)),
        lambda F, x: x.sigmoid(),
    ),
    elementwise_row(
        "tanh",
        np.tanh,
        lambda g, x: k.tanh_backward(g, np.tanh(x)),
        lambda F, x: x.tanh(),
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


def draw(row, dtype=np.float64):
    """(g, inputs) of a row, the same numbers in every dtype."""
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal(shape).astype(dtype) for shape in row.shapes]
    g = rng.standard_normal(row.forward(*inputs).shape).astype(dtype)
    return g, inputs
