"""Losses of vectors: how near they lie to each other, along an axis of features."""

import math
import operator

import numpy as np

from tinygrad_like.engine import Tensor, broadcast_to, check_flag, check_number, composed
from tinygrad_like.losses.checks import (
    as_array_or_tensor,
    check_floating,
    check_signs,
    in_dtype,
    matched,
    reduced,
)
from tinygrad_like.losses.classes import cross_entropy
from tinygrad_like.ops.arrays.shape import swapaxes
from tinygrad_like.ops.elements.activation import relu
from tinygrad_like.ops.elements.compare import equal
from tinygrad_like.ops.elements.elementwise import maximum, minimum, subtract, where
from tinygrad_like.ops.matrices.linalg import matmul
from tinygrad_like.ops.reductions.reduce import norm, sum


@composed
def cosine_similarity(a, b, *, axis=-1, eps=1e-8):
    """sum(a b) / (|a| |b|) along an axis: the cosine of the angle between vectors.

    Args:
        a, b: floating, of shapes that broadcast.
        eps: a length below it counts as eps, so that the similarity to a zero vector is 0.

    >>> float(cosine_similarity(Tensor([1.0, 0.0]), Tensor([2.0, 0.0])))
    1.0
    """
    name = "cosine_similarity"
    eps = check_number(name, "eps", eps, math.ulp(0), expected="a positive number")
    check_floating(name, "a", a)
    b = in_dtype(as_array_or_tensor(b, a), a.dtype)
    a, b = _of_one_shape(a, b)
    return sum(_unit(a, axis, eps) * _unit(b, axis, eps), axis=axis)


def _of_one_shape(a, b):
    """Two arrays or Tensors, broadcast to each other."""
    if a.shape == b.shape:
        return a, b
    shape = subtract(a, b).shape
    return broadcast_to(a, shape), broadcast_to(b, shape)


def _unit(x, axis, eps):
    """Vectors divided by their lengths, or by eps if that is more."""
    return x / maximum(norm(x, axis=axis, keepdims=True), eps)


@composed
def pairwise_distance(a, b, *, p=2.0, eps=1e-6, keepdims=False):
    """The norm of order p of a - b + eps along the last axis: (..., d) -> (...).

    `eps` keeps the gradient finite where a and b agree. a and b broadcast.

    >>> round(float(pairwise_distance(Tensor([0.0, 0.0]), Tensor([3.0, 4.0]))), 4)
    5.0
    """
    name = "pairwise_distance"
    eps = check_number(name, "eps", eps, 0)
    check_floating(name, "a", a)
    b = in_dtype(as_array_or_tensor(b, a), a.dtype)
    return norm(subtract(a, b) + eps, ord=p, axis=-1, keepdims=keepdims)


def hinge_embedding(distance, target, *, margin=1.0, reduction="mean"):
    """The distance itself where the target is 1, max(0, margin - distance) where it is -1.

    Source: Hadsell et al. 2006. Raises ValueError for other targets.
    """
    name = "hinge_embedding"
    margin = check_number(name, "margin", margin)
    target = matched(name, "distance", distance, "target", target)
    check_signs(name, "target", target)
    losses = where(equal(target, -1), relu(margin - distance), distance)
    return reduced(name, losses, reduction)


def margin_ranking(a, b, target, *, margin=0.0, reduction="mean"):
    """max(0, margin - target (a - b)): a shall be larger where the target is 1, b where it is -1.

    Raises ValueError for other targets, and unless a, b and target have one shape.
    """
    name = "margin_ranking"
    margin = check_number(name, "margin", margin)
    b = matched(name, "a", a, "b", b)
    target = matched(name, "a", a, "target", target)
    check_signs(name, "target", target)
    return reduced(name, relu(margin - target * (a - b)), reduction)


