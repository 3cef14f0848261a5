"""Tiles of matrix products by shape: a committed table, tiles.json, and who reads it.

`python -m bench tiles --device cuda --write` times the tiles on a GPU and writes the best ones. A
table that no GPU has timed says so (`timed_on` is null), and holds what the rule of linalg.py says.
"""

import functools
import json
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("tiles.json")


class Shape(NamedTuple):
    """A product: which source multiplies, the dtype, (m, k) x (k, n), how many of them."""

    source: str
    dtype: str
    m: int
    n: int
    k: int
    batch: int = 1


class Choice(NamedTuple):
    """How it is computed: the defines of a tile, and the parts that k is cut into."""

    tile: dict
    parts: int


def read(path=TABLE):
    """(the GPU that timed it or None, {Shape: Choice}) of a table."""
    saved = json.loads(path.read_text(encoding="utf-8"))
    found = {Shape(*shape): Choice(tile, parts) for *shape, tile, parts in saved["choices"]}
    return saved["timed_on"], found


def write(timed_on, choices, path=TABLE):
    """Write a table, a line for each shape."""
    lines = ",\n".join(json.dumps([*shape, *choice]) for shape, choice in choices.items())
    text = f'{{"timed_on": {json.dumps(timed_on)}, "choices": [\n{lines}\n]}}\n'
    path.write_text(text, encoding="utf-8")


@functools.cache
def choices():
    """{Shape: Choice} of the committed table."""
    return read()[1]
