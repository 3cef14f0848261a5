"""Tiles of matrix products by shape: a committed table, tiles.json, and its reader and writer.

`python -m bench tiles --device cuda --write` times the tiles on a GPU and writes the best ones with
the GPU's name and compute capability, `timed_on`; the table is for GPUs of that capability. A table
that no GPU has timed, whose `timed_on` is null, holds the choices of linalg.py's rule and is not
used.
"""

import functools
import json
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("tiles.json")


class Shape(NamedTuple):
    """A product: which source multiplies, the dtype, (m, k) x (k, n), how many of them.

    `layout` is "nn", "nt", "tn" or "tt": a t for each operand that is transposed, so that the
    elements of a column are neighbours in memory.
    """

    source: str
    dtype: str
    layout: str
    m: int
    n: int
    k: int
    batch: int = 1


class Choice(NamedTuple):
    """How a product is computed: the defines of a tile, and how many parts k is cut into."""

    tile: dict
    parts: int


def read(path=TABLE):
    """(timed_on, {Shape: Choice}) of a table.

    `timed_on` is {"device": name, "capability": 90} of the GPU that timed it, or None.
    """
    saved = json.loads(path.read_text(encoding="utf-8"))
    found = {Shape(*shape): Choice(tile, parts) for *shape, tile, parts in saved["choices"]}
    return saved["timed_on"], found


def write(timed_on, choices, path=TABLE):
    """Write a table, a line for each shape."""
    lines = ",\n".join(json.dumps([*shape, *choice]) for shape, choice in choices.items())
    text = f'{{"timed_on": {json.dumps(timed_on)}, "choices": [\n{lines}\n]}}\n'
    path.write_text(text, encoding="utf-8")


@functools.cache
def choices(capability):
    """{Shape: Choice} of the committed table; empty if no GPU of this capability timed it."""
    timed_on, found = read()
    return found if timed_on and timed_on["capability"] == capability else {}
