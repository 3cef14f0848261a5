"""Softmax and what is built from it. All are stable for logits of any size.

A row that is -inf everywhere (fully masked) has softmax 0, never NaN.
"""

import numpy as np

from tinygrad_like.backend import FLOATING, narrow, wide
from tinygrad_like.engine import (
    Tensor,
    astype,
    check_flag,
    check_integer,
    check_number,
    composed,
    in_single,
    no_grad,
    op,
)
from tinygrad_like.ops.arrays.shape import (
    along_axes,
    expand_dims,
    moveaxis,
    normal_axes,
    normal_axis,
    reshape,
    squeeze,
)
from tinygrad_like.ops.elements.activation import TINIEST
from tinygrad_like.ops.elements.elementwise import add, clip, divide, exp, log, negative, subtract
from tinygrad_like.ops.indexing.index import check_labels, one_hot, take_along_axis
from tinygrad_like.ops.reductions.reduce import argmax, reduction_of, spread_over, sum
from tinygrad_like.ops.samples.random import rand_like


def _along_last(name, kernel, axis, *arrays):
    """Run a kernel of the last axis along another one, or along the only element of a number."""
    x = arrays[0]
    if not x.ndim or axis == ():  # as reductions; () is what `along_axes` makes of numbers' axes
        if axis != ():
            normal_axes(name, check_integer(name, "axis", axis), 0)
        return kernel(*(a[..., None] for a in arrays))[..., 0]
    axis = normal_axis(name, axis, x.ndim)
    if axis == x.ndim - 1:
        return kernel(*arrays)
    return kernel(*(a.swapaxes(axis, -1) for a in arrays)).swapaxes(axis, -1)


@op(
    autocast=in_single,
    floating=True,
    batch=along_axes,
    x=lambda g, out, axis: softmax_backward(g, out, axis=axis),
)
def softmax(be, x, *, axis=-1):
    """exp(x) / sum(exp(x)) along an axis."""
    return _along_last("softmax", be.k.softmax, axis, x)


@op(
    batch=along_axes,
    dy=lambda g, y, axis: softmax_backward(g, y, axis=axis),
    y=lambda g, dy, y, axis: (
        g * (dy - sum(dy * y, axis=axis, keepdims=True)) - dy * sum(g * y, axis=axis, keepdims=True)
    ),
)
def softmax_backward(be, dy, y, *, axis=-1):
    """softmax's gradient with respect to its input, for its output y: y (dy - sum(dy y))."""
    return _along_last("softmax_backward", be.k.softmax_backward, axis, dy, y)


@op(
    autocast=in_single,
    floating=True,
    batch=along_axes,
    x=lambda g, out, axis: log_softmax_backward(g, out, axis=axis),
)
def log_softmax(be, x, *, axis=-1):
    """x - log(sum(exp(x))) along an axis."""
    return _along_last("log_softmax", be.k.log_softmax, axis, x)


@op(
    batch=along_axes,
    dy=lambda g, y, axis: g - sum(g * exp(y), axis=axis, keepdims=True),
    y=lambda g, dy, y, axis: -g * exp(y) * sum(dy, axis=axis, keepdims=True),
)
def log_softmax_backward(be, dy, y, *, axis=-1):
    """log_softmax's gradient with respect to its input, for its output y: dy - exp(y) sum(dy)."""
    return _along_last("log_softmax_backward", be.k.log_softmax_backward, axis, dy, y)


def _logsumexp_rule(g, be, x, axis):
    return spread_over(be, g, x.shape, axis) * _softmax_over(x, axis)


def _softmax_over(x, axes):
    """softmax over several axes as if they were one."""
    if len(axes) == 1:
        return softmax(x, axis=axes[0])
    last = tuple(range(len(x.shape) - len(axes), len(x.shape)))
    moved = moveaxis(x, axes, last)
    rows = softmax(reshape(moved, (*moved.shape[: last[0]], -1)))
    return moveaxis(reshape(rows, moved.shape), last, axes)


