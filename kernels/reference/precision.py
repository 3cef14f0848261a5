"""float16 is storage, float32 is arithmetic: the one place that says so."""

import numpy as np


def wide_dtype(*dtypes):
    """The dtype to compute in: what NumPy would take, but float32 instead of float16."""
    dtype = np.result_type(*dtypes)
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def wide(x):
    """`x` in the dtype to compute in; no copy where that is its own."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def narrow(result, dtype):
    """What was computed from inputs of `dtype`, rounded to float16 where they are float16."""
    return result.astype(np.float16) if dtype == np.float16 else result
