"""Rows for ops/elements/elementwise.py: one line a row, see case.py."""

import math

import numpy as np
from case import Apart, Between, Bools, Case, F, Ints, N, P, U, Values, torch

import tinygrad_like as tg
from tinygrad_like.ops.elements.activation import relu_backward
from tinygrad_like.ops.elements.elementwise import tanh_backward

# Every kind of broadcasting between two shapes.
PAIRS = [
    ((2, 3), (2, 3)),
    ((2, 3), (3,)),
    ((2, 1), (1, 3)),
    ((), (2, 3)),
    ((2, 2), (1,)),
    ((2, 1, 3), (4, 1)),
    ((), ()),
]

QUOTIENTS = Values([[5.3, -3.4], [0.7, -9.1], [-4.7, 2.9]])

ARITHMETIC = [
    *(Case(tg.add, N(*a), N(*b)) for a, b in PAIRS),
    *(Case(tg.subtract, N(*a), N(*b)) for a, b in PAIRS),
    *(Case(tg.multiply, N(*a), N(*b)) for a, b in PAIRS),
    *(Case(tg.divide, N(*a), P(*b)) for a, b in PAIRS),
    *(Case(tg.power, P(*a), N(*b), torch="pow") for a, b in PAIRS),
    *(Case(tg.maximum, Apart(*a), Apart(*b, shift=0.06)) for a, b in PAIRS),
    *(Case(tg.minimum, Apart(*a), Apart(*b, shift=0.06)) for a, b in PAIRS),
    *(Case(tg.where, Bools(*np.broadcast_shapes(a, b)), N(*a), N(*b)) for a, b in PAIRS),
    Case(tg.where, Bools(3), N(2, 3), N()),
    Case(
        lambda x, m: tg.masked_fill(x, m, -2.5),
        N(2, 3),
        Bools(3),
        torch=lambda x, m: x.masked_fill(m, -2.5),
        name="masked_fill",
    ),
    Case(tg.where, Bools(2, 1), N(), N(3), empty=False),
    # The same input twice: both gradients meet.
    Case(lambda x: tg.multiply(x, x), N(2, 3), torch=lambda x: x * x, name="multiply self"),
    Case(lambda x: x**x, P(2, 3), torch=lambda x: x**x, name="x**x"),
    Case(lambda x: x / (x * x + 1) - x, N(2, 3), torch=lambda x: x / (x * x + 1) - x, name="expr"),
    # Python numbers on either side.
    *(
        Case(f, P(2, 3), torch=f, name=name)
        for name, f in {
            "x+2": lambda x: x + 2,
            "2-x": lambda x: 2 - x,
            "x-0.5": lambda x: x - 0.5,
            "2.5*x": lambda x: 2.5 * x,
            "x/3": lambda x: x / 3,
            "3/x": lambda x: 3 / x,
            "x**2": lambda x: x**2,
            "x**0": lambda x: x**0,
            "x**1": lambda x: x**1,
            "x**3": lambda x: x**3,
            "x**-1": lambda x: x**-1.0,
            "x**0.5": lambda x: x**0.5,
            "2**x": lambda x: 2**x,
            "-x": lambda x: -x,
            "abs(x)": lambda x: abs(x),
        }.items()
    ),
    Case(lambda x: x**3, N(2, 3), torch=lambda x: x**3, name="cube of negatives"),
    Case(tg.power, N(2, 3), Ints(4, 2, 3), torch="pow"),
    Case(tg.power, Ints(4, 2, 3, low=1), N(2, 3), torch="pow"),
    Case(tg.multiply, N(2, 3), Ints(5, 3)),
    Case(tg.where, Bools(2, 3), N(2, 3), Ints(5, 3)),
    # Torch has no gradient of these two with respect to their second input.
    *(
        Case(tg.floor_divide, QUOTIENTS, Values(b), torch=lambda a, b: torch.floor(a / b))
        for b in ([2.0, 1.5], [[-2.0]])
    ),
    *(
        Case(tg.remainder, QUOTIENTS, Values(b), torch=lambda a, b: a - b * torch.floor(a / b))
        for b in ([2.0, 1.5], [[-2.0]])
    ),
    Case(lambda x: x % 2, Between(2, 3), torch=lambda x: x % 2, name="x%2"),
    Case(lambda x: x // 2, Between(2, 3), torch=lambda x: torch.floor(x / 2), name="x//2"),
    Case(
        lambda x: 7 % x,
        Values([2.3, 1.6, 0.8]),
        torch=lambda x: 7 - x * torch.floor(7 / x),
        name="7%x",
    ),
]

FUNCTIONS = [
    *(
        Case(f, N(2, 3))
        for f in (tg.negative, tg.exp, tg.expm1, tg.square, tg.sin, tg.cos, tg.sinh, tg.cosh)
    ),
    *(Case(f, N(2, 3)) for f in (tg.tanh, tg.erf, tg.sigmoid, tg.softplus, tg.silu, tg.arctan)),
    *(Case(f, P(2, 3)) for f in (tg.log, tg.log1p, tg.log2, tg.sqrt, tg.rsqrt)),
    *(Case(f, U(2, 3)) for f in (tg.tan, tg.arcsin, tg.arccos, tg.arctan, tg.log1p)),
    *(Case(f, Apart(2, 3)) for f in (tg.abs, tg.sign, tg.relu)),
    *(Case(f, Between(2, 3)) for f in (tg.floor, tg.ceil, tg.round)),
    *(Case(f, N()) for f in (tg.exp, tg.tanh, tg.sigmoid, tg.gelu, tg.silu, tg.softplus, tg.erf)),
    Case(relu_backward, N(2, 3), Apart(2, 3), numpy=lambda g, y: np.where(y > 0, g, 0)),
    Case(tanh_backward, N(2, 3), U(2, 3), numpy=lambda g, y: g * (1 - y * y)),
    *(Case(f, Apart(1)) for f in (tg.abs, tg.relu, tg.leaky_relu, tg.elu)),
    Case(tg.round, Values([[0.123, -1.277], [3.14, 0.061]]), decimals=1),
    Case(tg.round, Values([123.0, -177.0, 314.0]), decimals=-1),
    Case(tg.leaky_relu, Apart(2, 3)),
    Case(tg.leaky_relu, Apart(2, 3), torch=lambda x: F.leaky_relu(x, 0.3), slope=0.3),
    Case(tg.elu, Apart(2, 3)),
    Case(tg.elu, Apart(2, 3), alpha=1.7),
    Case(tg.gelu, N(2, 3)),
    Case(tg.gelu, N(2, 3), torch=lambda x: F.gelu(x, approximate="tanh"), approximate=True),
    Case(tg.gelu, N(3, 1, 2)),
    Case(tg.gelu, N(2, 3), approximate="tanh"),
    Case(tg.gelu, N(2, 3), approximate="none"),
    # Far out, where naive formulas overflow or cancel.
    Case(tg.sigmoid, Values([-40.0, -8.0, 0.5, 8.0, 15.0])),
    Case(tg.softplus, Values([-40.0, -8.0, 0.0, 8.0, 15.0])),
    Case(tg.silu, Values([-40.0, -8.0, 8.0, 15.0])),
    Case(tg.gelu, Values([-7.0, -3.0, 3.0, 7.0])),
    Case(tg.tanh, Values([-12.0, -0.001, 0.001, 12.0])),
    Case(tg.expm1, Values([-1e-3, 1e-3, 3.0])),
    Case(tg.log1p, Values([-1e-3, 1e-3, 3.0])),
    Case(tg.clip, Apart(2, 3), min=-0.2, max=0.25),
    Case(tg.clip, Apart(2, 3), min=0),
    Case(tg.clip, Apart(2, 3), max=0.26),
    Case(tg.clip, Apart(2, 3), torch=lambda x: x.clip(-1, 1), min=-1, max=1),
]

WITHOUT_GRADIENT = [
    *(
        Case(f, Values([[2.0], [3.0]]), Values([[1.0, 2.0, 3.0]]), numpy=f.__name__, grad=False)
        for f in (tg.equal, tg.not_equal, tg.less, tg.less_equal, tg.greater, tg.greater_equal)
    ),
    *(
        Case(f, Bools(2, 3), Bools(3), numpy=f.__name__, grad=False)
        for f in (tg.logical_and, tg.logical_or, tg.logical_xor)
    ),
    *(
        Case(f, Values([0.0, 1.5, 0.0]), Values([[0.0], [2.0]]), numpy=f.__name__, grad=False)
        for f in (tg.logical_and, tg.logical_or, tg.logical_xor)
    ),
    *(
        Case(f, Ints(16, 2, 3), Ints(16, 3), numpy=f.__name__, grad=False)
        for f in (tg.bitwise_and, tg.bitwise_or, tg.bitwise_xor)
    ),
    *(Case(f, Bools(5), numpy=f.__name__, grad=False) for f in (tg.logical_not, tg.invert)),
    Case(tg.invert, Ints(16, 2, 3), numpy="invert", grad=False),
    *(
        Case(f, Values([[1.0, math.nan], [math.inf, -math.inf]]), numpy=f.__name__, grad=False)
        for f in (tg.isnan, tg.isinf, tg.isfinite)
    ),
    Case(
        tg.isclose,
        Values([[1.0, math.nan, math.inf, -math.inf, 0.0, 5.0]]),
        Values([[1.001, math.nan, math.inf, math.inf, 1e-9, 5.0]]),
        grad=False,
    ),
    Case(tg.isclose, N(2, 3), N(3), rtol=0.5, atol=0.1, grad=False),
    Case(
        tg.isclose,
        Values([math.nan, 1.0]),
        Values([math.nan, math.nan]),
        equal_nan=True,
        grad=False,
    ),
    *(
        Case(f, Values([3, -5, 7]), Values([[2], [-3]]), numpy=f, grad=False, name=name)
        for name, f in {
            "int ==": lambda a, b: a == b,
            "int !=": lambda a, b: a != b,
            "int <": lambda a, b: a < b,
            "int <=": lambda a, b: a <= b,
            "int >": lambda a, b: a > b,
            "int >=": lambda a, b: a >= b,
            "int +": lambda a, b: a + b,
            "int *": lambda a, b: a * b,
            "int //": lambda a, b: a // b,
            "int %": lambda a, b: a % b,
            "int &|^~": lambda a, b: (a & b) | (a ^ ~b),
        }.items()
    ),
]

CASES = ARITHMETIC + FUNCTIONS + WITHOUT_GRADIENT
