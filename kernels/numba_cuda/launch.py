"""What the kernels of this folder share: the checks of their arrays, and the size of a launch."""

import importlib.util

import numpy as np

if importlib.util.find_spec("numba_cuda") is None:
    raise ImportError(
        "these kernels need the package numba-cuda: pip install 'tinygrad-like[numba-cuda]'"
    )

from numba import config, cuda

SIMULATED = bool(config.ENABLE_CUDASIM)
# The simulator starts a thread of the operating system for each thread of a block: small blocks
# are faster.
TILE = 4 if SIMULATED else 16  # rows and columns of a tile of a matrix
THREADS = 8 if SIMULATED else 128  # of a one-dimensional block; a power of two

DTYPES = np.dtype(np.float32), np.dtype(np.float64)


def check(kernel, **arrays):
    """Raise ValueError unless the arrays (or None) are contiguous, of one dtype that kernels take.

    Raises RuntimeError where there is neither a GPU nor the simulator.
    """
    if not SIMULATED and not cuda.is_available():
        raise RuntimeError(
            f"[{kernel}] numba sees no GPU; to run in its simulator set NUMBA_ENABLE_CUDASIM=1 "
            "before Python starts"
        )
    first = next(iter(arrays.values()))
    for name, array in arrays.items():
        if array is None:
            continue
        if array.dtype not in DTYPES:
            raise ValueError(f"[{kernel}] {name} has dtype {array.dtype}, expected float32 or 64")
        if array.dtype != first.dtype:
            raise ValueError(
                f"[{kernel}] {name} has dtype {array.dtype}, the first array {first.dtype}"
            )
        if not array.flags.c_contiguous:
            raise ValueError(
                f"[{kernel}] {name} of shape {array.shape} is a strided view; copy it with "
                "ascontiguousarray"
            )


def blocks_for(count, size=THREADS):
    """How many blocks of `size` threads have a thread for each of `count` elements."""
    return -(-count // size)
