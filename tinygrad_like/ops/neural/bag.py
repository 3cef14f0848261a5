"""Bags of embeddings: sums, means and maxima of rows of a table."""

import numpy as np

from tinygrad_like.engine import (
    Tensor,
    all_examples,
    astype,
    backend_of,
    check_choice,
    check_integer,
    composed,
    op,
)
from tinygrad_like.ops.arrays.shape import expand_dims, reshape
from tinygrad_like.ops.elements.compare import logical_and, not_equal
from tinygrad_like.ops.elements.elementwise import where
from tinygrad_like.ops.indexing.index import (
    _rows_of_each,
    check_labels,
    embedding,
    raw_integers,
    scatter_rows,
    take,
)
from tinygrad_like.ops.reductions.reduce import any, max, sum


def _moved_of_all(call, arrays, attributes):
    x, source, target = arrays
    count = attributes["count"]
    sources = _rows_of_each(call, source, x.shape[0]) if x.mapped else source.full()
    rows = call.folded(x) if x.mapped else x.inner
    targets = _rows_of_each(call, target, count)
    flat = (reshape(numbers, (-1,)) for numbers in (sources, targets))
    return call.unfolded(call(rows, *flat, count=count * call.size))


@op(
    batch=_moved_of_all,
    x=lambda g, x_shape, source, target: _moved_rows(g, target, source, count=x_shape[0]),
)
def _moved_rows(be, x, source, target, *, count):
    """Zeros (count, d) to which row source[i] of x is added at row target[i], for all i."""
    y = be.xp.zeros((count, x.shape[1]), x.dtype)
    be.k.add_rows_(y, target, be.xp.ascontiguousarray(x), source)
    return y


def _maxima_by_ops(weight, ids, counted, *, lengths):
    """The maximum of the rows of each bag, which are put side by side, short bags filled up."""
    rows = embedding(weight, ids)
    be, longest = backend_of(rows), int(lengths.max(initial=0))
    if not longest:
        return _sums(rows, lengths)
    steps = np.arange(longest)
    inside = be.xp.asarray(steps < lengths[:, None])[:, :, None]
    begins = np.cumsum(lengths) - lengths
    places = be.xp.asarray(np.minimum(begins[:, None] + steps, rows.shape[0] - 1))
    inside = logical_and(inside, take(expand_dims(counted, 1), places, 0))
    maxima = max(where(inside, take(rows, places, 0), -np.inf), axis=1)
    return where(any(inside, axis=1), maxima, 0)


def _maxima_of_all(call, arrays, attributes):
    weight, ids, counted = arrays
    mapped = weight.mapped
    rows = _rows_of_each(call, ids, weight.shape[0]) if mapped else ids.full()
    y = call(
        call.folded(weight) if mapped else weight.inner,
        reshape(rows, (-1,)),
        reshape(counted.full(), (-1,)),
        lengths=np.tile(attributes["lengths"], call.size),
    )
    call.unfold_extra()
    return call.unfolded(y)


def _maxima_rule(g, be, weight, ids, counted, lengths, out, ties):
    bags = be.xp.asarray(np.repeat(np.arange(lengths.size), lengths))
    return [be.k.bag_maxima_backward(g, weight, ids, counted, bags, out, ties), None, None]


def _maxima_backward_of_all(call, g, be, weight, ids, counted, lengths, out, ties):
    """Each example has a table of its own for its gradient, and ids that count from there."""
    starts = np.repeat(np.arange(call.size) * weight.shape[0], ids.shape[0])
    be, rows = call.raw(be), call.raw_folded(ids)
    arrays = call.raw_folded(weight), rows + be.xp.asarray(starts), call.raw_folded(counted)
    lengths = np.tile(lengths, call.size)
    given = call.raw_folded(g), be, *arrays, lengths, call.raw_folded(out), call.raw_folded(ties)
    gradient, _, _ = call.op.backward(*given)
    return call.gradients([call.unfolded(gradient), None, None])


@op(
    saves=("ties",),
    batch=_maxima_of_all,
    batch_backward=_maxima_backward_of_all,
    backward=_maxima_rule,
    composite=_maxima_by_ops,
)
def _maxima(be, weight, ids, counted, *, lengths):
    """The maximum of the rows of each bag, of those that are counted."""
    starts = be.xp.asarray(np.concatenate([[0], np.cumsum(lengths)]))
    y, ties = be.k.bag_maxima(weight, ids, counted, starts)
    return y, (ties,)


MODES = ("sum", "mean", "max")


