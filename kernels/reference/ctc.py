"""The paths of connectionist temporal classification: see ops/neural/ctc.py for what they are.

`scores` (n, frames, states) are logarithms of the probabilities of the states' classes. `skips`
(n, states) tells whether a path may come from two states before.
"""

import math

import numpy as np

from .contract import kernel
from .precision import underflow_is_fine


@kernel
def ctc_alphas(scores, skips):
    """The logarithms of the probabilities of all paths that reach a state: (frames, n, states)."""
    shape = tuple(scores.shape[i] for i in (1, 0, 2))
    alphas = np.full_like(scores, -math.inf, shape=shape)
    alphas[0, :, :2] = scores[:, 0, :2]
    for t in range(1, len(alphas)):
        before = alphas[t - 1]
        skipped = np.where(skips, _moved(before, 2), -math.inf)
        alphas[t] = _log_sum(before, _moved(before, 1), skipped) + scores[:, t]
    return alphas


@kernel
def ctc_betas(scores, skips, frames, ends):
    """The same from the end, in which the frame's own score does not count.

    `frames` (n,) is how many frames count; `ends` (n, states) are the states in which a path may
    end.
    """
    shape = tuple(scores.shape[i] for i in (1, 0, 2))
    betas = np.full_like(scores, -math.inf, shape=shape)
    skipped_next = np.zeros_like(skips)
    skipped_next[:, :-2] = skips[:, 2:]
    at_end = np.where(ends, 0, -math.inf).astype(scores.dtype)
    for t in reversed(range(len(betas))):
        if t + 1 < len(betas):
            after = betas[t + 1] + scores[:, t + 1]
            skipped = np.where(skipped_next, _moved(after, -2), -math.inf)
            betas[t] = _log_sum(after, _moved(after, -1), skipped)
        betas[t] = np.where((frames == t + 1)[:, None], at_end, betas[t])
    return betas


def _moved(paths, places):
    """(n, states) moved on by some places; log 0 where nothing comes from."""
    moved = np.full_like(paths, -math.inf)
    if places > 0:
        moved[:, places:] = paths[:, :-places]
    else:
        moved[:, :places] = paths[:, -places:]
    return moved


@underflow_is_fine
def _log_sum(*terms):
    """log(sum(exp(terms))), -inf where all of them are."""
    top = np.maximum(np.maximum(terms[0], terms[1]), terms[2])
    top = np.where(np.isneginf(top), 0, top)
    with np.errstate(divide="ignore"):
        return np.log(sum(np.exp(term - top) for term in terms)) + top
