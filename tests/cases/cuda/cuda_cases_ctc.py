"""Cases of ctc.cu."""

import numpy as np
from cuda_case import Case


def _paths(n, frames, labels):
    states = 2 * labels + 1

    def make(rng):
        scores = np.log(rng.dirichlet(np.ones(4), (n, frames, states))[..., 0])
        skips, ends = rng.random((n, states)) < 0.5, np.zeros((n, states), bool)
        skips[:, :2], ends[:, -2:] = False, True
        counts = rng.integers(1, frames + 1, n)
        counts[0] = frames
        return scores, skips, counts, ends

    def call(k, scores, skips, counts, ends):
        return k.ctc_alphas(scores, skips), k.ctc_betas(scores, skips, counts, ends)

    return Case(f"ctc-{n}-{frames}-{labels}", "ctc.cu", call, make, dtypes=("float32", "float64"))


CASES = [
    _paths(3, 7, 2),
    _paths(2, 5, 20),  # two warps
    _paths(1, 3, 260),  # more states than threads
    _paths(2, 4, 0),
]
