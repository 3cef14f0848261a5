"""Checks of the arguments of layers' constructors: `[Dense] n_in is 0, expected ...`."""

import math
from typing import Any

import numpy as np


def integer(layer: str, name: str, value: Any, least: int = 1) -> int:
    """`value` as an int of at least `least`; ValueError for anything else."""
    if not _is_integer(value, least):
        raise ValueError(f"[{layer}] {name} is {value!r}, expected {_wanted(least)}")
    return int(value)


def pair(layer: str, name: str, value: Any, least: int = 1) -> int | tuple[int, int]:
    """An integer, or a pair of them for height and width."""
    if _is_integer(value, least):
        return int(value)
    if (
        not isinstance(value, (tuple, list))
        or len(value) != 2
        or not all(_is_integer(n, least) for n in value)
    ):
        raise ValueError(f"[{layer}] {name} is {value!r}, expected {_wanted(least)}, or a pair")
    return int(value[0]), int(value[1])


def padding(layer: str, value: Any, axes: int = 2) -> Any:
    """The padding of windows: `"same"`, `"valid"`, an integer, or a pair for height and width.

    Both may be pairs (before, after). Along one axis that is `((before, after),)`.
    """
    if isinstance(value, str) and value in ("same", "valid"):
        return value
    if _is_integer(value, 0):
        return int(value)
    if isinstance(value, (tuple, list)) and len(value) == axes:
        if axes == 2 and all(_is_integer(n, 0) for n in value):
            return int(value[0]), int(value[1])
        ends = [(p, p) if _is_integer(p, 0) else p for p in value]
        if all(_are_ends(p) for p in ends):
            return tuple((int(before), int(after)) for before, after in ends)
    pairs = "((before, after),)"
    if axes == 2:
        pairs = "a pair (h, w), pairs ((top, bottom), (left, right))"
    raise ValueError(
        f"[{layer}] padding is {value!r}, expected an integer of at least 0, {pairs}, 'same' or "
        "'valid'"
    )


def _are_ends(value: Any) -> bool:
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    return pair and all(_is_integer(n, 0) for n in value)


def axes(layer: str, value: Any) -> tuple[int, ...]:
    """The lengths of the last axes of an input: an integer or a tuple of them, as a tuple."""
    lengths = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not lengths or not all(_is_integer(n, 1) for n in lengths):
        raise ValueError(
            f"[{layer}] shape is {value!r}, expected a positive integer, or a tuple of them"
        )
    return tuple(int(n) for n in lengths)


def number(
    layer: str, name: str, value: Any, low: float = -math.inf, high: float = math.inf
) -> float:
    """A number from `low` to `high` as a Python one, which promotes no dtype; no NaN."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and type(value) is not bool
    if not real or not low <= value <= high:
        limits = f" from {low:g} to {high:g}" if math.isfinite(low) else ""
        raise ValueError(f"[{layer}] {name} is {value!r}, expected a number{limits}")
    return int(value) if isinstance(value, (int, np.integer)) else float(value)


def flag(layer: str, name: str, value: Any) -> bool:
    """True or False; ValueError for anything else, such as another library's option by name."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"[{layer}] {name} is {value!r}, expected True or False")
    return bool(value)


def tensor(layer: str, name: str, value: Any) -> None:
    """Raise TypeError for what is neither a Tensor nor an array, such as a list."""
    if not hasattr(value, "ndim"):
        raise TypeError(
            f"[{layer}] {name} is a {type(value).__name__}, expected a Tensor or an array"
        )


def divides(layer: str, groups: int, **channels: int) -> None:
    """Raise ValueError unless `groups` divides each of the numbers of channels."""
    if any(n % groups for n in channels.values()):
        given = " and ".join(f"{name}={n}" for name, n in channels.items())
        raise ValueError(f"[{layer}] groups is {groups}, expected a divisor of {given}")


def _is_integer(value: Any, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and type(value) is not bool and int(value) >= least


def _wanted(least: int) -> str:
    return "a positive integer" if least == 1 else f"an integer of at least {least}"
