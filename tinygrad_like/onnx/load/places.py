"""Ops of ONNX that gather, scatter, sort and select."""

import numpy as np

from tinygrad_like.engine import Tensor, astype, broadcast_to
from tinygrad_like.onnx.load.casts import cast
from tinygrad_like.onnx.load.shapes import refuse_unless
from tinygrad_like.onnx.load.table import Host, axis_of, integer, runs
from tinygrad_like.ops.arrays import shape as arrays
from tinygrad_like.ops.elements.compare import equal, less
from tinygrad_like.ops.elements.elementwise import where
from tinygrad_like.ops.indexing import index as indexing
from tinygrad_like.ops.reductions import scatter as scattering

REDUCTIONS = {"none": None, "add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


@runs("Gather")
def gather(x, indices, *, axis=0):
    return indexing.take(x, indices, axis)


@runs("GatherElements")
def gather_elements(x, indices, *, axis=0):
    """Along the other axes the indices may be fewer than the elements."""
    axis = axis_of(axis, x.ndim)
    cut = tuple(slice(None) if i == axis else slice(0, n) for i, n in enumerate(indices.shape))
    return indexing.take_along_axis(x[cut], indices, axis)


@runs("GatherND")
def gather_nd(x, indices, *, batch_dims=0):
    """Elements at tuples of places; along the batch axes each example reads its own."""
    depth = indices.shape[-1]
    above = np.indices(indices.shape[:-1])[:batch_dims]
    index = tuple(Tensor(part, device=x.device) for part in above)
    index += tuple(indices[..., k] for k in range(depth))
    return x[index]


@runs("Scatter", "ScatterElements")
def scatter_elements(x, indices, updates, *, axis=0, reduction="none"):
    """Updates at places along an axis; negative places count from the end."""
    refuse_unless(REDUCTIONS, "ScatterElements", "reduction", reduction)
    axis = axis_of(axis, x.ndim)
    n = x.shape[axis]
    indices = where(less(indices, 0), indices + n, indices)
    return scattering.scatter(x, indices, updates, axis, REDUCTIONS[reduction])


@runs("ScatterND")
def scatter_nd(x, indices, updates, *, reduction="none"):
    """Rows of a flat view of x are written to, at places counted in reading order."""
    refuse_unless(REDUCTIONS, "ScatterND", "reduction", reduction)
    depth = indices.shape[-1]
    lengths, below = x.shape[:depth], x.shape[depth:]
    numbers = 0
    for k, n in enumerate(lengths):
        part = indices[..., k]
        numbers = numbers * n + where(less(part, 0), part + n, part)
    width = int(np.prod(below))
    count = int(np.prod(indices.shape[:-1]))
    rows = arrays.reshape(x, shape=(int(np.prod(lengths)), width))
    places = arrays.reshape(astype(numbers, dtype=np.int64), shape=(count, 1))
    places = broadcast_to(places, shape=(count, width))
    given = arrays.reshape(updates, shape=(count, width))
    y = scattering.scatter(rows, places, given, 0, REDUCTIONS[reduction])
    return arrays.reshape(y, shape=x.shape)


@runs("OneHot", since=11)
def one_hot(indices, depth: Host, values, *, axis=-1):
    """Places out of range have no hot element; negative ones count from the end."""
    indices = cast(indices, np.dtype(np.int64))
    indices = where(less(indices, 0), indices + integer(depth), indices)
    return one_hot_without_negatives(indices, depth, values, axis=axis)


@runs("OneHot")
def one_hot_without_negatives(indices, depth: Host, values, *, axis=-1):
    """Before version 11 negative places are out of range, too."""
    depth = integer(depth)
    axis = axis_of(axis, indices.ndim + 1)
    indices = cast(indices, np.dtype(np.int64))
    shape = [1] * (indices.ndim + 1)
    shape[axis] = depth
    numbers = np.arange(depth).reshape(shape)
    hot = equal(arrays.expand_dims(indices, axis), Tensor(numbers, device=indices.device))
    return where(hot, values[1], values[0])


@runs("NonZero")
def nonzero(x):
    return arrays.transpose(indexing.argwhere(x if x.ndim else arrays.reshape(x, shape=(1,))))


@runs("Compress")
def compress(x, condition: Host, *, axis=None):
    """The elements, or slices, where a condition holds; it may be shorter than the axis."""
    (places,) = np.nonzero(condition.reshape(-1))
    if axis is None:
        return arrays.reshape(x, shape=(-1,))[places]
    return indexing.take(x, places, axis)


@runs("TopK")
def top_k(x, k: Host, *, axis=-1, largest=1, sorted=1):
    """Sorted in any case, which `sorted=0` allows."""
    values, places = indexing.topk(x, integer(k), axis, largest=bool(largest))
    return values, astype(places, dtype=np.int64)


@runs("Unique")
def unique(x: Host, *, axis=None, sorted=1, outputs=1):
    """(values, first places, places in values, counts); without gradients."""
    found = np.unique(x, True, True, True, axis=axis)
    values, first, inverse, counts = found
    inverse = inverse.reshape(-1)
    if not sorted:
        order = np.argsort(first)
        rank = np.argsort(order)
        values = np.take(values, order, 0 if axis is None else axis)
        first, inverse, counts = first[order], rank[inverse], counts[order]
    others = (part.astype(np.int64) for part in (first, inverse, counts))
    return (values, *others)[:outputs]


@runs("TensorScatter")
def tensor_scatter(cache, update, starts: Host = None, *, axis=-2, mode="linear"):
    """`update` written into a cache along an axis, for each sequence from its start on."""
    refuse_unless(("linear", "circular"), "TensorScatter", "mode", mode)
    axis, batch = axis_of(axis, cache.ndim), cache.shape[0]
    first = np.zeros(batch, np.int64) if starts is None else starts.reshape(-1)
    places = first[:, None] + np.arange(update.shape[axis])
    if mode == "circular":
        places = places % cache.shape[axis]
    shape = [1] * cache.ndim
    shape[0], shape[axis] = places.shape
    places = np.broadcast_to(places.reshape(shape), update.shape)
    places = Tensor(np.ascontiguousarray(places), device=cache.device)
    return scattering.scatter(cache, places, update, axis)
