"""DataLoader: a dataset cut into batches, in an order that can be repeated and resumed.

Batches is what it shares with the TextBatches of text.py.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial

import numpy as np

from tinygrad_like.data import arguments
from tinygrad_like.data.arguments import DRAWN
from tinygrad_like.data.collate import collate
from tinygrad_like.data.collections import check_dataset, samples_at
from tinygrad_like.data.samplers import BatchSampler, Sampler
from tinygrad_like.engine import check_flag, check_integer, commit
from tinygrad_like.engine.errors import describe


@dataclass
class Position:
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
    """Batches of a dataset: each `for` loop over it is one epoch.

    Of a Dataset (or parts of one) a batch is a tuple of NumPy arrays; of other samples it is what
    `collate` makes of a list of them. Every batch is a fresh copy. With `shuffle`, the order of an
    epoch depends on `seed` and the epoch's number alone, so a run can be repeated and resumed. A
    loader that is given no seed draws one from the stream that `tg.seed` begins: two loaders, or
    one that is made again each epoch, differ, and a run that begins with `tg.seed(0)` can still be
    repeated. The last batch may be smaller; `drop_last` leaves it out.

    `state_dict()` says where the newest loop stands, also from inside it. After `load_state_dict`
    the next loop gives the batches that were still to come in that epoch (none, for a state taken
    at its last batch). A seed that was drawn is loaded with the state, one that was given has to be
    the same. A loop left by `break` is not continued: the next one is the next epoch.

    Args:
        dataset: a Dataset, or anything with a length whose samples are `dataset[i]`.
        sampler: a Sampler, for another order than that of `shuffle`.
        batch_sampler: a BatchSampler, for other batches: instead of `batch_size`, `shuffle`,
            `drop_last` and `sampler`.
        collate: a function from a list of samples to a batch; by default they are stacked.

    Raises TypeError for what is not a dataset; ValueError for a flag that is not True or False, a
    batch size below 1, a seed outside 0..2**64 - 1, arguments that exclude each other, and a
    dataset that gives no batch.

    >>> from tinygrad_like.data import Dataset
    >>> loader = DataLoader(Dataset(np.arange(5)), batch_size=2)
    >>> [batch.tolist() for (batch,) in loader]
    [[0, 1], [2, 3], [4]]
    """

    _kind = "a loader"

    def __init__(
        self,
        dataset,
        batch_size=32,
        *,
        shuffle=False,
        seed=DRAWN,
        drop_last=False,
        sampler=None,
        batch_sampler=None,
        collate=None,
    ):
        check_dataset("DataLoader", dataset)
        self.dataset = dataset
        self.batch_size = arguments.positive("DataLoader", "batch_size", batch_size)
        self.shuffle = check_flag("DataLoader", "shuffle", shuffle)
        self.drop_last = check_flag("DataLoader", "drop_last", drop_last)
        self.sampler, self.batch_sampler, self.collate = sampler, batch_sampler, collate
        self._check_samplers()
        own = batch_sampler if sampler is None else sampler
        self._print = None if own is None else own.fingerprint()
        is_random = self.shuffle or sampler is not None or batch_sampler is not None
        self._is_drawn = seed is DRAWN and is_random
        self.seed = 0 if seed is DRAWN and not is_random else arguments.seed("DataLoader", seed)
        self._position = Position()
        if len(dataset) == 0:
            raise ValueError(f"[DataLoader] the dataset is empty: {dataset}")
        if len(self) == 0 and batch_sampler is not None:
            raise ValueError("[DataLoader] the batch_sampler gives no batch")
        if len(self) == 0:
            raise ValueError(
                f"[DataLoader] drop_last leaves no batch: {self._samples()} samples are fewer than "
                f"batch_size {self.batch_size}"
            )

    def _check_samplers(self):
        for name, kind in (("sampler", Sampler), ("batch_sampler", BatchSampler)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise TypeError(
                    f"[DataLoader] {name} is {describe(value)}, expected a {kind.__name__}"
                )
        if self.collate is not None and not callable(self.collate):
            raise TypeError(
                f"[DataLoader] collate is {describe(self.collate)}, expected a function"
            )
        if self.sampler is not None and self.shuffle:
            raise ValueError("[DataLoader] a sampler has the order: leave shuffle out")
        others = self.sampler is not None, self.shuffle, self.drop_last, self.batch_size != 32
        if self.batch_sampler is not None and any(others):
            raise ValueError(
                "[DataLoader] a batch_sampler has sizes and order: leave batch_size, shuffle, "
                "drop_last and sampler out"
            )

    def _samples(self):
        """How many samples an epoch has."""
        return len(self.dataset if self.sampler is None else self.sampler)

    def __len__(self):
        """The number of batches in an epoch."""
        if self.batch_sampler is not None:
            return len(self.batch_sampler)
        full, rest = divmod(self._samples(), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    @property
    def epoch(self):
        """The number of the current epoch, or between two loops of the next one; from 0."""
        return self._position.at[0]

    def __iter__(self):
        epoch, batch, running = self._position.at
        if running:
            epoch, batch = epoch + 1, 0
        self._position = Position((epoch, batch, True))
        return self._batches(self._position)

    def _batches(self, position):
        # An older loop keeps its own position, so that it cannot disturb the state of a newer one.
        epoch, first, _ = position.at
        batches = self._indices(epoch)
        for batch in range(first, len(self)):
            samples = self._samples_at(batches[batch])
            position.at = epoch, batch + 1, True
            yield samples
        position.at = epoch + 1, 0, False

    def _indices(self, epoch):
        """The indices of all batches of one epoch, a list of arrays."""
        if self.batch_sampler is not None:
            return self.batch_sampler.batches(self._random(epoch))
        if self.sampler is not None:
            order = np.asarray(self.sampler.order(self._random(epoch)))
        elif self.shuffle:
            order = self._random(epoch).permutation(len(self.dataset))
        else:
            order = np.arange(len(self.dataset))
        size = self.batch_size
        return [order[i * size : (i + 1) * size] for i in range(len(self))]

    def _samples_at(self, indices):
        if self.collate is None:
            batch = samples_at(self.dataset, indices)
            if batch is not None:
                return batch
        return (self.collate or collate)([self.dataset[int(i)] for i in indices])

    def state_dict(self):
        """The position (`epoch`, `batch`) and the settings that give it meaning, plain integers."""
        epoch, batch, _ = self._position.at
        return {"epoch": epoch, "batch": batch, **self._settings()}

    def _settings(self):
        settings = {
            "seed": self.seed,
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": int(self.shuffle),
            "drop_last": int(self.drop_last),
        }
        return settings if self._print is None else {**settings, "sampler": self._print}

    def _moving(self, state):
        epoch = arguments.count("DataLoader", "state's epoch", state["epoch"])
        batch = check_integer("DataLoader", "state's batch", state["batch"], 0, len(self))
        return [partial(setattr, self, "_position", Position((epoch, batch, False)))]
