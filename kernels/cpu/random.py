"""Random numbers by Philox, and dropout, from the same words as kernels/reference/random.py.

The words of a chunk are drawn into a buffer in the L1 cache and used from there, those of dropout
into registers, so that only x and y go through memory.
"""

import math

import numpy as np
from numba import types
from numba.extending import overload

from ..reference.random import LOW_64
from .machine.compile import OPTIONS, jit
from .machine.kernel import REAL, complete_kernel, kernel
from .machine.memory import empty
from .machine.simd import body
from .machine.threads import pool, run, share, tasks_for
from .math.philox import BLOCKS, LOW, draw_words, drop, keys_of
from .math.vector_math import cos_and_sin_of_turn, log_of_normal

CHUNK = 256  # words
DRAWN = 4 * BLOCKS  # words that are drawn at once
TASK = 1 << 14  # words that are worth a thread

STEP_32 = np.float32(2.0**-24)


@complete_kernel
def philox(seed, offset, n, like):
    """n uint32 words."""
    words = empty((n,), np.uint32)
    _draw(pool(), words, signed(seed), signed(offset))
    return words


@kernel()
def uniform(seed, offset, n, dtype, like):
    """n floats in [0, 1)."""
    if dtype not in REAL:
        return NotImplemented
    numbers = empty((n,), dtype)
    _draw(pool(), numbers, signed(seed), signed(offset))
    return numbers


@kernel()
def normal(seed, offset, n, dtype, like):
    """n standard normal numbers, of pairs of uniform ones by Box-Muller."""
    if dtype not in REAL:
        return NotImplemented
    numbers = empty((n + n % 2,), dtype)
    _draw_normal(pool(), numbers, signed(seed), signed(offset))
    return numbers[:n]


@kernel("x")
def dropout(x, p, seed, offset):
    """x / (1 - p) where a uniform number is >= p, else 0."""
    y, least = empty(x.shape, x.dtype), least_kept(p)
    if least >> 32:  # nothing is kept, also where x is not finite
        y.fill(0)
    else:
        scale = float(1 / (1 - p))
        _dropout(
            pool(), x.reshape(x.size), y.reshape(x.size), least, scale, signed(seed), signed(offset)
        )
    return y


def least_kept(p):
    """The least 32-bit word whose float32 uniform is >= p; 2**32 where none is."""
    return math.ceil(float(np.float32(p)) * 2.0**24) << 8


def signed(word):
    """The lowest 64 bits of an integer as an int64, which is what numba takes."""
    word &= LOW_64
    return word - (word >> 63 << 64)


def _as_words(pairs, words, numbers):
    for i in range(numbers.size):
        numbers[i] = words[i]


def _as_singles(pairs, words, numbers):
    for i in range(numbers.size):
        numbers[i] = np.float32(words[i] >> np.uint32(8)) * STEP_32


def _as_doubles(pairs, words, numbers):
    for i in range(numbers.size):
        numbers[i] = _double(pairs[i])


@jit
def _double(pair):
    """The uniform float64 of two words."""
    high, low = (pair & LOW) >> np.uint64(5), pair >> np.uint64(38)
    return (np.float64(high) * 2.0**26 + np.float64(low)) * 2.0**-53


def _convert(pairs, words, numbers):
    raise NotImplementedError("_convert is for compiled code")


@overload(_convert, jit_options=OPTIONS)
def _convert_by_dtype(pairs, words, numbers):
    """numbers = the words themselves, or the uniform numbers that they make."""
    conversions = {
        types.uint32: _as_words,
        types.float32: _as_singles,
        types.float64: _as_doubles,
    }
    return conversions[numbers.dtype]


@jit
def _draw(pool, numbers, seed, block):
    run(pool, _draw_part, (numbers, seed, block), tasks_for(pool, numbers.size, TASK))


@body
def _draw_part(task, tasks, numbers, seed, block):
    pairs = np.empty(CHUNK // 2, np.uint64)
    words, keys = pairs.view(np.uint32), keys_of(np.uint64(seed))
    size = CHUNK * 4 // numbers.itemsize  # random numbers of a chunk
    first, end = share(task, tasks, (numbers.size + size - 1) // size)
    for chunk in range(first, end):
        draw_words(pairs, keys, block + chunk * (CHUNK // 4))
        _convert(pairs, words, numbers[chunk * size : (chunk + 1) * size])


@jit
def _draw_normal(pool, numbers, seed, block):
    run(pool, _draw_normal_part, (numbers, seed, block), tasks_for(pool, numbers.size, TASK))


@body
def _draw_normal_part(task, tasks, numbers, seed, block):
    one, minus_two = numbers.dtype.type(1), numbers.dtype.type(-2)
    pairs = np.empty(CHUNK // 2, np.uint64)
    words, keys = pairs.view(np.uint32), keys_of(np.uint64(seed))
    size = CHUNK * 4 // numbers.itemsize
    first, end = share(task, tasks, (numbers.size + size - 1) // size)
    for chunk in range(first, end):
        part = numbers[chunk * size : (chunk + 1) * size]
        draw_words(pairs, keys, block + chunk * (CHUNK // 4))
        _convert(pairs, words, part)
        for i in range(part.size // 2):
            radius = np.sqrt(minus_two * log_of_normal(one - part[2 * i]))
            c, s = cos_and_sin_of_turn(part[2 * i + 1])
            part[2 * i], part[2 * i + 1] = radius * c, radius * s


@jit
def _dropout(pool, x, y, least, scale, seed, block):
    tasks = tasks_for(pool, x.size, TASK)
    args = x, y, np.uint32(least), x.dtype.type(scale), seed, block
    run(pool, _dropout_part, args, tasks)


@body
def _dropout_part(task, tasks, x, y, least, scale, seed, block):
    keys, zero = keys_of(np.uint64(seed)), x.dtype.type(0)
    first, end = share(task, tasks, (x.size + DRAWN - 1) // DRAWN)
    whole = min(end, x.size // DRAWN)
    for chunk in range(first, whole):
        drop(x, y, chunk * DRAWN, keys, block + chunk * BLOCKS, least, scale)
    if whole < end:
        pairs = np.empty(DRAWN // 2, np.uint64)
        draw_words(pairs, keys, block + whole * BLOCKS)
        words, start = pairs.view(np.uint32), whole * DRAWN
        for i in range(start, x.size):
            y[i] = x[i] * scale if words[i - start] >= least else zero