def cosine_embedding(a, b, target, *, margin=0.0, reduction="mean"):
    """1 - cos of the angle between a and b where the target is 1, max(0, cos - margin) where -1.

    Args:
        a, b: (..., d).
        target: (...), 1 and -1.
        margin: from -1 to 1.
    """
    name = "cosine_embedding"
    margin = check_number(name, "margin", margin, -1, 1)
    b = matched(name, "a", a, "b", b)
    cosine = cosine_similarity(a, b)
    target = matched(name, "cosine", cosine, "target", target)
    check_signs(name, "target", target)
    losses = where(equal(target, -1), relu(cosine - margin), 1 - cosine)
    return reduced(name, losses, reduction)


@composed
def triplet_margin(
    anchor, positive, negative, *, margin=1.0, p=2.0, eps=1e-6, swap=False, distance=None,
    reduction="mean",
):  # fmt: skip
    """max(0, d(anchor, positive) - d(anchor, negative) + margin).

    Args:
        anchor, positive, negative: (..., d) of one shape.
        margin: by how much the negative shall lie farther away.
        p, eps: of the distance d, `pairwise_distance`.
        swap: whether the distance of positive and negative counts, where it is the smaller one
            (Balntas et al. 2016, "Learning local feature descriptors with triplets").
        distance: another d, a function of two of the Tensors that returns one distance for each
            pair; p and eps are not used then.
        reduction: "mean", "sum" or "none".

    >>> float(triplet_margin(Tensor([0.0]), Tensor([1.0]), Tensor([3.0]), margin=3.0, eps=0.0))
    1.0
    """
    name = "triplet_margin"
    margin, swap = check_number(name, "margin", margin), check_flag(name, "swap", swap)
    positive = matched(name, "anchor", anchor, "positive", positive)
    negative = matched(name, "anchor", anchor, "negative", negative)

    def p_distance(a, b):
        return pairwise_distance(a, b, p=p, eps=eps)

    distance = p_distance if distance is None else distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced(name, relu(near - far + margin), reduction)


def info_nce(queries, keys, *, temperature=0.07, normalize=True, symmetric=False, reduction="mean"):
    """Which of all keys belongs to a query? The cross entropy of their similarities.

    Key i belongs to query i, and all other keys of the batch are its negatives.

    Args:
        queries: (..., n, d).
        keys: (..., m, d) with m >= n; those from n on are negatives of every query.
        temperature: divides the similarities: a positive number or a Tensor without axes, which is
            learned then.
        normalize: whether vectors are divided by their lengths, for cosines as similarities.
        symmetric: whether the loss of keys asking for queries is averaged in, as in CLIP; m = n.
        reduction: "mean" (over the queries), "sum" or "none".

    Sources: van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding";
    Radford et al. 2021 (CLIP).
    """
    name = "info_nce"
    normalize = check_flag(name, "normalize", normalize)
    symmetric = check_flag(name, "symmetric", symmetric)
    check_floating(name, "queries", queries)
    keys = in_dtype(as_array_or_tensor(keys, queries), queries.dtype)
    fits = queries.ndim >= 2 and queries.ndim == keys.ndim
    fits = fits and queries.shape[:-2] == keys.shape[:-2] and queries.shape[-1] == keys.shape[-1]
    enough = operator.eq if symmetric else operator.le
    if not fits or not enough(queries.shape[-2], keys.shape[-2]):
        raise ValueError(
            f"[{name}] queries are {queries.shape}, keys are {keys.shape}, expected "
            f"(..., n, d) and (..., {'n' if symmetric else 'm >= n'}, d)"
        )
    if not isinstance(temperature, Tensor):
        temperature = check_number(
            name, "temperature", temperature, math.ulp(0), expected="a positive number"
        )
    if normalize:
        queries, keys = _unit(queries, -1, 1e-12), _unit(keys, -1, 1e-12)
    logits = matmul(queries, swapaxes(keys, -1, -2)) / temperature
    losses = _own_column(logits)
    if symmetric:
        losses = 0.5 * (losses + _own_column(swapaxes(logits, -1, -2)))
    return reduced(name, losses, reduction)


def _own_column(logits):
    """The cross entropy of each row i with the label i: (..., n, m) -> (..., n)."""
    labels = np.broadcast_to(np.arange(logits.shape[-2]), logits.shape[:-1])
    return cross_entropy(logits, labels, reduction="none")
