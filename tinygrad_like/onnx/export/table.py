"""The table of ops: how each is written in ONNX, or why it cannot be.

    @lowers("rsqrt")
    def rsqrt(g, x):
        return g.Reciprocal(g.Sqrt(x))

A function gets an Emitter (emit.py), the inputs of the op as Values, numbers, Sizes and None, and
its attributes by name, with Values in the place of arrays. It returns the output, or a tuple of
them; what has another dtype than the op's output is cast. `g.outputs` tells shapes and dtypes.

A docstring of such a function says what the op's name does not: a convention, or why the nodes are
others than the obvious ones. Where the body is the op's formula there is none.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_like.onnx.export.emit import Emitter, Value
from tinygrad_like.onnx.export.errors import ExportError
from tinygrad_like.onnx.export.known import LOWERED, REFUSED
from tinygrad_like.onnx.export.merge import Array, Step
from tinygrad_like.onnx.export.record import Ref
from tinygrad_like.onnx.export.sizes import Size

SINGLE = np.dtype(np.float32)


def lowers(*names: str, cast: str | None = None) -> Callable:
    """Enter a function into the table.

    `cast`: "out" brings all inputs into the dtype of the output first, "inputs" into the one that
    they have in common, both as numbers with which ONNX computes: no booleans, integers of 64 bits.
    """

    def enter(function: Callable) -> Callable:
        def lower(g: Emitter, *inputs: Any, **attributes: Any) -> Any:
            given: Sequence[Any] = inputs
            if cast:
                given = _in_common(g, inputs, g.outputs[0].dtype if cast == "out" else None)
            return function(g, *given, **attributes)

        LOWERED.update(dict.fromkeys(names, lower))
        return function

    return enter


def refuses(reason: str, names: str) -> None:
    """Enter ops that cannot be exported, by name, with the reason."""
    REFUSED.update(dict.fromkeys(names.split(), reason))


def computing(dtype: np.dtype) -> np.dtype:
    """The dtype in which ONNX computes for a dtype: of small integers and booleans int64."""
    small = dtype.kind in "bi" or (dtype.kind == "u" and dtype.itemsize < 8)
    return np.dtype(np.int64) if small else dtype


def _in_common(g: Emitter, inputs: Sequence[Any], dtype: Any) -> list:
    """Inputs in one dtype with which ONNX computes, by default the one they promote to."""
    if dtype is None:
        kinds = [x.dtype for x in inputs if isinstance(x, Value)]
        numbers = [0 if isinstance(x, Size) else x for x in inputs if not isinstance(x, Value)]
        dtype = np.result_type(*kinds, *numbers)
    dtype = computing(np.dtype(dtype))
    return [
        x if x is None else g.cast(x, dtype) if isinstance(x, Value) else g.number(x, dtype)
        for x in inputs
    ]


def refuse_unknown(name: str) -> None:
    """Raise ExportError for an op that has no way to be written."""
    if name not in LOWERED:
        reason = REFUSED.get(name, "no table says how to write it; compose it of ops of tg")
        raise ExportError(f"[onnx.export] {name} cannot be exported: {reason}")


def write(g: Emitter, number: int, step: Step) -> None:
    """Write a step of a program into the graph."""
    name = step.op.name
    refuse_unknown(name)
    for x in (*step.inputs, *step.outputs):
        if isinstance(x, Array):
            g.data_type(x.dtype)
    if all(0 in y.shape for y in step.outputs):
        for i, y in enumerate(step.outputs):
            nothing = g.Expand(g.constant(0, y.dtype), g.integers(y.shape))
            g.made[Ref(number, i)] = nothing._replace(shape=y.shape)
        return
    g.outputs = step.outputs
    inputs = [_value(g, x) for x in step.inputs]
    if step.op.floating:  # of integers float32 numbers, as the op itself makes them
        inputs = [
            g.cast(x, SINGLE) if isinstance(x, Value) and x.dtype.kind in "biu" else x
            for x in inputs
        ]
    attributes = {what: _value(g, v) for what, v in step.attributes.items()}
    made = _lowered(g, name, inputs, attributes)
    outs = made if step.op.several else (made,)
    for i, (y, value) in enumerate(zip(step.outputs, outs, strict=True)):
        value = g.cast(value, y.dtype)
        g.made[Ref(number, i)] = value._replace(shape=y.shape)


def _lowered(g: Emitter, name: str, inputs: list, attributes: dict[str, Any]) -> Any:
    """What the table's function writes; ExportError where it cannot take a Size."""
    try:
        return LOWERED[name](g, *inputs, **attributes)
    except TypeError as error:
        sizes = [what for what, v in attributes.items() if _has_size(v)]
        if not sizes:
            raise
        raise ExportError(
            f"[onnx.export] {name} cannot be exported with {', '.join(sizes)} that follows the "
            "sizes of the inputs: leave that axis out of dynamic_axes, or give a number"
        ) from error


def _has_size(x: Any) -> bool:
    """Whether there is a Size in an attribute."""
    return any(map(_has_size, x)) if isinstance(x, tuple) else isinstance(x, Size)


def _value(g: Emitter, x: Any) -> Any:
    """An input or attribute with Values for Arrays."""
    if isinstance(x, Array):
        return g.array(x)
    return tuple(_value(g, part) for part in x) if type(x) is tuple else x
