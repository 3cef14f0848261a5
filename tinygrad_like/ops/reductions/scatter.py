"""Writing at places: scatter with every way to combine, and what is made of it.

As nothing is changed in place, the result is a copy.
"""

import math

import numpy as np

from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import (
    Tensor,
    all_examples,
    astype,
    backend_of,
    broadcast_to,
    check_choice,
    check_flag,
    composed,
    op,
)
from tinygrad_like.engine.casts import check_cast, check_numbers
from tinygrad_like.ops.arrays.shape import along_axes, concatenate, copy, normal_axis, reshape
from tinygrad_like.ops.elements.compare import (
    equal,
    greater_equal,
    isnan,
    less,
    logical_and,
    logical_not,
    logical_or,
    not_equal,
)
from tinygrad_like.ops.elements.elementwise import where
from tinygrad_like.ops.indexing.index import _add_at, _put, argsort, getitem, scatter_rows, take
from tinygrad_like.ops.indexing.lines import (
    add_lines,
    as_lines,
    assign_lines,
    extent,
    kept,
    places_from_0,
    raw_integers,
    read_lines,
    written,
)
from tinygrad_like.ops.indexing.places import raw_index
from tinygrad_like.ops.reductions.reduce import cumsum
from tinygrad_like.ops.reductions.scan import associative_scan

REDUCTIONS = "sum", "mean", "prod", "amax", "amin"


def _gradients_of_extreme_rule(gs, be, x, updates, index, out, axis):
    """The gradients add up at each place, and are shared: all that are extreme count."""
    ours = logical_or(equal(x, out), isnan(x))
    theirs = logical_or(equal(updates, read_lines(out, index, axis=axis)), isnan(updates))
    counts = (astype(mask, dtype=gs[0].dtype) for mask in (ours, theirs))
    sums = (where(mask, h, 0) for mask, h in zip((ours, theirs), gs, strict=True))
    total, count = (add_lines(*pair, index, axis=axis) for pair in (sums, counts))
    none, of_updates = (be.xp.zeros(a.shape, a.dtype) for a in (x, updates))
    return [total / count, none, of_updates, None, none]


@op(several=True, batch=along_axes, backward=_gradients_of_extreme_rule)
def _gradients_of_extreme(be, g, x, updates, index, out, *, axis):
    """In equal shares to all that equal the extreme, to the NaN if it is NaN."""
    lines = (as_lines(a, axis) for a in (g, x, updates, index, out))
    dx, dupdates = be.k.scatter_extreme_backward(*lines)
    return dx.reshape(x.shape), dupdates.reshape(index.shape)


def _extreme_rule(g, x, updates, index, out, axis):
    return [*_gradients_of_extreme(g, x, updates, index, out, axis=axis), None]


@op(batch=along_axes, backward=_extreme_rule)
def _extreme(be, x, updates, index, *, axis, largest):
    """x with the maximum (or minimum) of itself and the updates for each place; NaN if one is."""
    return written(be, x, updates, index, axis, "amax" if largest else "amin")


def _product_rule(g, be, x, updates, index, axis):
    lines = (as_lines(a, axis) for a in (g, x, updates, index))
    dx, dupdates = be.k.scatter_product_backward(*lines)
    return [dx.reshape(x.shape), dupdates.reshape(index.shape), None]


def _product_rule_of_all(call, g, be, x, updates, index, axis):
    g, be, x, updates, index = map(call.raw, (g, be, x, updates, index))
    return call.gradients(_product_rule(g, be, x, updates, index, axis + 1))


def _product_by_ops(x, updates, index, *, axis):
    """The updates are put in the order of their places, and multiplied there.

    A scan multiplies those of a place, and begins anew at the next: so no division is needed, and
    zeros have their gradient.
    """
    numbers = _numbers_of(index, x.shape, axis)
    order = argsort(numbers)
    numbers, updates = take(numbers, order), take(reshape(updates, (-1,)), order)
    n = numbers.shape[0]
    changes, edge = not_equal(numbers[1:], numbers[: n - 1]), equal(numbers[:1], numbers[:1])

    def joined(first, second):
        (begins, a), (anew, b) = first, second
        return logical_or(begins, anew), where(anew, b, a * b)

    _, runs = associative_scan(joined, (concatenate([edge, changes]), updates), 0)
    ends = concatenate([changes, edge])
    products, named = (
        scatter_rows(where(ends, run, 0), numbers, count=x.size) for run in (runs, runs * 0 + 1)
    )
    return x * reshape(products + (1 - named), x.shape)


