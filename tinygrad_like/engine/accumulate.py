"""Adding what a backward pass found to `.grad` of the leaves, all or nothing."""

import os
import threading
from itertools import repeat

import numpy as np

from tinygrad_like.engine.changes import run_through
from tinygrad_like.engine.rows import SparseRows, plus
from tinygrad_like.engine.tensor import Tensor, wrap


def accumulate(found):
    """Add the gradients that a walk has found, {node: gradient}, to `.grad` of their leaves.

    Threads that share leaves take turns. When a signal handler raises (Ctrl-C), either every
    `.grad` has its sum or none has: they are written by one call that runs no Python code.
    """
    with _accumulating:
        sums = []
        for node, grad in found.items():
            have, sparse = node.grad, type(grad) is SparseRows
            if type(grad) is not Tensor and not sparse:
                grad = wrap(np.asarray(grad) if isinstance(grad, np.generic) else grad)
            if have is None:
                sums.append(grad)
            else:
                rows = sparse or type(have) is SparseRows
                sums.append(plus(have, grad) if rows else have + grad)
        run_through(map(setattr, found, repeat("grad"), sums))


_accumulating = threading.RLock()


def _begin_again():
    """Make a new lock in a forked child, where the thread that held the old one is missing."""
    global _accumulating
    _accumulating = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)
