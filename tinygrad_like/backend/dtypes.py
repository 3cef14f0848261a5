"""The dtypes that arrays may have, with the rules of kernels/reference/precision.py."""

import numpy as np

from tinygrad_like.kernels.reference.precision import (
    FLOATING,
    INEXACT,
    as_complex,
    holds,
    in_one_dtype,
    is_half,
    narrow,
    result_dtype,
    wide,
    wide_dtype,
)

__all__ = [
    "FLOATING",
    "INEXACT",
    "as_complex",
    "checked_dtype",
    "holds",
    "in_one_dtype",
    "is_half",
    "narrow",
    "result_dtype",
    "wide",
    "wide_dtype",
]


def checked_dtype(name, dtype, bfloat16=None):
    """A dtype as NumPy's. `bfloat16` is the dtype of such arrays on the device, or None.

    Raises TypeError, in the name of an op, unless arrays of the device can have it.
    """
    try:
        if dtype is None:  # which NumPy takes for float64
            raise TypeError
        dtype = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"[{name}] dtype is {dtype!r}, expected one of NumPy's") from None
    if dtype.kind in "biufc":
        return np.dtype(dtype.type)  # in native order, and the one object that kernels know
    if bfloat16 is not None and dtype == bfloat16:
        return dtype
    raise TypeError(
        f"[{name}] dtype is {dtype}, expected one of numbers"
        + ("; bfloat16 is for GPUs, and for autocast" if dtype.name == "bfloat16" else "")
    )
