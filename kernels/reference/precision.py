"""Half types are storage, float32 is arithmetic: the one place that says so."""

import functools

import numpy as np

FLOATING = "fV"  # the kinds of dtypes of real numbers; that of bfloat16 is V
INEXACT = "fcV"  # the kinds of dtypes that have gradients, complex ones among them

# A decorator of kernels whose tiny results are right as 0, for users who let NumPy raise.
underflow_is_fine = np.errstate(under="ignore")


def is_half(dtype):
    """Whether a dtype is float16 or bfloat16 (ml_dtypes', whose kind NumPy calls V)."""
    return dtype.itemsize == 2 and dtype.kind in "fV"


def result_dtype(*dtypes):
    """NumPy's, but beside real numbers integers decide nothing, and two half types give float32."""
    every = [np.dtype(d) for d in dtypes]
    real = [d for d in every if d.kind in INEXACT] or every
    if len({d for d in real if is_half(d)}) > 1:
        real = [np.float32 if is_half(d) else d for d in real]
    return np.result_type(*real)


def wide_dtype(*dtypes):
    """The dtype to compute in: float32 instead of a half type."""
    dtype = result_dtype(*dtypes)
    return np.dtype(np.float32) if is_half(dtype) else dtype


def in_one_dtype(*xs):
    """Arrays and numbers, where NumPy knows no common dtype: bfloat16 and integers or float16."""
    dtypes = [x.dtype for x in xs if hasattr(x, "dtype")]
    if all(dtype.kind != "V" for dtype in dtypes):
        return xs
    dtype = result_dtype(*dtypes)
    return tuple(x.astype(dtype, copy=False) if hasattr(x, "dtype") else x for x in xs)


@functools.lru_cache(1024)
def holds(dtype, number, exactly):
    """Whether a floating dtype has this Python number, exactly or else within its range."""
    try:
        value = float(number)
    except OverflowError:  # an integer beyond float64: NumPy says so
        return True
    with np.errstate(all="ignore"):
        rounded = float(np.float64(value).astype(dtype))
    return rounded == value if exactly else np.isinf(rounded) == np.isinf(value)


def wide(x):
    """`x` in the dtype to compute in; no copy where that is its own."""
    return x.astype(np.float32) if is_half(x.dtype) else x


def narrow(result, dtype):
    """What was computed from inputs of `dtype`, rounded to a half type where they are of one."""
    return result.astype(dtype) if is_half(dtype) else result
