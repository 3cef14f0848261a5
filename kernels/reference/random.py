"""Random numbers as a pure function of (seed, offset): Philox4x32-10, and what is drawn from it.

Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; the constants are Random123's.
Block b, of four 32-bit words, is the counter b enciphered with the seed as key. A caller keeps an
offset, in blocks, and adds blocks(words_used(...)) after each draw, so that no word is used twice.
"""

import numpy as np

from .contract import kernel
from .precision import narrow, wide, wide_dtype

ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
KEY_STEPS = 0x9E3779B9, 0xBB67AE85
LOW_32 = 0xFFFFFFFF
LOW_64 = 0xFFFFFFFFFFFFFFFF


@kernel
def philox4x32(counter, key):
    """The cipher of a counter, four uint64 arrays of 32-bit words, under a key of two ints."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        product0, product1 = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1 = (product1 >> 32) ^ c1 ^ k0, product1 & LOW_32
        c2, c3 = (product0 >> 32) ^ c3 ^ k1, product0 & LOW_32
        k0, k1 = (k0 + KEY_STEPS[0]) & LOW_32, (k1 + KEY_STEPS[1]) & LOW_32
    return c0, c1, c2, c3


@kernel
def philox(seed, offset, n, like):
    """n uint32 words: word i is lane i % 4 of block offset + i // 4. `like` gives the array kind.

    The counter is the block's 64-bit number, low word first, and two zeros; the key is the seed's.
    """
    block = np.arange(blocks(n), dtype=np.uint64, like=like) + (offset & LOW_64)
    zero = np.zeros_like(block)
    key = seed & LOW_32, (seed >> 32) & LOW_32
    lanes = philox4x32((block & LOW_32, block >> 32, zero, zero), key)
    words = np.stack(lanes, axis=1).astype(np.uint32)
    return words.reshape(words.size)[:n]


@kernel
def blocks(n_words):
    """How many blocks hold n words: what a draw of n words adds to the offset."""
    return -(-n_words // 4)


@kernel
def words_used(kind, n, dtype):
    """How many words a draw of n numbers takes: kind is "uniform" or "normal".

    Dropout draws uniform float32 for inputs of all dtypes.
    """
    numbers = n + n % 2 if kind == "normal" else n
    return 2 * numbers if np.dtype(dtype) == np.float64 else numbers


@kernel
def uniform(seed, offset, n, dtype, like):
    """n floats in [0, 1). float32 and float16: 24 bits of one word; float64: 53 bits of two words.

    float16 rounds to nearest, and what would round to 1 is the largest number below it.
    """
    words = philox(seed, offset, words_used("uniform", n, dtype), like)
    if np.dtype(dtype) == np.float64:
        high, low = words[0::2] >> 5, words[1::2] >> 6
        return (high * 2.0**26 + low) * 2.0**-53
    numbers = (words >> 8).astype(np.float32) * 2.0**-24
    if np.dtype(dtype) == np.float16:
        return np.minimum(numbers.astype(np.float16), 1 - 2.0**-11)
    return numbers


@kernel
def normal(seed, offset, n, dtype, like):
    """n standard normals by Box-Muller: numbers 2i and 2i + 1 come from uniforms 2i and 2i + 1.

    They are radius * cos(angle) and radius * sin(angle), where radius = sqrt(-2 log(1 - u)), with
    1 - u in (0, 1], and angle = 2 pi u'. float16 is rounded from float32.
    """
    pairs = uniform(seed, offset, n + n % 2, wide_dtype(dtype), like).reshape(-1, 2)
    radius = np.sqrt(-2 * np.log(1 - pairs[:, 0]))
    angle = 2 * np.pi * pairs[:, 1]
    numbers = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return narrow(numbers.reshape(numbers.size)[:n], np.dtype(dtype))


@kernel
def dropout(x, p, seed, offset):
    """y = x * keep / (1 - p): element i, in C order, is kept where float32 uniform i is >= p.

    Linear in x: the same call on g is the gradient.
    """
    keep = uniform(seed, offset, x.size, np.float32, x).reshape(x.shape) >= p
    scale = 1 / (1 - p) if p < 1 else 1  # at p = 1 nothing is kept
    return narrow(np.where(keep, wide(x) * scale, 0), x.dtype)
