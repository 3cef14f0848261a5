"""Calls of the array API's functions of each element, and of an array's operators.

Every function gets every dtype, every pair of dtypes of one kind, values at which the standard has
special cases, shapes that broadcast, no elements, and Python's numbers. What array-api-strict
refuses is undefined in the standard, and not compared.
"""

import itertools
import operator

import numpy as np
from standard_calls import DTYPES, called

REAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.0, 1e-30, -7e8, np.inf, -np.inf, np.nan]
COMPLEX = [complex(a, b) for a in (0.5, -2.0, 0.0) for b in (1.0, -0.25, 0.0)]
NOT_FINITE = [complex(np.inf, 1), complex(1, np.nan), complex(-np.inf, np.inf)]

UNARY = """
    abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh exp expm1 floor imag
    isfinite isinf isnan log log1p log2 log10 logical_not negative positive real reciprocal round
    sign signbit sin sinh square sqrt tan tanh trunc
""".split()
BINARY = """
    add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign
    divide equal floor_divide greater greater_equal hypot less less_equal logaddexp logical_and
    logical_or logical_xor maximum minimum multiply nextafter not_equal pow remainder subtract
""".split()
# On parts that are not finite C99 says what they give, NumPy not always what C99 says.
OF_ANY_COMPLEX = {"abs", "isfinite", "isinf", "isnan", "conj", "real", "imag", "equal", "not_equal"}


def values(dtype, name=""):
    """A row of numbers of a dtype, those with special cases among them."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return np.array([True, False, True, False, True])
    if dtype.kind == "f":
        return np.array([*REAL, np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal], dtype)
    if dtype.kind == "c" and name == "reciprocal":  # of 0 it is any that is not finite
        return np.array(COMPLEX[:-1], dtype)
    if dtype.kind == "c":
        return np.array(COMPLEX + (NOT_FINITE if name in OF_ANY_COMPLEX else []), dtype)
    if name in ("pow", "bitwise_left_shift", "bitwise_right_shift"):
        return np.array([0, 1, 2, 3, 5], dtype)
    least = [-1, -5, np.iinfo(dtype).min] if dtype.kind == "i" else []
    if name in ("floor_divide", "remainder"):  # by 0 it is undefined, and min // -1 overflows
        return np.array([1, 2, 3, 7, 100, np.iinfo(dtype).max, *least[1:]], dtype)
    return np.array([0, 1, 2, 7, 100, np.iinfo(dtype).max, *least], dtype)


ORDER = "less", "less_equal", "greater", "greater_equal"


def of_one(name, f):
    """Calls of a function of one array."""
    for dtype in DTYPES:
        row = values(dtype, name)
        for x in (row, row[:4].reshape(2, 1, 2), row[0], row[:0], row[::2]):
            yield called(f, x)


def of_two(name, f):
    """Calls of a function of two arrays."""
    for a, b in itertools.product(DTYPES, DTYPES):
        x, y = values(a, name), values(b, name)
        yield called(f, x[:, None], y)
        if a == b:
            yield called(f, x[:0], y[:1])
            yield called(f, x[2], y[3])


NUMBERS = [2, 1, True, 0.5, 2.0, float("inf"), float("nan"), 1 + 0.5j]


def beside_numbers(name, f):
    """Calls of an operator of an array and a Python number, in both orders."""
    for dtype, number in itertools.product(DTYPES, NUMBERS):
        x = values(dtype, name)
        if isinstance(number, complex) and name in ORDER:  # complex numbers have none
            continue
        yield called(lambda xp, x, n=number: f(x, n), x)
        if name not in ("pow", "floor_divide", "remainder") or np.dtype(dtype).kind != "i":
            yield called(lambda xp, x, n=number: f(n, x), x)


def by_name(name):
    return lambda xp, *args: getattr(xp, name)(*args)


def clips():
    """Calls of clip, with bounds that are numbers, arrays, or none."""
    for dtype in DTYPES[1:]:
        kind = np.dtype(dtype).kind
        x = values(dtype)
        low, high = (1, 50) if kind in "iu" else (-1.5, 2.0)
        yield called(lambda xp, x, a=low, b=high: xp.clip(x, a, b), x)
        yield called(lambda xp, x, a=low: xp.clip(x, a), x)
        yield called(lambda xp, x, b=high: xp.clip(x, max=b), x)
        yield called(lambda xp, x: xp.clip(x), x)
        bounds = x[:3, None], x[1:4, None]
        yield called(lambda xp, x, a, b: xp.clip(x, xp.minimum(a, b), xp.maximum(a, b)), x, *bounds)


OPERATORS_OF_ONE = {
    "__abs__": ("abs", operator.abs),
    "__invert__": ("bitwise_invert", operator.invert),
    "__neg__": ("negative", operator.neg),
    "__pos__": ("positive", operator.pos),
}
OPERATORS = {
    "__add__": ("add", operator.add),
    "__and__": ("bitwise_and", operator.and_),
    "__eq__": ("equal", operator.eq),
    "__floordiv__": ("floor_divide", operator.floordiv),
    "__ge__": ("greater_equal", operator.ge),
    "__gt__": ("greater", operator.gt),
    "__le__": ("less_equal", operator.le),
    "__lshift__": ("bitwise_left_shift", operator.lshift),
    "__lt__": ("less", operator.lt),
    "__mod__": ("remainder", operator.mod),
    "__mul__": ("multiply", operator.mul),
    "__ne__": ("not_equal", operator.ne),
    "__or__": ("bitwise_or", operator.or_),
    "__pow__": ("pow", operator.pow),
    "__rshift__": ("bitwise_right_shift", operator.rshift),
    "__sub__": ("subtract", operator.sub),
    "__truediv__": ("divide", operator.truediv),
    "__xor__": ("bitwise_xor", operator.xor),
}
IN_PLACE = {name.replace("__", "__i", 1): operation for name, operation in OPERATORS.items()}


def in_place(name, f):
    """Calls of `x += y` and its like, on a copy; the dtype of x stays."""
    changed = getattr(operator, name.strip("_"), None) or getattr(operator, name.strip("_") + "_")
    for dtype in DTYPES:
        x = values(dtype, f)
        yield called(lambda xp, x, y: changed(xp.asarray(x, copy=True), y), x, x[::-1].copy())


def rows():
    """{name: calls}."""
    found = {name: list(of_one(name, by_name(name))) for name in UNARY}
    found |= {name: list(of_two(name, by_name(name))) for name in BINARY}
    found["clip"] = list(clips())
    for method, (name, f) in OPERATORS_OF_ONE.items():
        found[f"array.{method}"] = list(of_one(name, lambda xp, x, f=f: f(x)))
    for method, (name, f) in OPERATORS.items():
        calls = of_two(name, lambda xp, x, y, f=f: f(x, y))
        found[f"array.{method}"] = [*calls, *beside_numbers(name, f)]
    for method, (name, _) in IN_PLACE.items():
        if name not in ("equal", "not_equal", *ORDER):
            found[f"array.{method}"] = list(in_place(method, name))
    return found
