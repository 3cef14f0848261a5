"""States of Modules: how one differs from what is expected, and how values are replaced."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from textwrap import indent
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING
from tinygrad_like.engine import Batched, GraphError, Tensor, astype, commit, is_parameter
from tinygrad_like.engine.errors import describe

NUMBERS = (np.generic, bool, int, float, complex)


@dataclass
class StateReport:
    """How a state differs from what a module expects; false if it does not."""

    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    misshaped: dict[str, tuple[tuple, tuple]] = field(default_factory=dict)  # (got, expected)
    mistyped: dict[str, str] = field(default_factory=dict)  # what it is, and what is expected
    settings: dict[str, str] = field(default_factory=dict)  # ours, and its counterpart's

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def __str__(self) -> str:
        lines = [f"missing: {path}" for path in self.missing]
        lines += [f"unexpected: {path}" for path in self.unexpected]
        lines += [
            f"shape: {p} is {got}, expected {want}" for p, (got, want) in self.misshaped.items()
        ]
        lines += [f"type: {path} is {what}" for path, what in self.mistyped.items()]
        lines += [f"setting: {path} is {what}" for path, what in self.settings.items()]
        return "\n".join(lines)


class StateError(ValueError):
    """A state that does not fit a module; `.report` is the StateReport."""

    def __init__(self, message: str, report: StateReport | None = None):
        super().__init__(message)
        self.report = report or StateReport()


def mistyped(value: Any, own: Tensor) -> str | None:
    """What is wrong with the type of a value for `own`, or None if nothing is."""
    kind = type(value)
    raw = value.data if isinstance(value, Tensor) else value
    if backend.of(raw) is None and not isinstance(raw, (np.ndarray, np.generic)):
        name = f"{kind.__module__}.{kind.__name__}".removeprefix("builtins.")
        return f"of type {name}, expected a Tensor or an array"
    if not np.can_cast(raw.dtype, own.dtype, "same_kind"):
        return f"of dtype {raw.dtype}, expected {own.dtype} or what converts to it"
    if is_parameter(own) and raw.dtype.kind not in FLOATING:
        return f"of dtype {raw.dtype}, expected a floating one"
    return None


def converted(path: str, value: Any, own: Tensor, values: dict, report: StateReport) -> None:
    """Put a value, in the dtype and on the device of `own`, into `values`, or into the report."""
    problem = mistyped(value, own)
    if problem is None and tuple(value.shape) != own.shape:
        report.misshaped[path] = tuple(value.shape), own.shape
        return
    if problem is None:
        try:
            values[path] = Tensor(value, dtype=own.dtype, device=own.device)
        except ValueError as error:  # 300 for a uint8
            problem = f"out of range: {str(error).removeprefix('[Tensor] ')}"
    if problem is not None:
        report.mistyped[path] = problem


def transposed(report: StateReport) -> str:
    """A line on weights that have the shapes of PyTorch's layout, if there are any."""
    paths = [p for p, (got, expected) in report.misshaped.items() if got == expected[::-1]]
    if not paths:
        return ""
    return (
        f"\n{', '.join(paths)}: transposed, as weights of PyTorch's are; "
        "tg.interchange.load_torch(model, weights) reads those"
    )


def parametrized(report: StateReport) -> str:
    """A line on weights that nn.parametrize has in only one of the state and the model."""
    missing, unexpected = report.missing, report.unexpected
    ours = [p for p in unexpected if any(q.startswith(f"{p}.") for q in missing)]
    theirs = [p for p in missing if any(q.startswith(f"{p}.") for q in unexpected)]
    text = ""
    if ours:
        text += (
            f"\n{', '.join(ours)}: the model computes this by nn.parametrize, and the state is of "
            "one without; load it before nn.parametrize, or after nn.unparametrize"
        )
    if theirs:
        text += (
            f"\n{', '.join(theirs)}: the state is of a model that computes this by nn.parametrize; "
            "call that for this model, too, before the state is loaded"
        )
    return text


def refuse_torch_layout(state: Mapping[str, Any]) -> None:
    """Raise StateError for a state in PyTorch's layout, where a Dense weight is transposed.

    It is recognised by its file, which `tg.io.save` did not write, or by PyTorch's own tensors.
    """
    layout = getattr(state, "layout", None)
    if layout is not None:
        what = "the state has PyTorch's layout"
        if layout != "pt":
            what = "the state is from a file that tg.io.save did not write, but perhaps PyTorch"
        fix = ", or, if you know that the file has our layout, give dict(state)"
    elif any(type(value).__module__.partition(".")[0] == "torch" for value in state.values()):
        what, fix = "the state holds PyTorch's tensors", ""
    else:
        return
    raise StateError(
        f"[load_state_dict] {what}, in which weights may be transposed or named otherwise; use "
        f"tg.interchange.load_torch(model, weights){fix}; nothing was changed"
    )


