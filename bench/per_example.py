"""The gradient of each example of a batch, by vmap(grad), on the CPU.

Three things are timed on one batch of a workload: an ordinary forward and backward pass, which
gives the gradient of the mean; our vmap(grad), which gives one gradient for each example; and
PyTorch's torch.func.vmap(torch.func.grad). Before that, the norms of the gradients must agree.

Writing the gradients alone takes time, which no method is spared: "MB" is what they are for all
examples, "writing" how long NumPy takes to fill arrays of that size. For the mlp, whose weights
take part in one product an example, that is several times a whole backward pass.
"""

import argparse
import importlib
import math
import statistics

import numpy as np

from bench import report, workloads
from bench.arena import check_agreement, opponents, race

# name: the module that has it; this one has "writing"
ENTRANTS = {"each": "ours", "backward": "ours", "writing": None, "torch": "pytorch"}
NAMES = ("mlp", "cnn", "lstm", "gpt-mini")
TOLERANCE = 1e-4  # of the squared norms of the gradients, in float32


def prepare(name, workload):
    """(a function to time, numbers that all must agree on), for bench/arena.py."""
    if name == "writing":
        return writing(workload), []
    return importlib.import_module(f"bench.opponents.{ENTRANTS[name]}").per_example(name, workload)


def gradients(workload):
    """The shapes of the gradients of all examples, (examples, *a parameter's), in float32."""
    examples = len(workloads.batches(workload)[0][0])
    return [(examples, *a.shape) for a in workloads.weights(workload).values()]


def writing(workload):
    """A function that fills arrays of the gradients' shapes, which exist already."""
    arrays = [np.empty(shape, np.float32) for shape in gradients(workload)]

    def step():
        for array in arrays:
            array.fill(1)

    return step


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
        shapes = gradients(workload)
        floor = [a + b for a, b in zip(times["backward"], times["writing"], strict=True)]
        rows.append(
            [
                f"{workload}, {shapes[0][0]} examples",
                f"{4e-6 * sum(map(math.prod, shapes)):.0f}",
                *(f"{1e3 * statistics.median(times[name]):.2f}" for name in ENTRANTS),
                report.spread(report.ratios(times["each"], times["backward"])),
                report.spread(report.ratios(times["each"], floor)),
                report.spread(report.ratios(times["each"], times["torch"])),
            ]
        )
    titles = ["workload", "MB", *(f"{name} ms" for name in ENTRANTS)]
    titles += ["/ backward", "/ (backward + writing)", "/ torch"]
    report.print_table(titles, rows)


if __name__ == "__main__":
    main()
