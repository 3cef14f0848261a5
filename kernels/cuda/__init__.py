"""The kernels of the reference in CUDA C++: on a GPU through CuPy, on a CPU in the emulator.

Each family is one `.cu` file with its launcher beside it. `launcher.py` checks every argument
before each launch; `emulator/` runs the same files without a GPU. A kernel says beside itself
what it takes (kernel.py). What it does not take (dtypes mixed, complex numbers) goes to the
reference, and so does what is not here at all.
"""

from . import (  # each registers its kernels
    attention,
    conv,
    cross_entropy,
    elementwise,
    emulator,
    index,
    launcher,
    linalg,
    norm,
    optim,
    pool,
    random,
    recurrent,
    reduce,
    softmax,
)
from .kernel import KERNELS

globals().update(KERNELS)
launcher.add_target(emulator.TARGET)
