"""The kernels of the reference in CUDA C++: on a GPU through CuPy, on a CPU in the emulator.

A family has the name that it has in the reference, and each of its files begins with it:
`linalg.py` launches the kernels of `linalg.cu`, on tensor cores those of `linalg_tensor.cu`, by
warpgroups those of `linalg_wgmma.cu`. `machine/` holds what all families share: the launcher, which
checks every argument before each launch, the tables, the headers. `emulator/` runs the same files
without a GPU. A kernel says beside itself what it takes (machine/kernel.py). What it does not take
(dtypes mixed, complex numbers) goes to the reference, and so does what is not here at all.
"""

from . import (  # each registers its kernels
    attention,
    conv,
    elementwise,
    emulator,
    index,
    linalg,
    norm,
    optim,
    pool,
    random,
    recurrent,
    reduce,
    softmax,
)
from .machine import launcher
from .machine.kernel import KERNELS

globals().update(KERNELS)
launcher.add_target(emulator.TARGET)
