"""Module: a function with parameters, found by walking its attributes.

There is no registration: what `vars(module)` holds when one asks, also inside lists, tuples and
dicts, is what it has. A path such as `layers.0.weight` names attributes, list indices and dict
keys. What occurs twice (tied weights) counts once, at its first path. Of the Tensors

- a parameter is a leaf on which `requires_grad` was ever set: freezing one changes no list;
- a buffer is another Tensor that was given to the module, or made by its name (`Tensor`,
  `tg.zeros`), outside a forward;
- what a forward keeps for itself (a hidden state, a logged loss) is neither. It may be assigned
  to an attribute that held no state before, or appended to a list.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from reprlib import recursive_repr
from textwrap import indent
from typing import Any, TypeVar, final

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING
from tinygrad_like.engine import (
    Tensor,
    commit,
    is_kept,
    is_parameter,
    keep,
    mode,
    move,
    next_serial,
)
from tinygrad_like.nn import arguments
from tinygrad_like.nn.state import (
    StateError,
    StateReport,
    in_place_of,
    loading,
    recorded,
    refuse_loss,
)
from tinygrad_like.nn.summary import head, table

Self = TypeVar("Self", bound="Module")
HOLDERS = (Tensor, list, tuple, dict)


class Module:
    """A function with parameters. A subclass sets attributes and defines `forward`.

    Calling the module runs `forward`. No call of `super().__init__()` is needed.

    >>> import tinygrad_like as tg
    >>> from tinygrad_like import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         self.layers = [nn.Dense(4, 8), nn.Dense(8, 2, bias=False)]
    ...     def forward(self, x):
    ...         return self.layers[1](tg.tanh(self.layers[0](x)))
    >>> net = Net()
    >>> net(tg.zeros((3, 4))).shape
    (3, 2)
    >>> [path for path, _ in net.named_parameters()]
    ['layers.0.weight', 'layers.0.bias', 'layers.1.weight']
    """

    training: bool = True
    _kept: frozenset[str] | None = None  # attributes of a forward; None until the first call
    _listed: frozenset[str] = frozenset()  # paths in lists that held parameters at the first call
    _registered: Mapping[str, bool] = {}  # buffers by register_buffer: whether they are saved

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        name = type(self).__name__
        raise TypeError(f"[{name}] has no forward: define `def forward(self, x)` in class {name}")

    @final
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._kept is None:
            self._begin()
        running = mode.running
        outermost = not running
        try:
            if outermost:
                running.append(next_serial())
            return self.forward(*args, **kwargs)
        except (ValueError, TypeError, IndexError) as error:
            _locate(error, self)
            raise
        finally:
            if outermost:
                running.clear()

    # What it holds

    def __setattr__(self, name: str, value: Any) -> None:
        held = vars(self).get(name)
        if (type(held) is Tensor or isinstance(value, HOLDERS)) and value is not held:
            value = self._admitted(name, held, value)
        object.__setattr__(self, name, value)

    def _admitted(self, name: str, held: Any, value: Any) -> Any:
        """What `self.name = value` assigns, once it is known whether that is state."""
        place, kept = f"[{type(self).__name__}] {name}", name in (self._kept or ())
        if type(held) is Tensor and not kept:
            value = in_place_of(held, value, place)
        new, old = _tensors(value), [] if kept else _tensors(held)
        start = mode.running[0] if self._kept is not None and mode.running else None
        if start is not None or kept:
            is_state = name in self._registered or any(is_kept(x) or is_parameter(x) for x in old)
            if not is_state and not any(_is_new_parameter(x, start) for x in new):
                if new and not kept:
                    vars(self)["_kept"] = frozenset([*(self._kept or ()), name])
                return value
            vars(self)["_kept"] = (self._kept or frozenset()) - {name}
        for i, x in enumerate(new):
            if not x.is_leaf and (start is None or any(map(is_parameter, old))):
                raise recorded(place if x is value else f"{place}, Tensor {i} in it,", x)
            keep(x)
        listed = self._listed - {p for p in self._listed if p.partition(".")[0] == name}
        if len(listed) < len(self._listed):
            vars(self)["_listed"] = listed
        return value

    def _begin(self) -> None:
        """Before the first call: what is held by now is state, what lists get later may not be."""
        for _, x in self._named_leaves():
            keep(x)
        for _, module in self.named_modules():
            if module._kept is None:
                listed = frozenset(
                    path
                    for path, x in _held(module)
                    if "." in path and type(x) is Tensor and is_parameter(x)
                )
                vars(module).update(_kept=frozenset(), _listed=listed)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Set an attribute that is a buffer whatever a forward does with it.

        `self.name = tensor` is enough for most. Without `persistent` the buffer is moved by `to`,
        but is no part of the `state_dict`. TypeError for what is no Tensor, or is a parameter.
        """
        persistent = arguments.flag("register_buffer", "persistent", persistent)
        held = vars(self).get(name)
        for x in (tensor, held):
            if isinstance(x, Tensor) and (is_parameter(x) or not x.is_leaf):
                raise TypeError(
                    f"[register_buffer] {name} {x.shape} is a parameter or was computed"
                )
        if tensor is not None:
            if type(tensor) is not Tensor:
                raise TypeError(
                    f"[register_buffer] {name} is a {type(tensor).__name__}, expected a Tensor"
                )
            keep(tensor)
        vars(self)["_registered"] = {**self._registered, name: persistent}
        if self._kept is not None:
            vars(self)["_kept"] = self._kept - {name}
        vars(self)[name] = tensor

    def named_modules(self) -> Iterator[tuple[str, "Module"]]:
        """(path, module) of this module, whose path is "", and of all below it."""
        return ((path, x) for path, x in _walk(self) if isinstance(x, Module))

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """(path, parameter) of this module and all below it, frozen ones included."""
        return ((path, x) for path, x in self._named_leaves() if is_parameter(x))

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer) of this module and all below it."""
        return ((path, x) for path, x in self._named_leaves() if not is_parameter(x))

    def _named_leaves(self) -> Iterator[tuple[str, Tensor]]:
        for path, x in _walk(self):
            if isinstance(x, Module):
                for name in x._listed:
                    refuse_loss(f"[{type(x).__name__}] {name}", _at(x, name))
            else:
                if not x.is_leaf and not is_kept(x):
                    raise recorded(f"[{type(self).__name__}] {path}", x)
                yield path, x

    def parameters(self) -> list[Tensor]:
        """All parameters, for an optimizer, frozen ones included (it skips those).

        Raises GraphError for a Tensor in a list that was meant as one, but was computed by an op.
        """
        return [p for _, p in self.named_parameters()]

    def num_parameters(self) -> int:
        """The number of elements of all parameters."""
        return sum(p.size for p in self.parameters())

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """{path: a copy, without history} of all parameters and (persistent) buffers.

        Raises StateError if two Tensors have one path (dict keys 0 and "0").
        """
        return {path: Tensor(x) for path, x in self._leaves_by_path().items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> StateReport:
        """Copy the values of a state into the parameters and buffers, which stay the same objects.

        Args:
            state: {path: Tensor or array}, as `state_dict` or `tg.io.load` returns it. Values
                are converted to the dtype and device of their parameter.
            strict: whether all must fit. If not, what fits is loaded.

        Returns:
            The StateReport of what did not fit.

        Raises:
            StateError: with a full report, if strict and the state does not fit; and for a state
                of PyTorch's, which `tg.interchange.load_torch` reads. Nothing is changed then.
        """
        strict = arguments.flag("load_state_dict", "strict", strict)
        report, changes = loading(type(self).__name__, self._leaves_by_path(), state, strict)
        commit(changes)
        return report

    def _loading(self, state: Mapping[str, Any]) -> list[partial]:
        """The changes, for `commit`, that `load_state_dict(state)` makes."""
        return loading(type(self).__name__, self._leaves_by_path(), state, strict=True)[1]

    def _leaves_by_path(self) -> dict[str, Tensor]:
        leaves: dict[str, Tensor] = {}
        transient = {
            id(vars(module)[name])
            for _, module in self.named_modules()
            for name, persistent in module._registered.items()
            if not persistent and name in vars(module)
        }
        for path, x in self._named_leaves():
            if id(x) in transient:
                continue
            if path in leaves:
                raise StateError(f"[state_dict] two Tensors have the path {path!r}: rename one")
            leaves[path] = x
        return leaves

    # Modes, gradients, places

    def train(self: Self, mode: bool = True) -> Self:
        """Set `.training` on this module and all below it (Dropout and BatchNorm heed it)."""
        mode = arguments.flag("train", "mode", mode)
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """`train(False)`."""
        return self.train(False)

    def requires_grad_(self: Self, wanted: bool = True) -> Self:
        """Set `requires_grad` of all parameters: False freezes them, and an optimizer skips them.

        They are still parameters. A part is frozen by itself: `model.encoder.freeze()`.
        """
        for p in self.parameters():
            p.requires_grad = wanted
        return self

    def freeze(self: Self) -> Self:
        """`requires_grad_(False)`."""
        return self.requires_grad_(False)

    def unfreeze(self: Self) -> Self:
        """`requires_grad_(True)`."""
        return self.requires_grad_(True)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters, frozen ones included."""
        for p in self.parameters():
            p.zero_grad()

    def to(self: Self, device_or_dtype: Any) -> Self:
        """Move parameters, buffers and gradients to a device, or cast floating ones to a dtype.

        In place: the Tensors stay the same objects, so an optimizer that has them goes on.

        Raises DeviceError for what is no device that can be used and no dtype, TypeError for a
        dtype that is not floating.
        """
        leaves = [x for _, x in self._named_leaves()]
        for device in {x.device for x in leaves} or {"cpu"}:  # refuses before anything is changed
            target = Tensor(0.0, device=device).to(device_or_dtype)
            if target.dtype.kind not in FLOATING:
                raise TypeError(f"[to] dtype is {target.dtype}, expected a floating one")
        for x in leaves:
            if x.dtype.kind not in FLOATING and not backend.is_device(device_or_dtype):
                continue
            moved = x.detach().to(device_or_dtype).data
            if moved is not x.data:
                move(x, moved)
            if x.grad is not None:
                x.grad = x.grad.detach().to(device_or_dtype)
        return self

    # To look at

    @recursive_repr("...")
    def __repr__(self) -> str:
        below = [f"({path}): {x!r}" for path, x in _held(self) if isinstance(x, Module)]
        if not below:
            return head(self)
        return head(self)[:-1] + "\n" + indent("\n".join(below), "  ") + "\n)"

    def summary(self, *inputs: Any) -> str:
        """A table: a row for each module, with the number of parameters that it holds itself.

        With example inputs, `forward` runs on them once (without recording, in evaluation mode)
        for the column of output shapes.
        """
        return table(self, inputs)


