"""Span: one timed interval of a profile."""

from typing import Any


class Span:
    """A call of an op or a Module, a node of a backward pass, a step, or what holds these.

    Args:
        kind: "block" (all of it), "section", "module", "op", "backward" (a call of it), "walk",
            "node" (the gradient rules of one call), "optimizer".
        name: of an op or a class.
        path: of the innermost module that it belongs to.
        phase: "forward", "backward", "recompute" (the second run of a checkpoint), "optimizer".
        parent: the span in which it lies.
    """

    __slots__ = (
        *("backward_flops", "block", "bytes", "end", "flops", "kind", "name", "of", "out"),
        *("parent", "path", "phase", "shapes", "start"),
    )

    def __init__(self, kind: str, name: str, path: str, phase: str, parent: Any):
        self.kind, self.name, self.path, self.phase, self.parent = kind, name, path, phase, parent
        self.block: Any = self if parent is None else parent.block  # the outermost one around it
        self.start = self.end = 0.0
        self.bytes = 0
        self.flops: int | None = 0  # None: it has no count
        self.backward_flops: int | None = 0  # of an op: of its gradient
        self.of: Any = None  # of a node: the span of the call
        self.shapes: tuple = ()  # of an op: of its inputs
        self.out: Any = ()  # the shape of its output

    @property
    def seconds(self) -> float:
        return self.end - self.start


def own_seconds(spans: list[Span]) -> dict[Span, float]:
    """The time of each span without those in it; they sum to the time of the first one."""
    own = {span: span.seconds for span in spans}
    for span in spans:
        if span.parent is not None:
            own[span.parent] -= span.seconds
    return own


def modules_around(span: Any) -> list[Any]:
    """The spans of the modules in which a span lies, the innermost first, itself included."""
    found = []
    while span is not None:
        if span.kind == "module":
            found.append(span)
        span = span.parent
    return found
