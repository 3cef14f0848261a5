"""Rows for arithmetic.py and transcendental.py of ops/elements: one line a row, see case.py."""

import math

import numpy as np
from case import Apart, Between, Case, Ints, N, P, U, Values, torch

import tinygrad_like as tg

INF, NAN = math.inf, math.nan
ODD = Values([[NAN, INF, -INF], [1.5, -0.0, 7.0]])

SIGNS_AND_STEPS = [
    Case(tg.positive, N(2, 3)),
    Case(tg.trunc, Between(2, 3)),
    Case(tg.copysign, Apart(2, 3), Apart(3, shift=0.06)),
    Case(lambda x: tg.copysign(2, x), Apart(3), numpy=lambda x: np.copysign(2, x), name="of 2"),
    # Torch has no gradient of this one.
    Case(tg.heaviside, Apart(2, 3), N(3), numpy="heaviside"),
    Case(tg.heaviside, Ints(2, 2, 3, low=-1), N(3), numpy="heaviside"),
    Case(tg.signbit, Values([-0.0, 0.0, -1.5, 2.0]), grad=False),
]

QUOTIENTS = [
    *(
        Case(f, a, b)
        for f in (tg.fmax, tg.fmin)
        for a, b in (
            (N(2, 3), N(3)),
            (Values([[1.5, np.nan, -2.0]]), Values([[0.5, 2.0, np.nan]])),
        )
    ),
    *(
        Case(tg.fmod, Values([[5.3, -3.4], [0.7, -9.1], [-4.7, 2.9]]), Values(b), numpy="fmod")
        for b in ([2.0, 1.5], [[-2.0]])
    ),
    Case(lambda x: tg.fmod(x, 2), Between(2, 3), torch=lambda x: torch.fmod(x, 2), name="fmod 2"),
    Case(tg.fmod, Values([7, -7, 5]), Values([[3], [-3]]), grad=False),
    Case(tg.reciprocal, P(2, 3)),
    Case(tg.float_power, Ints(9, 2, 3, low=1), Ints(4, 3), numpy="float_power", grad=False),
    Case(tg.ldexp, N(2, 3), Ints(9, 3, low=-4), numpy="ldexp"),
    Case(tg.frexp, P(2, 3)),
    Case(tg.lerp, N(2, 3), N(3), U(2, 1)),
    Case(lambda a, b: tg.lerp(a, b, 0.75), N(3), N(3), torch=lambda a, b: torch.lerp(a, b, 0.75),
         name="lerp 0.75"),
]  # fmt: skip

INTEGERS = [
    *(
        Case(f, Ints(90, 2, 3, low=-40), Ints(6, 3), grad=False)
        for f in (tg.bitwise_left_shift, tg.bitwise_right_shift, tg.gcd, tg.lcm)
    ),
    Case(lambda a, b: (a << b) >> 1, Ints(9, 3), Ints(9, 3), numpy=lambda a, b: (a << b) >> 1,
         name="shifts", grad=False),
    Case(lambda a: (3 << a) >> 1, Ints(9, 3), numpy=lambda a: (3 << a) >> 1,
         name="shifts of 3", grad=False),
]  # fmt: skip

CLOSE = [
    Case(tg.nan_to_num, N(2, 3)),
    Case(
        lambda x: tg.nan_to_num(x, 0.5, posinf=9.0, neginf=-7.0)[x == x],
        ODD,
        torch=lambda x: torch.nan_to_num(x, 0.5, posinf=9.0, neginf=-7.0)[x == x],
        name="nan_to_num of infinities",
        grad=False,
        empty=False,
    ),
    Case(tg.allclose, N(2, 3), N(3), numpy="allclose", rtol=0.5, atol=9.0, grad=False),
]

ANGLES = [
    Case(tg.arctan2, N(2, 3), N(3)),
    Case(tg.arctan2, P(2, 1), P(2, 3)),
    Case(lambda x: tg.arctan2(2, x), N(3), numpy=lambda x: np.arctan2(2, x), name="arctan2(2, x)"),
    Case(tg.hypot, N(2, 3), N(3)),
    *(Case(f, N(2, 3)) for f in (tg.deg2rad, tg.rad2deg)),
    Case(tg.sinc, N(2, 3)),
    Case(tg.sinc, Values([[0.01, -0.199, 0.201], [1.0, 2.5, -7.3]])),
]

LOGARITHMS = [
    Case(tg.exp2, N(2, 3)),
    Case(tg.log10, P(2, 3)),
    Case(tg.cbrt, P(2, 3), numpy="cbrt"),
    Case(tg.cbrt, Values([-8.0, -0.5, 27.0]), numpy="cbrt"),
    Case(tg.logaddexp, N(2, 3), N(3)),
    Case(tg.logaddexp, Values([700.0, -3.0]), Values([699.0, -800.0])),
    Case(tg.logaddexp2, N(2, 3), N(3)),
]

HYPERBOLIC = [
    Case(tg.arcsinh, N(2, 3)),
    Case(tg.arccosh, Values([[1.2, 1.7], [2.9, 40.0]])),
    Case(tg.arctanh, U(2, 3)),
]

CASES = SIGNS_AND_STEPS + QUOTIENTS + INTEGERS + CLOSE + ANGLES + LOGARITHMS + HYPERBOLIC
