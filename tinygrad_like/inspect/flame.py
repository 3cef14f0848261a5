"""A profile as a flame chart: a page or a picture (SVG) that needs nothing else.

What happens at one place (in the same modules, in the same phase) is drawn as one bar, as wide as
all of its time; below it lie the bars of what is in it. A click on a bar makes it as wide as the
page, a click on one above it goes back.
"""

from html import escape
from typing import Any

from tinygrad_like.inspect.spans import modules_around
from tinygrad_like.inspect.trace import label

WIDTH, ROW, TOP = 1200, 18, 40  # of the picture, of a bar, of what stands above the bars
LEAST = 0.0002  # of the time: narrower bars are left out
COLOURS = {
    "forward": "#7fb2e5",
    "backward": "#f0a35e",
    "recompute": "#c9a0dc",
    "optimizer": "#8fcf8f",
    "": "#d9d9d9",
}
ZOOM = """
const bars = [...document.querySelectorAll("g[data-x]")], W = 1200;
function zoom(x, w) {
  for (const g of bars) {
    const from = (+g.dataset.x - x) / w * W, wide = +g.dataset.w / w * W;
    const left = Math.max(from, 0), right = Math.min(from + wide, W);
    g.style.display = right - left < 0.3 ? "none" : "";
    const rect = g.querySelector("rect"), text = g.querySelector("text");
    rect.setAttribute("x", left); rect.setAttribute("width", Math.max(right - left - 0.5, 0.3));
    text.setAttribute("x", left + 3);
    const room = Math.floor((right - left - 6) / 6.2), name = g.dataset.name;
    text.textContent = room < 3 ? "" : name.length <= room ? name : name.slice(0, room - 1) + "…";
  }
}
for (const g of bars) g.addEventListener("click", () => zoom(+g.dataset.x, +g.dataset.w));
zoom(0, 1);
"""


class _Bar:
    """All the time of one place."""

    def __init__(self, name: str, phase: str):
        # XML has no control characters.
        self.name = "".join(c if c.isprintable() else "\ufffd" for c in name)
        self.phase = phase
        self.seconds, self.calls, self.bytes = 0.0, 0, 0
        self.flops: int | None = 0
        self.below: dict[tuple[str, str], _Bar] = {}

    def inner(self, name: str, phase: str) -> "_Bar":
        """The bar of that name in this one."""
        return self.below.setdefault((name, phase), _Bar(name, phase))

    def add(self, span: Any, seconds: float) -> None:
        self.seconds += seconds
        self.calls += 1
        self.bytes += span.bytes
        self.flops = None if None in (self.flops, span.flops) else self.flops + span.flops

    def depth(self) -> int:
        return 1 + max((bar.depth() for bar in self.below.values()), default=0)


def _bars(profile: Any) -> _Bar:
    """The bar of the whole block, with all others in it."""
    places: dict[Any, _Bar] = {}
    root = _Bar("profile", "")
    for span in profile.spans:
        if span.parent is None:
            bar = root
        else:
            bar = places[span.parent]
            if span.kind == "node":  # below the modules of its call
                modules = modules_around(span.of)
                for module in reversed(modules):
                    bar = bar.inner(label(module), "backward")
                    bar.seconds += span.seconds
            phase = "" if span.kind in ("block", "section") else span.phase
            bar = bar.inner(label(span), phase)
        places[span] = bar
        bar.add(span, span.seconds)
    return root


def svg(profile: Any) -> str:
    """The picture: it shows a bar's figures under the mouse where SVG has titles."""
    root = _bars(profile)
    height = TOP + ROW * root.depth() + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    for k, (phase, colour) in enumerate(COLOURS.items()):
        x = 4 + 110 * k
        parts.append(f'<rect x="{x}" y="8" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="18">{phase or "Python, other"}</text>')
    _draw(root, 0.0, 0, profile.seconds or 1.0, parts)
    return "\n".join([*parts, "</svg>"])


def html(profile: Any) -> str:
    """A page with the picture, whose bars can be clicked, and the tables."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>profile</title>'
        "<style>body{font:14px sans-serif;margin:16px;max-width:1200px}"
        "svg{width:100%;height:auto}g[data-x]{cursor:pointer}"
        "pre{font-size:12px;overflow-x:auto}</style></head>\n<body>"
        f"{svg(profile)}\n<pre>{escape(str(profile))}</pre>"
        f"<script>{ZOOM}</script></body></html>\n"
    )


def _draw(bar: _Bar, x: float, level: int, whole: float, parts: list[str]) -> None:
    """Add a bar that begins at `x` seconds, and those in it from there on."""
    share = bar.seconds / whole
    if share < LEAST:
        return
    left, width, y = WIDTH * x / whole, WIDTH * share, TOP + ROW * level
    title = f"{bar.name}: {1e3 * bar.seconds:.3f} ms, {share:.1%}"
    if bar.calls:
        title += f", {bar.calls:,} times"
    if bar.flops:
        title += f", {bar.flops / 1e6:,.3f} MFLOP"
    if bar.bytes:
        title += f", {bar.bytes / 2**20:,.2f} MiB allocated"
    room = int((width - 6) / 6.2)
    shown = bar.name if len(bar.name) <= room else bar.name[: room - 1] + "…" if room >= 3 else ""
    parts.append(
        f'<g data-x="{x / whole:.6f}" data-w="{share:.6f}" data-name="{escape(bar.name)}">'
        f"<title>{escape(title)}</title>"
        f'<rect x="{left:.2f}" y="{y}" width="{max(width - 0.5, 0.3):.2f}" height="{ROW - 1}" '
        f'rx="2" fill="{COLOURS[bar.phase]}"/>'
        f'<text x="{left + 3:.2f}" y="{y + 13}">{escape(shown)}</text></g>'
    )
    for inner in bar.below.values():
        _draw(inner, x, level + 1, whole, parts)
        x += inner.seconds
