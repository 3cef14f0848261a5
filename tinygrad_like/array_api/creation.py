"""New arrays: float32, int64 and complex64 unless a dtype is given, on the device that is given."""

from typing import Any

from tinygrad_like import backend
from tinygrad_like.array_api.dtypes import DEFAULTS, astype, dtype_of
from tinygrad_like.engine import Tensor, check_integer, wrap
from tinygrad_like.ops.arrays import create
from tinygrad_like.ops.indexing.arrange import meshgrid as grid
from tinygrad_like.ops.indexing.index import tril, triu

__all__ = ["tril", "triu"]


def asarray(
    obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None
) -> Tensor:
    """A Tensor of an array, a number or nested lists of numbers.

    Args:
        copy: whether the memory is to be copied: always, never (ValueError where that cannot be),
            or if needed. A NumPy array is copied unless it is False.
    """
    dtype = None if dtype is None else dtype_of("asarray", dtype)
    if copy is not False and not isinstance(obj, Tensor):
        return Tensor(obj, dtype=dtype, device=device)
    is_shared = isinstance(obj, Tensor) or hasattr(obj, "__dlpack__")
    x = obj if isinstance(obj, Tensor) else create.from_dlpack(obj) if is_shared else None
    moved = x is not None and device not in (None, x.device)
    if copy is False and (x is None or moved or dtype not in (None, x.dtype)):
        raise ValueError(
            "[asarray] copy is False, but another dtype, another device and lists need a copy"
        )
    assert x is not None
    return astype(x, dtype or x.dtype, device=device, copy=bool(copy))


def from_dlpack(x: Any, /, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A Tensor on the memory of an array of any library that speaks DLPack."""
    return create.from_dlpack(x, device=device, copy=copy)


def arange(
    start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None
) -> Tensor:
    """The numbers of [start, stop) in steps of `step`; of [0, start) if there is no `stop`."""
    return create.arange(start, stop, step, dtype=dtype, device=device)


def linspace(
    start: Any,
    stop: Any,
    /,
    num: int,
    *,
    dtype: Any = None,
    device: Any = None,
    endpoint: bool = True,
) -> Tensor:
    """`num` evenly spaced numbers from `start` to `stop`, the latter included if `endpoint`."""
    num = check_integer("linspace", "num", num, 0)
    be = backend.get(device)
    kind = "c" if isinstance(start, complex) or isinstance(stop, complex) else "f"
    dtype = DEFAULTS[kind] if dtype is None else be.checked_dtype("linspace", dtype)
    return wrap(be.xp.linspace(start, stop, num, dtype=dtype, endpoint=endpoint))


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None
) -> Tensor:
    """A matrix with ones on the k-th diagonal."""
    n_cols = n_rows if n_cols is None else n_cols
    create.shape_of("eye", (n_rows, n_cols))
    be = backend.get(device)
    dtype = DEFAULTS["f"] if dtype is None else be.checked_dtype("eye", dtype)
    return wrap(be.xp.eye(n_rows, n_cols, k=check_integer("eye", "k", k), dtype=dtype))


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros."""
    return create.zeros(shape, dtype=DEFAULTS["f"] if dtype is None else dtype, device=device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones."""
    return create.ones(shape, dtype=DEFAULTS["f"] if dtype is None else dtype, device=device)


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """An array that may hold anything: zeros, which no program can mistake for results."""
    return zeros(shape, dtype=dtype, device=device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """One number everywhere."""
    return create.full(shape, fill_value, dtype=dtype, device=device)


def _like(x: Tensor, device: Any) -> Any:
    return x.device if device is None else device


def zeros_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros of the shape, dtype and device of `x`, where no other are given."""
    return zeros(x.shape, dtype=x.dtype if dtype is None else dtype, device=_like(x, device))


def ones_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Ones of the shape, dtype and device of `x`, where no other are given."""
    return ones(x.shape, dtype=x.dtype if dtype is None else dtype, device=_like(x, device))


def empty_like(x: Tensor, /, *, dtype: Any = None, device: Any = None) -> Tensor:
    """An array like `x` that may hold anything; see `empty`."""
    return zeros_like(x, dtype=dtype, device=device)


def full_like(x: Tensor, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Tensor:
    """One number in the shape, dtype and device of `x`, where no other are given."""
    dtype = x.dtype if dtype is None else dtype
    return full(x.shape, fill_value, dtype=dtype, device=_like(x, device))


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> list[Tensor]:
    """Coordinates on a grid, one array for each of the given ones."""
    return list(grid(*arrays, indexing=indexing))
