"""The order of rows, and their largest elements."""

import numpy as np

from .contract import kernel
from .precision import wide


@kernel
def argsort(x):
    """The places of each row of x (n, m) in the rising order of their elements.

    Equal elements keep their order, and NaN stands last.
    """
    return np.argsort(wide(x), axis=1, kind="stable")  # in bfloat16 NumPy errs around NaN


@kernel
def top_places(x, k):
    """The places of the k largest elements of each row of x (n, m), in falling order: (n, k).

    Equal elements stand in the order of their places, and NaN counts as the largest.
    """
    return x.shape[1] - 1 - argsort(x[:, ::-1])[:, ::-1][:, :k]
