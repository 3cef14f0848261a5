"""Ops that move elements: shapes, joining and cutting, padding, triangles, sorting."""

import numpy as np

from tinygrad_like.onnx.export.sizes import product
from tinygrad_like.onnx.export.table import computing, lowers

FIRST, LAST = np.iinfo(np.int64).min, np.iinfo(np.int64).max  # of a Slice: as far as there is


@lowers("reshape")
def reshape(g, x, *, shape):
    return g.reshape(x, g.outputs[0].shape)


@lowers("transpose")
def transpose(g, x, *, axes):
    order = list(range(x.ndim)[::-1] if axes is None else axes)
    return g.Transpose(x, perm=order) if order else g.Identity(x)


@lowers("broadcast_to")
def broadcast_to(g, x, *, shape):
    return g.Expand(x, g.integers(g.outputs[0].shape, [x]))


@lowers("astype")
def astype(g, x, *, dtype):
    return x


@lowers("to_device")
def to_device(g, x, *, device, source):
    return x


@lowers("concatenate")
def concatenate(g, *xs, axis):
    dtype = g.outputs[0].dtype
    return g.Concat(*(g.cast(x, dtype) for x in xs), axis=axis)


@lowers("split")
def split(g, x, *, stops, axis):
    starts, ends = [0, *stops], [*stops, x.shape[axis]]
    return tuple(g.slice(x, axis, a, b) for a, b in zip(starts, ends, strict=True))


@lowers("unbind")
def unbind(g, x, *, axis):
    return tuple(g.Gather(x, g.constant(i), axis=axis) for i in range(len(g.outputs)))


@lowers("flip")
def flip(g, x, *, axis):
    """A slice with steps of -1."""
    axes = axes_of(axis, x.ndim)
    if not axes:
        return g.Identity(x)
    starts, ends, steps = ([n] * len(axes) for n in (-1, FIRST, -1))
    return g.Slice(x, *(g.integers(each) for each in (starts, ends, axes, steps)))


@lowers("roll")
def roll(g, x, *, shift, axis):
    """One axis after the other, read at places counted around its end."""
    shape = x.shape
    if axis is None and not isinstance(shift, tuple):
        x, axis = g.reshape(x, [product(shape, g.runs)]), 0
    axes = axes_of(axis, x.ndim)
    shifts = shift if isinstance(shift, tuple) else (shift,) * len(axes)
    for a, s in zip(axes, shifts, strict=True):
        n = x.shape[a]
        if n:
            moved = g.Sub(g.range(n), g.number(s, np.int64))
            places = g.Mod(moved, g.number(n, np.int64))
            x = g.Gather(x, places, axis=a)._replace(shape=x.shape)
    return g.reshape(x, shape)


def axes_of(axis, ndim: int) -> list[int]:
    """An axis, several, or None for all, as numbers from 0 on."""
    if axis is None:
        return list(range(ndim))
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    return [a % ndim for a in axes] if ndim else []


@lowers("repeat")
def repeat(g, x, *, count, axis):
    """Copies along a new axis, which is then joined with the one before."""
    shape = g.outputs[0].shape
    n = x.shape[axis]
    spread = [*x.shape[: axis + 1], count, *x.shape[axis + 1 :]]
    copies = g.Expand(g.unsqueeze(x, axis + 1), g.integers(spread, [x]))
    return g.reshape(copies._replace(shape=(*x.shape[:axis], n, count)), shape)


@lowers("tile")
def tile(g, x, *, reps):
    whole = g.reshape(x, [*(1,) * (len(reps) - x.ndim), *x.shape])
    return g.Tile(whole, g.integers(reps))


@lowers("pad_constant")
def pad_constant(g, x, *, pad_width, value):
    dtype = computing(x.dtype)
    widths = [before for before, _ in pad_width] + [after for _, after in pad_width]
    return g.Pad(g.cast(x, dtype), g.integers(widths), g.constant(value, dtype))


@lowers("tril")
def tril(g, x, *, k):
    return _triangle(g, x, k, 0)


@lowers("triu")
def triu(g, x, *, k):
    return _triangle(g, x, k, 1)


def _triangle(g, x, k, upper):
    return g.Trilu(g.cast(x, computing(x.dtype)), g.number(k, np.int64), upper=upper)


@lowers("diagonal")
def diagonal(g, x, *, offset):
    """Read in the flattened matrix, where its elements are columns + 1 apart."""
    *batch, n, m = x.shape
    flat = g.reshape(x, (*batch, product((n, m), g.runs)))
    start = g.constant(offset) if offset >= 0 else g.Mul(g.number(m, np.int64), -offset)
    step = g.Add(g.number(m, np.int64), 1)
    places = g.Add(g.Mul(g.range(g.outputs[0].shape[-1]), step), start)
    return g.Gather(flat, places, axis=len(batch))


@lowers("on_diagonal")
def on_diagonal(g, x, *, rows, columns, offset):
    """Elements padded to the rows, which are then chosen where column - row fits."""
    dtype = computing(x.dtype)
    before = max(-offset, 0)
    rest = g.Sub(g.size(rows), g.Add(g.size(x.shape[-1]), before))
    nothing = g.constant(np.zeros(x.ndim - 1, np.int64))
    widths = g.Concat(nothing, g.constant([before]), nothing, rest, axis=0)
    column = g.unsqueeze(g.Pad(g.cast(x, dtype), widths, g.constant(0, dtype)), -1)
    here = g.Equal(g.diagonals(rows, columns), offset)
    return g.Where(here, column, g.number(0, dtype))


@lowers("one_hot")
def one_hot(g, labels, *, num_classes, dtype):
    classes = g.range(num_classes)
    return g.Equal(g.unsqueeze(g.cast(labels, np.int64), -1), classes)


# Sorting: ONNX's TopK keeps the order of equal elements


def _sorted(g, x, axis, k, largest):
    """(the k first elements in order, their places)."""
    y, places = g.TopK(
        g.cast(x, computing(x.dtype)), g.size(k), outputs=2, axis=axis, largest=int(largest)
    )
    return y, places._replace(dtype=np.dtype(np.int64))


@lowers("sort")
def sort(g, x, *, axis, descending):
    return _sorted(g, x, axis, x.shape[axis], descending)[0]


@lowers("argsort")
def argsort(g, x, *, axis, descending):
    return _sorted(g, x, axis, x.shape[axis], descending)[1]


@lowers("top_places")
def top_places(g, x, *, axis, k):
    return _sorted(g, x, axis, k, True)[1]


@lowers("at_ranks")
def at_ranks(g, x, *, axis, ranks):
    return g.Gather(sort(g, x, axis=axis, descending=False), g.integers(ranks), axis=axis)


@lowers("places_of_ranks")
def places_of_ranks(g, x, values, *, axis, ranks):
    return g.Gather(argsort(g, x, axis=axis, descending=False), g.integers(ranks), axis=axis)


@lowers("searchsorted")
def searchsorted(g, a, v, *, side):
    """How many elements of a stand before each of v."""
    compare = "Less" if side == "left" else "LessOrEqual"
    dtype = computing(np.result_type(a.dtype, v.dtype))
    before = g.node(compare, g.cast(a, dtype), g.unsqueeze(g.cast(v, dtype), -1))
    return g.reduce("ReduceSum", g.cast(before, np.int64), [v.ndim], keepdims=False)
