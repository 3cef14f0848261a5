"""What a device uses: the memory that its arrays take, the threads that compute."""

import importlib
import sys

import numpy as np

from tinygrad_like.backend.devices import get
from tinygrad_like.backend.installed import numba_problem


def memory(device=None):
    """What the arrays of a device take, in bytes: `{"used": ..., "held": ..., "text": ...}`.

    On a GPU `used` is what arrays take, and `held` what CuPy's pool has taken from the GPU, to use
    it again. On the CPU (and in the emulator) both are the peak of the process's memory so far,
    None where the system does not say. `text` says it in words.
    """
    found = get(device)
    if found.device == "cuda":
        pool = found.xp.get_default_memory_pool()
        used, held = pool.used_bytes(), pool.total_bytes()
        text = f"{used / 2**20:.1f} MiB in arrays, {held / 2**20:.1f} MiB held by the pool"
        return {"used": used, "held": held, "text": text}
    try:
        import resource
    except ImportError:  # Windows
        return {"used": None, "held": None, "text": "the system does not say"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    text = f"{peak / 2**20:.1f} MiB at the peak of the process"
    return {"used": peak, "held": peak, "text": text}


def num_threads():
    """How many threads the CPU's kernels use; 1 without numba, whose threads they are."""
    if numba_problem() is not None:
        return 1
    return importlib.import_module("tinygrad_like.kernels.cpu.machine.threads").num_threads()


def set_num_threads(n):
    """Let the CPU's kernels, and NumPy's matrix products, use `n` threads; by default all cores.

    At the start, NUMBA_NUM_THREADS or else OMP_NUM_THREADS in the environment has the same effect.

    Raises ValueError if `n` is not a positive integer.
    """
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1:
        raise ValueError(f"[set_num_threads] n is {n!r}, expected a positive integer")
    n = int(n)
    import threadpoolctl

    if numba_problem() is None:
        importlib.import_module("tinygrad_like.kernels.cpu.machine.threads").set_num_threads(n)
    for library in threadpoolctl.ThreadpoolController().lib_controllers:
        if library.user_api == "blas" and "numpy.libs" in library.filepath:
            library.set_num_threads(n)
