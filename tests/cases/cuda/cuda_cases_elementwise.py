"""Cases of elementwise.cu."""

import numpy as np
from cuda_case import Case

SHAPES = ((1,), (3, 37), (0, 4), (40, 64))
FORWARD = "erf sigmoid relu silu softplus".split()
BACKWARD = "sigmoid tanh relu silu softplus".split()


def _case(name, shape, inputs, *options, special=False):
    def make(rng):
        arrays = [3 * rng.standard_normal(shape) for _ in range(inputs)]
        if special:
            arrays[-1].flat[:6] = [np.nan, np.inf, -80, 0, 80, -9]
        return arrays

    def call(k, *arrays):
        return getattr(k, name)(*arrays, *options)

    label = "-".join([name, *map(str, options), "x".join(map(str, shape))])
    return Case(label + ("-special" if special else ""), "elementwise.cu", call, make)


def _unaligned(rng):
    return [rng.standard_normal(21), rng.standard_normal(21)]


CASES = [
    *(_case(name, shape, 1) for name in FORWARD for shape in SHAPES[:3]),
    *(_case(f"{name}_backward", shape, 2) for name in BACKWARD for shape in SHAPES[:2]),
    *(_case("gelu", shape, 1, how) for how in (False, True) for shape in SHAPES[:2]),
    *(_case("gelu_backward", shape, 2, how) for how in (False, True) for shape in SHAPES[:2]),
    *(_case("add", shape, 2) for shape in SHAPES),
    *(_case(name, (37,), 1, special=True) for name in FORWARD if name != "silu"),
    Case(
        "sum of arrays that begin within a pack",
        "elementwise.cu",
        lambda k, a, b: k.add(a[1:], b[1:]),
        _unaligned,
    ),
    Case("sum with a number", "elementwise.cu", lambda k, a, b: k.add(a, 1.0), _unaligned),
]