@composed
def embedding_bag(
    weight, ids, offsets=None, *, mode="mean", per_sample_weights=None, padding_idx=None
):
    """The sum, the mean or the maximum of the rows of `weight` (n, d) in each bag of ids: (B, d).

    Args:
        ids: integers, (B, L): B bags of L ids; or (count,), the ids of all bags in a row.
        offsets: of ids in a row: B rising integers from 0, where each bag begins. A bag may be
            empty, and is zeros then.
        mode: "mean", "sum" or "max". Rows that tie for a maximum share its gradient.
        per_sample_weights: in mode "sum": factors of the rows, of the shape of the ids.
        padding_idx: an id that does not count, not even for the mean; counted from the end if
            negative.

    Raises IndexError for ids outside 0 to n - 1, ValueError for shapes and offsets that do not fit.

    >>> import tinygrad_like as tg
    >>> tg.embedding_bag(tg.eye(3), tg.Tensor([0, 2, 1]), tg.Tensor([0, 2]), mode="sum").numpy()
    array([[1., 0., 1.],
           [0., 1., 0.]], dtype=float32)
    """
    check_choice("embedding_bag", "mode", mode, MODES)
    be = backend_of(weight)
    if not isinstance(ids, Tensor):
        raw = raw_integers("embedding_bag", "ids", ids, be)
        ids = raw.copy() if raw is ids else raw  # backward reads it: the caller may change theirs
    lengths = _lengths(ids, offsets)
    if per_sample_weights is not None and (mode != "sum" or per_sample_weights.shape != ids.shape):
        raise ValueError(
            f"[embedding_bag] per_sample_weights are {per_sample_weights.shape}, expected "
            f"{ids.shape} and mode 'sum' (mode: {mode!r})"
        )
    if padding_idx is not None:
        count = weight.shape[0]
        padding_idx = check_integer("embedding_bag", "padding_idx", padding_idx, -count, count - 1)
        padding_idx %= count
    flat = reshape(ids, (ids.size,))
    if mode != "max" and padding_idx is None and per_sample_weights is None:
        check_labels("embedding_bag", "ids", ids, weight.shape[0])
        bags = be.xp.asarray(np.repeat(np.arange(lengths.size), lengths))
        sums = _moved_rows(weight, flat, bags, count=lengths.size)
        return sums if mode == "sum" else sums / _sizes(be, lengths, sums.dtype)
    if mode == "max":
        check_labels("embedding_bag", "ids", ids, weight.shape[0])
        ones = be.xp.ones(flat.shape, bool)
        counted = ones if padding_idx is None else not_equal(flat, padding_idx)
        return _maxima(weight, flat, counted, lengths=lengths)
    rows = embedding(weight, flat)
    counts = None if padding_idx is None else expand_dims(not_equal(flat, padding_idx), 1)
    if per_sample_weights is not None:
        rows = rows * reshape(per_sample_weights, (ids.size, 1))
    if counts is not None:
        rows = where(counts, rows, 0)
    sums = _sums(rows, lengths)
    if mode == "sum":
        return sums
    if counts is None:
        return sums / _sizes(be, lengths, sums.dtype)
    sizes = _sums(astype(counts, dtype=sums.dtype), lengths)
    return sums / where(sizes == 0, 1, sizes)


def _sizes(be, lengths, dtype):
    """What the sum of each bag is divided by for its mean."""
    return be.xp.asarray(np.maximum(lengths, 1)[:, None], dtype)


def _sums(rows, lengths):
    """The sum of the rows of each bag."""
    alike = lengths.size and (lengths == lengths[0]).all()
    if alike:
        return sum(reshape(rows, (lengths.size, int(lengths[0]), rows.shape[1])), axis=1)
    bags = np.repeat(np.arange(lengths.size), lengths)
    return scatter_rows(rows, backend_of(rows).xp.asarray(bags), count=lengths.size)


def _lengths(ids, offsets):
    """How many ids each bag has, as an array on the host."""
    if offsets is None:
        if ids.ndim != 2:
            raise ValueError(
                f"[embedding_bag] ids are {ids.shape}, expected (B, L), or (count,) with offsets"
            )
        return np.full(ids.shape[0], ids.shape[1])
    raw = offsets.data if isinstance(offsets, Tensor) else offsets
    if raw is not all_examples(raw):
        raise ValueError("[embedding_bag] inside vmap offsets must be the same for all examples")
    starts = backend_of(raw).to_host(raw)
    if ids.ndim != 1 or starts.ndim != 1 or starts.dtype.kind not in "iu":
        raise ValueError(
            f"[embedding_bag] ids are {ids.shape}, offsets {starts.shape} of {starts.dtype}, "
            "expected (count,) and (B,), integers both"
        )
    lengths = np.diff(np.append(starts.astype(np.int64), ids.size))
    if (starts.size and (starts[0] != 0 or lengths.min() < 0)) or (not starts.size and ids.size):
        raise ValueError(
            f"[embedding_bag] offsets must rise from 0 to at most {ids.size}, the number of ids"
        )
    return lengths
