"""Checks of the arguments of layers: `[Dense] n_in is 0, expected ...`."""

from typing import Any

from tinygrad_like.engine import check_choice, check_flag, check_integer, check_number
from tinygrad_like.ops.indexing import window

flag, number, choice = check_flag, check_number, check_choice


def integer(layer: str, name: str, value: Any, least: int = 1) -> int:
    """`value` as an int of at least `least`; TypeError or ValueError for anything else."""
    return check_integer(layer, name, value, least)


def pair(layer: str, name: str, value: Any, least: int = 1) -> int | tuple[int, int]:
    """An int of at least `least`, or a pair of them (height, width); else ValueError."""
    both = window.pair(layer, name, value, least)
    return both if isinstance(value, (tuple, list)) else both[0]


def several(layer: str, name: str, value: Any, axes: int, least: int = 1) -> Any:
    """The lengths of a window with 1, 2 or 3 axes: an int of at least `least`, or one for each."""
    if axes == 1:
        return integer(layer, name, value, least)
    if axes == 2:
        return pair(layer, name, value, least)
    three = window.triple(layer, name, value, least)
    return three if isinstance(value, (tuple, list)) else three[0]


def padding(layer: str, value: Any, axes: int = 2) -> Any:
    """The padding of windows: `"same"`, `"valid"`, an integer, or one for each axis.

    The members may be pairs (before, after). Along one axis that is
    `((before, after),)`. Raises ValueError for anything else.
    """
    if isinstance(value, str) and value in ("same", "valid"):
        return value
    if window.is_integer(value, 0):
        return int(value)
    if isinstance(value, (tuple, list)) and len(value) == axes:
        if axes > 1 and all(window.is_integer(n, 0) for n in value):
            return tuple(map(int, value))
        ends = tuple(map(window.ends_of_axis, value))
        if None not in ends:
            return ends
    pairs = {
        1: "((before, after),)",
        2: "a pair (h, w), pairs ((top, bottom), (left, right))",
        3: "three (d, h, w), three pairs (before, after)",
    }[axes]
    raise ValueError(
        f"[{layer}] padding is {value!r}, expected an integer of at least 0, {pairs}, 'same' or "
        "'valid'"
    )


def axes(layer: str, value: Any) -> tuple[int, ...]:
    """The lengths of the last axes of an input, as a tuple: from a tuple, or a single integer."""
    lengths = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if not lengths or not all(window.is_integer(n, 1) for n in lengths):
        raise ValueError(
            f"[{layer}] shape is {value!r}, expected a positive integer, or a tuple of them"
        )
    return tuple(int(n) for n in lengths)


def tensor(layer: str, name: str, value: Any) -> None:
    """Raise TypeError if `value` is neither a Tensor nor an array, but a list, say."""
    if not hasattr(value, "ndim"):
        raise TypeError(
            f"[{layer}] {name} is a {type(value).__name__}, expected a Tensor or an array"
        )


def divides(layer: str, name: str, divisor: int, **sizes: int) -> None:
    """Raise ValueError unless the argument `name`, `divisor`, divides each of the sizes."""
    if any(size % divisor for size in sizes.values()):
        given = " and ".join(f"{of}={size}" for of, size in sizes.items())
        raise ValueError(f"[{layer}] {name} is {divisor}, expected a divisor of {given}")
