"""Searching, sorting, and what is distinct."""

from typing import Any, NamedTuple

from tinygrad_like.array_api.dtypes import astype, result_type
from tinygrad_like.engine import Tensor, check_flag
from tinygrad_like.ops.elements import elementwise
from tinygrad_like.ops.elements.complex import view_as_complex, view_as_real
from tinygrad_like.ops.indexing import index
from tinygrad_like.ops.indexing.index import nonzero
from tinygrad_like.ops.protocols import numpy_places
from tinygrad_like.ops.samples import order
from tinygrad_like.ops.samples.order import searchsorted

__all__ = [
    "argsort",
    "isin",
    "nonzero",
    "searchsorted",
    "sort",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "where",
]


class UniqueAll(NamedTuple):
    """The distinct values, where each occurs first, the number of each element's, their counts."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """The distinct values, and how often each occurs."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """The distinct values, and the number of each element's."""

    values: Tensor
    inverse_indices: Tensor


def sort(x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """`x` in rising or falling order along an axis; it is stable in any case."""
    check_flag("sort", "stable", stable)
    return index.sort(x, axis, descending=descending)


def argsort(
    x: Tensor, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    """The places that bring `x` into order along an axis; it is stable in any case."""
    check_flag("argsort", "stable", stable)
    return index.argsort(x, axis, descending=descending)


def where(condition: Tensor, x1: Any, x2: Any, /) -> Tensor:
    """Elements of x1 where the condition is true, else of x2, in the dtype of both together."""
    dtype = result_type(*(x for x in (x1, x2) if isinstance(x, Tensor)), *_numbers(x1, x2))
    return astype(elementwise.where(condition, x1, x2), dtype, copy=False)


def _numbers(*xs: Any) -> list[Any]:
    return [x for x in xs if not isinstance(x, Tensor)]


def unique_all(x: Tensor, /) -> UniqueAll:
    """What is distinct, each NaN counted alone."""
    return UniqueAll(*_unique(x))


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """What is distinct and how often it occurs, each NaN counted alone."""
    values, _, _, counts = _unique(x)
    return UniqueCounts(values, counts)


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """What is distinct and which of it each element is, each NaN counted alone."""
    values, _, inverse, _ = _unique(x)
    return UniqueInverse(values, inverse)


def unique_values(x: Tensor, /) -> Tensor:
    """What is distinct, in rising order, each NaN counted alone."""
    return _unique(x)[0] if x.dtype.kind == "c" else order.unique(x, equal_nan=False)


def _unique(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values, first places, inverse indices and counts; complex numbers in order of their parts."""
    if x.dtype.kind != "c":
        return order.unique(x, True, True, True, equal_nan=False)
    pairs = view_as_real(x.reshape(-1)) + 0.0  # zeros of both signs are equal
    values, places, inverse, counts = order.unique(pairs, True, True, True, axis=0, equal_nan=False)
    return view_as_complex(values), places, inverse.reshape(x.shape), counts


def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Tensor:
    """Whether each element of x1 is among those of x2."""
    return numpy_places.isin(x1, x2, invert)
