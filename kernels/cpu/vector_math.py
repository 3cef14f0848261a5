"""exp, tanh and the like for loops that LLVM turns into vector instructions.

There is no branch and no call in them. They take float32 and float64, NaN passes through,
infinities give their limits, and what would be a subnormal number is 0. The errors, in units in the
last place (ULP) of the result, are measured over the whole range by tests/test_cpu_vector_math.py.

To be called from compiled code, in loops over `range(x.size)` of a slice.
"""

import math

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload

from .compile import OPTIONS

# Nothing may be reordered here: the order is what makes the last digits right.
EXACTLY = {**OPTIONS, "fastmath": {"contract", "nsz"}}
exactly = njit(**EXACTLY)

f32, f64 = np.float32, np.float64


def _of_same_size(x):
    """float32 <-> int32, float64 <-> int64."""
    pairs = ((types.float32, types.int32), (types.float64, types.int64))
    return {a: b for pair in pairs for a, b in (pair, pair[::-1])}[x]


@intrinsic
def same_bits(typingctx, x):
    """The floating number with the bits of an integer of its size, and the other way round."""
    to = _of_same_size(x)

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(to))

    return to(x), codegen


def by_dtype(name, single, double, doc):
    """A function for compiled code that takes float32 by one function and float64 by another."""

    def stub(x):
        raise NotImplementedError(f"{name} is for compiled code")

    stub.__name__, stub.__doc__ = name, doc

    @overload(stub, jit_options=EXACTLY)
    def _choose(x):
        chosen = {types.float32: single, types.float64: double}.get(x)
        return None if chosen is None else lambda x: chosen(x)

    return stub


# exp(x) = 2^n exp(r), |r| <= log(2) / 2. log(2) stands in two parts, of which the first has so few
# bits that n times it is exact; 2^n is two factors, since 2^128 is no float32.

LOW32, HIGH32, RATE32 = f32(-87.33654), f32(88.72283), f32(1 / math.log(2))
LOG2_32 = f32(0.693359375), f32(math.log(2) - 0.693359375)
LOW64, HIGH64, RATE64 = -708.3964185322641, 709.782712893384, 1 / math.log(2)
LOG2_64 = 0.6931457519531250, 1.42860682030941723212e-6
ONE32, HALF32, ZERO32, INF32 = f32(1), f32(0.5), f32(0), f32(np.inf)
T7, T6, T5, T4, T3 = (f32(1 / math.factorial(k)) for k in range(7, 2, -1))
D13, D12, D11, D10, D9, D8, D7, D6, D5, D4, D3 = (1 / math.factorial(k) for k in range(13, 2, -1))


@exactly
def _split32(x):
    """(n, exp(r) - 1) of a finite x."""
    n = np.floor(x * RATE32 + HALF32)
    r = (x - n * LOG2_32[0]) - n * LOG2_32[1]
    p = ((((T7 * r + T6) * r + T5) * r + T4) * r + T3) * r + HALF32
    return np.int32(n), p * (r * r) + r


@exactly
def _split64(x):
    """(n, exp(r) - 1) of a finite x."""
    n = np.floor(x * RATE64 + 0.5)
    r = (x - n * LOG2_64[0]) - n * LOG2_64[1]
    p = ((((D13 * r + D12) * r + D11) * r + D10) * r + D9) * r + D8
    p = ((((p * r + D7) * r + D6) * r + D5) * r + D4) * r + D3
    return np.int64(np.int32(n)), (p * r + 0.5) * (r * r) + r


@exactly
def _power_of_two32(n):
    return same_bits(np.int32((n + np.int32(127)) << np.int32(23)))


@exactly
def _power_of_two64(n):
    return same_bits((n + 1023) << 52)


@exactly
def _exp32(x):
    y = LOW32 if x < LOW32 else x
    y = HIGH32 if y > HIGH32 else y
    n, p = _split32(y)
    half = n >> np.int32(1)
    p = (p + ONE32) * _power_of_two32(half) * _power_of_two32(n - half)
    p = ZERO32 if x < LOW32 else p
    return INF32 if x > HIGH32 else p


@exactly
def _exp64(x):
    y = LOW64 if x < LOW64 else x
    y = HIGH64 if y > HIGH64 else y
    n, p = _split64(y)
    half = n >> 1
    p = (p + 1.0) * _power_of_two64(half) * _power_of_two64(n - half)
    p = 0.0 if x < LOW64 else p
    return np.inf if x > HIGH64 else p


@exactly
def _sigmoid32(x):
    return ONE32 / (ONE32 + _exp32(-x))


@exactly
def _sigmoid64(x):
    return 1.0 / (1.0 + _exp64(-x))


# tanh(x) = e / (e + 2) with e = exp(2x) - 1, which is 1 to the last digit for 2x > 40.

LIMIT32, TWO32 = f32(40), f32(2)


@exactly
def _tanh32(x):
    y = x + x
    y = -LIMIT32 if y < -LIMIT32 else y
    y = LIMIT32 if y > LIMIT32 else y
    n, p = _split32(y)
    power = _power_of_two32(n)
    e = p * power + (power - ONE32)
    return e / (e + TWO32)


@exactly
def _tanh64(x):
    y = x + x
    y = -40.0 if y < -40.0 else y
    y = 40.0 if y > 40.0 else y
    n, p = _split64(y)
    power = _power_of_two64(n)
    e = p * power + (power - 1.0)
    return e / (e + 2.0)


exp = by_dtype("exp", _exp32, _exp64, "e ** x.")
sigmoid = by_dtype("sigmoid", _sigmoid32, _sigmoid64, "1 / (1 + exp(-x)).")
tanh = by_dtype("tanh", _tanh32, _tanh64, "The hyperbolic tangent.")
