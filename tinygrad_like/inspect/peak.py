"""The highest rate of the machine, measured: that of a large product of float32 matrices."""

from time import perf_counter

import numpy as np

from tinygrad_like import backend

SIZE = 1024
SECONDS = 0.3  # spent on products, of which the fastest counts: other programs may run, too

_measured: dict[tuple[str, int], float] = {}


def peak(device):
    """The FLOPs per second of the fastest of some float32 products, by the array library.

    Measured once for each device and number of threads, which takes SECONDS. None for the emulator,
    whose time says nothing.
    """
    if device == "cuda-emulator":
        return None
    key = device, backend.num_threads()
    if key not in _measured:
        be = backend.get(device)
        a = be.from_host(np.full((SIZE, SIZE), 0.5, np.float32))
        clock = synchronised(be)
        a @ a  # the first one starts the library's threads
        times: list[float] = []
        while sum(times) < SECONDS:
            start = clock()
            a @ a
            times.append(clock() - start)
        _measured[key] = 2 * SIZE**3 / min(times)
    return _measured[key]


def synchronised(be):
    """A clock, in seconds, that waits for what a device has been given to do."""
    if be.device != "cuda":
        return perf_counter

    def clock():
        be.xp.cuda.get_current_stream().synchronize()
        return perf_counter()

    return clock
