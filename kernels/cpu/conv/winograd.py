"""Convolutions of 3 x 3 at stride 1 by Winograd's F(2x2, 3x3): 16 products instead of 36.

Four outputs, a tile of 2 x 2, depend on 4 x 4 inputs d by

    y = A' [(G w G') * (B' d B)] A,        * element by element, ' the transpose,

so that the tiles take 16 products of matrices, (tiles x channels) times (channels x output
channels): Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks", section 4.1.

The outputs have the properties that are expected of a convolution:

* An output depends on no input outside of its own patch, and is about as exact as a plain sum. In
  each channel let m be the largest |x| of the patch, and w the sum of the |weights|: the error is
  at most 2 epsilons of the sum of the m w (plain sums: 1.4). Of the sum of all |x w|, which is
  smaller, it is up to 5 epsilons with 8 channels or more (plain sums: 3.2), for normal numbers:
  tests/kernels/cpu/test_winograd.py.
* Where an image is constant along a line or a column, the differences are zero and neighbouring
  outputs are equal to the last bit, so that the ties of max pooling remain ties.

An infinity, or a value so large that a sum of four overflows, comes out as NaN. So `forward` says
whether all outputs are finite; if not, another algorithm has to compute them.
"""

from typing import NamedTuple

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..machine.compile import jit
from ..machine.memory import empty
from ..machine.simd import (
    FLAGS,
    REGISTER_BYTES,
    WORD,
    Vector,
    body,
    full,
    i64,
    lanes,
    load_at,
    pointer,
    spread,
    store_at,
    total,
)
from ..machine.threads import pool, run, share, threads_of
from ..products.strip import prepare_strip, strip
from ..products.transposing import prepare_transpose
from .channels import arrange_task, arranged, channels_first, places, room_of_weights
from .planes import block_of, chunk_count, copy_planes, cuts, planes_size, prepare_copy

PRODUCTS = 16  # of a tile
# The measured cost of transforming a vector, in multiply-adds of vectors, with the work around it:
# planes are copied, outputs transposed, and weights arranged and read from the L3 cache.
INPUTS, OUTPUTS, WEIGHTS = 200, 80, 800
PANEL = 2  # vectors of output channels that are computed at a time
APART = 16  # words between the flags that different tasks write


class Scratch(NamedTuple):
    """Memory that the tasks work in. Where an array has two axes, each task has its own row.

    A block is the tiles of some images that are computed at once, and a panel is PANEL vectors of
    output channels.
    """

    planes: np.ndarray  # (tasks, size): the planes of an image, see planes.py
    v: np.ndarray  # (tasks, size): v[product, c_in, tile] = B' d B of a block
    v_line: int  # elements from one input channel of v to the next
    m: np.ndarray  # (tasks, size): m[product, tile, c_out] = the 16 products of a block and a panel
    m_each: int  # elements from one product of m to the next
    out: np.ndarray  # (tasks, size): out[row, column, c_out] of an image of the block and a panel
    bad: np.ndarray  # (tasks APART,): bad[task APART] is 1 if an output is not finite


