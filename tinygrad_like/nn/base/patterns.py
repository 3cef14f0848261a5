"""Patterns of paths, such as `blocks.*.bias`: which parameters of a model they name."""

from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TypeVar

T = TypeVar("T")


def fits(pattern: str, path: str) -> bool:
    """Whether a pattern names a path, or something that holds what lies there.

    `*` stands for any text, dots included, `?` for one character, `[0-3]` for one of several.

    >>> [fits(p, "blocks.0.norm1.bias") for p in ("blocks.*.bias", "blocks.[01]", "norm1")]
    [True, True, False]
    """
    return any(fnmatchcase(prefix, pattern) for prefix in _prefixes(path))


def named(
    function: str,
    pattern: str,
    places: Iterable[tuple[str, T]],
    what: str = "parameter",
    whole: bool = False,
) -> list[tuple[str, T]]:
    """The (path, x) of `places` that a pattern names, in their order.

    With `whole` it has to name x itself, and not something that holds x.

    Raises TypeError if the pattern is not a string, ValueError, with similar paths, if it names
    none.
    """
    if not isinstance(pattern, str):
        raise TypeError(
            f"[{function}] a pattern is {pattern!r}, expected a string such as 'blocks.*.bias'"
        )
    places = list(places)
    fitting = fnmatchcase if whole else lambda path, pattern: fits(pattern, path)
    found = [(path, x) for path, x in places if fitting(path, pattern)]
    if not found:
        known = dict.fromkeys(prefix for path, _ in places for prefix in _prefixes(path))
        near = get_close_matches(pattern, known, n=4, cutoff=0.3) or list(known)[:4]
        hint = f"; similar are {', '.join(near)}" if near else f"; there is no {what}"
        raise ValueError(f"[{function}] {pattern!r} names no {what}{hint}")
    return found


def _prefixes(path: str) -> list[str]:
    """The path and the paths of all that holds what lies there: a, a.b, a.b.c of a.b.c."""
    steps = path.split(".")
    return [".".join(steps[: i + 1]) for i in range(len(steps))]
