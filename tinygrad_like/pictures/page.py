"""A graph as an HTML page: `graph.js` draws it, and again when a module is folded or unfolded."""

import json
from html import escape
from pathlib import Path
from typing import Any

from tinygrad_like.pictures import places, svg
from tinygrad_like.pictures.layers import Level
from tinygrad_like.pictures.text import width

# What graph.js needs of places.py.
SIZES = "LINE PAD HEADER ROW EDGE COLUMN MARGIN WIDTH_OF_LANE PASSES PULL".split()
HEIGHT = 560  # of the page in a notebook, in pixels
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ margin: 0; font: 13px system-ui, sans-serif; color: #20262d; }}
#bar {{ position: fixed; left: 0; right: 0; top: 0; padding: 6px 10px; background: #f6f8fa;
  border-bottom: 1px solid #d0d7de; display: flex; gap: 8px; align-items: center; height: 26px; }}
#bar button, #bar select {{ font: inherit; }}
#range {{ color: #57606a; }}
#view {{ position: fixed; left: 0; right: 0; top: 39px; bottom: 0; overflow: auto; }}
.graph .module {{ cursor: pointer; }}
.graph .module:focus-visible > rect {{ stroke-width: 2.5; }}
.graph .module {{ outline: none; }}
{style}</style></head><body>
<div id="bar"><label>colour <select id="color"></select></label><span id="range"></span>
<button id="unfold">unfold all</button><button id="fold">fold all</button>
<button id="smaller" title="smaller">&minus;</button><button id="larger" title="larger">+</button>
<button id="fit">fit</button></div>
<div id="view"></div>
<script type="application/json" id="data">{data}</script>
<script>{script}</script></body></html>
"""


def html(
    items: Any,
    levels: dict[int | None, Level],
    folded: set[int],
    shades: dict[str, tuple[list[str], str]],
    color: str,
    title: str,
) -> str:
    """The text of a page that needs nothing else."""
    texts = [box.texts() for box in items.boxes]
    data = {
        "boxes": [
            {"kind": box.kind, "home": box.home, "lines": lines}
            for box, lines in zip(items.boxes, texts, strict=True)
        ],
        "widths": [[width(line) for line in lines] for lines in texts],
        "levels": [
            {"of": number, "rows": level.rows, "links": level.links}
            for number, level in levels.items()
        ],
        "folded": sorted(folded),
        "shades": {name: {"colours": c, "range": text} for name, (c, text) in shades.items()},
        "color": color,
        "sizes": {name: getattr(places, name) for name in SIZES},
    }
    return PAGE.format(
        title=escape(title),
        style=svg.STYLE,
        data=_in_script(data),
        script=Path(__file__).with_name("graph.js").read_text(encoding="utf-8"),
    )


def _in_script(data: Any) -> str:
    """JSON that cannot end the script that it stands in."""
    text = json.dumps(data, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def framed(page: str) -> str:
    """A page as a frame in a notebook, whose own style and scripts it leaves alone."""
    return (
        f'<iframe sandbox="allow-scripts" srcdoc="{escape(page)}" width="100%" height="{HEIGHT}" '
        'style="border: 1px solid #d0d7de; background: #fff"></iframe>'
    )
