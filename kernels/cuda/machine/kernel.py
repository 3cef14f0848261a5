"""The decorators that register the kernels of CUDA: see kernels/kernel.py."""

from ...kernel import FLOAT16, REAL, Target
from ...reference.precision import INEXACT
from .dtypes import dtype_name, log_once


def _said_once(name, arrays):
    """Say once for which real numbers there is no kernel."""
    dtypes = [a.dtype for a in arrays]
    if any(dtype.kind in INEXACT for dtype in dtypes):
        names = ", ".join(map(dtype_name, dtypes))
        log_once("[%s] no kernel for %s: the array library's own way instead", name, names)


def _contiguous(x):
    return x.copy(order="C")


TARGET = Target("c_contiguous", _contiguous, (*REAL, FLOAT16), ("bfloat16",), _said_once)
KERNELS = TARGET.kernels
kernel, complete_kernel = TARGET.kernel, TARGET.complete_kernel
