"""The five training steps against PyTorch (eager, torch.compile) and JAX.

Whole steps: forward, backward, AdamW, and the loss read back. The losses of the first steps must
agree before anything is timed. "of GEMM" is the rate of the step's matrix products alone over the
whole step's time, by the rate of a large product measured in the same race.
"""

import argparse
import statistics
from contextlib import ExitStack

from bench import limits, report, workloads
from bench.arena import check_agreement, opponents, race
from bench.opponents import OPPONENTS, installed

TOLERANCE = 1e-5  # of the losses of the first steps


def compare(workload, names, bouts, heats):
    """{name: seconds of each bout} of opponents and limits, in `heats` sets of new processes.

    A process keeps what it was dealt at its start (where its buffers lie, say), so that two heats
    say more than one of twice the length.
    """
    times = {}
    for _ in range(heats):
        with ExitStack() as stack:
            entrants = stack.enter_context(opponents("bench.opponents", names))
            checks = {name: entrant.prepare(workload) for name, entrant in entrants.items()}
            check_agreement(workload, checks, TOLERANCE)
            for library, entrant in stack.enter_context(
                opponents("bench.limits", limits.LIBRARIES)
            ).items():
                entrant.prepare("gemm")
                entrants[f"gemm {library}"] = entrant
            for name, seconds in race(entrants, bouts).items():
                times.setdefault(name, []).extend(seconds)
    return times


def rows_of(workload, times):
    """One row for each opponent; ratios are ours by theirs."""
    gemm = {name: times[name] for name in times if name.startswith("gemm ")}
    flops, convolutions = workloads.gemm_flops(workload)
    fewest = flops - convolutions + convolutions // 4  # Winograd's F(4x4, 3x3)
    work = limits.Work(flops=flops, fewest_flops=fewest)
    rows = []
    for name, seconds in times.items():
        if name in gemm:
            continue
        median = statistics.median(seconds)
        what = f"{workload} by {name}"
        limits.refuse_the_impossible(what, median, work, limits.best_rates(gemm))
        rows.append(
            {
                "step": workload,
                "opponent": name,
                "ms": report.summary([1e3 * s for s in seconds]),
                "of_gemm": flops / median / limits.typical_rate(gemm, "gemm"),
                "ratio": report.ratios(times["ours"], seconds),
            }
        )
    return rows


def print_rows(rows):
    """The table of one step."""
    head = [rows[0]["step"], "ms (low-high)", "of GEMM", "ours / theirs"]
    texts = [
        [
            row["opponent"],
            report.spread(row["ms"]),
            f"{row['of_gemm']:.0%}",
            "" if row["opponent"] == "ours" else report.spread(row["ratio"]),
        ]
        for row in rows
    ]
    report.print_table(head, texts)
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench steps", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(workloads.NAMES)} (all)")
    parser.add_argument("--without", nargs="*", default=[], choices=[*OPPONENTS][1:])
    parser.add_argument("--bouts", type=int, default=10, help="bouts of each opponent in a heat")
    parser.add_argument("--heats", type=int, default=2, help="sets of new processes")
    parser.add_argument("--save", action="store_true", help="write JSON and PNG to bench/results/")
    args = parser.parse_args()
    if unknown := set(args.names) - set(workloads.NAMES):
        parser.error(f"unknown: {', '.join(unknown)}; steps are {', '.join(workloads.NAMES)}")
    missing = [name for name in OPPONENTS if not installed(name)]
    if missing:
        print(f"not installed: {', '.join(missing)}")
    names = [name for name in OPPONENTS if name not in (*args.without, *missing)]
    rows = []
    for workload in args.names or workloads.NAMES:
        new = rows_of(workload, compare(workload, names, args.bouts, args.heats))
        print_rows(new)
        rows += new
    if args.save:
        bars = {
            f"{r['step']} / {r['opponent']}": r["ratio"] for r in rows if r["opponent"] != "ours"
        }
        report.save("steps", rows, bars, "A training step: our time by theirs")


if __name__ == "__main__":
    main()
