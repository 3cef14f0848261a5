"""exp, tanh and the like for loops that LLVM turns into vector instructions.

There is no branch and no call in them. They take float32 and float64. NaN passes through,
infinities give their limits, and what would be a subnormal number is 0. The errors, in units in the
last place (ULP) of the result, are measured over the whole range by
tests/kernels/cpu/test_vector_math.py.

They are for compiled code, in loops over `range(x.size)` of a slice. Some also take vectors of
float32 if the CPU has registers for lookup.py's tables: each.py makes the loops over these.
"""

import math

import numpy as np
from numba import njit, types
from numba.extending import intrinsic, overload

from ..machine.compile import OPTIONS
from . import lookup

# Nothing may be reordered here: the order is what makes the last digits right.
EXACTLY = {**OPTIONS, "fastmath": {"contract", "nsz"}, "forceinline": True}
exactly = njit(**EXACTLY)


@exactly
def minus(a, b):
    """a - b, never merged into another sum, where a large b would cost all digits."""
    return a - b


f32, f64 = np.float32, np.float64


def _of_same_size(x):
    """float32 <-> int32, float64 <-> int64."""
    pairs = ((types.float32, types.int32), (types.float64, types.int64))
    return {a: b for pair in pairs for a, b in (pair, pair[::-1])}[x]


@intrinsic
def same_bits(typingctx, x):
    """The bits of a float as an integer of the same size, or those of an integer as a float."""
    to = _of_same_size(x)

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(to))

    return to(x), codegen


def by_dtype(name, single, double, doc, of_vectors=None):
    """A function for compiled code: `single` of float32, `double` of float64.

    of_vectors, if given, is the function for vectors of float32.
    """

    def stub(*args):
        raise NotImplementedError(f"{name} is for compiled code")

    stub.__name__, stub.__doc__ = name, doc

    functions = {types.float32: single, types.float64: double, lookup.KIND: of_vectors}

    @overload(stub, jit_options=EXACTLY)
    def _choose(x):
        chosen = functions.get(x)
        return None if chosen is None else lambda x: chosen(x)

    @overload(stub, jit_options=EXACTLY)
    def _choose_of_two(x, y):
        chosen = functions.get(x)
        return None if chosen is None else lambda x, y: chosen(x, y)

    return stub


# exp(x) = 2^n exp(r), |r| <= log(2) / 2. log(2) is split into two parts, of which the first has so
# few bits that n times it is exact. 2^n is multiplied in two factors, since float32 has no 2^128.

LOW32, HIGH32, RATE32 = f32(-87.33654), f32(88.72283), f32(1 / math.log(2))
LOG2_32 = f32(0.693359375), f32(math.log(2) - 0.693359375)
LOW64, HIGH64, RATE64 = -708.3964185322641, 709.782712893384, 1 / math.log(2)
LOG2_64 = 0.6931457519531250, 1.42860682030941723212e-6
ONE32, HALF32, ZERO32, INF32 = f32(1), f32(0.5), f32(0), f32(np.inf)
T7, T6, T5, T4, T3 = (f32(1 / math.factorial(k)) for k in range(7, 2, -1))
D13, D12, D11, D10, D9, D8, D7, D6, D5, D4, D3 = (1 / math.factorial(k) for k in range(13, 2, -1))


@exactly
def _split32(x):
    """(n, exp(r) - 1) for a finite x."""
    n = np.floor(x * RATE32 + HALF32)
    r = (x - n * LOG2_32[0]) - n * LOG2_32[1]
    p = ((((T7 * r + T6) * r + T5) * r + T4) * r + T3) * r + HALF32
    return np.int32(n), p * (r * r) + r


@exactly
def _split64(x):
    """(n, exp(r) - 1) for a finite x."""
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


# tanh(x) = e / (e + 2) with e = exp(2x) - 1. For 2x > 40 it is 1 to the last digit.

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


