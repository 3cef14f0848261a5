"""Changes to a model's modules, such as evaluation mode, that are undone after a while."""

from functools import partial
from typing import Any


def attributes_back(model: Any, *names: str) -> list[partial]:
    """The changes that give each module of a model its own attributes of these names back.

    For an `Undoing` block. An attribute that a module has only from its class is removed.
    """
    return [
        partial(own.__setitem__, name, own[name]) if name in own else partial(own.pop, name, None)
        for own in (vars(module) for _, module in model.named_modules())
        for name in names
    ]
