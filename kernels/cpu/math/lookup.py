"""exp, sigmoid and the normal distribution of whole vectors of float32, by tables in registers.

AVX-512 has an instruction that picks, for each lane of a vector, one of the 16 elements of another.
With such tables exp needs a polynomial of degree 3 (that of vector_math.py has 7), and the normal
distribution no division. The functions have the names of those in vector_math.py, which chooses
between the two. NaN passes through, infinities give their limits, and exp never returns a subnormal
number.

    m = x / log(2) + 1.5 * 2^19     # rounds to sixteenths: a float32 has no finer digits there
    n = m - 1.5 * 2^19              # the last four bits of m are the fraction of n, in sixteenths
    exp(x) = 2^floor(n) * 2^(last bits of m / 16) * exp(x - n log(2))

The compiler reorders no addition here (simd.py).
"""

import math
from functools import lru_cache

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..machine.simd import INT, Vector, fma, greater, inlined, lesser, where_less

LANES = 16  # the entries of a table
KIND = Vector(types.float32)
AVAILABLE = KIND.lanes == LANES  # a table is one vector
f32 = np.float32

FLOATS, WORDS = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(INT, LANES)

EXP_LOW, EXP_HIGH = f32(-87.33654), f32(89)
RATE, SHIFT = f32(1 / math.log(2)), f32(1.5 * 2**19)
LOG2_HIGH = f32(math.log(2))
LOG2_LOW = f32(math.log(2) - float(LOG2_HIGH))
FRACTION_BITS = 23 - 4  # of a float32, below the four that count sixteenths
HALF, SIXTH, ZERO, ONE = f32(1 / 2), f32(1 / 6), f32(0), f32(1)


def _words(value):
    """A constant vector of 32-bit words with a value in all lanes."""
    return ir.Constant(WORDS, [value] * LANES)