@op(autocast=in_single, floating=True, batch=along_axes, x=_logsumexp_rule)
def _logsumexp(be, x, *, axis, keepdims=False):
    xp, logits = be.xp, wide(x)
    top = logits.max(axis=axis, keepdims=True)
    decided = ~xp.isfinite(top)  # -inf everywhere, an inf or a NaN: that is the result
    with np.errstate(under="ignore"):  # terms that are too small to matter
        terms = xp.exp(logits - xp.where(decided, 0, top))
    total = be.k.sum_in_pairs(terms, reduction_of("logsumexp", x.shape, axis), True)
    total = narrow(xp.where(decided, top, xp.log(xp.where(decided, 1, total)) + top), x.dtype)
    return total if keepdims else total.squeeze(axis)


@composed
def logsumexp(x, axis=None, keepdims=False):
    """log(sum(exp(x))) along an axis, several, or all, for x of any size.

    Raises ValueError where there is nothing to sum.
    """
    keepdims = check_flag("logsumexp", "keepdims", keepdims)
    axes = normal_axes("logsumexp", axis, x.ndim)
    if not axes:  # each element alone
        return _logsumexp(expand_dims(x, -1), axis=(x.ndim,))
    return _logsumexp(x, axis=axes, keepdims=keepdims)


def _nll(logits, labels):
    chosen = take_along_axis(log_softmax(logits), expand_dims(labels, -1), -1)
    return -squeeze(chosen, -1)


def _cross_entropies_of_all(call, arrays, attributes):
    losses = call(*map(call.folded, arrays))
    call.unfold_extra(axis=1)
    return call.unfolded(losses)


def _cross_entropies_backward(call, g, be, logits, labels, sums):
    rows = map(call.raw_folded, (g, be, logits, labels))
    dlogits, _ = call.op.backward(*rows, call.raw_folded(sums, axis=1))
    return call.gradients([call.unfolded(dlogits), None])


@op(
    autocast=in_single,
    saves=("sums",),
    batch=_cross_entropies_of_all,
    batch_backward=_cross_entropies_backward,
    composite=_nll,
    backward=lambda g, be, logits, labels, sums: [
        be.k.cross_entropy_backward(g, logits, labels, sums),
        None,
    ],
)
def _softmax_cross_entropy(be, logits, labels):
    losses, sums = be.k.cross_entropy(logits, labels)
    return losses, (sums,)


def softmax_cross_entropy(logits, labels):
    """-log softmax(logits)[label] for each row: (n, c) logits, (n,) integer labels -> (n,).

    Raises ValueError for shapes that do not fit, TypeError for labels that are not integers,
    IndexError for labels out of range.
    """
    if logits.ndim != 2 or tuple(labels.shape) != tuple(logits.shape[:1]):
        raise ValueError(
            f"[cross_entropy] logits are {logits.shape}, labels are {labels.shape}, "
            "expected (n, classes) and (n,)"
        )
    if labels.dtype.kind not in "iu":
        raise TypeError(f"[cross_entropy] labels have dtype {labels.dtype}, expected integers")
    check_labels("cross_entropy", "labels", labels, logits.shape[1])
    return _softmax_cross_entropy(logits, labels)


@composed
def gumbel_softmax(logits, tau=1.0, hard=False, axis=-1):
    """A random choice along an axis, with the probabilities softmax(logits), that has gradients.

    It is softmax((logits + noise) / tau), which is nearer to one choice for a smaller tau. Source:
    Jang et al. 2017, "Categorical reparameterization with Gumbel-softmax".

    Args:
        logits: any shape, of floats.
        tau: the temperature, a positive number.
        hard: whether the result is the choice itself, 1 and zeros, with the gradient of the above.

    Raises TypeError for logits that are not floating.
    """
    tau = check_number("gumbel_softmax", "tau", tau, TINIEST, expected="a positive number")
    hard = check_flag("gumbel_softmax", "hard", hard)
    if logits.dtype.kind not in FLOATING:
        raise TypeError(f"[gumbel_softmax] logits have dtype {logits.dtype}, expected floats")
    uniform = clip(rand_like(logits, dtype=np.float64), np.finfo(np.float64).tiny)
    noise = astype(negative(log(negative(log(uniform)))), dtype=logits.dtype)
    noise = noise if isinstance(logits, Tensor) else noise.data
    soft = softmax(divide(add(logits, noise), tau), axis)
    if not hard:
        return soft
    with no_grad():
        last = one_hot(argmax(soft, axis), soft.shape[axis], dtype=soft.dtype)
        change = subtract(moveaxis(last, -1, axis), soft)
    return add(soft, change)
