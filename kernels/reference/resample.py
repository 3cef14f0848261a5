"""Resampling along an axis: each output is a weighted sum of a few inputs, as a table says.

Output i adds up x[place] * weight for the entries starts[i] to starts[i + 1] - 1 of the table, so
that elements of weight 0 that do not stand in it, an infinity for example, have no influence. The
gradient is a resampling with the transposed table.
"""

import numpy as np

from .contract import kernel
from .precision import wide


@kernel
def resample(x, starts, places, weights):
    """x (outer, n, inner) -> y (outer, outputs, inner), added up in float64 and rounded once.

    `starts` (outputs + 1,) and `places` are int64, `weights` float64.
    """
    wide_x = wide(x)
    dtype = np.result_type(wide_x.dtype, np.float64)
    counts = np.diff(starts)
    y = np.zeros_like(wide_x, shape=(x.shape[0], counts.size, x.shape[2]), dtype=dtype)
    for k in range(int(counts.max(initial=0))):
        outputs = np.flatnonzero(counts > k)
        entries = starts[outputs] + k
        y[:, outputs] += wide_x[:, places[entries]] * weights[entries][:, None]
    return y.astype(x.dtype, copy=False)