exp = by_dtype("exp", _exp32, _exp64, "e ** x.", lookup.exp)
exp_of_difference = by_dtype(
    "exp_of_difference", _exp32, _exp64, "e ** x for x <= 88.", lookup.exp_of_difference
)
sigmoid = by_dtype("sigmoid", _sigmoid32, _sigmoid64, "1 / (1 + exp(-x)).", lookup.sigmoid)
tanh = by_dtype("tanh", _tanh32, _tanh64, "The hyperbolic tangent.")


# Polynomials: Chebyshev approximations computed with mpmath, the highest power first.


def _polynomial(number, *coefficients):
    """A function of x by Horner's rule, written out: LLVM would not unroll a loop."""
    names = {f"c{k}": number(c) for k, c in enumerate(coefficients)}
    formula = "c0"
    for name in list(names)[1:]:
        formula = f"({formula}) * x + {name}"
    exec(f"def horner(x): return {formula}", names)
    return exactly(names["horner"])


# The tail of the normal distribution, Phi(-t) = exp(-t^2 / 2) h / (2 + 4 z) with z = t / sqrt(2):
# h = (1 + 2 z) erfcx(z) varies little, and is a polynomial in (z - 3) / (z + 3) for z up to 10 and
# to 27.3. The idea is that of Shepherd and Laframboise 1981. The square of t is split into that of
# its leading digits, which is exact, and a small rest u, for which the series of exp(-u) is short.

_tail32 = _polynomial(
    *(f32, -0.0001640715504, 0.002236027401, 0.002225933221, -0.02401838233, 0.06835494093),
    *(-0.1192212969, 0.1296427903, -0.04756587481, -0.1356210638, 1.253008097),
)
_tail64 = _polynomial(
    *(f64, -4.17096781379482893e-9, -8.40572180521488426e-9, 3.2852433981759874e-8),
    *(9.15624423143498527e-8, -1.31142987703078663e-7, -6.04598067133669332e-7),
    *(3.49132534322063765e-7, 3.46369010871842827e-6, -7.27733169318920433e-7),
    *(-0.0000200964889518068053, 4.94822524318831221e-6, 0.000125098110465905284),
    *(-0.000105159514308020234, -0.000779832030428455424, 0.00188869031639872202),
    *(0.00252939178743923201, -0.0237705149146893254, 0.0683080273458557419),
    *(-0.11927366341550478, 0.129645158702704033, -0.0475622943534468494),
    *(-0.135621106124580672, 1.25300805826972964),
)
ROOT_HALF32, THREE32, END32, END64 = f32(math.sqrt(0.5)), f32(3), f32(14), 38.5
ROOT_HALF64 = math.sqrt(0.5)
COARSE32, COARSE64 = np.int32(-(1 << 12)), np.int64(-(1 << 27))  # masks of the leading digits


@exactly
def _normal_tail32(x):
    t = -x if x < ZERO32 else x
    t = END32 if t > END32 else t
    coarse = same_bits(np.int32(same_bits(t) & COARSE32))
    u = HALF32 * ((t - coarse) * (t + coarse))
    small = ONE32 - u * (ONE32 - u * (HALF32 - u * (T3 - u * T4)))
    bell = _exp32(-HALF32 * (coarse * coarse)) * small
    z = t * ROOT_HALF32
    above, below = ONE32 + (z + z), z + THREE32
    inverse = ONE32 / (above * below)
    tail = HALF32 * bell * _tail32((z - THREE32) * above * inverse) * (below * inverse)
    return t, tail, bell


@exactly
def _normal_tail64(x):
    t = -x if x < 0.0 else x
    t = END64 if t > END64 else t
    coarse = same_bits(same_bits(t) & COARSE64)
    u = 0.5 * ((t - coarse) * (t + coarse))
    bell = _exp64(-0.5 * (coarse * coarse)) * (1.0 - u * (1.0 - u * (0.5 - u * D3)))
    z = t * ROOT_HALF64
    above, below = 1.0 + (z + z), z + 3.0
    inverse = 1.0 / (above * below)
    tail = 0.5 * bell * _tail64((z - 3.0) * above * inverse) * (below * inverse)
    return t, tail, bell


