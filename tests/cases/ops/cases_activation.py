"""Rows for the activations of ops/elements/activation.py that cases_elementwise.py has not."""

import numpy as np
from case import Apart, Between, Case, F, N, P, Values

import tinygrad_like as tg

FAR = Values([-40.0, -8.0, 0.5, 8.0, 15.0])

SMOOTH = [
    *(Case(f, N(2, 3)) for f in (tg.logsigmoid, tg.mish, tg.tanhshrink, tg.softsign)),
    Case(tg.logsigmoid, FAR),
    Case(tg.softplus, N(2, 3), torch=lambda x: F.softplus(x, 2.5, 100), beta=2.5),
    Case(tg.softplus, N(2, 3), beta=3.0, threshold=1.0),
    *(Case(f, Apart(2, 3)) for f in (tg.celu, tg.selu)),
    Case(
        tg.celu,  # torch divides by a float32 alpha
        Apart(2, 3),
        numpy=lambda x: np.maximum(x, 0) + np.minimum(0, 0.4 * np.expm1(x / 0.4)),
        alpha=0.4,
    ),
]

IN_PIECES = [
    *(Case(f, Between(2, 3)) for f in (tg.hardtanh, tg.relu6, tg.hardswish)),
    Case(  # torch multiplies by a float32 sixth
        tg.hardsigmoid, Between(2, 3), numpy=lambda x: np.clip(x + 3, 0, 6) / 6
    ),
    Case(
        tg.hardtanh,
        Between(2, 3),
        torch=lambda x: F.hardtanh(x, -2, 0.5),
        min=-2.0,
        max=0.5,
    ),
    *(Case(f, Apart(4, 3)) for f in (tg.hardshrink, tg.softshrink)),
    *(Case(f, Apart(4, 3), lambd=0.3) for f in (tg.hardshrink, tg.softshrink)),
    Case(tg.threshold, Apart(4, 3), threshold=0.2, value=-3.0),
]


def gumbel_softmax(x, **options):
    """The same choices at every call."""
    tg.seed(3)
    return tg.gumbel_softmax(x, **options)


def with_gumbel_noise(x, tau=1.0, axis=-1):
    tg.seed(3)
    y = np.exp((x - np.log(-np.log(tg.rand(x.shape, dtype=np.float64).numpy()))) / tau)
    return y / y.sum(axis, keepdims=True)


RANDOM = [
    Case(gumbel_softmax, N(2, 3), numpy=with_gumbel_noise, empty=False),
    Case(gumbel_softmax, N(3, 2), numpy=lambda x: with_gumbel_noise(x, 2, 0), tau=2, axis=0),
]

OF_TWO = [
    Case(tg.glu, N(2, 4)),
    Case(tg.glu, N(3, 4, 2), axis=1),
    Case(tg.prelu, Apart(2, 3, 2), P(3)),
    Case(tg.prelu, Apart(2, 3), P(1)),
]

CASES = SMOOTH + IN_PIECES + OF_TWO + RANDOM
