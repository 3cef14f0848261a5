"""Sums over a batch, of the gradients by weights: chunk by chunk, and now and then in float64.

A task adds the products of each chunk of pixels to its sums. After thousands of chunks these are
so large that much of what a chunk adds is rounded away. So after CHUNKS of them the sums move to
float64, where there are as many again, and begin anew.
"""

import numpy as np

from .memory import empty
from .simd import inlined

CHUNKS = 64  # that are added up in the dtype of the convolution


def room_of_whole(sums, chunks):
    """Of each task's sums (tasks, n) those in float64, or none where a task has few chunks."""
    many = chunks > CHUNKS * len(sums) and sums.dtype != np.float64
    return empty((len(sums), sums.shape[1] if many else 0), np.float64)


@inlined
def begin_sums(sums, whole):
    """Let both be zero."""
    sums[:] = 0
    whole[:] = 0


@inlined
def move_sums(done, sums, whole):
    """Before a chunk, after so many others: whole += sums, and sums = 0, if it is time for it."""
    if whole.size and done and done % CHUNKS == 0:
        for k in range(whole.size):
            whole[k] += sums[k]
        sums[:] = 0


@inlined
def end_sums(sums, whole):
    """Let the sums be those of all chunks."""
    for k in range(whole.size):
        sums[k] = whole[k] + sums[k]
