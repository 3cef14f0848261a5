"""Elements of a rank: the k-th value, quantiles, medians.

A quantile is a weighted mean of two neighbours in the sorted tensor, and these get its gradient. Of
equal elements it is those that stand there in a stable order.
"""

import math

import numpy as np

from tinygrad_like.backend import INEXACT, narrow, wide
from tinygrad_like.engine import (
    GraphError,
    Tensor,
    astype,
    backend_of,
    check_choice,
    check_flag,
    check_integer,
    composed,
    op,
)
from tinygrad_like.engine import (
    mode as modes,
)
from tinygrad_like.ops.arrays.shape import (
    along_axes,
    expand_dims,
    moveaxis,
    normal_axes,
    normal_axis,
    reshape,
    squeeze,
)
from tinygrad_like.ops.elements.compare import (
    equal,
    isfinite,
    isnan,
    less,
    logical_and,
)
from tinygrad_like.ops.elements.elementwise import ceil, clip, floor, round, where
from tinygrad_like.ops.indexing.index import (
    sort,
    take_along_axis,
)
from tinygrad_like.ops.indexing.lines import spread_lines
from tinygrad_like.ops.reductions.reduce import sum

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
