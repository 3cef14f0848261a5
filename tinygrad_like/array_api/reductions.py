"""Sums, extremes, statistics and truth along axes."""

from typing import Any

from tinygrad_like.array_api.dtypes import astype
from tinygrad_like.engine import Tensor
from tinygrad_like.ops.arrays.create import ones_like, zeros_like
from tinygrad_like.ops.arrays.shape import concatenate, normal_axis
from tinygrad_like.ops.protocols import numpy_names, numpy_options
from tinygrad_like.ops.reductions.reduce import all, any, argmax, argmin, max, mean, min
from tinygrad_like.ops.samples.statistics import count_nonzero
from tinygrad_like.ops.samples.statistics import diff as differences

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
]


def sum(x: Tensor, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The sum, of small integers in 64 bits, or in `dtype`."""
    return _in_dtype(numpy_options.sum(x, axis, dtype, keepdims), dtype)


def prod(x: Tensor, /, *, axis: Any = None, dtype: Any = None, keepdims: bool = False) -> Tensor:
    """The product, of small integers in 64 bits, or in `dtype`."""
    return _in_dtype(numpy_options.prod(x, axis, dtype, keepdims), dtype)


def _in_dtype(x: Tensor, dtype: Any) -> Tensor:
    """`x`, which was computed in `dtype` or in more bits."""
    return x if dtype is None else astype(x, dtype, copy=False)


def std(
    x: Tensor, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """The standard deviation, with n - correction in the denominator."""
    return x.std(axis=axis, keepdims=keepdims, ddof=correction)


def var(
    x: Tensor, /, *, axis: Any = None, correction: float = 0.0, keepdims: bool = False
) -> Tensor:
    """The variance, with n - correction in the denominator."""
    return x.var(axis=axis, keepdims=keepdims, ddof=correction)


def cumulative_sum(
    x: Tensor,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> Tensor:
    """The running sum along an axis, in front of it 0 if asked for."""
    x = x if dtype is None else astype(x, dtype, copy=False)
    y = _in_dtype(numpy_names.cumulative_sum(x, axis), dtype)
    return _after(zeros_like, y, axis) if include_initial else y


def cumulative_prod(
    x: Tensor,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> Tensor:
    """The running product along an axis, in front of it 1 if asked for."""
    x = x if dtype is None else astype(x, dtype, copy=False)
    y = _in_dtype(numpy_names.cumulative_prod(x, axis), dtype)
    return _after(ones_like, y, axis) if include_initial else y


def _after(constant: Any, y: Tensor, axis: int | None) -> Tensor:
    """`y` behind a slice of zeros or ones."""
    axis = normal_axis("cumulative", 0 if axis is None else axis, y.ndim)
    first = y[(slice(None),) * axis + (slice(0, 1),)]
    if not y.shape[axis]:
        shape = (*y.shape[:axis], 1, *y.shape[axis + 1 :])
        return constant(y.sum(axis=axis).reshape(shape), dtype=y.dtype)
    return concatenate([constant(first), y], axis)


def diff(
    x: Tensor,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """The differences of neighbours along an axis, `n` times."""
    return differences(x, n, axis, prepend, append)
