"""The curves of a run as a picture: losses above, each other metric below, panels beside them."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_like import files
from tinygrad_like.training.history import History, Series, direction

BLUE, RED, GREY = "tab:blue", "tab:red", "0.6"


def draw(
    run: Any,
    path: Any,
    panels: Sequence[Callable[[Any], Any]] = (),
    *,
    size: tuple[float, float] | None = None,
    widths: Sequence[float] | None = None,
) -> None:
    """Write a picture of a run's history, in the format that the path's ending says.

    Args:
        panels: functions that draw in a figure of matplotlib (a SubFigure) that they are given;
            they stand to the right of the curves.
        size: of the picture, in inches.
        widths: of the curves and of the panels, relative to each other.

    Raises ImportError without matplotlib, OSError when the disk refuses: an older file then stays.
    """
    from matplotlib.figure import Figure

    size = size or (6 + 5 * len(panels), 5)
    figure = Figure(figsize=size, layout="constrained")
    curves, *others = figure.subfigures(1, 1 + len(panels), width_ratios=widths, squeeze=False)[0]
    draw_curves(curves, run.history, run.best)
    for panel, part in zip(panels, others, strict=True):
        panel(part)
    content = io.BytesIO()
    figure.savefig(content, format=Path(path).suffix.lstrip(".") or "png", dpi=110)
    files.write(path, content.getvalue())


def draw_curves(figure: Any, history: History, best: Any = None) -> None:
    """The losses of a history in one plot, and below it one plot for each other metric."""
    losses = [name for name in history if name.endswith("loss")]
    others = [name for name in history if name not in losses]
    groups = [group for group in (losses, *([name] for name in others)) if group]
    if not groups:
        return
    heights = [2 if group is losses else 1 for group in groups]
    axes = figure.subplots(len(groups), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for plot, group in zip(axes, groups, strict=True):
        for name, color in zip(group, (BLUE, RED, "tab:green", "tab:purple") * 9, strict=False):
            _curve(plot, history[name], name.replace("_", " "), color)
        _finish(plot, history, group, best)
    axes[-1].set_xlabel("step")


def _curve(plot: Any, series: Series, label: str, color: str) -> None:
    """One metric: its points if they are few, else its running mean over the values themselves."""
    steps, values = np.array(series.steps), np.array(series.values)
    if len(values) <= 50:
        plot.plot(steps, values, "o-", color=color, label=label, markersize=4)
        return
    width = len(values) // 50
    plot.plot(steps, values, color=color, alpha=0.25, linewidth=0.6)
    means = np.convolve(values, np.ones(width) / width, "valid")
    plot.plot(steps[width - 1 :], means, color=color, label=label)


def _finish(plot: Any, history: History, group: list[str], best: Any) -> None:
    """Scale, grid and names of one plot; the best value, and where epochs end."""
    values = np.concatenate([history[name].values for name in group])
    values = values[np.isfinite(values)]
    if group[0].endswith("loss") and len(values) and 0 < 8 * values.min() < values.max():
        plot.set_yscale("log")
    if best is not None and best.metric in group:
        name = best.metric.replace("_", " ")
        plot.plot(best.step, best.value, "*", color="tab:orange", markersize=13, zorder=3)
        plot.set_title(f"best {name} {best.value:.4g} at step {best.step}", fontsize=10)
    if len(history.ends) <= 30:
        for end in history.ends[:-1]:
            plot.axvline(end, color=GREY, linewidth=0.6, linestyle=":")
    if direction(group[0]) == "max" and len(values) and 0 <= values.min() <= values.max() <= 1:
        plot.yaxis.set_major_formatter("{x:.1%}")
    if len(group) > 1:
        plot.legend(frameon=False)
    plot.set_ylabel(group[0].replace("_", " ") if len(group) == 1 else "loss")
    plot.grid(color="0.9", linewidth=0.6)
    plot.spines[["top", "right"]].set_visible(False)
