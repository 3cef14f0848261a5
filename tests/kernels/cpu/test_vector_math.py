"""The vector functions of the CPU kernels: errors in ULP, NaN, infinities, machine code."""

import functools
import importlib
import platform

import numba
import numpy as np
import pytest
from scipy import special
from tinygrad_like.kernels.cpu.machine.compile import OPTIONS
from tinygrad_like.kernels.cpu.machine.simd import Vector, lanes, load, store
from tinygrad_like.kernels.cpu.math import lookup, vector_math
from tinygrad_like.kernels.cpu.math.each import each_of_one

pytestmark = pytest.mark.long  # each function is compiled, in loops of its own

softmax = importlib.import_module("tinygrad_like.kernels.cpu.softmax")  # the function hides it
L = np.longdouble  # 64 bits of mantissa on x86: enough to judge float64


@numba.njit(**vector_math.EXACTLY)
def normal_cdf(x):
    return vector_math.mirrored(vector_math.normal_tail(x)[1], x)


@numba.njit(**vector_math.EXACTLY)
def bell(x):
    return vector_math.normal_tail(x)[2]


# name, function, truth for long doubles, range, ULP in float32 and in float64
FUNCTIONS = [
    ("exp", vector_math.exp, np.exp, (-87, 88), 1.5, 1.5),
    ("exp_of_difference", vector_math.exp_of_difference, np.exp, (-87, 88), 1.5, 1.5),
    ("sigmoid", vector_math.sigmoid, lambda x: 1 / (1 + np.exp(-x)), (-80, 80), 2.5, 2.5),
    ("tanh", vector_math.tanh, np.tanh, (-30, 30), 3, 3),
    ("log1p_of_part", vector_math.log1p_of_part, np.log1p, (0, 1), 3, 3),
    ("log_of_normal", vector_math.log_of_normal, np.log, (1e-7, 1), 3, 3),
    ("erf", vector_math.erf, None, (-6, 6), 4, 6),
    ("normal_cdf", normal_cdf, None, (-12.5, 9), 8, 12),
    ("bell", bell, lambda x: np.exp(-x * x / 2), (-12.5, 12.5), 3, 4),
]
# ULP of float32, of vectors
BY_TABLES = {"exp": 1.5, "exp_of_difference": 5, "sigmoid": 3, "normal_cdf": 8, "bell": 3}


def exact_cdf(x):
    """By erfcx, which is flat: ndtr loses some 200 ULP of its tail to the rounding of x^2."""
    tail = special.erfcx(np.abs(x) * np.sqrt(0.5)) * np.exp(-(x.astype(L) ** 2) / 2) / 2
    return np.where(x > 0, 1 - tail, tail)


SPECIAL = {"erf": special.erf, "normal_cdf": exact_cdf}  # in float64, to some ULP


@functools.cache
def loop_of(function):
    """A loop that applies a function to each element, compiled as kernels are."""

    @numba.njit(**OPTIONS)
    def loop(x, y):
        for i in range(x.size):
            y[i] = function(x[i])

    return loop


@functools.cache
def each_of(function):
    """As loop_of, by a loop over a formula, which may take vectors."""
    formula = each_of_one(lambda real: lambda x: function(x))
    return numba.njit(**OPTIONS)(lambda x, y: formula(x, y))


def mapped(loop, x):
    y = np.full_like(x, 7)
    loop(x, y)
    return y


def arguments(low, high, dtype):
    rng = np.random.default_rng(0)
    small = np.logspace(-30, 0, 2000)
    x = np.concatenate([rng.uniform(low, high, 200_000), small, -small, [0.0]])
    return x[(x >= low) & (x <= high)].astype(dtype)


def check_errors(name, truth, bound, x, y):
    exact = SPECIAL[name](x.astype(np.float64)) if truth is None else truth(x.astype(L))
    unit = np.spacing(np.abs(exact).astype(x.dtype)).astype(L)
    error = np.abs(y.astype(L) - exact) / unit
    worst = error.argmax()
    assert error[worst] <= bound, f"{name}({x[worst]!r}) is {y[worst]!r}, not {exact[worst]!r}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", FUNCTIONS, ids=lambda row: row[0])
def test_the_error_is_a_few_units_in_the_last_place(row, dtype):
    name, function, truth, span, *bounds = row
    x = arguments(*span, dtype)
    check_errors(name, truth, bounds[dtype is np.float64], x, mapped(loop_of(function), x))


@pytest.mark.skipif(not lookup.AVAILABLE, reason="tables in registers need AVX-512")
@pytest.mark.parametrize("name", BY_TABLES)
def test_the_error_by_tables_is_as_small(name):
    function, truth, span = next(row[1:4] for row in FUNCTIONS if row[0] == name)
    x = arguments(*span, np.float32)
    check_errors(name, truth, BY_TABLES[name], x, mapped(each_of(function), x))


@pytest.mark.skipif(not lookup.AVAILABLE, reason="tables in registers need AVX-512")
def test_powers_of_two_of_vectors():
    x = arguments(-126, 127, np.float32)
    check_errors("exp2", np.exp2, 3.5, x, mapped(each_of(lookup.exp2), x))
    x = np.array([np.nan, -np.inf, -1e30, -150, -127, -1, 0, -0.0, 5, 128, np.inf], np.float32)
    expected = np.array([np.nan, 0, 0, 0, 2.0**-127, 0.5, 1, 1, 32, np.inf, np.inf], np.float32)
    np.testing.assert_array_equal(mapped(each_of(lookup.exp2), x), expected)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100])
