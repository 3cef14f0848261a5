"""Half types are storage, float32 is arithmetic: the one place that says so."""

import numpy as np

FLOATING = "fV"  # the kinds of dtypes of real numbers; that of bfloat16 is V
INEXACT = "fcV"  # the kinds of dtypes that have gradients, complex ones among them


def is_half(dtype):
    """Whether a dtype is float16 or bfloat16 (ml_dtypes', whose kind NumPy calls V)."""
    return dtype.itemsize == 2 and dtype.kind in "fV"


def wide_dtype(*dtypes):
    """The dtype to compute in: what NumPy would take, but float32 instead of a half type."""
    dtype = np.result_type(*dtypes)
    return np.dtype(np.float32) if is_half(dtype) else dtype


def wide(x):
    """`x` in the dtype to compute in; no copy where that is its own."""
    return x.astype(np.float32) if is_half(x.dtype) else x


def narrow(result, dtype):
    """What was computed from inputs of `dtype`, rounded to a half type where they are of one."""
    return result.astype(dtype) if is_half(dtype) else result
