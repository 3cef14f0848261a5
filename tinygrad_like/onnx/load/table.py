"""The table of ops: which function runs which op of ONNX from which version on.

    @runs("Unsqueeze")
    def unsqueeze(data, axes: Host):
        return expand_dims(data, integers(axes))

A function takes a node's inputs by position (None where an optional one is left out) and its
attributes by name, so that one text serves versions in which an input was an attribute. It returns
one output, or a tuple of them. Inputs are Tensors, unless their annotation says otherwise:

    Host    a NumPy array: what only decides shapes is read there
    Raw     what the graph holds: a Tensor, a NumPy array known before the run, a list, None

A parameter named `outputs` gets the number of outputs that the node has.

A docstring of such a function says what the op's name and ONNX's definition do not: a convention, a
limit, or how it is computed. Where the body is the definition there is none.

A version that changed the meaning of an op is entered by a second function, with the number of
that version. An attribute that the function does not have is refused when the model is loaded.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NamedTuple

import numpy as np

Host = Annotated[Any, "host"]  # of an input that a function reads as a NumPy array
Raw = Annotated[Any, "raw"]  # of an input that a function takes as the graph holds it

# The opsets up to which the table was written: a later one may have changed what an op means.
NEWEST = {"": 28}


class Entry(NamedTuple):
    """The function of an op, and what it takes."""

    function: Callable
    since: int
    names: frozenset[str]  # of the parameters that attributes may set
    kinds: tuple[Any, ...]  # the annotations of its inputs
    others: Any  # that of further inputs, None if there can be none
    counts: bool  # whether it wants the number of outputs
    key: tuple[str, str, int]  # where it stands in the table

    def __reduce__(self):
        return find, self.key  # pickled by its place in the table

    def kind(self, i: int) -> Any:
        """The annotation of an input."""
        return self.kinds[i] if i < len(self.kinds) else self.others


TABLE: dict[tuple[str, str], list[Entry]] = {}


def runs(
    *ops: str, since: int = 1, domain: str = "", options: Iterable[str] = ()
) -> Callable[[Callable], Callable]:
    """Enter a function for ops of ONNX, from version `since` of their definition on.

    `options` names the attributes that a function takes as `**options`.
    """

    def enter(function):
        parameters = inspect.signature(function).parameters.values()
        several = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
        further = [p.annotation for p in parameters if p.kind == p.VAR_POSITIONAL]
        entry = Entry(
            function,
            since,
            frozenset(p.name for p in parameters if p.kind not in several)
            .union(options)
            .difference(["outputs"]),
            tuple(p.annotation for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD),
            further[0] if further else None,
            any(p.name == "outputs" for p in parameters),
            (domain, ops[0], since),
        )
        for op in ops:
            entries = TABLE.setdefault((domain, op), [])
            entries.append(entry)
            entries.sort(key=lambda each: -each.since)
        return function

    return enter


def find(domain: str, op: str, version: int) -> Entry | None:
    """The newest entry of an op that is not newer than a version of its definition."""
    return next((e for e in TABLE.get((domain, op), ()) if e.since <= version), None)


def integers(values: Any) -> tuple[int, ...]:
    """An input or attribute of integers as a tuple of Python's."""
    return tuple(int(n) for n in np.asarray(values).reshape(-1))


def integer(value: Any) -> int:
    """An input or attribute of one integer."""
    found = integers(value)
    if len(found) != 1:
        raise ValueError(f"[onnx] got {list(found)}, expected one integer")
    return found[0]


def axis_of(axis: Any, ndim: int) -> int:
    """An axis counted from the first one. Raises IndexError if there is none."""
    axis = integer(axis)
    if not -ndim <= axis < ndim:
        raise IndexError(f"[onnx] axis is {axis}, expected one of {ndim} axes")
    return axis + ndim if axis < 0 else axis
