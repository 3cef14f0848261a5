"""Shared by the convolutions that compute vectors of output channels: weights and outputs.

The weights are arranged for such vectors, and the results are transposed into y.
"""

import functools
from typing import NamedTuple

import numpy as np

from ..machine.memory import empty
from ..machine.simd import REGISTER_BYTES, body, inlined, lanes, load, store
from ..machine.threads import share
from ..products.transposing import transpose, transpose_exactly

MANY = 64  # weights for an output channel, from which on transposing the outputs pays


def suits(s, itemsize):
    """Whether to vectorise over the output channels of a Geometry; `itemsize` is in bytes.

    There must be few idle lanes, and many products for each output, since outputs are transposed.
    """
    idle = -s.c_out % (REGISTER_BYTES // itemsize)
    return 8 * idle <= s.c_out and s.c_in * s.kh * s.kw >= MANY


@functools.lru_cache(maxsize=256)
def places(s, flipped):
    """The position in the order (j, i, channel) of each weight (channel, i, j), flipped or not."""
    in_order = np.arange(s.kw * s.kh * s.c_in).reshape(s.kw, s.kh, s.c_in).transpose(2, 1, 0)
    return np.ravel(in_order[:, ::-1, ::-1] if flipped else in_order)


class Arranged(NamedTuple):
    """The weights and the bias in the order in which vectors of output channels are computed.

    V is the number of such vectors in all groups; the last one of a group may have idle lanes.
    """

    u: np.ndarray  # (V u_next,): u[group and vector, (j, i, c_in), lane], aligned to a vector
    u_next: int  # elements from one vector of output channels to the next
    start: np.ndarray  # (V lanes,): the values that the sums begin with: the bias, or zeros


def room_of_weights(s, dtype):
    """The fields of an Arranged, for `arrange_task` to fill in; `u` has a vector to spare.

    They are a plain tuple, since numba is slow to find the type of a named tuple that comes from
    Python. `arranged` names them.
    """
    size = REGISTER_BYTES // np.dtype(dtype).itemsize
    vectors, u_next = s.groups * -(-s.c_out // size), (s.c_in * s.kh * s.kw + 1) * size
    return empty((vectors * u_next + size,), dtype), u_next, np.empty(vectors * size, dtype)


@inlined
def arranged(weights):
    """The result of `room_of_weights` as an Arranged. For calls from compiled code."""
    u, u_next, start = weights
    return Arranged(u[-(u.ctypes.data // u.itemsize) % lanes(u) :], u_next, start)


@body
def arrange_task(task, tasks, w, bias, places, weights, s, flipped):
    """Fill in an Arranged with the weights, flipped or not, and the bias."""
    u, u_next, start = weights
    size, taps = lanes(w), s.kh * s.kw
    vectors = (s.c_out + size - 1) // size
    # Weights of an output channel that lie together, and so the distance between such channels.
    together = taps if flipped else s.c_in * taps
    block = np.empty(size * size, w.dtype)
    for item in range(*share(task, tasks, s.groups * vectors)):
        group, first = item // vectors, item % vectors * size
        outputs = min(size, s.c_out - first)
        for o in range(size):
            known = bias.size and o < outputs
            start[item * size + o] = bias[group * s.c_out + first + o] if known else 0
        for begin in range(0, s.c_in * taps, together):
            source = (group * s.c_out + first) * s.c_in * taps
            if flipped:
                source = ((group * s.c_in + begin // taps) * s.c_out + first) * taps
            for k in range(0, together, size):
                columns = min(size, together - k)
                transpose(w, source + k, together, outputs, columns, block, 0, size)
                for column in range(columns):
                    place = item * u_next + places[begin + k + column] * size
                    store(u, place, load(block, column * size))


@body
def channels_first(out, at, width, pixels, channels, y, target, plane):
    """y[channel, pixel] = out[pixel, channel], for at most `width` channels."""
    size = lanes(y)
    for o in range(0, min(width, channels), size):
        for p in range(0, pixels, size):
            transpose_exactly(
                out, at + p * width + o, width, min(size, pixels - p), min(size, channels - o),
                y, target + o * plane + p, plane,
            )  # fmt: skip
