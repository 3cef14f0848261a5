"""The memory that the nodes of a graph keep for their backward pass, each byte counted once."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any

from tinygrad_like.backend import BY_TYPE
from tinygrad_like.engine.plan import INPUT


class Memory:
    """Stretches of memory, apart from each other and in their order."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> int:
        """Add a stretch; returns how many of its bytes were not there.

        >>> memory = Memory()
        >>> memory.add(0, 8), memory.add(20, 28), memory.add(4, 24), memory.add(0, 28)
        (8, 8, 12, 0)
        """
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        starts, ends = self._starts[first:last], self._ends[first:last]
        known = sum(max(0, min(e, end) - max(s, start)) for s, e in zip(starts, ends, strict=True))
        self._starts[first:last] = [min([start, *starts])]
        self._ends[first:last] = [max([end, *ends])]
        return end - start - known


def saved_by(nodes: list[Any]) -> dict[int, int]:
    """{id of a node: the bytes that it keeps}; what several keep counts at the first of them.

    Leaves are kept anyway, and do not count, nor does what a checkpoint has dropped.
    """
    memory = Memory()
    for node in nodes:
        for x, is_leaf in _saved(node):
            if is_leaf:
                memory.add(*_stretch(x))
    return {
        id(node): sum(memory.add(*_stretch(x)) for x, is_leaf in _saved(node) if not is_leaf)
        for node in nodes
    }


def _saved(node: Any) -> Iterator[tuple[Any, bool]]:
    """(array, whether it is that of a leaf) of all that a node has saved."""
    plan, saved = node.plan, node.saved
    if plan is None or not isinstance(saved, list):  # freed, or dropped by a checkpoint
        return
    for (kind, where), value in zip(plan.saves, saved, strict=True):
        for i, x in enumerate(value if isinstance(value, (tuple, list)) else (value,)):
            if type(x) in BY_TYPE and x.nbytes:
                place = i if plan.op.variadic else where
                parent = node.parents[place] if kind == INPUT else None
                yield x, parent is not None and parent.plan is None


def _stretch(x: Any) -> tuple[int, int]:
    """From where to where the elements of an array lie: of NumPy, CuPy or the emulated device."""
    if hasattr(x, "__array_interface__"):
        start = x.__array_interface__["data"][0]
    else:
        start = x.address if hasattr(x, "address") else x.data.ptr
    spans = [stride * (length - 1) for length, stride in zip(x.shape, x.strides, strict=True)]
    low, high = sum(min(0, span) for span in spans), sum(max(0, span) for span in spans)
    return start + low, start + high + x.dtype.itemsize
