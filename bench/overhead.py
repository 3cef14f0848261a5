"""What an op costs beside its arithmetic, and an MLP's training step, against PyTorch.

python -m bench.overhead

chain   500 x (multiply, add) on 8 x 8 arrays, forward and backward: microseconds per op
mlp     784-128-64-10, ReLU, batch 128, cross-entropy, AdamW: milliseconds per step
"""

import argparse
import datetime
import importlib.metadata
import itertools
import json
import os
import statistics
from pathlib import Path

import numpy as np

from bench.arena import race, serve

OPS = 500
WORKLOADS = {  # unit, its factor, steps in a bout, relative agreement of the results
    "chain": ("us per op", 1e6 / (2 * OPS), 10, 1e-5),
    "mlp": ("ms per step", 1e3, 40, 1e-5),
}
RESULTS = Path(__file__).parent / "results" / "overhead.json"


def chain_data():
    return np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32) / 8


def mlp_data():
    rng = np.random.default_rng(0)
    sizes = (784, 128, 64, 10)
    weights = [
        rng.uniform(-1, 1, shape).astype(np.float32) / np.float32(shape[0]) ** 0.5
        for shape in itertools.pairwise(sizes)
    ]
    x = rng.random((128, 784), dtype=np.float32)
    return weights, x, rng.integers(0, 10, 128)


def ours(workload):
    """(step, result) of a workload in tinygrad_like."""
    import tinygrad_like as tg

    if workload == "chain":
        a = chain_data()
        x, w = tg.Tensor(a, requires_grad=True), tg.Tensor(a)

        def step():
            x.zero_grad()
            h = x
            for _ in range(OPS):
                h = h * w + x
            h.sum().backward()
            return x.grad.sum().item()

        return step, step()

    weights, images, labels = mlp_data()
    layers = [tg.nn.Dense(*w.shape) for w in weights]
    for layer, w in zip(layers, weights, strict=True):
        layer.weight.data[...] = w
        layer.bias.data[...] = 0
    model = tg.nn.Sequential(layers[0], tg.nn.ReLU(), layers[1], tg.nn.ReLU(), layers[2])
    optimizer = tg.optim.AdamW(model.parameters(), lr=1e-3)
    images, labels = tg.Tensor(images), tg.Tensor(labels)

    def step():
        loss = tg.losses.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, [step() for _ in range(10)][-1]


def torch(workload):
    """(step, result) of a workload in PyTorch."""
    import torch

    if workload == "chain":
        a = torch.tensor(chain_data())
        x, w = a.clone().requires_grad_(), a

        def step():
            x.grad = None
            h = x
            for _ in range(OPS):
                h = h * w + x
            h.sum().backward()
            return x.grad.sum().item()

        return step, step()

    weights, images, labels = mlp_data()
    layers = [torch.nn.Linear(*w.shape) for w in weights]
    with torch.no_grad():
        for layer, w in zip(layers, weights, strict=True):
            layer.weight.copy_(torch.tensor(w.T))
            layer.bias.zero_()
    model = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    images, labels = torch.tensor(images), torch.tensor(labels)

    def step():
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, [step() for _ in range(10)][-1]


OPPONENTS = {"ours": ours, "torch": torch}


def machine():
    """Where and when this was measured."""
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "torch")}
    return {"cores": os.cpu_count(), "date": str(datetime.date.today()), **versions}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bouts", type=int, default=15, help="bouts of each opponent")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name}")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        name, workload = args.worker
        step, result = OPPONENTS[name](workload)
        serve(step, result, WORKLOADS[workload][2])
        return
    report = {"machine": machine()}
    for workload, (unit, factor, _, tolerance) in WORKLOADS.items():
        times = race(
            "bench.overhead", list(OPPONENTS), workload, bouts=args.bouts, tolerance=tolerance
        )
        medians = {name: statistics.median(ts) * factor for name, ts in times.items()}
        ratios = [a / b for a, b in zip(times["ours"], times["torch"], strict=True)]
        ratio, low, high = statistics.median(ratios), min(ratios), max(ratios)
        print(
            f"{workload:<6} {unit:<12} ours {medians['ours']:.3f}  torch {medians['torch']:.3f}  "
            f"ratio {ratio:.2f} ({low:.2f} to {high:.2f} in {args.bouts} bouts)"
        )
        report[workload] = {"unit": unit, **medians, "ratio": ratio, "low": low, "high": high}
    if args.save:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
