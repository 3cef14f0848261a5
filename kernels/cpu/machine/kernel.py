"""The decorators that register the kernels of the CPU: see kernels/kernel.py."""

from ...kernel import FLOAT16, REAL, Target
from .memory import plain

TARGET = Target("carray", plain)  # numba gives read-only arrays another type, and compiles anew
KERNELS = TARGET.kernels
kernel, complete_kernel = TARGET.kernel, TARGET.complete_kernel

__all__ = ["FLOAT16", "KERNELS", "REAL", "complete_kernel", "kernel"]
