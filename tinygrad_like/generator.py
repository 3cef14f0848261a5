"""Where the stream of random numbers stands: one for all devices, a seed and a counter."""

import threading
from contextlib import contextmanager
from functools import partial

import numpy as np


def is_word(n):
    """Whether `n` is an integer of 64 bits, without a sign; a boolean is none."""
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool) and 0 <= n < 1 << 64


def check_rng_state(state):
    """Raise ValueError for what `get_rng_state` cannot have given."""
    valid = isinstance(state, dict) and state.keys() == {"seed", "counter"}
    if not valid or not all(is_word(n) for n in state.values()):
        raise ValueError(
            f"[set_rng_state] state is {state!r}, expected what get_rng_state gives: "
            '{"seed": ..., "counter": ...}, integers from 0 to 2**64 - 1'
        )


class _Stream:
    """Where a stream of random numbers stands."""

    def __init__(self, seed):
        self._seed, self._counter = seed, 0


class _Thread(threading.local):
    """What is special in this thread: its stream, and what is raised where it draws numbers."""

    special: tuple[_Stream, BaseException | None] | None = None


class Generator(_Stream):
    """The state of the counter-based random numbers (Philox): a seed and a counter.

    Every random op takes its numbers from here, on every device alike, so `state` and
    `restore` are all that a bitwise repetition needs. A copy, or what a pickle brings back, goes
    on by itself from the same place.
    """

    def __init__(self, seed=0):
        self._lock = threading.RLock()  # a signal handler may save where the stream stands
        self._thread = _Thread()
        super().__init__(seed)
        check_rng_state(self.state())

    def _here(self):
        special = self._thread.special
        return self if special is None else special[0]

    def state(self):
        """`{"seed": int, "counter": int}`: where the stream stands."""
        with self._lock:
            here = self._here()
            return {"seed": here._seed, "counter": here._counter}

    def restore(self, state):
        """Go on from a state that `state()` gave; ValueError, changing nothing, for another."""
        check_rng_state(state)
        with self._lock:
            here = self._here()
            here._seed, here._counter = int(state["seed"]), int(state["counter"])

    def back(self):
        """What an `Undoing` block does at its end, for the stream to stand where it stands now."""
        with self._lock:
            here = self._here()
            return partial(vars(here).update, _seed=here._seed, _counter=here._counter)

    def reserve(self, blocks):
        """Take `blocks` counter values; returns the seed and the first of them."""
        here: _Stream = self
        special = self._thread.special
        if special is not None:
            here, error = special
            if error is not None:
                raise error
        with self._lock:
            first = here._counter
            here._counter += blocks
            return here._seed, first

    @contextmanager
    def own(self, seed):
        """A `with` block in which this thread draws from a stream of its own, which begins here.

        What other threads draw meanwhile changes nothing in it, and the common stream stays where
        it is.
        """
        special = self._thread.special
        with self._special(_Stream(seed), None if special is None else special[1]):
            yield

    @contextmanager
    def refusing(self, error):
        """A `with` block in which this thread cannot draw numbers: `error` is raised instead."""
        with self._special(self._here(), error):
            yield

    @contextmanager
    def _special(self, stream, error):
        before, self._thread.special = self._thread.special, (stream, error)
        try:
            yield
        finally:
            self._thread.special = before

    def __getstate__(self):
        return self.state()

    def __setstate__(self, state):
        vars(self).update(vars(Generator()))
        self.restore(state)


GENERATOR = Generator()


def seed(n):
    """Seed every random op of the library (one stream for all devices).

    Raises ValueError if `n` is not an integer from 0 to 2**64 - 1.
    """
    if not is_word(n):
        raise ValueError(f"[seed] n is {n!r}, expected an integer from 0 to 2**64 - 1")
    GENERATOR.restore({"seed": int(n), "counter": 0})


def get_rng_state():
    """Where the random stream stands, `{"seed": int, "counter": int}`."""
    return GENERATOR.state()


def set_rng_state(state):
    """Go on with the random stream from a state that `get_rng_state` gave."""
    GENERATOR.restore(state)