# The walk


def _members(value: Any) -> list[tuple[Any, Any]]:
    """(name, value) of what a Module, dict, list or tuple holds; a list Module holds both kinds."""
    members: list[tuple[Any, Any]] = []
    if isinstance(value, Module):
        members += vars(value).items()
    if isinstance(value, dict):
        members += value.items()
    elif isinstance(value, (list, tuple)):
        members += enumerate(value)
    return members


def _tensors(value: Any, seen: dict | None = None) -> list[Tensor]:
    """The Tensors in a value and its containers, not in its Modules."""
    if type(value) is Tensor:
        return [value]
    if isinstance(value, Module) or not isinstance(value, (list, tuple, dict)):
        return []
    seen = {} if seen is None else seen
    if id(value) in seen:
        return []
    seen[id(value)] = value
    return [t for _, x in _members(value) for t in _tensors(x, seen)]


def _is_new_parameter(x: Tensor, start: int | None) -> bool:
    """Whether x is a parameter that the forward that began at `start` made, not a mere input."""
    if not is_parameter(x):
        return False
    return start is None or (x.node is not None and x.node.serial > start)


def _held(module: Module) -> Iterator[tuple[str, Any]]:
    """(path, x) of a Module's own state and Modules, also in its containers."""
    seen: dict[int, Any] = {id(module): module}
    begun, kept = module._kept is not None, module._kept or ()
    for name, x in _members(module):
        is_state = name not in kept
        if isinstance(x, Module) or (is_state and type(x) is Tensor):
            yield str(name), x
        elif isinstance(x, (list, tuple, dict)):
            for path, inner in _within(x, str(name), seen):
                is_module = isinstance(inner, Module)
                if is_module or (is_state and (not begun or is_kept(inner) or is_parameter(inner))):
                    yield path, inner


