"""The loss of sequences whose labels are aligned to no frame."""

import numpy as np

from tinygrad_like.engine import all_examples, check_flag, check_integer
from tinygrad_like.losses.checks import (
    as_array_or_tensor,
    check_floating,
    in_dtype,
    raw,
    reduced,
)
from tinygrad_like.ops.arrays.shape import expand_dims, reshape, stack, swapaxes
from tinygrad_like.ops.elements.compare import equal, greater_equal, less, logical_and, not_equal
from tinygrad_like.ops.elements.elementwise import clip, where
from tinygrad_like.ops.indexing.index import check_labels
from tinygrad_like.ops.indexing.padding import pad
from tinygrad_like.ops.neural.ctc import ctc_of_states


def ctc(
    log_probs, targets, input_lengths, target_lengths, *, blank=0, zero_infinity=False,
    reduction="mean",
):  # fmt: skip
    """-log P(target | frames), summed over all alignments of a target to the frames.

    Args:
        log_probs: (t, n, c) logarithms of probabilities, such as log_softmax(logits): frames,
            sequences, classes.
        targets: (n, s) integers: labels without blanks, filled up with anything.
        input_lengths: (n,) integers from 1 to t: how many frames each sequence has.
        target_lengths: (n,) integers from 0 to s: how many labels.
        blank: the class that stands for no label.
        zero_infinity: whether sequences with too few frames for their labels, whose loss is inf,
            count as 0. Their gradient is 0 in any case.
        reduction: "mean" (each loss is divided by its number of labels first), "sum" or "none".

    Source: Graves et al. 2006, "Connectionist Temporal Classification".

    Raises:
        ValueError: for shapes and lengths that do not fit, and for a blank among the labels.
        TypeError: for targets or lengths that are not integers.
        IndexError: for a label out of range.

    >>> uniform = Tensor([[[0.5, 0.5]], [[0.5, 0.5]]]).log()
    >>> round(float(ctc(uniform, [[1]], [2], [1]).exp()), 4)  # of 4 paths 3 read as one label
    1.3333
    """
    name = "ctc"
    zero_infinity = check_flag(name, "zero_infinity", zero_infinity)
    check_floating(name, "log_probs", log_probs)
    if log_probs.ndim != 3 or 0 in log_probs.shape[::2]:
        raise ValueError(f"[{name}] log_probs are {log_probs.shape}, expected (t, n, c)")
    count, n, classes = log_probs.shape
    blank = check_integer(name, "blank", blank, 0, classes - 1)
    targets = _integers(name, "targets", targets, log_probs)
    if targets.ndim != 2 or targets.shape[0] != n:
        raise ValueError(f"[{name}] targets are {targets.shape}, expected (n, s), with n = {n}")
    frames = _lengths(name, "input_lengths", input_lengths, log_probs, 1, count)
    lengths = _lengths(name, "target_lengths", target_lengths, log_probs, 0, targets.shape[1])
    labels = _labels(name, targets, lengths, blank, classes)
    states, skips = _states(labels, blank)
    place = _places(states, log_probs) - 2 * expand_dims(lengths, -1)
    ends = logical_and(greater_equal(place, -1), less(place, 1))
    losses = ctc_of_states(swapaxes(log_probs, 0, 1), states, skips, ends, frames)
    if zero_infinity:
        losses = where(equal(losses, float("inf")), 0, losses)
    if reduction == "mean":
        losses = losses / in_dtype(clip(lengths, min=1), losses.dtype)
    return reduced(name, losses, reduction)


def _integers(name, what, values, beside):
    values = as_array_or_tensor(values, beside)
    if values.dtype.kind not in "iu":
        raise TypeError(f"[{name}] {what} are of {values.dtype}, expected integers")
    return in_dtype(values, int)


def _lengths(name, what, lengths, log_probs, least, most):
    lengths = _integers(name, what, lengths, log_probs)
    if lengths.shape != log_probs.shape[1:2]:
        raise ValueError(
            f"[{name}] {what} are {lengths.shape}, expected one for each sequence, "
            f"{log_probs.shape[1:2]}"
        )
    values = all_examples(raw(lengths))
    if values.size and not least <= values.min() <= values.max() <= most:
        bad = values.min() if values.min() < least else values.max()
        raise ValueError(f"[{name}] {what} contain {bad}, expected {least} to {most}")
    return lengths


def _places(of, beside):
    """0, 1, ... along the last axis of labels or states."""
    return as_array_or_tensor(np.arange(of.shape[-1]), beside)


def _labels(name, targets, lengths, blank, classes):
    """The targets with blanks where they are only filled up."""
    counted = less(_places(targets, lengths), expand_dims(lengths, -1))
    check_labels(name, "targets", where(counted, targets, 0), classes)
    labels = where(counted, targets, blank)
    if all_examples(raw(logical_and(counted, equal(labels, blank)))).any():
        raise ValueError(f"[{name}] targets contain the blank, {blank}, expected other labels")
    return labels


def _states(labels, blank):
    """The class of each state, and whether a path may come from two states before."""
    n, length = labels.shape
    pairs = stack([0 * labels + blank, labels], axis=-1)
    states = pad(reshape(pairs, (n, 2 * length)), ((0, 0), (0, 1)), value=blank)
    if length < 2:
        return states, states != states
    differ = logical_and(not_equal(states[:, 2:], states[:, :-2]), not_equal(states[:, 2:], blank))
    return states, pad(differ, ((0, 0), (2, 0)), value=False)
