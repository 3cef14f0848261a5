"""StreamLoader: batches of samples that come one after another, from files or generators."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from tinygrad_like.data import arguments
from tinygrad_like.data.arguments import DRAWN
from tinygrad_like.data.collate import collate
from tinygrad_like.data.loader import Batches, Position
from tinygrad_like.engine import check_flag
from tinygrad_like.engine.errors import describe


class StreamLoader(Batches):
    """Batches of samples that a function gives one after another: of files, of a generator.

    Each `for` loop is one epoch: `make()` is called for an iterable of its samples, which need not
    fit in memory, or end. With `buffer`, samples are shuffled as far as a stream allows: that many
    wait in a buffer, and each batch is drawn from it at random.

    Seeds and states are those of DataLoader. A loop that goes on within an epoch calls `make` and
    walks past the samples of the batches that were taken; so `make()` has to give the same samples
    each time (`make(epoch)` those of an epoch, if `by_epoch`). There is no length.

    Raises TypeError if `make` is not a function, ValueError for sizes below 1, a buffer below 0,
    and an epoch without a batch.

    >>> def lines():
    ...     yield from ["a", "b", "c"]
    >>> loader = StreamLoader(lines, batch_size=2)
    >>> list(loader)
    [['a', 'b'], ['c']]
    """

    _kind = "a stream"

    def __init__(
        self,
        make: Callable[..., Iterable[Any]],
        batch_size: int = 32,
        *,
        buffer: int = 0,
        seed: Any = DRAWN,
        drop_last: bool = False,
        by_epoch: bool = False,
        collate: Callable[[list[Any]], Any] = collate,
    ):
        name = "StreamLoader"
        if not callable(make):
            raise TypeError(
                f"[{name}] make is {describe(make)}, expected a function that returns the samples, "
                "anew for each epoch: a generator is empty once it has been walked through"
            )
        if not callable(collate):
            raise TypeError(f"[{name}] collate is {describe(collate)}, expected a function")
        self.make, self.collate = make, collate
        self.batch_size = arguments.positive(name, "batch_size", batch_size)
        self.buffer = arguments.count(name, "buffer", buffer)
        self._is_drawn = seed is DRAWN and self.buffer > 0
        self.seed = 0 if seed is DRAWN and not self.buffer else arguments.seed(name, seed)
        self.drop_last = check_flag(name, "drop_last", drop_last)
        self.by_epoch = check_flag(name, "by_epoch", by_epoch)
        self._position = Position()

    @property
    def epoch(self) -> int:
        """The number of the current epoch, or between two loops of the next one; from 0."""
        return self._position.at[0]

    def __iter__(self) -> Iterator[Any]:
        epoch, batch, running = self._position.at
        if running:
            epoch, batch = epoch + 1, 0
        self._position = Position((epoch, batch, True))
        return self._batches(self._position)

    def _batches(self, position: Position) -> Iterator[Any]:
        epoch, first, _ = position.at
        samples = self._shuffled(iter(self.make(epoch) if self.by_epoch else self.make()), epoch)
        for batch in itertools.count():
            taken = list(itertools.islice(samples, self.batch_size))
            if not taken or (self.drop_last and len(taken) < self.batch_size):
                break
            if batch >= first:
                made = self.collate(taken)
                position.at = epoch, batch + 1, True
                yield made
        if batch == 0:
            raise ValueError(
                "[StreamLoader] make() gave no batch: it returned an empty iterable, or fewer "
                "samples than a batch with drop_last; return a new generator at each call"
            )
        if batch < first:
            raise ValueError(
                f"[StreamLoader] the epoch ended after {batch} batches, but the state is of batch "
                f"{first}: make() has to give the same samples each time"
            )
        position.at = epoch + 1, 0, False

    def _shuffled(self, samples: Iterator[Any], epoch: int) -> Iterator[Any]:
        if not self.buffer:
            yield from samples
            return
        random, held = self._random(epoch), list(itertools.islice(samples, self.buffer))
        for sample in samples:
            i = int(random.integers(len(held)))
            out, held[i] = held[i], sample
            yield out
        for i in random.permutation(len(held)):
            yield held[i]

    def state_dict(self) -> dict[str, int]:
        """The position (`epoch`, `batch`) and the settings that give it meaning, plain integers."""
        epoch, batch, _ = self._position.at
        return {"epoch": epoch, "batch": batch, **self._settings()}

    def _settings(self) -> dict[str, int]:
        sizes = {"batch_size": self.batch_size, "buffer": self.buffer}
        return {"seed": self.seed, **sizes, "drop_last": int(self.drop_last)}

    def _moving(self, state: dict[str, Any]) -> list[Any]:
        epoch, batch = (
            arguments.count("StreamLoader", f"state's {key}", state[key])
            for key in ("epoch", "batch")
        )
        return [partial(setattr, self, "_position", Position((epoch, batch, False)))]
