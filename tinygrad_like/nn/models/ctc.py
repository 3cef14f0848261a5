"""From the frames of a model trained by `tg.losses.ctc` to labels: greedy, beam, alignment.

A path gives a class to each frame. It is read by dropping repeats, and then blanks: with 0 as the
blank, 0 1 1 0 1 is read as the labels 1 1. `ctc_greedy` reads the likeliest path, `ctc_beam` finds
the labels whose paths are together the likeliest, and `ctc_align` the likeliest path that is read
as given labels. All three compute on the CPU in float64, and record nothing.

Source: Graves et al. 2006, "Connectionist Temporal Classification".
"""

from typing import Any

import numpy as np

from tinygrad_like.engine import Tensor
from tinygrad_like.nn.base import arguments


def ctc_greedy(log_probs: Any, input_lengths: Any = None, *, blank: int = 0) -> list[np.ndarray]:
    """The labels that the likeliest path is read as: an integer array for each sequence.

    Args:
        log_probs: (t, n, c) logarithms of probabilities, as for `tg.losses.ctc`: frames,
            sequences, classes. Logits will do as well.
        input_lengths: (n,) integers from 1 to t: how many frames each sequence has; None: all t.
        blank: the class that stands for no label.

    Raises:
        ValueError: for shapes and lengths that do not fit, and for NaN.
        TypeError: for lengths that are not integers.

    >>> x = np.log([[[0.1, 0.8, 0.1]], [[0.1, 0.8, 0.1]], [[0.9, 0.05, 0.05]], [[0.1, 0.8, 0.1]]])
    >>> ctc_greedy(x)
    [array([1, 1])]
    """
    x, counts, blank = _checked("ctc_greedy", log_probs, input_lengths, blank)
    paths = x.argmax(axis=2)
    starts = np.ones(paths.shape, bool)  # where a class differs from that of the frame before
    starts[1:] = paths[1:] != paths[:-1]
    kept = starts & (paths != blank) & (np.arange(len(paths))[:, None] < counts)
    return [path[keep] for path, keep in zip(paths.T, kept.T, strict=True)]


def ctc_beam(
    log_probs: Any, input_lengths: Any = None, *, blank: int = 0, width: int = 10
) -> list[list[tuple[np.ndarray, float]]]:
    """The likeliest labels by prefix beam search: for each sequence [(labels, log P), ...].

    Frame by frame the `width` likeliest beginnings are kept, each with the sum of the probabilities
    of all paths that are read as it. There are at most `width` results, best first. Their log P is
    -`tg.losses.ctc` if the beam has dropped nothing on the way, and lower if it has.

    Args:
        log_probs, input_lengths, blank: those of `ctc_greedy`; here logits will not do.
        width: how many beginnings are kept. With 1 it is still not the greedy reading: paths that
            are read alike count together.

    Raises what `ctc_greedy` does, and ValueError for a width below 1.

    Source: Graves and Jaitly 2014, "Towards end-to-end speech recognition with recurrent neural
    networks", algorithm 1.

    >>> x = np.log([[[0.6, 0.4]], [[0.6, 0.4]]])  # the likeliest path is blank twice: 0.36
    >>> (labels, log_p), *_ = ctc_beam(x)[0]
    >>> labels, round(float(np.exp(log_p)), 2)
    (array([1]), 0.64)
    """
    x, counts, blank = _checked("ctc_beam", log_probs, input_lengths, blank)
    width = arguments.integer("ctc_beam", "width", width)
    return [_beam(x[:count, i], blank, width) for i, count in enumerate(counts)]


