"""Figures and names as text, and how wide it is."""

import math
import unicodedata
from html import escape
from typing import Any

CHARACTER = 6.7  # the width of a character of the pictures' fixed-width font, of 11 pixels
LINE = 64  # characters of a line in a box, at most


def width(text: str) -> float:
    """The width of a line in pixels; East Asian characters take two places, accents none."""
    places = sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )
    return places * CHARACTER


def shortened(text: str, most: int) -> str:
    """A text on one line, with its middle left out if it is longer than `most` characters.

    >>> shortened("a" * 30, 9)
    'aaaa…aaaa'
    """
    text = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    if len(text) <= most:
        return text
    half = (most - 1) // 2
    return f"{text[:half]}…{text[len(text) - half :]}"


def of_bytes(n: float) -> str:
    """
    >>> of_bytes(999), of_bytes(2_500_000)
    ('999 B', '2.5 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if n < 999.5:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.4g} TB"


def of_seconds(s: float) -> str:
    """
    >>> of_seconds(0.0000123), of_seconds(0.25)
    ('12.3 µs', '250 ms')
    """
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if s * factor < 999.5:
            return f"{s * factor:.3g} {unit}"
    return f"{s:.3g} s"


def of_array(shape: Any, dtype: Any) -> str:
    """`(3, 4) float32`; of several outputs, each one's, at most three."""
    if shape and isinstance(shape[0], tuple):
        shown = [of_array(s, d) for s, d in zip(shape[:3], dtype, strict=False)]
        return ", ".join(shown) + (", …" if len(shape) > 3 else "")
    return f"{tuple(shape)} {dtype}"


def of_norm(value: float) -> str:
    """The norm of a gradient, which may be infinite or no number."""
    return f"{value:.3g}" if math.isfinite(value) else str(value)


def preformatted(value: Any) -> str:
    """The repr of any object as HTML, if all else fails; of one that has none, its class."""
    try:
        text = repr(value)
    except Exception:  # a notebook shows a cell's other output, too
        text = f"<{type(value).__name__}>"
    return f"<pre>{escape(text)}</pre>"
