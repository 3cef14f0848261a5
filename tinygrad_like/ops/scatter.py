"""Writing at places: scatter with every way to combine, and what is made of it.

Every tensor here is read as one row: a place is a number in it. As nothing is changed in place, the
result is a copy.
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
from tinygrad_like.ops.compare import (
    equal,
    greater,
    isnan,
    less,
    logical_and,
    logical_not,
    logical_or,
    not_equal,
)
from tinygrad_like.ops.elementwise import where
from tinygrad_like.ops.index import (
    _embedding,
    _put,
    _rows_of_each,
    argsort,
    getitem,
    raw_integers,
    scatter_rows,
    take,
)
from tinygrad_like.ops.places import raw_index
from tinygrad_like.ops.reduce import cumsum
from tinygrad_like.ops.scan import associative_scan
from tinygrad_like.ops.shape import concatenate, normal_axis, reshape

REDUCTIONS = "sum", "mean", "prod", "amax", "amin"


def _is_last_of_all(call, arrays, attributes):
    (numbers,), size = arrays, attributes["size"]
    places = _rows_of_each(call, numbers, size).reshape(-1)
    return call.unfolded(call(places, size=size * call.size))


@op(any_dtype=True, batch=_is_last_of_all)
def _is_last(be, numbers, *, size):
    """Whether each mention of a place is the last one of it."""
    count = be.xp.arange(numbers.size)
    latest = be.xp.zeros(size, count.dtype)
    be.k.scatter_write_(latest, numbers, count, None)
    return latest[numbers] == count


def _written_of_all(call, arrays, attributes):
    """Writing to the rows of all examples, one behind the other."""
    x, updates, numbers = arrays
    places = _rows_of_each(call, numbers, x.size).reshape(-1)
    return call.unfolded(call(call.folded(x), call.folded(updates), places, **attributes))


def _assign_rule(g, be, numbers, needs):
    last = _is_last(numbers, size=g.shape[0])
    zeros = be.xp.zeros(numbers.shape, g.dtype)
    return [
        _assign(g, zeros, numbers) if needs[0] else None,
        where(last, _embedding(g, numbers), 0) if needs[1] else None,
        None,
    ]


@op(complex=True, batch=_written_of_all, backward=_assign_rule)
def _assign(be, x, updates, numbers):
    """x with updates[i] at the place numbers[i]; of several for one place the last."""
    y = x.copy()
    be.k.scatter_write_(y, numbers, updates, None)
    return y


def _extreme_rule(g, x, updates, numbers, out):
    """In equal shares to all that equal the extreme, to the NaN if it is NaN."""
    ours = logical_or(equal(x, out), isnan(x))
    theirs = logical_or(equal(updates, _embedding(out, numbers)), isnan(updates))
    count = astype(ours, dtype=g.dtype)
    count = count + scatter_rows(astype(theirs, dtype=g.dtype), numbers, count=g.shape[0])
    share = g / count
    return [where(ours, share, 0), where(theirs, _embedding(share, numbers), 0), None]


@op(batch=_written_of_all, backward=_extreme_rule)
def _extreme(be, x, updates, numbers, *, largest):
    """x with the maximum (or minimum) of itself and the updates for each place; NaN if one is."""
    y = x.copy()
    be.k.scatter_write_(y, numbers, updates, "amax" if largest else "amin")
    return y


def _products(updates, numbers, size):
    """The product of the updates for each place, and 0 where there are none.

    The updates are put in the order of their places. A scan multiplies those of a place, and begins
    anew at the next: so no division is needed, and zeros have their gradient.
    """
    order = argsort(numbers)
    numbers, updates = take(numbers, order), take(updates, order)
    n = numbers.shape[0]
    changes, edge = not_equal(numbers[1:], numbers[: n - 1]), equal(numbers[:1], numbers[:1])

    def joined(first, second):
        (begins, a), (anew, b) = first, second
        return logical_or(begins, anew), where(anew, b, a * b)

    _, runs = associative_scan(joined, (concatenate([edge, changes]), updates), 0)
    return scatter_rows(where(concatenate([changes, edge]), runs, 0), numbers, count=size)


def _least(dtype, largest):
    """What every number of a dtype beats as the maximum (or minimum)."""
    if dtype.kind in "iu":
        return np.iinfo(dtype).min if largest else np.iinfo(dtype).max
    return -math.inf if largest else math.inf


def _combined(x, updates, numbers, reduce, include_self):
    """Rows x and updates, combined at the places that numbers name."""
    size, xp = x.shape[0], backend_of(x).xp
    if reduce is None:
        return _assign(x, updates, numbers)
    if include_self and reduce in ("sum", "amax", "amin"):
        counts = named = xp.zeros(size, bool)  # nobody asks
    else:
        counts = scatter_rows(xp.ones(numbers.shape, np.float32), numbers, count=size)
        named = greater(counts, 0)
    if reduce in ("amax", "amin"):
        largest = reduce == "amax"
        start = x if include_self else where(named, _least(x.dtype, largest), x)
        return _extreme(start, updates, numbers, largest=largest)
    if reduce == "prod":
        products = _products(updates, numbers, size)
        return where(named, products * x if include_self else products, x)
    start = x if include_self else where(named, 0, x)
    total = start + scatter_rows(updates, numbers, count=size)
    if reduce == "sum":
        return total
    divisor = counts + 1 if include_self else where(named, counts, 1)
    return total / astype(divisor, dtype=total.dtype if total.dtype.kind in INEXACT else np.float32)


def _numbers(name, x, indices, axis):
    """The places (n,) that `indices` name along an axis, in step with x along the others."""
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
    if values.size and not -n <= int(values.min()) <= int(values.max()) < n:
        raise IndexError(
            f"[{name}] indices are from {int(values.min())} to {int(values.max())}, expected "
            f"{-n} to {n - 1} (x: {x.shape}, axis: {axis})"
        )
    steps = [math.prod(x.shape[i + 1 :]) for i in range(x.ndim)]
    total = astype(raw, dtype=np.int64)
    if values.size and int(values.min()) < 0:
        total = where(less(total, 0), total + n, total)
    total = total * steps[axis] if steps[axis] != 1 else total
    start = 0  # of the line along the axis that an element lies in
    for i, m in enumerate(raw.shape):
        if i != axis:
            start = start + be.xp.arange(m).reshape(-1, *(1,) * (x.ndim - i - 1)) * steps[i]
    return reshape(total + start, (-1,))


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
    raw = all_examples(updates.data if isinstance(updates, Tensor) else updates)
    check_cast("scatter", raw, x.dtype)
    if raw.dtype.kind in INEXACT and x.dtype.kind not in INEXACT:
        raise TypeError(f"[scatter] updates are of {raw.dtype}, which {x.dtype} of x cannot hold")
    numbers = _numbers("scatter", x, indices, axis)
    rows = reshape(x, (-1,)), astype(reshape(updates, (-1,)), dtype=x.dtype)
    return reshape(_combined(*rows, numbers, reduce, include_self), x.shape)


def _along(name, x, indices, axis, shape):
    """1-d indices of slices along an axis, as indices of elements of this shape."""
    raw = raw_integers(name, "indices", indices, backend_of(x))
    raw = indices if isinstance(indices, Tensor) else raw
    if raw.ndim != 1:
        raise ValueError(f"[{name}] indices are {raw.shape}, expected one axis")
    lengths = tuple(-1 if i == axis else 1 for i in range(x.ndim))
    return broadcast_to(reshape(raw, lengths), shape=shape)


def _slices(name, x, indices, updates, axis):
    """(the axis, the indices of the elements that slices of `updates` go to), checked."""
    axis = normal_axis(name, axis, x.ndim)
    count = indices.shape if hasattr(indices, "shape") else np.shape(indices)
    expected = x.shape[:axis] + tuple(count) + x.shape[axis + 1 :]
    if updates.shape != expected:
        raise ValueError(f"[{name}] updates are {updates.shape}, expected {expected}")
    return axis, _along(name, x, indices, axis, expected)


@composed
def index_add(x, indices, updates, axis=0):
    """A copy of `x` with the slices of `updates` added at 1-d `indices` along an axis.

    >>> import tinygrad_like as tg
    >>> tg.index_add(tg.zeros(3), [0, 2, 2], tg.ones(3)).tolist()
    [1.0, 0.0, 2.0]
    """
    axis, places = _slices("index_add", x, indices, updates, axis)
    return scatter(x, places, updates, axis, "sum")


@composed
def index_copy(x, indices, updates, axis=0):
    """A copy of `x` with the slices of `updates` at 1-d `indices` along an axis."""
    axis, places = _slices("index_copy", x, indices, updates, axis)
    return scatter(x, places, updates, axis)


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
