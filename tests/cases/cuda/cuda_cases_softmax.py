"""Cases of softmax.cu (softmax, log-softmax, cross-entropy) and of rows.cuh."""

import numpy as np
from cuda_case import DTYPES, Case


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

# Cross-entropy.
ANY = tuple(DTYPES)


def _logits(rng, rows, classes, offset=0, spread=4):
    logits = offset + spread * rng.standard_normal((rows, classes))
    if rows > 2:
        logits[1] = -np.inf
        logits[2, ::2] = -np.inf
    return logits, rng.integers(0, classes, rows)


def _forward(rows, classes, kind=np.int64):
    def make(rng):
        logits, labels = _logits(rng, rows, classes)
        return logits, labels.astype(kind)

    label = f"cross_entropy-{rows}x{classes}-{np.dtype(kind)}"
    return Case(label, "softmax.cu", lambda k, x, y: k.cross_entropy(x, y), make)


def _backward(rows, classes, offset=0, spread=4, dtypes=ANY):
    def make(rng):
        logits, labels = _logits(rng, rows, classes, offset, spread)
        return rng.standard_normal(rows), logits, labels

    def call(k, g, logits, labels):
        return k.cross_entropy_backward(g, logits, labels, k.cross_entropy(logits, labels)[1])

    label = f"cross_entropy_backward-{rows}x{classes}"
    if offset:
        label += f"-{offset:g}+-{spread}"
    return Case(label, "softmax.cu", call, make, dtypes=dtypes)


WIDE = tuple(dtype for dtype in ANY if dtype != "float16")
SHAPES = ((5, 3), (3, 65), (2, 300), (1, 1), (0, 4))
CASES += [
    *(_forward(*shape) for shape in SHAPES),
    _forward(4, 9, np.int32),
    *(_backward(*shape) for shape in SHAPES),
    *(_backward(4, 65, 1e4, spread) for spread in (1, 50)),
    *(_backward(4, 65, offset, spread, WIDE) for offset in (1e6, 1e8) for spread in (1, 50)),
]
