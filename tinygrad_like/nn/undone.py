"""What is done to a model's modules for a while, such as evaluation mode, and then taken back."""

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
