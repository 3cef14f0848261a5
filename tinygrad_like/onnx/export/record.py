"""What a model computes: the calls of ops that one run of it makes, and how they hang together.

While a Recorder is the `trace` of the thread's modes, every call of an op on Tensors comes to it
(engine/call.py). It runs the op as usual and notes the call. What an op is given is found again by
the identity of arrays: the output of an earlier call, an input of the model, or one of its
parameters; any other array is a constant.
"""

from collections.abc import Container
from typing import Any, NamedTuple

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import Tensor
from tinygrad_like.engine.modes import Switch
from tinygrad_like.onnx.export.errors import ExportError


class Ref(NamedTuple):
    """A value of a run: output `place` of call number `call`, or input `place` of the model."""

    call: int
    place: int


INPUTS = -1  # the `call` of a Ref to an input of the model


class Leaf(NamedTuple):
    """A parameter or buffer of the model."""

    path: str


class Constant:
    """An array that is none of these."""

    def __init__(self, array: np.ndarray):
        self.array = array


class Call(NamedTuple):
    """A call of an op.

    `inputs` and `attributes` are as the op gets them, but for arrays: a Ref, a Leaf or a Constant
    stands in the place of each, also within tuples. `outputs` are the arrays that it returned.
    """

    op: Any
    inputs: tuple
    attributes: dict[str, Any]
    outputs: tuple


class Run(NamedTuple):
    """A run of the model: its inputs, the calls, and a Ref, Leaf or Constant for each output."""

    inputs: list
    calls: list[Call]
    outputs: list


class Recorder:
    """The `trace` of a run.

    Args:
        inputs: the arrays of the model's inputs.
        leaves: {path: Tensor}, the model's parameters and buffers.
        known: the names of the ops that a table writes or refuses. Of a fused op that is none of
            them, the ops of its composite are noted.
    """

    def __init__(self, inputs: list, leaves: dict[str, Tensor], known: Container[str]):
        self.inputs, self.calls = inputs, []  # type: ignore[var-annotated]
        self._known = known
        self._places: dict[int, Any] = {}  # by the id of an array
        self._versions: dict[int, tuple] = {}  # (its counter, where it stood)
        self._arrays: list = []  # kept, so that no other array gets the id of one
        self._seen: list[tuple] = []  # (op, output, its fingerprint)
        self._constant: set[int] = set()  # the numbers of calls that depend on no input
        for path, x in reversed(leaves.items()):  # what is shared has its first name
            self._know(x, Leaf(path))
        for place, array in enumerate(inputs):
            self._know(array, Ref(INPUTS, place))

    def _know(self, x: Any, place: Any) -> None:
        array = x._array if type(x) is Tensor else x
        if type(x) is Tensor:
            self._versions[id(array)] = x.version, x.version[0]
        if id(array) not in self._places or type(place) is Leaf:
            self._places[id(array)] = place
            self._arrays.append(array)

    def call(self, op: Any, args: Any, attributes: dict, with_extra: bool) -> Any:
        """Run an op, and note the call."""
        if op.composite and op.name not in self._known and not with_extra:
            return op.composite(*args, **op.attributes | attributes)
        inputs = tuple(self.place(x, op.name) for x in args)
        every = {k: self._within(v, op.name) for k, v in (op.attributes | attributes).items()}
        given = ([*args],) if op.variadic else args
        with Switch("trace", None):
            result = (op.with_extra if with_extra else op.function)(*given, **attributes)
        out = result[0] if with_extra else result
        outs = out if op.several else (out,)
        for k, y in enumerate(outs):
            self._know(y, Ref(len(self.calls), k))
        arrays = tuple(y._array if type(y) is Tensor else y for y in outs)
        if any(map(self._follows_inputs, (*inputs, *every.values()))):
            self._seen += [
                (op.name, y, backend.of(y).fingerprint(y))
                for y in arrays
                if not isinstance(y, np.generic)  # of a call with arrays alone
            ]
        else:
            self._constant.add(len(self.calls))
        self.calls.append(Call(op, inputs, every, arrays))
        return result

    def _follows_inputs(self, x: Any) -> bool:
        """Whether a value depends on an input of the model."""
        if type(x) is tuple:
            return any(map(self._follows_inputs, x))
        return type(x) is Ref and x.call not in self._constant

    def copied(self, array: Any, copy: Any) -> bool:
        """Note that an array is a copy of another one. Returns whether it follows the inputs."""
        place = self._places.get(id(array))
        if place is not None and copy is not array:
            self._know(copy, place)
        return self._follows_inputs(place)

    def read(self, tensor: Tensor) -> None:
        """Refuse that a value which depends on the inputs goes to Python."""
        place = self._places.get(id(tensor._array))
        if self._follows_inputs(place):
            raise ExportError(
                "[onnx.export] the model reads values that depend on its inputs (by `if x > 0`, "
                "float(x), x.item(), x.numpy()), which a graph cannot do: choose with tg.where, "
                "and compute with the ops of tg"
            )

    def place(self, x: Any, name: str) -> Any:
        """Where an array comes from. What is no array is returned unchanged."""
        array = x._array if type(x) is Tensor else x
        if isinstance(array, np.generic):
            return array.item() if type(x) is not Tensor else Constant(np.asarray(array))
        if backend.of(array) is None:
            return x
        known = self._places.get(id(array))
        if known is None:
            host = backend.of(array).to_host(array)
            self._arrays.append(array)
            return Constant(np.array(host))
        counter, seen = self._versions.get(id(array), ((0,), 0))
        if counter[0] != seen:
            raise ExportError(
                f"[onnx.export] an input of {name} was changed in place after it was computed, "
                "which ONNX cannot say: write `x = x + 1` for `x += 1`, and where(), scatter() or "
                "concatenate() for `x[i] = v`"
            )
        return known

    def _within(self, value: Any, name: str) -> Any:
        """An attribute, with the places of the arrays in it, and with tuples for lists."""
        if type(value) in (tuple, list):
            return tuple(self._within(v, name) for v in value)
        return self.place(value, name)

    def check(self) -> None:
        """Raise ExportError if memory was changed that the calls have given or taken."""
        for path in self._changed_leaves():
            raise ExportError(
                f"[onnx.export] the model changes {path} as it runs: an exported graph has no "
                "state; return the new value as an output"
            )
        for name, array, print_ in self._seen:
            if backend.of(array).fingerprint(array) != print_:
                raise ExportError(
                    f"[onnx.export] what {name} returned was changed in place afterwards (by "
                    "`y.data[i] = v` or the like), which ONNX cannot say: use tg.where or scatter"
                )

    def _changed_leaves(self) -> list[str]:
        """The paths of the parameters and buffers that the run has changed."""
        return [
            place.path
            for key, place in self._places.items()
            if type(place) is Leaf and self._versions[key][0][0] != self._versions[key][1]
        ]
