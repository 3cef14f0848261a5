"""A graph as a self-contained SVG picture, with some modules folded and without scripts."""

from html import escape
from typing import Any

from tinygrad_like.pictures import colours, places, text
from tinygrad_like.pictures.layers import Level

# Of the SVG and of the page: what `graph.js` draws has the same classes.
STYLE = """
svg.graph { background: #fff; font: 11px "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.graph rect { stroke: #8a94a0; stroke-width: 1; fill: #fff; }
.graph .module > rect { stroke: #4a6fa5; }
.graph .open > rect { fill: #eef3fa; fill-opacity: 0.6; }
.graph .leaf > rect { stroke: #4b8b5c; fill: #f0f8f1; }
.graph text { fill: #20262d; white-space: pre; }
.graph .title { font-weight: bold; }
.graph .module > .title { fill: #23487d; }
.graph .name { fill: #23487d; paint-order: stroke; stroke: #f1f5fb; stroke-width: 5px;
  pointer-events: none; }
.graph path.line { fill: none; stroke: #7a8591; stroke-width: 1.2; }
.graph marker path { fill: #7a8591; stroke: none; }
"""
MARKER = (
    '<marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
    'orient="90"><path d="M0 0L8 4L0 8z"/></marker>'
)

RAMP = f"""<linearGradient id="ramp"><stop offset="0" stop-color="rgb{colours.LOW}"/>
<stop offset="1" stop-color="rgb{colours.HIGH}"/></linearGradient>"""


def draw(
    items: Any,
    levels: dict[int | None, Level],
    folded: set[int],
    shades: dict[str, tuple[list[str], str]],
    color: str,
    name: str,
) -> str:
    """The text of an SVG file.

    Args:
        folded: the numbers of the modules' calls that are shown as one box.
        shades: by measure, the colour of each box and the range as text.
        color: the measure to show, or "none".
        name: read aloud by a screen reader.
    """
    fills = None if color == "none" else shades[color][0]
    legend = "" if color == "none" else f"{color} {shades[color][1]}"
    texts = [box.texts() for box in items.boxes]
    rooms = places.measure(items, levels, folded, texts)
    parts, begun = [], set()
    for found in places.drawn(levels, rooms):
        if isinstance(found, places.Drawn) and found.number in begun:
            place = f'x="{found.x + places.PAD:.1f}" y="{found.y + places.LINE:.1f}"'
            title = escape(texts[found.number][0])
            parts.append(f'<text class="title name" {place}>{title}</text>')
        elif isinstance(found, places.Drawn):
            begun.add(found.number)
            parts.append(_box(items.boxes[found.number], found, texts[found.number], fills))
        else:
            d, ends = found
            marker = ' marker-end="url(#end)"' if ends else ""
            parts.append(f'<path class="line" d="{d}"{marker}/>')
    if legend:
        ramp = '<rect x="12" y="7" width="70" height="10" style="fill: url(#ramp)"/>'
        parts.append(f'{ramp}<text x="90" y="16">{escape(legend)}</text>')
    width, height = max(rooms[None].width, text.width(legend) + 110), rooms[None].height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" role="img" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f"<title>{escape(name)}</title><style>{STYLE}</style><defs>{MARKER}{RAMP}</defs>"
        f"{''.join(parts)}</svg>\n"
    )


def _box(box: Any, at: places.Drawn, lines: list[str], fills: list[str] | None) -> str:
    kind = f"{box.kind} open" if at.unfolded else box.kind
    fill = ""
    if fills is not None and not at.unfolded and box.kind != "leaf":
        fill = f' style="fill: {fills[box.number]}"'
    rows = []
    for i, line in enumerate(() if at.unfolded else lines):
        of_title = "" if i else ' class="title"'
        place = f'x="{places.PAD}" y="{places.LINE * (i + 1)}"'
        rows.append(f"<text{of_title} {place}>{escape(line)}</text>")
    whole = "\n".join(lines)
    return (
        f'<g class="{kind}" transform="translate({at.x:.1f} {at.y:.1f})">'
        f"<title>{escape(whole)}</title>"
        f'<rect width="{at.width:.1f}" height="{at.height:.1f}" rx="4"{fill}/>{"".join(rows)}</g>'
    )
