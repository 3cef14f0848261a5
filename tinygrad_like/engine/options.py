"""Checks of options, `[gelu] approximate is 'yes', expected ...`, and the order of arguments.

An option that is only tested for truth lets a wrong spelling through: `causal="no"` would be
causal. A wrong type is a TypeError, a wrong value of the right type a ValueError. Flags and choices
are the exception: anything wrong is a ValueError.
"""

import inspect
import sys

import numpy as np

LARGEST = sys.float_info.max


def check_flag(owner, name, value):
    """`value` as a bool; ValueError unless it is True or False (or NumPy's)."""
    if value is True or value is False:
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    raise ValueError(f"[{owner}] {name} is {value!r}, expected True or False")


def check_choice(owner, name, value, choices):
    """`value`, if it is a string among `choices`; ValueError for anything else."""
    if isinstance(value, str) and value in choices:
        return value
    *first, last = map(repr, choices)
    raise ValueError(f"[{owner}] {name} is {value!r}, expected {', '.join(first)} or {last}")


def check_integer(owner, name, value, least=None, most=None, expected=None):
    """`value` as an int from `least` to `most`, where given; TypeError or ValueError otherwise.

    NumPy's integers count, booleans do not. `expected` describes what is wanted, for the message.
    """
    is_integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if is_integer and (least is None or value >= least) and (most is None or value <= most):
        return int(value)
    if expected is None:
        expected = "an integer"
        if least is not None:
            expected = "a positive integer" if least == 1 else f"an integer of at least {least}"
        if most is not None:
            expected = f"an integer from {least} to {most}"
    problem = ValueError if is_integer else TypeError
    raise problem(f"[{owner}] {name} is {value!r}, expected {expected}")


def check_number(owner, name, value, least=-LARGEST, most=LARGEST, expected=None, *, below=None):
    """`value` as a float from `least` to `most`, and less than `below` if that is given.

    A NumPy scalar or 0-d array counts as the number it holds; booleans do not count. NaN lies in
    no range, and an infinity only in one that ends there. TypeError or ValueError otherwise.
    """
    if type(value) is float and least <= value <= most and (below is None or value < below):
        return value
    number = value
    if isinstance(value, (np.number, np.ndarray)) and value.ndim == 0:
        number = value.item()
    is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
    if is_number and least <= number <= most and (below is None or number < below):
        return float(number)
    if expected is None:
        expected = _a_number(least, most, below)
    problem = ValueError if is_number else TypeError
    raise problem(f"[{owner}] {name} is {value!r}, expected {expected}")


def _a_number(least, most, below):
    if below is not None:
        return f"a number from {least:g} to less than {below:g}"
    if most < LARGEST:
        return f"a number from {least:g} to {most:g}"
    if least > -LARGEST:
        return f"a number of at least {least:g}"
    return "a finite number"


def check_real(owner, name, value):
    """Any number, NaN included, or a Tensor or array with one element, as a float.

    Raises TypeError for anything else, ValueError for an integer that no float holds.
    """
    number = value.item() if getattr(value, "size", None) == 1 else value
    if isinstance(number, (bool, np.bool_)) or not isinstance(number, (int, float)):
        got = value.shape if hasattr(value, "shape") else repr(value)
        raise TypeError(f"[{owner}] {name} is {got}, expected a number")
    try:
        return float(number)
    except OverflowError:
        raise ValueError(f"[{owner}] {name} is too large for a float") from None


def in_order(f, args, kwargs):
    """(args, kwargs) with arguments that are given by name at their places, if they have one."""
    try:
        bound = inspect.signature(f).bind(*args, **kwargs)
    except (TypeError, ValueError):  # the call of f says what is wrong; or f is not of Python
        return args, kwargs
    return bound.args, bound.kwargs
