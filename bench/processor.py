"""Each kernel against PyTorch by processor time, both on one thread, in turns in one process.

For a machine on which others are at work: what they take of the processors does not count, though
what they take of its caches and its memory does. The rows are those of `bench kernels`, which is
the benchmark for a machine at rest, and whose table also knows NumPy and the limit of the machine.
"""

import argparse
import sys
import time

from bench import report
from bench.arena import check_agreement
from bench.kernel_figures import refusing
from bench.kernel_rows import ROWS
from bench.kernels import prepare

HEAD = ["kernel", "ours ms", "torch ms", "ours/torch"]
TURNS = 5, 40  # at least and at most
SECONDS = 0.3  # after so much processor time there are no more turns


def measure(name):
    """The figures of a row: milliseconds of each library, and the ratios of neighbouring turns."""
    ours, of_ours = prepare("ours", name)
    theirs, of_theirs = prepare("torch", name)
    check_agreement(name, {"ours": of_ours, "torch": of_theirs}, ROWS[name].tolerance)
    steps, ms = {"ours": ours, "torch": theirs}, {"ours": [], "torch": []}
    for step in steps.values():  # the first call warms up
        step()
    begin = time.thread_time()
    while len(ms["ours"]) < TURNS[0] or (
        len(ms["ours"]) < TURNS[1] and time.thread_time() - begin < SECONDS
    ):
        for library, step in steps.items():
            start = time.thread_time()
            step()
            ms[library].append(1e3 * (time.thread_time() - start))
    return {
        "name": name,
        "ms": {library: report.summary(each) for library, each in ms.items()},
        "ratio": report.ratios(ms["ours"], ms["torch"]),
    }


def on_one_thread():
    """Hold this library, PyTorch and the BLAS of both to one thread."""
    import torch
    from threadpoolctl import threadpool_limits

    import tinygrad_like as tg

    torch.set_num_threads(1)
    tg.set_num_threads(1)
    threadpool_limits(1)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench processor", description=__doc__)
    parser.add_argument("names", nargs="*", help="rows that begin so (all)")
    parser.add_argument("--save", action="store_true", help="write JSON and PNG to bench/results/")
    args = parser.parse_args()
    chosen = [name for name in ROWS if name.startswith(tuple(args.names) or "")]
    if not chosen:
        sys.exit(f"no row begins with any of {args.names}")
    on_one_thread()
    rows, refused = [], []
    widths = report.print_head(HEAD, [max(map(len, chosen)), 9, 9, 16])
    try:
        for name in chosen:
            with refusing(name, refused):
                rows.append(measure(name))
                ms = [f"{rows[-1]['ms'][library]['median']:.3f}" for library in ("ours", "torch")]
                report.print_row([name, *ms, report.spread(rows[-1]["ratio"])], widths)
    finally:  # also what was measured before somebody interrupts it
        if args.save:
            report.save("processor", rows, "Kernels on one thread: our processor time by PyTorch's")
    if refused:
        sys.exit(f"{len(refused)} of {len(chosen)} rows refused: {', '.join(refused)}")


if __name__ == "__main__":
    main()
