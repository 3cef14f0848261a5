"""The training steps of bench/workloads.py, as a user of each library would write them.

`prepare(name, workload)` returns (step, losses): a function that trains on the next batch and
returns the loss, and the losses of the first steps. `mlp@cuda` is the step mlp on that device.
"""

import importlib
import importlib.util

CHECKED_STEPS = 5

# name: the module here, the package that it needs
OPPONENTS = {
    "ours": ("ours", "tinygrad_like"),
    "torch": ("pytorch", "torch"),
    "torch-fused": ("pytorch", "torch"),
    "compile": ("pytorch", "torch"),
    "jax": ("jax_jit", "jax"),
}


def installed(name):
    """Whether the package of an opponent is there."""
    return importlib.util.find_spec(OPPONENTS[name][1]) is not None


def build(name, workload, batch_size=None):
    """The step of a workload: a function that trains on the next batch and returns the loss."""
    module = importlib.import_module(f"bench.opponents.{OPPONENTS[name][0]}")
    workload, _, device = workload.partition("@")
    return module.build(name, workload, batch_size, device or "cpu")


def prepare(name, workload):
    """(step, [the losses of the first steps])."""
    step = build(name, workload)
    return step, [[step() for _ in range(CHECKED_STEPS)]]
