"""Changes to a model's modules, such as evaluation mode, that are undone after a while."""

from functools import partial
from typing import Any

from tinygrad_like.backend import Undoing
from tinygrad_like.engine import backend_of
from tinygrad_like.generator import GENERATOR


def attributes_back(model: Any, *names: str) -> list[partial]:
    """The changes that give each module of a model its own attributes of these names back.

    For an `Undoing` block. An attribute that a module has only from its class is removed.
    """
    return [
        partial(own.__setitem__, name, own[name]) if name in own else partial(own.pop, name, None)
        for own in (vars(module) for _, module in model.named_modules())
        for name in names
    ]


def untouched(model: Any) -> Undoing:
    """A block after which the buffers and the random stream are what they were.

    Within it the buffers have a copy of their array, into which a forward may write.
    """
    back: list[partial] = [GENERATOR.back()]
    buffers, modules = list(model.named_buffers()), dict(model.named_modules())
    for path, buffer in buffers:
        back.append(partial(object.__setattr__, buffer, "_array", buffer.data))
        back.append(partial(buffer.version.__setitem__, 0, buffer.version[0]))
        above, _, name = path.rpartition(".")
        own: Any = vars(modules[above]) if above in modules else {}
        if name in own:  # else it is in a list or a dict
            back.append(partial(own.__setitem__, name, buffer))
    block = Undoing(back)
    copies = [backend_of(buffer).xp.array(buffer.data) for _, buffer in buffers]
    for (_, buffer), copy in zip(buffers, copies, strict=True):
        object.__setattr__(buffer, "_array", copy)
    return block
