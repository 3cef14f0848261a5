"""The gradient with respect to the weights, for convolutions with few weights per output channel.

The gradient of a weight is the dot product of two planes: g of its output channel, and what the
weight meets in x. Here the sums run along lines, a vector of pixels at a time, for some weights of
some output channels at once, all in registers. planes.py copies x; g is read where it lies.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..machine.compile import jit
from ..machine.memory import empty
from ..machine.shared_code import shared_code
from ..machine.simd import (
    REGISTER_BYTES,
    REGISTERS,
    WORD,
    Vector,
    body,
    cases,
    lanes,
    load,
    load_at,
    load_lanes,
    multiply_add,
    store_at,
    total,
)
from ..machine.threads import pool, run, share, threads_of
from .planes import block_of, chunk_count, copy_planes, cuts, planes_size, prepare_copy, steps_of
from .sums import ADDITIONS, begin_sums, end_sums, move_sums, room_of_whole

# Sums in registers: 2 channels of 9 weights, whose 11 factors fit beside them; with AVX2's 16
# registers, of 3 weights.
OUTPUTS, TAPS = 2, 9 if REGISTERS == 32 else 3
LONGEST = 96  # vectors of pixels that are added up in registers
MANY = 48  # weights for an output channel, from which on matrix products are faster
i64 = types.int64


def suits(s, itemsize):
    """Whether this file's algorithm is the fastest for a Geometry; `itemsize` is in bytes."""
    return s.c_in * s.kh * s.kw < MANY and s.wo >= REGISTER_BYTES // itemsize


@intrinsic(prefer_literal=True)
def _dots(typingctx, like, outputs, taps, x, steps, g, plane, places, count, sums, next_sums):
    """sums[o, k, lane] += the products of g[o] and what tap k meets, lane by lane.

    Arrays are given by their addresses, and distances in elements: `plane` is the distance between
    planes of g, and `next_sums` that between the sums of output channels. Tap k meets its first
    element at steps[k] of x. `places` has three words for each of `count` vectors of pixels: where
    the vector begins in x, where it begins in g, and how many of its lanes are pixels.
    """
    kind, channels = Vector(like), outputs.literal_value

    def codegen(context, builder, sig, args):
        _, _, taps, x, steps, g, plane, places, count, sums, next_sums = args
        # Unrolled, the loop would need more registers than there are.
        builder.function.attributes.add("optsize")
        vector = context.get_value_type(kind)
        x, g, sums = (builder.inttoptr(a, vector.element.as_pointer()) for a in (x, g, sums))
        steps, places = (builder.inttoptr(a, WORD.as_pointer()) for a in (steps, places))

        def word(start, index):
            return builder.load(builder.gep(start, [index]))

        def emit(tap_count):
            pairs = [(o, k) for o in range(channels) for k in range(tap_count)]
            values = {pair: cgutils.alloca_once(builder, vector) for pair in pairs}
            for pair in pairs:
                builder.store(ir.Constant(vector, None), values[pair])
            starts = [builder.gep(x, [word(steps, WORD(k))]) for k in range(tap_count)]
            planes = [builder.gep(g, [builder.mul(plane, WORD(o))]) for o in range(channels)]
            with cgutils.for_range(builder, count, intp=WORD) as loop:
                place = builder.gep(places, [builder.mul(loop.index, WORD(3))])
                in_x, in_g, pixels = (word(place, WORD(n)) for n in range(3))

                def some(start, at):
                    return load_lanes(builder, builder.gep(start, [at]), vector, WORD(0), pixels)

                slopes = [some(start, in_g) for start in planes]
                for k in range(tap_count):
                    met = some(starts[k], in_x)
                    for o, slope in enumerate(slopes):
                        value = multiply_add(builder, slope, met, builder.load(values[o, k]))
                        builder.store(value, values[o, k])
            for o, k in pairs:
                at = builder.add(builder.mul(next_sums, WORD(o)), WORD(k * vector.count))
                at = builder.gep(sums, [at])
                before = load_at(builder, at, vector)
                store_at(builder, builder.fadd(before, builder.load(values[o, k])), at)

        for tap_count in cases(builder, taps, range(1, TAPS + 1)):
            emit(tap_count)
        return context.get_dummy_value()

    return types.void(like, outputs, *(i64,) * 9), codegen