def _beam(x: np.ndarray, blank: int, width: int) -> list[tuple[np.ndarray, float]]:
    """`ctc_beam` of one sequence (frames, classes)."""
    prefixes: list[tuple[int, ...]] = [()]
    ends_blank, ends_label = np.zeros(1), np.full(1, -np.inf)  # log P of the paths of a prefix
    for frame in x:
        place = {prefix: k for k, prefix in enumerate(prefixes)}
        last = np.array([prefix[-1] if prefix else blank for prefix in prefixes])
        both = np.logaddexp(ends_blank, ends_label)
        some = np.flatnonzero(last != blank)
        longer = both[:, None] + frame  # of a prefix and one more label
        longer[some, last[some]] = ends_blank[some] + frame[last[some]]  # needs a blank between
        longer[:, blank] = -np.inf
        blanks = both + frame[blank]
        labels = np.where(last != blank, ends_label + frame[last], -np.inf)
        for k in some:  # a beginning that is kept may also grow from a shorter one
            shorter = place.get(prefixes[k][:-1])
            if shorter is not None:
                labels[k] = np.logaddexp(labels[k], longer[shorter, last[k]])
                longer[shorter, last[k]] = -np.inf
        scores = np.concatenate([np.logaddexp(blanks, labels), longer.ravel()])
        best = np.argsort(-scores, kind="stable")[:width]
        best = best[scores[best] > -np.inf]
        grown, old = best[best >= len(last)] - len(last), best[best < len(last)]
        rows, classes = np.divmod(grown, len(frame))
        prefixes = [prefixes[k] for k in old] + [
            (*prefixes[k], int(c)) for k, c in zip(rows, classes, strict=True)
        ]
        ends_blank = np.concatenate([blanks[old], np.full(len(grown), -np.inf)])
        ends_label = np.concatenate([labels[old], longer[rows, classes]])
    scores = np.logaddexp(ends_blank, ends_label)
    order = np.argsort(-scores, kind="stable")
    return [(np.array(prefixes[k], np.int64), float(scores[k])) for k in order]


