"""What can be used on this machine: numba, CuPy with a GPU, the emulator; if not, the fix."""

import importlib
import logging

import numpy as np

from tinygrad_like.kernels import reference


def numba_problem():
    """Why the compiled kernels of the CPU cannot be used here, with the fix; None if they can."""
    try:
        importlib.import_module("numba")
    except ImportError as error:  # also of a numba that is too old for this NumPy
        return f"numba cannot be imported ({error}). Install it: pip install -U numba"
    return None


def cpu_kernels():
    """The CPU's compiled kernels; without numba the reference, with a warning that says so."""
    problem = numba_problem()
    if problem is not None:
        logging.getLogger(__name__).warning(
            "[backend] the CPU computes by NumPy alone, right but several times as slow: %s",
            problem,
        )
        return reference
    return importlib.import_module("tinygrad_like.kernels.cpu")


def cuda_kernels():
    """The kernels in CUDA C++, for a GPU or the emulator."""
    return importlib.import_module("tinygrad_like.kernels.cuda")


def tf32_kernels():
    """The CUDA kernels with products of float32 on tensor cores, rounded to TF32."""
    return importlib.import_module("tinygrad_like.kernels.cuda.tf32")


def cuda_problem():
    """Why `device="cuda"` cannot be used here, with the fix; None if it can."""
    try:
        import cupy
    except ImportError as error:
        return f"CuPy is not installed ({error}). Install it: {_cupy_command()}"
    try:
        if cupy.cuda.runtime.getDeviceCount() > 0:
            return None
        return "CuPy is installed but sees no GPU. Check that nvidia-smi lists one"
    except Exception as error:  # CuPy raises many types for a broken driver or a wrong wheel
        return f"CuPy {cupy.__version__} is installed but CUDA does not answer ({error}). " + (
            f"Check the driver with nvidia-smi, or reinstall CuPy: {_cupy_command()}"
        )


def _cupy_command():
    return (
        "pip install 'tinygrad-like[cuda13]' for CUDA 13, or 'tinygrad-like[cuda]' for CUDA 12 "
        "(nvidia-smi shows the version)"
    )


def emulator_problem():
    """Why `device="cuda-emulator"` cannot be used here, with the fix; None if it can."""
    return importlib.import_module("tinygrad_like.kernels.cuda.emulator").problem()


def bfloat16_of(cupy):
    """`bfloat16()` if this CuPy has such arrays, and can cast, add and select them; else None."""
    dtype = bfloat16()
    if dtype is None:
        return None
    try:
        ones = cupy.ones(2, np.float32).astype(dtype)
        sums = cupy.where(ones > 0, ones + ones, ones).astype(np.float32)
        return dtype if float(sums[1]) == 2 else None
    except Exception:  # CuPy, its compiler and NumPy raise many types; autocast emulates it then
        return None


def bfloat16():
    """NumPy's dtype for bfloat16, which the package ml_dtypes defines, or None without it."""
    try:
        import ml_dtypes
    except ImportError:
        return None
    return np.dtype(ml_dtypes.bfloat16)
