"""The paths of connectionist temporal classification, launched from ctc.cu.

The contract is that of kernels/reference/ctc.py; scores are of float32 or float64, as the op has
widened them.
"""

import numpy as np

from ..kernel import REAL
from .machine.dtypes import as_int64, dtype_name
from .machine.kernel import kernel
from .machine.launcher import Source

SOURCE = Source("ctc.cu", dtypes=("float32", "float64"))
MOST_THREADS = 512  # of a block: more states than these are taken in turn


@kernel("scores", others="skips", dtypes=REAL)
def ctc_alphas(scores, skips):
    """The logarithms of the probabilities of all paths that reach a state."""
    return _launch("ctc_alphas", scores, skips)


@kernel("scores", others="skips frames ends", dtypes=REAL)
def ctc_betas(scores, skips, frames, ends):
    """The same from the end, in which the frame's own score does not count."""
    return _launch("ctc_betas", scores, skips, as_int64(frames), ends)


def _launch(name, scores, *others):
    if not scores.size:
        return NotImplemented
    n, frames, states = scores.shape
    paths = np.empty_like(scores, shape=(frames, n, states))
    threads = min(MOST_THREADS, -(-states // 32) * 32)
    kernel = SOURCE.kernel(name, dtype_name(scores.dtype))
    kernel(n, threads, paths, scores, *others, n, frames, states)
    return paths
