"""Checks of the options of ops: `[gelu] approximate is 'yes', expected ...`.

An option taken by its truth lets a wrong spelling through: `causal="no"` would be causal.
"""

import math

import numpy as np


def check_flag(op, name, value):
    """`value` as a bool; ValueError unless it is True or False (NumPy's ones included)."""
    if value is True or value is False:
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    raise ValueError(f"[{op}] {name} is {value!r}, expected True or False")


def check_choice(op, name, value, choices):
    """`value`, if it is a string among `choices`; ValueError for anything else."""
    if isinstance(value, str) and value in choices:
        return value
    *first, last = map(repr, choices)
    raise ValueError(f"[{op}] {name} is {value!r}, expected {', '.join(first)} or {last}")


def check_integer(op, name, value, least=None):
    """`value` as an int of at least `least`; TypeError or ValueError for anything else.

    NumPy's integers count, booleans do not.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"[{op}] {name} is {value!r}, expected an integer")
    if least is not None and value < least:
        raise ValueError(f"[{op}] {name} is {value}, expected an integer of at least {least}")
    return int(value)


def check_number(op, name, value, low=-math.inf, high=math.inf, expected="a number"):
    """`value` as an int or a float from `low` to `high`; TypeError or ValueError otherwise.

    A NumPy scalar or 0-d array counts as the number it holds; booleans do not. NaN lies in no
    range. `expected` describes what is wanted, for the message.
    """
    if type(value) is float and low <= value <= high:
        return value
    if isinstance(value, (np.number, np.ndarray)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"[{op}] {name} is {value!r}, expected {expected}")
    if not low <= value <= high:
        raise ValueError(f"[{op}] {name} is {value!r}, expected {expected}")
    return value
