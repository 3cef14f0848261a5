"""`python -m bench NAME [options]` runs a benchmark: bench/NAME.py."""

import importlib
import sys

from bench.arena import OpponentError

BENCHMARKS = {
    "steps": "the training steps against PyTorch and JAX",
    "train": "whole trainings of the examples: final losses and wall time against PyTorch's",
    "kernels": "each kernel against NumPy, PyTorch and the limit of the machine",
    "processor": "each kernel against PyTorch's by processor time on one thread",
    "accuracy": "what long sums lose, against PyTorch and NumPy",
    "fuse": "fused functions against kernels written by hand",
    "overhead": "what an op costs beside its arithmetic",
    "launch": "what checks and packing cost a launch of a CUDA kernel",
    "tiles": "which tile of our CUDA matrix products is the fastest, by shape",
    "memory": "the peak of memory of the steps against PyTorch's",
    "coexist": "PyTorch and NumPy in a process in which tinygrad_like has trained",
    "per_example": "a gradient for each example by vmap, against a backward pass and PyTorch's",
    "rows": "a step of few rows of a large table, against PyTorch's by processor time",
    "coldstart": "seconds to the first step, with and without compiled kernels on disk",
}


def main():
    """Run the benchmark that the command line names; list them if it names none."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name not in BENCHMARKS:
        listed = "\n".join(f"  {name:<11} {what}" for name, what in BENCHMARKS.items())
        print(f"python -m bench NAME [--help], where NAME is one of\n{listed}")
        sys.exit(0 if name in ("-h", "--help") else f"there is no benchmark {name!r}")
    del sys.argv[1]
    try:
        importlib.import_module(f"bench.{name}").main()
    except OpponentError as error:
        sys.exit(f"no figures: {error}")


if __name__ == "__main__":
    main()
