"""Standard random numbers, of which samples are functions.

They come from the library's stream, so `tg.seed` repeats them on every device, and each example of
a vmap draws its own.
"""

import numpy as np

from tinygrad_like.backend import wide_dtype
from tinygrad_like.engine import astype
from tinygrad_like.ops.elements.elementwise import log, log1p, maximum
from tinygrad_like.ops.samples.quantiles import log_gamma_sample
from tinygrad_like.ops.samples.random import rand, randn


def uniform(sizes, like, dtype=None):
    """Uniform numbers in the open interval (0, 1), of the precision of `like` or more."""
    dtype = wide_dtype(dtype or like.dtype)
    least = 2.0**-54 if dtype.itemsize == 8 else 2.0**-25
    return maximum(rand(sizes, dtype=dtype, device=like.device), least)


def normal(sizes, like):
    """Standard normal numbers."""
    return randn(sizes, dtype=like.dtype, device=like.device)


def exponential(sizes, like):
    """Exponential numbers of rate 1."""
    return astype(-log(uniform(sizes, like)), dtype=like.dtype)


def logistic(sizes, like):
    """log(u / (1 - u)) of uniform numbers u."""
    u = uniform(sizes, like)
    return astype(log(u) - log1p(-u), dtype=like.dtype)


def gumbel(sizes, like):
    """-log of exponential numbers."""
    return astype(-log(-log(uniform(sizes, like))), dtype=like.dtype)


def log_gamma(concentration, sizes):
    """Logarithms of gamma numbers of rate 1, differentiable with respect to their shapes."""
    double = np.dtype(np.float64)
    z = randn(sizes, dtype=double, device=concentration.device)
    u, p = (uniform(sizes, concentration, double) for _ in range(2))
    log_x = log_gamma_sample(astype(concentration, dtype=double), z, u, p)
    return astype(log_x, dtype=concentration.dtype)
