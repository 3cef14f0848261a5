"""Runs of a model at several sizes as one program, in which sizes stand for differing integers.

The first runs have inputs of the same sizes and of other values: what differs between them depends
on values in a way that no graph says. In all others the sizes differ.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_like.onnx.export.errors import ExportError
from tinygrad_like.onnx.export.known import LOWERED
from tinygrad_like.onnx.export.patterns import Band, Ramp, Uniform, fitted
from tinygrad_like.onnx.export.record import INPUTS, Call, Constant, Leaf, Ref, Run
from tinygrad_like.onnx.export.sizes import size_of

Source = Ref | Leaf | np.ndarray | Uniform | Ramp | Band


class Array(NamedTuple):
    """A value of the program: where it comes from, its shape, and its dtype."""

    source: Source
    shape: tuple
    dtype: np.dtype

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def is_constant(self):
        return isinstance(self.source, np.ndarray)


class Step(NamedTuple):
    """A call of the program: inputs and attributes with Arrays and Sizes, and its outputs."""

    op: Any
    inputs: tuple
    attributes: dict[str, Any]
    outputs: tuple[Array, ...]


class Program(NamedTuple):
    """What a model computes: the steps that its outputs need, by their number, and the outputs."""

    steps: dict[int, Step]
    outputs: list[Array]


def merged(runs: Sequence[Run], alike: int, leaves: dict[str, Any]) -> Program:
    """The program of several runs, of which the first ones, `alike`, have inputs of equal sizes.

    Raises ExportError where the runs differ in more than sizes.
    """
    return _Merger(runs, alike, leaves).program()


class _Merger:
    def __init__(self, runs: Sequence[Run], alike: int, leaves: dict[str, Any]):
        self.runs, self.alike, self.leaves = runs, alike, leaves
        self.folded: dict[Ref, np.ndarray] = {}  # outputs that are constants
        self.fixed: set[Any] = set()  # outputs that depend on parameters only

    def program(self) -> Program:
        self._check_calls()
        steps = {}
        for k in range(len(self.runs[0].calls)):
            step = self._step(k)
            if not self._fold(k, step):
                steps[k] = step
        outputs = [
            self._item(parts, f"output {i}")
            for i, parts in enumerate(zip(*(run.outputs for run in self.runs), strict=True))
        ]
        needed = _needed(steps, outputs)
        return Program({k: steps[k] for k in sorted(needed)}, outputs)

    def _check_calls(self) -> None:
        """Raise unless all runs call the same ops."""
        first = self.runs[0].calls
        cure = (
            "a loop over a dynamic axis cannot be exported (tg.rnn, tg.gru, tg.lstm and "
            "tg.linear_scan can), nor an `if`"
        )
        for r, run in enumerate(self.runs[1:], 1):
            why = f"with the {'values' if r < self.alike else 'sizes'} of its inputs"
            for k, (a, b) in enumerate(zip(first, run.calls, strict=False)):
                if a.op is not b.op:
                    raise ExportError(
                        f"[onnx.export] what the model computes changes {why}: call {k} is "
                        f"{a.op.name} or {b.op.name}; {cure}"
                    )
            if len(first) != len(run.calls):
                raise ExportError(
                    f"[onnx.export] what the model computes changes {why}: it calls "
                    f"{len(first)} or {len(run.calls)} ops; {cure}"
                )

    def _step(self, k: int) -> Step:
        """Call number k of all runs as one Step."""
        calls: list[Call] = [run.calls[k] for run in self.runs]
        name = calls[0].op.name
        counts = {len(call.inputs) for call in calls}
        if len(counts) > 1:
            raise ExportError(
                f"[onnx.export] {name} joins {min(counts)} or {max(counts)} tensors, by the sizes "
                "of the inputs; a loop over a dynamic axis cannot be exported"
            )
        inputs = tuple(
            self._item(parts, f"an input of {name}")
            for parts in zip(*(call.inputs for call in calls), strict=True)
        )
        attributes = {
            what: self._item([call.attributes[what] for call in calls], f"{what} of {name}")
            for what in calls[0].attributes
        }
        outputs = zip(*(call.outputs for call in calls), strict=True)
        outs = tuple(self._array(Ref(k, i), ys, name) for i, ys in enumerate(outputs))
        return Step(calls[0].op, inputs, attributes, outs)

    def _array(self, source: Source, arrays: Sequence[Any], name: str) -> Array:
        """What an array is in each run as one."""
        shapes = [x.shape for x in arrays]
        if len({*shapes[: self.alike]}) > 1 or len({len(s) for s in shapes}) > 1:
            raise ExportError(
                f"[onnx.export] the shape of what {name} returns depends on the values of the "
                "inputs; an ONNX graph that is exported from a run has to know it"
            )
        shape = tuple(map(size_of, zip(*shapes, strict=True)))
        return Array(source, shape, arrays[0].dtype)

    def _item(self, parts: Sequence[Any], what: str) -> Any:
        """An input or attribute from what it is in each run."""
        first = parts[0]
        if type(first) is Constant:
            return self._constant(parts, what)
        if isinstance(first, (Ref, Leaf)):
            if any(p != first for p in parts):
                raise ExportError(
                    f"[onnx.export] {what} comes from another op when sizes or values change"
                )
            return self._known(first, what)
        if isinstance(first, tuple):
            made = [self._item(each, what) for each in _zipped(parts, what)]
            return type(first)(*made) if hasattr(first, "_fields") else tuple(made)
        if isinstance(first, slice):
            ends = zip(*((p.start, p.stop, p.step) for p in parts), strict=True)
            return slice(*(self._item(each, what) for each in ends))
        if all(type(p) is type(first) and _is_same(p, first) for p in parts):
            return first
        if all(type(p) is int for p in parts) and len({*parts[: self.alike]}) == 1:
            return size_of(parts)
        raise ExportError(
            f"[onnx.export] {what} is {first!r}, or "
            f"{next(p for p in parts if not _is_same(p, first))!r} when the sizes or values of the "
            "inputs change; an integer may follow the sizes (x / x.shape[1] for x * "
            "(1 / x.shape[1])), other things cannot"
        )

    def _known(self, place: Any, what: str) -> Array:
        """The Array of a place that is the same in all runs."""
        if type(place) is Leaf:
            array = self.leaves[place.path].data
            return Array(place, array.shape, array.dtype)
        if place in self.folded:
            array = self.folded[place]
            return Array(array, array.shape, array.dtype)
        return self._array(place, [self._value(run, place) for run in self.runs], what)

    def _value(self, run: Run, place: Ref) -> Any:
        return (
            run.inputs[place.place]
            if place.call == INPUTS
            else (run.calls[place.call].outputs[place.place])
        )

    def _constant(self, parts: Sequence[Any], what: str) -> Array:
        """An array made outside ops: one that is always the same, or a pattern of sizes."""
        if any(type(p) is not Constant for p in parts):
            raise ExportError(f"[onnx.export] {what} is an array at some sizes only")
        arrays = [p.array for p in parts]
        first = arrays[0]
        if all(_is_same_array(first, x) for x in arrays[1:]):
            return Array(first, first.shape, first.dtype)
        of_values = not all(_is_same_array(first, x) for x in arrays[1 : self.alike])
        found = None if of_values else fitted(arrays)
        if found is not None:
            return self._array(found, arrays, what)
        if of_values:
            raise ExportError(
                f"[onnx.export] {what} is made from the values of the model's inputs outside ops "
                "(by .numpy(), .data, .item(), or drawn at random): compute it with ops of tg"
            )
        raise ExportError(
            f"[onnx.export] {what} is an array {first.shape} made outside ops that changes with "
            f"the sizes of the inputs (at another size {arrays[-1].shape}): compute it with ops "
            "from tg.arange, zeros, ones or masks, keep it as a buffer, or leave the axis fixed"
        )

    def _fold(self, k: int, step: Step) -> bool:
        """Note the outputs of a call that depends on no input, if a constant can be made of them.

        It is one if it is made of constants alone. What is made of parameters is computed in the
        graph, but where ONNX lacks the op: of an orthogonal weight the graph gets the matrix.
        """
        arrays = _arrays_in((step.inputs, tuple(step.attributes.values())))
        if not arrays or not all(map(self._is_fixed, arrays)):
            return False
        outs = [run.calls[k].outputs for run in self.runs]
        if not all(
            _is_same_array(x, y) for ys in outs[1:] for x, y in zip(outs[0], ys, strict=True)
        ):
            return False
        if step.op.name in LOWERED and not all(x.is_constant for x in arrays):
            self.fixed |= {Ref(k, i) for i in range(len(outs[0]))}
            return False
        self.folded |= {Ref(k, i): np.asarray(x) for i, x in enumerate(outs[0])}
        return True

    def _is_fixed(self, x: Array) -> bool:
        return x.is_constant or type(x.source) is Leaf or x.source in self.fixed


def _zipped(parts: Sequence[tuple], what: str) -> list:
    if len({len(p) for p in parts}) > 1:
        raise ExportError(f"[onnx.export] {what} has another number of parts at other sizes")
    return list(zip(*parts, strict=True))


def _is_same(a: Any, b: Any) -> bool:
    return bool(a is b or a == b or (a != a and b != b))


def _is_same_array(a: Any, b: Any) -> bool:
    if a is b or a.__array_interface__ == b.__array_interface__:  # a view of the same weight
        return True
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _arrays_in(value: Any) -> list[Array]:
    """All Arrays in nested tuples."""
    if isinstance(value, Array):
        return [value]
    if isinstance(value, tuple):
        return [x for part in value for x in _arrays_in(part)]
    return []


def _needed(steps: dict[int, Step], outputs: list) -> set[int]:
    """The numbers of the steps that the outputs depend on."""
    found: set[int] = set()
    todo = _arrays_in(tuple(outputs))
    while todo:
        source = todo.pop().source
        if isinstance(source, Ref) and source.call != INPUTS and source.call not in found:
            found.add(source.call)
            step = steps[source.call]
            todo += _arrays_in((step.inputs, tuple(step.attributes.values())))
    return found
