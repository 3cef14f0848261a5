"""Seconds from `import numpy` to the end of the first training step of the cnn.

With an empty cache of compiled kernels (cold), with a filled one (warm), and PyTorch's beside it.
"""

import argparse
import os
import tempfile
import time

from bench import report
from bench.arena import Opponent

WORKLOAD = "cnn"


def prepare(name, workload):
    """(the next step, [[seconds to import, seconds to build and train the first step]])."""
    import numpy  # noqa: F401  (what a user has loaded anyway)

    start = time.perf_counter()
    if name == "ours":
        import tinygrad_like  # noqa: F401
    else:
        import torch  # noqa: F401
    imported = time.perf_counter()
    from bench.opponents import build

    step = build(name, workload)
    step()
    return step, [[imported - start, time.perf_counter() - imported]]


def measure(name, cache):
    """(seconds to import, seconds to the end of the first step) of a fresh process."""
    opponent = Opponent("bench.coldstart", name, os.environ | {"NUMBA_CACHE_DIR": cache})
    try:
        return opponent.prepare(WORKLOAD)[0]
    finally:
        opponent.close()


def measure_all(cold, warm):
    """{case: [(seconds to import, seconds to the first step)]}."""
    figures = {"cold": [], "warm": [], "torch": []}
    for _ in range(cold):
        with tempfile.TemporaryDirectory() as cache:
            figures["cold"].append(measure("ours", cache))
            for _ in range(warm):
                figures["warm"].append(measure("ours", cache))
                figures["torch"].append(measure("torch", cache))
    return figures


def main():
    parser = argparse.ArgumentParser(prog="python -m bench coldstart", description=__doc__)
    parser.add_argument("--cold", type=int, default=2, help="cold starts")
    parser.add_argument("--warm", type=int, default=3, help="warm starts after each cold one")
    parser.add_argument("--save", action="store_true", help="write JSON and PNG to bench/results/")
    args = parser.parse_args()
    rows = []
    for case, figures in measure_all(args.cold, args.warm).items():
        imports, steps = zip(*figures, strict=True)
        whole = [a + b for a, b in figures]
        numbers = {"import_s": imports, "first_step_s": steps, "all_s": whole}
        rows.append({"name": case} | {key: report.summary(s) for key, s in numbers.items()})
    torch = rows[-1]["all_s"]["median"]
    for row in rows[:-1]:
        row["ratio"] = {key: seconds / torch for key, seconds in row["all_s"].items()}
    keys = "import_s", "first_step_s", "all_s"
    texts = [[row["name"], *(report.spread(row[key]) for key in keys)] for row in rows]
    report.print_table(["seconds", "import", "to the first step", "both"], texts)
    if args.save:
        report.save("coldstart", rows, "To the first step of the cnn: our time by PyTorch's")


if __name__ == "__main__":
    main()
