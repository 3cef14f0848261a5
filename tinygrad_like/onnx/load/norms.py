"""Ops of ONNX that normalise, and losses."""

import math

import numpy as np

from tinygrad_like.engine import astype
from tinygrad_like.onnx.load.dtypes import dtype_of
from tinygrad_like.onnx.load.errors import Refused
from tinygrad_like.onnx.load.shapes import refuse_unless
from tinygrad_like.onnx.load.table import axis_of, runs
from tinygrad_like.ops.arrays import shape as arrays
from tinygrad_like.ops.elements.compare import equal, not_equal
from tinygrad_like.ops.elements.elementwise import abs, rsqrt, sqrt, where
from tinygrad_like.ops.indexing import index as indexing
from tinygrad_like.ops.neural import norm
from tinygrad_like.ops.neural.softmax import log_softmax
from tinygrad_like.ops.reductions import reduce


@runs("BatchNormalization", since=7)
def batch_normalization(
    x, scale, bias, mean, var, *, epsilon=1e-5, momentum=0.9, training_mode=0, spatial=1, outputs=1
):
    """Running statistics are returned, not kept: the graph says what becomes of them."""
    if not spatial:
        raise Refused("[onnx] BatchNormalization with spatial=0")
    if not training_mode:
        if outputs > 1:
            raise Refused("[onnx] BatchNormalization with outputs of training")
        factor = scale * rsqrt(var + epsilon)
        shape = (-1, *(1,) * (x.ndim - 2))
        factor, shift = (arrays.reshape(p, shape=shape) for p in (factor, bias - mean * factor))
        y = x * factor + shift
        return y if y.dtype == x.dtype else astype(y, dtype=x.dtype)
    y, m, v = norm.batch_norm(x, scale, bias, eps=epsilon)
    rest = (mean * momentum + m * (1 - momentum), var * momentum + v * (1 - momentum))
    return (y, *rest)[:outputs]


@runs("InstanceNormalization", since=6)
def instance_normalization(x, scale, bias, *, epsilon=1e-5):
    return norm.group_norm(x, scale, bias, groups=x.shape[1], eps=epsilon)


@runs("GroupNormalization", since=21)
def group_normalization(x, scale, bias, *, num_groups, epsilon=1e-5, stash_type=1):
    return norm.group_norm(x, scale, bias, groups=num_groups, eps=epsilon)


@runs("GroupNormalization", since=18)
def group_normalization_of_groups(x, scale, bias, *, num_groups, epsilon=1e-5, stash_type=1):
    """Until version 21 there is a scale for each group, not for each channel."""
    places = np.repeat(np.arange(num_groups), x.shape[1] // num_groups)
    scale, bias = (indexing.take(p, places, 0) for p in (scale, bias))
    return norm.group_norm(x, scale, bias, groups=num_groups, eps=epsilon)


@runs("LayerNormalization")
def layer_normalization(x, scale, bias=None, *, axis=-1, epsilon=1e-5, stash_type=1, outputs=1):
    """Where scale and bias broadcast, or the statistics are wanted, in plain ops."""
    axes = tuple(range(axis_of(axis, x.ndim), x.ndim))
    shape = tuple(x.shape[a] for a in axes)
    if outputs == 1 and shape == scale.shape and (bias is None or bias.shape == shape):
        return norm.layer_norm(x, scale, bias, eps=epsilon)
    wide = astype(x, dtype=dtype_of(stash_type, "stash_type"))
    m = reduce.mean(wide, axis=axes, keepdims=True)
    inverse = rsqrt(reduce.var(wide, axis=axes, keepdims=True) + epsilon)
    y = astype((wide - m) * inverse, dtype=x.dtype) * scale
    return (y if bias is None else y + bias, m, inverse)[:outputs]


@runs("RMSNormalization")
def rms_normalization(x, scale, *, axis=-1, epsilon=1e-5, stash_type=1):
    """Where the scale broadcasts, in plain ops."""
    axes = tuple(range(axis_of(axis, x.ndim), x.ndim))
    if tuple(x.shape[a] for a in axes) == scale.shape:
        return norm.rms_norm(x, scale, eps=epsilon)
    wide = astype(x, dtype=dtype_of(stash_type, "stash_type"))
    y = wide * rsqrt(reduce.mean(wide * wide, axis=axes, keepdims=True) + epsilon)
    return astype(y, dtype=x.dtype) * scale


@runs("LpNormalization")
def lp_normalization(x, *, axis=-1, p=2):
    """x / |x|; 0 where the norm is 0."""
    refuse_unless((1, 2), "LpNormalization", "p", p)
    if p == 1:
        size = reduce.sum(abs(x), axis=axis, keepdims=True)
    else:
        size = reduce.norm(x, axis=axis, keepdims=True)
    none = equal(size, 0)
    return where(none, 0.0, x / where(none, 1.0, size))


@runs("MeanVarianceNormalization")
def mean_variance_normalization(x, *, axes=(0, 2, 3)):
    axes = tuple(axes)
    m = reduce.mean(x, axis=axes, keepdims=True)
    return (x - m) / (sqrt(reduce.var(x, axis=axes, keepdims=True)) + 1e-9)


# Losses: scores (N, C, ...), labels (N, ...)


@runs("NegativeLogLikelihoodLoss")
def negative_log_likelihood(scores, labels, weight=None, *, ignore_index=None, reduction="mean"):
    return _loss(scores, labels, weight, ignore_index, reduction)


@runs("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy(
    scores, labels, weight=None, *, ignore_index=None, reduction="mean", outputs=1
):
    log_probabilities = log_softmax(scores, axis=1)
    loss = _loss(log_probabilities, labels, weight, ignore_index, reduction)
    return (loss, log_probabilities)[:outputs]


def _loss(scores, labels, weight, ignored, reduction):
    """The negative score at the label, times the label's weight; the mean is over the weights."""
    refuse_unless(("none", "sum", "mean"), "a loss", "reduction", reduction)
    counted = None
    if ignored is not None:
        counted = not_equal(labels, ignored)
        labels = where(counted, labels, 0)
    labels = astype(labels, dtype=np.int64)
    places = arrays.expand_dims(labels, 1)
    loss = arrays.squeeze(-indexing.take_along_axis(scores, places, 1), 1)
    share = None if weight is None else indexing.take(weight, labels, 0)
    if counted is not None:
        share = astype(counted, dtype=scores.dtype) if share is None else where(counted, share, 0.0)
        loss = where(counted, loss, 0.0)
    loss = loss if share is None else loss * share
    if reduction == "none":
        return loss
    total = reduce.sum(loss)
    if reduction == "sum":
        return total
    return total / (math.prod(labels.shape) if share is None else reduce.sum(share))
