"""Reading and writing at places: indices, rows of tables, lines along an axis."""

import numpy as np

from tinygrad_like.onnx.export.emit import BOOL, Emitter, Value
from tinygrad_like.onnx.export.errors import ExportError
from tinygrad_like.onnx.export.moves import FIRST, LAST
from tinygrad_like.onnx.export.sizes import Size
from tinygrad_like.onnx.export.table import computing, lowers

WHOLE = slice(None)


@lowers("getitem")
def getitem(g, x, *, index):
    """Slices first, then arrays of places, else integers; new axes last."""
    index = index if isinstance(index, tuple) else (index,)
    parts = _without_masks(g, _for_each_axis(index, x.ndim))
    axes = [p for p in parts if p is not None]
    x = _sliced(g, x, axes)
    arrays = [i for i, p in enumerate(axes) if isinstance(p, Value)]
    if arrays:
        return _with_new(g, *_by_arrays(g, x, parts, axes))
    for i in range(len(axes))[::-1]:
        if isinstance(axes[i], (int, Size)):
            x = g.Gather(x, g.number(axes[i], np.int64), axis=i)
    left = [p for p in parts if p is None or isinstance(p, slice)]
    return _with_new(g, x, [i for i, p in enumerate(left) if p is None])


def _for_each_axis(index, ndim):
    """An index with a part for each axis; None for each new one."""
    named = sum(p.ndim if _is_mask(p) else 1 for p in index if p is not None and p is not Ellipsis)
    if not any(p is Ellipsis for p in index):
        index = (*index, Ellipsis)
    parts: list = []
    for p in index:
        parts += [WHOLE] * (ndim - named) if p is Ellipsis else [p]
    return parts


def _is_mask(p):
    return isinstance(p, Value) and p.dtype == BOOL


def _without_masks(g, parts):
    """The parts, with the places where a constant mask is true in its place."""
    found: list = []
    for p in parts:
        if not _is_mask(p):
            found.append(p)
            continue
        mask = p.value.const_value
        if mask is None or not p.ndim:
            raise ExportError(
                "[onnx.export] getitem by booleans cannot be exported: how many elements they "
                "choose depends on values; use tg.where"
            )
        found += [g.constant(at) for at in np.nonzero(mask.numpy())]
    return found


def _sliced(g, x, axes):
    """x after the slices of an index."""
    cuts = [(i, p) for i, p in enumerate(axes) if isinstance(p, slice) and p != WHOLE]
    if not cuts:
        return x
    starts, ends, steps = [], [], []
    for _, p in cuts:
        step = 1 if p.step is None else p.step
        starts.append((0 if step > 0 else LAST) if p.start is None else p.start)
        ends.append((LAST if step > 0 else FIRST) if p.stop is None else p.stop)
        steps.append(step)
    bounds = (g.integers(each, [x]) for each in (starts, ends))
    y = g.Slice(x, *bounds, g.integers([i for i, _ in cuts]), g.integers(steps))
    return y._replace(shape=x.shape)


def _by_arrays(g, x, parts, axes):
    """(x read at arrays of places, the axes that are new in it).

    As in NumPy, integers are arrays beside arrays, and the axes that all of them make stand in the
    place of the first one if they are neighbours, else in front.
    """
    at = [i for i, p in enumerate(axes) if not isinstance(p, slice)]
    places = [_places(g, axes[i]) for i in at]
    ndim = max(p.ndim for p in places)
    of_parts = [i for i, p in enumerate(parts) if p is not None and not isinstance(p, slice)]
    together = of_parts == list(range(of_parts[0], of_parts[-1] + 1))
    new = [i for i, p in enumerate(parts) if p is None]
    first = of_parts[0] if together else 0
    shift = ndim - len(of_parts) if together else 0
    if together:
        new = [i if i < first else i + shift for i in new]
    else:  # in front of what is left of all others
        left = [i for i, p in enumerate(parts) if p is None or isinstance(p, slice)]
        new = [ndim + left.index(i) for i in new]
    if len(at) == 1:
        return g.Gather(x, places[0], axis=at[0]), new
    rest = [i for i in range(len(axes)) if i not in at]
    moved = g.Transpose(x, perm=[*at, *rest])
    y = g.GatherND(moved, stacked(g, places))
    before = sum(isinstance(p, slice) for p in axes[: at[0]]) if together else 0
    if before:
        order = [*range(ndim, ndim + before), *range(ndim), *range(ndim + before, ndim + len(rest))]
        y = g.Transpose(y, perm=order)
    return y, new