def suits(s, itemsize):
    """Whether a Geometry is 3 x 3 at stride 1, and large enough to be worth the transforms."""
    if (s.kh, s.kw, s.sh, s.sw, s.dh, s.dw) != (3, 3, 1, 1, 1, 1):
        return False
    size, t = REGISTER_BYTES // itemsize, _tiled(s)
    vectors, tiles = -(-s.c_out // size), t.ho * t.wo
    products = PRODUCTS * tiles * s.c_in * vectors
    inputs = INPUTS * s.c_in * t.ho * -(-t.wo // size)
    outputs = OUTPUTS * tiles * vectors
    weights = WEIGHTS * s.c_in * vectors // max(1, s.images)
    return products + inputs + outputs + weights < 9 * s.ho * s.wo * s.c_in * vectors


def _tiled(s):
    """The convolution of stride 2 whose outputs are tiles, and whose patches are their inputs."""
    return s._replace(kh=4, kw=4, sh=2, sw=2, ho=-(-s.ho // 2), wo=-(-s.wo // 2))


def _combination(builder, factors, values):
    """The sum of factors times values; factors are 0 or of one magnitude, and one is positive."""
    terms = [(factor, value) for factor, value in zip(factors, values, strict=True) if factor]
    terms.sort(key=lambda term: term[0] < 0)
    (scale, total), *rest = terms
    for factor, value in rest:
        total = (builder.fadd if factor > 0 else builder.fsub)(total, value, flags=FLAGS)
    if scale != 1:
        scales = spread(builder, total.type.element(scale), total.type.count)
        total = builder.fmul(total, scales, flags=FLAGS)
    return total


def _on_both_sides(matrix):
    """A function for compiled code: y = matrix x matrix', where the elements are vectors."""

    @intrinsic
    def transform(typingctx, x, at, rows, columns, y, to, y_row, y_column):
        """x[i, j] lies at x[at + rows[i] + columns[j]], y[i, j] at y[to + i y_row + j y_column].

        Returns the sum of all y[i, j].
        """
        kind, size = Vector(x.dtype), len(matrix[0])

        def codegen(context, builder, sig, args):
            x_value, at, rows, columns, y_value, to, y_row, y_column = args
            vector = context.get_value_type(kind)
            start = pointer(context, builder, x, x_value, at)
            target = pointer(context, builder, y, y_value, to)
            rows, columns = (cgutils.unpack_tuple(builder, offsets) for offsets in (rows, columns))
            product = []  # matrix x, column by column
            for column in columns:
                places = [builder.gep(start, [builder.add(row, column)]) for row in rows]
                values = [load_at(builder, place, vector) for place in places]
                product.append([_combination(builder, factors, values) for factors in matrix])
            results = []
            for i, values in enumerate(zip(*product, strict=True)):
                for j, factors in enumerate(matrix):
                    steps = [builder.mul(step, WORD(n)) for step, n in ((y_row, i), (y_column, j))]
                    results.append(_combination(builder, factors, values))
                    store_at(builder, results[-1], builder.gep(target, [builder.add(*steps)]))
            return _combination(builder, [1] * len(results), results)

        offsets = types.UniTuple(i64, size)
        return kind(x, i64, offsets, offsets, y, i64, i64, i64), codegen

    return transform


_of_weights = _on_both_sides(((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1)))  # G
_of_inputs = _on_both_sides(((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)))  # B'
_of_outputs = _on_both_sides(((1, 1, 1, 0), (0, 1, -1, -1)))  # A'
IN_ALL = 5  # the product that is added to all four outputs of a tile, and so begins with the bias


@body
def _weights_task(task, tasks, u, u_next, products, next_vector, s):
    """products[group and vector of c_out, product, c_in, lane] = G w G'."""
    size = lanes(u)
    line = s.c_in * size
    vectors = s.groups * ((s.c_out + size - 1) // size)
    rows, columns = (0, line, 2 * line), (0, 3 * line, 6 * line)
    for vector in range(*share(task, tasks, vectors)):
        for at in range(0, line, size):
            to = vector * next_vector + at
            _of_weights(u, vector * u_next + at, rows, columns, products, to, 4 * line, line)


@body
def _inputs(planes, v, first, v_line, each, c_in, c, rows, columns):
    """v[product, c_in, first + tile] = B' d B for the tiles of an image, in whole vectors."""
    plane, line = c.height * c.line, c.line
    down, across = (0, 2 * plane, line, 2 * plane + line), (0, plane, 1, plane + 1)
    for channel in range(c_in):
        for r in range(rows):
            at, to = channel * 4 * plane + r * line, channel * v_line + first + r * columns
            for q in range(0, columns, lanes(v)):
                _of_inputs(planes, at + q, down, across, v, to + q, 4 * each, each)


@body
def _outputs(m, first, each, out, width, rows, columns):
    """out[row, column, channel] = A' m A for the tiles of an image; returns 0 if all are finite.

    A tile's products are m[product, first + tile, channel].
    """
    down, across = (0, 4 * each, 8 * each, 12 * each), (0, each, 2 * each, 3 * each)
    line = 2 * columns * width
    check = full(out, out.dtype.type(0))
    for r in range(rows):
        for q in range(columns):
            for k in range(0, width, lanes(out)):
                at, to = (first + r * columns + q) * width + k, 2 * (r * line + q * width) + k
                sums = _of_outputs(m, at, down, across, out, to, line, width)
                check = check + (sums - sums)
    return total(check)


@body
def _forward_task(task, tasks, x, products, next_vector, start, y, scratch, s, t, c):
    """A task's chunks of y: transform inputs to v, multiply v to m, transform m to outputs."""
    planes, v, m, out = scratch.planes[task], scratch.v[task], scratch.m[task], scratch.out[task]
    v_line, m_each = scratch.v_line, scratch.m_each
    size, plane = lanes(y), s.ho * s.wo
    all_vectors = (s.c_out + size - 1) // size
    v_each = s.c_in * v_line + size
    steps = np.arange(s.c_in) * v_line
    zero = np.zeros(PANEL * size, y.dtype)
    check = y.dtype.type(0)
    for chunk in range(*share(task, tasks, chunk_count(c))):
        first_image, images, row, rows, column, columns = block_of(chunk, t, c)
        each_image = rows * columns
        lines = min(2 * rows, s.ho - 2 * row)
        line, width = 2 * columns, min(2 * columns, s.wo - 2 * column)
        runs, pixels = (1, lines * line) if line == s.wo else (lines, width)
        for group in range(s.groups):
            for n in range(images):
                image = (first_image + n) * s.groups + group
                copy_planes(x, image * s.c_in, row, column, planes, 0, t, c)
                _inputs(planes, v, n * each_image, v_line, v_each, s.c_in, c, rows, columns)
            for vector in range(0, all_vectors, PANEL):
                vectors = min(PANEL, all_vectors - vector)
                channels, panel = vectors * size, group * all_vectors + vector
                for product in range(PRODUCTS):
                    before, at = (start, panel * size) if product == IN_ALL else (zero, 0)
                    strip(
                        (v, product * v_each),
                        (steps, 0),
                        (products, panel * next_vector + product * s.c_in * size, next_vector),
                        (before, at, 0),
                        (m, product * m_each, channels),
                        images * each_image, vectors, (1, 0, s.c_in, 0, 0),
                    )  # fmt: skip
                for n in range(images):
                    check += _outputs(m, n * each_image, m_each, out, channels, rows, columns)
                    place = ((first_image + n) * s.groups + group) * s.c_out + vector * size
                    target = place * plane + 2 * row * s.wo + 2 * column
                    for r in range(runs):
                        channels_first(
                            out, r * line * channels, channels, pixels, s.c_out - vector * size,
                            y, target + r * s.wo, plane,
                        )  # fmt: skip
    scratch.bad[task * APART] = check != 0


@jit
def _forward(
    pool, x, w, bias, places, weights, products, next_vector, y, scratch, s, t, c, flipped
):
    weights, scratch = arranged(weights), Scratch(*scratch)
    tasks = min(threads_of(pool), len(scratch.out))
    run(pool, arrange_task, (w, bias, places, weights, s, flipped), tasks)
    run(pool, _weights_task, (weights.u, weights.u_next, products, next_vector, s), tasks)
    args = x, products, next_vector, weights.start, y, scratch, s, t, c
    run(pool, _forward_task, args, tasks)


def forward(x, weight, bias, y, s, flipped, threads):
    """y = x * weight + bias; returns whether all of it is finite. If not, y is not valid.

    An empty bias stands for none. flipped: see direct.py.
    """
    prepare_strip(x.dtype)
    prepare_copy(x.dtype)
    prepare_transpose(x.dtype)
    size, t = REGISTER_BYTES // x.itemsize, _tiled(s)
    beside = PRODUCTS * (s.c_in // size + PANEL)  # vectors for each tile
    c = cuts(t, x.itemsize, threads, beside)
    tiles = c.images * c.rows * c.columns
    weights = room_of_weights(s, x.dtype)
    next_vector = (PRODUCTS * s.c_in + 1) * size
    products = empty((len(weights[-1]) // size * next_vector,), x.dtype)
    # Vectors of tiles reach beyond their image: into tiles that are written later, or never read.
    v_line = tiles + (size if c.images > 1 else 0)
    v_each, m_each = s.c_in * v_line + size, tiles * PANEL * size + size
    planes = empty((threads, planes_size(t, c)), x.dtype)
    v = empty((threads, PRODUCTS * v_each), x.dtype)
    m = empty((threads, PRODUCTS * m_each), x.dtype)
    out = empty((threads, 4 * c.rows * c.columns * PANEL * size), x.dtype)
    bad = np.zeros(threads * APART, np.int64)
    scratch = planes, v, v_line, m, m_each, out, bad  # a plain tuple: see `room_of_weights`
    _forward(
        pool(), x.reshape(-1), weight.reshape(-1), bias, places(s, flipped), weights,
        products, next_vector, y.reshape(-1), scratch, s, t, c, flipped,
    )  # fmt: skip
    return not bad.any()
