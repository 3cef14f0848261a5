"""Losses of whole distributions over the classes of the last axis."""

import math

from tinygrad_like.engine import all_examples, check_flag, check_number
from tinygrad_like.losses.checks import (
    check_floating,
    check_probabilities,
    matched,
    raw,
    reduced,
    sum_over,
)
from tinygrad_like.losses.classes import cross_entropy
from tinygrad_like.ops.arrays.shape import normal_axis
from tinygrad_like.ops.elements.compare import equal
from tinygrad_like.ops.elements.elementwise import exp, log, where
from tinygrad_like.ops.neural.softmax import log_softmax
from tinygrad_like.ops.reductions.reduce import sum


def kl_divergence(log_q, p, *, log_target=False, reduction="mean"):
    """p (log p - log_q): how far the distribution q lies from the target p, with 0 log 0 = 0.

    As in PyTorch the first argument is a logarithm, "mean" divides by the number of elements, and
    "batchmean" by the length of the first axis, which gives the divergence per example. An
    element with p = 0 gives 0, and 0 for its gradient. With log_target=True the second argument is
    log p, where -inf stands for p = 0.

    Raises ValueError for a negative p.
    """
    name = "kl_divergence"
    log_target = check_flag(name, "log_target", log_target)
    p = matched(name, "log_q", log_q, "p", p)
    if log_target:
        absent = equal(p, -math.inf)
        log_p = where(absent, 0, p)
        losses = where(absent, 0, exp(log_p)) * (log_p - where(absent, 0, log_q))
    else:
        lowest = all_examples(raw(p)).min() if p.size else 0
        if lowest < 0:
            raise ValueError(
                f"[{name}] p contains {lowest}, expected probabilities (for logarithms pass "
                "log_target=True)"
            )
        absent = equal(p, 0)
        losses = p * (log(where(absent, 1, p)) - where(absent, 0, log_q))
    if reduction == "batchmean":
        if p.ndim == 0 or p.shape[0] == 0:
            raise ValueError(f"[{name}] there is no batch to average over (log_q: {log_q.shape})")
        return sum_over(losses, p.shape[0])
    return reduced(name, losses, reduction, "'mean', 'batchmean', 'sum' or 'none'")


def entropy(x, *, axis=-1, probabilities=False, base=math.e, reduction="mean"):
    """-sum(p log p) of p = softmax(x) along an axis, with 0 log 0 = 0.

    Args:
        x: logits of any size, -inf for a class that is ruled out; or, with probabilities=True,
            the probabilities p themselves. They are taken as they are: they should add up to 1.
        axis: where the classes lie.
        base: of the logarithm: 2 gives bits.
        reduction: "mean" (over the distributions), "sum" or "none".

    As a bonus in a policy's loss, subtract it.

    >>> round(float(entropy(Tensor([[0.0, 0.0, 0.0, 0.0]]), base=2)), 6)
    2.0
    """
    name = "entropy"
    check_floating(name, "x", x)
    probabilities = check_flag(name, "probabilities", probabilities)
    base = check_number(name, "base", base, math.nextafter(1, 2), expected="a number above 1")
    if not x.ndim:
        raise ValueError(f"[{name}] x is a number, expected at least one axis")
    axis = normal_axis(name, axis, x.ndim)
    if probabilities:
        check_probabilities(name, "x", x, 0, "; for logits leave out probabilities=True")
        absent = equal(x, 0)
        terms = x * log(where(absent, 1, x))
    else:
        log_p = log_softmax(x, axis=axis)
        absent = equal(log_p, -math.inf)
        log_p = where(absent, 0, log_p)
        terms = where(absent, 0, exp(log_p)) * log_p
    losses = sum(terms, axis=axis) * (-1 / math.log(base))
    return reduced(name, losses, reduction)


def perplexity(logits, labels, *, ignore_index=None):
    """exp(cross_entropy(logits, labels)): among how many equal choices the model hesitates.

    Arguments and errors are those of `cross_entropy`, whose mean over the rows is taken.

    >>> round(float(perplexity(Tensor([[0.0, 0.0, 0.0]]), [1])), 5)
    3.0
    """
    return exp(cross_entropy(logits, labels, ignore_index=ignore_index))
