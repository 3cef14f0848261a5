"""The decorators that register the kernels of CUDA: see kernels/kernel.py."""

from ...kernel import FLOAT16, REAL, Target
from .dtypes import log_refused


def contiguous(x):
    """x, or a copy of it if it is not C-contiguous."""
    return x if x.flags.c_contiguous else x.copy(order="C")


TARGET = Target("c_contiguous", contiguous, (*REAL, FLOAT16), ("bfloat16",), log_refused)
KERNELS = TARGET.kernels
kernel, complete_kernel = TARGET.kernel, TARGET.complete_kernel
