"""In which row of its module, and at which place there, each box stands: a layered drawing.

Each call of a module is laid out by itself, on a level: its boxes stand in rows, so that every line
leads down. A line that passes a row has a lane there, a slot between the boxes, so none runs
through a box; lines from one box share a lane. A line that enters or leaves the module has
a slot in a row before the first or after the last one. So the rows do not depend on which
modules are folded, and only the sizes do, see places.py.

The method is that of Sugiyama, Tagawa and Toda 1981, "Methods for visual understanding of
hierarchical system structures": longest paths, then barycentres, keeping the order with the
fewest crossings. It is written here because the libraries of Python for it (grandalf 0.8, of 2023)
know no boxes within boxes, which is what folding needs.
"""

from bisect import bisect_right, insort
from collections import defaultdict
from itertools import pairwise
from typing import Any, NamedTuple

from tinygrad_like.pictures.items import Items

SWEEPS = 8
BOX, LANE, ENTRY, EXIT = "box", "lane", "in", "out"


class Slot(NamedTuple):
    """A place in a row: of a box by its number, or of the line from the box of this number."""

    kind: str
    number: int


class Level(NamedTuple):
    """The rows of slots in a module's call, and the links between neighbouring rows.

    The first row is of entries, the last one of exits; both may be empty. A link is (row, place in
    it, place in the next row, number of the box that the line comes from).
    """

    rows: list[list[Slot]]
    links: list[tuple[int, int, int, int]]


def levels(items: Items) -> dict[int | None, Level]:
    """{number of a module's call: its level}, with None for the outermost one."""
    nets: dict[int | None, dict[int, tuple[Slot, set[Slot]]]] = defaultdict(dict)
    for start, end in sorted(items.lines):
        _add_line(items, nets, start, end)
    inside: dict[int | None, list[int]] = defaultdict(list)
    for box in sorted(items.boxes, key=lambda box: box.order):
        inside[box.home].append(box.number)
    return {home: _level(numbers, nets[home]) for home, numbers in inside.items()}


def _add_line(items: Items, nets: Any, start: int, end: int) -> None:
    """Add a line to the nets of all levels that it passes."""
    first = [start, *(box.number for box in items.above(items.boxes[start]))]
    last = [end, *(box.number for box in items.above(items.boxes[end]))]
    while len(first) > 1 and len(last) > 1 and first[-1] == last[-1]:
        first.pop()
        last.pop()
    if first[-1] == last[-1]:  # from a module to what is inside it, or the other way
        return

    def add(home: int | None, source: Slot, target: Slot) -> None:
        nets[home].setdefault(start, (source, set()))[1].add(target)

    for inner, outer in pairwise(first):
        add(outer, Slot(BOX, inner), Slot(EXIT, start))
    add(items.boxes[first[-1]].home, Slot(BOX, first[-1]), Slot(BOX, last[-1]))
    for inner, outer in pairwise(last):
        add(outer, Slot(ENTRY, start), Slot(BOX, inner))


def _level(numbers: list[int], nets: dict[int, tuple[Slot, set[Slot]]]) -> Level:
    row_of = _rows_of(numbers, nets)
    bottom = 1 + max(row_of.values())
    rows: list[list[Slot]] = [[] for _ in range(bottom + 1)]
    for number in numbers:
        rows[row_of[number]].append(Slot(BOX, number))
    links: list[tuple[int, Slot, Slot, int]] = []
    for source, (start, ends) in nets.items():
        if start.kind == ENTRY:
            rows[0].append(start)
        if any(end.kind == EXIT for end in ends):
            rows[bottom].append(Slot(EXIT, source))
        here, row = start, 0 if start.kind == ENTRY else row_of[start.number]
        targets = {end: bottom if end.kind == EXIT else row_of[end.number] for end in ends}
        for below in range(row + 1, 1 + max(targets.values())):
            ends_here = [end for end, at in sorted(targets.items()) if at == below]
            links += [(below - 1, here, end, source) for end in ends_here]
            if any(at > below for at in targets.values()):
                lane = Slot(LANE, source)
                rows[below].append(lane)
                links.append((below - 1, here, lane, source))
                here = lane
    return _ordered(rows, links)


def _rows_of(numbers: list[int], nets: dict[int, tuple[Slot, set[Slot]]]) -> dict[int, int]:
    """{box: its row, from 1}: as high as lines allow; a source is close above what it leads to."""
    above: dict[int, list[int]] = defaultdict(list)
    below: dict[int, list[int]] = defaultdict(list)
    entered = set()
    for start, ends in nets.values():
        for end in ends:
            if start.kind == ENTRY:
                entered.add(end.number)
            elif end.kind == BOX:
                above[end.number].append(start.number)
                below[start.number].append(end.number)
    row_of: dict[int, int] = {}
    for number in numbers:  # by rising serial: what a line comes from is there already
        row_of[number] = 1 + max((row_of[n] for n in above[number]), default=0)
    for number in reversed(numbers):
        if not above[number] and below[number] and number not in entered:
            row_of[number] = min(row_of[n] for n in below[number]) - 1
    return row_of


def _ordered(rows: list[list[Slot]], links: list[tuple[int, Slot, Slot, int]]) -> Level:
    """The rows in the order with the fewest crossings of those that sweeps down and up find."""
    up: list[dict[Slot, list[Slot]]] = [defaultdict(list) for _ in rows]
    down: list[dict[Slot, list[Slot]]] = [defaultdict(list) for _ in rows]
    for row, start, end, _ in links:
        down[row][start].append(end)
        up[row + 1][end].append(start)
    best, fewest = [list(row) for row in rows], _crossings(rows, down)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        falling = sweep % 2 == 0
        for row in range(1, len(rows)) if falling else range(len(rows) - 2, -1, -1):
            beside = rows[row - 1 if falling else row + 1]
            _sort(rows[row], beside, (up if falling else down)[row])
        found = _crossings(rows, down)
        if found < fewest:
            best, fewest = [list(row) for row in rows], found
    places = [{slot: i for i, slot in enumerate(row)} for row in best]
    placed = [(row, places[row][a], places[row + 1][b], source) for row, a, b, source in links]
    return Level(best, sorted(placed))


def _sort(row: list[Slot], beside: list[Slot], linked: dict[Slot, list[Slot]]) -> None:
    """Order a row by the mean place of what its slots are linked to; others stay where they are."""
    at = {slot: i for i, slot in enumerate(beside)}
    scale = len(beside) / max(1, len(row))
    keys = {}
    for i, slot in enumerate(row):
        near = linked.get(slot)
        keys[slot] = sum(at[s] for s in near) / len(near) if near else i * scale
    row.sort(key=keys.__getitem__)


def _crossings(rows: list[list[Slot]], down: list[dict[Slot, list[Slot]]]) -> int:
    """How many pairs of links between neighbouring rows cross."""
    count = 0
    for row, slots in enumerate(rows[:-1]):
        at = {slot: i for i, slot in enumerate(rows[row + 1])}
        passed: list[int] = []
        for slot in slots:
            ends = [at[end] for end in down[row].get(slot, ())]
            count += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return count
