"""A program that compiles what the rows of the op tests call, for float32 or for float64."""

import itertools
import sys

import numpy as np
from op_calls import CALLS, leaves, outputs
from views import VIEWS

from tinygrad_like.engine import gradients, wrap


def run_all(dtype):
    """Call every row in a dtype, in float64 of all views, and the gradients of what it gives."""
    views = VIEWS if dtype == "float64" else ()
    for name, view in itertools.product(CALLS, [np.asarray, *views]):

        def tensor(a, view=view):
            return wrap(view(a.astype(dtype) if a.dtype.kind == "f" else a))

        xs = leaves(name, tensor)
        ys = [y for y in outputs(name, xs) if y.requires_grad]
        seeds = [tensor(np.ones(y.shape)) for y in ys]
        gradients(ys, [x for x in xs if x.requires_grad], seeds)


if __name__ == "__main__":
    run_all(sys.argv[1])
