"""What sorting tells: quantiles, the k-th value, distinct values, places in a sorted list, counts.

A quantile is a weighted mean of two neighbours in the sorted tensor, and these get its gradient. Of
equal elements it is those that stand there in a stable order.
"""

import math

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import INEXACT, narrow, wide
from tinygrad_like.engine import (
    Batched,
    GraphError,
    Tensor,
    all_examples,
    astype,
    backend_of,
    check_choice,
    check_flag,
    check_integer,
    composed,
    op,
    wrap,
)
from tinygrad_like.engine import (
    mode as modes,
)
from tinygrad_like.ops.compare import (
    equal,
    greater,
    isfinite,
    isnan,
    less,
    logical_and,
    not_equal,
)
from tinygrad_like.ops.elementwise import ceil, clip, floor, remainder, round, where
from tinygrad_like.ops.index import (
    _put,
    argsort,
    check_labels,
    getitem,
    scatter_add,
    sort,
    take,
    take_along_axis,
)
from tinygrad_like.ops.lines import spread_lines
from tinygrad_like.ops.places import raw_index
from tinygrad_like.ops.reduce import argmax, sum
from tinygrad_like.ops.scan import linear_scan
from tinygrad_like.ops.shape import (
    along_axes,
    concatenate,
    expand_dims,
    moveaxis,
    normal_axes,
    normal_axis,
    reshape,
    slice_at,
    squeeze,
)

# alpha and beta of Hyndman and Fan 1996: the q-quantile of n elements stands at place
# n q + alpha + q (1 - alpha - beta) - 1.
SPREAD = {
    "interpolated_inverted_cdf": (0, 1),
    "hazen": (0.5, 0.5),
    "weibull": (0, 0),
    "linear": (1, 1),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
# Those that choose among the two neighbours of the linear place.
ROUNDED = {
    "lower": floor,
    "higher": ceil,
    "nearest": round,
    "midpoint": lambda place: (floor(place) + ceil(place)) * 0.5,
}
METHODS = (*SPREAD, *ROUNDED)


def _place_among(n, q, method):
    """Where the quantiles stand among n sorted elements: numbers from 0 to n - 1."""
    alpha, beta = SPREAD.get(method, (1, 1))
    place = n * q + (alpha + q * (1 - alpha - beta) - 1)
    return clip(ROUNDED[method](place) if method in ROUNDED else place, 0, None)


def _between(a, b, share):
    """The mean of a and b with weights 1 - share and share: a if they are equal or the share is 0.

    So that this holds exactly, and beside infinity, equals and others are computed apart.
    """
    same = logical_and(equal(a, b), isfinite(a))
    left, right = where(same, a, 0), where(same, b, 0)
    mixed = a * (1 - share) + where(equal(share, 0), 0, b) * share
    return where(same, left + (right - left) * share, mixed)


def _fractions(name, q, most):
    """The quantiles asked for, from 0 to 1, as an array of float64."""
    if isinstance(q, Tensor) and q.node is not None and modes.grad:
        raise GraphError(f"[{name}] q has no gradient; give numbers, or detach() it")
    try:
        values = np.asarray(q.numpy() if isinstance(q, Tensor) else q, np.float64) / most
    except (TypeError, ValueError):
        values = np.array(np.nan)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"[{name}] q is {q!r}, expected numbers from 0 to {most}")
    return values


def _place_of(xp, rows, value, rank):
    """The place of the element of a rank in each row, whose value is known.

    Of equal elements, the ranks rise with the places.
    """
    equal, below = rows == value, rows < value
    unknown = value != value
    if unknown.any():  # NaN stands last
        equal, below = equal | (unknown & (rows != rows)), below | (unknown & (rows == rows))
    which = rank - xp.count_nonzero(below, axis=-1)  # of the equal ones
    place = xp.argmax(equal, axis=-1)
    later = xp.nonzero(which)
    if later[0].size:
        count = xp.cumsum(equal[later], axis=-1)
        place[later] = xp.argmax(count > which[later][:, None], axis=-1)
    return place