def _call(builder, name, *args):
    """Call one of LLVM's functions that return a vector of float32."""
    kind = ir.FunctionType(FLOATS, [x.type for x in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def _table(entries, first_bit=0):
    """A function of vectors that looks up, for each lane, one of the 16 numbers of entries().

    Four bits of the lane, from `first_bit` on, are the index. entries() is called when a kernel is
    compiled.
    """

    @intrinsic
    def look_up(typingctx, v):
        def codegen(context, builder, sig, args):
            index = builder.lshr(builder.bitcast(args[0], WORDS), _words(first_bit))
            table = ir.Constant(FLOATS, [float(f32(x)) for x in entries()])
            return _call(builder, "llvm.x86.avx512.permvar.sf.512", table, index)

        return KIND(v), codegen

    return look_up


@intrinsic
def _times_power(typingctx, v, n):
    """v 2^floor(n)."""

    def codegen(context, builder, sig, args):
        all_lanes, rounding = ir.Constant(ir.IntType(LANES), -1), INT(4)
        name = "llvm.x86.avx512.mask.scalef.ps.512"
        return _call(builder, name, *args, ir.Constant(FLOATS, None), all_lanes, rounding)

    return KIND(v, n), codegen


_part_of_power = _table(lambda: [2 ** (j / LANES) for j in range(LANES)])


@intrinsic
def _power(typingctx, m):
    """2^floor(n) * 2^(last bits of m / 16), for n >= -126 and below 128.

    The bits of m are those of SHIFT plus 16 n. Shifted left, they add floor(n) to an exponent, and
    the fraction of n to the bits below it, which the entries of the table make up for.
    """

    def codegen(context, builder, sig, args):
        table = [f32(2 ** (j / LANES)).view(np.uint32) - (j << FRACTION_BITS) for j in range(LANES)]
        bits = builder.bitcast(args[0], WORDS)
        table = builder.bitcast(ir.Constant(WORDS, [int(x) for x in table]), FLOATS)
        part = _call(builder, "llvm.x86.avx512.permvar.sf.512", table, bits)
        shifted = builder.shl(bits, _words(FRACTION_BITS))
        return builder.bitcast(builder.add(builder.bitcast(part, WORDS), shifted), FLOATS)

    return KIND(m), codegen


@inlined
def exp(x):
    """e ** x."""
    x = lesser(EXP_HIGH, x)
    m = fma(x, RATE, SHIFT)
    n = m - SHIFT
    r = fma(n, -LOG2_LOW, fma(n, -LOG2_HIGH, x))
    p = fma(fma(r, SIXTH, HALF), r * r, r)
    part = _part_of_power(m)
    return where_less(x, EXP_LOW, ZERO, _times_power(fma(part, p, part), n))


@intrinsic
def _above_floor(typingctx, v):
    """v - floor(v), and 0 for an infinity."""

    def codegen(context, builder, sig, args):
        all_lanes, downwards = ir.Constant(ir.IntType(LANES), -1), INT(0b1001)
        name, from_registers = "llvm.x86.avx512.mask.reduce.ps.512", INT(4)
        nothing = ir.Constant(FLOATS, None)
        return _call(builder, name, *args, downwards, nothing, all_lanes, from_registers)

    return KIND(v), codegen


# 1 + x (E1 + x (E2 + ...)) has a relative error of at most 9.7e-8 as 2^x for x from 0 to 1. It was
# fitted by least squares at Chebyshev's points, which were weighted by the errors until these were
# level.
E1, E2, E3, E4, E5 = map(f32, (0.69315131, 0.24016445, 0.05579991, 0.00901703, 0.00186713))


@inlined
def exp2(x):
    """2 ** x, subnormal results included."""
    r = _above_floor(x)
    p = fma(fma(fma(fma(r, E5, E4), r, E3), r, E2), r, E1)
    return _times_power(fma(p, r, ONE), x)


@inlined
def exp_of_difference(x):
    """e ** x for x <= 88, faster than exp: for an x = a - b, whose own rounding matters more.

    Beyond the error of exp it has a relative one of 2.8e-9 |x|, about a tenth of what the rounding
    of x causes. What is computed for x below EXP_LOW makes no sense, and is replaced by 0.
    """
    m = fma(x, RATE, SHIFT)
    r = fma(m - SHIFT, -LOG2_HIGH, x)
    p = fma(fma(r, SIXTH, HALF), r * r, r)
    power = _power(m)
    return where_less(x, EXP_LOW, ZERO, fma(power, p, power))


@inlined
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return ONE / (ONE + exp(-x))


# The tail of the normal distribution is Phi(-t) = exp(-t^2 / 2) h(t), where h(t), which is
# erfcx(t / sqrt(2)) / 2, varies little. The last two bits of the exponent of u = 1 + t and the
# first two of its fraction say in which of 16 intervals from 1 to 16 it lies. In each of them h is
# a polynomial in the distance from the interval's beginning. The exponential is computed as above,
# but from t^2 before it is rounded; n times LOG4_HIGH is exact, since it has few bits.

END = f32(14.5)  # where the tail is 0 in float32, and u < 16
FIRST_BIT = 21  # of the four that tell the interval
LOG4_HIGH = f32(round(2 * math.log(2) * 2**11) / 2**11)
LOG4_LOW = f32(2 * math.log(2) - float(LOG4_HIGH))
RATE_OF_SQUARE = f32(-1 / (2 * math.log(2)))
EIGHTH, MINUS_48TH = f32(1 / 8), f32(-1 / 48)
DEGREE = 5


@lru_cache(maxsize=1)
def _tail_polynomials():
    """The coefficients of h, (power, interval), fitted for the least relative error."""
    from scipy.special import erfcx

    found = np.empty((DEGREE + 1, LANES))
    for index in range(LANES):
        octave, quarter = (index // 4 + 1) % 4, index % 4  # octave 0 has the exponent 127
        start, width = 2.0**octave * (1 + quarter / 4), 2.0**octave / 4
        share = (1 + np.cos(np.pi * np.arange(0.5, 40) / 40)) / 2
        h = erfcx((start - 1 + width * share) / math.sqrt(2)) / 2
        powers = np.vander(share, DEGREE + 1, increasing=True) / h[:, None]
        solution = np.linalg.lstsq(powers, np.ones(len(share)), rcond=None)[0]
        found[:, index] = solution / width ** np.arange(DEGREE + 1)
    return found


def _coefficient(power):
    """A function of u: the coefficient of a power for the interval in which u lies."""
    return _table(lambda: _tail_polynomials()[power], FIRST_BIT)


_h0, _h1, _h2, _h3, _h4, _h5 = (_coefficient(power) for power in range(DEGREE + 1))


@intrinsic
def _absolute(typingctx, v):
    """|v|."""
    return KIND(v), lambda context, builder, sig, args: _call(builder, "llvm.fabs.v16f32", *args)


@intrinsic
def _beginning(typingctx, u):
    """Where the interval of u begins."""

    def codegen(context, builder, sig, args):
        leading = builder.and_(builder.bitcast(args[0], WORDS), _words(-(1 << FIRST_BIT)))
        return builder.bitcast(leading, FLOATS)

    return KIND(u), codegen


@inlined
def normal_tail(x):
    """(t, Phi(-t), exp(-t^2 / 2)) for t = |x|, but at most 14.5."""
    t = lesser(END, _absolute(x))
    m = fma(t * t, RATE_OF_SQUARE, SHIFT)
    n = m - SHIFT
    r = fma(n, LOG4_LOW, fma(t, t, n * LOG4_HIGH))  # t^2 + 2 n log(2)
    p = fma(fma(r, MINUS_48TH, EIGHTH), r, -HALF) * r
    part = _part_of_power(m)
    bell = _times_power(fma(part, p, part), n)
    u = t + ONE
    d = u - _beginning(u)
    h = fma(fma(fma(_h5(u), d, _h4(u)), d, _h3(u)), d, _h2(u))
    h = fma(fma(h, d, _h1(u)), d, _h0(u))
    return t, bell * h, bell


@inlined
def positive(x):
    """max(x, 0)."""
    return greater(ZERO, x)


@inlined
def mirrored(y, x):
    """1 - y where x > 0, else y."""
    return where_less(-x, ZERO, ONE - y, y)
