"""Arrays in other shapes and orders, put together, taken apart, read at indices."""

from collections.abc import Sequence

import numpy as np

from tinygrad_like.array_api.dtypes import astype, result_type
from tinygrad_like.engine import Tensor
from tinygrad_like.engine import broadcast_to as spread
from tinygrad_like.ops.arrays import shape as shapes
from tinygrad_like.ops.arrays.shape import expand_dims, flip, moveaxis, roll, squeeze, transpose
from tinygrad_like.ops.arrays.shape import unbind as unstack
from tinygrad_like.ops.indexing import arrange
from tinygrad_like.ops.indexing.index import take, take_along_axis
from tinygrad_like.ops.indexing.repetition import repeat, tile

__all__ = [
    "broadcast_arrays",
    "broadcast_shapes",
    "broadcast_to",
    "concat",
    "expand_dims",
    "flip",
    "moveaxis",
    "permute_dims",
    "repeat",
    "reshape",
    "roll",
    "squeeze",
    "stack",
    "take",
    "take_along_axis",
    "tile",
    "unstack",
]


def broadcast_arrays(*arrays: Tensor) -> list[Tensor]:
    """The arrays in the shape that they have in common."""
    return list(arrange.broadcast_arrays(*arrays))


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that shapes have in common."""
    return np.broadcast_shapes(*shapes)


def broadcast_to(x: Tensor, /, shape: tuple[int, ...]) -> Tensor:
    """`x` in a shape that it broadcasts to."""
    return spread(x, shape=shape)


def _promoted(arrays: Sequence[Tensor]) -> list[Tensor]:
    """The arrays in the dtype that they have in common."""
    dtype = result_type(*arrays)
    return [astype(x, dtype, copy=False) for x in arrays]


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """The arrays joined along an axis; with None as flat ones."""
    xs = _promoted(arrays)
    if axis is None:
        xs, axis = [shapes.reshape(x, (-1,)) for x in xs], 0
    return shapes.concatenate(xs, axis)


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """The arrays, all of one shape, joined along a new axis."""
    return shapes.stack(_promoted(arrays), axis)


def permute_dims(x: Tensor, /, axes: tuple[int, ...]) -> Tensor:
    """`x` with its axes in another order."""
    return transpose(x, axes)


def reshape(x: Tensor, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Tensor:
    """`x` in another shape: a view where its memory allows; a copy always, or never, if asked for.

    Raises ValueError with `copy=False` where a copy is needed.
    """
    y = shapes.reshape(x, shape)
    if copy is None:
        return y
    shares = y.size == 0 or np.may_share_memory(x, y)
    if copy:
        return y.copy() if shares else y
    if not shares:
        raise ValueError(f"[reshape] copy is False, and {shape} needs a copy of x (x: {x.shape})")
    return y
