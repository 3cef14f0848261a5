"""Recurrent layers as ONNX's own, attention, and rotary positions."""

import math

import numpy as np

from tinygrad_like.onnx.export.emit import Emitter, Value
from tinygrad_like.onnx.export.errors import ExportError
from tinygrad_like.onnx.export.layers import softmax
from tinygrad_like.onnx.export.sizes import Size, values_of
from tinygrad_like.onnx.export.table import lowers

# The blocks of our weights in ONNX's order: of a GRU z, r, n for our r, z, n, of an LSTM i, o, f, g
# for our i, f, o, g.
GRU_ORDER = 1, 0, 2
LSTM_ORDER = 0, 2, 1, 3


def _blocks(g: Emitter, x: Value, size: int, order: tuple[int, ...]) -> Value:
    """The blocks of the last axis, each of a size, in another order."""
    axis = x.ndim - 1
    if len(order) == 1 and x.shape is not None and x.shape[-1] == size:
        return x
    return g.Concat(*(g.slice(x, axis, i * size, (i + 1) * size) for i in order), axis=axis)


def _matrix(g, weight, size, order):
    """A weight (D, G H) as ONNX's (1, G H, D)."""
    return g.unsqueeze(g.Transpose(_blocks(g, weight, size, order), perm=[1, 0]), 0)


def _layer(g, kind, x, weight, recurrent, bias, states, lengths, reverse, order, **options):
    """The outputs of a recurrent node: all states (N, T, H), and the last ones (N, H)."""
    size = recurrent.shape[0]
    if x.shape[1] == 0:
        zeros = g.Expand(g.number(0, x.dtype), g.integers([x.shape[0], size]))
        empty = g.Expand(g.number(0, x.dtype), g.integers([x.shape[0], 0, size]))
        return empty, *(zeros if s is None else s for s in states)
    states = [None if s is None else g.unsqueeze(g.cast(s, x.dtype), 0) for s in states]
    lengths = None if lengths is None else g.cast(lengths, np.int32)
    y, *last = g.node(
        kind, g.Transpose(x, perm=[1, 0, 2]), _matrix(g, weight, size, order),
        _matrix(g, recurrent, size, order), g.unsqueeze(bias, 0), lengths, *states,
        outputs=2 + (kind == "LSTM"), hidden_size=size,
        direction="reverse" if reverse else "forward", **options,
    )  # fmt: skip
    all_states = g.Transpose(g.Squeeze(y, g.constant([1])), perm=[1, 0, 2])
    last = [g.Squeeze(s, g.constant([0])) for s in last]
    none = None  # ONNX leaves open what the state of an empty sequence is
    if lengths is not None:
        none = g.unsqueeze(g.Equal(lengths, 0), -1)
    elif isinstance(x.shape[1], Size):
        none = g.Equal(g.size(x.shape[1]), 0)
    if none is not None:
        zero = g.number(0, x.dtype)
        firsts = [zero if s is None else g.Squeeze(s, g.constant([0])) for s in states]
        last = [g.Where(none, first, s) for first, s in zip(firsts, last, strict=True)]
    return all_states, *last


def _biases(g, bias, size, order):
    """The bias of the inputs in ONNX's order, and zeros for that of the states."""
    zeros = g.constant(np.zeros(len(order) * size), bias.dtype)
    return g.Concat(_blocks(g, bias, size, order), zeros, axis=0)


@lowers("rnn", cast="out")
def rnn(g, x, weight, recurrent, bias, h0, *, lengths, reverse, nonlinearity):
    both = _biases(g, bias, recurrent.shape[0], (0,))
    activation = "Tanh" if nonlinearity == "tanh" else "Relu"
    return _layer(
        g, "RNN", x, weight, recurrent, both, [h0], lengths, reverse, (0,),
        activations=[activation],
    )  # fmt: skip