def test_loops_over_formulas_reach_each_element_once(size):
    x = np.linspace(-3, 3, size, dtype=np.float32)
    memory = np.full(size + 2, 7, np.float32)
    double = each_of_one(lambda real: lambda x: x + x)
    numba.njit(**OPTIONS)(lambda x, y: double(x, y))(x, memory[1:-1])
    np.testing.assert_array_equal(memory, [7, *(x + x), 7])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("function", "limits"),
    [
        (vector_math.exp, [np.nan, np.inf, 0, 1]),
        (vector_math.sigmoid, [np.nan, 1, 0, 0.5]),
        (vector_math.tanh, [np.nan, 1, -1, 0]),
        (vector_math.erf, [np.nan, 1, -1, 0]),
        (normal_cdf, [np.nan, 1, 0, 0.5]),
    ],
    ids=["exp", "sigmoid", "tanh", "erf", "normal_cdf"],
)
def test_nan_passes_and_infinities_give_the_limits(function, limits, dtype):
    x = np.array([np.nan, np.inf, -np.inf, 0], dtype)
    np.testing.assert_array_equal(mapped(loop_of(function), x), np.array(limits, dtype))


@pytest.mark.skipif(not lookup.AVAILABLE, reason="tables in registers need AVX-512")
@pytest.mark.parametrize(
    ("function", "limits"),
    [
        (vector_math.exp, [np.nan, np.inf, 0, 1, np.inf, 0]),
        (vector_math.sigmoid, [np.nan, 1, 0, 0.5, 1, 0]),
        (normal_cdf, [np.nan, 1, 0, 0.5, 1, 0]),
        (bell, [np.nan, 0, 0, 1, 0, 0]),
    ],
    ids=["exp", "sigmoid", "normal_cdf", "bell"],
)
def test_the_limits_by_tables(function, limits):
    x = np.array([np.nan, np.inf, -np.inf, 0, 1e30, -1e30], np.float32)
    np.testing.assert_array_equal(mapped(each_of(function), x), np.array(limits, np.float32))


def test_exp_of_a_difference_has_no_limit_above():
    x = np.array([np.nan, -np.inf, -1e30, -87.34, 0, -0.0], np.float32)
    y = mapped(each_of(vector_math.exp_of_difference), x)
    np.testing.assert_array_equal(y, np.array([np.nan, 0, 0, 0, 1, 1], np.float32))


def test_exp_overflows_to_infinity_and_underflows_to_zero():
    for dtype, edge in ((np.float32, 88.8), (np.float64, 709.8)):
        y = mapped(loop_of(vector_math.exp), np.array([edge, -edge], dtype))
        np.testing.assert_array_equal(y, [np.inf, 0])
    x = np.array([88.7228, 88.73, -87.33, -87.34], np.float32)  # the last two: 2^-126 and below
    y = mapped(each_of(vector_math.exp), x)
    np.testing.assert_array_equal(y, [y[0], np.inf, y[2], 0])
    np.testing.assert_allclose(y[[0, 2]], np.exp(x[[0, 2]].astype(np.float64)), rtol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_are_computed_in_the_order_that_is_written(dtype):
    @numba.njit(**OPTIONS)
    def what_is_left(x, y):
        store(y, 0, (load(x, 0) + load(x, lanes(x))) - load(x, 0))

    x, y = np.ones(32, dtype), np.zeros(16, dtype)
    x[: Vector(numba.from_dtype(np.dtype(dtype))).lanes] = 1e20
    what_is_left(x, y)
    np.testing.assert_array_equal(y, 0)  # 1, if 1e20 - 1e20 came first


X86 = platform.machine() in ("x86_64", "AMD64")


@pytest.mark.skipif(not X86, reason="looks for the names of x86 instructions")
@pytest.mark.parametrize("name", ["_softmax", "_softmax_backward", "_cross_entropy"])
def test_rows_of_float32_are_not_computed_in_float64(name):
    """As one number of Python's among them would have it, for a third more time."""
    one, two = (numba.types.Array(numba.float32, n, "C") for n in (1, 2))
    kinds = {
        "_softmax": (numba.int64, two, two),
        "_softmax_backward": (numba.int64, two, two, two),
        "_cross_entropy": (two, numba.int64[::1], one, two),
    }
    part = numba.njit(**OPTIONS)(getattr(softmax, f"{name}_part").py_func)
    kinds = numba.int64, numba.int64, *kinds[name]
    part.compile(kinds)
    code = part.inspect_asm(kinds)
    assert "ps2pd" not in code
    assert "pd2ps" not in code


@pytest.mark.skipif(not X86, reason="looks for the names of x86 registers")
@pytest.mark.parametrize("row", FUNCTIONS, ids=lambda row: row[0])
def test_loops_become_vector_instructions(row):
    loop, kinds = loop_of(row[1]), (numba.float32[::1],) * 2
    loop.compile(kinds)
    code = loop.inspect_asm(kinds)
    assert code.count("ymm") + code.count("zmm") > 20, f"{row[0]} is computed one by one"
