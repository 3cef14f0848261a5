"""A step of an Embedding with sparse=True, whose cost is that of the rows that a batch reads.

Forward, backward and the optimizer's step, by processor time on one thread, ours and PyTorch's in
turns in one process, for tables of 10,000 and of more rows. "/ smallest" compares a table with the
smallest one: 1.0 says that the size of the table costs nothing. What is left of it is memory: the
rows of a large table lie in no cache.
"""

import argparse
import statistics
import time

import numpy as np

from bench import report
from bench.processor import on_one_thread

TABLES = 10_000, 100_000, 1_000_000
READ, WIDTH = 100, 64  # the rows that a batch reads, and their numbers
BATCHES = 16
OPTIMIZERS = {"SGD": {"lr": 0.1}, "Adagrad": {"lr": 0.1}, "SparseAdam": {"lr": 0.1}}


def ours(optimizer, rows, batches):
    """(a function that makes one step, one that returns the table) of this library."""
    import tinygrad_like as tg

    table = tg.zeros((rows, WIDTH), requires_grad=True)
    step_of = getattr(tg.optim, optimizer)([table], **OPTIMIZERS[optimizer])

    def step(i):
        step_of.zero_grad()
        ((tg.embedding(table, batches[i], sparse=True) - 1) ** 2).sum().backward()
        step_of.step()

    return step, table.numpy


def theirs(optimizer, rows, batches):
    """The same of PyTorch."""
    import torch

    table = torch.zeros((rows, WIDTH), requires_grad=True)
    step_of = getattr(torch.optim, optimizer)([table], **OPTIMIZERS[optimizer])
    batches = [torch.tensor(ids) for ids in batches]

    def step(i):
        step_of.zero_grad()
        read = torch.nn.functional.embedding(batches[i], table, sparse=True)
        ((read - 1) ** 2).sum().backward()
        step_of.step()

    return step, table.detach().numpy


def measure(optimizer, rows, turns):
    """{library: milliseconds of each turn}, after both have reached the same table."""
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, rows, READ) for _ in range(BATCHES)]
    steps, tables = {}, {}
    for make in (ours, theirs):
        steps[make.__name__], tables[make.__name__] = make(optimizer, rows, batches)
    ms = {name: [] for name in steps}
    for turn in range(turns + 1):
        for name, step in steps.items():
            begin = time.process_time()
            for i in range(BATCHES):
                step(i)
            if turn:  # the first one warms up
                ms[name].append(1e3 * (time.process_time() - begin) / BATCHES)
    np.testing.assert_allclose(tables["ours"](), tables["theirs"](), rtol=1e-3, atol=1e-4)
    return ms


def main():
    parser = argparse.ArgumentParser(prog="python -m bench rows", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(OPTIMIZERS)}")
    parser.add_argument("--turns", type=int, default=20)
    args = parser.parse_args()
    if unknown := set(args.names) - set(OPTIMIZERS):
        parser.error(f"unknown: {', '.join(unknown)}; optimizers are {', '.join(OPTIMIZERS)}")
    on_one_thread()
    rows = []
    for optimizer in args.names or OPTIMIZERS:
        smallest = None
        for size in TABLES:
            ms = measure(optimizer, size, args.turns)
            smallest = smallest or ms
            rows.append(
                [
                    f"{optimizer}, {READ} of {size:,} x {WIDTH}",
                    *(f"{statistics.median(ms[name]):.3f}" for name in ("ours", "theirs")),
                    report.spread(report.ratios(ms["ours"], ms["theirs"])),
                    report.spread(report.ratios(ms["ours"], smallest["ours"])),
                ]
            )
    titles = ["rows read", "ours ms", "torch ms", "ours / torch", "/ smallest"]
    report.print_table(titles, rows)


if __name__ == "__main__":
    main()
