"""What a case of a CUDA kernel is, and how one is run: in the emulator and, exactly, in NumPy."""

from collections.abc import Callable
from typing import NamedTuple

import ml_dtypes
import numpy as np
from tinygrad_like.kernels import cuda, reference

DTYPES = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
SCHEDULES = (0, 1, 2, 4, 10, 15)


class Case(NamedTuple):
    """One call of kernels, small enough to run often.

    `call(k, *arrays)` calls the kernels of the table `k` (the CUDA kernels or the reference) and
    returns an array or a tuple of them; `make(rng)` draws the arrays. Floating arrays are drawn in
    float64 and rounded to the dtype of the run; integers and bools stay as they are.
    """

    name: str
    source: str  # the .cu file whose kernels it is about
    call: Callable
    make: Callable
    bound: float = 8.0  # epsilons of the dtype, at the largest element of each exact result
    dtypes: tuple = ("float32", "float64", "float16", "bfloat16")


def rounded(case, dtype, seed=0):
    """The arrays of a case, floating ones in `dtype`; None stays None."""
    arrays = case.make(np.random.default_rng(seed))
    return [a.astype(DTYPES[dtype]) if a is not None and a.dtype.kind == "f" else a for a in arrays]


def exact(case, arrays):
    """The results of the reference in float64, as a list."""
    wide = [a if a is None or a.dtype.kind in "iub" else a.astype(np.float64) for a in arrays]
    return as_list(case.call(reference, *wide))


def emulated(case, arrays):
    """The results of the CUDA kernels on the emulated device, as a list of NumPy arrays."""
    device = cuda.emulator.xp
    found = as_list(case.call(cuda, *(None if a is None else device.asarray(a) for a in arrays)))
    return [None if y is None else device.asnumpy(y) for y in found]


def misaligned(array):
    """A copy that begins one element beyond a multiple of 16 bytes, on the device of the array."""
    held = np.empty_like(array, shape=array.size + 1)
    held[1:] = array.reshape(-1)
    return held[1:].reshape(array.shape)


def as_list(results):
    return list(results) if isinstance(results, tuple) else [results]


def difference(found, expected, dtype, bound):
    """What is wrong with results, in words; None if all are within `bound` epsilons of `dtype`."""
    eps = float(ml_dtypes.finfo(DTYPES[dtype]).eps)
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if a is None or b is None:
            if a is not b:
                return f"result {i}: only one of the two is None"
            continue
        if a.shape != b.shape:
            return f"result {i}: shape {a.shape}, expected {b.shape}"
        if b.dtype.kind in "iub":
            if not np.array_equal(a, b):
                return f"result {i}: integers differ"
            continue
        a = a.astype(np.float64)
        finite = np.isfinite(b)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return f"result {i}: infinities or NaN differ"
        error = np.abs(a[finite] - b[finite]).max(initial=0.0)
        scale = np.abs(b[finite]).max(initial=1e-30) * eps
        if not error <= bound * scale:
            return f"result {i}: off by {error / scale:.3g} epsilons, at most {bound:g} allowed"
    return None
