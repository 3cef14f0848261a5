"""What the texts of fused loops call beside the steps: sums over rows, divisions, reductions."""

import numpy as np
from numba.extending import intrinsic

from ..machine.simd import WORD, inside, lane_mask, over_lanes
from ..math.vector_math import by_dtype, exactly
from .functions import extreme_of


@intrinsic
def lanes_or(typingctx, v, count, others):
    """The first `count` lanes of v, and those of `others` after them."""

    def codegen(context, builder, sig, args):
        v, count, others = args
        return builder.select(lane_mask(builder, v.type.count, WORD(0), count), v, others)

    return v(v, count, others), codegen


@intrinsic
def greatest_of(typingctx, v):
    """The greatest of all lanes; NaN if there is one."""

    def codegen(context, builder, sig, args):
        return over_lanes(builder, *args, lambda builder, a, b: extreme_of(builder, ">", a, b))

    return v.dtype(v), codegen


@inside
def flush(parts, wide, at, columns):
    """Add a piece of the sums of few rows to that of all rows, in float64, and begin anew."""
    few, all_ = parts[at : at + columns], wide[at : at + columns]
    for i in range(few.size):
        all_[i] += few[i]
        few[i] = 0


@inside
def add_up(pieces, first, step, count, y):
    """y = the sums of the tasks' pieces, in the order of the tasks."""
    for i in range(count):
        total = 0.0
        for at in range(first + i, pieces.size, step):
            total += pieces[at]
        y[i] = total


# x / d is computed as x * scale * inverse: the scale keeps d * scale in the middle of the range,
# where its inverse is a normal number.


def _inverse(real):
    one, power = real(1), np.finfo(real).maxexp // 2
    large, small = real(2.0**power), real(2.0**-power)

    @exactly
    def inverse(d):
        t = -d if d < 0 else d
        scale = small if t > large else (large if t < small else one)
        return scale, one / (d * scale)

    return inverse


inverse_of = by_dtype(
    *("inverse_of", _inverse(np.float32), _inverse(np.float64)),
    "(scale, inverse) of a divisor d: x / d is x * scale * inverse.",
)