@lowers("gru", cast="out")
def gru(g, x, weight, recurrent, bias, h0, *, lengths, reverse):
    """With linear_before_reset, as PyTorch's GRU and ours."""
    size = recurrent.shape[0]
    zeros = g.constant(np.zeros(2 * size), bias.dtype)
    both = g.Concat(_blocks(g, bias, size, GRU_ORDER), zeros, _blocks(g, bias, size, (3,)), axis=0)
    return _layer(
        g, "GRU", x, weight, recurrent, both, [h0], lengths, reverse, GRU_ORDER,
        linear_before_reset=1,
    )  # fmt: skip


@lowers("lstm", cast="out")
def lstm(g, x, weight, recurrent, bias, h0, c0, *, lengths, reverse):
    """ONNX takes both states or none: a missing one is zeros."""
    both = _biases(g, bias, recurrent.shape[0], LSTM_ORDER)
    states = [h0, c0]
    if (h0 is None) != (c0 is None):  # ONNX has both or none
        n, size = x.shape[0], recurrent.shape[0]
        zeros = g.Expand(g.number(0.0, x.dtype), g.integers([n, size]))
        states = [zeros if s is None else s for s in states]
    return _layer(g, "LSTM", x, weight, recurrent, both, states, lengths, reverse, LSTM_ORDER)


@lowers("scaled_dot_product_attention")
def attention(g, query, key, value, mask, *, causal, scale, p, seed, offset, levels):
    """In plain ops. Of grouped queries, those of one key are an axis of their own."""
    if p:
        raise ExportError("[onnx.export] attention drops weights in training: call model.eval()")
    n, heads, t, d = query.shape
    key_heads, s = key.shape[1:3]
    grouped = key_heads != heads
    query = g.Mul(query, float(scale))._replace(shape=query.shape)
    if grouped:
        query = g.reshape(query, (n, key_heads, heads // key_heads, t, d))
        key, value = g.unsqueeze(key, 2), g.unsqueeze(value, 2)
    order = [0, 1, 2, 4, 3] if grouped else [0, 1, 3, 2]
    scores = g.MatMul(query, g.Transpose(key, perm=order))
    if mask is not None:
        if grouped:
            split = (1, 1) if mask.shape[1] == 1 else (key_heads, heads // key_heads)
            mask = g.reshape(mask, (mask.shape[0], *split, *mask.shape[2:]))
        scores = _masked(g, scores, mask)
    if causal:
        last = g.Sub(g.size(s), g.size(t))
        scores = _masked(g, scores, g.LessOrEqual(g.diagonals(t, s), last))
    lengths = zip(values_of(t, g.runs), values_of(s, g.runs), strict=True)
    axis = 4 if grouped else 3
    if mask is None and (not causal or _never_longer(g, t, s, lengths)):
        weights = g.Softmax(scores, axis=axis)
    else:
        weights = softmax(g, scores, axis)
    y = g.MatMul(weights, value)
    return g.reshape(y, g.outputs[0].shape) if grouped else y


def _never_longer(g, t, s, lengths):
    """Whether each of t queries sees a key: there are never fewer keys, at any size."""
    return t == s or all(n < m for n, m in lengths)


def _masked(g, scores, mask):
    if mask.dtype.kind == "b":
        return g.Where(mask, scores, g.number(-math.inf, scores.dtype))
    return g.Add(scores, g.cast(mask, scores.dtype))


@lowers("rotate", cast="out")
def rotate(g, x, *, cos, sin):
    """Pairs of neighbours turned by angles, whose cosines and sines are given."""
    axis, width = x.ndim - 1, x.shape[-1]
    even, odd = (g.slice(x, axis, first, width, 2) for first in (0, 1))
    cos, sin = g.cast(cos, x.dtype), g.cast(sin, x.dtype)
    turned = (
        g.Sub(g.Mul(even, cos), g.Mul(odd, sin)),
        g.Add(g.Mul(even, sin), g.Mul(odd, cos)),
    )
    return g.reshape(g.Concat(*(g.unsqueeze(y, -1) for y in turned), axis=-1), x.shape)
