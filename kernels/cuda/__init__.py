"""The kernels of the reference in CUDA C++: on a GPU through CuPy, on a CPU in the emulator.

Each family is one `.cu` file with its launcher beside it. `launcher.py` checks every argument
before each launch; `emulator/` runs the same files without a GPU. What a kernel does not take
(dtypes mixed, complex numbers) goes to the reference, and so does what is not here at all.
"""

from ..reference import *  # noqa: F403  the contract; what follows replaces it name by name
from . import emulator, launcher
from .softmax import log_softmax, log_softmax_backward, softmax, softmax_backward

launcher.add_target(emulator.TARGET)
