"""Other arrays in place of a model's own, until a `with` block ends, also by an error.

A Tensor stays the same object and gets another raw array. Its own array is not written to, so it
comes back the same to the last bit, and the state that an optimizer has for it still fits.
"""

from functools import partial
from typing import Any

from tinygrad_like.engine import Tensor, commit


def leaves(model: Any) -> dict[str, Tensor]:
    """{path: Tensor} of all parameters and saved buffers of a model, as its `state_dict` has them.

    Raises TypeError if `model` is not a Module.
    """
    found = getattr(model, "_leaves_by_path", None)
    if found is None:
        kind = type(model).__name__
        raise TypeError(f"[Average] model is a {kind}, expected a Module, such as nn.Sequential")
    return found()


def restoring(model: Any) -> list[partial]:
    """The changes that put the present Tensors of a model, and their arrays, back in place."""
    changes = []
    for _, module in model.named_modules():
        own = vars(module)
        held = [(name, value) for name, value in own.items() if type(value) is Tensor]
        changes += [partial(own.__setitem__, name, value) for name, value in held]
    tensors = [t for _, t in (*model.named_parameters(), *model.named_buffers())]
    return [*changes, *(partial(object.__setattr__, t, "_array", t.data) for t in tensors)]


def exchange(pairs: Any) -> None:
    """Give each Tensor the array beside it; all of them, or none."""
    commit([partial(object.__setattr__, t, "_array", array) for t, array in pairs])
