"""Reading by index, and its adjoint, adding by index. Also sorting, which is reading by rank.

Sorting is stable: equal elements keep their order, and each gets the gradient of its new place.
"""

import numpy as np

from tinygrad_like.backend import STAND_INS, narrow, wide
from tinygrad_like.engine import (
    GraphError,
    Tensor,
    all_examples,
    backend_of,
    by_element,
    by_matrix,
    check_choice,
    check_flag,
    check_integer,
    composed,
    errors,
    mode,
    op,
    sparse_rows,
)
from tinygrad_like.engine.casts import check_cast
from tinygrad_like.engine.errors import describe
from tinygrad_like.ops.arrays.shape import along_axes, normal_axis, reshape, slice_at, stack, unbind
from tinygrad_like.ops.elements.elementwise import clip
from tinygrad_like.ops.indexing.lines import (
    add_lines,
    assign_lines,
    lines_and_places,
    raw_integers,
    read_lines,
)
from tinygrad_like.ops.indexing.places import (
    AllPlaces,
    add_at,
    is_one_array,
    is_whole,
    may_repeat,
    raw_index,
)


def _read_all(call, arrays, attributes):
    (x,) = arrays
    places = AllPlaces(call, x.shape, attributes["index"])
    return places.first(call(x.full(), index=places.index))


@op(
    complex=True,
    view=True,
    batch=_read_all,
    x=lambda g, x_shape, index: _put(g, shape=x_shape, index=index),
)
def _getitem(be, x, *, index):
    if type(index) is tuple and index and type(index[-1]) is be.array_type and _is_line(x, index):
        return be.xp.take(x, index[-1], axis=len(index) - 1)  # several times as quick as x[index]
    y = x[index]
    if type(y) is be.array_type:
        return y
    return x[(*index, ...) if isinstance(index, tuple) else (index, ...)]  # a view of one element


def _is_line(x, index):
    """Whether an index has whole axes and then an array of integers, and x has no gaps."""
    return x.flags.c_contiguous and is_one_array(index[-1:]) and all(map(is_whole, index[:-1]))


def _put_all(call, arrays, attributes):
    (g,), shape = arrays, attributes["shape"]
    places = AllPlaces(call, shape, attributes["index"])
    return call(places.as_read(g.full()), shape=(call.size, *shape), index=places.index)


@op(complex=True, batch=_put_all, g=lambda g, index: _getitem(g, index=index))
def _put(be, g, *, shape, index):
    """Zeros of `shape` with `g` added at `index`; places named twice get the sum."""
    out = be.xp.zeros(shape, g.dtype)
    if may_repeat(index):
        return add_at(be, out, index, g)
    out[index] = g
    return out


def getitem(x, index):
    """`x[index]` with integers, slices, `...`, None, and arrays of integers or booleans.

    As in NumPy, sequences and other libraries' arrays are such arrays. Without arrays the result
    is a view, also where it is a single element: an in-place change of it changes `x`.
    """
    return _getitem(x, index=raw_index("getitem", x, index))


def iterate(x):
    """The slices of `x` along its first axis; all at once if their gradient is recorded."""
    if x.ndim == 0:
        raise TypeError("[iter] a 0-d tensor has nothing to iterate over")
    if mode.grad and x.node is not None:
        return iter(unbind(x))
    return (x[i] for i in range(x.shape[0]))


@composed
def take(x, indices, axis=None, mode="raise"):
    """The slices of `x` at integer `indices` along an axis; by default of the flat tensor.

    `mode`: what to do with an index out of range: "raise" (IndexError), "wrap" around to the other
    end, or "clip" to the first or last place, where negative ones mean the first.
    """
    indices = raw_integers("take", "indices", indices, backend_of(x), IndexError)
    if check_choice("take", "mode", mode, ("raise", "wrap", "clip")) != "raise":
        n = x.size if axis is None else x.shape[normal_axis("take", axis, x.ndim)]
        if not n:
            raise IndexError(f"[take] of no elements (x: {x.shape})")
        indices = indices % n if mode == "wrap" else clip(indices, 0, n - 1)
    if axis is None:
        return getitem(x.reshape(-1), (indices,))
    axis = normal_axis("take", axis, x.ndim)
    return getitem(x, (*(slice(None),) * axis, indices))


@composed
def take_along_axis(x, indices, axis=-1):
    """The elements of `x` at `indices` along one axis: the counterpart of argsort.

    `indices` has as many axes as `x`, and is read in step with it along the other ones.
    """
    x, index, axis = lines_and_places("take_along_axis", x, indices, axis)
    return read_lines(x, index, axis=axis)


def _add_at_all(call, arrays, attributes):
    x, updates = arrays
    places = AllPlaces(call, x.shape, attributes["index"])
    return call(x.full(), places.as_read(updates.full()), index=places.index)


@op(
    complex=True,
    batch=_add_at_all,
    x=lambda g: g,
    updates=lambda g, index: _getitem(g, index=index),
)
def _add_at(be, x, updates, *, index):
    return add_at(be, x.copy(), index, updates)