def _products(like, size, outputs, taps, x, steps, g, plane, places, count, sums, next_sums):
    """`_dots` for up to OUTPUTS output channels; `size` is the bytes of an element."""
    if outputs == OUTPUTS:
        _dots(like, OUTPUTS, taps, x, steps, g, plane, places, count, sums, next_sums)
    else:
        for o in range(outputs):
            g_plane, channel_sums = g + o * plane * size, sums + o * next_sums * size
            _dots(like, 1, taps, x, steps, g_plane, 0, places, count, channel_sums, 0)


prepare, _call = shared_code(*(i64,) * 11)(_products)


@jit
def _additions(c, size):
    """How many additions to a sum an image of a chunk makes: one for every LONGEST vectors."""
    return (c.rows * ((c.columns + size - 1) // size) + LONGEST - 1) // LONGEST


@body
def _sums_task(task, tasks, x, g, steps, sums, whole, planes, s, c):
    """sums[task, group, o, tap, lane] = the sums over this task's chunks."""
    sums, whole, planes = sums[task], whole[task], planes[task]
    size, item, taps = lanes(x), x.itemsize, len(steps)
    parts = (taps + TAPS - 1) // TAPS
    places = np.empty((c.rows * ((c.columns + size - 1) // size), 3), np.int64)
    begin_sums(sums, whole)
    most, done = max(1, ADDITIONS // _additions(c, size)) * s.groups, 0  # planes of g
    for chunk in range(*share(task, tasks, chunk_count(c))):
        first_image, images, row, rows, column, columns = block_of(chunk, s, c)
        count = 0
        for r in range(rows):
            for q in range(0, columns, size):
                places[count, 0] = r * c.line + q
                places[count, 1], places[count, 2] = r * s.wo + q, columns - q
                count += 1
        for place in range(first_image * s.groups, (first_image + images) * s.groups):
            if done == most:
                move_sums(sums, whole)
                done = 0
            done += 1
            copy_planes(x, place * s.c_in, row, column, planes, 0, s, c)
            for o in range(0, s.c_out, OUTPUTS):
                at = ((place * s.c_out + o) * s.ho + row) * s.wo + column
                for part in range(parts):
                    first, last = share(part, parts, taps)
                    target = ((place % s.groups * s.c_out + o) * taps + first) * size
                    for begin in range(0, count, LONGEST):
                        args = (
                            item, min(OUTPUTS, s.c_out - o), last - first,
                            planes.ctypes.data, steps.ctypes.data + 8 * first,
                            g.ctypes.data + at * item, s.ho * s.wo,
                            places.ctypes.data + begin * places.strides[0],
                            min(LONGEST, count - begin),
                            sums.ctypes.data + target * item, taps * size,
                        )  # fmt: skip
                        _call(x.dtype.type(0), args)
    end_sums(sums, whole)


@body
def _weights_task(task, tasks, sums, dw):
    """dw = the sums of all lanes and tasks, added in the order of the tasks."""
    size = lanes(dw)
    for k in range(*share(task, tasks, dw.size)):
        value = load(sums[0], k * size)
        for other in range(1, len(sums)):
            value = value + load(sums[other], k * size)
        dw[k] = total(value)


@jit
def _weight_grad(pool, x, g, steps, dw, sums, whole, planes, s, c):
    tasks = min(threads_of(pool), len(sums))
    run(pool, _sums_task, (x, g, steps, sums[:tasks], whole, planes, s, c), tasks)
    run(pool, _weights_task, (sums[:tasks], dw), tasks)


def weight_grad(g, x, dw, s, threads):
    """dw of y = x * w, where g is the gradient with respect to y."""
    prepare(x.dtype)
    prepare_copy(x.dtype)
    c, size = cuts(s, x.itemsize, threads, 0), REGISTER_BYTES // x.itemsize
    sums = empty((threads, dw.size * size), x.dtype)
    planes = empty((threads, planes_size(s, c)), x.dtype)
    arrays = x.reshape(-1), g.reshape(-1), steps_of(s, c, (0, 1, 2)), dw.reshape(-1)
    blocks = s.images * c.row_parts * c.column_parts  # whole images, or parts of them
    whole = room_of_whole(sums, blocks * _additions.py_func(c, size))
    _weight_grad(pool(), *arrays, sums, whole, planes, s, c)
