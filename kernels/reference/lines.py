"""Reading and writing at places along the middle axis of arrays (outer, n, inner).

`index` (outer, m, inner) has, for each of its elements, a place from 0 to n - 1 in the line of that
element: line (a, b) is x[a, :, b]. Of several elements for one place, m counts upwards.
"""

import numpy as np

from .contract import kernel
from .index import combine_
from .precision import wide

# What becomes of the element at a place and a new one for it.
COMBINED = {
    None: lambda old, new: new,
    "sum": np.add,
    "prod": np.multiply,
    "amax": np.maximum,
    "amin": np.minimum,
}


@kernel
def gather_lines(x, index):
    """x[a, index[a, i, b], b], of the shape of index."""
    return np.take_along_axis(x, index, 1)


@kernel
def spread_lines(g, index, n):
    """The adjoint of gather_lines: zeros (outer, n, inner) to which g is added at the places."""
    zeros = np.zeros_like(g, shape=(g.shape[0], n, g.shape[2]))
    return scatter_lines(zeros, index, g, "sum")


@kernel
def scatter_lines(x, index, updates, reduce):
    """A copy of x in which `updates` are written at the places.

    `reduce` is None, and then the last one of several stays; or "sum", "prod", "amax" or "amin" of
    x and all updates. NaN is the extreme where there is one.
    """
    y = x.copy()
    if updates.size:
        combine_(y.reshape(-1), numbers_of(index, x), updates.reshape(-1), COMBINED[reduce])
    return y


@kernel
def scatter_last_backward(g, index):
    """(dx, dupdates) of scatter_lines without `reduce`: each place has the gradient of its last."""
    numbers, dx = numbers_of(index, g), g.copy()
    count = np.arange(numbers.size, like=numbers)
    latest = np.zeros_like(numbers, shape=g.size)
    if numbers.size:
        combine_(latest, numbers, count, COMBINED[None])
    dupdates = np.where(latest[numbers] == count, dx.reshape(-1)[numbers], 0).astype(g.dtype)
    dx.reshape(-1)[numbers] = 0
    return dx, dupdates.reshape(index.shape)


@kernel
def scatter_product_backward(g, x, updates, index):
    """(dx, dupdates) of scatter_lines by "prod": g times the product of all others at a place."""
    numbers = numbers_of(index, x)
    order = np.argsort(numbers, kind="stable")
    places, values = numbers[order], wide(updates).reshape(-1)[order]
    at_first = np.ones_like(places, dtype=bool)
    at_first[1:] = places[1:] != places[:-1]
    at_last = np.ones_like(at_first)
    at_last[:-1] = at_first[1:]
    before = _products_before(values, at_first)
    after = _products_before(values[::-1], at_last[::-1])[::-1]
    dupdates, dx = np.empty_like(values), wide(g).reshape(-1).copy()
    dupdates[order] = (wide(g) * wide(x)).reshape(-1)[places] * before * after
    dx[places[at_last]] *= (before * values)[at_last]
    return dx.reshape(x.shape).astype(g.dtype), dupdates.reshape(index.shape).astype(g.dtype)


def _products_before(values, begins):
    """The product of the values before each one, from the last true element of `begins` on.

    In log2(n) rounds: after each of them twice as many factors are in a product.
    """
    products = np.ones_like(values)
    products[1:] = np.where(begins[1:], 1, values[:-1])
    whole, step = begins.copy(), 1  # whether all factors are in
    while step < values.size and not whole.all():
        joined = np.where(whole[step:], 1, products[:-step])
        known = whole[step:] | whole[:-step]
        products[step:] = products[step:] * joined
        whole[step:] = known
        step *= 2
    return products


@kernel
def scatter_extreme_backward(g, x, updates, index, out):
    """(dx, dupdates) of scatter_lines by "amax" or "amin": equal shares for all that are extreme.

    Where `out` is NaN, it is the NaN that share.
    """
    ours = (x == out) | np.isnan(x)
    theirs = (updates == np.take_along_axis(out, index, 1)) | np.isnan(updates)
    count = scatter_lines(ours.astype(wide(g).dtype), index, theirs.astype(wide(g).dtype), "sum")
    share = wide(g) / count
    dupdates = np.where(theirs, np.take_along_axis(share, index, 1), 0)
    return np.where(ours, share, 0).astype(g.dtype), dupdates.astype(g.dtype)


def numbers_of(index, x):
    """The places as numbers of elements of x."""
    outer, n, inner = x.shape
    a, b = (np.arange(k, like=x) for k in (outer, inner))
    return ((a[:, None, None] * n + index.astype(np.int64)) * inner + b).reshape(-1)
