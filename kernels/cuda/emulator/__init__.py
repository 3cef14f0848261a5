"""The CUDA kernels on a CPU: the same `.cu` files, compiled with g++ and run thread by thread.

    with emulator.run(schedule=2, checked=True):
        kernels.cuda.softmax(emulator.xp.asarray(x))

`xp` is the array module of the emulated device. A checked run also watches every access to memory:
see README.md beside this file for what it finds and how it works.
"""

from .array import DeviceArray, xp
from .build import EmulatorError, KernelFault, problem
from .target import TARGET, Counters, load_library, run
