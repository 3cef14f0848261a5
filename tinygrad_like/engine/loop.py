"""vmap of ops that have no rule for many examples: one example after the other.

Every op of the library has a rule, so these are users' ops. Their forwards and gradient rules may
be any program on arrays, and so they get arrays, never what stands for one inside vmap.
"""

import functools
import logging

import numpy as np

from tinygrad_like.backend import INEXACT
from tinygrad_like.engine.batched import BackendOfBatches, Batched
from tinygrad_like.engine.definition import OPS
from tinygrad_like.engine.modes import mode
from tinygrad_like.engine.tensor import Tensor, wrap
from tinygrad_like.engine.walk import refuse_floating_extra


class UNKNOWN:
    """In place of what a forward saves: its composite ran instead, or its history is not known."""

    dtype = np.dtype(np.float32)


def one_by_one(call, arrays, attributes):
    """Apply an op to one example after the other: the `batch` of an op that has none."""
    _say_that_it_loops(call.op.name)
    outs, extras = [], []
    for i in range(call.size):
        outs.append(apply_to_one(call, arrays, attributes, i))
        extras.append(call.extra)
    if call.op.saves:
        call.extra = [_joined(parts) for parts in zip(*extras, strict=True)]
    return list(map(_joined, zip(*outs, strict=True))) if call.op.several else _joined(outs)


def apply_to_one(call, arrays, attributes, i=0):
    """Apply an op to example i, or to what all examples share."""
    inputs = [_of_example(x, call.level, i) for x in arrays]
    # An op has its attributes as they are: arrays within a tuple, as of an index, are raw ones.
    named = {
        k: _of_example(v, call.level, i, tensors=type(v) not in (tuple, list))
        for k, v in attributes.items()
    }
    return call(*inputs, **named)


def gradients_one_by_one(level, plan, saved, g):
    """The gradients by input of an op without `batch`, whose rules see one example at a time.

    Where the inner Tensors have a history, the rules run on Tensors, as for a second derivative.
    """
    for (_, where), x in zip(plan.saves, saved, strict=True):
        if x is UNKNOWN:
            refuse_floating_extra(plan, where, x)
    values, rows = (tuple(saved), g), []
    tensors = mode.grad and _has_history(values)
    with level.outside():
        for i in range(level.size):
            row, gi = _of_example(values, level, i, tensors)
            found = NotImplemented if level.around is None else level.around.backward(plan, row, gi)
            rows.append(plan.gradients(row, gi) if found is NotImplemented else found)
        joined = {i: _joined([row[i] for row in rows]) for i, *_ in plan.steps}
    return {i: _lifted(x, level) for i, x in joined.items()}


def _lifted(x, level):
    """What a rule returned, for all examples; anything but an array as it is, to be refused."""
    if not hasattr(x, "shape"):
        return x
    return Batched(x if type(x) is Tensor else wrap(x), level)


def _has_history(x):
    if type(x) is tuple:
        return any(map(_has_history, x))
    return type(x) is Batched and (x.inner.node is not None or _has_history(x.inner._array))


def _of_example(x, level, i, tensors=True):
    """The part of x that belongs to example i, as a Tensor or as an array."""
    if type(x) in (tuple, list):
        return type(x)(_of_example(v, level, i, tensors) for v in x)
    if type(x) is BackendOfBatches:
        return x.be
    if type(x) is not Batched or x.level is not level:
        return x
    row = x.inner[i] if x.mapped else x.inner
    return row if tensors else row._array


def _joined(parts):
    """Tensors or arrays of one shape, with a new first axis; anything else as the first one."""
    if not hasattr(parts[0], "shape"):
        return parts[0]
    rows = [x.reshape((1, *x.shape)) for x in parts]
    return OPS["concatenate"].function(rows)


def with_known_history(op, out, extra):
    """What a forward saved, which must not count as a constant where the output has a history."""
    outs = out if op.several else [out]
    if op.composite or all(getattr(y, "node", None) is None for y in outs):
        return extra
    return [UNKNOWN if _is_floating(x) else x for x in extra]


def _is_floating(x):
    return getattr(x, "dtype", None) is not None and x.dtype.kind in INEXACT


@functools.cache
def _say_that_it_loops(name):
    """Log, once for each op, that vmap applies it to one example after the other."""
    logging.getLogger(__name__).warning(
        "[vmap] %s has no rule for many examples at once, and is applied to one after the other",
        name,
    )
