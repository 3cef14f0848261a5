"""Ops of ONNX that run subgraphs (If, Loop, Scan), sequences, and optional values.

A subgraph is given as a function of its inputs, and sees the values around it.
"""

import numpy as np

from tinygrad_like.engine import Tensor
from tinygrad_like.onnx.load.dtypes import dtype_of
from tinygrad_like.onnx.load.errors import Refused
from tinygrad_like.onnx.load.graph import lifted
from tinygrad_like.onnx.load.table import Host, Raw, axis_of, integer, integers, runs
from tinygrad_like.ops.arrays import shape as arrays


def _truth(value):
    return bool(value.item() if isinstance(value, (Tensor, np.ndarray)) else value)


@runs("If")
def run_if(condition: Raw, *, then_branch, else_branch):
    return tuple((then_branch if _truth(condition) else else_branch)())


@runs("Loop")
def run_loop(count: Raw, condition: Raw, *carried: Raw, body):
    """body(iteration, condition, *carried) -> (condition, *carried, *outputs of a step)."""
    limit = None if count is None else integer(count.item())
    goes_on = True if condition is None else _truth(condition)
    values, collected = list(carried), []
    k = 0
    while goes_on and (limit is None or k < limit):
        found = body(np.asarray(k, np.int64), np.asarray(goes_on), *values)
        goes_on = _truth(found[0])
        values, outputs = found[1 : 1 + len(values)], found[1 + len(values) :]
        collected.append(outputs)
        k += 1
    return (*values, *_stacked(collected, body, len(carried) + 1))


def _joined(join, xs, axis):
    """Tensors and arrays joined: a Tensor on the device of the Tensors, an array if all are."""
    device = next((x.device for x in xs if isinstance(x, Tensor)), None)
    y = join([lifted(x, device) for x in xs], axis)
    return y.data if device is None else y


def _stacked(collected, body, before, axes=None, backwards=None):
    """The outputs of the steps, each along a new axis."""
    if not collected:
        count = len(body.args[0].outputs) - before
        if count:
            raise Refused("[onnx] a loop of no steps with outputs of its steps")
        return ()
    columns = list(zip(*collected, strict=True))
    found = []
    for i, column in enumerate(columns):
        if backwards and backwards[i]:
            column = column[::-1]
        found.append(_joined(arrays.stack, column, axes[i] if axes else 0))
    return tuple(found)


@runs("Scan", since=9)
def run_scan(
    *values: Raw, body, num_scan_inputs, scan_input_axes=None, scan_input_directions=None,
    scan_output_axes=None, scan_output_directions=None,
):  # fmt: skip
    """body(*states, *elements of the scanned inputs) -> (*states, *elements of outputs)."""
    states, scanned = list(values[:-num_scan_inputs]), values[-num_scan_inputs:]
    axes = scan_input_axes or [0] * num_scan_inputs
    backwards = scan_input_directions or [0] * num_scan_inputs
    parts = []
    for x, axis, reverse in zip(scanned, axes, backwards, strict=True):
        pieces = list(arrays.unbind(lifted(x), axis))
        parts.append(pieces[::-1] if reverse else pieces)
    collected = []
    for elements in zip(*parts, strict=True):
        found = body(*states, *elements)
        collected.append(found[len(states) :])
        states = found[: len(states)]
    stacked = _stacked(collected, body, len(states), scan_output_axes, scan_output_directions)
    return (*states, *stacked)


# Sequences: lists


@runs("SequenceConstruct")
def sequence_of(*xs: Raw):
    return ([*xs],)


@runs("SequenceEmpty")
def empty_sequence(*, dtype=1):
    dtype_of(dtype, "a sequence")
    return ([],)


@runs("SequenceAt")
def at(xs: Raw, position: Host):
    return (xs[_place(position, len(xs))],)


def _place(position, n):
    """A position in a sequence, checked."""
    k = integer(position)
    if not -n <= k < n:
        raise IndexError(f"[Sequence] position {k} of {n} elements")
    return k


@runs("SequenceInsert")
def insert(xs: Raw, x: Raw, position: Host = None):
    """Before a position; by default at the end."""
    n = len(xs)
    k = n if position is None else integer(position)
    if not -n <= k <= n:
        raise IndexError(f"[SequenceInsert] position {k} of {n} elements")
    k = k + n if k < 0 else k
    return ([*xs[:k], x, *xs[k:]],)


@runs("SequenceErase")
def erase(xs: Raw, position: Host = None):
    k = _place(-1 if position is None else position, len(xs)) % len(xs)
    return ([*xs[:k], *xs[k + 1 :]],)


@runs("SequenceLength")
def length(xs: Raw):
    return np.asarray(len(xs), np.int64)


@runs("SequenceMap")
def sequence_map(xs: Raw, *others: Raw, body, outputs=1):
    """body(element, *elements of other sequences or tensors that stay) for each element."""
    found = [
        body(x, *(other[i] if isinstance(other, list) else other for other in others))
        for i, x in enumerate(xs)
    ]
    return tuple([each[k] for each in found] for k in range(outputs))


@runs("ConcatFromSequence")
def concat_sequence(xs: Raw, *, axis, new_axis=0):
    return _joined(arrays.stack if new_axis else arrays.concatenate, xs, axis)


@runs("SplitToSequence")
def split_to_sequence(x, split: Host = None, *, axis=0, keepdims=1):
    """Parts of length 1, of one length (the last one may be shorter), or of several lengths."""
    axis = axis_of(axis, x.ndim)
    if split is None:
        parts = list(arrays.unbind(x, axis))
        return ([arrays.expand_dims(p, axis) for p in parts] if keepdims else parts,)
    if np.ndim(split) == 0:
        size = integer(split)
        stops = list(range(size, x.shape[axis], size))
    else:
        if sum(integers(split)) != x.shape[axis]:
            raise ValueError(f"[SplitToSequence] of {x.shape} into {integers(split)}")
        stops = [int(s) for s in np.cumsum(integers(split))[:-1]]
    return (list(arrays.split(x, stops, axis)),)


# Optional values: None is the empty one


@runs("Optional")
def optional(x: Raw = None, *, type=None):
    return (x,)


@runs("OptionalGetElement")
def element_of_optional(x: Raw):
    if x is None:
        raise ValueError("[OptionalGetElement] of an empty optional value")
    return (x,)


@runs("OptionalHasElement")
def has_element(x: Raw = None):
    return np.asarray(x is not None)
