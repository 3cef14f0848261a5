"""Products of matrices, softmax and norms."""

import math
from typing import Any

import numpy as np

from tinygrad_like.onnx.export.emit import Emitter, Value
from tinygrad_like.onnx.export.reductions import deviation
from tinygrad_like.onnx.export.sizes import product
from tinygrad_like.onnx.export.table import lowers


@lowers("matmul", cast="out")
def matmul(g, a, b):
    return g.MatMul(a, b)


@lowers("linear", cast="out")
def linear(g, x, weight, bias):
    y = g.MatMul(x, weight)
    return y if bias is None else g.Add(y, bias)


@lowers("einsum", cast="out")
def einsum(g, *xs, subscripts):
    """Axes of length 1 broadcast here, and in ONNX only some do."""
    terms = subscripts.split("->")[0].split(",")
    lengths: dict[str, Any] = {}
    for x, term in zip(xs, terms, strict=True):
        lengths |= {c: n for c, n in zip(term, x.shape, strict=True) if n != 1 or c not in lengths}
    spread = [
        g.Expand(x, g.integers([lengths[c] for c in term]))
        if any(n == 1 != lengths[c] for c, n in zip(term, x.shape, strict=True))
        else x
        for x, term in zip(xs, terms, strict=True)
    ]
    return g.Einsum(*spread, equation=subscripts)


@lowers("det")
def det(g, x):
    return g.Det(x)


# Softmax: a row of -inf alone is a row of zeros here, and NaN in ONNX


def softmax(g: Emitter, x: Value, axis: int) -> Value:
    """exp(x) / sum(exp(x)), and 0 where all of a row is -inf."""
    hidden = g.Equal(g.reduce("ReduceMax", x, [axis]), -math.inf)
    return g.Where(hidden, g.number(0.0, x.dtype), g.Softmax(x, axis=axis))


@lowers("softmax")
def _softmax(g, x, *, axis):
    return softmax(g, x, axis % x.ndim) if x.ndim else g.Exp(g.Sub(x, x))


@lowers("log_softmax")
def log_softmax(g, x, *, axis):
    """-inf in a row of -inf alone."""
    if not x.ndim:
        return g.Sub(x, x)
    hidden = g.Equal(g.reduce("ReduceMax", x, [axis % x.ndim]), -math.inf)
    return g.Where(hidden, g.number(-math.inf, x.dtype), g.LogSoftmax(x, axis=axis % x.ndim))


@lowers("softmax_cross_entropy")
def softmax_cross_entropy(g, logits, labels):
    chosen = g.GatherElements(
        log_softmax(g, logits, axis=-1), g.unsqueeze(g.cast(labels, np.int64), -1), axis=-1
    )
    return g.Neg(g.Squeeze(chosen, g.constant([-1])))


# Norms


def _parameters_ndim(*parameters):
    return max((p.ndim for p in parameters if p is not None), default=1)


def affine(g: Emitter, y: Value, weight: Value | None, bias: Value | None) -> Value:
    """y * weight + bias, where there are any."""
    y = y if weight is None else g.Mul(y, weight)
    return y if bias is None else g.Add(y, bias)


@lowers("layer_norm", cast="out")
def layer_norm(g, x, weight, bias, *, eps):
    """Over as many last axes as the parameters have."""
    k = _parameters_ndim(weight, bias)
    shape = x.shape[len(x.shape) - k :]
    if weight is None:
        weight = g.Expand(g.number(1.0, x.dtype), g.integers(shape))
    return g.LayerNormalization(x, weight, bias, axis=-k, epsilon=float(eps))


@lowers("rms_norm", cast="out")
def rms_norm(g, x, weight, *, eps):
    axes = list(range(x.ndim))[-_parameters_ndim(weight) :]
    squares = g.reduce("ReduceMean", g.Mul(x, x), axes)
    return affine(g, g.Div(x, g.Sqrt(g.Add(squares, float(eps)))), weight, None)


def _channels(g, p, ndim):
    """A parameter (C,) beside x (N, C, ...)."""
    return None if p is None else g.Reshape(p, g.integers([-1, *(1,) * (ndim - 2)]))


def _normed(g, x, axes, eps):
    """(x less its mean over its deviation, the mean, the variance)."""
    centred = deviation(g, x, axes)
    variance = g.reduce("ReduceMean", g.Mul(centred, centred), axes)
    y = g.Div(centred, g.Sqrt(g.Add(variance, float(eps))))
    return y, g.reduce("ReduceMean", x, axes), variance


@lowers("batch_norm", cast="out")
def batch_norm(g, x, weight, bias, *, eps):
    """With the statistics of the batch, which are returned, too."""
    axes = [0, *range(2, x.ndim)]
    y, mean, variance = _normed(g, x, axes, eps)
    flat = g.constant([-1])
    y = affine(g, y, _channels(g, weight, x.ndim), _channels(g, bias, x.ndim))
    return y, g.Reshape(mean, flat), g.Reshape(variance, flat)


@lowers("group_norm", cast="out")
def group_norm(g, x, weight, bias, *, groups, eps):
    """Over rows that each hold one group of one example."""
    n, *rest = x.shape
    per_group = product(rest, g.runs)
    size = (
        per_group // groups
        if isinstance(per_group, int)
        else type(per_group)(tuple(v // groups for v in per_group.values))
    )
    rows = g.reshape(x, (n, groups, size))
    y = g.reshape(_normed(g, rows, [2], eps)[0]._replace(shape=rows.shape), x.shape)
    return affine(g, y, _channels(g, weight, x.ndim), _channels(g, bias, x.ndim))
