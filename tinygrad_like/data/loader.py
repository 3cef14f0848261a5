"""DataLoader: a Dataset cut into batches, in an order that can be repeated and resumed.

Batches is what it shares with the TextBatches of text.py.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial

import numpy as np

from tinygrad_like.data import arguments
from tinygrad_like.data.arguments import DRAWN
from tinygrad_like.data.dataset import Dataset
from tinygrad_like.engine import check_flag, check_integer, commit


@dataclass
class _Position:
    """Where a loop stands: its epoch, how many batches it has handed out, whether it runs.

    They are one attribute, so that an interruption never finds some of them old and some new.
    """

    at: tuple[int, int, bool] = (0, 0, False)


class Batches(ABC):
    """Batches that depend on a seed and a position alone, and can be resumed from a state."""

    seed: int
    _is_drawn: bool  # whether the seed was drawn: then a state brings its own
    _kind: str  # in messages

    @abstractmethod
    def state_dict(self):
        """The position and the settings that give it meaning, plain integers."""

    @abstractmethod
    def _settings(self):
        """The part of the state that has to be the same where it is loaded."""

    @abstractmethod
    def _moving(self, state):
        """The changes, for `commit`, that move to the position in a state."""

    def load_state_dict(self, state):
        """Stand where `state` was taken; raises ValueError if it fits other batches only."""
        commit(self._loading(state))

    def _loading(self, state):
        """The changes, for `commit`, that `load_state_dict(state)` makes."""
        owner, settings = type(self).__name__, self._settings()
        if self._is_drawn:
            del settings["seed"]
        arguments.same_settings(owner, self._kind, state, self.state_dict().keys(), settings)
        moves = self._moving(state)
        seed = arguments.seed(owner, state["seed"])
        return [partial(setattr, self, "seed", seed), *moves]

    def _random(self, number):
        """The random numbers of the epoch, or the batch, of this number."""
        key = np.array([self.seed, number], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key))


class DataLoader(Batches):
    """Batches of a Dataset: each `for` loop over it is one epoch of tuples of NumPy arrays.

    Every batch is a fresh copy. With `shuffle`, the order of an epoch depends on `seed` and the
    epoch's number alone, so a run can be repeated and resumed. A loader that is given no seed draws
    one from the stream that `tg.seed` begins: two loaders, or one that is made again each epoch,
    differ, and a run that begins with `tg.seed(0)` can still be repeated. The last batch may be
    smaller; `drop_last` leaves it out.

    `state_dict()` says where the newest loop stands, also from inside it. After `load_state_dict`
    the next loop gives the batches that were still to come in that epoch (none, for a state taken
    at its last batch). A seed that was drawn is loaded with the state, one that was given has to be
    the same. A loop left by `break` is not continued: the next one is the next epoch.

    Raises TypeError for what is not a Dataset; ValueError for a flag that is not True or False, a
    batch size below 1, a seed outside 0..2**64 - 1, and a dataset that gives no batch.

    >>> loader = DataLoader(Dataset(np.arange(5)), batch_size=2)
    >>> [batch.tolist() for (batch,) in loader]
    [[0, 1], [2, 3], [4]]
    """

    _kind = "a loader"

    def __init__(self, dataset, batch_size=32, *, shuffle=False, seed=DRAWN, drop_last=False):
        if not isinstance(dataset, Dataset):
            kind = type(dataset).__name__
            raise TypeError(f"[DataLoader] got {kind}, expected a Dataset: try Dataset(x, y)")
        self.dataset = dataset
        self.batch_size = arguments.positive("DataLoader", "batch_size", batch_size)
        self.shuffle = check_flag("DataLoader", "shuffle", shuffle)
        self._is_drawn = seed is DRAWN and self.shuffle
        self.seed = 0 if seed is DRAWN and not shuffle else arguments.seed("DataLoader", seed)
        self.drop_last = check_flag("DataLoader", "drop_last", drop_last)
        self._position = _Position()
        if len(dataset) == 0:
            raise ValueError(f"[DataLoader] the dataset is empty: {dataset}")
        if len(self) == 0:
            raise ValueError(
                f"[DataLoader] drop_last leaves no batch: {len(dataset)} samples are fewer than "
                f"batch_size {self.batch_size}"
            )

    def __len__(self):
        """The number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    @property
    def epoch(self):
        """The number of the current epoch, or between two loops of the next one; from 0."""
        return self._position.at[0]

    def __iter__(self):
        epoch, batch, running = self._position.at
        if running:
            epoch, batch = epoch + 1, 0
        self._position = _Position((epoch, batch, True))
        return self._batches(self._position)

    def _batches(self, position):
        # An older loop keeps its own position, so that it cannot disturb the state of a newer one.
        epoch, first, _ = position.at
        order = self._order(epoch)
        for batch in range(first, len(self)):
            start = batch * self.batch_size
            samples = self.dataset[order[start : start + self.batch_size]]
            position.at = epoch, batch + 1, True
            yield samples
        position.at = epoch + 1, 0, False

    def _order(self, epoch):
        """The indices of all samples in the order of one epoch."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return self._random(epoch).permutation(len(self.dataset))

    def state_dict(self):
        """The position (`epoch`, `batch`) and the settings that give it meaning, plain integers."""
        epoch, batch, _ = self._position.at
        return {"epoch": epoch, "batch": batch, **self._settings()}

    def _settings(self):
        return {
            "seed": self.seed,
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": int(self.shuffle),
            "drop_last": int(self.drop_last),
        }

    def _moving(self, state):
        epoch = arguments.count("DataLoader", "state's epoch", state["epoch"])
        batch = check_integer("DataLoader", "state's batch", state["batch"], 0, len(self))
        return [partial(setattr, self, "_position", _Position((epoch, batch, False)))]
