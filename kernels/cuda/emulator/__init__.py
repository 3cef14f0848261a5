"""The CUDA kernels on a CPU: the same `.cu` files, compiled with g++ and run thread by thread.

    with emulator.run(schedule=2, checked=True):
        kernels.cuda.softmax(emulator.xp.asarray(x))

`xp` is the array module of the emulated device. A checked run also watches every access to memory.
README.md in this folder says what it finds and how it works.
"""

from .array import DeviceArray, xp
from .build import EmulatorError, KernelFault, problem
from .target import TARGET, Counters, load_library, run
