"""Peak memory of the training steps against PyTorch's, and what 2,000 steps add (Linux).

Each runs in its own process, in which a batch of four samples first loads all code and compiles all
kernels (fewer rows are multiplied by other code), and is then freed. "start" is the memory of the
model, the optimizer, the batches and all code; "growth" is the peak above it in the first steps:
gradients, optimizer state, activations, buffers.
"""

import argparse
import ctypes
import gc
import importlib
import sys
from pathlib import Path

from bench import report, workloads
from bench.arena import Opponent
from bench.opponents import build

NAMES = "ours", "torch"
FEW = 4  # samples
STEPS, MANY_STEPS = 5, 2000
LONG = "mlp"  # the workload of the many steps
MB = 1e6


def prepare(name, workload):
    """(nothing to time, [[MB at the start, MB of growth, MB that many steps added]])."""
    warm = build(name, workload, batch_size=FEW)
    for _ in range(2):
        warm()
    del warm
    _return_what_is_free(name)
    step = build(name, workload)
    _return_what_is_free(name)
    start = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
    for _ in range(STEPS):
        step()
    growth, added = _memory("VmHWM") - start, 0.0
    if workload == LONG:
        for _ in range(MANY_STEPS // 10):
            step()
        before = _memory("VmRSS")
        for _ in range(MANY_STEPS):
            step()
        added = _memory("VmRSS") - before
    return (lambda: None), [[start, growth, added]]


def _return_what_is_free(name):
    """Give freed memory back to the system, so that using it again counts as growth."""
    gc.collect()
    if name == "ours":
        importlib.import_module("tinygrad_like.kernels.cpu.machine.memory").release()
    ctypes.CDLL(None).malloc_trim(0)


def _memory(field):
    """A figure of this process in MB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / MB
    raise OSError(f"/proc/self/status lacks {field}")


def measure(name, workload):
    """(MB at the start, MB of growth, MB that many steps added) of a fresh process."""
    opponent = Opponent("bench.memory", name)
    try:
        (figures,) = opponent.prepare(workload)
        return figures
    finally:
        opponent.close()


def row_of(workload):
    """Figures of both, and the ratio of the growths."""
    figures = {name: measure(name, workload) for name in NAMES}
    row = {"name": workload}
    for key, index in (("start_mb", 0), ("growth_mb", 1), ("many_steps_mb", 2)):
        row[key] = {name: numbers[index] for name, numbers in figures.items()}
    row["ratio"] = report.summary([row["growth_mb"]["ours"] / row["growth_mb"]["torch"]])
    return row


def text_of(row):
    """The row as the columns of the table."""
    start, growth = (
        [f"{row[key][name]:.1f}" for name in NAMES] for key in ("start_mb", "growth_mb")
    )
    return [row["name"], *start, *growth, f"{row['ratio']['median']:.2f}"]


HEAD = ["peak memory, MB", "start: ours", "torch", "growth: ours", "torch", "ours / torch"]


def main():
    parser = argparse.ArgumentParser(prog="python -m bench memory", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(workloads.NAMES)} (all)")
    parser.add_argument("--save", action="store_true", help="write JSON and PNG to bench/results/")
    args = parser.parse_args()
    if not Path("/proc/self/clear_refs").exists():
        sys.exit("python -m bench memory reads /proc, which this system lacks")
    if unknown := set(args.names) - set(workloads.NAMES):
        parser.error(f"unknown: {', '.join(unknown)}; steps are {', '.join(workloads.NAMES)}")
    widths = report.print_head(HEAD, [10] * len(HEAD))
    rows = []
    for workload in args.names or workloads.NAMES:
        rows.append(row_of(workload))
        report.print_row(text_of(rows[-1]), widths)
    for row in rows:
        if row["name"] == LONG:
            added = ", ".join(f"{name} {mb:+.2f} MB" for name, mb in row["many_steps_mb"].items())
            print(f"{MANY_STEPS} more steps of {LONG}: {added}")
    if args.save:
        report.save("memory", rows, "Memory that a step takes: ours by PyTorch's")


if __name__ == "__main__":
    main()
