"""Cases of random.cu."""

import numpy as np
from cuda_case import Case

SEED, OFFSET = 0xFEDCBA9876543210, 2**32 - 3


def _dropout(p, shape, name="", start=0):
    return Case(
        f"dropout-{p}-{'x'.join(map(str, shape))}{name}",
        "random.cu",
        lambda k, x: k.dropout(x.reshape(-1)[start:], p, SEED, OFFSET),
        lambda rng: [rng.standard_normal(shape)],
        bound=1,
    )


def _draw(kind, n, bound, dtype):
    def call(k, x):
        return getattr(k, kind)(SEED, OFFSET, n, np.dtype(dtype), x).astype(np.float64)

    return Case(f"{kind}-{n}", "random.cu", call, lambda rng: [np.zeros(1)], bound, dtypes=(dtype,))


FLOATS = ("float32", "float64", "float16")
CASES = [
    Case(
        "philox-37",
        "random.cu",
        lambda k, x: k.philox(SEED, OFFSET, 37, x),
        lambda rng: [np.zeros(1)],
        dtypes=("float32",),
    ),
    *(_draw("uniform", n, 0, dtype) for n in (37, 38, 1, 0) for dtype in FLOATS),
    *(_draw("normal", n, 4, dtype) for n in (37, 38, 1, 0) for dtype in FLOATS),
    *(_dropout(p, shape) for p in (0.0, 0.3, 1.0) for shape in ((3, 37), (0, 4))),
    _dropout(0.5, (2, 700)),
    _dropout(0.5, (41,), "-unaligned", 1),
]
