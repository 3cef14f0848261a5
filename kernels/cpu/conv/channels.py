"""What convolutions share whose vectors are output channels: their weights, and the way to y."""

import functools
from typing import NamedTuple

import numpy as np

from ..machine.memory import empty
from ..machine.simd import REGISTER_BYTES, body, inlined, lanes, load, store
from ..machine.threads import share
from ..products.transposing import transpose, transpose_exactly

MANY = 64  # weights of an output channel, from which on transposing its outputs pays


def suits(s, itemsize):
    """Whether to vectorise over the output channels of a Geometry; `itemsize` is in bytes.

    There must be few idle lanes and many products for each of the outputs, which are transposed.
    """
    idle = -s.c_out % (REGISTER_BYTES // itemsize)
    return 8 * idle <= s.c_out and s.c_in * s.kh * s.kw >= MANY


@functools.lru_cache(maxsize=256)
def places(s, turned):
    """Where the weights (channel, i, j) lie in the order (j, i, channel)."""
    in_order = np.arange(s.kw * s.kh * s.c_in).reshape(s.kw, s.kh, s.c_in).transpose(2, 1, 0)
    return np.ravel(in_order[:, ::-1, ::-1] if turned else in_order)


class Arranged(NamedTuple):
    """The weights and the bias in the order in which vectors of output channels are computed.

    V is the number of such vectors in all groups; a group's last one may have idle lanes.
    """

    u: np.ndarray  # (V u_next,): u[group and vector, (j, i, c_in), lane], begins where a line does
    u_next: int  # elements from one vector of output channels to the next
    start: np.ndarray  # (V lanes,): what the sums begin with: the bias, or zeros


def room_of_weights(s, dtype):
    """The fields of an Arranged that `arrange_task` is to fill in; `u` has a vector to spare.

    A plain tuple, since numba takes its time over the type of a named one in a call from Python:
    `arranged` names the fields.
    """
    size = REGISTER_BYTES // np.dtype(dtype).itemsize
    vectors, u_next = s.groups * -(-s.c_out // size), (s.c_in * s.kh * s.kw + 1) * size
    return empty((vectors * u_next + size,), dtype), u_next, np.empty(vectors * size, dtype)


@inlined
def arranged(weights):
    """The Arranged of what `room_of_weights` returned. To be called from compiled code."""
    u, u_next, start = weights
    return Arranged(u[-(u.ctypes.data // u.itemsize) % lanes(u) :], u_next, start)


@body
def arrange_task(task, tasks, w, bias, places, weights, s, turned):
    """Fill in an Arranged with the weights, or those turned, and the bias."""
    u, u_next, start = weights
    size, taps = lanes(w), s.kh * s.kw
    vectors = (s.c_out + size - 1) // size
    across, each = (taps, taps) if turned else (s.c_in * taps, s.c_in * taps)
    block = np.empty(size * size, w.dtype)
    for item in range(*share(task, tasks, s.groups * vectors)):
        group, first = item // vectors, item % vectors * size
        outputs = min(size, s.c_out - first)
        for o in range(size):
            known = bias.size and o < outputs
            start[item * size + o] = bias[group * s.c_out + first + o] if known else 0
        for begin in range(0, s.c_in * taps, each):
            source = (group * s.c_out + first) * s.c_in * taps
            if turned:
                source = ((group * s.c_in + begin // taps) * s.c_out + first) * taps
            for k in range(0, each, size):
                columns = min(size, each - k)
                transpose(w, source + k, across, outputs, columns, block, 0, size)
                for column in range(columns):
                    place = item * u_next + places[begin + k + column] * size
                    store(u, place, load(block, column * size))


@body
def channels_first(out, at, width, pixels, channels, y, target, plane):
    """y[channel, pixel] = out[pixel, channel], of at most `width` channels."""
    size = lanes(y)
    for o in range(0, min(width, channels), size):
        for p in range(0, pixels, size):
            transpose_exactly(
                out, at + p * width + o, width, min(size, pixels - p), min(size, channels - o),
                y, target + o * plane + p, plane,
            )  # fmt: skip
