"""Sums over a batch, for gradients with respect to weights: moved to float64 now and then.

A task adds the products of one chunk of pixels after another to its sums. After thousands of
additions these are so large that much of each new term is rounded away. So after about ADDITIONS
the sums are added to sums in float64, and begin again at zero.
"""

import numpy as np

from ..machine.memory import empty
from ..machine.simd import inlined

ADDITIONS = 64  # in the dtype of the convolution


def room_of_whole(sums, additions):
    """Memory for the tasks' sums (tasks, n) in float64; empty where they do not need it."""
    many = additions > ADDITIONS * len(sums) and sums.dtype != np.float64
    return empty((len(sums), sums.shape[1] if many else 0), np.float64)


@inlined
def begin_sums(sums, whole):
    """Set both to zero."""
    sums[:] = 0
    whole[:] = 0


@inlined
def move_sums(sums, whole):
    """whole += sums and sums = 0, unless `whole` is empty."""
    if whole.size:
        for k in range(whole.size):
            whole[k] += sums[k]
        sums[:] = 0


@inlined
def end_sums(sums, whole):
    """sums += whole, unless it is empty."""
    for k in range(whole.size):
        sums[k] = whole[k] + sums[k]
