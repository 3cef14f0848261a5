"""Reading and writing at places along an axis: each line of a tensor has places of its own.

`index` has as many axes as the tensor and is in step with it along all but `axis`; its elements are
places from 0 on. Reading and adding are each other's gradients. So are assigning and what tells
which of several updates of a place was the last.
"""

import math

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import (
    Batched,
    Tensor,
    all_examples,
    astype,
    backend_of,
    broadcast_to,
    op,
)
from tinygrad_like.ops.arrays.shape import along_axes, normal_axis
from tinygrad_like.ops.elements.compare import less
from tinygrad_like.ops.elements.elementwise import where
from tinygrad_like.ops.indexing.places import host_array


def as_lines(x, axis):
    """An array as (N, T, M): the axes before one, that axis, those behind it."""
    return x.reshape(math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]))


@op(
    complex=True,
    batch=along_axes,
    x=lambda g, x_shape, index, axis: spread_lines(g, index, axis=axis, n=x_shape[axis]),
)
def read_lines(be, x, index, *, axis):
    """The elements at the places, of the shape of `index`."""
    return be.k.gather_lines(as_lines(x, axis), as_lines(index, axis)).reshape(index.shape)


@op(complex=True, batch=along_axes, g=lambda h, index, axis: read_lines(h, index, axis=axis))
def spread_lines(be, g, index, *, axis, n):
    """Zeros, n along the axis, to which `g` is added at the places."""
    y = be.k.spread_lines(as_lines(g, axis), as_lines(index, axis), n)
    return y.reshape(*g.shape[:axis], n, *g.shape[axis + 1 :])


def written(be, x, updates, index, axis, reduce):
    """The kernel scatter_lines, of arrays of any number of axes."""
    lines = (as_lines(a, axis) for a in (x, index, updates))
    return be.k.scatter_lines(*lines, reduce).reshape(x.shape)


@op(
    complex=True,
    batch=along_axes,
    x=lambda g: g,
    updates=lambda g, index, axis: read_lines(g, index, axis=axis),
)
def add_lines(be, x, updates, index, *, axis):
    """`x` with the updates added at the places."""
    return written(be, x, updates, index, axis, "sum")


def _assign_rule(g, index, axis):
    return [*_gradients_of_last(g, index, axis=axis), None]


@op(complex=True, batch=along_axes, backward=_assign_rule)
def assign_lines(be, x, updates, index, *, axis):
    """`x` with the updates at the places; of several for one place the last."""
    return written(be, x, updates, index, axis, None)


def _gradients_of_last_rule(gs, index, axis):
    return [assign_lines(*gs, index, axis=axis), None]


@op(complex=True, several=True, batch=along_axes, backward=_gradients_of_last_rule)
def _gradients_of_last(be, g, index, *, axis):
    """(g with zeros at the places, for each update g at its place if it was the last there)."""
    dx, dupdates = be.k.scatter_last_backward(as_lines(g, axis), as_lines(index, axis))
    return dx.reshape(g.shape), dupdates.reshape(index.shape)


def raw_integers(name, what, values, be, error=TypeError):
    """Integers given as a Tensor, an array or a sequence, as a raw array of a backend."""
    raw = values._array if isinstance(values, Tensor) else values
    if type(raw) not in (be.array_type, Batched):
        raw = be.from_host(host_array(name, be, raw))
    if raw.dtype.kind not in "iu":
        raise error(f"[{name}] {what} have dtype {raw.dtype}, expected integers")
    return raw


def kept(index, given, *tensors):
    """`index`, or a copy of an array `given` by a user, who may write into it before a gradient.

    Among arrays there is no gradient.
    """
    theirs = index is given and not isinstance(given, Tensor)
    return index.copy() if theirs and any(isinstance(x, Tensor) for x in tensors) else index


def lines_and_places(name, x, indices, axis, updates=None):
    """(x, the places, the axis) of what a user gives; x and the places broadcast to fit.

    Raises ValueError for shapes that do not fit, IndexError for an index out of range.
    """
    axis = normal_axis(name, axis, x.ndim)
    raw = raw_integers(name, "indices", indices, backend_of(x), IndexError)
    fits = raw.ndim == x.ndim and all(
        m == n or 1 in (m, n) or i == axis
        for i, (m, n) in enumerate(zip(raw.shape, x.shape, strict=True))
    )
    if not fits:
        raise ValueError(
            f"[{name}] indices are {raw.shape}, expected the shape of x but for axis {axis} "
            f"(x: {x.shape})"
        )
    n, values = x.shape[axis], all_examples(raw)
    least, most = extent(values)
    if least < -n or most >= n:
        backend.of(values).check_index(name, values, n)  # which has the words
    index = places_from_0(indices if isinstance(indices, Tensor) else raw, least, n)
    index = kept(index, indices, x, updates)
    pairs = list(zip(x.shape, raw.shape, strict=True))
    both = [m if n == 1 else n for n, m in pairs]
    of_x = (*both[:axis], n, *both[axis + 1 :])
    of_index = (*both[:axis], raw.shape[axis], *both[axis + 1 :])
    x = x if x.shape == of_x else broadcast_to(x, shape=of_x)
    return x, index if raw.shape == of_index else broadcast_to(index, shape=of_index), axis


def extent(integers):
    """(the least, the largest) of an array of integers; (0, -1) of none."""
    return (int(integers.min()), int(integers.max())) if integers.size else (0, -1)


def places_from_0(index, least, n):
    """Integers, of which `least` is the least one, with n added to the negative ones."""
    if least >= 0:
        return index
    if index.dtype.itemsize < 8:
        index = astype(index, dtype=np.int64)
    return where(less(index, 0), index + n, index)
