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


class _Refusal(threading.local):
    """What is raised where this thread draws numbers, or None."""

    error: BaseException | None = None


class Generator:
    """The state of the counter-based random numbers (Philox): a seed and a counter.

    Every random op takes its numbers from here, on every device alike, so `state` and
    `restore` are all that a bitwise repetition needs.
    """

    def __init__(self, seed=0):
        self._lock = threading.RLock()  # a signal handler may save where the stream stands
        self._refusal = _Refusal()
        self.restore({"seed": seed, "counter": 0})

    def state(self):
        """`{"seed": int, "counter": int}`: where the stream stands."""
        with self._lock:
            return {"seed": self._seed, "counter": self._counter}

    def restore(self, state):
        """Go on from a state that `state()` gave; ValueError, changing nothing, for another."""
        check_rng_state(state)
        with self._lock:
            self._seed, self._counter = int(state["seed"]), int(state["counter"])

    def back(self):
        """What an `Undoing` block does at its end, for the stream to stand where it stands now."""
        with self._lock:
            return partial(vars(self).update, _seed=self._seed, _counter=self._counter)

    def reserve(self, blocks):
        """Take `blocks` counter values; returns the seed and the first of them."""
        if self._refusal.error is not None:
            raise self._refusal.error
        with self._lock:
            first = self._counter
            self._counter += blocks
            return self._seed, first

    @contextmanager
    def refusing(self, error):
        """A `with` block in which this thread cannot draw numbers: `error` is raised instead."""
        before, self._refusal.error = self._refusal.error, error
        try:
            yield
        finally:
            self._refusal.error = before


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
