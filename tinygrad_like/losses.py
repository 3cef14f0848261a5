"""Losses: what to minimise. Each compares predictions with targets and reduces to one number.

    numbers        mse  l1  huber                                  one shape for both
    yes or no      binary_cross_entropy  .._with_logits            one shape for both
    one of c       cross_entropy  nll                              (..., c) and labels (...)
    distributions  cross_entropy (with probabilities)  kl_divergence

`reduction` is "mean", "sum" or "none" (the losses one by one). Shapes must match exactly: a target
(n,) against a prediction (n, 1) would broadcast to (n, n), train, and learn nothing. A target takes
the dtype of the prediction, and gets a gradient if it is a Tensor that requires one. NaN is let
through, so that it shows in the loss.
"""

import math
from functools import partial

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING, is_half
from tinygrad_like.engine import (
    Tensor,
    all_examples,
    astype,
    check_integer,
    check_number,
)
from tinygrad_like.engine.errors import describe
from tinygrad_like.ops.activation import softplus
from tinygrad_like.ops.compare import equal, logical_and
from tinygrad_like.ops.elementwise import abs, clip, log, log1p, square, where
from tinygrad_like.ops.index import check_labels, take_along_axis
from tinygrad_like.ops.reduce import mean, sum
from tinygrad_like.ops.shape import reshape
from tinygrad_like.ops.softmax import log_softmax, softmax_cross_entropy

# Numbers


def mse(prediction, target, *, reduction="mean"):
    """(prediction - target)^2, the squared error.

    >>> float(mse(Tensor([1.0, 2.0]), Tensor([1.0, 4.0])))
    2.0
    """
    target = _matched("mse", "prediction", prediction, "target", target)
    return _reduced("mse", square(prediction - target), reduction)


def l1(prediction, target, *, reduction="mean"):
    """|prediction - target|, the absolute error; its gradient at 0 is 0."""
    target = _matched("l1", "prediction", prediction, "target", target)
    return _reduced("l1", abs(prediction - target), reduction)


def huber(prediction, target, *, delta=1.0, reduction="mean"):
    """With d = prediction - target: d^2 / 2 where |d| <= delta, delta (|d| - delta / 2) beyond.

    Source: Huber 1964. Raises ValueError unless delta is positive.
    """
    delta = check_number("huber", "delta", delta, math.ulp(0), expected="a positive number")
    target = _matched("huber", "prediction", prediction, "target", target)
    d = prediction - target
    near = clip(d, -delta, delta)
    return _reduced("huber", near * (d - 0.5 * near), reduction)


# Yes or no


def binary_cross_entropy(p, target, *, reduction="mean"):
    """-(target log p + (1 - target) log(1 - p)), for probabilities p.

    The logarithms stop at -100, as PyTorch's do, and have no slope there. Better pass logits to
    `binary_cross_entropy_with_logits`: a probability that has rounded to 0 or 1 cannot learn.

    Raises ValueError for a p or a target outside 0 to 1.
    """
    name = "binary_cross_entropy"
    target = _matched(name, "p", p, "target", target)
    hint = "; for logits there is binary_cross_entropy_with_logits"
    _check_probabilities(name, "p", p, 0, hint)
    _check_probabilities(name, "target", target)
    log_yes, log_no = _clamped(log, p, 0), _clamped(log1p, -p, -1)
    return _reduced(name, -(target * log_yes + (1 - target) * log_no), reduction)


def _clamped(logarithm, x, pole):
    """max(logarithm(x), -100), without asking for the logarithm at its pole."""
    at_pole = equal(x, pole)
    return where(at_pole, -100, clip(logarithm(where(at_pole, 1, x)), -100))


def binary_cross_entropy_with_logits(logits, target, *, reduction="mean"):
    """`binary_cross_entropy` of p = sigmoid(logits), exact for logits of any size.

    With log p = -softplus(-logits) and log(1 - p) = -softplus(logits) nothing cancels: confident
    right answers keep their small loss and gradient.

    Raises ValueError for a target outside 0 to 1.
    """
    name = "binary_cross_entropy_with_logits"
    target = _matched(name, "logits", logits, "target", target)
    _check_probabilities(name, "target", target)
    losses = target * softplus(-logits) + (1 - target) * softplus(logits)
    return _reduced(name, losses, reduction)


# One of c, and distributions


