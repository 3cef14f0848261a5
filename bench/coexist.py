"""Whether tinygrad_like slows others: their time after it has trained in the same process.

PyTorch and NumPy work first alone, then, 30 ms after each training step of ours, again. The
control does the same with a sleep in place of our step, and shows how far the machine drifts.
"""

import argparse
import statistics
import time

from bench import report
from bench.arena import QUIET, REST, TRIES, Opponent, timed_bout

SIZE = 512
ROUNDS = 10
NAMES = "ours", "control"


def _torch_matmul():
    import torch

    a = torch.rand(SIZE, SIZE)
    out = torch.empty_like(a)
    return lambda: torch.mm(a, a, out=out)


def _numpy_matmul():
    import numpy as np

    a = np.random.default_rng(0).random((SIZE, SIZE), np.float32)
    out = np.empty_like(a)
    return lambda: np.matmul(a, a, out=out)


def _torch_mlp():
    from bench.opponents import build

    return build("torch", "mlp")


SUBJECTS = {  # name: (the step's builder, how many steps make a bout)
    "torch matmul 512": (_torch_matmul, 40),
    "torch mlp step": (_torch_mlp, 40),
    "numpy matmul 512": (_numpy_matmul, 40),
}


def prepare(name, workload):
    """(nothing to time, [seconds alone, seconds after our steps], of each bout)."""
    build_subject, steps = SUBJECTS[workload]
    subject = build_subject()
    timed_bout(subject, steps)
    alone = [_bout_after(lambda: None, subject, steps) for _ in range(ROUNDS)]
    train = _our_training() if name == "ours" else (lambda: None)
    after = [_bout_after(train, subject, steps) for _ in range(ROUNDS)]
    return (lambda: None), [alone, after]


def _our_training():
    """One step of two models: convolutions, matrix products, an optimizer."""
    from bench.opponents import build

    mlp, cnn = build("ours", "mlp"), build("ours", "cnn")

    def train():
        mlp()
        cnn()

    train()
    return train


def _bout_after(before, subject, steps):
    """Seconds of a step of the subject, a moment after `before()`."""
    tries = []
    while len(tries) < TRIES and (not tries or tries[-1][1] > QUIET):
        before()
        time.sleep(REST)
        tries.append(timed_bout(subject, steps))
    return min(tries, key=lambda seconds_others: seconds_others[1])[0]


def measure(name, workload):
    """(seconds alone, seconds after our steps, their ratio) of a fresh process."""
    opponent = Opponent("bench.coexist", name)
    try:
        alone, after = map(statistics.median, opponent.prepare(workload))
        return alone, after, after / alone
    finally:
        opponent.close()


def row_of(workload, heats):
    """Medians over fresh processes, and the spread of the ratio."""
    figures = {name: [measure(name, workload) for _ in range(heats)] for name in NAMES}
    alone, after, ratios = zip(*figures["ours"], strict=True)
    return {
        "name": workload,
        "alone_ms": statistics.median(alone) * 1e3,
        "after_ms": statistics.median(after) * 1e3,
        "ratio": report.summary(ratios),
        "control": report.summary([ratio for _, _, ratio in figures["control"]]),
    }


def main():
    parser = argparse.ArgumentParser(prog="python -m bench coexist", description=__doc__)
    parser.add_argument("--heats", type=int, default=3, help="fresh processes of each kind")
    parser.add_argument("--save", action="store_true", help="write JSON and PNG to bench/results/")
    args = parser.parse_args()
    rows = [row_of(subject, args.heats) for subject in SUBJECTS]
    head = ["ms of a step", "alone", "after ours", "after / alone", "control"]
    texts = [
        [
            row["name"],
            f"{row['alone_ms']:.3f}",
            f"{row['after_ms']:.3f}",
            report.spread(row["ratio"]),
            report.spread(row["control"]),
        ]
        for row in rows
    ]
    report.print_table(head, texts)
    if args.save:
        report.save("coexist", rows, "Others after our training step, by their time alone")


if __name__ == "__main__":
    main()
