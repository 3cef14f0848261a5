"""SparseRows: the gradient of a table of which few rows were read.

An Embedding with `sparse=True` gets one: the rows that were read, with the gradient of each
reading, so that backward and an optimizer's step cost what was read, however large the table is.
`backward` alone makes them. Gradients that a function returns (`tg.grad` and its relatives), those
inside `vmap`, those of higher orders and those of a table that was computed are dense.
"""

from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import wide
from tinygrad_like.engine import errors
from tinygrad_like.engine.arraylike import ArrayLike
from tinygrad_like.engine.tensor import GRADIENTS, Tensor, wrap


class SparseRows(ArrayLike):
    """A table (V, ...) of zeros to whose rows `indices` (n,) the `values` (n, ...) are added.

    It is what `.grad` is after a `backward` through `nn.Embedding(..., sparse=True)`. It never
    changes. Rows that are named twice count twice; those of several backward passes are put one
    after the other, and `coalesce` adds them up. A sum with a dense gradient is dense.

    Args:
        indices: integers from 0 to V - 1: a Tensor or an array.
        values: a Tensor or an array of the same device.
        shape: of the whole table.

    Raises ValueError for sizes that do not fit, TypeError for indices that are not integers,
    IndexError for those that are out of range.

    >>> import numpy as np
    >>> import tinygrad_like as tg
    >>> embedding = tg.nn.Embedding(5, 2, sparse=True)
    >>> embedding(np.array([3, 1, 3])).sum().backward()
    >>> embedding.weight.grad
    SparseRows(3 rows of (5, 2), float32)
    >>> rows = embedding.weight.grad.coalesce()
    >>> rows.indices.tolist(), rows.values.tolist()
    ([1, 3], [[1.0, 1.0], [2.0, 2.0]])
    >>> rows.to_dense().shape
    (5, 2)
    """

    __slots__ = ("_indices", "_values", "coalesced", "shape")
    __array_ufunc__ = None  # `array + rows` is ours

    def __init__(self, indices: Any, values: Any, shape: tuple[int, ...]):
        indices, values = Tensor(indices), Tensor(values)
        shape = tuple(shape)
        if indices.dtype.kind not in "iu":
            raise TypeError(f"[SparseRows] indices have dtype {indices.dtype}, expected integers")
        expected = (indices.size, *shape[1:])
        if not shape or indices.ndim != 1 or values.shape != expected:
            raise ValueError(
                f"[SparseRows] indices are {indices.shape} and values {values.shape}, expected "
                f"(n,) and (n, {', '.join(map(str, shape[1:]))}) for a table of shape {shape}"
            )
        if indices.size and not (indices.data.min() >= 0 and indices.data.max() < shape[0]):
            raise IndexError(
                f"[SparseRows] indices reach from {indices.data.min()} to {indices.data.max()}, "
                f"expected 0 to {shape[0] - 1}"
            )
        indices = indices.to(values.device)
        self._hold(indices.data, values.data, shape, False)

    def _hold(self, indices, values, shape, coalesced):
        self._indices, self._values = indices, values
        self.shape, self.coalesced = shape, coalesced

    @property
    def indices(self) -> Tensor:
        """The places of the rows: integers (n,)."""
        return wrap(self._indices.copy())

    @property
    def values(self) -> Tensor:
        """The rows: (n, ...)."""
        return wrap(self._values.copy())

    @property
    def dtype(self) -> Any:
        """That of the values."""
        return self._values.dtype

    @property
    def device(self) -> str:
        """`"cpu"`, `"cuda"` or `"cuda-emulator"`."""
        return backend.of(self._values).device

    @property
    def nbytes(self) -> int:
        """The bytes that it takes."""
        return self._indices.nbytes + self._values.nbytes

    @property
    def base(self) -> Any:
        """Where its values lie: maybe in another gradient, so that a walk copies what it keeps."""
        return self._values

    def coalesce(self) -> "SparseRows":
        """Each row once, in rising order, with its sum. Half types are added up in float32."""
        if self.coalesced:
            return self
        indices, values = backend.of(self._values).k.sum_rows(self._indices, self._values)
        return sparse_rows(indices, values, self.shape, True)

    def to_dense(self) -> Tensor:
        """The whole table as a Tensor."""
        xp = backend.of(self._values).xp
        return wrap(self.added_to(xp.zeros(self.shape, self.dtype)))

    def numpy(self) -> np.ndarray:
        """The whole table as a NumPy array."""
        return self.to_dense().numpy()

    def added_to(self, table):
        """A raw table to which the rows are added, in place; returns it."""
        rows = self.coalesce()
        at = rows._indices
        table[at] = (wide(table[at]) + wide(rows._values)).astype(table.dtype)
        return table

    def with_values(self, values) -> "SparseRows":
        """The same rows with other values, a raw array."""
        return sparse_rows(self._indices, values, self.shape, self.coalesced)

    def detach(self) -> "SparseRows":
        """Itself: it has no history."""
        return self

    def copy(self) -> "SparseRows":
        """The same in memory of its own."""
        copies = self._indices.copy(), self._values.copy()
        return sparse_rows(*copies, self.shape, self.coalesced)

    def to(self, device_or_dtype: Any) -> "SparseRows":
        """A copy on another device, or with values of another dtype."""
        values = wrap(self._values).to(device_or_dtype)
        indices = wrap(self._indices).to(values.device)
        return sparse_rows(indices.data, values.data, self.shape, self.coalesced)

    def __add__(self, other):
        return plus(self, other)

    def __radd__(self, other):
        return plus(other, self)

    def __neg__(self):
        return self.with_values(-self._values)

    def __mul__(self, factor):
        return self._by(factor, "__mul__")

    __rmul__ = __mul__

    def __truediv__(self, divisor):
        return self._by(divisor, "__truediv__")

    def _by(self, number, operator):
        if getattr(number, "size", 1) != 1 or isinstance(number, (str, list, tuple)):
            raise TypeError(
                f"[SparseRows] can be multiplied and divided by a number, got "
                f"{errors.describe(number)}; call to_dense() first"
            )
        number = number.item() if hasattr(number, "item") else number
        return self.with_values(getattr(wrap(self._values), operator)(number).data)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("[SparseRows] is no array: call .numpy() for the whole table")

    def __getattr__(self, name):
        raise AttributeError(
            f"[SparseRows] has no {name!r}: it holds the rows of a gradient, in .indices and "
            ".values; call .to_dense() for a Tensor"
        )

    def __reduce__(self):
        host = backend.of(self._values).to_host
        arrays = host(self._indices), host(self._values)
        return _rebuilt, (*arrays, self.shape, self.coalesced, self.device)

    def __repr__(self):
        return f"SparseRows({len(self._indices)} rows of {self.shape}, {self.dtype})"


