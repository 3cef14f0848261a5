"""Random numbers and dropout, launched from random.cu: the bits of kernels/reference/random.py."""

import math

import numpy as np

from ..reference.random import LOW_64
from .machine import flat
from .machine.dtypes import dtype_name
from .machine.kernel import complete_kernel, kernel
from .machine.launcher import Source

SOURCE = Source("random.cu")
# The largest value below 1, by dtype.
MOST = {"float32": 1 - 2.0**-24, "float64": 1 - 2.0**-53, "float16": 1 - 2.0**-11}


@complete_kernel
def philox(seed, offset, n, like):
    """n uint32 words."""
    out = np.empty_like(like, shape=(n,), dtype=np.uint32)
    _draw("words", "float32", out, seed, offset, n)
    return out


@kernel()
def uniform(seed, offset, n, dtype, like):
    """n floats in [0, 1)."""
    name = dtype_name(dtype)
    if name not in MOST:
        return NotImplemented
    out = np.empty_like(like, shape=(n,), dtype=dtype)
    _draw("uniform_numbers", name, out, seed, offset, n, MOST[name])
    return out


@kernel()
def normal(seed, offset, n, dtype, like):
    """n standard normals by Box-Muller."""
    name = dtype_name(dtype)
    if name not in MOST:
        return NotImplemented
    out = np.empty_like(like, shape=(n,), dtype=dtype)
    _draw("normal_numbers", name, out, seed, offset, n)
    return out


@kernel("x")
def dropout(x, p, seed, offset):
    """y = x * keep / (1 - p), keep being whether float32 uniform i is >= p."""
    dtype = dtype_name(x.dtype)
    least = math.ceil(float(np.float32(p)) * 2.0**24) << 8  # the least word that keeps its element
    if least >> 32:  # no word is as large: all is dropped, infinities and NaN too
        return np.zeros_like(x)
    y = np.empty_like(x)
    if x.size:
        quads = flat.packs(x.size, "float32", x, y)  # of four elements of any dtype
        scale = float(1 / (1 - p))
        key = seed & LOW_64, offset & LOW_64
        kernel = SOURCE.kernel("dropout", dtype)
        kernel(flat.blocks(-(-x.size // 4)), flat.THREADS, y, x, least, scale, *key, x.size, quads)
    return y


def _draw(name, dtype, out, seed, offset, n, *options):
    """Launch a kernel that fills `out` with n draws, two or more for each thread."""
    if n:
        kernel = SOURCE.kernel(name, dtype)
        key = seed & LOW_64, offset & LOW_64
        kernel(flat.blocks(-(-n // 2)), flat.THREADS, out, *options, *key, n)
