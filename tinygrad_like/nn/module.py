"""Module: a function with parameters, found by walking its attributes.

There is no registration: what `vars(module)` holds when one asks, also inside lists, tuples and
dicts, is what it has. A leaf Tensor that requires a gradient is a parameter, another leaf a
buffer, and a Module a submodule. A path such as `layers.0.weight` names attributes, list indices
and dict keys. What occurs twice (tied weights) counts once, at its first path.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from reprlib import recursive_repr
from textwrap import indent
from typing import Any, TypeVar, final

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING
from tinygrad_like.engine import Tensor, no_grad

Self = TypeVar("Self", bound="Module")
SETTINGS = (bool, int, float, str, type(None))  # attributes that a module's repr shows


@dataclass
class StateReport:
    """How a state differs from what a module expects; false if it does not."""

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshaped: dict[str, tuple[tuple, tuple]] = field(default_factory=dict)  # (got, expected)
    mistyped: dict[str, str] = field(default_factory=dict)  # what it is, and what was expected

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.misshaped or self.mistyped)

    def __str__(self) -> str:
        lines = [f"missing: {path}" for path in self.missing]
        lines += [f"unexpected: {path}" for path in self.unexpected]
        lines += [
            f"shape: {p} is {got}, expected {want}" for p, (got, want) in self.misshaped.items()
        ]
        lines += [f"type: {path} is {what}" for path, what in self.mistyped.items()]
        return "\n".join(lines)


class StateError(ValueError):
    """A state that does not fit a module; `.report` is the StateReport."""

    def __init__(self, message: str, report: StateReport | None = None):
        super().__init__(message)
        self.report = report or StateReport()


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

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        name = type(self).__name__
        raise TypeError(f"[{name}] has no forward: define `def forward(self, x)` in class {name}")

    @final
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.forward(*args, **kwargs)
        except (ValueError, TypeError, IndexError) as error:
            _locate(error, self)
            raise

    # What it holds

    def named_modules(self) -> Iterator[tuple[str, "Module"]]:
        """(path, module) of this module, whose path is "", and of all below it."""
        return ((path, x) for path, x in _walk(self) if isinstance(x, Module))

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """(path, parameter) of this module and all below it."""
        return ((path, x) for path, x in self._named_leaves() if x.requires_grad)

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """(path, buffer) of this module and all below it."""
        return ((path, x) for path, x in self._named_leaves() if not x.requires_grad)

    def _named_leaves(self) -> Iterator[tuple[str, Tensor]]:
        # A Tensor that an op computed is an intermediate result, no state.
        return ((path, x) for path, x in _walk(self) if isinstance(x, Tensor) and x.is_leaf)

    def parameters(self) -> list[Tensor]:
        """All parameters, for an optimizer."""
        return [p for _, p in self.named_parameters()]

    def num_parameters(self) -> int:
        """The number of elements of all parameters."""
        return sum(p.size for p in self.parameters())

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """{path: a copy, without history} of all parameters and buffers.

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
            StateError: with a full report, if strict and the state does not fit; nothing is
                changed then.
        """
        if not isinstance(state, Mapping):
            raise TypeError(
                f"[load_state_dict] state is a {type(state).__name__}, expected a dict of arrays"
            )
        leaves = self._leaves_by_path()
        report = StateReport([p for p in leaves if p not in state])
        values = {}
        for path, value in state.items():
            own = leaves.get(path)
            if own is None:
                report.unexpected.append(path)
            elif (problem := _mistyped(value, own)) is not None:
                report.mistyped[path] = problem
            elif tuple(value.shape) != own.shape:
                report.misshaped[path] = tuple(value.shape), own.shape
            else:
                values[path] = Tensor(value, dtype=own.dtype, device=own.device)
        if strict and report:
            raise StateError(
                f"[load_state_dict] the state does not fit {type(self).__name__}; nothing was "
                f"changed:\n{indent(str(report), '  ')}",
                report,
            )
        for path, value in values.items():
            leaves[path].data[...] = value.data
            leaves[path].version[0] += 1
        return report

    def _leaves_by_path(self) -> dict[str, Tensor]:
        leaves: dict[str, Tensor] = {}
        for path, x in self._named_leaves():
            if path in leaves:
                raise StateError(f"[state_dict] two Tensors have the path {path!r}: rename one")
            leaves[path] = x
        return leaves

    # Modes, gradients, places

    def train(self: Self, mode: bool = True) -> Self:
        """Set `.training` on this module and all below it (Dropout and BatchNorm heed it)."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self: Self) -> Self:
        """`train(False)`."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
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
                x.data = moved
            if x.grad is not None:
                x.grad = x.grad.detach().to(device_or_dtype)
        return self

    # To look at

    @recursive_repr("...")
    def __repr__(self) -> str:
        below = [f"({path}): {x!r}" for path, x in _held(self) if isinstance(x, Module)]
        if not below:
            return _head(self)
        return _head(self)[:-1] + "\n" + indent("\n".join(below), "  ") + "\n)"

    def summary(self, *inputs: Any) -> str:
        """A table: a row for each module, with the number of parameters that it holds itself.

        With example inputs, `forward` runs on them once (without recording, in evaluation mode)
        for the column of output shapes.
        """
        shapes = _output_shapes(self, inputs) if inputs else {}
        counts = {path: 0 for path, _ in self.named_modules()}
        for path, p in self.named_parameters():
            while path not in counts:  # a.b.weight is of the nearest module: a.b, or a, or ""
                path = path.rpartition(".")[0]
            counts[path] += p.size
        rows = [["path", "layer", "output shape", "parameters"]]
        for path, module in self.named_modules():
            shape = shapes.get(path, "not called")
            rows.append([path or "(model)", type(module).__name__, shape, f"{counts[path]:,}"])
        if not inputs:
            rows = [[path, layer, count] for path, layer, _, count in rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for *texts, count in rows:
            padded = [text.ljust(w) for text, w in zip(texts, widths, strict=False)]
            lines.append("  ".join([*padded, count.rjust(widths[-1])]))
        buffers = sum(b.size for _, b in self.named_buffers())
        return "\n".join(
            [*lines, f"total: {self.num_parameters():,} parameters, {buffers:,} in buffers"]
        )


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


def _held(value: Any, path: str = "", seen: dict | None = None) -> Iterator[tuple[str, Any]]:
    """(path, x) of the Tensors and Modules in `value` and its containers, not in its Modules."""
    seen = {} if seen is None else seen
    seen[id(value)] = value  # a container that holds itself ends here
    for name, x in _members(value):
        here = f"{path}.{name}" if path else str(name)
        if isinstance(x, (Tensor, Module)):
            yield here, x
        elif isinstance(x, (list, tuple, dict)) and id(x) not in seen:
            yield from _held(x, here, seen)


def _walk(module: Module, path: str = "", seen: dict | None = None) -> Iterator[tuple[str, Any]]:
    """(path, x) of a module and of every Tensor and Module below it, each once."""
    seen = {} if seen is None else seen  # it holds the objects, so that no id is given anew
    seen[id(module)] = module
    yield path, module
    for here, x in _held(module, path):
        if id(x) in seen:
            continue
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


def _mistyped(value: Any, own: Tensor) -> str | None:
    """What is wrong with the type of a value that is to be loaded into `own`, if anything is."""
    kind = type(value)
    raw = value.data if isinstance(value, Tensor) else value
    if backend.of(raw) is None and not isinstance(raw, (np.ndarray, np.generic)):
        name = f"{kind.__module__}.{kind.__name__}".removeprefix("builtins.")
        return f"of type {name}, expected a Tensor or an array"
    if not np.can_cast(raw.dtype, own.dtype, "same_kind"):
        return f"of dtype {raw.dtype}, expected {own.dtype} or what converts to it"
    return None


# Tables


def _head(module: Module) -> str:
    """`Dense(n_in=4, n_out=2)`: the class, and the attributes that are plain settings."""
    shown = (f"{k}={v!r}" for k, v in vars(module).items() if k != "training" and _is_setting(v))
    return f"{type(module).__name__}({', '.join(shown)})"


def _is_setting(value: Any) -> bool:
    if type(value) is tuple:
        return all(map(_is_setting, value))
    return type(value) in SETTINGS


def _output_shapes(model: Module, inputs: tuple) -> dict[str, str]:
    """{path: shape of the first output} of the modules that are called when the model runs."""
    shapes: dict[str, str] = {}

    def recording(path, forward):
        def run(*args, **kwargs):
            out = forward(*args, **kwargs)
            shapes.setdefault(path, _shape_text(out))
            return out

        return run

    with _undone(model), no_grad():
        for path, module in model.eval().named_modules():
            vars(module)["forward"] = recording(path, module.forward)
        model(*inputs)
    return shapes


@contextmanager
def _undone(model: Module) -> Iterator[None]:
    """Take back, at the end, what the block does to `training` and `forward` of the modules."""
    before = [
        (module, name, vars(module).get(name))
        for _, module in model.named_modules()
        for name in ("training", "forward")
    ]
    try:
        yield
    finally:
        for module, name, value in before:
            if value is None:
                vars(module).pop(name, None)
            else:
                vars(module)[name] = value


def _shape_text(out: Any) -> str:
    """The shape of an output, or the shapes in a tuple, list or dict of them."""
    if isinstance(out, dict):
        return "{" + ", ".join(f"{k}: {_shape_text(v)}" for k, v in out.items()) + "}"
    if isinstance(out, (tuple, list)):
        return "[" + ", ".join(map(_shape_text, out)) + "]"
    shape = getattr(out, "shape", None)
    return type(out).__name__ if shape is None else str(tuple(shape))
