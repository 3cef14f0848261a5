"""What sorting tells: the most frequent value, distinct ones, places in a sorted list, counts."""

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
from tinygrad_like.ops.arrays.shape import (
    along_axes,
    concatenate,
    normal_axis,
    reshape,
    squeeze,
)
from tinygrad_like.ops.elements.compare import (
    equal,
    greater,
    less,
)
from tinygrad_like.ops.elements.elementwise import clip, remainder, where
from tinygrad_like.ops.indexing.index import (
    _put,
    argsort,
    check_labels,
    getitem,
    of_rows,
    scatter_add,
    take,
)
from tinygrad_like.ops.indexing.lines import read_lines
from tinygrad_like.ops.indexing.places import raw_index
from tinygrad_like.ops.reductions.reduce import sum


@op(any_dtype=True, batch=along_axes)
def _mode_places(be, x, *, axis):
    return of_rows(be, be.k.mode_places, x, axis)


@composed
def mode(x, axis=-1, keepdims=False):
    """(the most frequent element along an axis, the smallest of several; its first place)."""
    keepdims = check_flag("mode", "keepdims", keepdims)
    axis = normal_axis("mode", axis, x.ndim)
    place = _mode_places(x, axis=axis)
    results = read_lines(x, place, axis=axis), place
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
    if axis is None:
        first, inverse, counts = be.k.unique_places(x.reshape(-1), equal_nan)
        return first, inverse.reshape(x.shape), counts
    options = {"return_index": True, "return_inverse": True, "return_counts": True}
    found = be.xp.unique(wide(x), axis=axis, equal_nan=equal_nan, **options)
    return found[1], found[2].reshape(-1), found[3]


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
    if True not in wanted and x.dtype.kind in INEXACT:
        return _unique(x, axis=axis, equal_nan=equal_nan)
    places = _unique_places(x, axis=axis, equal_nan=equal_nan)
    values = take(x, places[0], axis)
    if True not in wanted:
        return values
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