def _places(g, p):
    return g.cast(p, np.int64) if isinstance(p, Value) else g.number(p, np.int64)._replace(shape=())


def stacked(g: Emitter, places: list[Value]) -> Value:
    """Places along several axes, broadcast, as the last axis of one value."""
    if len(places) > 1:
        total = places[0]
        for p in places[1:]:
            total = g.Add(total, p)
        shape = g.Shape(total)
        places = [g.Expand(p, shape) for p in places]
    return g.Concat(*(g.unsqueeze(p, -1) for p in places), axis=-1)


def _with_new(g, x, new):
    return g.unsqueeze(x, *new) if new else g.Identity(x)


# Adding at an index: all arrays of it stand side by side, and the axes beside them are whole


@lowers("add_at")
def add_at(g, x, updates, *, index):
    dtype = computing(x.dtype)
    x, updates = g.cast(x, dtype)._replace(shape=x.shape), g.cast(updates, dtype)
    return _added(g, x, updates, index, "add_at")


@lowers("put")
def put(g, updates, *, shape, index):
    dtype = computing(updates.dtype)
    zeros = g.Expand(g.constant(0, dtype), g.integers(shape))._replace(shape=tuple(shape))
    return _added(g, zeros, g.cast(updates, dtype), index, "put")


def _added(g, x, updates, index, name):
    """x with updates added where all arrays of an index stand; equal places add up."""
    index = index if isinstance(index, tuple) else (index,)
    parts = _without_masks(g, _for_each_axis(index, x.ndim))
    at = [i for i, p in enumerate(parts) if not isinstance(p, slice)]
    whole = all(p == WHOLE for p in parts if isinstance(p, slice))
    if not at or None in parts or not whole or at != list(range(at[0], at[-1] + 1)):
        raise ExportError(
            f"[onnx.export] {name} cannot be exported for this index: only for arrays of places "
            "side by side, with whole axes before and behind them"
        )
    places = [_places(g, parts[i]) for i in at]
    ndim, lead, rest = max(p.ndim for p in places), at[0], x.ndim - at[-1] - 1
    k = len(at)
    to_front = [*range(lead, lead + k), *range(lead), *range(lead + k, x.ndim)]
    moved = [*range(lead, lead + ndim), *range(lead), *range(lead + ndim, lead + ndim + rest)]
    y = g.ScatterND(
        g.Transpose(x, perm=to_front),
        stacked(g, places),
        g.Transpose(updates, perm=moved),
        reduction="add",
    )
    return g.Transpose(y, perm=[*range(k, k + lead), *range(k), *range(k + lead, x.ndim)])


# Rows of tables


@lowers("embedding")
def embedding(g, weight, ids, *, sparse):
    return g.Gather(weight, g.cast(ids, np.int64), axis=0)


def _summed_rows(g, rows, ids, shape):
    """Zeros of a shape, to whose rows others are added."""
    zeros = g.Expand(g.constant(0, rows.dtype), g.integers(shape))
    return g.ScatterND(zeros, g.unsqueeze(g.cast(ids, np.int64), -1), rows, reduction="add")


@lowers("scatter_rows")
def scatter_rows(g, rows, ids, *, count):
    return _summed_rows(g, rows, ids, g.outputs[0].shape)


@lowers("moved_rows")
def moved_rows(g, x, source, target, *, count):
    rows = g.Gather(x, g.cast(source, np.int64), axis=0)
    return _summed_rows(g, rows, target, g.outputs[0].shape)


