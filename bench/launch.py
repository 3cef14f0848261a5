"""What a launch of a CUDA kernel costs before the driver is called: checks and packing, no GPU.

The launch itself is left out: what is timed is `Kernel.__call__` on arrays of the emulated device,
with eight arguments, six of them arrays. The aim is less than 10 us.
"""

import argparse
import time

from bench import report

CALLS = 2000


def microseconds(bouts):
    """{median, low, high} of a launch, over bouts of many launches."""
    import numpy as np
    from tinygrad_like.kernels.cuda import emulator, norm
    from tinygrad_like.kernels.cuda.machine import launcher

    class Target:
        """The emulated device, which launches nothing."""

        array_type, problem, raw = emulator.DeviceArray, None, emulator.TARGET.raw

        def load(self, kernel):
            return lambda grid, block, arguments, shared: None

    launcher.add_target(Target())
    try:
        shapes = (8, 8), 8, 8, (8, 8), 8, 8
        arrays = [emulator.xp.asarray(np.ones(shape, np.float32)) for shape in shapes]
        kernel = norm.SOURCE.kernel("layer_norm", "float32")
        found = []
        for _ in range(bouts):
            start = time.perf_counter()
            for _ in range(CALLS):
                kernel(8, 32, *arrays, 1e-5, 8)
            found.append((time.perf_counter() - start) / CALLS * 1e6)
    finally:
        launcher.add_target(emulator.TARGET)
    return report.summary(found)


def main():
    parser = argparse.ArgumentParser(prog="python -m bench launch", description=__doc__)
    parser.add_argument("--bouts", type=int, default=9)
    parser.add_argument("--save", action="store_true", help="write JSON to bench/results/")
    args = parser.parse_args()
    found = microseconds(args.bouts)
    print(f"checks and packing of a launch with 8 arguments: {report.spread(found, 1)} us")
    if args.save:
        report.save("launch", [{"name": "launch", "us": found}], "A launch before the driver")
