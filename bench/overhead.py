"""What an op costs beside its arithmetic: chains of 1,000 ops on 8 x 8 arrays.

Forward and backward, in microseconds per op, against PyTorch. The gradients must agree before
anything is timed.
"""

import argparse
from typing import NamedTuple

import numpy as np

from bench import report
from bench.arena import check_agreement, opponents, race

PAIRS = 500
TOLERANCE = 1e-4  # of the gradients
NAMES = "ours", "torch"


class Chain(NamedTuple):
    """h = pair(h, x, w), from h = x on; with w near a value at which gradients keep their size.

    Vanishing ones would become subnormal numbers, which take a processor many times longer.
    """

    pair: object  # the same text for both libraries
    w: np.ndarray


ONES, EYE = np.ones((8, 8)), np.eye(8)
CHAINS = {
    "multiply, add": Chain(lambda h, x, w: h * w + x, ONES),
    "matmul, tanh": Chain(lambda h, x, w: (h @ w).tanh(), EYE),
    "mean, subtract": Chain(lambda h, x, w: x - h.mean(0), ONES),
    "transpose, negative": Chain(lambda h, x, w: -h.T, ONES),
}


def prepare(name, workload):
    """(step, [the gradient]) of a chain in tinygrad_like or PyTorch."""
    pair, w = CHAINS[workload]
    rng = np.random.default_rng(0)
    arrays = rng.standard_normal((8, 8)), w + rng.standard_normal((8, 8)) / 1000
    x, w = (array.astype(np.float32) for array in arrays)
    if name == "ours":
        import tinygrad_like as tg

        x, w = tg.Tensor(x, requires_grad=True), tg.Tensor(w)
    else:
        import torch

        x, w = torch.tensor(x, requires_grad=True), torch.tensor(w)

    def step():
        x.grad = None
        h = x
        for _ in range(PAIRS):
            h = pair(h, x, w)
        h.sum().backward()

    step()
    return step, [np.asarray(x.grad).ravel().tolist()]


def row_of(workload, times):
    """The microseconds per op of both, and the ratio of ours to theirs."""
    per_op = {name: [1e6 * s / (2 * PAIRS) for s in seconds] for name, seconds in times.items()}
    us = {name: report.summary(numbers) for name, numbers in per_op.items()}
    ratio = report.ratios(per_op["ours"], per_op["torch"])
    return {"name": workload, "us_per_op": us, "ratio": ratio}


def main():
    parser = argparse.ArgumentParser(prog="python -m bench overhead", description=__doc__)
    parser.add_argument("--bouts", type=int, default=15, help="bouts of each opponent")
    parser.add_argument("--save", action="store_true", help="write JSON and PNG to bench/results/")
    args = parser.parse_args()
    rows = []
    with opponents("bench.overhead", NAMES) as entrants:
        for workload in CHAINS:
            checks = {name: entrant.prepare(workload) for name, entrant in entrants.items()}
            check_agreement(workload, checks, TOLERANCE)
            rows.append(row_of(workload, race(entrants, args.bouts)))
    texts = [
        [
            row["name"],
            *(report.spread(row["us_per_op"][name]) for name in NAMES),
            report.spread(row["ratio"]),
        ]
        for row in rows
    ]
    report.print_table(["us per op (low-high)", *NAMES, "ours / torch"], texts)
    if args.save:
        report.save("overhead", rows, "A small op, forward and backward: our time by torch's")


if __name__ == "__main__":
    main()
