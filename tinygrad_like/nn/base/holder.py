"""Holder: what a Module holds, and which of it is state.

Nothing needs to be registered: a Module has what `vars(module)` holds at the time of asking, also
inside lists, tuples and dicts. A path such as `layers.0.weight` names attributes, list indices and
dict keys. A Tensor that occurs twice (tied weights) counts once, at its first path. Of the Tensors

- a parameter is a leaf on which `requires_grad` was ever set: a frozen one is still a parameter;
- a buffer is another Tensor at a place of state;
- what a forward keeps for itself (a hidden state, a logged loss) is neither.

A place is an attribute, or a path in a list. It is a place of state if the Module was given a
Tensor there before its first call, or outside a forward. A list gets further buffers after the
first call only if a new list is assigned, since a forward may have appended to the old one;
parameters and Modules count wherever they are put. What a forward assigns to an attribute that
holds no state is its own, and not state, unless it is a parameter that the forward has made.
"""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from tinygrad_like.engine import Tensor, is_parameter, mode, was_given
from tinygrad_like.engine.containers import refilled
from tinygrad_like.nn.base import arguments
from tinygrad_like.nn.base.patterns import named
from tinygrad_like.nn.base.state import in_place_of, made_again, out_of_place, recorded, refuse_loss

CONTAINERS = (list, tuple, dict)
# Notes of this file, and the hooks, in vars(module).
OURS = frozenset(("_transient", "_noted", "_registered", "_hooks"))


