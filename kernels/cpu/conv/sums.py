"""Sums over a batch, of the gradients by weights: chunk by chunk, and now and then in float64.

A task adds the products of some pixels after the other to its sums. After thousands of additions
these are so large that much of what comes is rounded away. So after some hundred of them the sums
move to float64, where there are as many again, and begin anew.
"""

import numpy as np

from ..machine.memory import empty
from ..machine.simd import inlined

ADDITIONS = 64  # in the dtype of the convolution


def room_of_whole(sums, additions):
    """Of each task's sums (tasks, n) those in float64; none where all tasks have few additions."""
    many = additions > ADDITIONS * len(sums) and sums.dtype != np.float64
    return empty((len(sums), sums.shape[1] if many else 0), np.float64)


@inlined
def begin_sums(sums, whole):
    """Let both be zero."""
    sums[:] = 0
    whole[:] = 0


@inlined
def move_sums(sums, whole):
    """whole += sums, and sums = 0, if there is such a whole."""
    if whole.size:
        for k in range(whole.size):
            whole[k] += sums[k]
        sums[:] = 0


@inlined
def end_sums(sums, whole):
    """Let the sums be all of them."""
    for k in range(whole.size):
        sums[k] = whole[k] + sums[k]
