"""Cases of softmax.cu and of rows.cuh."""

import numpy as np
from cuda_case import Case


def _case(name, inputs, shape):
    def make(rng):
        return [rng.standard_normal(shape) for _ in range(inputs)]

    def call(k, *arrays):
        return getattr(k, name)(*arrays)

    return Case(f"{name}-{'x'.join(map(str, shape))}", "softmax.cu", call, make)


KERNELS = {"softmax": 1, "softmax_backward": 2, "log_softmax": 1, "log_softmax_backward": 2}
CASES = [
    _case(name, inputs, shape)
    for name, inputs in KERNELS.items()
    for shape in ((1, 1), (2, 3, 33), (3, 300), (0, 5))
]

MASKED = np.full((3, 40), -np.inf)
MASKED[1, ::3], MASKED[2, 5] = 1.5, np.nan
CASES += [
    Case(
        f"{name}-masked",
        "softmax.cu",
        lambda k, x, name=name: getattr(k, name)(x),
        lambda rng: [MASKED],
    )
    for name in ("softmax", "log_softmax")
]
# Longer than what a block keeps in registers.
CASES += [_case("softmax", 1, (1, 8 * 1024 + 70))._replace(dtypes=("float32", "float16"))]