@op(any_dtype=True, batch=along_axes)
def _places_of_ranks(be, x, values, *, axis, ranks):
    """The places of the elements that have these ranks in the stable order along an axis.

    `values` are the elements.
    """
    rows, of_rows = (be.xp.moveaxis(wide(a), axis, -1) for a in (x, values))
    rest = rows.shape[:-1]
    rows, of_rows = (a.reshape(x.size // x.shape[axis], a.shape[-1]) for a in (rows, of_rows))
    values_of = {r: of_rows[:, i, None] for i, r in enumerate(ranks)}
    found = {r: _place_of(be.xp, rows, value, r) for r, value in values_of.items()}
    return be.xp.stack([found[r].reshape(rest) for r in ranks], axis)


def _at_ranks_rule(g, x, x_shape, out, axis, ranks):
    places = _places_of_ranks(x, out, axis=axis, ranks=ranks)
    return spread_lines(g, places, axis=axis, n=x_shape[axis])


@op(batch=along_axes, x=_at_ranks_rule)
def _at_ranks(be, x, *, axis, ranks):
    """The elements that have these ranks in order along an axis."""
    if len(ranks) == 1:
        ordered = be.xp.partition(wide(x), ranks[0], axis=axis)
    else:
        ordered = be.xp.sort(wide(x), axis=axis)
    return narrow(be.xp.take(ordered, be.xp.asarray(ranks), axis=axis), x.dtype)


def _quantile(name, x, q, axis, keepdims, method, without_nan=False):
    keepdims = check_flag(name, "keepdims", keepdims)
    check_choice(name, "method", method, METHODS)
    axes = normal_axes(name, axis, x.ndim)
    last = tuple(range(x.ndim - len(axes), x.ndim))
    moved = moveaxis(x, axes, last)
    rest, n = moved.shape[: x.ndim - len(axes)], math.prod(moved.shape[x.ndim - len(axes) :])
    if not n:
        raise ValueError(f"[{name}] of no elements has no value (x: {x.shape}, axis: {axis})")
    rows = reshape(moved, (*rest, n))
    y = _at_fractions(rows, q.reshape(-1), method, without_nan)
    y = reshape(y, (*y.shape[:-1], *q.shape))
    front = tuple(range(q.ndim))
    y = moveaxis(y, tuple(a - q.ndim for a in front), front)
    y = astype(y, dtype=x.dtype if x.dtype.kind in INEXACT else np.float32)
    return expand_dims(y, tuple(a + q.ndim for a in axes)) if keepdims else y


def _at_fractions(rows, q, method, without_nan):
    """The quantiles of rows (..., n): (..., the number of quantiles)."""
    n = rows.shape[-1]
    rows = rows if rows.dtype.kind in INEXACT else astype(rows, dtype=np.float64)
    if without_nan:
        rows = sort(rows)
        known = astype(sum(equal(rows, rows), axis=-1, keepdims=True), dtype=np.float64)
        place = _place_among(known, backend_of(rows).from_host(q), method)
        low = floor(place)
        high = where(less(low, known - 1), low + 1, low)
        share = astype(place - low, dtype=rows.dtype)
        low, high = (astype(i, dtype=np.int64) for i in (low, high))
        return _between(take_along_axis(rows, low), take_along_axis(rows, high), share)
    place = np.minimum(_place_among(n, q, method), n - 1)
    low = np.floor(place).astype(int)
    share = backend_of(rows).from_host((place - low).astype(rows.dtype))
    ranks = *low.tolist(), *np.minimum(low + 1, n - 1).tolist(), n - 1
    found, count = _at_ranks(rows, axis=rows.ndim - 1, ranks=ranks), low.size
    a, b, largest = found[..., :count], found[..., count : 2 * count], found[..., 2 * count :]
    return where(isnan(largest), largest, _between(a, b, share))  # NaN stands last


@composed
def quantile(x, q, axis=None, *, method="linear", keepdims=False):
    """The value below which a fraction `q` of the elements lies; NaN if one of them is NaN.

    Args:
        q: a number from 0 to 1, or an array of them, whose axes come first in the result.
        axis: an axis, several, or all (None).
        method: "linear", "lower", "higher", "midpoint" or "nearest", for a quantile between two
            elements; "hazen", "weibull", "median_unbiased", "normal_unbiased" or
            "interpolated_inverted_cdf" for another place, as in NumPy.

    The two neighbours share the gradient as they share the value. Integers give float32.

    Raises ValueError where there is nothing, for a `q` out of range and an unknown method.

    >>> import tinygrad_like as tg
    >>> tg.quantile(tg.Tensor([1.0, 2.0, 4.0]), 0.75).item()
    3.0
    """
    return _quantile("quantile", x, _fractions("quantile", q, 1), axis, keepdims, method)


@composed
def percentile(x, q, axis=None, *, method="linear", keepdims=False):
    """`quantile` with `q` from 0 to 100."""
    return _quantile("percentile", x, _fractions("percentile", q, 100), axis, keepdims, method)


@composed
def median(x, axis=None, keepdims=False):
    """The middle element in order, or the mean of the two that stand there; NaN if one is NaN.

    NumPy's: PyTorch's is the lower of the two, `quantile(x, 0.5, method="lower")`.
    """
    return _quantile("median", x, np.array(0.5), axis, keepdims, "linear")


@composed
def nanquantile(x, q, axis=None, *, method="linear", keepdims=False):
    """`quantile` of the elements that are not NaN; NaN where all are."""
    q = _fractions("nanquantile", q, 1)
    return _quantile("nanquantile", x, q, axis, keepdims, method, without_nan=True)


@composed
def nanpercentile(x, q, axis=None, *, method="linear", keepdims=False):
    """`nanquantile` with `q` from 0 to 100."""
    q = _fractions("nanpercentile", q, 100)
    return _quantile("nanpercentile", x, q, axis, keepdims, method, without_nan=True)


@composed
def nanmedian(x, axis=None, keepdims=False):
    """`median` of the elements that are not NaN; NaN where all are."""
    q = np.array(0.5)
    return _quantile("nanmedian", x, q, axis, keepdims, "linear", without_nan=True)


@composed
def kthvalue(x, k, axis=-1, keepdims=False):
    """(the k-th smallest element along an axis, from 1 on, its place); of equals in their order."""
    keepdims = check_flag("kthvalue", "keepdims", keepdims)
    axis = normal_axis("kthvalue", axis, x.ndim)
    k = check_integer("kthvalue", "k", k, least=1, most=x.shape[axis])
    value = _at_ranks(x, axis=axis, ranks=(k - 1,))
    results = value, _places_of_ranks(x, value, axis=axis, ranks=(k - 1,))
    return results if keepdims else tuple(squeeze(y, axis) for y in results)


@composed
def mode(x, axis=-1, keepdims=False):
    """(the most frequent element along an axis, the smallest of several; its first place)."""
    keepdims = check_flag("mode", "keepdims", keepdims)
    axis = normal_axis("mode", axis, x.ndim)
    n = x.shape[axis]
    order = argsort(x, axis)
    ordered = take_along_axis(x, order, axis)
    first, rest = ordered[slice_at(axis, 0, 1)], ordered[slice_at(axis, 1, n)]
    repeats = equal(rest, ordered[slice_at(axis, 0, n - 1)])
    repeats = concatenate([not_equal(first, first), repeats], axis)  # the first is no repeat
    run = astype(repeats, dtype=np.float64)
    lengths = linear_scan(run, run * 0 + 1, axis)
    end = argmax(lengths, axis=axis, keepdims=True)
    run = astype(take_along_axis(lengths, end, axis), dtype=np.int64)
    place = take_along_axis(order, end - run + 1, axis)
    results = take_along_axis(x, place, axis), place
    return results if keepdims else tuple(squeeze(y, axis) for y in results)


def _refuse_lengths(name):
    def batch(call, arrays, attributes):
        raise GraphError(
            f"[{name}] examples may have different numbers of results, so that vmap cannot join "
            "them; call it outside vmap"
        )

    return batch


def _unique_rule(g, x, axis, equal_nan):
    first, _, _ = _unique_places(x, axis=axis, equal_nan=equal_nan)
    index = (*(slice(None),) * (axis or 0), first)
    if axis is None:
        row = reshape(x, (-1,))
        places = raw_index("unique", row, index)
        return reshape(_put(g, shape=row.shape, index=places), x.shape)
    return _put(g, shape=tuple(x.shape), index=raw_index("unique", x, index))


@op(batch=_refuse_lengths("unique"), x=_unique_rule)
def _unique(be, x, *, axis, equal_nan):
    return narrow(be.xp.unique(wide(x), axis=axis, equal_nan=equal_nan), x.dtype)


@op(several=True, any_dtype=True, batch=_refuse_lengths("unique"))
def _unique_places(be, x, *, axis, equal_nan):
    """(the first place of each distinct element in rising order, the inverse, the counts)."""
    options = {"return_index": True, "return_inverse": True, "return_counts": True}
    found = be.xp.unique(wide(x), axis=axis, equal_nan=equal_nan, **options)
    return found[1], found[2].reshape(x.shape if axis is None else (-1,)), found[3]


@composed
def unique(
    x, return_index=False, return_inverse=False, return_counts=False, axis=None, *, equal_nan=True
):
    """The distinct elements in rising order, or the distinct slices along an axis.

    Then, if asked for, the first place of each, the number of each element's value among them (of
    the shape of `x`), and how often each occurs: a tuple. The gradient of a value goes to the first
    of its equals.
    """
    flags = [return_index, return_inverse, return_counts]
    names = "return_index", "return_inverse", "return_counts"
    wanted = [check_flag("unique", name, flag) for name, flag in zip(names, flags, strict=True)]
    equal_nan = check_flag("unique", "equal_nan", equal_nan)
    if axis is not None:
        axis = normal_axis("unique", axis, x.ndim)
    values = _unique(x, axis=axis, equal_nan=equal_nan)
    if True not in wanted:
        return values
    places = _unique_places(x, axis=axis, equal_nan=equal_nan)
    return values, *(found for found, want in zip(places, wanted, strict=True) if want)


@op(any_dtype=True)
def _searchsorted(be, a, v, *, side):
    return be.xp.searchsorted(wide(a), wide(v), side=side)


@composed
def searchsorted(a, v, side="left", sorter=None):
    """The places at which to insert `v` in the rising 1-d `a`, so that it stays in order.

    Before elements that equal it, or behind them with `side="right"`. `sorter` is an order that
    sorts `a`, as argsort gives it.
    """
    check_choice("searchsorted", "side", side, ("left", "right"))
    if a.ndim != 1:
        raise ValueError(f"[searchsorted] a is {a.shape}, expected one axis; use tg.vmap for rows")
    if sorter is not None:
        a = take(a, sorter)
    return _searchsorted(a, as_array(v, a), side=side)


def as_array(v, beside):
    """A number, a sequence or NumPy's array on the device of another one; Tensors stay."""
    if hasattr(v, "dtype") and not isinstance(v, (np.ndarray, np.generic)):
        return v
    return backend_of(beside).from_host(np.asarray(v))


@composed
def digitize(x, bins, right=False):
    """The number of the bin of each element: i with bins[i - 1] <= x < bins[i].

    With `right`, bins[i - 1] < x <= bins[i]. `bins` are numbers in rising order, or in falling
    order: then bins[i - 1] > x >= bins[i], with `right` bins[i - 1] >= x > bins[i]. PyTorch calls
    it bucketize.

    Raises ValueError for bins in no order.
    """
    right = check_flag("digitize", "right", right)
    bins = as_array(bins, x)
    raw = all_examples(bins.data if isinstance(bins, Tensor) else bins)
    values = backend.of(raw).to_host(raw)
    rises, falls = (values[1:] >= values[:-1]).all(), (values[1:] <= values[:-1]).all()
    if bins.ndim != 1 or not (rises or falls):
        raise ValueError(f"[digitize] bins are {bins.shape}, expected one axis, rising or falling")
    side = "left" if right else "right"
    if rises:
        return searchsorted(bins, x, side)
    return bins.shape[0] - searchsorted(bins[::-1], x, side)


@op(any_dtype=True)
def _bincount(be, x, *, count):
    return be.xp.bincount(x, minlength=count).astype(np.int64)


@composed
def bincount(x, weights=None, minlength=0):
    """How often each integer from 0 on occurs in the 1-d `x`: as many counts as its maximum + 1.

    With `weights`, of the shape of `x`, their sums instead, which are differentiable.

    Raises ValueError for negative integers, and inside vmap where `minlength` is not enough.
    """
    minlength = check_integer("bincount", "minlength", minlength, least=0)
    if x.ndim != 1 or x.dtype.kind not in "iu":
        raise ValueError(f"[bincount] x is {x.shape} of {x.dtype}, expected integers on one axis")
    raw = all_examples(x.data if isinstance(x, Tensor) else x)
    count = max(int(raw.max()) + 1 if raw.size else 0, minlength)
    inside = x._array if isinstance(x, Tensor) else x
    if type(inside) is Batched and count > minlength:
        raise GraphError(
            f"[bincount] examples may have different maxima; give minlength={count} inside vmap"
        )
    check_labels("bincount", "x", x, count)
    if weights is None:
        return _bincount(x, count=count)
    if weights.dtype.kind == "c":
        raise TypeError(f"[bincount] weights are of {weights.dtype}, expected real numbers")
    if weights.shape != x.shape:
        raise ValueError(f"[bincount] weights are {weights.shape}, expected {x.shape}")
    kept = weights.dtype if weights.dtype.kind in INEXACT else np.dtype(np.float32)
    sums = backend_of(x).xp.zeros(count, kept)
    return scatter_add(
        wrap(sums) if isinstance(x, Tensor) else sums, x, astype(weights, dtype=kept)
    )


@op(several=True, any_dtype=True)
def _histogram(be, x, *, bins, range):
    counts, edges = be.xp.histogram(x, bins, range)
    return counts.astype(np.int64), edges


@composed
def histogram(x, bins=10, range=None, density=None):
    """(the counts of elements in `bins` bins of one width, the edges of the bins).

    `bins` may also be the edges, as a rising sequence. `range` is (low, high), by default that of
    `x`. With `density` the counts become frequencies whose integral is 1, of float64 if `x` is,
    else of float32. The counts have no gradient.
    """
    if not hasattr(bins, "__len__") and not hasattr(bins, "shape"):
        bins = check_integer("histogram", "bins", bins, least=1)
    elif isinstance(bins, Tensor):
        bins = bins.numpy()
    counts, edges = _histogram(x, bins=bins, range=range)
    if density is None or not check_flag("histogram", "density", density):
        return counts, edges
    widths = edges[1:] - edges[:-1]
    dtype = np.float64 if x.dtype == np.float64 else np.float32
    return astype(astype(counts, dtype=np.float64) / (widths * sum(counts)), dtype=dtype), edges


@composed
def interp(x, xp, fp, left=None, right=None, period=None):
    """The piecewise linear function through the points (xp, fp) at `x`; differentiable in all.

    Args:
        xp, fp: 1-d and of one length; `xp` rises (with a period it may have any order).
        left, right: the values before the first point and behind the last one, by default theirs.
        period: the period of x, with which the function goes on.

    At a point the slope is that of the piece on its right, at the last one that on its left.
    Raises ValueError for shapes that do not fit.

    >>> import tinygrad_like as tg
    >>> tg.interp(tg.Tensor([0.5, 3.0]), [0.0, 1.0, 2.0], [0.0, 10.0, 40.0]).tolist()
    [5.0, 40.0]
    """
    beside = next((a for a in (x, xp, fp) if hasattr(a, "dtype")), xp)
    x, xp, fp = (as_array(a, beside) for a in (x, xp, fp))
    if xp.ndim != 1 or fp.shape != xp.shape or not xp.shape[0]:
        raise ValueError(f"[interp] xp is {xp.shape}, fp {fp.shape}, expected one axis of points")
    if period is not None:
        if period == 0:
            raise ValueError("[interp] period is 0, expected another number")
        period, left, right = abs(period), None, None
        x, xp = remainder(x, period), remainder(xp, period)
        order = argsort(xp)
        xp, fp = take(xp, order), take(fp, order)
        xp = concatenate([xp[-1:] - period, xp, xp[:1] + period])
        fp = concatenate([fp[-1:], fp, fp[:1]])
    n = xp.shape[0]
    piece = clip(searchsorted(xp, x, "right") - 1, 0, max(n - 2, 0))
    after = clip(piece + 1, 0, n - 1)
    x0, f0 = getitem(xp, (piece,)), getitem(fp, (piece,))
    width, rise = getitem(xp, (after,)) - x0, getitem(fp, (after,)) - f0
    inside = f0 + (x - x0) * (rise / where(equal(width, 0), 1, width))
    y = where(less(x, xp[0]), fp[0] if left is None else left, inside)
    return where(greater(x, xp[-1]), fp[-1] if right is None else right, y)
