"""Batches of batches: Map, a function of each one; Prefetch, which makes them in a thread."""

import hashlib
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from typing import Any

import numpy as np

from tinygrad_like.data import arguments
from tinygrad_like.data.arguments import DRAWN
from tinygrad_like.engine import check_flag, commit
from tinygrad_like.engine.errors import describe


class _Wrapped:
    """What Map and Prefetch share: the length, the epoch and the state are those of `batches`."""

    batches: Any

    def _check(self, batches):
        name = type(self).__name__
        for method in ("__iter__", "state_dict", "load_state_dict"):
            if not hasattr(batches, method):
                raise TypeError(
                    f"[{name}] batches is {describe(batches)}, expected a DataLoader, StreamLoader "
                    "or TextBatches, whose state can be saved"
                )

    def __len__(self) -> int:
        if not hasattr(self.batches, "__len__"):
            kind = type(self.batches).__name__
            raise TypeError(f"[{type(self).__name__}] {kind} has no length")
        return len(self.batches)

    @property
    def epoch(self) -> int:
        """That of the batches."""
        return self.batches.epoch

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Stand where `state` was taken; raises ValueError if it fits other batches only."""
        commit(self._loading(state))

    def _loading(self, state: Any) -> list[Any]:
        """The changes, for `commit`, that `load_state_dict(state)` makes."""
        own = getattr(self.batches, "_loading", None)
        return own(state) if own else [partial(self.batches.load_state_dict, state)]


class Map(_Wrapped):
    """`function(batch)` of each batch of a loader; or `function(batch, random)`, to augment.

    With `random=True` the function gets a `np.random.Generator` for each batch. Its numbers depend
    on the seed and on where the loader stands alone, so a resumed run draws the same. The state is
    that of the loader, with the seed.

    Args:
        batches: a DataLoader, StreamLoader, TextBatches or Map.
        function: of the batch, a tuple as a rule.
        seed: for the random numbers; by default one that is drawn from the stream of `tg.seed`.

    Raises TypeError for other batches or functions.

    >>> from tinygrad_like.data import DataLoader, Dataset
    >>> def jitter(batch, random):
    ...     return batch[0] + random.normal(size=len(batch[0]))
    >>> loader = Map(DataLoader(Dataset(np.zeros(4)), 2), jitter, random=True, seed=0)
    >>> first, second = list(loader), list(loader)
    >>> len(first), bool((first[0] != second[0]).all())
    (2, True)
    """

    def __init__(
        self,
        batches: Any,
        function: Callable[..., Any],
        *,
        random: bool = False,
        seed: Any = DRAWN,
    ):
        self._check(batches)
        if not callable(function):
            raise TypeError(f"[Map] function is {describe(function)}, expected a function")
        self.batches, self.function = batches, function
        self.random = check_flag("Map", "random", random)
        self._is_drawn = seed is DRAWN and self.random
        self.seed = 0 if seed is DRAWN and not self.random else arguments.seed("Map", seed)

    def __iter__(self) -> Iterator[Any]:
        return self._mapped(iter(self.batches))

    def _mapped(self, batches: Iterator[Any]) -> Iterator[Any]:
        before = self.batches.state_dict()
        for batch in batches:
            state = self.batches.state_dict()
            try:
                own = (self._numbers(state),) if self.random else ()
                made = self.function(batch, *own)
            except BaseException:  # then the batch was not taken
                self.batches.load_state_dict(before)
                iter(self.batches)  # the loop has begun
                raise
            before = state
            yield made

    def _numbers(self, state: dict[str, Any]) -> np.random.Generator:
        """The random numbers that belong to a position."""
        text = repr(sorted((key, int(value)) for key, value in state.items()))
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        key = np.array([self.seed, int.from_bytes(digest, "little")], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(key=key))

    def _seed_name(self, state: dict[str, Any]) -> str:
        """The key of the seed, beside the state of the batches, which may be a Map too."""
        number = 1
        while f"map_seed_{number}" in state:
            number += 1
        return f"map_seed_{number}"

    def state_dict(self) -> dict[str, Any]:
        """That of the batches, and the seed of the map."""
        state = self.batches.state_dict()
        return {**state, self._seed_name(state): self.seed}

    def _loading(self, state: Any) -> list[Any]:
        name = self._seed_name(self.batches.state_dict())
        if not isinstance(state, dict) or name not in state:
            raise ValueError(f"[Map] the state has no {name}: it is not that of a Map")
        seed = arguments.seed("Map", state[name])
        if not self._is_drawn and seed != self.seed:
            raise ValueError(f"[Map] the state is of a map with seed {seed}, this has {self.seed}")
        rest = {key: value for key, value in state.items() if key != name}
        return [*super()._loading(rest), partial(setattr, self, "seed", seed)]


class Prefetch(_Wrapped):
    """The same batches, made in a thread while the last one is used.

    Up to `size` batches wait in a queue. The state is that of the last batch that was handed out,
    as if there were no thread, and fits the loader without one: no sample is lost or comes twice
    where a run is resumed. What making a batch raises is raised where the batch would have come.
    A loop that is left, by `break`, an error or Ctrl-C, ends its thread; so does the next loop,
    since there is one at a time.

    The thread reads `batches` alone: leave them to it. Random numbers in it are those of `Map`, not
    those of `tg.seed`, whose order would depend on the thread.

    Raises TypeError for other batches, ValueError for a size below 1.

    >>> from tinygrad_like.data import DataLoader, Dataset
    >>> loader = Prefetch(DataLoader(Dataset(np.arange(5)), 2), size=3)
    >>> [x.tolist() for (x,) in loader]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, batches: Any, size: int = 2):
        self._check(batches)
        self.batches, self.size = batches, arguments.positive("Prefetch", "size", size)
        self._state = dict(batches.state_dict())
        self._begun = False  # whether a loop was begun from the state, and has not ended
        self._worker: _Worker | None = None

    @property
    def epoch(self) -> int:
        """The number of the current epoch, or between two loops of the next one; from 0."""
        return self._state["epoch"]

    def __iter__(self) -> Iterator[Any]:
        self._stop()
        # The thread may have run ahead: go back to the last batch that was handed out.
        self.batches.load_state_dict(self._state)
        if self._begun:
            iter(self.batches)  # a loop that was left within an epoch is not continued
        self._begun = True
        worker = self._worker = _Worker(iter(self.batches), self.batches.state_dict, self.size)
        self._state = worker.state
        return self._handed_out(worker)

    def _handed_out(self, worker: "_Worker") -> Iterator[Any]:
        try:
            worker.start()
            while True:
                batch, state, error = worker.take()
                if error is not None:
                    raise error
                if worker is self._worker:  # not if a newer loop has begun
                    self._state = state
                if batch is END:
                    self._begun = self._begun and worker is not self._worker
                    return
                yield batch
        finally:
            worker.stop()

    def _stop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()

    def state_dict(self) -> dict[str, Any]:
        """The state of the batches after the last one that was handed out."""
        return dict(self._state)

    def _loading(self, state: Any) -> list[Any]:
        changes = super()._loading(state)
        self._stop()
        return [
            *changes,
            partial(setattr, self, "_state", dict(state)),
            partial(setattr, self, "_begun", False),
        ]

    def __getstate__(self) -> dict[str, Any]:
        """A copy has no thread; it goes on after the last batch that was handed out."""
        return {**vars(self), "_worker": None}