class Holder:
    """The base class of Module: its attributes, and which of them are state."""

    _transient: frozenset[str] | None = None  # a forward's own; None until the first call
    _noted: Mapping[str, bool] = {}  # {place of state in a container: whether of a parameter}
    _registered: Mapping[str, bool] = {}  # {buffer of register_buffer: whether it is saved}

    def __setattr__(self, name: str, value: Any) -> None:
        held = vars(self).get(name)
        if value is not held and (isinstance(held, HELD) or isinstance(value, HELD)):
            value = self._admitted(name, held, value)
        object.__setattr__(self, name, value)

    def _admitted(self, name: str, held: Any, value: Any) -> Any:
        """The value that `self.name = value` assigns, checked if it is state or replaces state."""
        layer = f"[{type(self).__name__}]"
        state = [x for _, x in _state_in(self, name, held)] if isinstance(held, HELD) else []
        parameters = [x for x in state if type(x) is Tensor and is_parameter(x)]
        if isinstance(held, Tensor):
            value = in_place_of(held, value, f"{layer} {name}", name) if state else value
        elif isinstance(held, Holder) or parameters or any(isinstance(x, Holder) for x in state):
            kinds = (Holder,) if isinstance(held, Holder) else (Holder, *CONTAINERS)
            if value is not None and not isinstance(value, kinds):
                raise out_of_place(f"{layer} {name}", name, held, value)
        new = [(path, x) for path, x in _within(value, name, {}) if type(x) is Tensor]
        transient = self._transient or frozenset()
        start = mode.running[0] if self._transient is not None and mode.running else None
        if start is not None or name in transient:  # by a forward, or over what one kept
            made = any(_is_parameter_since(start, x) for _, x in new)
            if start is not None and made and parameters:
                raise made_again(f"{layer} {name}", name)
            if not (made or state or name in self._registered):
                if new:
                    vars(self)["_transient"] = transient | {name}
                return value
            vars(self)["_transient"] = transient - {name}
        for path, x in new:
            if not x.is_leaf and (start is None or parameters):
                raise recorded(f"{layer} {path}", x)
        self._note(name, {path: is_parameter(x) for path, x in new if path != name})
        return value

    def _note(self, name: str, places: dict[str, bool]) -> None:
        """Note the places of state in the container at the attribute `name`."""
        others = {p: role for p, role in self._noted.items() if p.partition(".")[0] != name}
        if places or len(others) < len(self._noted):
            vars(self)["_noted"] = others | places

    def _begin(self) -> None:
        """Before the first call, note the state: what lists get later may not be state."""
        for _ in self._named_leaves():
            pass  # the walk itself checks and notes them
        for _, module in self._named_holders():
            if module._transient is None:
                vars(module)["_transient"] = frozenset()

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Set an attribute that stays a buffer even if a forward assigns to it.

        `self.name = tensor` is enough for most. Without `persistent` the buffer is moved by `to`,
        but is not in the `state_dict`.

        Raises ValueError if the name cannot be an attribute's or is taken, TypeError if `tensor`
        is not a Tensor, is a parameter or was computed.
        """
        persistent = arguments.flag("register_buffer", "persistent", persistent)
        held = vars(self).get(name) if isinstance(name, str) else None
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"[register_buffer] name is {name!r}, expected that of an attribute")
        taken = held if name in vars(self) else getattr(type(self), name, None)
        if taken is not None and type(taken) is not Tensor:
            raise ValueError(
                f"[register_buffer] {name} is a {type(taken).__name__} of "
                f"{type(self).__name__}; choose another name"
            )
        for x in (tensor, held):
            if isinstance(x, Tensor) and (is_parameter(x) or not x.is_leaf):
                raise TypeError(
                    f"[register_buffer] {name} {x.shape} is a parameter or was computed"
                )
        if tensor is not None and type(tensor) is not Tensor:
            raise TypeError(
                f"[register_buffer] {name} is a {type(tensor).__name__}, expected a Tensor"
            )
        vars(self)["_registered"] = {**self._registered, name: persistent}
        if self._transient is not None:
            vars(self)["_transient"] = self._transient - {name}
        vars(self)[name] = tensor

    def _named_holders(self) -> Iterator[tuple[str, "Holder"]]:
        return filter(lambda item: isinstance(item[1], Holder), _walk(self, held))

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """(path, parameter) of this module and all below it, frozen ones included."""
        return ((path, x) for path, x in self._named_leaves() if is_parameter(x))

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer) of this module and all below it."""
        return ((path, x) for path, x in self._named_leaves() if not is_parameter(x))

    def _named_leaves(self) -> Iterator[tuple[str, Tensor]]:
        return ((path, x) for path, x in _walk(self, _checked) if type(x) is Tensor)

    def parameters(self, *patterns: str) -> list[Tensor]:
        """All parameters, for an optimizer, frozen ones included (it skips those).

        Args:
            patterns: if given, only parameters whose path, or the path of something that holds
                them, fits one of these. `*` stands for any text, dots included, `?` for one
                character, `[0-3]` for one of several. A tied weight has several paths.

        Raises:
            GraphError: if a Tensor in a list was meant as a parameter, but was computed by an op.
            StateError: if a place in a list held a parameter and now holds other values.
            ValueError: if a pattern names no parameter; the message has similar paths.

        >>> from tinygrad_like import nn
        >>> model = nn.Sequential(nn.Dense(2, 3), nn.Dense(3, 1))
        >>> [p.shape for p in model.parameters("0", "*.bias")]
        [(2, 3), (3,), (1,)]
        """
        if patterns:
            return self._named_by("parameters", patterns)
        return [p for _, p in self.named_parameters()]

    def _named_by(self, function: str, patterns: tuple[str, ...]) -> list[Tensor]:
        """The parameters that one of the patterns names; `function` is named in errors."""
        everything = self.parameters()  # this checks, too, that all of them can be state
        places = [(path, x) for path, _, _, x in places_in(self) if type(x) is Tensor]
        places = [(path, x) for path, x in places if is_parameter(x)]
        chosen = {id(x) for p in patterns for _, x in named(function, p, places)}
        return [p for p in everything if id(p) in chosen]

    def num_parameters(self) -> int:
        """The number of elements of all parameters."""
        return sum(p.size for p in self.parameters())

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: Tensors that a forward kept lose their history; no hooks."""
        state = {name: x for name, x in vars(self).items() if name != "_hooks"}
        if self._transient is None:
            return state
        made: dict[int, Any] = {}
        return {name: _without_history(x, made) for name, x in state.items()}


HELD = (Tensor, Holder, *CONTAINERS)


def held(module: Holder) -> list[tuple[str, Any]]:
    """[(path, x)] of the state and the Modules that a Module itself holds, also in containers."""
    found: list[tuple[str, Any]] = []
    for name, value in _members(module):
        if isinstance(value, HELD) and name not in OURS:
            found += _state_in(module, str(name), value)
    return found


def _state_in(module: Holder, name: str, value: Any) -> list[tuple[str, Any]]:
    """[(path, x)] of the state and the Modules in the value of an attribute."""
    begun, transient = module._transient is not None, name in (module._transient or ())
    if isinstance(value, Holder) or type(value) is Tensor:
        return [] if transient and type(value) is Tensor else [(name, value)]
    found: list[tuple[str, Any]] = []
    for path, x in _within(value, name, {}):
        if isinstance(x, Holder):
            found.append((path, x))
        elif type(x) is Tensor and not transient:
            is_place = not begun or path in module._noted
            if is_place or (is_parameter(x) and not was_given(x)):
                found.append((path, x))
    return found


def _checked(module: Holder) -> list[tuple[str, Any]]:
    """What `held` finds, checked that it can be state, and its places noted."""
    found, begun, places = held(module), module._transient is not None, {}
    for path, x in found:
        if type(x) is Tensor:
            if not begun and not x.is_leaf:
                raise recorded(f"[{type(module).__name__}] {path}", x)
            if "." in path:
                places[path] = is_parameter(x)
    for path, role in module._noted.items():
        if role and not places.get(path):
            refuse_loss(f"[{type(module).__name__}] {path}", _at(module, path))
    if places != module._noted:
        vars(module)["_noted"] = places
    return found


def _walk(module: Holder, own: Any, path: str = "", seen: Any = None) -> Iterator[tuple[str, Any]]:
    """(path, x) of a module, and of what `own` returns for it and all Modules below, each once."""
    seen = {} if seen is None else seen  # it holds the objects, so that no id is reused
    seen[id(module)] = module
    yield path, module
    for name, x in own(module):
        if id(x) in seen:
            continue
        here = f"{path}.{name}" if path else name
        if isinstance(x, Holder):
            yield from _walk(x, own, here, seen)
        else:
            seen[id(x)] = x
            yield here, x


def places_in(
    module: Holder, path: str = "", above: tuple[Holder, ...] = ()
) -> Iterator[tuple[str, Holder, str, Any]]:
    """(path, owner, name, x) of all state and Modules below a module, at all their paths.

    `owner` is the Module that holds x itself, `name` the path there. Other than `_walk`, this comes
    to what is tied or shared once for each path; only a Module that holds itself is not entered
    again.
    """
    above = (*above, module)
    for name, x in held(module):
        here = f"{path}.{name}" if path else name
        yield here, module, name, x
        if isinstance(x, Holder) and not any(x is one for one in above):
            yield from places_in(x, here, above)


def _within(value: Any, path: str, seen: dict) -> Iterator[tuple[str, Any]]:
    """(path, x) of a value or, if it is a container, of everything in it, at any depth."""
    if not isinstance(value, CONTAINERS) or isinstance(value, Holder):
        yield path, value
    elif id(value) not in seen:  # a container that holds itself ends there
        seen[id(value)] = value
        for name, x in _members(value):
            yield from _within(x, f"{path}.{name}", seen)


def _members(value: Any) -> list[tuple[Any, Any]]:
    """(name, value) of what a Module, dict, list or tuple holds; a list Module holds both kinds."""
    members: list[tuple[Any, Any]] = []
    if isinstance(value, Holder):
        members += vars(value).items()
    if isinstance(value, dict):
        members += value.items()
    elif isinstance(value, (list, tuple)):
        members += enumerate(value)
    return members


def _at(module: Holder, path: str) -> Any:
    """What a path leads to in the containers of a Module; None if nothing is there."""
    value: Any = module
    for step in path.split("."):
        value = next((x for name, x in _members(value) if str(name) == step), None)
    return value


def _is_parameter_since(start: int | None, x: Tensor) -> bool:
    """Whether x is a parameter made by the forward that began at `start`, not an input of it."""
    if not is_parameter(x):
        return False
    return start is None or (x.node is not None and x.node.serial > start)


def _without_history(value: Any, made: dict[int, Any]) -> Any:
    """The value, with computed Tensors, also those in containers, detached from their history."""
    if type(value) is Tensor:
        return value if value.is_leaf else value.detach()
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, Holder) or not isinstance(value, CONTAINERS):
        return value
    if all(type(x) is not Tensor or x.is_leaf for _, x in _within(value, "", {})):
        return value
    if isinstance(value, tuple):
        return refilled(value, [_without_history(x, made) for x in value])
    new: Any = copy.copy(value)  # also of a subclass
    made[id(value)] = new
    for key, x in _members(value):
        new[key] = _without_history(x, made)
    return new
