"""The kernels of the reference in CUDA C++: on a GPU through CuPy, on a CPU in the emulator.

A family has the same name as in the reference, and the names of its files begin with it:
`linalg.py` launches the kernels of `linalg.cu`, those of `linalg_tensor.cu` on tensor cores, and
those of `linalg_wgmma.cu` on warpgroups. `machine/` holds what all families share: the launcher,
which checks every argument before each launch, the tables and the headers. `emulator/` runs the
same files without a GPU. The decorator of a kernel says which arrays it takes (machine/kernel.py).
The reference computes all other calls (mixed dtypes, complex numbers), and kernels missing here.
"""

from . import (  # each registers its kernels
    attention,
    conv,
    ctc,
    elementwise,
    emulator,
    fused,
    index,
    linalg,
    norm,
    optim,
    pool,
    random,
    recurrent,
    reduce,
    scan,
    softmax,
)
from .machine import launcher
from .machine.kernel import KERNELS

globals().update(KERNELS)
launcher.add_target(emulator.TARGET)
