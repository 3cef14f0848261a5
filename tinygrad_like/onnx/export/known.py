"""The ops that the tables know, by name, which `table` and the families fill in."""

from collections.abc import Callable

LOWERED: dict[str, Callable] = {}  # how each is written
REFUSED: dict[str, str] = {}  # why each cannot be
