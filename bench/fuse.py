"""Fused functions against the library's kernels written by hand, in one process, taking turns.

What is written by hand: gelu and silu with an addition or a multiplication beside them, and
softmax. Microseconds and their ratio, forward alone and with the backward pass, in float32. The
results must agree before anything is timed.
"""

import argparse
import time
from typing import Any, NamedTuple

import numpy as np

import tinygrad_like as tg
from bench import report
from bench.arena import check_agreement

SHAPES = (64, 256), (4096, 1024)
TOLERANCE = 1e-5
ROUND = 0.02  # seconds of one side's turn, about


class Pair(NamedTuple):
    """The same function, to be fused and by kernels written by hand."""

    fused: Any
    by_hand: Any
    arguments: tuple[str, ...]  # "rows" of the whole shape, "columns" of its last axis


def gelu_of_sum(x, bias):
    return tg.gelu(x + bias)


def swish_gate(a, b):
    return tg.silu(a) * b


def softmax_row(x):
    e = tg.exp(x - tg.max(x, axis=-1, keepdims=True))
    return e / tg.sum(e, axis=-1, keepdims=True)


PAIRS = {
    "gelu of a sum": Pair(tg.fuse(gelu_of_sum), gelu_of_sum, ("rows", "columns")),
    "swish gate": Pair(tg.fuse(swish_gate), swish_gate, ("rows", "rows")),
    "softmax-like row": Pair(tg.fuse(softmax_row), tg.softmax, ("rows",)),
}


def steps_of(pair, shape):
    """{what is timed: {"fused": a step, "by hand": a step}}."""
    rng = np.random.default_rng(0)
    shapes = [shape if kind == "rows" else shape[-1:] for kind in pair.arguments]
    arrays = [rng.normal(size=s).astype(np.float32) for s in shapes]
    arguments = [tg.Tensor(a, requires_grad=True) for a in arrays]
    g = tg.Tensor(rng.normal(size=shape).astype(np.float32))

    def forward(f):
        with tg.no_grad():
            return f(*arguments)

    def both(f):
        for a in arguments:
            a.grad = None
        f(*arguments).backward(g)

    sides = {"fused": pair.fused, "by hand": pair.by_hand}
    checks = {}
    for name, f in sides.items():
        both(f)
        results = [forward(f), *(a.grad for a in arguments)]
        checks[name] = [x.numpy().ravel()[:1000].tolist() for x in results]
    check_agreement(str(shape), checks, TOLERANCE)
    return {
        what: {name: (lambda run=run, f=f: run(f)) for name, f in sides.items()}
        for what, run in (("forward", forward), ("with backward", both))
    }


def microseconds(steps, bouts):
    """{name: the median time of a step in each bout}, of steps that take turns."""
    counts = {name: max(1, round(ROUND / _seconds(step))) for name, step in steps.items()}
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(bouts):
        for name, step in steps.items():
            found[name].append(
                1e6 * float(np.median([_seconds(step) for _ in range(counts[name])]))
            )
    return found


def _seconds(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(prog="python -m bench fuse", description=__doc__)
    parser.add_argument("--bouts", type=int, default=15, help="bouts of each side")
    parser.add_argument("--save", action="store_true", help="write JSON and PNG to bench/results/")
    args = parser.parse_args()
    rows, texts = [], []
    for name, pair in PAIRS.items():
        for shape in SHAPES:
            for what, steps in steps_of(pair, shape).items():
                times = microseconds(steps, args.bouts)
                us = {side: report.summary(numbers) for side, numbers in times.items()}
                ratio = report.ratios(times["fused"], times["by hand"])
                label = f"{name} {shape}, {what}"
                rows.append({"name": label, "us": us, "ratio": ratio})
                texts.append([label, *map(report.spread, us.values()), report.spread(ratio)])
    print(report.machine()["cpu"])
    report.print_table(["us (low-high)", "fused", "by hand", "fused / by hand"], texts)
    if args.save:
        report.save("fuse", rows, "Fused functions: their time by that of kernels by hand")


if __name__ == "__main__":
    main()
