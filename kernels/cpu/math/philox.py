"""The cipher behind random numbers, Philox4x32-10: see kernels/reference/random.py.

Each 32-bit word lies in a 64-bit lane: a CPU multiplies the low halves of such lanes, and ignores
what the upper halves hold. Each round needs the result of the one before. So that the CPU need not
wait, several vectors of blocks go through the cipher side by side, instruction by instruction: LLVM
would put one after the other.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ...reference.random import KEY_STEPS, MULTIPLIERS, ROUNDS
from ..machine.simd import (
    INT,
    REGISTER_BYTES,
    REGISTERS,
    WORD,
    Vector,
    body,
    lane_indices,
    load_at,
    pointer,
    spread,
    store_at,
)

LANES = REGISTER_BYTES // 8
STREAMS = 4 if REGISTERS == 32 else 2  # vectors side by side, as many as the registers allow
BLOCKS = LANES * STREAMS  # blocks, of four words each, that are enciphered at once

M0, M1 = (np.uint64(m) for m in MULTIPLIERS)
K0, K1 = (np.uint64(k) for k in KEY_STEPS)
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@body
def keys_of(seed):
    """The two words of each round's key, one round after the other."""
    keys, k0, k1 = np.empty(2 * ROUNDS, np.uint64), seed & LOW, seed >> HALF
    for r in range(ROUNDS):
        keys[2 * r], keys[2 * r + 1] = k0, k1
        k0, k1 = (k0 + K0) & LOW, (k1 + K1) & LOW
    return keys


@body
def cipher(block, seed):
    """The four words of a block, each in the lower half of a uint64 whose upper half is junk."""
    c0, c1, c2, c3 = block & LOW, block >> HALF, np.uint64(0), np.uint64(0)
    k0, k1 = seed & LOW, seed >> HALF
    for _ in range(ROUNDS):
        product0, product1 = (c0 & LOW) * M0, (c2 & LOW) * M1
        c0, c1 = (product1 >> HALF) ^ c1 ^ k0, product1
        c2, c3 = (product0 >> HALF) ^ c3 ^ k1, product0
        k0, k1 = (k0 + K0) & LOW, (k1 + K1) & LOW
    return c0, c1, c2, c3


@body
def draw_words(pairs, keys, block):
    """Fill `pairs` with the words of the blocks from `block` on, two to a uint64, the first low.

    The size of `pairs` is a multiple of 2 BLOCKS.
    """
    for i in range(0, pairs.size // 2, BLOCKS):
        _write_words(pairs, 2 * i, keys, block + i)


@intrinsic
def _write_words(typingctx, pairs, at, keys, block):
    """Write the words of BLOCKS blocks to `pairs`, from index `at` on."""

    def codegen(context, builder, sig, args):
        start = pointer(context, builder, sig.args[0], *args[:2])
        key_at = pointer(context, builder, sig.args[2], args[2], WORD(0))
        for k, words in enumerate(_enciphered(builder, key_at, args[3])):
            store_at(builder, words, builder.gep(start, [WORD(k * LANES)]))
        return context.get_dummy_value()

    return types.void(pairs, types.int64, keys, types.int64), codegen


@intrinsic
def drop(typingctx, x, y, at, keys, block, least, scale):
    """y = scale * x where the word is at least `least`, else 0, for 4 BLOCKS elements from `at` on.

    The words are those of the blocks from `block` on; they stay in registers.
    """
    kind = Vector(x.dtype)

    def codegen(context, builder, sig, args):
        x_at, y_at = (pointer(context, builder, sig.args[k], args[k], args[2]) for k in (0, 1))
        key_at = pointer(context, builder, sig.args[3], args[3], WORD(0))
        least, scale = spread(builder, args[5], kind.lanes), spread(builder, args[6], kind.lanes)
        nothing = ir.Constant(scale.type, None)
        for k, words in enumerate(_enciphered(builder, key_at, args[4])):
            words = builder.bitcast(words, ir.VectorType(INT, 2 * LANES))
            for first in range(0, 2 * LANES, kind.lanes):
                some = builder.shuffle_vector(
                    words, words, lane_indices(range(first, first + kind.lanes))
                )
                place = WORD(k * 2 * LANES + first)
                value = load_at(builder, builder.gep(x_at, [place]), scale.type)
                kept = builder.select(
                    builder.icmp_unsigned(">=", some, least), builder.fmul(value, scale), nothing
                )
                store_at(builder, kept, builder.gep(y_at, [place]))
        return context.get_dummy_value()

    return types.void(x, x, types.int64, keys, types.int64, types.uint32, x.dtype), codegen


# Generators of LLVM code


def _enciphered(builder, key_at, block):
    """The words of BLOCKS blocks in order, as a list of vectors."""
    first, low, half = spread(builder, block, LANES), _all(int(LOW)), _all(32)
    streams = []
    for s in range(STREAMS):
        block = builder.add(first, _vector(range(s * LANES, (s + 1) * LANES)))
        streams.append((block, builder.lshr(block, half), _all(0), _all(0)))
    for r in range(ROUNDS):
        k0, k1 = (
            spread(builder, builder.load(builder.gep(key_at, [WORD(k)])), LANES)
            for k in (2 * r, 2 * r + 1)
        )
        products = [
            [builder.mul(builder.and_(word, low), _all(int(m))) for word in words]
            for m, words in ((M0, [c[0] for c in streams]), (M1, [c[2] for c in streams]))
        ]
        high = [[builder.lshr(product, half) for product in some] for some in products]
        c0 = [builder.xor(builder.xor(h, c[1]), k0) for h, c in zip(high[1], streams, strict=True)]
        c2 = [builder.xor(builder.xor(h, c[3]), k1) for h, c in zip(high[0], streams, strict=True)]
        streams = list(zip(c0, products[1], c2, products[0], strict=True))
    return [vector for words in streams for vector in _blocks(builder, words)]


def _blocks(builder, words):
    """Yield vectors of words in the order of blocks, from those of all first, second ... words."""
    halves = ir.VectorType(INT, 2 * LANES)
    first, second, third, fourth = (builder.bitcast(x, halves) for x in words)
    lower = [lane + below for lane in range(0, 2 * LANES, 2) for below in (0, 2 * LANES)]
    ab, cd = (
        builder.bitcast(builder.shuffle_vector(x, y, lane_indices(lower)), words[0].type)
        for x, y in ((first, second), (third, fourth))
    )
    for half in range(2):
        lanes = [lane for i in range(LANES // 2) for lane in (i, LANES + i)]
        yield builder.shuffle_vector(ab, cd, lane_indices([half * LANES // 2 + k for k in lanes]))


def _vector(values):
    """A constant vector of 64-bit words."""
    return ir.Constant(ir.VectorType(WORD, LANES), list(values))


def _all(value):
    """A constant vector with a value in all lanes."""
    return _vector([value] * LANES)
