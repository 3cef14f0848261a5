"""A model that runs to be drawn: its calls of modules, their times, and the graph.

The random stream, the buffers and the gradients of parameters are put back: a picture changes
nothing. What each op takes is seen by Python's own profiler, so calls of ops are as they always
are; the backward pass is seen by hooks, from one gradient to the next.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

from tinygrad_like.backend import Undoing
from tinygrad_like.engine import (
    OPS,
    Tensor,
    backend_of,
    enable_grad,
    mode,
    next_serial,
)
from tinygrad_like.engine.containers import tensors_in
from tinygrad_like.engine.errors import describe
from tinygrad_like.engine.walk import walk
from tinygrad_like.nn.base.undone import attributes_back, untouched
from tinygrad_like.pictures import recorded, text
from tinygrad_like.pictures.items import Box, Items, Leaf, norm

RUNS, SECONDS = 3, 1.0  # that are timed, of which the least time counts; no new one after this


def of_model(model: Any, inputs: tuple[Any, ...], loss: Callable[[Any], Any] | None) -> Items:
    """The boxes of a model's run on some inputs, and of the loss of its output, if it is given.

    Raises TypeError if the loss is no function that gives a Tensor with one element.
    """
    if loss is not None and not callable(loss):
        raise TypeError(
            f"[graph] loss is {describe(loss)}, expected a function of the model's output: "
            "loss=lambda y: tg.losses.cross_entropy(y, labels)"
        )
    with untouched(model), enable_grad():
        _walk_back(_loss_of(model(*inputs), loss))  # what runs first compiles kernels
    begun = time.perf_counter()
    items = _one_run(model, inputs, loss)
    for _ in range(RUNS - 1):
        if time.perf_counter() - begun < SECONDS:
            _keep_least(items, _one_run(model, inputs, loss))
    items.total()
    return items


def _one_run(model: Any, inputs: tuple[Any, ...], loss: Callable[[Any], Any] | None) -> Items:
    with untouched(model), enable_grad():
        watch = _Watch(model, inputs)
        output, value = watch.run(loss)
        items = watch.finish(output if value is None else value)
        if value is not None and value.node is not None:
            _backward(items, value)
    for box in items.boxes:
        box.nodes = []
    return items


def _keep_least(items: Items, again: Items) -> None:
    """Let each box have the least time of two runs, if both made the same calls."""
    pairs = list(zip(items.boxes, again.boxes, strict=False))
    if len(items.boxes) == len(again.boxes) and all(a.title == b.title for a, b in pairs):
        for a, b in pairs:
            a.forward = None if a.forward is None else min(a.forward, b.forward or a.forward)
            a.backward = None if a.backward is None else min(a.backward, b.backward or a.backward)


def _loss_of(output: Any, loss: Callable[[Any], Any] | None) -> Any:
    if loss is None:
        return None
    value = loss(output)
    if not isinstance(value, Tensor) or value.size != 1 or value.dtype.kind != "f":
        raise TypeError(
            f"[graph] loss gave {describe(value)}, expected a Tensor with one real number"
        )
    return value


class _Watch:
    """One run of a model: a box for each call of a module, and the seconds of each op."""

    def __init__(self, model: Any, inputs: tuple[Any, ...]):
        self.model, self.items = model, Items()
        self.calls: list[tuple[Box, int]] = []  # with the serial number at their end
        self.stack: list[Box] = []
        self.kept: list[Any] = []  # so that no id is used again
        self.made: dict[int, Box] = {}  # by id, where a value without a node comes from
        self.counts: dict[str, int] = {}
        self.seconds: dict[int, float] = {}  # by the serial number before that of the op's node
        self.inputs = inputs
        arrays = {id(x): x for x in _arrays_in(inputs)}
        self.leaves: dict[int, Box] = {}
        for i, x in enumerate(arrays.values()):
            box = self.items.add("leaf", f"input {i}" if len(arrays) > 1 else "input", None, -1)
            box.output = text.of_array(x.shape, x.dtype)
            self.made[id(x)] = box
            node = getattr(x, "node", None)
            if node is not None:
                self.leaves[id(node)] = box
                box.leaves = [Leaf("", node)]

    def run(self, loss: Any) -> tuple[Any, Any]:
        """The model's output, and the loss."""
        with Undoing(attributes_back(self.model, "forward")):
            for path, module in self.model.named_modules():
                vars(module)["forward"] = self._recording(path, module, module.forward)
            with _Profiler(self.seconds, self._synchronize()):
                output = self.model(*self.inputs)
                value = _loss_of(output, loss)
        return output, value

    def _synchronize(self) -> Callable[[], Any] | None:
        """On a GPU, whose ops go on after their call has returned: what waits for them."""
        devices = {x.device: backend_of(x).xp for x in self.model.parameters()}
        return devices["cuda"].cuda.get_current_stream().synchronize if "cuda" in devices else None

    def _recording(self, path: str, module: Any, forward: Callable[..., Any]) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if mode.recomputing:
                return forward(*args, **kwargs)
            box = self._begin(path, module, [args, kwargs])
            begun = time.perf_counter()
            try:
                output = forward(*args, **kwargs)
            finally:
                box.forward = time.perf_counter() - begun
                self.stack.pop()
                self.calls.append((box, next_serial()))
            found = list(_arrays_in(output))
            shown = [text.of_array(x.shape, x.dtype) for x in found[:2]]
            box.output = ", ".join([*shown, "…"] if len(found) > 2 else shown)
            for x in found:
                if getattr(x, "node", None) is None:
                    self.made.setdefault(id(x), box)
            self.kept.append(output)
            return output

        return call

    def _begin(self, path: str, module: Any, given: Any) -> Box:
        home = self.stack[-1] if self.stack else None
        count = self.counts[path] = self.counts.get(path, 0) + 1
        name = path.removeprefix(f"{home.path}." if home is not None and home.path else "")
        title = f"{name} · {type(module).__name__}" if name else type(module).__name__
        title += f" (call {count})" if count > 1 else ""
        number = None if home is None else home.number
        box = self.items.add("module", title, number, next_serial())
        box.path, box.parameters = path, module.num_parameters()
        self.stack.append(box)
        for x in _arrays_in(given):
            source = self.made.get(id(x))
            if source is not None and getattr(x, "node", None) is None and source is not box:
                for above in self.items.above(box):
                    self.items.lines.discard((source.number, above.number))
                self.items.lines.add((source.number, box.number))
        self.kept.append(given)
        return box

    def finish(self, output: Any) -> Items:
        """All boxes, those of ops too, of the graph below the output."""
        nodes, paths = recorded.nodes_of(tensors_in(output)), recorded.names_of(self.model)
        names = {key: (_last(path), node) for key, (path, node) in paths.items()}
        recorded.fill(self.items, nodes, names, self.leaves, self.calls)
        for box in self.items.boxes:
            if box.kind == "op":
                box.forward = self.seconds.get(box.order - 1)
        return self.items


