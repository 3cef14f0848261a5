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

    def __init__(self, seed, counter):
        self.seed, self.counter = seed, counter


class _Thread(threading.local):
    """What this thread has for itself."""

    error: BaseException | None = None  # what is raised where it draws numbers
    own: _Stream | None = None  # what it draws from, instead of the common stream


class Generator:
    """The state of the counter-based random numbers (Philox): a seed and a counter.

    Every random op takes its numbers from here, on every device alike, so `state` and
    `restore` are all that a bitwise repetition needs. A copy, or what a pickle brings back, goes
    on by itself from the same place.
    """

    def __init__(self, seed=0):
        self._lock = threading.RLock()  # a signal handler may save where the stream stands
        self._thread = _Thread()
        self._common = _Stream(seed, 0)
        check_rng_state(self.state())

    def _here(self):
        return self._thread.own or self._common

    def state(self):
        """`{"seed": int, "counter": int}`: where the stream stands."""
        with self._lock:
            return {**vars(self._here())}

    def restore(self, state):
        """Go on from a state that `state()` gave; ValueError, changing nothing, for another."""
        check_rng_state(state)
        with self._lock:
            vars(self._here()).update(seed=int(state["seed"]), counter=int(state["counter"]))

    def back(self):
        """What an `Undoing` block does at its end, for the stream to stand where it stands now."""
        with self._lock:
            here = vars(self._here())
            return partial(here.update, {**here})

    def reserve(self, blocks):
        """Take `blocks` counter values; returns the seed and the first of them."""
        if self._thread.error is not None:
            raise self._thread.error
        with self._lock:
            here = self._here()
            first = here.counter
            here.counter += blocks
            return here.seed, first

    @contextmanager
    def own(self, seed):
        """A `with` block in which this thread draws from a stream of its own, which begins here.

        What other threads draw meanwhile changes nothing in it, and the common stream stays where
        it is.
        """
        before, self._thread.own = self._thread.own, _Stream(seed, 0)
        try:
            yield
        finally:
            self._thread.own = before

    @contextmanager
    def refusing(self, error):
        """A `with` block in which this thread cannot draw numbers: `error` is raised instead."""
        before, self._thread.error = self._thread.error, error
        try:
            yield
        finally:
            self._thread.error = before

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
