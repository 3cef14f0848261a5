"""Convolutions of 3 x 3, stride 1, by Winograd's F(2x2, 3x3): 16 products instead of 36.

Two by two outputs, a tile, depend on four by four inputs d through

    y = A' [(G w G') * (B' d B)] A,        * element by element, ' the transpose,

so that all tiles together take 16 products of matrices, (tiles x channels) times (channels x output
channels) (Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks"). The gradient
by the weights takes the same way back. Inside, channels lie side by side.

The matrices hold 0, 1, -1 and 1/2, so the errors are near those of plain sums: with standard normal
numbers and 16 to 64 channels at most 4e-7 of the largest output, 7e-7 of the largest weight's
gradient, up to twice the reference's in float32. But they are relative to the tile, and an infinity
or NaN spreads over its tile. So results that are not finite are reported, to be computed again in
another way.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .block_gemm import multiply
from .compile import jit
from .simd import (
    REGISTER_BYTES,
    WORD,
    Vector,
    body,
    fma,
    full,
    inlined,
    lanes,
    load,
    load_at,
    pointer,
    spread,
    store,
    store_at,
    total,
    transpose,
    transpose_exactly,
)
from .threads import run, share, threads_of

BLOCK = 64  # channels that are worked on at once
SEGMENT = 28  # tiles of a row that are
BYTES = 1 << 19  # of transformed tiles: half of a usual L2 cache
LEAST_TILES = 48

A = (1, 0), (1, 1), (1, -1), (0, -1)
B = (1, 0, 0, 0), (0, 1, -1, 1), (-1, 1, 1, 0), (0, 0, 0, -1)
G = (1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)


def _transposed(matrix):
    return tuple(zip(*matrix, strict=True))


def _combination(builder, factors, values):
    """The sum of values times factors 0, 1, -1, 1/2 or -1/2."""
    wholes, halves = [], []
    for factor, value in zip(factors, values, strict=True):
        if factor:
            (wholes if abs(factor) == 1 else halves).append((factor > 0, value))
    if halves:
        value = _signed_sum(builder, halves)
        half = spread(builder, value.type.element(0.5), value.type.count)
        wholes.append((True, builder.fmul(half, value)))
    return _signed_sum(builder, wholes)


def _signed_sum(builder, terms):
    terms.sort(key=lambda term: not term[0])
    (plus, value), *rest = terms
    if not plus:
        value = builder.fsub(ir.Constant(value.type, None), value)
    for plus, term in rest:
        value = (builder.fadd if plus else builder.fsub)(value, term)
    return value


def _on_both_sides(matrix):
    """Of a block of vectors x: y = matrix x matrix'."""

    @intrinsic
    def transform(typingctx, x, x_rows, x_column, y, at, y_row, y_column):
        """Row r of x begins at x_rows[r], row r of y at at + r * y_row."""
        kind, size = Vector(x.dtype), len(matrix[0])

        def codegen(context, builder, sig, args):
            x_value, x_rows, x_column, y_value, at, y_row, y_column = args
            vector = context.get_value_type(kind)

            def place(array_type, array, start, step, n):
                index = builder.add(start, builder.mul(step, WORD(n)))
                return pointer(context, builder, array_type, array, index)

            columns = []
            for c in range(size):
                rows = [builder.extract_value(x_rows, r) for r in range(size)]
                values = [place(x, x_value, row, x_column, c) for row in rows]
                values = [load_at(builder, value, vector) for value in values]
                columns.append([_combination(builder, row, values) for row in matrix])
            for r, row in enumerate(_transposed(columns)):
                start = builder.add(at, builder.mul(y_row, WORD(r)))
                for c, factors in enumerate(matrix):
                    value = _combination(builder, factors, row)
                    store_at(builder, value, place(y, y_value, start, y_column, c))
            return context.get_dummy_value()

        i64 = types.int64
        rows = types.UniTuple(i64, size)
        return types.void(x, rows, i64, y, i64, i64, i64), codegen

    return transform


_inputs, _outputs, _weights = map(_on_both_sides, (_transposed(B), _transposed(A), G))
_outputs_back, _weights_back = map(_on_both_sides, (A, _transposed(G)))


