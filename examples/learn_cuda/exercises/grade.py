"""Judges a solution of an exercise: python grade.py FILE

The kernel is run in the emulator on several shapes and schedules with every access watched, its
results are compared exactly, and what it moved is counted.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from tinygrad_like.kernels.cuda import emulator
from tinygrad_like.kernels.cuda.machine import LaunchError, Source

SCHEDULES = (0, 1, 2, 4, 16)
SHAPES = ((32, 32), (64, 96), (1, 1), (33, 70), (5, 100))


class Failed(Exception):
    """What is wrong with a solution."""


def _run(kernel, grid, block, y, *args, schedule=0, counters=None):
    device = emulator.xp
    moved = [device.asarray(a) if isinstance(a, np.ndarray) else a for a in (y, *args)]
    with emulator.run(schedule, checked=True, counters=counters, access_limit=1 << 22):
        kernel(grid, block, *moved)
    return device.asnumpy(moved[0])


def judge_row_sums(kernel):
    """Sums of small integers: right in any order."""
    for columns in (128, 1, 300):
        x = np.random.default_rng(columns).integers(-9, 10, (3, columns)).astype(np.float32)
        for schedule in SCHEDULES:
            y = _run(kernel, 3, 128, np.zeros(3, np.float32), x, columns, schedule=schedule)
            if not np.array_equal(y, x.sum(axis=1)):
                raise Failed(f"of {columns} columns: sums {y}, expected {x.sum(axis=1)}")


def judge_transpose(kernel):
    """Right, then coalesced both ways, then without bank conflicts."""
    for rows, columns in SHAPES:
        x = np.random.default_rng(rows).standard_normal((rows, columns)).astype(np.float32)
        grid = -(-columns // 32), -(-rows // 32)
        for schedule in SCHEDULES:
            y = np.full((columns, rows), np.nan, np.float32)
            y = _run(kernel, grid, (32, 8), y, x, rows, columns, schedule=schedule)
            if not np.array_equal(y, x.T):
                wrong = int((y != x.T).sum())
                raise Failed(f"of {rows} x {columns}: {wrong} of {x.size} numbers are wrong")
    x, counters = np.ones((64, 64), np.float32), emulator.Counters()
    _run(kernel, (2, 2), (32, 8), np.zeros_like(x), x, 64, 64, counters=counters)
    least = 64 * 64 * 4 // 32
    for what in ("load", "store"):
        sectors = getattr(counters, f"{what}_sectors")
        if sectors > least:
            raise Failed(f"right, but its {what}s move {sectors} sectors where {least} would do")
    if counters.conflicts:
        raise Failed(f"right and coalesced, but with {counters.conflicts} bank conflicts")


JUDGES = {"row_sums": judge_row_sums, "transpose": judge_transpose}


def grade(path):
    """Raise Failed with what is wrong with a file; nothing if it is right."""
    path = Path(path).resolve()
    if not path.is_file():
        raise Failed(f"{path} is no file")
    code = "\n".join(line.partition("//")[0] for line in path.read_text("utf-8").splitlines())
    if "HOLE" in code:
        raise Failed("the hole is not filled")
    source = Source(path, ("float32",))
    try:
        names = [name for name in source.signatures if name in JUDGES]
        if not names:
            raise Failed(f"no kernel named {' or '.join(JUDGES)} in {path.name}")
        JUDGES[names[0]](source.kernel(names[0], "float32"))
    except (emulator.KernelFault, emulator.EmulatorError, LaunchError) as report:
        raise Failed(str(report)) from report


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("file", help="the .cu file with the solution")
    args = parser.parse_args(arguments)
    try:
        grade(args.file)
    except Failed as what:
        print(f"not yet: {what}")
        return 1
    print("solved")
    return 0


if __name__ == "__main__":
    sys.exit(main())