END = object()


class _Worker:
    """A thread that fills a queue from an iterator, until it ends, fails or is stopped.

    For each batch it takes a ticket, of which there are as many as batches may wait. Both queues
    are C code: a signal that comes between two lines of Python finds no lock that is held. The
    thread does not know this object, and ends when it goes.
    """

    def __init__(self, batches: Iterator[Any], look: Callable[[], Any], size: int):
        self.state = dict(look())
        self._tickets: SimpleQueue[None] = SimpleQueue()
        self._made: SimpleQueue[tuple[Any, Any, BaseException | None]] = SimpleQueue()
        self._stopped: list[bool] = []
        for _ in range(size):
            self._tickets.put(None)
        args = batches, look, self._tickets, self._made, self._stopped
        self._thread = threading.Thread(target=_fill, args=args, name="Prefetch", daemon=True)
        self._end = weakref.finalize(self, _end, self._tickets, self._stopped)

    def start(self) -> None:
        """Begin, unless it was stopped before."""
        if not self._stopped:
            self._thread.start()

    def take(self) -> tuple[Any, Any, BaseException | None]:
        """The next batch, the state after it, and an error."""
        item = None if self._stopped else self._made.get()
        if item is None or self._stopped:
            raise RuntimeError(
                "[Prefetch] this loop was ended by a newer one, or by a state that was loaded: "
                "there is one thread, and one loop at a time"
            )
        self._tickets.put(None)
        return item

    def stop(self) -> None:
        """End the thread, after the batch that it is making."""
        self._end()
        self._made.put((None, None, None))  # for a loop that waits in another thread
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()


def _end(tickets: "SimpleQueue[None]", stopped: list[bool]) -> None:
    stopped.append(True)
    tickets.put(None)


def _fill(
    batches: Iterator[Any],
    look: Callable[[], Any],
    tickets: "SimpleQueue[None]",
    made: "SimpleQueue[tuple[Any, Any, BaseException | None]]",
    stopped: list[bool],
) -> None:
    """What the thread does."""
    batch: Any = None
    try:
        while batch is not END:
            tickets.get()
            if stopped:
                return
            batch = next(batches, END)
            made.put((batch, dict(look()), None))
    except BaseException as error:  # the caller has to see it, whatever it is
        made.put((None, None, error))
    finally:
        if hasattr(batches, "close"):
            batches.close()  # with the thread that it may have itself
