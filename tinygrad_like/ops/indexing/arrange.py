"""Tensors put together, cut up and turned, by NumPy's names: compositions of ops/arrays/shape.py.

NumPy's further names for the same (fliplr, ravel, rollaxis, ...) have no function of their own
here; `np.fliplr(tensor)` calls what is.
"""

import numpy as np

from tinygrad_like.engine import (
    Tensor,
    astype,
    backend_of,
    broadcast_to,
    check_choice,
    check_flag,
    check_integer,
    composed,
)
from tinygrad_like.ops.arrays.shape import (
    concatenate,
    expand_dims,
    flip,
    integers,
    moveaxis,
    normal_axes,
    normal_axis,
    reshape,
    split,
    swapaxes,
    unbind,
)
from tinygrad_like.ops.indexing.index import take


def _listed(name, xs):
    """The tensors to join: those of a list, or the slices of one tensor along its first axis."""
    xs = unbind(xs) if isinstance(xs, Tensor) and xs.ndim else xs
    if not isinstance(xs, (list, tuple)) or not xs:
        raise TypeError(f"[{name}] expected a non-empty list of tensors")
    return xs


def _one_or_all(results):
    return results[0] if len(results) == 1 else results


def _at_least(name, xs, ndim, places):
    """Each tensor with axes of length 1 inserted until it has `ndim`, at `places[its axes]`.

    One tensor alone is returned as such, several as a tuple.
    """
    if not xs:
        raise TypeError(f"[{name}] expected at least one tensor")
    return _one_or_all(tuple(expand_dims(x, places[x.ndim]) if x.ndim < ndim else x for x in xs))


@composed
def atleast_1d(*xs):
    """Tensors with at least one axis: a 0-d one becomes (1,)."""
    return _at_least("atleast_1d", xs, 1, [0])


@composed
def atleast_2d(*xs):
    """Tensors with at least two axes: (n,) becomes (1, n).

    >>> import tinygrad_like as tg
    >>> tg.atleast_2d(tg.Tensor([1, 2])).shape
    (1, 2)
    """
    return _at_least("atleast_2d", xs, 2, [(0, 1), 0])


@composed
def atleast_3d(*xs):
    """Tensors with at least three axes: (n,) becomes (1, n, 1), and (n, m) becomes (n, m, 1)."""
    return _at_least("atleast_3d", xs, 3, [(0, 1, 2), (0, 2), 2])


@composed
def vstack(xs):
    """Tensors of a list joined along the first axis, as rows: (n,) counts as (1, n).

    >>> import tinygrad_like as tg
    >>> tg.vstack([tg.Tensor([1, 2]), tg.Tensor([3, 4])]).tolist()
    [[1, 2], [3, 4]]
    """
    xs = _listed("vstack", xs)
    return concatenate([atleast_2d(x) for x in xs], 0)


@composed
def hstack(xs):
    """Tensors of a list joined along the second axis, or the only one.

    >>> import tinygrad_like as tg
    >>> tg.hstack([tg.Tensor([1, 2]), tg.Tensor([3])]).tolist()
    [1, 2, 3]
    """
    xs = _listed("hstack", xs)
    xs = [atleast_1d(x) for x in xs]
    return concatenate(xs, 0 if xs[0].ndim == 1 else 1)


@composed
def dstack(xs):
    """Tensors of a list joined along the third axis: (n, m) counts as (n, m, 1)."""
    xs = _listed("dstack", xs)
    return concatenate([atleast_3d(x) for x in xs], 2)


@composed
def column_stack(xs):
    """Tensors of a list joined as columns: (n,) counts as (n, 1).

    >>> import tinygrad_like as tg
    >>> tg.column_stack([tg.Tensor([1, 2]), tg.Tensor([3, 4])]).tolist()
    [[1, 3], [2, 4]]
    """
    xs = _listed("column_stack", xs)
    return concatenate([reshape(x, (-1, 1)) if x.ndim < 2 else x for x in xs], 1)


@composed
def append(x, values, axis=None):
    """`values` joined behind `x` along an axis; by default both flat.

    >>> import tinygrad_like as tg
    >>> tg.append(tg.Tensor([[1, 2]]), tg.Tensor([[3, 4]]), axis=0).tolist()
    [[1, 2], [3, 4]]
    """
    if axis is None:
        return concatenate([reshape(x, (-1,)), reshape(values, (-1,))], 0)
    return concatenate([x, values], axis)


