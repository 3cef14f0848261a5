"""Losses of yes or no: each element is a probability, or a logit, of its own."""

import math

from tinygrad_like.engine import check_flag, check_number
from tinygrad_like.losses.checks import (
    check_floating,
    check_probabilities,
    matched,
    reduced,
    shared,
    weight_beside,
)
from tinygrad_like.ops.arrays.shape import normal_axes
from tinygrad_like.ops.elements.activation import softplus
from tinygrad_like.ops.elements.compare import equal
from tinygrad_like.ops.elements.elementwise import clip, exp, log, log1p, square, where
from tinygrad_like.ops.reductions.reduce import sum


def binary_cross_entropy(p, target, *, weight=None, label_smoothing=0.0, reduction="mean"):
    """-(target log p + (1 - target) log(1 - p)), for probabilities p.

    The logarithms stop at -100, as PyTorch's do, and have no slope there. Better pass logits to
    `binary_cross_entropy_with_logits`, whose arguments these are: a probability that has rounded
    to 0 or 1 cannot learn.

    Raises ValueError for a p or a target outside 0 to 1.
    """
    name = "binary_cross_entropy"
    target = matched(name, "p", p, "target", target)
    hint = "; for logits there is binary_cross_entropy_with_logits"
    check_probabilities(name, "p", p, 0, hint)
    check_probabilities(name, "target", target)
    target = _smoothed(name, target, label_smoothing)
    log_yes, log_no = _clamped(log, p, 0), _clamped(log1p, -p, -1)
    losses = -(target * log_yes + (1 - target) * log_no)
    return reduced(name, _weighted(name, losses, weight), reduction)


def _clamped(logarithm, x, pole):
    """max(logarithm(x), -100), without asking for the logarithm at its pole."""
    at_pole = equal(x, pole)
    return where(at_pole, -100, clip(logarithm(where(at_pole, 1, x)), -100))


def _smoothed(name, target, label_smoothing):
    share = check_number(name, "label_smoothing", label_smoothing, 0, 1, "0 to 1")
    return (1 - share) * target + share / 2 if share else target


def _weighted(name, losses, weight):
    weight = weight_beside(name, "weight", weight, losses)
    return losses if weight is None else weight * losses


def binary_cross_entropy_with_logits(
    logits, target, *, weight=None, pos_weight=None, label_smoothing=0.0, reduction="mean"
):
    """`binary_cross_entropy` of p = sigmoid(logits), exact for logits of any size.

    With log p = -softplus(-logits) and log(1 - p) = -softplus(logits) nothing cancels: confident
    right answers keep their small loss and gradient.

    Args:
        logits: of any shape and size; inf and -inf are certain.
        target: of the same shape, from 0 to 1.
        weight: multiplies the losses, to whose shape it broadcasts. The mean is over the elements,
            whatever their weights.
        pos_weight: multiplies the part of the loss that the target weighs: above 1 it raises the
            recall, below 1 the precision. It broadcasts, so one for each class is of shape (c,).
        label_smoothing: the share of each target, from 0 to 1, that moves to one half.
        reduction: "mean", "sum" or "none".

    Raises ValueError for a target outside 0 to 1.
    """
    name = "binary_cross_entropy_with_logits"
    target = matched(name, "logits", logits, "target", target)
    check_probabilities(name, "target", target)
    target = _smoothed(name, target, label_smoothing)
    pos_weight = weight_beside(name, "pos_weight", pos_weight, logits)
    yes = shared(target, softplus(-logits))
    losses = (yes if pos_weight is None else pos_weight * yes) + shared(
        1 - target, softplus(logits)
    )
    return reduced(name, _weighted(name, losses, weight), reduction)


def binary_focal_with_logits(
    logits, target, *, gamma=2.0, alpha=0.25, weight=None, label_smoothing=0.0, reduction="mean"
):
    """Cross entropy in which examples that are right already weigh little.

        alpha target (1 - p)^gamma (-log p) + (1 - alpha) (1 - target) p^gamma (-log(1 - p))

    for p = sigmoid(logits), exact for logits of any size.

    Args:
        logits, target, weight, label_smoothing, reduction: as in
            `binary_cross_entropy_with_logits`.
        gamma: at least 0, which is no focus at all.
        alpha: the weight of yes, from 0 to 1; None for both parts as they are.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection".

    >>> round(float(binary_focal_with_logits(Tensor([0.0]), Tensor([1.0]))), 4)
    0.0433
    """
    name = "binary_focal_with_logits"
    gamma = check_number(name, "gamma", gamma, 0)
    alpha = None if alpha is None else check_number(name, "alpha", alpha, 0, 1)
    target = matched(name, "logits", logits, "target", target)
    check_probabilities(name, "target", target)
    target = _smoothed(name, target, label_smoothing)
    not_yes, not_no = softplus(-logits), softplus(logits)  # -log p, -log(1 - p)
    yes = _focused(shared(target, not_yes), not_no, gamma)
    no = _focused(shared(1 - target, not_no), not_yes, gamma)
    losses = yes + no if alpha is None else alpha * yes + (1 - alpha) * no
    return reduced(name, _weighted(name, losses, weight), reduction)


def _focused(losses, others, gamma):
    """losses exp(-gamma others), which is 0 where an infinite loss has a factor of 0."""
    return shared(exp(-gamma * others), losses) if gamma else losses


def dice(p, target, *, axis=None, smooth=1.0, squared=False, reduction="mean"):
    """1 - (2 sum(p target) + smooth) / (sum(p) + sum(target) + smooth): soft masks that overlap.

    Args:
        p: probabilities, such as sigmoid(logits) or softmax(logits), of any shape.
        target: of the same shape, from 0 to 1.
        axis: the axes that a mask spans; by default all but the first, so that each example has
            one loss. For classes of their own along the last axis of (n, h, w, c) pass (1, 2).
        smooth: a positive number that decides about empty masks.
        squared: whether the sums below the line are of squares.
        reduction: "mean", "sum" or "none".

    Source: Milletari et al. 2016, "V-Net". Raises ValueError for values outside 0 to 1.

    >>> float(dice(Tensor([[1.0, 0.0]]), Tensor([[0.0, 1.0]])))
    0.6666666269302368
    """
    name = "dice"
    smooth = check_number(name, "smooth", smooth, math.ulp(0), expected="a positive number")
    squared = check_flag(name, "squared", squared)
    check_floating(name, "p", p)
    target = matched(name, "p", p, "target", target)
    check_probabilities(name, "p", p, hint="; for logits take their sigmoid or softmax")
    check_probabilities(name, "target", target)
    axes = tuple(range(1, p.ndim)) if axis is None else normal_axes(name, axis, p.ndim)
    both = sum(p * target, axis=axes)
    size = square(p) + square(target) if squared else p + target
    losses = 1 - (2 * both + smooth) / (sum(size, axis=axes) + smooth)
    return reduced(name, losses, reduction)