@lowers("maxima")
def maxima_of_bags(g, weight, ids, counted, *, lengths):
    """A row belongs to the bag before which as many bags end as end before the row."""
    bags, width = g.outputs[0].shape
    ends = g.CumSum(g.cast(lengths, np.int64), g.number(0, np.int64))
    after = g.LessOrEqual(g.unsqueeze(ends, 0), g.unsqueeze(g.range(ids.shape[0]), 1))
    at = g.reduce("ReduceSum", g.cast(after, np.int64), [1], keepdims=False)
    rows = g.Gather(weight, g.cast(ids, np.int64), axis=0)
    rows = g.Where(g.unsqueeze(counted, 1), rows, g.constant(-np.inf, weight.dtype))
    none = g.Expand(g.constant(0, np.int64), g.integers((bags,)))
    counts = g.ScatterND(none, g.unsqueeze(at, -1), g.cast(counted, np.int64), reduction="add")
    least = g.constant(-np.inf, weight.dtype)
    if g.opset >= 18:
        start = g.Expand(least, g.integers((bags, width)))
        y = g.ScatterND(start, g.unsqueeze(at, -1), rows, reduction="max")
    else:  # where a scatter knows no maximum: each bag looks at all rows
        inside = g.Equal(g.unsqueeze(g.range(bags), 1), g.unsqueeze(at, 0))
        all_rows = g.Where(g.unsqueeze(inside, 2), g.unsqueeze(rows, 0), least)
        y = g.reduce("ReduceMax", all_rows, [1], keepdims=False)
    filled = g.unsqueeze(g.Greater(counts, g.constant(0, np.int64)), 1)
    return g.Where(filled, y, g.constant(0, weight.dtype))


@lowers("expert_matmul")
def expert_matmul(g, x, weight, experts):
    """The matrix of each row is gathered, which needs memory for all of them."""
    matrices = g.Gather(weight, g.cast(experts, np.int64), axis=0)
    y = g.MatMul(g.unsqueeze(x, 1), matrices)
    return g.Squeeze(y, g.constant([1]))


# Lines along an axis


@lowers("read_lines")
def read_lines(g, x, index, *, axis):
    return g.GatherElements(x, g.cast(index, np.int64), axis=axis)


def _written_lines(g, x, updates, index, axis, reduction):
    """Updates at places along an axis, joined by ONNX's `reduction`."""
    dtype = computing(g.outputs[0].dtype)
    x, updates = (v if v.dtype == dtype else g.cast(v, dtype) for v in (x, updates))
    index = g.cast(index, np.int64)
    return g.ScatterElements(x, index, updates, axis=axis, reduction=reduction)


@lowers("add_lines")
def add_lines(g, x, updates, index, *, axis):
    return _written_lines(g, x, updates, index, axis, "add")


@lowers("spread_lines")
def spread_lines(g, x, index, *, axis, n):
    zeros = g.Expand(g.constant(0, computing(x.dtype)), g.integers(g.outputs[0].shape))
    return _written_lines(g, zeros, x, index, axis, "add")


@lowers("product")
def product_of_lines(g, x, updates, index, *, axis):
    return _written_lines(g, x, updates, index, axis, "mul")


@lowers("extreme")
def extreme(g, x, updates, index, *, axis, largest):
    _needs_18(g, "scatter of the largest or smallest")
    return _written_lines(g, x, updates, index, axis, "max" if largest else "min")


def _needs_18(g, what):
    if g.opset < 18:
        raise ExportError(f"[onnx.export] {what} needs opset 18, got {g.opset}")


@lowers("assign_lines")
def assign_lines(g, x, updates, index, *, axis):
    """Of several updates for one place the last counts, which ONNX leaves open.

    So the largest number of an update is found for each place first, and -1 where there is none.
    """
    index = g.cast(index, np.int64)._replace(shape=index.shape)
    known = index.value.const_value
    if known is not None and _differ(known.numpy(), axis):
        return g.ScatterElements(x, index, updates, axis=axis)
    _needs_18(g, "scatter at places that may be named twice")
    lengths = [-1 if i == axis else 1 for i in range(index.ndim)]
    steps = g.Reshape(g.range(index.shape[axis]), g.integers(lengths))
    numbers = g.Expand(steps, g.integers(index.shape))
    none = g.Expand(g.constant(-1), g.integers(x.shape))
    last = g.ScatterElements(none, index, numbers, axis=axis, reduction="max")
    dtype = computing(x.dtype)
    chosen = g.GatherElements(g.cast(updates, dtype), g.Max(last, 0), axis=axis)
    return g.Where(g.Less(last, 0), g.cast(x, dtype), chosen)


def _differ(index, axis):
    """Whether no place along an axis is named twice."""
    ordered = np.sort(index, axis=axis)
    return bool((np.diff(ordered, axis=axis) != 0).all()) and bool((index >= 0).all())
