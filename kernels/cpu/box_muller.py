"""Two normal numbers from two uniform ones, in float64, for loops that LLVM makes vector code of.

The polynomials are those of fdlibm (Sun Microsystems, 1993) for log, sin and cos.
"""

import math

import numpy as np

from .vector_math import exactly, same_bits

SQRT_HALF = np.int64(0x3FE6A09E667F3BCD)  # its bits
LOG2_HIGH, LOG2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
L1, L2, L3 = 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01
L4, L5, L6 = 2.222219843214978396e-01, 1.818357216161805012e-01, 1.531383769920937332e-01
L7 = 1.479819860511658591e-01
S1, S2, S3 = -1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04
S4, S5, S6 = 2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10
C1, C2, C3 = 4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05
C4, C5, C6 = -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11


@exactly
def box_muller(u, v):
    """sqrt(-2 log(1 - u)) times cos(2 pi v) and sin(2 pi v), for u and v in [0, 1)."""
    radius = math.sqrt(-2.0 * _log(1.0 - u))
    cos, sin = _cos_sin(v)
    return radius * cos, radius * sin


@exactly
def _log(x):
    """log(x) of a positive normal number x = 2^n (1 + f), 1 + f from sqrt(1/2) to sqrt(2)."""
    bits = same_bits(x)
    n = (bits - SQRT_HALF) >> 52
    f = same_bits(bits - (n << 52)) - 1.0
    s = f / (2.0 + f)
    z = s * s
    tail = z * (L1 + z * (L2 + z * (L3 + z * (L4 + z * (L5 + z * (L6 + z * L7))))))
    half = 0.5 * f * f
    count = np.float64(np.int32(n))
    return count * LOG2_HIGH - ((half - (s * (half + tail) + count * LOG2_LOW)) - f)


@exactly
def _cos_sin(v):
    """Of 2 pi v, for v in [0, 1]: of an angle from -pi / 4 to pi / 4, and the quarter turns."""
    quarter = math.floor(4.0 * v + 0.5)
    a = (v - 0.25 * quarter) * (2.0 * math.pi)
    z = a * a
    sin = a + a * z * (S1 + z * (S2 + z * (S3 + z * (S4 + z * (S5 + z * S6)))))
    cos = 1.0 - 0.5 * z + z * z * (C1 + z * (C2 + z * (C3 + z * (C4 + z * (C5 + z * C6)))))
    turns = np.int64(np.int32(quarter))
    even = turns & 1 == 0
    x, y = cos if even else sin, sin if even else cos
    return -x if (turns + 1) & 2 else x, -y if turns & 2 else y
