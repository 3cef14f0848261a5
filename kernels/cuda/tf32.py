"""The kernels of this package, but products of float32 matrices on tensor cores.

Their numbers are rounded to tf32, 11 bits instead of 24, and summed in float32. Only a user who
asks for it gets that: `tg.use_kernels("tf32")`.
"""

import functools

from . import KERNELS as OURS

matmul = functools.partial(OURS["matmul"], tf32=True)
linear = functools.partial(OURS["linear"], tf32=True)
matmul.any_layout = linear.any_layout = True  # type: ignore[attr-defined]

KERNELS = {**OURS, "matmul": matmul, "linear": linear}
