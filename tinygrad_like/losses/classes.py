"""Losses of one class of c: scores (..., c) and labels (...), or probabilities (..., c)."""

from functools import partial

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING
from tinygrad_like.engine import all_examples, check_integer, check_number
from tinygrad_like.losses.checks import (
    as_array_or_tensor,
    check_floating,
    check_label_shape,
    check_probabilities,
    in_dtype,
    raw,
    reduced,
    shared,
    sum_over,
    weight_of_classes,
    weighted_mean,
)
from tinygrad_like.ops.arrays.shape import reshape
from tinygrad_like.ops.elements.compare import equal
from tinygrad_like.ops.elements.elementwise import exp, expm1, log, where
from tinygrad_like.ops.indexing.index import check_labels, take, take_along_axis
from tinygrad_like.ops.neural.softmax import log_softmax, softmax_cross_entropy
from tinygrad_like.ops.reductions.reduce import mean, sum


def cross_entropy(
    logits, labels, *, weight=None, label_smoothing=0.0, ignore_index=None, reduction="mean"
):
    """-log softmax(logits)[label]; classes lie along the last axis.

    Args:
        logits: (..., c), of any size; -inf rules a class out.
        labels: (...) integers from 0 to c - 1, or (..., c) probabilities (floating).
        weight: (c,): the terms of a class are multiplied by its weight. The mean over labels is
            divided by the sum of their weights; that over probabilities by the number of rows.
        label_smoothing: the share of each label, from 0 to 1, that is spread over all classes.
        ignore_index: rows with this label give 0 and do not count in the mean. If there is no
            other row, the mean does not exist: ValueError (with "sum" the loss is 0).
        reduction: "mean" (over the rows), "sum" or "none".

    Raises:
        ValueError: for shapes that do not fit, and for a mean over no rows.
        TypeError: for labels that are neither integers nor probabilities of the logits' shape.
        IndexError: for a label out of range.

    >>> float(cross_entropy(Tensor([[0.0, 0.0], [0.0, 1e4]]), [0, 1], reduction="sum"))
    0.6931471824645996
    """
    name = "cross_entropy"
    check_floating(name, "logits", logits)
    label_smoothing = check_number(name, "label_smoothing", label_smoothing, 0, 1, "0 to 1")
    labels = as_array_or_tensor(labels, logits)
    weight = None if weight is None else weight_of_classes(name, weight, logits)
    if labels.dtype.kind in FLOATING and logits.ndim and labels.shape == logits.shape:
        if ignore_index is not None:
            raise ValueError(f"[{name}] ignore_index needs integer labels, got probabilities")
        check_probabilities(name, "labels", labels)
        losses = _soft_cross_entropy(logits, labels, weight, label_smoothing)
        return reduced(name, losses, reduction)

    def smoothed(rows, labels):
        log_q = log_softmax(rows)
        each = log_q if weight is None else shared(weight, -log_q) * -1
        chosen = _chosen(name, log_q, labels, weight)
        return (1 - label_smoothing) * chosen - label_smoothing * mean(each, axis=-1)

    def weighed(rows, labels):
        return _chosen(name, log_softmax(rows), labels, weight)

    formula = softmax_cross_entropy if weight is None else weighed
    formula = smoothed if label_smoothing else formula
    return _over_rows(name, "logits", formula, logits, labels, weight, ignore_index, reduction)


def nll(log_probs, labels, *, weight=None, ignore_index=None, reduction="mean"):
    """-log_probs[label], the negative log-likelihood: log_probs (..., c), integer labels (...).

    The other arguments and errors are those of `cross_entropy`, which is nll after log_softmax.
    """
    check_floating("nll", "log_probs", log_probs)
    labels = as_array_or_tensor(labels, log_probs)
    weight = None if weight is None else weight_of_classes("nll", weight, log_probs)
    formula = partial(_chosen, "nll", weight=weight)
    return _over_rows(
        "nll", "log_probs", formula, log_probs, labels, weight, ignore_index, reduction
    )


