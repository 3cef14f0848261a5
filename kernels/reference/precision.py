"""Rules for dtypes: half types are for storage, and arithmetic on them is in float32."""

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
    """NumPy's, but integers do not count beside inexact dtypes, and two half types give float32."""
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
    """Arrays in one dtype where NumPy knows none, as for bfloat16 and float16; scalars stay."""
    dtypes = [x.dtype for x in xs if hasattr(x, "dtype")]
    if all(dtype.kind != "V" for dtype in dtypes):
        return xs
    dtype = result_dtype(*dtypes)
    return tuple(x.astype(dtype, copy=False) if hasattr(x, "dtype") else x for x in xs)


@functools.lru_cache(1024)
def holds(dtype, number, exactly):
    """Whether a floating dtype can hold a Python number, exactly or else within its range."""
    try:
        value = float(number)
    except OverflowError:  # an integer beyond float64: NumPy says so
        return True
    with np.errstate(all="ignore"):
        rounded = float(np.float64(value).astype(dtype))
    return rounded == value if exactly else np.isinf(rounded) == np.isinf(value)


def wide(x):
    """`x` in the dtype to compute in, without a copy if it has that dtype."""
    return x.astype(np.float32) if is_half(x.dtype) else x


def as_complex(real, imaginary):
    """real + i imaginary, of arrays of one shape and dtype; an infinity stays in its part."""
    pairs = np.empty_like(real, shape=(*real.shape, 2), order="C")
    pairs[..., 0], pairs[..., 1] = real, imaginary
    return pairs.view(np.result_type(real.dtype, np.complex64))[..., 0]


def narrow(result, dtype):
    """A result of inputs of `dtype`, rounded to that dtype if it is a half type."""
    return result.astype(dtype) if is_half(dtype) else result