def _last(path: str) -> str:
    """The last part of a parameter's path, which is enough in a module's box; all, if a number."""
    name = path.rpartition(".")[2]
    return path if name.isdigit() else name


def _arrays_in(value: Any) -> list[Any]:
    """The Tensors and arrays in nested tuples, lists and dicts."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [x for part in value for x in _arrays_in(part)]
    return [value] if hasattr(value, "shape") and hasattr(value, "dtype") else []


class _Profiler:
    """Notes how long each forward of an op takes, where no other profiler runs.

    The number of a note is a serial number: the node that the op's call makes next has the one
    after it.
    """

    def __init__(self, seconds: dict[int, float], synchronize: Callable[[], Any] | None):
        self.seconds, self.synchronize = seconds, synchronize
        self.codes = {getattr(op.forward, "__code__", None) for op in OPS.values()} - {None}
        self.frame: Any = None  # of the op that runs
        self.begun = 0.0

    def __enter__(self) -> None:
        self.alone = sys.getprofile() is None
        if self.alone:
            sys.setprofile(self._see)

    def __exit__(self, *error: Any) -> None:
        if self.alone:
            sys.setprofile(None)

    def _see(self, frame: Any, event: str, arg: Any) -> None:
        if event == "call":
            if self.frame is None and frame.f_code in self.codes:
                self.frame, self.begun = frame, time.perf_counter()
        elif event == "return" and frame is self.frame:
            if self.synchronize is not None:
                self.synchronize()
            self.seconds[next_serial()] = time.perf_counter() - self.begun
            self.frame = None


def _walk_back(value: Any) -> None:
    """A backward pass that keeps the graph, and gives no leaf its gradient."""
    if value is not None and value.node is not None:
        walk([(value.node, backend_of(value).xp.ones_like(value.data))], retain_graph=True)


def _backward(items: Items, value: Any) -> None:
    """Walk back once: note the norms of all gradients, and the time from one to the next."""
    seen: dict[int, tuple[Any, Any]] = {}
    for node, box in recorded.hooked(items):
        seen[id(node)] = node, box
    for leaf in (leaf for box in items.boxes for leaf in box.leaves):
        seen.setdefault(id(leaf.node), (leaf.node, None))
    norms: dict[int, float] = {}
    moments: list[tuple[Box | None, float, float]] = []  # before and after a hook's own work

    def note(node: Any, box: Box | None, gradient: Any) -> None:
        before = time.perf_counter()
        norms[id(node)] = norm(gradient)
        if box is not None:
            box.norms[node.serial] = norms[id(node)]
        moments.append((box, before, time.perf_counter()))

    back = [partial(setattr, node, "hooks", node.hooks) for node, _ in seen.values()]
    with Undoing(back):
        for node, box in seen.values():
            node.hooks = [*(node.hooks or ()), partial(note, node, box)]
        _walk_back(value)
    moments.append((None, time.perf_counter(), 0.0))
    for (of, _, after), (_, before, _) in pairwise(moments):
        if of is not None:
            of.backward = (of.backward or 0.0) + before - after
    for leaf in (leaf for box in items.boxes for leaf in box.leaves):
        leaf.norm = norms.get(id(leaf.node), 0.0)
