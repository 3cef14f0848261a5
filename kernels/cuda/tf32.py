"""The same kernels, with products of float32 matrices on tensor cores.

Elements are rounded to tf32, which has 11 bits instead of 24, and the products summed in float32.
They are used only on request: `tg.use_kernels("tf32")`.
"""

import functools

from . import KERNELS as OURS

matmul = functools.partial(OURS["matmul"], tf32=True)
linear = functools.partial(OURS["linear"], tf32=True)
matmul.any_layout = linear.any_layout = True  # type: ignore[attr-defined]

KERNELS = {**OURS, "matmul": matmul, "linear": linear}
