"""Losses with a margin: a score that is right by more than the margin costs nothing."""

from tinygrad_like.engine import astype, check_integer, check_number
from tinygrad_like.losses.checks import (
    as_array_or_tensor,
    check_floating,
    check_label_shape,
    check_probabilities,
    check_signs,
    matched,
    reduced,
    shared,
    weight_beside,
    weight_of_classes,
)
from tinygrad_like.ops.arrays.shape import expand_dims
from tinygrad_like.ops.elements.activation import relu, softplus
from tinygrad_like.ops.elements.compare import equal, greater_equal, logical_and, logical_not
from tinygrad_like.ops.elements.elementwise import square, where
from tinygrad_like.ops.indexing.index import check_labels, one_hot, take, take_along_axis
from tinygrad_like.ops.reductions.reduce import cumsum, max, mean, sum


def hinge(scores, target, *, margin=1.0, p=1, reduction="mean"):
    """max(0, margin - target score)^p, for targets of 1 and -1: the support vector machine's.

    `p` is 1 or 2. At the kink the gradient is 0. Raises ValueError for another p or target.
    """
    name = "hinge"
    margin, p = check_number(name, "margin", margin), check_integer(name, "p", p, 1, 2)
    target = matched(name, "scores", scores, "target", target)
    check_signs(name, "target", target)
    return reduced(name, _power(relu(margin - target * scores), p), reduction)


def _power(x, p):
    return x if p == 1 else square(x)


def soft_margin(scores, target, *, reduction="mean"):
    """log(1 + exp(-target score)), for targets of 1 and -1, exact for scores of any size."""
    name = "soft_margin"
    target = matched(name, "scores", scores, "target", target)
    check_signs(name, "target", target)
    return reduced(name, softplus(-target * scores), reduction)


def multi_margin(scores, labels, *, p=1, margin=1.0, weight=None, reduction="mean"):
    """sum over the other classes i of max(0, margin - score[label] + score[i])^p, divided by c.

    Args:
        scores: (..., c).
        labels: (...) integers from 0 to c - 1.
        p: 1 or 2.
        weight: (c,): a row counts as much as its label's weight. The mean is over the rows,
            whatever their weights.
        reduction: "mean" (over the rows), "sum" or "none".

    Source: Crammer and Singer 2001. Errors as in `cross_entropy`.
    """
    name = "multi_margin"
    p, margin = check_integer(name, "p", p, 1, 2), check_number(name, "margin", margin)
    check_floating(name, "scores", scores)
    labels = as_array_or_tensor(labels, scores)
    check_label_shape(name, "scores", scores, labels)
    check_labels(name, "labels", labels, scores.shape[-1])
    columns = expand_dims(labels, -1)
    too_near = margin - take_along_axis(scores, columns, -1) + scores
    other = equal(one_hot(labels, scores.shape[-1]), 0)
    losses = where(other, _power(relu(too_near), p), 0)
    if weight is not None:
        weight = weight_of_classes(name, weight, scores)
        losses = expand_dims(take(weight, labels), -1) * losses
    return reduced(name, mean(losses, axis=-1), reduction)


def multilabel_margin(scores, labels, *, reduction="mean"):
    """sum over labels j and other classes i of max(0, 1 - score[j] + score[i]), divided by c.

    Args:
        scores: (..., c).
        labels: (..., c) integers: the classes of a row, then -1; what comes after it is not read.
        reduction: "mean" (over the rows), "sum" or "none".

    Raises:
        ValueError: for shapes that differ.
        TypeError: for labels that are not integers.
        IndexError: for a label of c or more, or below -1.
    """
    name = "multilabel_margin"
    check_floating(name, "scores", scores)
    labels = as_array_or_tensor(labels, scores)
    if labels.shape != scores.shape or not scores.ndim:
        raise ValueError(f"[{name}] scores are {scores.shape}, labels are {labels.shape}, expected "
                         "(..., classes) for both; fill the labels up with -1")  # fmt: skip
    if labels.dtype.kind not in "iu":
        raise TypeError(f"[{name}] labels are of {labels.dtype}, expected integers")
    named = equal(cumsum(astype(equal(labels, -1), dtype=int), axis=-1), 0)
    labels = where(named, labels, 0)
    check_labels(name, "labels", labels, scores.shape[-1])
    hits = logical_and(greater_equal(one_hot(labels, scores.shape[-1]), 1), expand_dims(named, -1))
    other = logical_not(max(hits, axis=-2))
    gaps = 1 - expand_dims(take_along_axis(scores, labels, -1), -1) + expand_dims(scores, -2)
    counted = logical_and(expand_dims(named, -1), expand_dims(other, -2))
    losses = sum(where(counted, relu(gaps), 0), axis=(-2, -1)) / scores.shape[-1]
    return reduced(name, losses, reduction)


def multilabel_soft_margin(scores, target, *, weight=None, reduction="mean"):
    """`binary_cross_entropy_with_logits`, averaged over the classes, which lie along the last axis.

    Args:
        scores: (..., c).
        target: of the same shape, from 0 to 1.
        weight: (c,), or of a shape that broadcasts to the scores'.
        reduction: "mean" (over the rows), "sum" or "none".
    """
    name = "multilabel_soft_margin"
    target = matched(name, "scores", scores, "target", target)
    if not scores.ndim:
        raise ValueError(f"[{name}] scores are a number, expected at least one axis, of classes")
    check_probabilities(name, "target", target)
    weight = weight_beside(name, "weight", weight, scores)
    losses = shared(target, softplus(-scores)) + shared(1 - target, softplus(scores))
    losses = losses if weight is None else weight * losses
    return reduced(name, mean(losses, axis=-1), reduction)
