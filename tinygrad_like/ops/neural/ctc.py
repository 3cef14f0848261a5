"""Connectionist temporal classification: the likelihood of labels that are aligned to no frame.

The states of a sequence are its labels with a blank around each: 2 s + 1 of them for s labels. A
path through the frames stays in its state, goes on to the next one, or leaves out the blank between
two labels that differ. `alphas` are the logarithms of the probabilities of all paths that begin at
the start and reach a state, `betas` of those from there to the end.

Source: Graves et al. 2006, "Connectionist Temporal Classification".
"""

import math

import numpy as np

from tinygrad_like.backend import narrow, wide
from tinygrad_like.engine import broadcast_to, in_single, op
from tinygrad_like.ops.arrays.shape import expand_dims, stack
from tinygrad_like.ops.elements.compare import equal
from tinygrad_like.ops.elements.elementwise import where
from tinygrad_like.ops.indexing.index import take_along_axis
from tinygrad_like.ops.indexing.padding import pad
from tinygrad_like.ops.neural.softmax import logsumexp


def _scores(xp, log_probs, states):
    index = xp.broadcast_to(states[:, None], (*log_probs.shape[:2], states.shape[1]))
    return xp.take_along_axis(wide(log_probs), index, 2)


def _ctc_backward(g, be, log_probs, states, skips, ends, frames, out, alphas):
    """-P(a path is at a class in a frame, given the labels), and 0 where there is no path."""
    xp = be.xp
    betas = be.k.ctc_betas(_scores(xp, log_probs, states), skips, frames, ends)
    losses = wide(out)[:, None]
    possible = xp.isfinite(losses)
    with np.errstate(under="ignore"):
        shares = xp.exp(alphas + betas + xp.where(possible, losses, 0))
    shares = xp.where(possible, shares, 0) * -wide(g)[:, None]
    of_class = states[:, :, None] == xp.arange(log_probs.shape[2])
    gradient = xp.matmul(shares.swapaxes(0, 1), of_class.astype(shares.dtype))
    return [narrow(gradient, log_probs.dtype), None, None, None, None]


def _ctc_by_ops(log_probs, states, skips, ends, frames):
    """`ctc` frame by frame, in ops."""
    count, length = log_probs.shape[1], states.shape[1]
    index = broadcast_to(expand_dims(states, 1), (len(states), count, length))
    scores = take_along_axis(log_probs, index, -1)

    def moved(paths, places):
        places = min(places, length)
        return pad(paths[:, : length - places], ((0, 0), (places, 0)), value=-math.inf)

    paths = pad(scores[:, 0, :2], ((0, 0), (0, max(length - 2, 0))), value=-math.inf)
    last = paths
    for t in range(1, count):
        skipped = where(skips, moved(paths, 2), -math.inf)
        paths = logsumexp(stack([paths, moved(paths, 1), skipped]), axis=0) + scores[:, t]
        last = where(expand_dims(equal(frames, t + 1), -1), paths, last)
    return -logsumexp(where(ends, last, -math.inf), axis=-1)


def _all(call, arrays, attributes):
    losses = call(*map(call.folded, arrays))
    call.unfold_extra(axis=1)
    return call.unfolded(losses)


def _all_backward(call, g, be, log_probs, states, skips, ends, frames, out, alphas):
    rows = map(call.raw_folded, (g, be, log_probs, states, skips, ends, frames, out))
    gradient, *_ = call.op.backward(*rows, call.raw_folded(alphas, axis=1))
    return call.gradients([call.unfolded(gradient), None, None, None, None])


@op(
    autocast=in_single,
    saves=("alphas",),
    batch=_all,
    batch_backward=_all_backward,
    composite=_ctc_by_ops,
    backward=_ctc_backward,
)
def ctc_of_states(be, log_probs, states, skips, ends, frames):
    """-log P(labels) of n sequences, inf where the frames are too few for their labels.

    Args:
        log_probs: (n, frames, classes).
        states: (n, states): the class of each state.
        skips: (n, states) booleans: whether a path may come from two states before.
        ends: (n, states) booleans: the states in which a path may end.
        frames: (n,): how many frames count.

    Returns (n,). Where it is inf its gradient is 0.
    """
    xp = be.xp
    alphas = be.k.ctc_alphas(_scores(xp, log_probs, states), skips)
    last = alphas[frames - 1, xp.arange(len(frames))]
    last = xp.where(ends, last, -math.inf)
    top = last.max(axis=1)
    safe = xp.where(xp.isneginf(top), 0, top)
    with np.errstate(under="ignore", divide="ignore"):
        losses = -(xp.log(xp.exp(last - safe[:, None]).sum(axis=1)) + safe)
    return narrow(losses, log_probs.dtype), (alphas,)