@op(
    batch=along_axes,
    backward=_product_rule,
    batch_backward=_product_rule_of_all,
    composite=_product_by_ops,
)
def _product(be, x, updates, index, *, axis):
    """x times the product of the updates for each place."""
    return written(be, x, updates, index, axis, "prod")


def _neutral(dtype, reduce):
    """What changes no number of a dtype that it is combined with."""
    if reduce in ("amax", "amin"):
        if dtype.kind in "iu":
            return getattr(np.iinfo(dtype), "min" if reduce == "amax" else "max")
        return -math.inf if reduce == "amax" else math.inf
    return 1 if reduce == "prod" else 0


def _combined(x, updates, index, axis, reduce, include_self):
    """x and the updates, combined at the places."""
    xp = backend_of(x).xp

    def of_named(start, value):
        """`start` with a value at all places that are named, unless x counts there."""
        if include_self:
            return start
        return assign_lines(start, xp.full(index.shape, value, start.dtype), index, axis=axis)

    if reduce is None:
        return assign_lines(x, updates, index, axis=axis)
    start = of_named(x, _neutral(x.dtype, reduce))
    if reduce in ("amax", "amin"):
        return _extreme(start, updates, index, axis=axis, largest=reduce == "amax")
    if reduce == "prod":
        return _product(start, updates, index, axis=axis)
    total = add_lines(start, updates, index, axis=axis)
    if reduce == "sum":
        return total
    kind = total.dtype if total.dtype.kind in INEXACT else np.dtype(np.float32)
    ones = xp.ones(index.shape, kind)
    return total / add_lines(of_named(xp.ones(x.shape, kind), 0), ones, index, axis=axis)


def _places(name, x, indices, updates, axis):
    """`indices` as places from 0 on, checked."""
    be = backend_of(x)
    raw = indices if isinstance(indices, Tensor) else raw_integers(name, "indices", indices, be)
    if raw.dtype.kind not in "iu":
        raise IndexError(f"[{name}] indices have dtype {raw.dtype}, expected integers")
    beyond = raw.ndim != x.ndim or any(
        m > n for i, (m, n) in enumerate(zip(raw.shape, x.shape, strict=True)) if i != axis
    )
    if beyond:
        raise ValueError(
            f"[{name}] indices are {raw.shape}, expected at most the shape of x but for axis "
            f"{axis} (x: {x.shape})"
        )
    n, values = x.shape[axis], all_examples(raw.data if isinstance(raw, Tensor) else raw)
    least, most = extent(values)
    if least < -n or most >= n:
        raise IndexError(
            f"[{name}] indices are from {least} to {most}, expected {-n} to {n - 1} "
            f"(x: {x.shape}, axis: {axis})"
        )
    return kept(places_from_0(raw, least, n), indices, x, updates)


def _numbers_of(index, shape, axis):
    """The places along an axis of a tensor of this shape, as numbers of its elements."""
    steps = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    numbers = astype(index, dtype=np.int64) * steps[axis]
    arange = backend_of(index).xp.arange
    for i, m in enumerate(index.shape):
        if i != axis:
            numbers = numbers + arange(m).reshape(-1, *(1,) * (len(shape) - i - 1)) * steps[i]
    return reshape(numbers, (-1,))


def _in_dtype_of(name, x, updates):
    """`updates` in the dtype of x, if it can hold them."""
    raw = all_examples(updates.data if isinstance(updates, Tensor) else updates)
    check_cast(name, raw, x.dtype)
    if raw.dtype.kind in INEXACT and x.dtype.kind not in INEXACT:
        raise TypeError(f"[{name}] updates are of {raw.dtype}, which {x.dtype} of x cannot hold")
    return updates if raw.dtype == x.dtype else astype(updates, dtype=x.dtype)


