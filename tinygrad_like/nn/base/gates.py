"""Gates around a call of a Module, at which hooks see gradients on their way back.

A gate is an op that returns its inputs. In front of a call there is one for the arguments, behind
it one for the output: so a gradient at a gate belongs to this call alone, also where a Tensor has
other uses.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_like.engine import (
    Batched,
    Tensor,
    astype,
    backend_of,
    conjugated,
    errors,
    op,
    wrap,
)
from tinygrad_like.engine.containers import refilled


class Gates:
    """The gates around one call, and its hooks of gradients.

    `inputs` and `outputs` are shaped as the arguments and the output, with the number of its
    gradient in place of each Tensor that has one, and None in place of anything else.
    """

    def __init__(self, module: Any, before: tuple, after: tuple):
        self.module, self.before, self.after = module, before, after
        self.inputs: Any = ()
        self.outputs: Any = ()
        self.grad_output: Any = None

    def enter(self, args: tuple) -> tuple:
        """The arguments, behind a gate if hooks see their gradients."""
        if not self.after:
            return args
        args, self.inputs = _behind(args, self._on_inputs)
        return args

    def leave(self, out: Any) -> Any:
        """The output behind a gate."""
        found, self.outputs = _behind(out if type(out) is tuple else (out,), self._on_outputs)
        return found if type(out) is tuple else found[0]

    def _on_outputs(self, gradients: list) -> list:
        for handle in self.before:
            if handle.is_there:
                new = handle.hook(self.module, _filled(self.outputs, gradients))
                gradients = _replaced("full_backward_pre", self.outputs, gradients, new)
        self.grad_output = _filled(self.outputs, gradients)
        if not any(_numbers(self.inputs)):
            nothing = _filled(self.inputs, [])
            for handle in self.after:
                if handle.is_there:
                    new = handle.hook(self.module, nothing, self.grad_output)
                    _replaced("full_backward", self.inputs, [], new)
        return gradients

    def _on_inputs(self, gradients: list) -> list:
        above = self.grad_output
        if above is None:  # the module's own loss has the only gradient
            above = _filled(self.outputs, [None] * len([*_numbers(self.outputs)]))
        for handle in self.after:
            if handle.is_there:
                new = handle.hook(self.module, _filled(self.inputs, gradients), above)
                gradients = _replaced("full_backward", self.inputs, gradients, new)
        self.grad_output = None
        return gradients


def _behind(value: tuple, watch: Callable) -> tuple[tuple, Any]:
    """(the value with each recorded Tensor behind a gate, its numbers as in Gates)."""
    tensors: list[Tensor] = []

    def numbered(x: Any) -> Any:
        if not _is_recorded(x):
            return None
        tensors.append(x)
        return len(tensors)  # from 1 on

    numbers = _mapped(value, numbered)
    if not tensors:
        return value, numbers
    gated = iter(hooked(tensors, watch=watch))
    return _mapped(value, lambda x: next(gated) if _is_recorded(x) else x, keep=True), numbers


def _is_recorded(x: Any) -> bool:
    """Whether x is a Tensor with a history, inside vmap also that of all examples."""
    if type(x) is not Tensor:
        return False
    array = x._array
    return x.node is not None or (type(array) is Batched and _is_recorded(array.inner))


def _mapped(value: Any, f: Callable, keep: bool = False) -> Any:
    """Tuples, lists and dicts with f of everything in them.

    With `keep` each container keeps its type, and one without recorded Tensors stays the same
    object: a cache is filled by the module that gets it.
    """
    if not isinstance(value, (tuple, list, dict)):
        return f(value)
    if keep and not any(_numbers(_mapped(value, _is_recorded))):
        return value
    inside = value.values() if isinstance(value, dict) else value
    items = [_mapped(x, f, keep) for x in inside]
    if keep or hasattr(value, "_fields"):  # a named tuple
        return refilled(value, items)
    if isinstance(value, dict):
        return dict(zip(value, items, strict=True))
    return items if isinstance(value, list) else tuple(items)


def _numbers(value: Any) -> Any:
    """What is not None (nor False) in nested containers."""
    if isinstance(value, (tuple, list, dict)):
        for x in value.values() if isinstance(value, dict) else value:
            yield from _numbers(x)
    elif value:
        yield value


def _filled(numbers: Any, gradients: list) -> Any:
    """The gradients in the place of their numbers."""
    return _mapped(numbers, lambda i: gradients[i - 1] if i else None)


def _replaced(kind: str, numbers: Any, gradients: list, new: Any) -> list:
    """The gradients, or what a hook returned in their place, checked."""
    if new is None:
        return gradients
    found: list[Any] = [None] * len(gradients)
    _match(f"[register_{kind}_hook]", numbers, _alone(numbers, new), found, gradients)
    return found


def _alone(numbers: tuple, new: Any) -> Any:
    return (new,) if len(numbers) == 1 and not isinstance(new, tuple) else new


def _match(place: str, numbers: Any, new: Any, found: list, gradients: list) -> None:
    """Put each gradient in `new`, which has to be shaped as `numbers`, into `found`."""
    if isinstance(numbers, (tuple, list, dict)):
        is_dict = isinstance(numbers, dict)
        if isinstance(new, dict) is not is_dict or not isinstance(new, (tuple, list, dict)):
            raise TypeError(f"{place} the hook returned {errors.describe(new)}, expected {numbers}")
        if len(new) != len(numbers) or (is_dict and {*new} != {*numbers}):
            raise ValueError(
                f"{place} the hook returned {len(new)} gradients, expected {len(numbers)}: one, "
                "or None, for each"
            )
        for key in numbers if is_dict else range(len(numbers)):
            _match(place, numbers[key], new[key], found, gradients)
    elif numbers is None:
        if new is not None:
            raise ValueError(f"{place} the hook returned a gradient for what has none, not None")
    elif new is not None:
        old = gradients[numbers - 1]
        if type(new) is not Tensor or (old is not None and new.shape != old.shape):
            shape = "" if old is None else f" of shape {old.shape}"
            got = f"one of {new.shape}" if type(new) is Tensor else f"a {type(new).__name__}"
            raise ValueError(f"{place} the hook returned {got}, expected a Tensor{shape}")
        found[numbers - 1] = new


def _hooked_of_all(call: Any, arrays: Any, attributes: Any) -> Any:
    return call(*(x.full() for x in arrays), **attributes)


def _hooked_rule(gs: Any, watch: Any, xs_shape: Any) -> list:
    some = next(g for g in gs if g is not None)
    found = watch([None if g is None else conjugated(_copied(g)) for g in gs])
    zeros = backend_of(some).xp.zeros
    tensors = []
    for g, shape in zip(found, xs_shape, strict=True):
        t = wrap(zeros(shape, some.dtype)) if g is None else conjugated(g)
        if t.shape != shape:
            raise ValueError(
                f"[hooked] a hook returned a gradient of shape {t.shape}, expected {shape}"
            )
        if t.dtype.kind == "c" and some.dtype.kind != "c":
            raise TypeError(f"[hooked] a hook returned {t.dtype}, expected real numbers")
        tensors.append(t)
    return tensors if type(some) is Tensor else [t._array for t in tensors]


def _copied(g: Any) -> Tensor:
    """A copy of a gradient as a Tensor, into which a hook may write."""
    if type(g) is Tensor:
        return astype(g, dtype=g.dtype)
    return wrap(np.array(g) if isinstance(g, np.generic) else g.copy())


@op(
    several=True,
    view=True,
    partial=True,
    complex=True,
    batch=_hooked_of_all,
    backward=_hooked_rule,
)
def hooked(be: Any, *xs: Any, watch: Callable) -> tuple:
    """A gate: `xs` themselves, whose gradients are what `watch` returns for a list of them.

    `watch` is called once in a backward pass, when all of them are known, with None for those that
    nothing depends on.
    """
    return xs


hooked.op.is_ours = False  # a hook may return an array that it keeps: nothing is added to it
