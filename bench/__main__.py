"""`python -m bench NAME [options]` runs a benchmark: bench/NAME.py."""

import runpy
import sys

BENCHMARKS = {
    "overhead": "what an op costs beside its arithmetic, and an MLP's step",
    "train": "whole trainings of the examples: final losses and wall time against PyTorch's",
}


def main():
    """Run the benchmark that the command line names; list them if it names none."""
    name = sys.argv[1] if len(sys.argv) > 1 else None
    if name not in BENCHMARKS:
        listed = "\n".join(f"  {name:<10} {what}" for name, what in BENCHMARKS.items())
        sys.exit(f"python -m bench NAME [--help], where NAME is one of\n{listed}")
    sys.argv[:2] = [f"{sys.argv[0]} {name}"]
    runpy.run_module(f"bench.{name}", run_name="__main__")


if __name__ == "__main__":
    main()
