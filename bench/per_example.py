"""The gradient of each example of a batch, by vmap(grad), on the CPU.

Three things are timed on one batch of a workload: an ordinary forward and backward pass, which
gives the gradient of the mean; our vmap(grad), which gives one gradient for each example; and
PyTorch's torch.func.vmap(torch.func.grad). Before that, the norms of the gradients must agree.

Writing the gradients alone takes time: "MB" is what they are for all examples.
"""

import argparse
import importlib
import math
import statistics

from bench import report, workloads
from bench.arena import check_agreement, opponents, race

ENTRANTS = {"each": "ours", "backward": "ours", "torch": "pytorch"}  # name: the module that has it
NAMES = ("mlp", "cnn", "lstm", "gpt-mini")
TOLERANCE = 1e-4  # of the squared norms of the gradients, in float32


def prepare(name, workload):
    """(a function to time, numbers that all must agree on), for bench/arena.py."""
    return importlib.import_module(f"bench.opponents.{ENTRANTS[name]}").per_example(name, workload)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench per_example", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--bouts", type=int, default=6, help="bouts of each in a heat")
    parser.add_argument("--heats", type=int, default=3, help="sets of new processes")
    args = parser.parse_args()
    if unknown := set(args.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(unknown)}; workloads are {', '.join(NAMES)}")
    rows = []
    for workload in args.names or NAMES:
        times = {name: [] for name in ENTRANTS}
        for _ in range(args.heats):
            with opponents("bench.per_example", ENTRANTS) as entrants:
                checks = {name: entrant.prepare(workload) for name, entrant in entrants.items()}
                check_agreement(workload, checks, TOLERANCE)
                for name, seconds in race(entrants, args.bouts).items():
                    times[name] += seconds
        examples = len(workloads.batches(workload)[0][0])
        size = sum(math.prod(a.shape) for a in workloads.weights(workload).values())
        rows.append(
            [
                f"{workload}, {examples} examples",
                f"{4e-6 * examples * size:.0f}",
                *(f"{1e3 * statistics.median(times[name]):.2f}" for name in ENTRANTS),
                report.spread(report.ratios(times["each"], times["backward"])),
                report.spread(report.ratios(times["each"], times["torch"])),
            ]
        )
    titles = ["workload", "MB", *(f"{name} ms" for name in ENTRANTS), "/ backward", "/ torch"]
    report.print_table(titles, rows)


if __name__ == "__main__":
    main()