normal_tail = by_dtype(
    *("normal_tail", _normal_tail32, _normal_tail64),
    "(t, Phi(-t), exp(-t^2 / 2)) for t = |x|, but at most a t for which Phi(-t) is 0.",
    lookup.normal_tail,
)


# erf(x) = x P(x^2) for |x| < 1, else 1 - 2 Phi(-sqrt(2) |x|) with the sign of x.

_erf32 = _polynomial(
    *(f32, 7.875875063e-5, -0.0008016864287, 0.005189087423, -0.02685421201, 0.1128359472),
    *(-0.3761262667, 1.128379166),
)
_erf64 = _polynomial(
    *(f64, 5.9571761477489114e-11, -1.13728488567916737e-9, 1.46597752740474358e-8),
    *(-1.6350312701054695e-7, 1.6461000484121368e-6, -0.0000149255952668311816),
    *(0.000120553311116427109, -0.000854832698083378991, 0.00522397762481801447),
    *(-0.0268661706450767932, 0.112837916709548787, -0.376126389031837481, 1.12837916709551257),
)
ROOT_TWO32, ROOT_TWO64 = f32(math.sqrt(2)), math.sqrt(2)


@exactly
def _whole_erf32(x):
    t = -x if x < ZERO32 else x
    tail = _normal_tail32(t * ROOT_TWO32)[1]
    above = ONE32 - (tail + tail)
    above = -above if x < ZERO32 else above
    return x * _erf32(x * x) if t < ONE32 else above


@exactly
def _whole_erf64(x):
    t = -x if x < 0.0 else x
    tail = _normal_tail64(t * ROOT_TWO64)[1]
    above = 1.0 - (tail + tail)
    above = -above if x < 0.0 else above
    return x * _erf64(x * x) if t < 1.0 else above


erf = by_dtype("erf", _whole_erf32, _whole_erf64, "The error function.")


# log(1 + x) = 2 atanh(w) with w = x / (2 + x), for 0 <= x <= 1.

_atanh32 = _polynomial(
    *(f32, 0.1219695404, 0.1069928025, 0.143101037, 0.1999935562, 0.3333333951, 0.9999999999)
)
_atanh64 = _polynomial(
    *(f64, 0.0803628306733913592, 0.0289270449883382503, 0.0504909273431702978),
    *(0.0522747375776543135, 0.0588530927762415459, 0.0666649976019258537, 0.0769231411063232102),
    *(0.0909090892609061359, 0.11111111113820866, 0.142857142856878258, 0.20000000000000134),
    *(0.333333333333333331, 1.0),
)


@exactly
def _log1p32(x):
    w = x / (TWO32 + x)
    return (w + w) * _atanh32(w * w)


@exactly
def _log1p64(x):
    w = x / (2.0 + x)
    return (w + w) * _atanh64(w * w)


# log(x) = e log(2) + 2 atanh(w), x = 2^e m, m from sqrt(1/2) to sqrt(2), w = (m - 1) / (m + 1).


@exactly
def _log32(x):
    bits = same_bits(x)
    e = (bits - same_bits(ROOT_HALF32)) >> np.int32(23)
    m = same_bits(np.int32(bits - (e << np.int32(23))))
    w, e = (m - ONE32) / (m + ONE32), np.float32(e)
    return e * LOG2_32[0] + ((w + w) * _atanh32(w * w) + e * LOG2_32[1])


@exactly
def _log64(x):
    bits = same_bits(x)
    e = (bits - same_bits(ROOT_HALF64)) >> 52
    m = same_bits(bits - (e << 52))
    w, e = (m - 1.0) / (m + 1.0), np.float64(e)
    return e * LOG2_64[0] + ((w + w) * _atanh64(w * w) + e * LOG2_64[1])


