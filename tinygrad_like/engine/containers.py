"""Tensors in nested tuples, lists and dicts."""

import copy

from tinygrad_like.engine.tensor import Tensor


def tensors_in(value):
    """A list of the Tensors in nested tuples, lists and dicts, or of the one that `value` is."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return []
    return [t for x in value for t in tensors_in(x)]


def refilled(container, items):
    """A container of the type of `container`, also of a subclass, with `items` in its order.

    `container` is a tuple, a list or a dict, whose keys stay.
    """
    kind = type(container)
    if isinstance(container, tuple):
        new = tuple.__new__(kind, items)  # a named tuple is not made from one sequence
        if hasattr(container, "__dict__"):
            vars(new).update(vars(container))
    elif isinstance(container, list):
        new = copy.copy(container)
        new[:] = items
    else:
        new = copy.copy(container)
        for key, x in zip(container, items, strict=True):
            new[key] = x
    return new


def mark_given(value, depth=4):
    """Mark the leaves that require a gradient in a value as inputs, also in containers in it."""
    if type(value) is Tensor:
        if value.node is not None and value.node.plan is None:
            value._given = True
    elif depth and isinstance(value, (list, tuple, dict)):
        for x in value.values() if isinstance(value, dict) else value:
            if isinstance(x, (Tensor, list, tuple, dict)):
                mark_given(x, depth - 1)
