"""Cases of cross_entropy.cu."""

import numpy as np
from cuda_case import DTYPES, Case

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
    return Case(label, "cross_entropy.cu", lambda k, x, y: k.cross_entropy(x, y), make)


def _backward(rows, classes, offset=0, spread=4, dtypes=ANY):
    def make(rng):
        logits, labels = _logits(rng, rows, classes, offset, spread)
        return rng.standard_normal(rows), logits, labels

    def call(k, g, logits, labels):
        return k.cross_entropy_backward(g, logits, labels, k.cross_entropy(logits, labels)[1])

    label = f"cross_entropy_backward-{rows}x{classes}"
    if offset:
        label += f"-{offset:g}+-{spread}"
    return Case(label, "cross_entropy.cu", call, make, dtypes=dtypes)


WIDE = tuple(dtype for dtype in ANY if dtype != "float16")
SHAPES = ((5, 3), (3, 65), (2, 300), (1, 1), (0, 4))
CASES = [
    *(_forward(*shape) for shape in SHAPES),
    _forward(4, 9, np.int32),
    *(_backward(*shape) for shape in SHAPES),
    *(_backward(4, 65, 1e4, spread) for spread in (1, 50)),
    *(_backward(4, 65, offset, spread, WIDE) for offset in (1e6, 1e8) for spread in (1, 50)),
]
