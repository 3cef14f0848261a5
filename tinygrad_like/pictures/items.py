"""What a picture of a graph shows: boxes, which lie in each other, and lines from box to box."""

from collections.abc import Iterator
from typing import Any

from tinygrad_like.engine import SparseRows
from tinygrad_like.pictures import text

MEASURES = "time", "gradient", "saved"  # what a box can be coloured by


class Leaf:
    """A leaf of the graph: its name, its node, and the norm of its gradient."""

    def __init__(self, name: str, node: Any):
        self.name, self.node = name, node
        self.norm: float | None = None  # in the picture's own backward pass

    @property
    def gradient(self) -> float | None:
        """The norm of its gradient: of the picture's own backward pass, or else of `.grad`."""
        if self.norm is None and self.node.grad is not None:
            return norm(self.node.grad)
        return self.norm

    def line(self) -> str:
        """`weight (3, 4) float32  ∇ 0.12`."""
        found, shape = self.gradient, text.of_array(self.node.shape, self.node.dtype)
        return f"{self.name} {shape}" + ("" if found is None else f"  ∇ {text.of_norm(found)}")


class Box:
    """An op, an input, or a call of a module, which has boxes within.

    Attributes:
        number: its place in `Items.boxes`.
        path: of a module.
        title, kind: what it is called; "op", "leaf" or "module".
        home: the number of the module's call that it lies in; None on the outside.
        order: the serial number of its node, or at which its call began.
        output: the shape and dtype of what it gives, as text.
        leaves: the parameters that an op reads, or the leaf that a box is.
        forward, backward: seconds; None if they were not measured.
        saved: bytes that it keeps for its backward.
        norms: {serial number of a node: the norm of the gradient of this output}.
        nodes: those that it stands for: one, or several for a call of several outputs.
    """

    def __init__(self, number: int, kind: str, title: str, home: int | None, order: int):
        self.number, self.kind, self.title = number, kind, title
        self.home, self.order = home, order
        self.detail = self.output = self.path = ""
        self.leaves: list[Leaf] = []
        self.forward: float | None = None
        self.backward: float | None = None
        self.saved = 0
        self.parameters = 0  # elements, of a module's call
        self.norms: dict[int, float] = {}
        self.nodes: list[Any] = []

    @property
    def time(self) -> float | None:
        """Forward and backward, as far as they were measured."""
        known = [s for s in (self.forward, self.backward) if s is not None]
        return sum(known) if known else None

    @property
    def gradient(self) -> float | None:
        """The norm of the gradient of its output, or of the leaf."""
        if self.kind == "leaf" and not self.norms and self.leaves:
            return self.leaves[0].gradient
        return sum(n * n for n in self.norms.values()) ** 0.5 if self.norms else None

    def texts(self) -> list[str]:
        """The lines of text in the box, the title first."""
        return [text.shortened(line, text.LINE) for line in (self.title, *self._lines())]

    def _lines(self) -> list[str]:
        found = [self.detail] if self.detail else []
        if self.output:
            found.append(f"→ {self.output}" if self.kind != "leaf" else self.output)
        if self.parameters:
            found.append(f"{self.parameters:,} parameters")
        found.extend(leaf.line() for leaf in self.leaves[:6] if self.kind == "op")
        if len(self.leaves) > 6:
            found.append(f"and {len(self.leaves) - 6} more")
        return [*found, *self._figures()]

    def _figures(self) -> list[str]:
        figures = []
        if self.gradient is not None:
            figures.append(f"∇ {text.of_norm(self.gradient)}")
        if self.saved:
            figures.append(f"saved {text.of_bytes(self.saved)}")
        times = []
        if self.forward is not None:
            times.append(f"forward {text.of_seconds(self.forward)}")
        if self.backward is not None:
            times.append(f"backward {text.of_seconds(self.backward)}")
        return [", ".join(part) for part in (figures, times) if part]


class Items:
    """The boxes of a picture, and the lines between them, as pairs of numbers."""

    def __init__(self) -> None:
        self.boxes: list[Box] = []
        self.lines: set[tuple[int, int]] = set()

    def add(self, kind: str, title: str, home: int | None, order: int) -> Box:
        """A new box."""
        box = Box(len(self.boxes), kind, title, home, order)
        self.boxes.append(box)
        return box

    def above(self, box: Box) -> Iterator[Box]:
        """The modules' calls around a box, the innermost first."""
        while box.home is not None:
            box = self.boxes[box.home]
            yield box

    def total(self) -> None:
        """Give each module's call the sums over the ops within."""
        modules = [box for box in self.boxes if box.kind == "module"]
        for module in modules:
            module.saved, module.backward = 0, None
        for box in self.boxes:
            if box.kind == "op":
                for module in self.above(box):
                    module.saved += box.saved
                    if box.backward is not None:
                        module.backward = (module.backward or 0.0) + box.backward


def norm(tensor: Any) -> float:
    """The Euclidean norm of a gradient, also of half types, of huge numbers and of SparseRows."""
    tensor = tensor.coalesce().values if type(tensor) is SparseRows else tensor
    array = tensor.data
    if array.dtype.kind == "V":  # bfloat16
        array = array.astype("float32")
    size = abs(array.astype("complex128" if array.dtype.kind == "c" else "float64"))
    largest = size.max().item() if size.size else 0.0
    if not 0 < largest < float("inf"):
        return largest
    return largest * ((size / largest) ** 2).sum().item() ** 0.5
