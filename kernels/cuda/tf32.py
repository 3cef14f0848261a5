"""The kernels of this package, but products of float32 matrices on tensor cores.

Their numbers are rounded to tf32, 11 bits instead of 24, and summed in float32. Only a user who
asks for it gets that: `tg.use_kernels("tf32")`.
"""

import functools

from . import *  # noqa: F403  what is not below is as it is
from . import linalg

matmul = functools.partial(linalg.matmul, tf32=True)
linear = functools.partial(linalg.linear, tf32=True)
