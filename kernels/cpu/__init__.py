"""The kernels of the reference, compiled by numba for the CPU: float32 and float64, on all threads.

compile.py, threads.py, gemm.py, vector_math.py and memory.py are what the kernels build on. What a
kernel does not take (other dtypes, dtypes mixed) it hands to the reference, and what is not here
at all is the reference's.
"""

from ..reference import *  # noqa: F403  the contract; what follows replaces it name by name
from .linalg import linear, matmul
