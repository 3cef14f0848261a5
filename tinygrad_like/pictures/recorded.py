"""From the recorded graph below some tensors to the boxes of its picture.

A node is an op's box. Its serial number says in which call of a module it was made: the calls
nest, so each node belongs to the innermost call whose numbers surround its own. The leaves that
are a model's parameters stand in the boxes of the ops that read them, others have their own box.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

from tinygrad_like.engine import errors, nodes_below
from tinygrad_like.engine.errors import GraphError
from tinygrad_like.engine.plan import OutputPlan
from tinygrad_like.pictures import text
from tinygrad_like.pictures.items import Box, Items, Leaf, norm
from tinygrad_like.pictures.memory import saved_by


def nodes_of(outputs: Iterable[Any]) -> list[Any]:
    """All nodes below some tensors, by rising serial number."""
    found: set[Any] = set()
    for tensor in outputs:
        found |= nodes_below(tensor)
    return sorted(found, key=lambda node: node.serial)


def of_tensor(tensor: Any, model: Any = None) -> Items:
    """The boxes of the graph that a tensor was computed by.

    The norms of gradients are noted when a backward pass goes through. Raises GraphError if there
    is no graph, or if it was freed.
    """
    if tensor.node is None:
        raise GraphError(errors.no_graph(tensor, True).replace("[backward]", "[graph]", 1))
    if tensor.node.plan is not None and tensor.node.saved is None:
        raise GraphError(
            "[graph] backward has freed this graph: call graph() before backward(), or "
            "backward(retain_graph=True)"
        )
    items = Items()
    fill(items, nodes_of([tensor]), names_of(model), {})
    for node, box in hooked(items):
        node.hooks = [*(node.hooks or ()), partial(_note, box, node.serial)]
    for box in items.boxes:  # else a node would hold itself by its hook
        box.nodes = []
    return items


def _note(box: Box, serial: int, gradient: Any) -> None:
    box.norms[serial] = norm(gradient)


def names_of(model: Any) -> dict[int, tuple[str, Any]]:
    """{id of a leaf node: (path, node)} of a model's parameters: the names that boxes show."""
    named = model.named_parameters() if model is not None else ()
    return {id(p.node): (path, p.node) for path, p in named if p.node is not None}


def fill(
    items: Items,
    nodes: list[Any],
    names: dict[int, tuple[str, Any]],
    known: dict[int, Box],
    calls: Any = (),
) -> None:
    """Add the boxes of nodes, given those of leaves that have one already, by the node's id.

    `calls` are the boxes of modules' calls with the serial number at which each ended.
    """
    boxes = dict(known)
    homes = _homes(nodes, calls)
    saved = saved_by(nodes)
    for node in nodes:
        plan = node.plan
        if type(plan) is OutputPlan:
            boxes[id(node)] = boxes[id(node.parents[0])] if node.parents else _freed(items, node)
        elif plan is not None:
            boxes[id(node)] = _box_of_op(items, node, homes.get(id(node)), names)
            boxes[id(node)].saved = saved[id(node)]
        elif id(node) not in names and id(node) not in boxes:
            box = items.add("leaf", "leaf", None, node.serial)
            box.output, box.leaves = text.of_array(node.shape, node.dtype), [Leaf("", node)]
            boxes[id(node)] = box
        else:
            continue
        box = boxes[id(node)]
        box.nodes.append(node)
        for parent in node.parents:
            above = boxes.get(id(parent)) if parent is not None else None
            if above is not None and above is not box:
                items.lines.add((above.number, box.number))


def _freed(items: Items, node: Any) -> Box:
    """The box of one output of a call that backward has freed."""
    return items.add("op", node.plan.op.name, None, node.serial)


def _box_of_op(items: Items, node: Any, home: int | None, names: dict[int, tuple[str, Any]]) -> Box:
    op = node.plan.op
    box = items.add("op", op.name, home, node.serial)
    box.output = text.of_array(node.shape, node.dtype)
    for parent in node.parents:
        if id(parent) in names:
            box.leaves.append(Leaf(names[id(parent)][0], parent))
    if node.saved is None:
        box.detail = "freed by backward"
    return box


def _homes(nodes: list[Any], calls: Any) -> dict[int, int]:
    """{id of a node: the number of the innermost call in which it was made}."""
    homes: dict[int, int] = {}
    waiting = sorted(calls, key=lambda call: call[0].order)
    stack: list[tuple[Box, int]] = []
    i = 0
    for node in nodes:
        while i < len(waiting) and waiting[i][0].order < node.serial:
            stack.append(waiting[i])
            i += 1
        while stack and stack[-1][1] < node.serial:
            stack.pop()
        if stack:
            homes[id(node)] = stack[-1][0].number
    return homes


def hooked(items: Items) -> list[tuple[Any, Box]]:
    """(node, box) where a hook sees the gradient of an output: not that of the call of several."""
    return [
        (node, box)
        for box in items.boxes
        for node in box.nodes
        if node.plan is not None and (type(node.plan) is OutputPlan or not node.plan.op.several)
    ]