def ctc_align(
    log_probs: Any,
    targets: Any,
    input_lengths: Any = None,
    target_lengths: Any = None,
    *,
    blank: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest path that is read as the targets, by Viterbi's algorithm: (places, log P).

    `places` (n, t) has for each frame the place of its label in the target, or -1 for a blank and
    beyond the frames of a sequence. `log P` (n,) is that of the path alone.

    Args:
        log_probs, input_lengths, blank: those of `ctc_greedy`.
        targets: (n, s) integers: labels without blanks, filled up with anything.
        target_lengths: (n,) integers from 0 to s: how many labels; None: all s.

    Raises:
        ValueError: for shapes and lengths that do not fit, NaN, a blank among the labels, and
            fewer frames than labels (one more for each label that follows an equal one).
        TypeError: for targets or lengths that are not integers.
        IndexError: for a label out of range.

    >>> x = np.log([[[0.1, 0.8, 0.1]], [[0.1, 0.8, 0.1]], [[0.8, 0.1, 0.1]], [[0.2, 0.2, 0.6]]])
    >>> ctc_align(x, [[1, 2]])[0]
    array([[ 0,  0, -1,  1]])
    """
    name = "ctc_align"
    x, counts, blank = _checked(name, log_probs, input_lengths, blank)
    t, n, classes = x.shape
    labels, lengths = _labels(name, targets, target_lengths, n, classes, blank)
    states = np.full((n, 2 * labels.shape[1] + 1), blank)
    states[:, 1::2] = labels
    _need_frames(name, labels, lengths, counts)
    skips = np.zeros(states.shape, bool)  # whether a path may come from two states before
    skips[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    scores = np.take_along_axis(x, np.broadcast_to(states, (t, *states.shape)), axis=2)
    best = np.full(states.shape, -np.inf)
    best[:, :2] = scores[0, :, :2]
    steps, last = np.zeros((t, *states.shape), np.int64), best.copy()
    for k in range(1, t):
        come = np.full((3, *states.shape), -np.inf)  # from 0, 1 or 2 states before
        come[0], come[1, :, 1:] = best, best[:, :-1]
        come[2, :, 2:] = np.where(skips[:, 2:], best[:, :-2], -np.inf)
        steps[k] = come.argmax(axis=0)
        best = come.max(axis=0) + scores[k]
        last[counts == k + 1] = best[counts == k + 1]
    rows, end = np.arange(n), 2 * lengths
    before = np.maximum(end - 1, 0)
    at = np.where(last[rows, before] > last[rows, end], before, end)
    found, places = last[rows, at], np.full((n, t), -1)
    for k in reversed(range(t)):
        live = k < counts
        places[:, k] = np.where(live & (at % 2 == 1), at // 2, -1)
        at = np.where(live, at - steps[k, rows, at], at)
    return places, found


def _need_frames(name: str, labels: np.ndarray, lengths: np.ndarray, counts: np.ndarray) -> None:
    """Raise ValueError for sequences whose labels do not fit into their frames."""
    counted = np.arange(1, labels.shape[1]) < lengths[:, None]
    repeats = ((labels[:, 1:] == labels[:, :-1]) & counted).sum(axis=1)
    for i in np.flatnonzero(lengths + repeats > counts)[:1]:
        raise ValueError(
            f"[{name}] sequence {i} has {counts[i]} frames, expected at least "
            f"{lengths[i] + repeats[i]} for its {lengths[i]} labels, of which {repeats[i]} follow "
            "an equal one"
        )


def _labels(
    name: str, targets: Any, target_lengths: Any, n: int, classes: int, blank: int
) -> tuple[np.ndarray, np.ndarray]:
    """Targets (n, s), with blanks where they are only filled up, and their lengths (n,)."""
    labels = _integers(name, "targets", targets)
    if labels.ndim != 2 or len(labels) != n:
        raise ValueError(f"[{name}] targets are {labels.shape}, expected (n, s), with n = {n}")
    lengths = _lengths(name, "target_lengths", target_lengths, n, 0, labels.shape[1])
    counted = np.arange(labels.shape[1]) < lengths[:, None]
    for bad in labels[counted & ((labels < 0) | (labels >= classes))][:1]:
        raise IndexError(f"[{name}] targets contain {bad}, expected 0 to {classes - 1}")
    if (labels[counted] == blank).any():
        raise ValueError(f"[{name}] targets contain the blank, {blank}, expected other labels")
    return np.where(counted, labels, blank), lengths


def _checked(
    name: str, log_probs: Any, input_lengths: Any, blank: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """(log_probs in float64, lengths, blank)."""
    x = _array(log_probs).astype(np.float64)
    if x.ndim != 3 or 0 in x.shape[::2]:
        raise ValueError(f"[{name}] log_probs are {x.shape}, expected (t, n, c)")
    if np.isnan(x).any():
        raise ValueError(f"[{name}] there are NaN among log_probs: look at the model's weights")
    counts = _lengths(name, "input_lengths", input_lengths, x.shape[1], 1, len(x))
    blank = arguments.integer(name, "blank", blank, 0)
    if blank >= x.shape[2]:
        raise ValueError(f"[{name}] blank is {blank}, expected 0 to {x.shape[2] - 1}")
    return x, counts, blank


def _lengths(name: str, what: str, lengths: Any, n: int, least: int, most: int) -> np.ndarray:
    if lengths is None:
        return np.full(n, most)
    found = _integers(name, what, lengths)
    if found.shape != (n,):
        raise ValueError(f"[{name}] {what} are {found.shape}, expected one for each of {n}")
    for bad in found[(found < least) | (found > most)][:1]:
        raise ValueError(f"[{name}] {what} contain {bad}, expected {least} to {most}")
    return found


def _integers(name: str, what: str, values: Any) -> np.ndarray:
    found = _array(values)
    if found.dtype.kind not in "iu":
        raise TypeError(f"[{name}] {what} are of {found.dtype}, expected integers")
    return found.astype(np.int64)


def _array(values: Any) -> np.ndarray:
    return values.numpy() if isinstance(values, Tensor) else np.asarray(values)
