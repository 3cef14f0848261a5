"""Graph: a picture of a recorded graph, to be looked at in a notebook or saved as a file."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinygrad_like import files
from tinygrad_like.engine import GraphError, check_choice, check_integer, mode
from tinygrad_like.engine.errors import describe
from tinygrad_like.pictures import calls, colours, layers, page, recorded, svg, text
from tinygrad_like.pictures.items import MEASURES, Box, Items

SHOWN = 60  # boxes in a picture at most, where modules can be folded for that


def of_tensor(tensor: Any, model: Any = None) -> "Graph":
    """See `Tensor.graph`."""
    _refuse_vmap()
    if model is not None and not hasattr(model, "named_parameters"):
        raise TypeError(f"[graph] model is {describe(model)}, expected a Module, or None")
    return Graph(recorded.of_tensor(tensor, model), f"The graph of a tensor {tensor.shape}")


def of_model(model: Any, inputs: tuple[Any, ...], loss: Callable[[Any], Any] | None) -> "Graph":
    """See `Module.graph`."""
    _refuse_vmap()
    return Graph(calls.of_model(model, inputs, loss), f"The graph of {type(model).__name__}")


def _refuse_vmap() -> None:
    if mode.vmap is not None:
        raise GraphError("[graph] runs inside vmap: draw the graph of one example, outside it")


class Graph:
    """A picture of a graph, from `tensor.graph()` or `model.graph(x)`.

    Each box is an op with the shape and dtype of its output, its parameters, the bytes that it
    keeps for the backward pass, the norm (∇) of its output's gradient, and its time, as far as
    they are known; a module's box has the sums over its ops. A notebook shows it as a page in which
    a click folds and unfolds modules.

    >>> x = tg.Tensor([1.0, 2.0], requires_grad=True)
    >>> graph = (x * x).sum().graph()
    >>> graph
    Graph(3 boxes, 2 lines)
    >>> graph.save("graph.svg")
    """

    def __init__(self, items: Items, title: str):
        self.items, self.title = items, title
        self.items = _merged(items)
        self._levels = layers.levels(self.items)

    def __repr__(self) -> str:
        return f"Graph({len(self.items.boxes)} boxes, {len(self.items.lines)} lines)"

    def save(self, path: Any, *, depth: int | None = None, color: str | None = None) -> None:
        """Write the picture to a file, whose name ends in .html (a page) or .svg.

        Both are files of their own, which need no network. What backward passes have noted until
        now is in it.

        Args:
            depth: how many modules deep to unfold: 0 for none. By default as many as leave at most
                60 boxes. In the page a click folds and unfolds modules.
            color: "time", "saved" (bytes), "gradient" (its norm) or "none". By default the first of
                these that is known.

        Raises ValueError for another ending, OSError if the file cannot be written.
        """
        ending = Path(os.fspath(path)).suffix.lower()
        if ending == ".html":
            content = self.html(depth=depth, color=color)
        elif ending == ".svg":
            content = self.svg(depth=depth, color=color)
        else:
            raise ValueError(f"[graph] path ends in {ending!r}, expected .svg or .html")
        files.write(path, content.encode())

    def svg(self, *, depth: int | None = None, color: str | None = None) -> str:
        """The picture as SVG, with the modules folded as `save` says."""
        shades = self._shades()
        color = _color(color, shades)
        return svg.draw(self.items, self._levels, self._folded(depth), shades, color, self.title)

    def html(self, *, depth: int | None = None, color: str | None = None) -> str:
        """The picture as an HTML page, in which a click folds and unfolds modules."""
        shades, folded = self._shades(), self._folded(depth)
        color = _color(color, shades)
        return page.html(self.items, self._levels, folded, shades, color, self.title)

    def _shades(self) -> dict[str, tuple[list[str], str]]:
        self.items.total()
        return colours.by_measure(self.items.boxes)

    def _folded(self, depth: int | None) -> set[int]:
        """The modules' calls to fold: those that lie `depth` modules deep."""
        modules = [box for box in self.items.boxes if box.number in self._levels]
        deep = {box.number: sum(1 for _ in self.items.above(box)) for box in self.items.boxes}
        if depth is None:
            depth = max(deep.values(), default=0)
            while depth > 1 and sum(deep[box.number] <= depth for box in self.items.boxes) > SHOWN:
                depth -= 1
        else:
            check_integer("graph", "depth", depth, 0)
        return {box.number for box in modules if deep[box.number] >= depth}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        try:
            return {
                "text/html": page.framed(self.html()),
                "image/svg+xml": self.svg(),
                "text/plain": repr(self),
            }
        except Exception:  # a notebook shows the rest of a cell's output, too
            return {"text/html": text.preformatted(self), "text/plain": repr(self)}

    def _repr_html_(self) -> str:
        return self._repr_mimebundle_()["text/html"]


def _color(color: str | None, shades: dict[str, tuple[list[str], str]]) -> str:
    if color is None:
        known = (name for name in MEASURES if shades[name][1] != colours.NOT_KNOWN)
        return next(known, "none")
    return check_choice("graph", "color", color, (*MEASURES, "none"))


def _merged(items: Items) -> Items:
    """The boxes, in which a call of a module that holds one op and nothing else is one with it.

    Calls without ops that no line leads to or from, such as those of Dropout in evaluation, are
    left out.
    """
    within: dict[int | None, list[Box]] = {}
    for box in items.boxes:
        within.setdefault(box.home, []).append(box)
    lined = {number for line in items.lines for number in line}
    into: list[Box | None] = [*items.boxes]
    for module in reversed(items.boxes):  # what is within comes first
        inside = within.get(module.number, [])
        if module.kind != "module" or len(inside) > 1:
            continue
        if not inside and module.number not in lined:
            into[module.number] = None
            within[module.home].remove(module)
        elif inside and inside[0].kind == "op" and not inside[0].path:
            (op,) = inside
            op.detail, op.title, op.path = f"{op.title} {op.detail}".strip(), module.title, "."
            op.forward = module.forward if op.forward is None else op.forward
            op.home = module.home
            into[module.number] = op
            within[module.home][within[module.home].index(module)] = op
    merged = Items()
    merged.boxes = list(dict.fromkeys(box for box in into if box is not None))
    ends = [(into[a], into[b]) for a, b in items.lines]
    homes = [None if box.home is None else into[box.home] for box in merged.boxes]
    for i, box in enumerate(merged.boxes):
        box.number = i
    for box, home in zip(merged.boxes, homes, strict=True):
        box.home = None if home is None else home.number
    merged.lines = {(a.number, b.number) for a, b in ends if a and b and a is not b}
    return merged
