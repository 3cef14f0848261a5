"""Panels for the picture of a run: what several programs draw beside their curves.

Each draws in a figure of matplotlib, such as `Run.plot` gives its panels:

    run.plot("report.png", lambda figure: panels.confusion(figure, counts, names))
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def confusion(figure: Any, counts: np.ndarray, names: Sequence[Any]) -> None:
    """A confusion matrix (C, C), coloured by the share of each row, with the accuracy above it.

    `counts[i, j]` are how many of class i were taken for class j, as in
    `sklearn.metrics.confusion_matrix(labels, predicted)`.
    """
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for i, j in zip(*np.nonzero(counts), strict=True):
        color = "white" if share[i, j] > 0.5 else "black"
        axes.text(j, i, counts[i, j], ha="center", va="center", fontsize=8, color=color)
    accuracy = np.trace(counts) / max(1, counts.sum())
    axes.set(xlabel="predicted", ylabel="true", title=f"Test accuracy {accuracy:.2%}")
    longest = max(len(str(name)) for name in names)
    turned = {"rotation": 45, "ha": "right"} if longest > 2 else {}
    axes.set_xticks(range(len(names)), names, **turned)
    axes.set_yticks(range(len(names)), names)


SHOWN = {" ": "\N{OPEN BOX}", "\n": "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}"}


def attention(figure: Any, maps: np.ndarray, rows: str, columns: str, titles: Any = None) -> None:
    """Attention maps (I, J, T, S), one plot each: from a character of `rows` to one of `columns`.

    The colour is the square root of the weight, which shows weak attention, too. `titles` are
    (I, J) strings.
    """
    for (i, j), axes in np.ndenumerate(figure.subplots(*maps.shape[:2], squeeze=False)):
        axes.imshow(np.sqrt(maps[i, j]), cmap="Blues", vmin=0, vmax=1, aspect="auto")
        if titles is not None:
            axes.set_title(titles[i][j], fontsize=8)
        axes.set_xticks(range(len(columns)), characters(columns), fontsize=6)
        axes.set_yticks(range(len(rows)), characters(rows), fontsize=6)
        axes.tick_params(length=0, pad=2)


def characters(text: str) -> list[str]:
    """The characters of a text as labels; fonts lack many of them from the Arabic ones on."""
    return [SHOWN.get(c, c if "!" <= c < "\N{ARABIC NUMBER SIGN}" else "?") for c in text]
