"""The dtypes of the standard, their limits, and how they are promoted.

What the standard leaves undefined is refused here, by name: a common dtype of integers and floats,
or of uint64 and int64.
"""

import builtins
from typing import Any, NamedTuple

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import Tensor
from tinygrad_like.engine import astype as cast

KINDS = {
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8", "uint16", "uint32", "uint64"),
    "real floating": ("float16", "float32", "float64"),  # float16 is not of the standard
    "complex floating": ("complex64", "complex128"),
}
KINDS["integral"] = KINDS["signed integer"] + KINDS["unsigned integer"]
KINDS["numeric"] = KINDS["integral"] + KINDS["real floating"] + KINDS["complex floating"]

bool = np.dtype("bool")
int8, int16, int32, int64 = map(np.dtype, KINDS["signed integer"])
uint8, uint16, uint32, uint64 = map(np.dtype, KINDS["unsigned integer"])
float16, float32, float64 = map(np.dtype, KINDS["real floating"])
complex64, complex128 = map(np.dtype, KINDS["complex floating"])

# The dtypes in which Python's numbers become Tensors.
DEFAULTS = {"b": bool, "i": int64, "f": float32, "c": complex64}
INEXACT = "fc"


class finfo_object(NamedTuple):
    """The limits of a floating dtype, of a complex one those of its parts."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: np.dtype


class iinfo_object(NamedTuple):
    """The limits of an integer dtype."""

    bits: int
    max: int
    min: int
    dtype: np.dtype


def dtype_of(name: str, x: Any) -> np.dtype:
    """The dtype that `x` is or has; TypeError if it is no dtype of a Tensor."""
    if hasattr(x, "dtype") and not isinstance(x, (np.dtype, type)):
        return x.dtype
    if x is None or isinstance(x, (int, float, complex)):
        raise TypeError(f"[{name}] got {x!r}, expected a dtype or an array")
    return backend.CPU.checked_dtype(name, x)


def finfo(type: Any, /) -> finfo_object:
    """The limits of a floating or complex dtype, or of that of an array."""
    dtype = dtype_of("finfo", type)
    if dtype.kind not in INEXACT:
        raise TypeError(f"[finfo] got {dtype}, expected a floating dtype; iinfo is for integers")
    info = np.finfo(dtype)
    eps, most, least = float(info.eps), float(info.max), float(info.min)
    normal = float(info.smallest_normal)
    return finfo_object(int(info.bits), eps, most, least, normal, np.dtype(info.dtype))


def iinfo(type: Any, /) -> iinfo_object:
    """The limits of an integer dtype, or of that of an array."""
    dtype = dtype_of("iinfo", type)
    if dtype.kind not in "iu":
        raise TypeError(f"[iinfo] got {dtype}, expected an integer dtype; finfo is for floats")
    info = np.iinfo(dtype)
    return iinfo_object(info.bits, int(info.max), int(info.min), dtype)


def isdtype(dtype: Any, kind: Any) -> "builtins.bool":
    """Whether a dtype is another one, of a kind ("numeric", "integral", ...), or of one of several.

    Raises ValueError for a kind that the standard does not have.
    """
    dtype = dtype_of("isdtype", dtype)
    for one in kind if isinstance(kind, tuple) else (kind,):
        if isinstance(one, str):
            if one not in KINDS:
                raise ValueError(f"[isdtype] kind is {one!r}, expected one of {', '.join(KINDS)}")
            if dtype.name in KINDS[one]:
                return True
        elif dtype == dtype_of("isdtype", one):
            return True
    return False


def _group(dtype: np.dtype) -> str:
    """Dtypes of one group have a common one; so have floats and complex numbers."""
    return {"b": "booleans", "i": "integers", "u": "integers"}.get(dtype.kind, "floats")


def result_type(*arrays_and_dtypes: Any) -> np.dtype:
    """The dtype that arrays, dtypes and Python numbers are promoted to together.

    A Python number takes the precision of what stands beside it: a float that of float32, and an
    integer that of any numbers. One beside integers or booleans that cannot hold it is refused, and
    so is what the standard leaves undefined.
    """
    numbers = [x for x in arrays_and_dtypes if isinstance(x, (int, float, complex))]
    dtypes = [
        dtype_of("result_type", x)
        for x in arrays_and_dtypes
        if not isinstance(x, (int, float, complex))
    ]
    if not dtypes:
        raise TypeError("[result_type] got numbers alone, expected an array or a dtype among them")
    result = dtypes[0]
    for dtype in dtypes[1:]:
        result = _promoted(result, dtype)
    for number in numbers:
        result = _beside_a_number(result, number)
    return result


def _promoted(a: np.dtype, b: np.dtype) -> np.dtype:
    result = np.result_type(a, b)
    if a != b and (_group(a) != _group(b) or _group(result) != _group(a)):
        raise TypeError(
            f"[result_type] {a} and {b} have no common dtype in the standard; use astype"
        )
    return result


def _beside_a_number(dtype: np.dtype, number: Any) -> np.dtype:
    """The dtype of an array and a Python number."""
    order = "biufc"  # what holds what: a float no complex number, an integer no fraction
    needed = DEFAULTS[np.array(number).dtype.kind if abs(number) < 1 << 63 else "i"].kind
    if isinstance(number, complex) and dtype.kind == "f":
        return np.result_type(dtype, complex64)
    wider = {"u": "i"}.get(dtype.kind, dtype.kind)
    is_fine = needed == "b" == wider or (
        needed != "b" and wider != "b" and order.index(needed) <= order.index(wider)
    )
    if not is_fine:
        raise TypeError(f"[result_type] {dtype} does not hold {number!r}; use astype")
    return dtype


def can_cast(from_: Any, to: Any, /) -> "builtins.bool":
    """Whether promotion leads from a dtype, or from that of an array, to the dtype `to`."""
    to = dtype_of("can_cast", to)
    try:
        return _promoted(dtype_of("can_cast", from_), to) == to
    except TypeError:
        return False


def astype(x: Tensor, dtype: Any, /, *, copy: builtins.bool = True, device: Any = None) -> Tensor:
    """`x` in another dtype; with `copy=False` itself if it has that dtype already.

    Raises ValueError for values that an integer dtype cannot hold, NaN included.
    """
    if device is not None:
        x = x.to(backend.get(device).device)
    dtype = dtype_of("astype", dtype)
    if x.dtype == dtype:
        return x.copy() if copy else x
    return cast(x, dtype=dtype)
