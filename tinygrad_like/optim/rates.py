"""find_learning_rate: the loss at rising learning rates, from which one is chosen."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygrad_like.backend import Undoing
from tinygrad_like.engine import Tensor, check_integer, check_number, enable_grad
from tinygrad_like.generator import GENERATOR
from tinygrad_like.optim.exchange import exchange, restoring

DIVERGED = 4.0  # times the least smoothed loss: there the search ends
SMOOTHING = 0.9  # of the moving average of the losses


class Rates(NamedTuple):
    """What `find_learning_rate` has found.

    `rates`, `losses` and `smoothed` are float64 arrays (n,). `suggestion` is the rate at which the
    smoothed loss falls most steeply against log(rate), None if it never falls.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None

    def plot(self, path: Any) -> None:
        """Draw the losses against the rates as a picture. Raises ImportError without matplotlib."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, color="tab:blue", alpha=0.3, linewidth=0.8)
        axes.plot(self.rates, self.smoothed, color="tab:blue", label="smoothed loss")
        if self.suggestion is not None:
            label = f"suggested: {self.suggestion:.2g}"
            axes.axvline(self.suggestion, color="tab:orange", linestyle="--", label=label)
        top = 1.1 * max(self.smoothed[0], float(np.median(self.smoothed)))
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
        axes.set_ylim(0.9 * min(self.smoothed.min(), self.losses.min()), top)
        axes.legend(frameon=False)
        axes.grid(color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(Path(path), dpi=110)


def find_learning_rate(
    loss: Callable[..., Tensor],
    model: Any,
    optimizer: Any,
    batches: Iterable[Any],
    *,
    first: float = 1e-6,
    last: float = 1.0,
    steps: int = 100,
) -> Rates:
    """Train for some steps at learning rates that rise exponentially, and undo all of it.

    The search ends early when the smoothed loss is 4 times its least value (of a negative one,
    when it has risen by 3 times its size), or is not finite. Model, optimizer and all that it
    trains, gradients, the place of `batches` and the random numbers are then as before, to the
    last bit, also after an error.

    Args:
        loss: called with a batch; returns a Tensor with a single element. A batch that is a tuple
            is passed as several arguments.
        model, optimizer: what the loss is computed by, and what makes the steps. All groups of the
            optimizer get the same rate.
        batches: a DataLoader, TextBatches, or a list. After their end they begin again.
        first, last: learning rates. steps: how many are tried, at least 2.

    Raises ValueError for rates that do not rise from above 0, for batches that are empty, and for a
    loss that is not finite within two steps; TypeError for batches that can be walked through
    only once.
    Source: Smith 2017, "Cyclical learning rates for training neural networks", section 3.3.

    >>> import tinygrad_like as tg
    >>> train, _ = tg.data.digits()
    >>> model = tg.nn.Sequential(tg.nn.Flatten(), tg.nn.Dense(64, 10))
    >>> found = find_learning_rate(
    ...     lambda images, labels: tg.losses.cross_entropy(model(images), labels),
    ...     model,
    ...     tg.optim.Adam(model.parameters()),
    ...     tg.data.DataLoader(train, 64),
    ... )
    >>> 1e-3 < found.suggestion < 1
    True
    """
    first = check_number("find_learning_rate", "first", first, 0)
    last = check_number("find_learning_rate", "last", last, 0)
    steps = check_integer("find_learning_rate", "steps", steps, 2)
    if not 0 < first < last:
        raise ValueError(
            f"[find_learning_rate] the rates go from {first} to {last}; expected 0 < first < last"
        )
    rates = first * (last / first) ** (np.arange(steps) / (steps - 1))
    numbers = GENERATOR.back()  # before the batches begin: they may draw some
    following = _endless(batches)
    own = [t for _, t in (*model.named_parameters(), *model.named_buffers())]
    tensors = [*{id(t): t for t in (*own, *_trained_by(optimizer))}.values()]
    undo = [
        *restoring(model),
        *(partial(object.__setattr__, t, "_array", t.data) for t in tensors),
        *(partial(setattr, t.node, "grad", t.node.grad) for t in tensors if t.node is not None),
        *optimizer._loading(optimizer.state_dict()),
        numbers,
    ]
    losses: list[float] = []
    smoothed: list[float] = []
    mean = 0.0
    with Undoing(undo), enable_grad():
        exchange([(t, t.data.copy()) for t in tensors])
        for rate in rates:
            optimizer.lr = float(rate)
            batch = next(following)
            scalar = loss(*batch) if isinstance(batch, (tuple, list)) else loss(batch)
            optimizer.zero_grad()
            scalar.backward()
            value = scalar.item()
            if not math.isfinite(value):
                break
            optimizer.step()
            losses.append(value)
            mean = SMOOTHING * mean + (1 - SMOOTHING) * value
            smoothed.append(mean / (1 - SMOOTHING ** len(losses)))
            least = min(smoothed)
            if smoothed[-1] > least + (DIVERGED - 1) * abs(least):
                break
    if len(losses) < 2:
        raise ValueError(
            f"[find_learning_rate] the loss is not finite after {len(losses)} steps: lower first"
        )
    tried = rates[: len(losses)]
    return Rates(tried, np.array(losses), np.array(smoothed), _steepest(tried, smoothed))


def _trained_by(optimizer: Any) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _steepest(rates: np.ndarray, smoothed: list[float]) -> float | None:
    """The rate before the least loss at which the loss falls most steeply against log(rate)."""
    end = max(2, int(np.argmin(smoothed)) + 1)
    slopes = np.gradient(np.array(smoothed[:end]), np.log(rates[:end]))
    at = int(np.argmin(slopes))
    return float(rates[at]) if slopes[at] < 0 else None


def _endless(batches: Any) -> Any:
    """Batches without end; the place where `batches` itself stands is not moved.

    A shallow copy walks: of a DataLoader or TextBatches, which keep their place in an attribute.
    """
    walker = copy.copy(batches) if hasattr(batches, "state_dict") else batches
    if walker is batches and iter(batches) is batches:
        raise TypeError(
            "[find_learning_rate] the batches can be walked through only once, and would be lost "
            "to the training; give a DataLoader or a list"
        )
    if next(iter(copy.copy(walker)), None) is None:
        raise ValueError("[find_learning_rate] there are no batches")
    return itertools.chain.from_iterable(itertools.repeat(walker))