@composed
def scatter_add(x, indices, updates, axis=0):
    """A copy of `x` with `updates` added at `indices` along an axis; repeats add up.

    `indices` and `updates` have one shape, that of `x` but for the length of the axis.
    """
    if not hasattr(updates, "shape"):
        raise TypeError(
            f"[scatter_add] updates is {describe(updates)}, expected a Tensor or an array"
        )
    raw = all_examples(updates.data if isinstance(updates, Tensor) else updates)
    check_cast("scatter_add", raw, x.dtype)
    shape = x.shape
    x, index, axis = lines_and_places("scatter_add", x, indices, axis, updates)
    expected = (*shape[:axis], index.shape[axis], *shape[axis + 1 :])
    if x.shape != shape or index.shape != expected or tuple(updates.shape) != expected:
        raise ValueError(
            f"[scatter_add] indices are {np.shape(indices)}, updates are {updates.shape}, expected "
            f"{expected} for both (x: {shape}, axis: {axis})"
        )
    return add_lines(x, updates, index, axis=axis)


def _embed_all(call, arrays, attributes):
    weight, ids = arrays
    if not weight.mapped:
        return call(weight.inner, ids.inner)
    count = weight.shape[0]
    table = reshape(weight.inner, (call.size * count, *weight.shape[1:]))
    return call(table, _rows_of_each(call, ids, count))


def _rows_of_each(call, ids, count):
    """Where each example's rows stand in a table of all examples' tables, `count` rows each."""
    starts = backend_of(ids.inner).xp.arange(call.size) * count
    return ids.full() + starts.reshape(-1, *(1,) * ids.ndim)


def _table_gradient(g, weight_shape, ids, sparse):
    """Rows for a walk over arrays; a recorded gradient, and one of many examples, is dense."""
    if not sparse or type(g) is Tensor or type(g) in STAND_INS:
        return scatter_rows(g, ids, count=weight_shape[0])
    return sparse_rows(ids.reshape(-1), g.reshape(-1, *weight_shape[1:]), weight_shape)


@op(complex=True, batch=_embed_all, weight=_table_gradient)
def _embedding(be, weight, ids, *, sparse=False):
    rows = be.k.gather_rows(weight, ids.reshape(-1))
    return rows.reshape(*ids.shape, *weight.shape[1:])


def _scatter_all(call, arrays, attributes):
    (g, ids), count = arrays, attributes["count"]
    rows = call(g.full(), _rows_of_each(call, ids, count), count=call.size * count)
    return call.unfolded(rows)


@op(complex=True, batch=_scatter_all, g=lambda h, ids: _embedding(h, ids))
def scatter_rows(be, g, ids, *, count):
    """The adjoint of embedding: rows of `g` added up in a table of `count` rows."""
    row = g.shape[ids.ndim :]
    out = be.xp.zeros((count, *row), g.dtype)
    be.k.scatter_add_(out, ids.reshape(-1), be.xp.ascontiguousarray(g).reshape(-1, *row))
    return out


@composed
def embedding(weight, ids, *, sparse=False):
    """The rows of `weight` (n, d) for integer `ids` of any shape: (*ids.shape, d).

    With `sparse`, `backward` leaves `tg.SparseRows` in `weight.grad`: the gradient of the rows that
    were read, and no table. It needs a `weight` that is a leaf of real numbers; the gradient of
    others is dense, and so are those of `tg.grad`, of `vmap` and of higher orders.

    Raises IndexError for ids outside 0 to n - 1.
    """
    sparse = check_flag("embedding", "sparse", sparse)
    if weight.ndim < 1:
        raise ValueError("[embedding] weight is a number, expected (n, d)")
    if not isinstance(ids, Tensor):
        raw = raw_integers("embedding", "ids", ids, backend_of(weight))
        ids = raw.copy() if raw is ids else raw  # backward reads it: the caller may change theirs
    if ids.dtype.kind not in "iu":
        raise TypeError(f"[embedding] ids have dtype {ids.dtype}, expected integers")
    check_labels("embedding", "ids", ids, weight.shape[0])
    if sparse and isinstance(weight, Tensor) and weight.is_leaf and weight.dtype.kind != "c":
        return _embedding(weight, ids, sparse=True)
    return _embedding(weight, ids)


def check_labels(name, what, labels, count):
    """Raise IndexError unless all of an integer array or Tensor lie from 0 to count - 1."""
    labels = all_examples(labels.data if isinstance(labels, Tensor) else labels)
    if labels.size and (int(labels.min()) < 0 or int(labels.max()) >= count):
        bad = int(labels.max()) if int(labels.max()) >= count else int(labels.min())
        raise IndexError(f"[{name}] {what} contain {bad}, expected 0 to {count - 1}")


@op(any_dtype=True, batch=by_element)
def _one_hot(be, labels, *, num_classes, dtype):
    return (labels[..., None] == be.xp.arange(num_classes)).astype(dtype)


