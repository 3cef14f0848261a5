"""The emulator in the place of the GPU whose kernels the benchmark times."""

import time

from tinygrad_like.kernels.cuda import emulator


class EmulatedCard:
    """What the benchmark asks of a GPU, answered by the emulator."""

    name, torch_device, cache_bytes = "the emulator", "cpu", 1 << 14
    xp = emulator.xp
    asarray, to_host = staticmethod(xp.asarray), staticmethod(xp.asnumpy)

    def milliseconds(self, step, repeats):
        start = time.perf_counter()
        for _ in range(repeats):
            step()
        return (time.perf_counter() - start) * 1e3
