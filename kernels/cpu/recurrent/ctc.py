"""The paths of connectionist temporal classification, see kernels/reference/ctc.py.

A task takes whole sequences. The states of a frame are computed side by side, from those of the
frame before (or after), which have two places of log 0 in front (or behind).
"""

import math

import numpy as np

from ..machine.compile import jit
from ..machine.kernel import kernel
from ..machine.memory import empty
from ..machine.simd import body, inlined
from ..machine.threads import pool, run, share, tasks_for
from ..math.vector_math import exp, log_of_normal

SMALL = 1 << 12  # elements, up to which NumPy is quick enough and needs no compiler
LEAST = np.finfo(np.float32).min
TASK = 1 << 11  # elements that are worth a thread


@kernel("scores", others="skips")
def ctc_alphas(scores, skips):
    """The logarithms of the probabilities of all paths that reach a state."""
    if scores.size <= SMALL:
        return NotImplemented
    n, frames, states = scores.shape
    alphas = empty((frames, n, states), scores.dtype)
    _alphas(pool(), scores, skips, alphas)
    return alphas


@kernel("scores", others="skips frames ends")
def ctc_betas(scores, skips, frames, ends):
    """The same from the end, in which the frame's own score does not count."""
    if scores.size <= SMALL:
        return NotImplemented
    n, count, states = scores.shape
    betas = empty((count, n, states), scores.dtype)
    _betas(pool(), scores, skips, frames.astype(np.int64), ends, betas)
    return betas


@inlined
def _log_sum(a, b, c):
    """log(exp(a) + exp(b) + exp(c)), -inf where all of them are."""
    top = max(max(a, b), c)
    zero = max(top, LEAST)  # finite, so that no two infinities are subtracted
    total = exp(a - zero) + exp(b - zero) + exp(c - zero)
    found = log_of_normal(max(total, np.float32(1))) + zero  # the largest term is exp(0)
    return total if total != total else top if top == -math.inf else found


@body
def _tasks(pool, scores):
    return max(1, min(tasks_for(pool, scores.size, TASK), scores.shape[0]))


@jit
def _alphas(pool, scores, skips, alphas):
    run(pool, _alphas_part, (scores, skips, alphas), _tasks(pool, scores))


@body
def _alphas_part(task, tasks, scores, skips, alphas):
    states, nothing = scores.shape[2], scores.dtype.type(-math.inf)
    before, barred = np.full(states + 2, nothing), np.empty(states, np.bool_)
    for n in range(*share(task, tasks, scores.shape[0])):
        for s in range(states):
            barred[s] = not skips[n, s]
            alphas[0, n, s] = scores[n, 0, s] if s < 2 else nothing
        for t in range(1, scores.shape[1]):
            before[2:] = alphas[t - 1, n]
            one, two, here, score = before[1:-1], before[:-2], alphas[t, n], scores[n, t]
            for s in range(here.size):
                skipped = nothing if barred[s] else two[s]
                here[s] = _log_sum(before[s + 2], one[s], skipped) + score[s]


@jit
def _betas(pool, scores, skips, frames, ends, betas):
    run(pool, _betas_part, (scores, skips, frames, ends, betas), _tasks(pool, scores))


@body
def _betas_part(task, tasks, scores, skips, frames, ends, betas):
    states, nothing = scores.shape[2], scores.dtype.type(-math.inf)
    after, barred = np.full(states + 2, nothing), np.empty(states, np.bool_)
    for n in range(*share(task, tasks, scores.shape[0])):
        last = frames[n] - 1
        betas[last:, n] = nothing
        for s in range(states):
            barred[s] = s + 2 >= states or not skips[n, s + 2]
            betas[last, n, s] = 0 if ends[n, s] else nothing
        for t in range(last - 1, -1, -1):
            later, score = betas[t + 1, n], scores[n, t + 1]
            for s in range(later.size):
                after[s] = later[s] + score[s]
            one, two, here = after[1:-1], after[2:], betas[t, n]
            for s in range(here.size):
                skipped = nothing if barred[s] else two[s]
                here[s] = _log_sum(after[s], one[s], skipped)