def sparse_rows(indices, values, shape, coalesced=False):
    """SparseRows of raw arrays, which are neither checked nor copied."""
    rows = object.__new__(SparseRows)
    rows._hold(indices, values, shape, coalesced)
    return rows


def _rebuilt(indices, values, shape, coalesced, device):
    put = backend.get(device).from_host
    return sparse_rows(put(indices), put(values), shape, coalesced)


def plus(have, more):
    """The sum of two gradients of one shape, of which one is SparseRows; the other may be dense.

    Dense ones are raw arrays or Tensors, and so is the sum. Nothing that was given changes.
    """
    if type(have) is SparseRows and type(more) is SparseRows:
        return _joined(have, more)
    rows, dense = (have, more) if type(have) is SparseRows else (more, have)
    if type(dense) is not Tensor:
        return rows.added_to(dense.copy())
    if dense.node is not None:
        return dense + rows.to_dense()
    return wrap(rows.added_to(dense._array.copy()))


def _joined(have, more):
    """The rows of both, one after the other; added up where they would outgrow the table."""
    xp = backend.of(have._values).xp
    indices = xp.concatenate((have._indices, more._indices))
    rows = sparse_rows(indices, xp.concatenate((have._values, more._values)), have.shape)
    return rows.coalesce() if len(rows._indices) > rows.shape[0] else rows


GRADIENTS.append(SparseRows)
