"""The order of rows, their largest elements, the most frequent and the distinct ones."""

import numpy as np

from .contract import kernel
from .index import rank_in_run
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


@kernel
def mode_places(x):
    """The first place of the most frequent element of each row of x (n, m): (n, 1).

    Of several it is the smallest one. No NaN equals another one.
    """
    order = argsort(x)
    ordered = np.take_along_axis(x, order, 1)
    begins = np.ones_like(ordered, dtype=bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    rank = rank_in_run(begins.reshape(-1)).reshape(x.shape)
    end = np.argmax(rank, axis=1)[:, None]
    return np.take_along_axis(order, end - np.take_along_axis(rank, end, 1), 1)


@kernel
def unique_places(x, equal_nan):
    """(the first place of each distinct element of x (n,) in rising order, inverse, counts).

    The inverse (n,) has the number of each element's value among the distinct ones.
    """
    options = {"return_index": True, "return_inverse": True, "return_counts": True}
    return np.unique(wide(x), equal_nan=equal_nan, **options)[1:]