@composed
def block(rows):
    """Tensors in nested lists joined to one: the innermost lists along the last axis, and so on.

    >>> import tinygrad_like as tg
    >>> a, b = tg.ones((2, 1)), tg.zeros((2, 2))
    >>> tg.block([[a, b], [b, a]]).shape
    (4, 3)
    """
    depth = _depth(rows)
    parts: list = [*_leaves(rows)]
    ndim = max([depth, *(x.ndim for x in parts)])

    def joined(part, level):
        if not isinstance(part, list):
            return reshape(part, (1,) * (ndim - part.ndim) + part.shape)
        return concatenate([joined(p, level + 1) for p in part], ndim - depth + level)

    return joined(rows, 0)


def _depth(part):
    if not isinstance(part, list):
        return 0
    depths = {_depth(p) for p in part}
    if len(depths) != 1:
        raise ValueError("[block] lists are empty or nested to different depths")
    return depths.pop() + 1


def _leaves(part):
    return [x for p in part for x in _leaves(p)] if isinstance(part, list) else [part]


@composed
def broadcast_arrays(*xs):
    """Tensors broadcast to the shape that they have in common, as a tuple."""
    try:
        shape = np.broadcast_shapes(*(x.shape for x in xs))
    except ValueError:
        raise ValueError(
            f"[broadcast_arrays] shapes {[x.shape for x in xs]} do not broadcast"
        ) from None
    return tuple(x if x.shape == shape else broadcast_to(x, shape=shape) for x in xs)


@composed
def meshgrid(*xs, indexing="xy", sparse=False):
    """The coordinates of a grid: for n 1-d Tensors n Tensors of n axes, as a tuple.

    The first two axes are exchanged with "xy", NumPy's default; PyTorch's is "ij". With `sparse`
    they are not repeated, but of length 1 along the other axes.

    >>> import tinygrad_like as tg
    >>> [y.tolist() for y in tg.meshgrid(tg.Tensor([1, 2]), tg.Tensor([3, 4]))]
    [[[1, 2], [1, 2]], [[3, 3], [4, 4]]]
    """
    check_choice("meshgrid", "indexing", indexing, ("xy", "ij"))
    sparse = check_flag("meshgrid", "sparse", sparse)
    n = len(xs)
    order = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else [*range(n)]
    lines = [
        reshape(x, tuple(-1 if place == i else 1 for place in range(n)))
        for i, x in zip(order, xs, strict=True)
    ]
    return tuple(lines) if sparse else broadcast_arrays(*lines)


@composed
def array_split(x, indices_or_sections, axis=0):
    """`split` into sections that need not be equal: the first ones are longer by one.

    >>> import tinygrad_like as tg
    >>> [y.tolist() for y in tg.array_split(tg.arange(5), 2)]
    [[0, 1, 2], [3, 4]]
    """
    axis = normal_axis("array_split", axis, x.ndim)
    if isinstance(indices_or_sections, (int, np.integer)):
        sections = check_integer("array_split", "indices_or_sections", indices_or_sections, least=1)
        size, longer = divmod(x.shape[axis], sections)
        lengths = [size + 1] * longer + [size] * (sections - longer)
        indices_or_sections = np.cumsum(lengths[:-1], dtype=int).tolist()
    return split(x, indices_or_sections, axis)


@composed
def hsplit(x, indices_or_sections):
    """`split` along the second axis, or the only one."""
    if not x.ndim:
        raise ValueError("[hsplit] x is 0-d, expected at least one axis")
    return split(x, indices_or_sections, 1 if x.ndim > 1 else 0)


@composed
def vsplit(x, indices_or_sections):
    """`split` along the first of at least two axes."""
    if x.ndim < 2:
        raise ValueError(f"[vsplit] x is {x.shape}, expected at least two axes")
    return split(x, indices_or_sections, 0)


@composed
def dsplit(x, indices_or_sections):
    """`split` along the third axis."""
    if x.ndim < 3:
        raise ValueError(f"[dsplit] x is {x.shape}, expected at least three axes")
    return split(x, indices_or_sections, 2)


