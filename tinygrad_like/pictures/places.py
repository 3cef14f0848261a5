"""Where boxes and lines lie, given what is folded. `graph.js` does the same in the browser.

A box is as wide as its longest line of text. An unfolded module's is as large as its level: rows
below each other, and in a row each slot as near as possible to what it is linked to, in the sense
of least squares, without an overlap. A line is vertical within a row, where it has its lane, and
curved between two rows.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tinygrad_like.pictures import text
from tinygrad_like.pictures.items import Items
from tinygrad_like.pictures.layers import BOX, ENTRY, EXIT, LANE, Level, Slot

LINE, PAD, HEADER = 15, 8, 24  # of text; around it; of an unfolded module's title
ROW, EDGE, COLUMN, MARGIN = 30, 20, 16, 12  # between rows, at entries, between slots, at borders
WIDTH_OF_LANE = 6
PASSES, PULL = 16, 0.02  # over the rows; towards the middle, beside a line's 1


class Room(NamedTuple):
    """The size of a box, and in an unfolded module the places of its slots from the top left."""

    width: float
    height: float
    centres: list[list[float]]  # of each slot in each row
    tops: list[float]  # of each row
    heights: list[float]
    ports: dict[Slot, float]  # where lines enter and leave, from the middle


def measure(
    items: Items, levels: dict[int | None, Level], folded: set[int], texts: list[list[str]]
) -> dict[int | None, Room]:
    """{box, or None for the whole picture: its Room}, from the innermost ones outwards.

    `texts` has the lines of each box, the title first.
    """
    rooms: dict[int | None, Room] = {}
    depth = {box.number: sum(1 for _ in items.above(box)) for box in items.boxes}
    for number in sorted(depth, key=depth.__getitem__, reverse=True):
        lines = texts[number]
        if number in levels and number not in folded:
            rooms[number] = _of_level(levels[number], rooms, text.width(lines[0]) + 2 * PAD + 16)
        else:
            width = max(map(text.width, lines)) + 2 * PAD
            rooms[number] = Room(width, len(lines) * LINE + PAD, [], [], [], {})
    empty = Level([[], []], [])
    rooms[None] = _of_level(levels.get(None, empty), rooms, 0.0)
    return rooms


def _of_level(level: Level, rooms: dict[int | None, Room], least: float) -> Room:
    """The Room of an unfolded module, given those of its boxes."""
    rows, heights = level.rows, []
    widths: list[list[float]] = []
    for row in rows:
        boxes = [rooms[slot.number] if slot.kind == BOX else None for slot in row]
        widths.append([WIDTH_OF_LANE if box is None else box.width for box in boxes])
        heights.append(max((box.height for box in boxes if box is not None), default=0.0))
    centres = _centres(level, widths, rooms)
    pairs = [
        (c, w / 2)
        for cs, ws in zip(centres, widths, strict=True)
        for c, w in zip(cs, ws, strict=True)
    ]
    left = min((c - half for c, half in pairs), default=0.0)
    right = max((c + half for c, half in pairs), default=0.0)
    width = max(right - left + 2 * MARGIN, least)
    shift = (width - left - right) / 2
    centres = [[c + shift for c in row] for row in centres]
    tops, y = [], float(HEADER)
    for i, height in enumerate(heights):
        tops.append(y)
        at_edge = i in (0, len(rows) - 2)
        y += height + (ROW if not at_edge else EDGE if rows[0 if i == 0 else -1] else MARGIN / 2)
    edges = [*zip(rows[0], centres[0], strict=True), *zip(rows[-1], centres[-1], strict=True)]
    ports = {slot: x - width / 2 for slot, x in edges}
    return Room(width, tops[-1] + MARGIN, centres, tops, heights, ports)


def _centres(
    level: Level, widths: list[list[float]], rooms: dict[int | None, Room]
) -> list[list[float]]:
    """The centre of each slot, by passes down and up, in which rows follow those beside them."""
    near: list[Any] = [[[] for _ in row] for row in level.rows]
    for row, a, b, source in level.links:
        start, end = level.rows[row][a], level.rows[row + 1][b]
        weight = 8.0 if start.kind == end.kind == LANE else 1.0
        offset = port(rooms, start, EXIT, source) - port(rooms, end, ENTRY, source)
        near[row + 1][b].append((row, a, offset, weight))
        near[row][a].append((row + 1, b, -offset, weight))
    centres = []
    for ws in widths:
        xs = _spread([0.0] * len(ws), [1.0] * len(ws), ws)
        centres.append([x - sum(xs) / len(xs) for x in xs])
    for i in range(PASSES):
        for row in range(len(centres)) if i % 2 == 0 else range(len(centres) - 1, -1, -1):
            wanted, weights = [], []
            for links in near[row]:
                total, pulled = PULL, 0.0
                for other, j, offset, weight in links:
                    total += weight
                    pulled += weight * (centres[other][j] + offset)
                wanted.append(pulled / total)
                weights.append(total)
            centres[row] = _spread(wanted, weights, widths[row])
    return centres


def port(rooms: dict[int | None, Room], slot: Slot, kind: str, source: int) -> float:
    """How far from the middle of a slot the line from the box `source` enters or leaves it."""
    return rooms[slot.number].ports.get(Slot(kind, source), 0.0) if slot.kind == BOX else 0.0


def _spread(wanted: list[float], weights: list[float], widths: list[float]) -> list[float]:
    """The places nearest to those wanted, in the sense of least squares, without an overlap.

    The places less what stands before them have to rise: where they would fall, neighbours share
    their mean (the algorithm of pool adjacent violators).
    """
    before, position = [], 0.0
    for i, w in enumerate(widths):
        position += (widths[i - 1] + w) / 2 + COLUMN if i else 0.0
        before.append(position)
    pools: list[list[float]] = []  # (sum of weights times places, of weights, how many)
    for want, weight, offset in zip(wanted, weights, before, strict=True):
        pools.append([weight * (want - offset), weight, 1])
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] > pools[-1][0] * pools[-2][1]:
            total, weight, count = pools.pop()
            pools[-1] = [pools[-1][0] + total, pools[-1][1] + weight, pools[-1][2] + count]
    means = [total / weight for total, weight, count in pools for _ in range(int(count))]
    return [mean + offset for mean, offset in zip(means, before, strict=True)]


class Drawn(NamedTuple):
    """A box in the picture: its number, place and size, and whether what is within is shown."""

    number: int
    x: float
    y: float
    width: float
    height: float
    unfolded: bool


def drawn(
    levels: dict[int | None, Level],
    rooms: dict[int | None, Room],
    number: int | None = None,
    x: float = 0.0,
    y: float = 0.0,
) -> Iterator[Drawn | tuple[str, bool]]:
    """Every box, the outer ones first, and the path of every line, with whether it ends there.

    An unfolded one comes again after all that is within, when its title is drawn above the lines.
    """
    level, room = levels.get(number), rooms[number]
    if level is None or not room.tops:
        return
    boxes: dict[tuple[int, int], Drawn] = {}
    for i, row in enumerate(level.rows):
        for j, slot in enumerate(row):
            if slot.kind == BOX:
                size = rooms[slot.number]
                left = x + room.centres[i][j] - size.width / 2
                top = y + room.tops[i] + (room.heights[i] - size.height) / 2
                box = Drawn(slot.number, left, top, size.width, size.height, bool(size.tops))
                boxes[i, j] = box
                yield box
    begun = set()  # the slots whose way down their row is drawn: a second line begins below it
    for i, a, b, source in level.links:
        start, end = level.rows[i][a], level.rows[i + 1][b]
        x1 = x + room.centres[i][a] + port(rooms, start, EXIT, source)
        x2 = x + room.centres[i + 1][b] + port(rooms, end, ENTRY, source)
        above, below = boxes.get((i, a)), boxes.get((i + 1, b))
        y1 = y if start.kind == ENTRY else y + room.tops[i]
        y1 = y1 if above is None else above.y + above.height
        y2 = y + room.tops[i] + room.heights[i]
        y1 = y2 if (i, a, source) in begun else y1
        begun.add((i, a, source))
        y3 = y + room.tops[i + 1]
        y4 = y + room.height if end.kind == EXIT else y3 if below is None else below.y
        ends = below is not None and Slot(ENTRY, source) not in rooms[below.number].ports
        yield path(x1, x2, y1, y2, y3, y4), ends
    for box in boxes.values():
        if box.unfolded:
            yield from drawn(levels, rooms, box.number, box.x, box.y)
            yield box


def path(x1: float, x2: float, y1: float, y2: float, y3: float, y4: float) -> str:
    """Down from y1 to y2, curved to y3, and down to y4."""
    middle = (y2 + y3) / 2
    curve = f"C{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y3:.1f}"
    return f"M{x1:.1f} {y1:.1f}V{y2:.1f}{curve}V{y4:.1f}"