class Tiling(NamedTuple):
    """How the work is cut up. A unit is a segment of a row of tiles."""

    rows: int  # of tiles in an image
    segments: int  # in a row
    segment: int  # tiles in a segment, but for the last
    at_once: int  # units
    a_block: int  # input channels that lie side by side
    b_block: int  # output channels
    v_step: int  # the distance between two of the 16 matrices of inputs
    m_step: int  # and of outputs


def _split(n, most):
    """(into how many parts of at most so many, how large each)"""
    parts = -(-n // most)
    return parts, -(-n // parts)


def tiling(s, itemsize, split_inputs):
    """The Tiling for a Geometry."""
    size = REGISTER_BYTES // itemsize
    segments, segment = _split((s.wo + 1) // 2, SEGMENT)
    a_block, b_block = (
        -(-channels // size) * size
        for channels in (
            _split(s.c_in, BLOCK)[1] if split_inputs else s.c_in,
            _split(s.c_out, BLOCK)[1],
        )
    )
    tiles = max(BYTES // (16 * itemsize * (a_block + b_block)), LEAST_TILES)
    at_once = max(1, tiles // segment)
    # The 16 matrices begin in different sets of the cache.
    v_step, m_step = (at_once * segment * block + size for block in (a_block, b_block))
    rows = (s.ho + 1) // 2
    return Tiling(rows, segments, segment, at_once, a_block, b_block, v_step, m_step)


def scratch_size(t):
    """How many numbers a task needs beside its arguments."""
    strips = 4 * (2 * t.segment + 2) * t.a_block + 4 * t.segment * t.b_block
    return strips + 16 * (t.v_step + t.m_step)


@inlined
def _scratch(own, t):
    """(rows of inputs, rows of outputs, v, m)"""
    strip = 4 * (2 * t.segment + 2) * t.a_block
    out = strip + 4 * t.segment * t.b_block
    v = out + 16 * t.v_step
    return own[:strip], own[strip:out], own[out:v], own[v:]


@inlined
def _unit(unit, s, t, group):
    """(the image, the row of tiles in it, the first tile in the row, the number of tiles)"""
    rest, row = unit // t.rows, unit % t.rows
    first = rest % t.segments * t.segment
    image = rest // t.segments * s.groups + group
    return image, row, first, min(t.segment, (s.wo + 1) // 2 - first)


@inlined
def _channels_last(x, start, plane, channels, width, first, count, y, at, column):
    """y[at + q * column + c] = x[start + c * plane + first + q] for q < count, else 0."""
    size, zero = lanes(x), full(x, 0)
    left, right = min(max(0, -first), count), max(0, min(count, width - first))
    for q in range(count):
        if q < left or q >= right:
            for c in range(0, column, size):
                store(y, at + q * column + c, zero)
    for c in range(0, channels, size):
        source, rows = start + c * plane + first, min(size, channels - c)
        for q in range(left, right, size):
            columns = min(size, right - q)
            transpose(x, source + q, plane, rows, columns, y, at + q * column + c, column)


@inlined
def _transform_inputs(x, unit, fresh, group, c, channels, strip, v, p, s, t):
    """v[:, p + tile, channel], from channel c on, for the tiles of a unit; the next p."""
    image, row, first, width = _unit(unit, s, t, group)
    plane, line = s.h * s.w, (2 * t.segment + 2) * t.a_block
    start, left = (image * s.c_in + c) * plane, 2 * first - s.pw
    for r in range(2 * row if fresh or row == 0 else 2 * row + 2, 2 * row + 4):
        top, target = r - s.ph, r % 4 * line
        inside = s.w if 0 <= top < s.h else 0
        _channels_last(
            x, start + top * s.w, plane, channels, inside, left, 2 * width + 2,
            strip, target, t.a_block,
        )  # fmt: skip
    upper, lower = 2 * row % 4 * line, (2 * row + 2) % 4 * line
    for tile in range(width):
        for i in range(0, channels, lanes(x)):
            at = 2 * tile * t.a_block + i
            rows = upper + at, upper + line + at, lower + at, lower + line + at
            target = (p + tile) * t.a_block + i
            _inputs(strip, rows, t.a_block, v, target, 4 * t.v_step, t.v_step)
    return p + width


@inlined
def _transform_outputs(m, p, unit, group, b, channels, out, y, check, s, t):
    """y of the tiles of a unit from m[:, p + tile, channel]; the next p, and `check` again."""
    image, row, first, width = _unit(unit, s, t, group)
    size, zero, line, step = lanes(y), full(y, 0), 2 * t.segment * t.b_block, 4 * t.m_step
    for tile in range(width):
        for i in range(0, channels, size):
            at, target = (p + tile) * t.b_block + i, 2 * tile * t.b_block + i
            rows = at, at + step, at + 2 * step, at + 3 * step
            _outputs(m, rows, t.m_step, out, target, line, t.b_block)
            check = fma(load(out, target), zero, check)
            check = fma(load(out, target + t.b_block), zero, check)
            check = fma(load(out, target + line), zero, check)
            check = fma(load(out, target + line + t.b_block), zero, check)
    columns = min(2 * width, s.wo - 2 * first)
    for r in range(min(2, s.ho - 2 * row)):
        start = (image * s.c_out + b) * s.ho * s.wo + (2 * row + r) * s.wo + 2 * first
        for q in range(0, columns, size):
            for i in range(0, channels, size):
                transpose_exactly(
                    out, r * line + q * t.b_block + i, t.b_block, min(size, columns - q),
                    min(size, channels - i), y, start + i * s.ho * s.wo + q, s.ho * s.wo,
                )  # fmt: skip
    return p + width, check


@body
def _forward_task(task, tasks, x, u, u_rows, y, scratch, flags, s, t):
    strip, out, v, m = _scratch(scratch[task], t)
    first, last = share(task, tasks, s.images * t.segments * t.rows)
    blocks = (s.c_out + t.b_block - 1) // t.b_block
    check = full(x, 0)
    for group in range(s.groups):
        for start in range(first, last, t.at_once):
            stop, tiles = min(start + t.at_once, last), 0
            for unit in range(start, stop):
                fresh = unit == first
                tiles = _transform_inputs(x, unit, fresh, group, 0, s.c_in, strip, v, tiles, s, t)
            for block in range(blocks):
                b = block * t.b_block
                channels = min(t.b_block, s.c_out - b)
                for k in range(16):
                    at = ((group * blocks + block) * 16 + k) * s.c_in * t.b_block
                    multiply(
                        v, k * t.v_step, t.a_block, 1, u, at, u_rows,
                        m, k * t.m_step, t.b_block, tiles, channels, s.c_in, False,
                    )  # fmt: skip
                p = 0
                for unit in range(start, stop):
                    p, check = _transform_outputs(
                        m, p, unit, group, b, channels, out, y, check, s, t
                    )
    flags[task] = total(check)


@body
def _weights_task(task, tasks, w, u, scratch, s, t, turned):
    """u[group, block, :, c, o]: the transformed weights, output channels last.

    `turned` are the weights of the gradient by the input: w is (c_in, c_out, 3, 3) then.
    """
    size, kernel = lanes(w), scratch[task]
    blocks = (s.c_out + t.b_block - 1) // t.b_block
    per_in, per_out = (s.c_out * 9, 9) if turned else (9, s.c_in * 9)
    first, step = (8 * size, -size) if turned else (0, size)
    rows = first, first + 3 * step, first + 6 * step
    for item in range(*share(task, tasks, s.groups * blocks * s.c_in)):
        c, rest = item % s.c_in, item // s.c_in
        block, group = rest % blocks, rest // blocks
        start = group * s.c_in * s.c_out * 9 + c * per_in
        for o in range(0, t.b_block, size):
            before = block * t.b_block + o
            for k in range(0, 9, size):
                transpose(
                    w, start + before * per_out + k, per_out, s.c_out - before, min(size, 9 - k),
                    kernel, k * size, size,
                )  # fmt: skip
            at = ((rest * 16) * s.c_in + c) * t.b_block + o
            between = s.c_in * t.b_block
            _weights(kernel, rows, step, u, at, 4 * between, between)


@jit
def forward(pool, x, w, y, u, scratch, flags, s, t, turned):
    """y = x * w; a flag that is not 0 says that y is not all finite, and then it is not right."""
    tasks = min(threads_of(pool), len(flags))
    u_rows = np.arange(s.c_in) * t.b_block
    run(pool, _weights_task, (w, u, scratch, s, t, turned), tasks)
    run(pool, _forward_task, (x, u, u_rows, y, scratch, flags, s, t), tasks)


# The gradient by the weights


@body
def _sums_task(task, tasks, x, g, m_rows, sums, scratch, s, t):
    """sums[task, group, b block, a block, :, a, b]: this task's share of the 16 products."""
    strip, out, v, m = _scratch(scratch[task], t)
    first, last = share(task, tasks, s.images * t.segments * t.rows)
    size = 16 * t.a_block * t.b_block
    at = 0
    for group in range(s.groups):
        for b in range(0, s.c_out, t.b_block):
            for a in range(0, s.c_in, t.a_block):
                a_channels, b_channels = min(t.a_block, s.c_in - a), min(t.b_block, s.c_out - b)
                if first == last:
                    sums[task, at : at + size] = 0
                for start in range(first, last, t.at_once):
                    stop, tiles = min(start + t.at_once, last), 0
                    for unit in range(start, stop):
                        _transform_gradients(g, unit, group, b, b_channels, out, m, tiles, s, t)
                        tiles = _transform_inputs(
                            x, unit, unit == first, group, a, a_channels, strip, v, tiles, s, t
                        )
                    for k in range(16):
                        multiply(
                            v, k * t.v_step, 1, t.a_block, m, k * t.m_step, m_rows,
                            sums[task], at + k * t.a_block * t.b_block, t.b_block,
                            a_channels, b_channels, tiles, start > first,
                        )  # fmt: skip
                at += size


@inlined
def _transform_gradients(g, unit, group, b, channels, out, m, p, s, t):
    """m[:, p + tile, channel], from channel b on, for the tiles of a unit."""
    image, row, first, width = _unit(unit, s, t, group)
    plane, line = s.ho * s.wo, 2 * t.segment * t.b_block
    start = (image * s.c_out + b) * plane
    for r in range(2):
        top = 2 * row + r
        inside = s.wo if top < s.ho else 0
        _channels_last(
            g, start + top * s.wo, plane, channels, inside, 2 * first, 2 * width,
            out, r * line, t.b_block,
        )  # fmt: skip
    for tile in range(width):
        for i in range(0, channels, lanes(g)):
            at = 2 * tile * t.b_block + i
            target = (p + tile) * t.b_block + i
            _outputs_back(out, (at, at + line), t.b_block, m, target, 4 * t.m_step, t.m_step)


@body
def _weights_back_task(task, tasks, sums, dw, scratch, flags, s, t):
    """The weights' gradient from the sums of all tasks, added in their order."""
    size, zero, own = lanes(dw), full(dw, 0), scratch[task]
    a_blocks = (s.c_in + t.a_block - 1) // t.a_block
    b_blocks = (s.c_out + t.b_block - 1) // t.b_block
    block = t.a_block * t.b_block
    check = zero
    kernel = 16 * size
    for item in range(*share(task, tasks, s.groups * b_blocks * s.c_in)):
        c, rest = item % s.c_in, item // s.c_in
        b, group = rest % b_blocks * t.b_block, rest // b_blocks
        start = (rest * a_blocks + c // t.a_block) * 16 * block + c % t.a_block * t.b_block
        for o in range(0, min(t.b_block, s.c_out - b), size):
            for k in range(16):
                at = start + k * block + o
                value = load(sums[0], at)
                for other in range(1, len(sums)):
                    value = value + load(sums[other], at)
                store(own, k * size, value)
            rows = 0, 4 * size, 8 * size, 12 * size
            _weights_back(own, rows, size, own, kernel, 3 * size, size)
            for k in range(9):
                check = fma(load(own, kernel + k * size), zero, check)
            for i in range(min(size, s.c_out - b - o)):
                at = ((group * s.c_out + b + o + i) * s.c_in + c) * 9
                for k in range(9):
                    dw[at + k] = own[kernel + k * size + i]
    flags[task] = total(check)


@jit
def weight_grad(pool, x, g, dw, sums, scratch, flags, s, t):
    """dw of y = x * w, where g is the gradient by y; flags as `forward` sets them."""
    tasks = min(threads_of(pool), len(flags))
    m_rows = np.arange(t.at_once * t.segment) * t.b_block
    run(pool, _sums_task, (x, g, m_rows, sums[:tasks], scratch, s, t), tasks)
    run(pool, _weights_back_task, (sums[:tasks], dw, scratch, flags, s, t), tasks)
