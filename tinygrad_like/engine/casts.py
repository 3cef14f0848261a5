"""Casts that would not keep a value: refused where NumPy wraps around or makes up an integer.

    floats to integers     NaN, infinities and what is out of range: ValueError
    integers to integers   what is out of range: ValueError
    complex to real        TypeError, since the imaginary part would be lost
    numbers and lists      also what overflows a floating dtype: Tensor([1e300]) would be inf
    floats to floats       arrays overflow to inf with NumPy's warning, as in NumPy

Fractions are cut off, as in NumPy and PyTorch.
"""

import numpy as np

LARGEST_HALF = 65504.0  # of float16: no floating dtype overflows below it


def check_cast(owner, array, dtype):
    """Raise ValueError if an array has values that an integer dtype cannot hold.

    Raises TypeError for complex values and a real dtype.
    """
    if array.dtype.kind == "c" and dtype.kind not in "cb":
        raise TypeError(
            f"[{owner}] got {array.dtype}, but {dtype} holds real numbers; take the real part, "
            "x.real"
        )
    if dtype.kind not in "iu" or array.dtype.kind not in "iufV" or not array.size:
        return
    if array.dtype.kind in "iu" and np.can_cast(array.dtype, dtype):
        return
    limits = np.iinfo(dtype)
    lowest, highest = array.min().item(), array.max().item()  # Python's numbers compare exactly
    if lowest > limits.min - 1 and highest < limits.max + 1:
        return
    bad = highest if lowest > limits.min - 1 else lowest  # a NaN makes both NaN
    raise ValueError(
        f"[{owner}] {bad} does not fit into {dtype}, which holds {limits.min} to {limits.max}"
    )


def check_numbers(owner, array, dtype):
    """Raise ValueError if finite Python numbers, in an array, overflow in a dtype."""
    if dtype.kind in "iu":
        check_cast(owner, array, dtype)
    if dtype.kind == "c" and dtype != array.dtype:
        for part in (array.real, array.imag):
            check_numbers(owner, part, np.dtype(np.float32 if dtype.itemsize == 8 else np.float64))
        return
    if dtype.kind not in "fV" or array.dtype.kind not in "iuf" or dtype == array.dtype:
        return
    if dtype.kind == "f" and type(array) is np.ndarray:
        if array.ndim == 0 and -LARGEST_HALF < array.item() < LARGEST_HALF:
            return  # the check below takes two microseconds
        try:
            with np.errstate(all="ignore", over="raise"):
                array.astype(dtype)
            return
        except FloatingPointError:
            pass
    with np.errstate(all="ignore"):
        overflows = np.isfinite(array) & ~np.isfinite(array.astype(dtype).astype(np.float64))
    if overflows.any():
        bad = array[overflows][0]
        raise ValueError(f"[{owner}] {bad} does not fit into {dtype}; give a wider dtype")
