"""Boxes do not overlap, what is within lies within, and no line runs through a box."""

import re

import numpy as np
import pytest

from tinygrad_like.pictures import colours, layers, places, text
from tinygrad_like.pictures.items import Items


def random_items(rng, count):
    """Calls that nest as Python's do, with ops within, and lines that lead onwards."""
    items, stack = Items(), []
    for order in range(count):
        while stack and rng.random() < 0.35:
            stack.pop()
        home = stack[-1].number if stack else None
        kind = "module" if rng.random() < 0.3 and len(stack) < 4 else "op"
        box = items.add(kind, "b" * int(rng.integers(1, 20)), home, order)
        if kind == "module":
            stack.append(box)
        for other in rng.integers(0, order, min(order, int(rng.integers(0, 4)))):
            items.lines.add((int(other), order))
    return items


def laid_out(items, folded):
    levels = layers.levels(items)
    texts = [[box.title, "line"] for box in items.boxes]
    rooms = places.measure(items, levels, folded & levels.keys(), texts)
    found = list(places.drawn(levels, rooms))
    boxes = {d.number: d for d in found if isinstance(d, places.Drawn)}
    return boxes, [d[0] for d in found if not isinstance(d, places.Drawn)], rooms


def overlap(a, b):
    apart = a.x + a.width <= b.x or b.x + b.width <= a.x
    return not (apart or a.y + a.height <= b.y or b.y + b.height <= a.y)


def contains(a, b):
    right, bottom = b.x + b.width <= a.x + a.width + 0.01, b.y + b.height <= a.y + a.height + 0.01
    return b.x >= a.x - 0.01 and b.y >= a.y - 0.01 and right and bottom


def test_boxes_lie_beside_or_within_each_other():
    rng = np.random.default_rng(0)
    for _ in range(8):
        items = random_items(rng, 40)
        folded = {box.number for box in items.boxes if rng.random() < 0.3}
        boxes, _, rooms = laid_out(items, folded)
        outside = places.Drawn(-1, 0, 0, rooms[None].width, rooms[None].height, True)
        for a in boxes.values():
            around = {box.number for box in items.above(items.boxes[a.number])}
            assert all(contains(boxes[n], a) for n in around)
            assert contains(outside, a)
            for b in boxes.values():
                within = b.number in around or a.number in {
                    box.number for box in items.above(items.boxes[b.number])
                }
                assert a is b or within or not overlap(a, b)


PATH = re.compile(r"M([\d.]+) ([\d.]+)V([\d.]+)C\S+ \S+ \S+ \S+ ([\d.]+) ([\d.]+)V([\d.]+)")


def test_no_line_runs_through_a_box():
    """Its vertical parts touch a closed box at their ends, and its curve lies between two rows."""
    rng = np.random.default_rng(1)
    for _ in range(8):
        items = random_items(rng, 40)
        boxes, lines, _ = laid_out(items, set())
        closed = [box for box in boxes.values() if not box.unfolded]
        assert len(lines) > 10
        for line in lines:
            x1, y1, y2, x2, y3, y4 = map(float, PATH.fullmatch(line).groups())
            assert y1 <= y2 + 0.11
            assert y2 < y3 <= y4 + 0.11
            for box in closed:
                for x, top, bottom in ((x1, y1, y2), (x2, y3, y4)):
                    inside = box.x < x < box.x + box.width
                    touches = top >= box.y + box.height - 0.11 or bottom <= box.y + 0.11
                    assert touches or not inside
                inside = box.x < max(x1, x2) and min(x1, x2) < box.x + box.width
                assert not (inside and box.y < y3 - 0.11 and y2 + 0.11 < box.y + box.height)


def test_each_line_leads_down_through_all_modules_around_its_ends():
    items = Items()
    outer = items.add("module", "outer", None, 0)
    inner = items.add("module", "inner", outer.number, 1)
    first = items.add("op", "first", inner.number, 2)
    second = items.add("op", "second", outer.number, 3)
    third = items.add("op", "third", None, 4)
    items.lines |= {(first.number, second.number), (first.number, third.number)}
    found = layers.levels(items)
    kinds = {n: [[s.kind for s in row] for row in level.rows] for n, level in found.items()}
    assert kinds == {
        None: [[], ["box"], ["box"], []],
        outer.number: [[], ["box"], ["box", "lane"], ["out"]],
        inner.number: [[], ["box"], ["out"]],
    }
    _, lines, _ = laid_out(items, set())
    assert len(lines) == 5  # out of inner (shared), to second, past it, out of outer, to third


def test_lines_cross_no_more_than_they_have_to():
    items = Items()
    upper = [items.add("op", "a", None, i).number for i in range(4)]
    lower = [items.add("op", "b", None, 4 + i).number for i in range(4)]
    items.lines |= set(zip(upper, reversed(lower), strict=True))
    level = layers.levels(items)[None]
    xs = [(a, b) for row, a, b, _ in level.links]
    assert sorted(xs) == [(i, i) for i in range(4)]


def test_spread_is_the_nearest_order_without_an_overlap():
    got = places._spread([0.0, 0.0, 100.0], [1.0, 3.0, 1.0], [10.0, 10.0, 10.0])
    gap = 10 + places.COLUMN
    assert got == pytest.approx([-0.75 * gap, 0.25 * gap, 100])


def test_shares_are_colours_and_what_is_unknown_is_white():
    shades, shown = colours.scale([0.0, 0.5, 1.0, None, float("nan")], "time")
    assert shades[0] == shades[3] == shades[4] == "#ffffff"
    assert shades[2] == "#{:02x}{:02x}{:02x}".format(*colours.HIGH)
    assert shown == "0 to 1 s"
    shades, shown = colours.scale([0.0, 1e-4, 1e-2, 1.0], "gradient")
    middle = (round((a + b) / 2) for a, b in zip(colours.LOW, colours.HIGH, strict=True))
    assert shades[2] == "#" + "".join(f"{c:02x}" for c in middle)
    assert shades[0] == shades[1] == "#ffffff"
    assert shown == "0.0001 to 1"
    assert colours.scale([None], "saved") == (["#ffffff"], "not known")


def test_wide_characters_are_wide():
    assert text.width("日本") == text.width("abcd")
    assert text.width("e\N{COMBINING ACUTE ACCENT}") == text.width("e")
