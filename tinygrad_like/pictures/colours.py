"""The colour of a box: its share of the time, the memory or the gradient."""

import math
from typing import Any

from tinygrad_like.pictures import text

LOW, HIGH = (255, 255, 255), (245, 146, 66)  # black text is read on both
UNKNOWN, NOT_KNOWN = "#ffffff", "not known"
FIGURES = {"time": text.of_seconds, "saved": text.of_bytes, "gradient": text.of_norm}


def scale(values: list[float | None], measure: str) -> tuple[list[str], str]:
    """(a colour for each value, the range as text). None is white, and so is what is not finite.

    Gradients differ by powers of ten, so theirs is a logarithmic scale; others begin at 0.
    """
    finite = [v for v in values if v is not None and math.isfinite(v)]
    if measure == "gradient":
        finite = [v for v in finite if v > 0]
    if not finite:
        return [UNKNOWN] * len(values), NOT_KNOWN
    least, most = min(finite), max(finite)
    show = FIGURES[measure]
    if measure == "gradient":
        shown = f"{show(least)} to {show(most)}"
        return [_colour(_log_share(v, least, most)) for v in values], shown
    return [_colour(_share(v, most)) for v in values], f"0 to {show(most)}"


def _share(value: float | None, most: float) -> float | None:
    return None if value is None or not math.isfinite(value) else value / (most or 1.0)


def _log_share(value: float | None, least: float, most: float) -> float | None:
    if value is None or not math.isfinite(value) or value <= 0:
        return None
    return math.log(value / least) / math.log(most / least) if most > least else 1.0


def _colour(share: float | None) -> str:
    if share is None:
        return UNKNOWN
    mixed = (round(a + (b - a) * share) for a, b in zip(LOW, HIGH, strict=True))
    return "#" + "".join(f"{c:02x}" for c in mixed)


def by_measure(boxes: list[Any]) -> dict[str, tuple[list[str], str]]:
    """{measure: (the colour of each box, the range as text)}.

    A module's call has the sum over its ops, so modules and ops have a scale each; the text is
    that of the ops, or of the modules if no op is known.
    """
    found = {}
    for measure in FIGURES:
        colours, ranges = [UNKNOWN] * len(boxes), []
        for modules in (False, True):
            group = [box for box in boxes if (box.kind == "module") is modules]
            shades, shown = scale([getattr(box, measure) for box in group], measure)
            for box, shade in zip(group, shades, strict=True):
                colours[box.number] = shade
            ranges.append(shown)
        ops, modules_range = ranges
        found[measure] = colours, modules_range if ops == NOT_KNOWN else ops
    return found
