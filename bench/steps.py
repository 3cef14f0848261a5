"""Training steps against PyTorch (eager, torch.compile) and JAX, on the CPU or on a GPU.

Whole steps: forward, backward, AdamW, and the loss read back. The losses of the first steps must
agree before anything is timed. "of GEMM" is the rate of the step's matrix products over the whole
step's time, as a share of a large product's rate in the same race; on the CPU only. gpt2,
124 million parameters in bfloat16 autocast, is measured on a GPU, or where it is named.
"""

import argparse
import statistics
from contextlib import ExitStack

from bench import limits, report, workloads
from bench.arena import check_agreement, opponents, race
from bench.opponents import OPPONENTS, installed

TOLERANCE = 1e-5  # of the losses of the first steps
HALF_TOLERANCE = 2e-3  # of those in bfloat16, whose products are rounded to 8 bits


def compare(workload, device, names, machine, bouts, heats):
    """{name: seconds of each bout} of opponents and limits, in `heats` sets of new processes.

    A process keeps what chance decided at its start (where its buffers lie, say), so that three
    heats say more than one of three times the length.
    """
    times = {}
    for _ in range(heats):
        with opponents("bench.opponents", names) as entrants:
            place = f"{workload}@{device}"
            checks = {name: entrant.prepare(place) for name, entrant in entrants.items()}
            half = workloads.in_bfloat16(workload)
            check_agreement(workload, checks, HALF_TOLERANCE if half else TOLERANCE)
            limit = machine.entrants(["gemm"]) if machine else {}
            for name, seconds in race(entrants | limit, bouts).items():
                times.setdefault(name, []).extend(seconds)
    return times


def runs(name, workload):
    """Whether an opponent has a workload: JAX has no loss ctc, and none here in bfloat16."""
    return name != "jax" or not (workload == "ctc" or workloads.in_bfloat16(workload))


def rows_of(workload, times, machine):
    """One row for each opponent; ratios are of ours to theirs."""
    flops, convolutions = workloads.gemm_flops(workload)
    fewest = flops - convolutions + convolutions // 4  # Winograd's F(4x4, 3x3)
    work = limits.Work(flops=flops, fewest_flops=fewest)
    at_limit = work.seconds(machine.rates(times)) if machine else None
    rows = []
    for name in OPPONENTS:
        if name not in times:
            continue
        median = statistics.median(times[name])
        if machine:
            limits.refuse_the_impossible(f"{workload} by {name}", median, work, machine.best)
        row = {
            "name": f"{workload} / {name}",
            "ms": report.summary([1e3 * s for s in times[name]]),
            "of_gemm": at_limit / median if machine else None,
        }
        if name != "ours":
            row["ratio"] = report.ratios(times["ours"], times[name])
        rows.append(row)
    return rows


def print_rows(rows):
    """The table of one step."""
    texts = [
        [
            row["name"],
            report.spread(row["ms"]),
            "" if row["of_gemm"] is None else f"{row['of_gemm']:.0%}",
            report.spread(row["ratio"]) if "ratio" in row else "",
        ]
        for row in rows
    ]
    report.print_table(["step / opponent", "ms (low-high)", "of GEMM", "ours / theirs"], texts)
    print(flush=True)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench steps", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(workloads.NAMES_ON_A_GPU)}")
    parser.add_argument("--without", nargs="*", default=[], choices=[*OPPONENTS][1:])
    parser.add_argument("--bouts", type=int, default=6, help="bouts of each opponent in a heat")
    parser.add_argument("--heats", type=int, default=3, help="sets of new processes")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--save", action="store_true", help="write JSON and PNG to bench/results/")
    args = parser.parse_args()
    if unknown := set(args.names) - set(workloads.EVERY_NAME):
        parser.error(f"unknown: {', '.join(unknown)}; steps are {', '.join(workloads.EVERY_NAME)}")
    missing = [name for name in OPPONENTS if not installed(name)]
    if missing:
        print(f"not installed: {', '.join(missing)}")
    names = [name for name in OPPONENTS if name not in (*args.without, *missing)]
    rows = []
    with ExitStack() as stack:
        machine = limits.Limits(stack, ["gemm"]) if args.device == "cpu" else None
        usual = workloads.NAMES if args.device == "cpu" else workloads.NAMES_ON_A_GPU
        for workload in args.names or usual:
            entered = [name for name in names if runs(name, workload)]
            times = compare(workload, args.device, entered, machine, args.bouts, args.heats)
            new = rows_of(workload, times, machine)
            print_rows(new)
            rows += new
    if args.save:
        name = "steps" if args.device == "cpu" else f"steps_{args.device}"
        report.save(name, rows, "A training step: our time by theirs")


if __name__ == "__main__":
    main()