def _at(module: Module, path: str) -> Any:
    """What a path leads to in the containers of a Module; None if it ends before."""
    value: Any = module
    for step in path.split("."):
        value = {str(name): x for name, x in _members(value)}.get(step)
    return value


def _within(value: Any, path: str, seen: dict) -> Iterator[tuple[str, Any]]:
    """(path, x) of the Tensors and Modules in a container and the containers in it."""
    if id(value) in seen:
        return  # a container that holds itself ends here
    seen[id(value)] = value
    for name, x in _members(value):
        here = f"{path}.{name}"
        if isinstance(x, (Tensor, Module)):
            yield here, x
        elif isinstance(x, (list, tuple, dict)):
            yield from _within(x, here, seen)


def _walk(module: Module, path: str = "", seen: dict | None = None) -> Iterator[tuple[str, Any]]:
    """(path, x) of a module and of every Tensor and Module below it, each once."""
    seen = {} if seen is None else seen  # it holds the objects, so that no id is given anew
    seen[id(module)] = module
    yield path, module
    for name, x in _held(module):
        if id(x) in seen:
            continue
        here = f"{path}.{name}" if path else name
        if isinstance(x, Module):
            yield from _walk(x, here, seen)
        else:
            seen[id(x)] = x
            yield here, x


# Errors


def _locate(error: Exception, caller: Module) -> None:
    """Write the path of the innermost module that an error came through into its message.

    Each caller on the error's way up rewrites the message that was there at first, so the last,
    the outermost, counts as "model".
    """
    if len(error.args) > 1 or not all(isinstance(a, str) for a in error.args):
        return
    first = ("".join(error.args), None, "")
    message, inner, path = getattr(error, "_came_through", first)
    if inner is not None:
        found = (p for p, m in caller.named_modules() if m is inner)
        step = next(found, type(inner).__name__)  # a module that the walk does not see
        path = ".".join(filter(None, [step, path]))
    error._came_through = message, caller, path  # type: ignore[attr-defined]
    where = f"in model.{path}" if path else f"in {type(caller).__name__}"
    error.args = (f"{message} ({where})".lstrip(),)
