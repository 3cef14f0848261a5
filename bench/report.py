"""What a benchmark leaves behind: a table on the screen, a JSON file and a chart of its ratios."""

import datetime
import importlib.metadata
import json
import os
import platform
import statistics
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PACKAGES = "tinygrad-like", "numpy", "scipy", "numba", "torch", "jax"


def summary(numbers):
    """{median, low, high} of some numbers."""
    return {"median": statistics.median(numbers), "low": min(numbers), "high": max(numbers)}


def ratios(times, others):
    """The summary of the ratios of bouts side by side."""
    return summary([a / b for a, b in zip(times, others, strict=True)])


def spread(numbers, digits=2):
    """`median (low-high)` of a summary, as text."""
    return "{median:.{n}f} ({low:.{n}f}-{high:.{n}f})".format(**numbers, n=digits)


def print_table(head, rows):
    """Columns of text, the first one left-aligned."""
    widths = print_head(head, [max(map(len, column)) for column in zip(*rows, strict=True)])
    for row in rows:
        print_row(row, widths)


def print_head(head, widths):
    """The head of a table whose rows come one by one; returns the widths of its columns."""
    widths = [max(width, len(text)) for width, text in zip(widths, head, strict=True)]
    print_row(head, widths)
    print_row(["-" * width for width in widths], widths)
    return widths


def print_row(row, widths):
    """One row of a table."""
    first, *rest = row
    texts = [first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]
    print("  ".join(texts), flush=True)


def machine():
    """Where, when and with what this was measured."""
    versions = {name: _version(name) for name in PACKAGES}
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "versions": {"python": platform.python_version(), **versions},
    }


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def save(name, rows, title):
    """Write NAME.json, and NAME.png with a bar for each row that has a ratio.

    A row is a dict with a "name". Rows that were saved before stay, unless a new row has their
    name, or they were measured on another machine.
    """
    RESULTS.mkdir(exist_ok=True)
    path, here = RESULTS / f"{name}.json", machine()
    new = {row["name"] for row in rows}
    kept = [row for row in _saved_rows(path, here) if row["name"] not in new]
    rows = kept + [row | {"date": str(datetime.date.today())} for row in rows]
    report = {"benchmark": name, "machine": here, "rows": rows}
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    bars = {row["name"]: row["ratio"] for row in rows if "ratio" in row}
    _chart(path.with_suffix(".png"), bars, title)
    print(f"written: {path} and {path.with_suffix('.png').name}")


def _saved_rows(path, here):
    if not path.exists():
        return []
    report = json.loads(path.read_text(encoding="utf-8"))
    return report["rows"] if report.get("machine") == here else []


def _chart(path, bars, title):
    """Horizontal bars from 1 to each ratio, on a logarithmic scale: to the left is better."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 0.8 + 0.28 * len(bars)), layout="constrained")
    for y, numbers in enumerate(bars.values()):
        ratio = numbers["median"]
        axes.barh(y, ratio - 1, left=1, color="tab:green" if ratio <= 1 else "tab:orange")
        axes.plot([numbers["low"], numbers["high"]], [y, y], color="black", linewidth=1)
        axes.annotate(f" {ratio:.2f}", (max(ratio, numbers["high"], 1), y), va="center", size=8)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(bars)), bars)
    axes.margins(y=0.01)
    axes.invert_yaxis()
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
    axes.set_title(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)