@composed
def scatter(x, indices, updates, axis=0, reduce=None, include_self=True):
    """A copy of `x` with `updates` written at `indices` along an axis.

    Args:
        indices: integers, with as many axes as `x` and no more elements along the other ones: the
            element at i, j of `updates` goes to indices[i, j], j for axis 0.
        updates: of the shape of `indices`, or a number.
        reduce: None, to assign; of several for one place the last one counts, and has the gradient.
            "sum", "mean", "prod", "amax" or "amin": what to make of several.
        include_self: whether the element of `x` counts among them.

    PyTorch's `scatter` and `scatter_reduce`, and NumPy's `put_along_axis` of a copy. The maximum
    and the minimum share the gradient among equals. A mean of integers is float32.

    Raises ValueError for shapes that do not fit, IndexError for indices out of range.

    >>> import tinygrad_like as tg
    >>> tg.scatter(tg.zeros(3), [0, 2, 2], tg.Tensor([1.0, 2.0, 3.0]), reduce="sum").numpy()
    array([1., 0., 5.], dtype=float32)
    """
    axis = normal_axis("scatter", axis, x.ndim)
    include_self = check_flag("scatter", "include_self", include_self)
    if reduce is not None:
        check_choice("scatter", "reduce", reduce, REDUCTIONS)
    shape = indices.shape if hasattr(indices, "shape") else np.shape(indices)
    if not hasattr(updates, "shape"):
        updates = np.asarray(updates)
        check_numbers("scatter", updates, x.dtype)
        updates = backend_of(x).from_host(updates)
    if updates.ndim == 0:
        updates = broadcast_to(updates, shape=shape)
    if updates.shape != shape:
        raise ValueError(f"[scatter] updates are {updates.shape}, expected {shape}, as indices are")
    updates = _in_dtype_of("scatter", x, updates)
    index = _places("scatter", x, indices, updates, axis)
    if shape[:axis] + shape[axis + 1 :] == x.shape[:axis] + x.shape[axis + 1 :]:
        return _combined(x, updates, index, axis, reduce, include_self)
    # Only a part of x is written to. Its elements are put in a row.
    row, numbers = reshape(x, (-1,)), _numbers_of(index, x.shape, axis)
    y = _combined(row, reshape(updates, (-1,)), numbers, 0, reduce, include_self)
    return reshape(y, x.shape)


def _slices(name, x, indices, updates, axis):
    """(the axis, the indices of slices that `updates` go to), checked."""
    axis = normal_axis(name, axis, x.ndim)
    raw = raw_integers(name, "indices", indices, backend_of(x))
    if raw.ndim != 1:
        raise ValueError(f"[{name}] indices are {raw.shape}, expected one axis")
    expected = x.shape[:axis] + tuple(raw.shape) + x.shape[axis + 1 :]
    if updates.shape != expected:
        raise ValueError(f"[{name}] updates are {updates.shape}, expected {expected}")
    return axis, indices if isinstance(indices, Tensor) else raw


@composed
def index_add(x, indices, updates, axis=0):
    """A copy of `x` with the slices of `updates` added at 1-d `indices` along an axis.

    >>> import tinygrad_like as tg
    >>> tg.index_add(tg.zeros(3), [0, 2, 2], tg.ones(3)).tolist()
    [1.0, 0.0, 2.0]
    """
    axis, places = _slices("index_add", x, indices, updates, axis)
    index = raw_index("index_add", x, (*(slice(None),) * axis, places))
    return _add_at(x, _in_dtype_of("index_add", x, updates), index=index)


@composed
def index_reduce(x, indices, updates, axis=0, reduce="prod", include_self=True):
    """A copy of `x` with the slices of `updates` combined at 1-d `indices` along an axis.

    `reduce` and `include_self` are those of `scatter`.

    >>> import tinygrad_like as tg
    >>> tg.index_reduce(tg.ones(3), [0, 2, 2], tg.Tensor([5.0, 2.0, 3.0]), reduce="amax").tolist()
    [5.0, 1.0, 3.0]
    """
    check_choice("index_reduce", "reduce", reduce, REDUCTIONS)
    axis, places = _slices("index_reduce", x, indices, updates, axis)
    places = reshape(places, (-1, *(1,) * (x.ndim - axis - 1)))
    places = broadcast_to(places, shape=updates.shape)
    return scatter(x, places, updates, axis, reduce, include_self)


@composed
def index_copy(x, indices, updates, axis=0):
    """A copy of `x` with the slices of `updates` at 1-d `indices` along an axis.

    Of several slices for one place the last one counts.
    """
    axis, places = _slices("index_copy", x, indices, updates, axis)
    updates, xp = _in_dtype_of("index_copy", x, updates), backend_of(x).xp
    if not updates.size:
        return copy(x)
    latest = xp.full(x.shape[axis], -1, np.int64)
    latest = scatter(latest, places, xp.arange(updates.shape[axis]))
    named = reshape(greater_equal(latest, 0), (-1, *(1,) * (x.ndim - axis - 1)))
    return where(named, take(updates, where(less(latest, 0), 0, latest), axis), x)