def focal(
    logits,
    labels,
    *,
    gamma=2.0,
    weight=None,
    label_smoothing=0.0,
    ignore_index=None,
    reduction="mean",
):
    """(1 - p)^gamma (-log p) of the probability p that softmax(logits) gives to the label.

    Rows that are right already weigh little. `gamma` is at least 0, where it is `cross_entropy`,
    whose other arguments and errors these are. With `label_smoothing` each class has such a term,
    times its share of the label.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection".

    >>> round(float(focal(Tensor([[0.0, 0.0]]), [1])), 4)
    0.1733
    """
    name = "focal"
    check_floating(name, "logits", logits)
    gamma = check_number(name, "gamma", gamma, 0)
    label_smoothing = check_number(name, "label_smoothing", label_smoothing, 0, 1, "0 to 1")
    labels = as_array_or_tensor(labels, logits)
    weight = None if weight is None else weight_of_classes(name, weight, logits)

    def focused(losses):
        return shared(_power_of_rest(losses, gamma), losses)

    def of_label(rows, labels):
        losses = focused(_chosen(name, log_softmax(rows), labels))
        return losses if weight is None else take(weight, labels) * losses

    def smoothed(rows, labels):
        each = focused(-log_softmax(rows))
        each = each if weight is None else shared(weight, each)
        chosen = _chosen(name, -each, labels)
        return (1 - label_smoothing) * chosen + label_smoothing * mean(each, axis=-1)

    formula = smoothed if label_smoothing else of_label
    return _over_rows(name, "logits", formula, logits, labels, weight, ignore_index, reduction)


def _power_of_rest(losses, gamma):
    """(1 - p)^gamma for losses of -log p, with the gradient 0 where p has rounded to 1."""
    if gamma == 0:
        return exp(0 * losses)
    certain = equal(losses, 0)
    rest = -expm1(-where(certain, 1, losses))
    return where(certain, 0, exp(gamma * log(rest)))


def _soft_cross_entropy(logits, p, weight, label_smoothing):
    """-sum(p log softmax(logits)) of each row; a class that is ruled out (-inf) may have p = 0."""
    p = in_dtype(p, logits.dtype)
    if label_smoothing:
        p = (1 - label_smoothing) * p + label_smoothing / logits.shape[-1]
    if weight is not None:
        p = weight * p
    return sum(shared(p, -log_softmax(logits)), axis=-1)


def _chosen(name, log_q, labels, weight=None):
    """-log_q[label] of each row, times the label's weight: (n, c) and (n,) -> (n,)."""
    check_labels(name, "labels", labels, log_q.shape[1])
    losses = -reshape(take_along_axis(log_q, labels[:, None], -1), labels.shape)
    return losses if weight is None else shared(take(weight, labels), losses)


def _over_rows(name, what, formula, scores, labels, weight, ignore_index, reduction):
    """formula(rows, labels), (n, c) and (n,) -> (n,), without the rows that are ignored."""
    if ignore_index is not None:
        ignore_index = check_integer(name, "ignore_index", ignore_index)
    check_label_shape(name, what, scores, labels)
    shape, count = labels.shape, labels.size
    rows = scores if scores.ndim == 2 else reshape(scores, (count, scores.shape[-1]))
    labels = reshape(labels, (-1,)) if labels.ndim != 1 else labels
    kept = None if ignore_index is None else labels != ignore_index
    if kept is not None and all_examples(raw(kept)).all():
        kept = None
    if kept is not None:
        # Replaced, not multiplied by 0: what is ignored may be NaN.
        labels = where(kept, labels, 0)
        losses = where(kept, formula(where(kept[:, None], rows, 0), labels), 0)
    else:
        losses = formula(rows, labels)
    if reduction == "none":
        return reshape(losses, shape)
    if reduction == "mean" and kept is not None:
        count = raw(kept).sum()  # inside vmap each example has its own
        if not all_examples(count).all():
            raise ValueError(
                f"[{name}] all {labels.size} labels are ignore_index={ignore_index}: there is no "
                "mean over no rows; skip the batch, or use reduction='sum'"
            )
        if weight is None:
            number = int(count) if type(count) not in backend.STAND_INS else count
            return sum_over(losses, number)
    if reduction == "mean" and weight is not None and losses.size:
        weight = take(weight, labels)
        weight = weight if kept is None else where(kept, weight, 0)
        return weighted_mean(name, losses, weight)
    return reduced(name, losses, reduction)
