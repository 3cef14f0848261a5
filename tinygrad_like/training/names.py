"""The names and options of a run, checked before it begins: what could not be saved is refused."""

import math
import re
from typing import Any

from tinygrad_like import io
from tinygrad_like.engine import check_choice, check_integer
from tinygrad_like.engine.errors import describe
from tinygrad_like.training.history import History, direction_of

PROGRESS = "step", "epoch", "reported", "history", "best"  # beside the parts, in the checkpoint
COLUMNS = "step", "epoch"  # of a line, beside the metrics


def check_options(monitor: Any, mode: Any, patience: Any) -> str | None:
    """Check what decides which step is the best; returns the mode."""
    if mode is not None:
        check_choice("Run", "mode", mode, ("min", "max"))
    if patience is not None:
        check_integer("Run", "patience", patience, 1)
        if monitor is None:
            raise ValueError("[Run] patience needs a metric: give monitor='accuracy', too")
    if monitor is None:
        return mode
    if not isinstance(monitor, str) or not monitor:
        raise TypeError(f"[Run] monitor is {monitor!r}, expected the name of a metric: 'accuracy'")
    return mode or direction_of(monitor)


def check_settings(settings: Any, may_differ: Any) -> dict[str, Any]:
    """The settings that a resumed run has to share."""
    if settings is None:
        settings = {}
    if not isinstance(settings, dict):
        raise TypeError(
            f"[Run] settings is {describe(settings)}, expected a dict: settings=vars(args)"
        )
    may_differ = check_may_differ(may_differ)
    return _savable("settings", {k: v for k, v in settings.items() if k not in may_differ})


def check_may_differ(may_differ: Any) -> tuple[str, ...]:
    """The names of settings that a resumed run need not share."""
    may_differ = may_differ if isinstance(may_differ, str) else tuple(may_differ)
    if isinstance(may_differ, str) or not all(isinstance(name, str) for name in may_differ):
        raise TypeError(
            f"[Run] may_differ is {may_differ!r}, expected a tuple of names: ('resume', 'epochs')"
        )
    return may_differ


def check_keep(keep: Any, parts: dict[str, Any]) -> dict[str, Any]:
    """What a program keeps beside the parts, under names that are free."""
    if keep is None:
        keep = {}
    if not isinstance(keep, dict):
        raise TypeError(f"[Run] keep is {describe(keep)}, expected a dict: keep={{'vocab': words}}")
    _savable("keep", keep)
    taken = sorted({*PROGRESS, "random", "settings"} & {*parts, *keep})
    if taken:
        raise ValueError(f"[Run] the names {taken} are the run's own: name the parts otherwise")
    twice = sorted(parts.keys() & keep.keys())
    if twice:
        raise ValueError(f"[Run] the names {twice} are of parts: name what you keep otherwise")
    slashed = [name for name in parts if "/" in name]
    if slashed:
        raise ValueError(f'[Run] the parts {slashed} have "/" in their names: leave it out')
    return keep


def _savable(what: str, values: dict[str, Any]) -> dict[str, Any]:
    try:
        io.check(values)
    except (TypeError, ValueError) as error:
        reason = str(error).removeprefix("[save] ").removeprefix("'' ")
        raise type(error)(f"[Run] {what} cannot be saved: {reason}") from None
    return values


def check_progress(path: Any, progress: dict[str, Any]) -> None:
    """FileError for a checkpoint that no run has written."""
    lacking = [name for name in PROGRESS if name not in progress]
    if lacking:
        raise io.FileError(f"[Run] {path} is of no Run: it lacks {lacking}; nothing was changed")
    try:
        History().restore(progress["history"])
    except (TypeError, LookupError, AttributeError, ValueError):
        raise io.FileError(
            f"[Run] {path} is of no Run: its history holds no metrics; nothing was changed"
        ) from None


def check_metrics(metrics: dict[str, Any]) -> None:
    """Refuse metrics that would replace a column of the run's own."""
    taken = [name for name in COLUMNS if name in metrics]
    if taken:
        raise ValueError(
            f"[log] the names {taken} are the run's own columns, which it fills in itself: leave "
            "them out, or give the metrics other names"
        )


def check_losses(step: int, numbers: dict[str, float]) -> None:
    """FloatingPointError for a value that is not finite of a metric whose name says it is a loss.

    Such a name ends with "loss", or has it as a word: "test_loss", "train/loss", "loss_train".
    """
    for name, value in numbers.items():
        is_loss = re.search(r"loss$|(?<![a-z])loss(?![a-z])", name.lower())
        if is_loss and not math.isfinite(value):
            raise FloatingPointError(
                f"[log] at step {step} the {name} is {value}: lower the learning rate, or look "
                "for NaN in the data"
            )