def loading(
    owner: str, leaves: Mapping[str, Tensor], state: Mapping[str, Any], strict: bool
) -> tuple[StateReport, list[partial]]:
    """How a state differs from Tensors by their paths, and the changes that load what fits.

    Raises StateError, with the report, if `strict` and something does not.
    """
    if not isinstance(state, Mapping):
        raise TypeError(
            f"[load_state_dict] state is a {type(state).__name__}, expected a dict of arrays"
        )
    refuse_torch_layout(state)
    report = StateReport([p for p in leaves if p not in state])
    values: dict[str, Tensor] = {}
    for path, value in state.items():
        own = leaves.get(path)
        if own is None:
            report.unexpected.append(path)
        else:
            converted(path, value, own, values, report)
    if strict and report:
        raise StateError(
            f"[load_state_dict] the state does not fit {owner}; nothing was changed:\n"
            f"{indent(str(report), '  ')}{transposed(report)}{parametrized(report)}",
            report,
        )
    return report, overwriting((leaves[path], value.data) for path, value in values.items())


def overwriting(pairs: Iterable[tuple[Tensor, Any]]) -> list[partial]:
    """The changes, for `commit`, that copy each array into its Tensor.

    Raises ValueError for a Tensor that cannot be written, GraphError inside vmap for an array of
    which each example has another.
    """
    changes: list[partial] = []
    for own, array in pairs:
        if Batched in (type(own.data), type(array)):
            raise GraphError(
                "[vmap] each example would change a buffer of the model: running estimates of "
                "BatchNorm, or vectors of SpectralNorm, in training. Call model.eval() first; a "
                "model that is to be trained so needs GroupNorm or LayerNorm instead"
            )
        if not getattr(own.data.flags, "writeable", True):
            raise ValueError(f"[load] the array of a parameter {own.shape} is read-only")
        changes.append(partial(own.data.__setitem__, ..., array))
        changes.append(partial(own.version.__setitem__, 0, own.version[0] + 1))
    return changes


def overwrite(pairs: Iterable[tuple[Tensor, Any]]) -> None:
    """Copy each array into its Tensor; none if one is read-only or Ctrl-C interrupts."""
    commit(overwriting(pairs))


def in_place_of(own: Tensor, value: Any, place: str, name: str) -> Any:
    """What the attribute `name`, a parameter or buffer `own`, is after `= value`.

    The values of a plain Tensor are put into a parameter, which stays the same object, so that
    optimizers go on. Another parameter replaces it if it has the same shape and dtype. A floating
    Tensor that replaces a buffer is cast to the dtype of the buffer.
    """
    if value is None:
        return None
    parameter = is_parameter(own)
    if type(value) is not Tensor:
        if parameter or backend.of(value) is not None or isinstance(value, NUMBERS):
            raise out_of_place(place, name, own, value)
        return value
    if not parameter:
        both_floating = own.dtype.kind in FLOATING and value.dtype.kind in FLOATING
        if both_floating and value.dtype != own.dtype and not is_parameter(value):
            return astype(value, dtype=own.dtype)
        return value
    if not value.is_leaf:
        raise recorded(place, value)
    if value.shape != own.shape:
        raise ValueError(
            f"{place} is a parameter of shape {own.shape}, got values of shape "
            f"{value.shape}; to have another parameter there, first `del` the attribute {name}"
        )
    if not is_parameter(value):
        if (problem := mistyped(value, own)) is not None:
            raise TypeError(f"{place} got values {problem}")
        own.data = value
        return own
    if value.dtype != own.dtype:
        raise TypeError(
            f"{place} is a parameter of {own.dtype}, got one of {value.dtype}; make it with "
            f"dtype={str(own.dtype)!r}, cast the model by .to({str(value.dtype)!r}), or first "
            f"`del` the attribute {name}"
        )
    return value


def out_of_place(place: str, name: str, own: Any, value: Any) -> TypeError:
    """The error of a value that would take parameters, a buffer or layers out of a model."""
    got = f"got a {type(value).__name__}, which would take it out of the model's state"
    if isinstance(own, Tensor):
        role = "parameter" if is_parameter(own) else "buffer"
        fix = f"copy values with `.{name}.data = array`, or assign a Tensor"
    else:
        role, fix = type(own).__name__, f"if that is meant, first `del` the attribute {name}"
    return TypeError(f"{place} is a {role}, {got}; {fix}")


def made_again(place: str, name: str) -> StateError:
    """The error of a forward that replaces a parameter which it made before."""
    return StateError(
        f"{place} is a parameter, and a forward made another in its place, which no optimizer "
        f"would have: make it once, `if self.{name} is None`; an input that requires a gradient is "
        "made outside, and passed to the model"
    )


def refuse_loss(place: str, x: Any) -> None:
    """Raise StateError if a place in a list that held a parameter now holds other values."""
    if (isinstance(x, Tensor) and not is_parameter(x)) or isinstance(x, (np.ndarray, *NUMBERS)):
        raise StateError(
            f"{place} held a parameter and now holds {describe(x)} that no optimizer could update; "
            "copy values into the parameter with `.data = values`, put a Tensor with "
            "requires_grad=True in its place, or, if this is intended, assign a new list"
        )


def recorded(place: str, t: Any) -> GraphError:
    """The error of a Tensor that an op computed where a parameter was meant."""
    return GraphError(
        f"{place} was computed by {t.node.plan.op.name} and requires a gradient, so it is not "
        f"a parameter that an optimizer could update; make it a leaf: nn.init.normal({t.shape}, "
        "std=0.02), or Tensor(values, requires_grad=True); to keep only its values, detach() it"
    )