@composed
def one_hot(labels, num_classes, *, dtype=np.float32):
    """1 in the column of each label, 0 elsewhere: (*labels.shape, num_classes).

    Raises TypeError for labels that are not integers, IndexError for labels out of range.
    """
    num_classes = check_integer("one_hot", "num_classes", num_classes, least=1)
    errors.refuse_masked("one_hot", "labels", labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"[one_hot] labels have dtype {labels.dtype}, expected integers")
    check_labels("one_hot", "labels", labels, num_classes)
    dtype = backend_of(labels).checked_dtype("one_hot", dtype)
    return _one_hot(labels, num_classes=num_classes, dtype=dtype)


def _diagonal(name, x, k):
    if x.ndim < 2:
        raise ValueError(f"[{name}] x is {x.shape}, expected matrices (..., n, m)")
    return check_integer(name, "k", k)


@op(complex=True, batch=by_matrix, x=lambda g, k: tril(g, k=k))
def tril(be, x, *, k=0):
    """The lower triangle of matrices (..., n, m): zeros above the k-th diagonal."""
    return be.xp.tril(x, _diagonal("tril", x, k))


@op(complex=True, batch=by_matrix, x=lambda g, k: triu(g, k=k))
def triu(be, x, *, k=0):
    """The upper triangle of matrices (..., n, m): zeros below the k-th diagonal."""
    return be.xp.triu(x, _diagonal("triu", x, k))


def _refuse_nonzero(call, arrays, attributes):
    raise GraphError(
        "[nonzero] examples may have different numbers of places that are not zero, so that vmap "
        "cannot join them; use where(), or call it outside vmap"
    )


@op(complex=True, several=True, any_dtype=True, batch=_refuse_nonzero)
def _nonzero(be, x):
    return be.xp.nonzero(x)


@composed
def nonzero(x):
    """Where `x` is not zero: a tuple with the indices along each axis, in reading order.

    Raises ValueError for a 0-d tensor.
    """
    if x.ndim == 0:
        raise ValueError("[nonzero] x is a number, expected at least one axis")
    return _nonzero(x)


@composed
def argwhere(x):
    """The places where `x` is not zero, one in each row: (their number, x.ndim)."""
    return stack(nonzero(x), axis=1)


def of_rows(be, kernel, x, axis, *options):
    """What a kernel of rows (n, m) finds along an axis."""
    moved = be.xp.moveaxis(x, axis, -1)
    y = kernel(moved.reshape(x.size // max(x.shape[axis], 1), x.shape[axis]), *options)
    return be.xp.moveaxis(y.reshape(*moved.shape[:-1], y.shape[1]), -1, axis)


@op(any_dtype=True, batch=along_axes)
def _argsort(be, x, *, axis, descending):
    if not descending:
        return of_rows(be, be.k.argsort, x, axis)
    order = be.xp.flip(of_rows(be, be.k.argsort, be.xp.flip(x, axis), axis), axis)
    return x.shape[axis] - 1 - order


@composed
def argsort(x, axis=-1, *, descending=False):
    """The indices that sort along an axis (None: the flat tensor); equal elements keep order."""
    descending = check_flag("argsort", "descending", descending)
    if axis is None:
        return argsort(x.reshape(-1), descending=descending)
    return _argsort(x, axis=normal_axis("argsort", axis, x.ndim), descending=descending)


def _sort_rule(g, be, x, axis, descending):
    """Only a gradient asks for the order, which takes longer to find than the values."""
    order = _argsort(x, axis=axis, descending=descending)
    return assign_lines(be.xp.zeros(x.shape, g.dtype), g, order, axis=axis)


@op(batch=along_axes, x=_sort_rule)
def _sort(be, x, *, axis, descending):
    y = narrow(be.xp.sort(wide(x), axis=axis), x.dtype)
    return be.xp.flip(y, axis) if descending else y


@composed
def sort(x, axis=-1, *, descending=False):
    """`x` in rising (or falling) order along an axis (None: the flat tensor); stable."""
    descending = check_flag("sort", "descending", descending)
    if axis is None:
        return sort(x.reshape(-1), descending=descending)
    return _sort(x, axis=normal_axis("sort", axis, x.ndim), descending=descending)


@op(any_dtype=True, batch=along_axes)
def _top_places(be, x, *, axis, k):
    return of_rows(be, be.k.top_places, x, axis, k)


@composed
def topk(x, k, axis=-1, *, largest=True):
    """The `k` largest elements along an axis, largest first: (values, indices).

    With `largest=False` the `k` smallest, smallest first.
    """
    axis = normal_axis("topk", axis, x.ndim)
    largest = check_flag("topk", "largest", largest)
    k = check_integer("topk", "k", k)
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"[topk] k is {k}, expected 0 to {x.shape[axis]}, the axis's length")
    if not largest:
        indices = argsort(x, axis)[slice_at(axis, 0, k)]
        return read_lines(x, indices, axis=axis), indices
    indices = _top_places(x, axis=axis, k=k)
    return read_lines(x, indices, axis=axis), indices
