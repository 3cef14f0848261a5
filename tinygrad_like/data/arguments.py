"""Checks of arguments and of states: `[DataLoader] seed is -1, expected ...`."""

import sys

import numpy as np

from tinygrad_like.engine import check_integer
from tinygrad_like.generator import GENERATOR

DRAWN = object()  # in place of a seed: none is given


def positive(owner, name, value):
    """A positive integer that can be an index."""
    return check_integer(owner, name, value, 1, sys.maxsize, "a positive integer")


def count(owner, name, value):
    """An integer of 0 or more that fits in 64 bits."""
    return check_integer(owner, name, value, 0, 2**64 - 1, "an integer of 0 or more")


def seed(owner, value):
    """A seed of 64 bits; for DRAWN the next one of the stream that `tg.seed` begins."""
    if value is DRAWN:
        key = np.array(GENERATOR.reserve(1), dtype=np.uint64)
        return int(np.random.Philox(key=key).random_raw())
    return check_integer(owner, "seed", value, 0, 2**64 - 1, "an integer from 0 to 2**64 - 1")


def same_settings(owner, kind, state, expected, settings):
    """Raise ValueError unless `state` has the keys `expected`, and the values of `settings`."""
    if not isinstance(state, dict):
        raise TypeError(f"[{owner}] state is a {type(state).__name__}, expected a dict")
    if state.keys() != expected:
        raise ValueError(f"[{owner}] state has {sorted(state)}, expected {sorted(expected)}")
    for name, value in settings.items():
        if count(owner, f"state's {name}", state[name]) != value:
            raise ValueError(
                f"[{owner}] the state is of {kind} with {name} {state[name]}, "
                f"this one has {name} {value}"
            )