log1p_of_part = by_dtype("log1p_of_part", _log1p32, _log1p64, "log(1 + x) for 0 <= x <= 1.")
log_of_normal = by_dtype(
    *("log_of_normal", _log32, _log64), "log(x) for 0 < x < inf that is not subnormal."
)


# An angle is some quarters of a turn, which swap cos and sin or change their signs, and a rest of
# at most an eighth of a turn, for which the series of cos and sin are short.


def _series(number, first, last):
    """The signed series of cos (first = 0) or sin (1) up to the power `last`, over x^first."""
    powers = range(last, first - 1, -2)
    return _polynomial(number, *((-1) ** (k // 2) / math.factorial(k) for k in powers))


_cos32, _sin32, _cos64, _sin64 = (
    _series(f32, 0, 10),
    _series(f32, 1, 9),
    _series(f64, 0, 16),
    _series(f64, 1, 15),
)
QUARTER32, FOUR32 = f32(math.pi / 2), f32(4)


@exactly
def _turn32(x):
    quarters = np.floor(FOUR32 * x + HALF32)
    angle, n = (FOUR32 * x - quarters) * QUARTER32, np.int32(quarters)
    square = angle * angle
    c, s = _cos32(square), _sin32(square) * angle
    c, s = (s, c) if n & np.int32(1) else (c, s)
    return -c if (n + np.int32(1)) & np.int32(2) else c, -s if n & np.int32(2) else s


@exactly
def _turn64(x):
    quarters = np.floor(4.0 * x + 0.5)
    angle, n = (4.0 * x - quarters) * (math.pi / 2), np.int64(quarters)
    square = angle * angle
    c, s = _cos64(square), _sin64(square) * angle
    c, s = (s, c) if n & 1 else (c, s)
    return -c if (n + 1) & 2 else c, -s if n & 2 else s


cos_and_sin_of_turn = by_dtype(
    "cos_and_sin_of_turn", _turn32, _turn64, "(cos, sin) of 2 pi x for 0 <= x <= 1."
)


@exactly
def _positive32(x):
    return ZERO32 if x < ZERO32 else x


@exactly
def _positive64(x):
    return 0.0 if x < 0.0 else x


@exactly
def _mirrored32(y, x):
    return ONE32 - y if x > ZERO32 else y


@exactly
def _mirrored64(y, x):
    return 1.0 - y if x > 0.0 else y


# The sign is read from the bits, without floating-point arithmetic. As signed integers, the bits of
# -0 to -inf are at most those of -inf, and those of a NaN lie beyond those of an infinity.

INF_BITS32, MINUS_INF_BITS32 = f32(np.inf).view(np.int32), f32(-np.inf).view(np.int32)
INF_BITS64, MINUS_INF_BITS64 = f64(np.inf).view(np.int64), f64(-np.inf).view(np.int64)


@exactly
def _is_negative32(x):
    return same_bits(x) <= MINUS_INF_BITS32


@exactly
def _is_negative64(x):
    return same_bits(x) <= MINUS_INF_BITS64


@exactly
def _is_positive32(x):
    return 0 < same_bits(x) <= INF_BITS32


@exactly
def _is_positive64(x):
    return 0 < same_bits(x) <= INF_BITS64


is_negative = by_dtype(
    *("is_negative", _is_negative32, _is_negative64), "Whether x < 0 or x is -0; False for NaN."
)
is_positive = by_dtype(
    *("is_positive", _is_positive32, _is_positive64), "Whether x > 0; False for NaN."
)
positive = by_dtype("positive", _positive32, _positive64, "max(x, 0).", lookup.positive)
mirrored = by_dtype(
    "mirrored", _mirrored32, _mirrored64, "1 - y if x > 0, else y.", lookup.mirrored
)
