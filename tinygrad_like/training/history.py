"""History: every value that a run has logged, by metric and step, and the best of them."""

import math
from bisect import bisect_left
from typing import Any, NamedTuple

import numpy as np

from tinygrad_like.engine import Tensor
from tinygrad_like.engine.errors import describe

# What the name of a metric says about its direction.
FALLING = "loss", "error", "perplexity"
RISING = "accuracy", "precision", "recall", "f1", "auc", "score", "reward", "matches"


class Best(NamedTuple):
    """The best value of a metric, and the step that logged it."""

    metric: str
    value: float
    step: int


class Series:
    """The values of one metric: `values[i]` was logged at step `steps[i]`, and steps rise."""

    def __init__(self, steps: Any = (), values: Any = ()):
        self.steps: list[int] = []
        self.values: list[float] = []
        self._best: dict[str, int] = {}  # by mode, the place of the first best value
        for step, value in zip(steps, values, strict=True):
            self.add(int(step), float(value))

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        last = f", last {self.values[-1]:.4g}" if self.values else ""
        return f"Series({len(self)} values{last})"

    def add(self, step: int, value: float) -> None:
        """Note the value of a step; a second value of the same step replaces the first."""
        if self.steps and self.steps[-1] == step:
            last = len(self.values) - 1
            self.values[last] = value
            again = range(len(self.values)) if last in self._best.values() else [last]
            self._best = {mode: i for mode, i in self._best.items() if i != last}
            for i in again:
                self._compare(i)
            return
        self.steps.append(step)
        self.values.append(value)
        self._compare(len(self.values) - 1)

    def _compare(self, i: int) -> None:
        value = self.values[i]
        for mode, beats in (("min", value.__lt__), ("max", value.__gt__)):
            at = self._best.get(mode)
            if not math.isnan(value) and (at is None or beats(self.values[at])):
                self._best[mode] = i

    def best(self, mode: str) -> int | None:
        """The place of the best value, the first of equal ones; None if there is no number."""
        return self._best.get(mode)

    def since(self, step: int) -> list[float]:
        """The values of the steps after `step`."""
        return self.values[bisect_left(self.steps, step + 1) :]


class History(dict[str, Series]):
    """{metric: Series} in the order in which the metrics were first logged, and the epochs' ends.

    `ends[i]` is the last step of epoch i + 1, and `counts_epochs` says whether there are epochs.
    """

    counts_epochs = False

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[int] = []

    def add(self, metric: str, step: int, value: float) -> None:
        self.setdefault(metric, Series()).add(step, value)

    def at(self, step: int) -> dict[str, float]:
        """The values that were logged last, if they are of this step."""
        found = self.items()
        return {name: s.values[-1] for name, s in found if s.steps[-1] == step}

    def rows(self) -> list[dict[str, float]]:
        """A dict for each step that logged something: its number, its epoch, its values."""
        values: dict[int, dict[str, float]] = {}
        for name, series in self.items():
            for step, value in zip(series.steps, series.values, strict=True):
                values.setdefault(step, {})[name] = value
        return [self.row(step, values[step]) for step in sorted(values)]

    def row(self, step: int, values: dict[str, float]) -> dict[str, float]:
        """The row of one step; `epoch` only in a run that counts epochs."""
        epoch = {"epoch": bisect_left(self.ends, step) + 1} if self.counts_epochs else {}
        return {"step": step, **epoch, **values}

    def best(self, monitor: str | None, mode: str | None) -> Best | None:
        """The best value of `monitor`, or of the first metric whose name says its direction."""
        metric = monitor or self._decides(mode)
        if metric is None or metric not in self:
            return None
        series = self[metric]
        at = series.best(mode or direction_of(metric))
        return None if at is None else Best(metric, series.values[at], series.steps[at])

    def _decides(self, mode: str | None) -> str | None:
        modes = (mode,) if mode else ("min", "max")
        known = [name for name in self if direction(name) in modes]
        return next((name for name in known if name != "loss"), known[0] if known else None)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as arrays; a "/" in a metric's name is "%2F" there."""
        metrics = {
            quote(name): {
                "steps": np.array(s.steps, np.int64),
                "values": np.array(s.values, np.float64),
            }
            for name, s in self.items()
        }
        return {"ends": np.array(self.ends, np.int64), "metrics": metrics}

    def restore(self, state: dict[str, Any]) -> None:
        """Become the history whose `state()` this is."""
        loaded = {
            unquote(name): Series(kept["steps"].tolist(), kept["values"].tolist())
            for name, kept in state["metrics"].items()
        }
        self.clear()
        self.update(loaded)
        self.ends = state["ends"].tolist()


def quote(name: str) -> str:
    """The name of a metric as a key in a file, where "/" stands between keys."""
    return name.replace("%", "%25").replace("/", "%2F")


def unquote(key: str) -> str:
    """The inverse of `quote`."""
    return key.replace("%2F", "/").replace("%25", "%")


def direction(metric: str) -> str | None:
    """ "min" or "max" for a metric whose name says which is better, else None."""
    name = metric.lower()
    if any(word in name for word in FALLING):
        return "min"
    return "max" if any(word in name for word in RISING) else None


def direction_of(metric: str) -> str:
    """ "min" or "max"; ValueError for a metric whose name does not say which is better."""
    found = direction(metric)
    if found is None:
        raise ValueError(f"[Run] is a smaller {metric} better? Give mode='min' or mode='max'")
    return found


def number(name: str, value: Any) -> float:
    """A logged value as a float. Raises TypeError, and OverflowError for too large an int."""
    if isinstance(value, Tensor):
        value = value.detach().numpy()
    if (
        isinstance(value, (np.ndarray, np.generic))
        and value.size == 1
        and value.dtype.kind in "fiub"
    ):
        return float(value.reshape(()))
    if not isinstance(value, (int, float)):
        raise TypeError(f"[log] {name} is {describe(value)}, expected a single number: its mean()?")
    try:
        return float(value)
    except OverflowError:
        raise OverflowError(
            f"[log] {name} is an int beyond the largest float, 1.8e308: log its logarithm"
        ) from None