@composed
def chunk(x, chunks, axis=0):
    """`x` cut into at most `chunks` pieces of one length, of which the last may be shorter.

    PyTorch's: 6 elements in 4 chunks are 2, 2, 2. `array_split` gives 2, 2, 1, 1.
    """
    axis = normal_axis("chunk", axis, x.ndim)
    chunks = check_integer("chunk", "chunks", chunks, least=1)
    n = x.shape[axis]
    size = max(-(-n // chunks), 1)
    return split(x, [*range(size, n, size)] if n else chunks, axis)


@composed
def rot90(x, k=1, axes=(0, 1)):
    """`x` turned by `k` right angles in the plane of two axes, from the first to the second.

    >>> import tinygrad_like as tg
    >>> tg.rot90(tg.Tensor([[1, 2], [3, 4]])).tolist()
    [[2, 4], [1, 3]]
    """
    k = check_integer("rot90", "k", k) % 4
    if len(axes) != 2 or len({*normal_axes("rot90", tuple(axes), x.ndim)}) != 2:
        raise ValueError(f"[rot90] axes are {axes!r}, expected two")
    first, second = normal_axes("rot90", tuple(axes), x.ndim)
    if k in (0, 2):
        return flip(x, axis=(first, second)) if k else x
    if k == 1:
        return swapaxes(flip(x, axis=second), first, second)
    return flip(swapaxes(x, first, second), axis=second)


@composed
def unflatten(x, axis, shape):
    """`x` with one axis divided into several, of this shape; one length may be -1.

    >>> import tinygrad_like as tg
    >>> tg.unflatten(tg.zeros(2, 6), 1, (2, 3)).shape
    (2, 2, 3)
    """
    axis = normal_axis("unflatten", axis, x.ndim)
    lengths = integers("unflatten", "shape", shape)
    known = int(np.prod([n for n in lengths if n != -1]))
    n = x.shape[axis]
    fits = n == known if -1 not in lengths else lengths.count(-1) == 1 and known and not n % known
    if not fits or min(lengths, default=0) < -1:
        raise ValueError(f"[unflatten] axis {axis} has length {n}, which {shape} does not fill")
    lengths = tuple(n // known if m == -1 else m for m in lengths)
    return reshape(x, (*x.shape[:axis], *lengths, *x.shape[axis + 1 :]))


def _flat_unless(x, axis):
    """(x, axis), of which x is flat if the axis is None."""
    return (reshape(x, (-1,)), 0) if axis is None else (x, axis)


def _kept_and_named(name, x, obj, axis):
    """The numbers 0 to n - 1 along an axis and those that an index names, on the host."""
    every = np.arange(x.shape[axis])
    if isinstance(obj, Tensor):
        obj = obj.numpy()
    if not isinstance(obj, slice):
        obj = np.asarray(obj)
        if obj.dtype.kind not in "iub" and obj.size:
            raise TypeError(f"[{name}] obj has dtype {obj.dtype}, expected integers")
        obj = obj.astype(int) if not obj.size else obj
    return every, np.atleast_1d(every[obj])


@composed
def delete(x, obj, axis=None):
    """`x` without the slices at `obj` along an axis, by default of flat `x`.

    `obj` is an integer, several, a slice or a mask.

    >>> import tinygrad_like as tg
    >>> tg.delete(tg.Tensor([1, 2, 3]), 1).tolist()
    [1, 3]
    """
    x, axis = _flat_unless(x, axis)
    axis = normal_axis("delete", axis, x.ndim)
    every, named = _kept_and_named("delete", x, obj, axis)
    kept = np.setdiff1d(every, named)
    return take(x, backend_of(x).from_host(kept), axis)


@composed
def insert(x, obj, values, axis=None):
    """`x` with `values` inserted along an axis, each before the slice at its integer in `obj`.

    The integers are places in `x` as it was, as in NumPy; `values` broadcast to the slices. By
    default of flat `x`. Raises IndexError for a place beyond the end.

    >>> import tinygrad_like as tg
    >>> tg.insert(tg.Tensor([1, 2, 3]), 1, 9).tolist()
    [1, 9, 2, 3]
    """
    x, axis = _flat_unless(x, axis)
    axis = normal_axis("insert", axis, x.ndim)
    n = x.shape[axis]
    given = obj.numpy() if isinstance(obj, Tensor) else obj
    if isinstance(given, slice):
        given = np.arange(n)[given]
    given = np.asarray(given)
    if given.dtype.kind not in "iu" and given.size:
        raise TypeError(f"[insert] obj has dtype {given.dtype}, expected integers")
    if given.ndim > 1 or ((given < -n) | (given > n)).any():
        raise IndexError(f"[insert] obj is {obj!r}, expected from {-n} to {n}")
    at = np.where(given < 0, given + n, given).astype(int)
    if not hasattr(values, "shape"):
        values = backend_of(x).from_host(np.asarray(values))
    values = astype(values, dtype=x.dtype)
    if at.ndim == 0:  # as many as there are values, whose first axis goes along the axis
        values = moveaxis(reshape(values, (1,) * (x.ndim - values.ndim) + values.shape), 0, axis)
        at = np.full(values.shape[axis], at)
    shape = (*x.shape[:axis], at.size, *x.shape[axis + 1 :])
    values = values if values.shape == shape else broadcast_to(values, shape=shape)
    order = np.argsort(np.concatenate([np.arange(n) * 2 + 1, at * 2]), kind="stable")
    return take(concatenate([x, values], axis), backend_of(x).from_host(order), axis)
