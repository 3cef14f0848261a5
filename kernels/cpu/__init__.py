"""The kernels of the reference, compiled by numba for the CPU: float32 and float64, on all threads.

compile.py, threads.py, gemm.py, vector_math.py and memory.py are what the kernels build on. What a
kernel does not take (other dtypes, dtypes mixed) it hands to the reference.
"""

from .conv import conv2d, conv2d_input_grad, conv2d_weight_grad
