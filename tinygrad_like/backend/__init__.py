"""From an array, or a device name, to the `Backend` that computes on it.

A backend is an array module (NumPy or CuPy) and a table of kernels of the same names. Everything
that differs between devices is here:

dtypes.py     what arrays may hold, for all floors above
table.py      the kernels of a target by name, loaded at first use
choice.py     ours, or the array library's: `tg.use_kernels`
installed.py  what can be used on this machine, and the fix where it cannot
devices.py    `Backend`, and which one belongs to an array or a device name
resources.py  memory and threads
"""

from tinygrad_like.backend.choice import use_kernels
from tinygrad_like.backend.devices import (
    BY_DEVICE,
    BY_TYPE,
    CPU,
    STAND_INS,
    Backend,
    DeviceError,
    get,
    is_device,
    of,
    set_device,
)
from tinygrad_like.backend.dtypes import (
    FLOATING,
    INEXACT,
    as_complex,
    holds,
    in_one_dtype,
    is_half,
    narrow,
    result_dtype,
    wide,
    wide_dtype,
)
from tinygrad_like.backend.installed import cuda_problem, emulator_problem, numba_problem
from tinygrad_like.backend.resources import memory, num_threads, set_num_threads
from tinygrad_like.backend.table import Kernels

# What the floors above use of kernels/, passed on:
from tinygrad_like.kernels.reference.reduce import describe_reduction
from tinygrad_like.kernels.undo import Undoing