@composed
def index_fill(x, indices, value, axis=0):
    """A copy of `x` with a number (or 0-d Tensor) in the slices at 1-d `indices` along an axis.

    >>> import tinygrad_like as tg
    >>> tg.index_fill(tg.ones(3), [0, 2], 7.0).tolist()
    [7.0, 1.0, 7.0]
    """
    axis = normal_axis("index_fill", axis, x.ndim)
    xp = backend_of(x).xp
    line = xp.zeros(x.shape[axis], bool)
    one = xp.ones(indices.shape if hasattr(indices, "shape") else np.shape(indices), bool)
    named = scatter(line, indices, one)
    lengths = tuple(-1 if i == axis else 1 for i in range(x.ndim))
    return where(reshape(named, lengths), value, x)


@composed
def masked_scatter(x, mask, updates):
    """A copy of `x` with the elements of `updates`, in order, where the mask is true.

    `x` and the mask broadcast. Raises ValueError for a mask that is not of booleans or does not
    fit, and for fewer updates than places.

    >>> import tinygrad_like as tg
    >>> mask = tg.Tensor([True, False, True])
    >>> tg.masked_scatter(tg.zeros(3), mask, tg.Tensor([5.0, 6.0])).tolist()
    [5.0, 0.0, 6.0]
    """
    if mask.dtype.kind != "b":
        raise ValueError(f"[masked_scatter] mask is of {mask.dtype}, expected booleans")
    if mask.shape != x.shape:
        shape = np.broadcast_shapes(x.shape, mask.shape)
        x, mask = broadcast_to(x, shape=shape), broadcast_to(mask, shape=shape)
    order = reshape(cumsum(mask), x.shape) - 1
    last = all_examples(order.data if isinstance(order, Tensor) else order)
    most = int(last.max()) + 1 if last.size else 0
    if most > updates.size:
        raise ValueError(f"[masked_scatter] {most} places are true, updates are {updates.shape}")
    if not updates.size:
        return x
    return where(mask, take(updates, where(mask, order, 0)), x)


@composed
def gather_nd(x, indices):
    """The elements, or slices, of `x` at places: the last axis of `indices` has one for each axis.

    For k of the axes of `x`: (..., k) gives (..., *the shape of a slice).

    >>> import tinygrad_like as tg
    >>> tg.gather_nd(tg.Tensor([[1, 2], [3, 4]]), tg.Tensor([[0, 1], [1, 1]])).tolist()
    [2, 4]
    """
    if not indices.ndim or not 0 < indices.shape[-1] <= x.ndim:
        raise ValueError(
            f"[gather_nd] indices are {indices.shape}, expected (..., k) with k from 1 to {x.ndim}"
        )
    return getitem(x, tuple(indices[..., i] for i in range(indices.shape[-1])))


@composed
def select(condlist, choicelist, default=0):
    """The element of the first choice whose condition is true, else the default, as np.select.

    >>> import tinygrad_like as tg
    >>> tg.select([tg.Tensor([True, False])], [tg.Tensor([1, 2])], default=9).tolist()
    [1, 9]
    """
    if len(condlist) != len(choicelist) or not condlist:
        raise ValueError(
            f"[select] {len(condlist)} conditions, {len(choicelist)} choices, expected as many"
        )
    y = default
    for condition, choice in zip(reversed(condlist), reversed(choicelist), strict=True):
        y = where(condition, choice, y)
    return y


@composed
def piecewise(x, condlist, funclist):
    """Each function of the elements for which its condition, a mask, is true; else 0.

    Where several are true, the last one counts. A further function is for where none is. They may
    also be numbers. Each sees its own elements only, so that none meets what it cannot take.
    """
    conditions, functions = [*condlist], [*funclist]
    if len(functions) == len(conditions) + 1:
        none = conditions[0]
        for condition in conditions[1:]:
            none = logical_or(none, condition)
        conditions.append(logical_not(none))
    if len(functions) != len(conditions) or not functions:
        raise ValueError(
            f"[piecewise] {len(functions)} functions for {len(conditions)} conditions, expected as "
            "many, or one more"
        )
    y, taken = x * 0, None
    for condition, function in zip(reversed(conditions), reversed(functions), strict=True):
        mine = condition if taken is None else logical_and(condition, logical_not(taken))
        taken = condition if taken is None else logical_or(taken, condition)
        index = raw_index("piecewise", x, mine)
        if callable(function):
            y = y + _put(function(getitem(x, mine)), shape=x.shape, index=index)
        else:
            y = where(mine, function, y)
    return y