def cross_entropy(logits, labels, *, label_smoothing=0.0, ignore_index=None, reduction="mean"):
    """-log softmax(logits)[label]; classes lie along the last axis.

    Args:
        logits: (..., c), of any size; -inf rules a class out.
        labels: (...) integers from 0 to c - 1, or (..., c) probabilities (floating).
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
    _check_floating(name, "logits", logits)
    label_smoothing = check_number(name, "label_smoothing", label_smoothing, 0, 1, "0 to 1")
    labels = _as_array_or_tensor(labels, logits)
    if labels.dtype.kind in FLOATING and logits.ndim and labels.shape == logits.shape:
        if ignore_index is not None:
            raise ValueError(f"[{name}] ignore_index needs integer labels, got probabilities")
        _check_probabilities(name, "labels", labels)
        losses = _soft_cross_entropy(logits, labels, label_smoothing)
        return _reduced(name, losses, reduction)

    def smoothed(rows, labels):
        log_q = log_softmax(rows)
        return (1 - label_smoothing) * _chosen(name, log_q, labels) - label_smoothing * mean(
            log_q, axis=-1
        )

    formula = smoothed if label_smoothing else softmax_cross_entropy
    return _over_rows(name, "logits", formula, logits, labels, ignore_index, reduction)


def nll(log_probs, labels, *, ignore_index=None, reduction="mean"):
    """-log_probs[label], the negative log-likelihood: log_probs (..., c), integer labels (...).

    `ignore_index` and errors as in `cross_entropy`, which is nll after log_softmax.
    """
    _check_floating("nll", "log_probs", log_probs)
    labels = _as_array_or_tensor(labels, log_probs)
    formula = partial(_chosen, "nll")
    return _over_rows("nll", "log_probs", formula, log_probs, labels, ignore_index, reduction)


def kl_divergence(log_q, p, *, reduction="mean"):
    """p (log p - log_q): how far the distribution q lies from the target p, with 0 log 0 = 0.

    As in PyTorch the first argument is a logarithm, "mean" divides by the number of elements, and
    "batchmean" by the length of the first axis, which gives the divergence per example. An
    element with p = 0 gives 0, and 0 for its gradient.

    Raises ValueError for a negative p.
    """
    name = "kl_divergence"
    p = _matched(name, "log_q", log_q, "p", p)
    lowest = all_examples(_raw(p)).min() if p.size else 0
    if lowest < 0:
        raise ValueError(f"[{name}] p contains {lowest}, expected probabilities (not logarithms)")
    absent = equal(p, 0)
    losses = p * (log(where(absent, 1, p)) - where(absent, 0, log_q))
    if reduction == "batchmean":
        if p.ndim == 0 or p.shape[0] == 0:
            raise ValueError(f"[{name}] there is no batch to average over (log_q: {log_q.shape})")
        return _sum_over(losses, p.shape[0])
    return _reduced(name, losses, reduction, "'mean', 'batchmean', 'sum' or 'none'")


def _soft_cross_entropy(logits, p, label_smoothing):
    """-sum(p log softmax(logits)) of each row; a class that is ruled out (-inf) may have p = 0."""
    p = _in_dtype(p, logits.dtype)
    if label_smoothing:
        p = (1 - label_smoothing) * p + label_smoothing / logits.shape[-1]
    log_q = log_softmax(logits)
    ruled_out = logical_and(equal(p, 0), equal(log_q, -math.inf))
    return -sum(p * where(ruled_out, 0, log_q), axis=-1)


def _chosen(name, log_q, labels):
    """-log_q[label] of each row: (n, c) and (n,) -> (n,)."""
    check_labels(name, "labels", labels, log_q.shape[1])
    return -reshape(take_along_axis(log_q, labels[:, None], -1), labels.shape)


def _over_rows(name, what, formula, scores, labels, ignore_index, reduction):
    """formula(rows, labels), (n, c) and (n,) -> (n,), without the rows that are ignored."""
    if ignore_index is not None:
        ignore_index = check_integer(name, "ignore_index", ignore_index)
    _check_label_shape(name, what, scores, labels)
    shape, count = labels.shape, labels.size
    rows = scores if scores.ndim == 2 else reshape(scores, (count, scores.shape[-1]))
    labels = reshape(labels, (-1,)) if labels.ndim != 1 else labels
    kept = None if ignore_index is None else labels != ignore_index
    if kept is not None and all_examples(_raw(kept)).all():
        kept = None
    if kept is not None:
        # Replaced, not multiplied by 0: what is ignored may be NaN.
        losses = formula(where(kept[:, None], rows, 0), where(kept, labels, 0))
        losses = where(kept, losses, 0)
    else:
        losses = formula(rows, labels)
    if reduction == "none":
        return reshape(losses, shape)
    if reduction == "mean" and kept is not None:
        count = _raw(kept).sum()  # inside vmap each example has its own
        if not all_examples(count).all():
            raise ValueError(
                f"[{name}] all {labels.size} labels are ignore_index={ignore_index}: there is no "
                "mean over no rows; skip the batch, or use reduction='sum'"
            )
        return _sum_over(losses, int(count) if type(count) not in backend.STAND_INS else count)
    return _reduced(name, losses, reduction)


def _sum_over(losses, count):
    """The sum of losses divided by a number other than theirs; of half types in float32."""
    wide = astype(losses, dtype=np.float32) if is_half(losses.dtype) else losses
    return _in_dtype(sum(wide) / count, losses.dtype)


# Checks


def _raw(x):
    return x._array if isinstance(x, Tensor) else x


def _as_array_or_tensor(target, prediction):
    """A target that is a number or a list as an array beside the prediction."""
    if isinstance(target, Tensor) or backend.of(target) is not None:
        return target
    return Tensor(target, device=backend.of(_raw(prediction)).device)._array


def _check_floating(name, what, x):
    if backend.of(_raw(x)) is None:
        raise TypeError(f"[{name}] {what} is {describe(x)}, expected a Tensor or an array")
    if x.dtype.kind not in FLOATING:
        raise TypeError(f"[{name}] {what} has dtype {x.dtype}, expected a floating one")


def _matched(name, what, prediction, other, target):
    """The target in the dtype of the prediction; both must have one shape."""
    _check_floating(name, what, prediction)
    target = _as_array_or_tensor(target, prediction)
    if target.shape != prediction.shape:
        fix = ""
        if _without_ones(target.shape) == _without_ones(prediction.shape):
            fix = f"; use {other}.reshape{prediction.shape}"
        raise ValueError(
            f"[{name}] {what} is {prediction.shape}, {other} is {target.shape}, expected one "
            f"shape (they are not broadcast){fix}"
        )
    return _in_dtype(target, prediction.dtype)


def _in_dtype(x, dtype):
    return x if x.dtype == dtype else astype(x, dtype=dtype)


def _without_ones(shape):
    return [n for n in shape if n != 1]


def _check_probabilities(name, what, x, slack=1e-3, hint=""):
    """Raise ValueError for values outside 0 to 1; `slack` forgives the rounding of a mixture."""
    x = all_examples(_raw(x))
    lowest, highest = (x.min(), x.max()) if x.size else (0, 0)
    if lowest < -slack or highest > 1 + slack:
        bad = lowest if lowest < -slack else highest
        raise ValueError(f"[{name}] {what} contains {bad}, expected 0 to 1{hint}")


def _check_label_shape(name, what, scores, labels):
    fits = scores.ndim > 0 and labels.shape == scores.shape[:-1]
    if fits and labels.dtype.kind in "iu":
        return
    got = f"[{name}] {what} are {scores.shape}, labels are {labels.shape} of {labels.dtype}"
    if fits or labels.shape == scores.shape:
        wanted = f"expected integers of shape {scores.shape[:-1]}"
        if name == "cross_entropy":
            wanted += f", or floating probabilities of shape {scores.shape}"
        raise TypeError(f"{got}, {wanted}")
    fix = ""
    if scores.ndim > 2 and labels.shape == (scores.shape[0], *scores.shape[2:]):
        fix = f"; classes are the last axis: use moveaxis({what}, 1, -1)"
    elif labels.shape == (*scores.shape[:-1], 1):
        fix = f"; use labels.reshape{scores.shape[:-1]}"
    raise ValueError(f"{got}, expected (..., classes) and (...){fix}")


def _reduced(name, losses, reduction, expected="'mean', 'sum' or 'none'"):
    if reduction == "mean":
        if losses.size == 0:
            raise ValueError(
                f"[{name}] the batch is empty: there is no mean over losses of shape {losses.shape}"
            )
        return mean(losses)
    if reduction == "sum":
        return sum(losses)
    if reduction == "none":
        return losses
    raise ValueError(f"[{name}] reduction is {reduction!r}, expected {expected}")
