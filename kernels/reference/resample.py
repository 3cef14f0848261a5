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

    `starts` (outputs + 1,) and `places` are int64 on the host, and so are `weights`, of float64.
    """
    wide_x = wide(x)
    dtype = np.result_type(wide_x.dtype, np.float64)
    counts = np.diff(starts)
    shape = x.shape[0], counts.size, x.shape[2]
    y = np.zeros_like(wide_x, shape=shape, dtype=dtype)
    for k in range(counts.max(initial=0)):
        outputs = np.flatnonzero(counts > k)
        entries = starts[outputs] + k
        source = np.asarray(places[entries], like=x)
        weight = np.asarray(weights[entries, None], like=x)
        y[:, np.asarray(outputs, like=x)] += wide_x[:, source] * weight
    return y.astype(x.dtype, copy=False)
