"""Where a run stands in its loader, whoever else walks through the loader meanwhile."""

from collections.abc import Iterator
from typing import Any

import numpy as np

END = object()


class Place:
    """The position of a run in a loader; `walked` says whether `batches` was ever asked for.

    A walk through the same loader inside the loop, for the accuracy on the training data, moves the
    loader. The run notes its position after every batch that it took, and goes back there before
    it takes the next one and before it saves.
    """

    def __init__(self, loader: Any):
        self.loader = loader
        self.walked = False
        self._state = dict(loader.state_dict())
        self._walk: Any = None  # the iterator; None for one to be made at the noted position

    @property
    def done(self) -> int:
        """How many batches of the epoch the run has taken."""
        return int(self._state["batch"])

    def batches(self) -> Iterator[Any]:
        """The batches that are still to come in the epoch."""
        self.walked = True
        self._load()  # a loop that was left within an epoch goes on there
        while True:
            if self._walk is None:
                self._walk = iter(self.loader)
            batch = next(self._walk, END)
            self._state = dict(self.loader.state_dict())
            if batch is END:
                return
            yield batch
            self.restore()

    def restore(self) -> None:
        """Put the loader back to the run's position if something else has moved it."""
        if self.walked and not _is_same(self._state, self.loader.state_dict()):
            self._load()

    def _load(self) -> None:
        self.loader.load_state_dict(self._state)
        self._walk = None


def is_loader(part: Any) -> bool:
    """Whether a run can count its epochs by this part."""
    return hasattr(part, "__len__") and "batch" in part.state_dict()


def samples(batch: Any) -> int:
    """How many samples a batch has, by the length of its first array."""
    first = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
    return len(first) if getattr(first, "shape", ()) else 1


def _is_same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[key], b[key]) for key in a)
