"""A Run in a notebook: its curves, losses in one chart and each other metric in its own."""

import math
from html import escape
from typing import Any

from tinygrad_like.pictures import text

WIDTH, HEIGHT, LEFT, BOTTOM = 420, 170, 62, 26  # of a chart, and of the space for its figures
COLOURS = "#1f6feb", "#d1242f", "#2da44e", "#8250df", "#bf8700", "#57606a"
POINTS = 400  # longer curves are drawn by the least and the largest value of each stretch
DOTS = 50  # curves of at most this many points show each one


def html(run: Any) -> str:
    """The HTML of a Run."""
    notes = [f"step {run.step:,}"]
    if run.history.counts_epochs:
        notes.append(f"epoch {run.epoch}")
    if run.best is not None:
        best = run.best
        notes.append(f"best {best.metric} {best.value:.4g} at step {best.step:,}")
    head = f"<div><b>Run</b> {escape(text.shortened(f'{run.folder}', 100))}: "
    head += f"{escape(', '.join(notes))}</div>"
    losses = [name for name in run.history if name.endswith("loss")]
    groups = [losses] if losses else []
    groups += [[name] for name in run.history if name not in losses]
    charts = "".join(chart({name: run.history[name] for name in group}) for group in groups)
    return f'<div>{head}<div style="display: flex; flex-wrap: wrap">{charts}</div></div>'


def chart(curves: dict[str, Any]) -> str:
    """One chart as SVG, of metrics by name: each has `steps` and `values`."""
    points = {name: _points(series.steps, series.values) for name, series in curves.items()}
    steps = [step for found in points.values() for step, _ in found]
    values = [v for found in points.values() for _, v in found if math.isfinite(v)]
    name = ", ".join(text.shortened(name, 24) for name in curves)
    if not values:
        return f"<div>{escape(name)}: no finite value</div>"
    least, most = min(values), max(values)
    logarithmic = 0 < 8 * least < most and "loss" in name
    low, high, ticks = _ticks(least, most, logarithmic)
    first, last = min(steps), max(steps)

    def x(step: float) -> float:
        share = (step - first) / (last - first) if last > first else 0.5
        return LEFT + share * (WIDTH - LEFT - 10)

    def y(value: float) -> float:
        if logarithmic:
            share = math.log(value / low) / math.log(high / low)
        else:
            share = (value / 2 - low / 2) / (high / 2 - low / 2)  # halves: huge values differ, too
        return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - 24)

    parts = [_grid(y(tick), f"{tick:.4g}") for tick in ticks]
    for i, (metric, found) in enumerate(points.items()):
        parts.append(_curve(found, x, y, COLOURS[i % len(COLOURS)]))
        if len(points) > 1:
            parts.append(_key(text.shortened(metric, 24), i, len(points)))
    if len(points) == 1:
        parts.append(f'<text x="{LEFT}" y="14" font-weight="bold">{escape(name)}</text>')
    ends = [(first, "start"), (last, "end")] if last > first else [(first, "middle")]
    for step, anchor in ends:
        place = f'x="{x(step):.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}"'
        parts.append(f"<text {place}>{'step ' if step == first else ''}{step:,}</text>")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{WIDTH}" height="{HEIGHT}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" style="background: #fff; font: 11px sans-serif">'
        f"<title>{escape(name)}</title>{''.join(parts)}</svg>"
    )


def _points(steps: list[int], values: list[float]) -> list[tuple[int, float]]:
    """(step, value), of a long curve the extremes of each stretch, in their order."""
    if len(values) <= POINTS:
        return list(zip(steps, values, strict=True))
    found, width = [], -(-len(values) // (POINTS // 2))
    for start in range(0, len(values), width):
        stretch = range(start, min(start + width, len(values)))
        known = [i for i in stretch if math.isfinite(values[i])] or [start]
        extremes = min(known, key=values.__getitem__), max(known, key=values.__getitem__)
        found += [(steps[i], values[i]) for i in sorted(set(extremes))]
    return found


def _ticks(least: float, most: float, logarithmic: bool) -> tuple[float, float, list[float]]:
    """(the lower end of the axis, its upper end, figures to write beside it)."""
    if logarithmic:
        powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
        steps = (1, 2, 5) if len(powers) < 4 else (1,)
        inside = [m * 10.0**p for p in powers for m in steps if least <= m * 10.0**p <= most]
        return least, most, inside[:: max(1, len(inside) // 5)]
    if most / 2 - least / 2 <= 1e-9 * max(abs(least), abs(most), 1e-290):  # one value
        margin = abs(most) * 0.1 or 1.0
        return least - margin, most + margin, [least]
    half = most / 2 - least / 2
    power = 10.0 ** math.floor(math.log10(half))
    step = next(m * power for m in (0.5, 1, 2, 5) if half / (m * power) <= 2.5)
    inside = [i * step for i in range(math.ceil(least / step), math.floor(most / step) + 1)]
    return least, most, inside


def _grid(y: float, figure: str) -> str:
    return (
        f'<path d="M{LEFT} {y:.1f}H{WIDTH - 10}" stroke="#e4e8ec"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#57606a">{figure}</text>'
    )


def _curve(points: list[tuple[int, float]], x: Any, y: Any, colour: str) -> str:
    """A line, with gaps where values are not finite; and dots if they are few."""
    path, dots, pen_is_down = [], [], False
    for step, value in points:
        if not math.isfinite(value):
            pen_is_down = False
            continue
        path.append(f"{'L' if pen_is_down else 'M'}{x(step):.1f} {y(value):.1f}")
        pen_is_down = True
        if len(points) <= DOTS:
            dots.append(f'<circle cx="{x(step):.1f}" cy="{y(value):.1f}" r="2.5" fill="{colour}"/>')
    line = f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="1.4"/>'
    return line + "".join(dots)


def _key(metric: str, i: int, count: int) -> str:
    x, colour = LEFT + i * (WIDTH - LEFT) / count, COLOURS[i % len(COLOURS)]
    return (
        f'<rect x="{x:.1f}" y="5" width="9" height="9" fill="{colour}"/>'
        f'<text x="{x + 13:.1f}" y="14">{escape(metric)}</text>'
    )
