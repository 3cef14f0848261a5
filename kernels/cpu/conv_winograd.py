"""Convolutions of 3 x 3 at stride 1 by Winograd's F(2x2, 3x3): 16 products instead of 36.

Four outputs, a tile of 2 x 2, depend on 4 x 4 inputs d by

    y = A' [(G w G') * (B' d B)] A,        * element by element, ' the transpose,

so that the tiles take 16 products of matrices, (tiles x channels) times (channels x output
channels): Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks", section 4.1.

What comes after finds in the outputs what it may expect of a convolution:

* An output depends on no input outside of its own patch, and is as near to the exact one as by
  plain sums. In each channel let m be the largest |x| of the patch, and w the sum of the |weights|:
  the error is at most 2 epsilons of the sum of the m w (plain sums: 1.5). Of the sum of all |x w|,
  which is smaller, these are up to 5 epsilons with 8 channels or more (plain sums: 3), for normal
  numbers: tests/test_cpu_winograd.py.
* Where an image does not change along a line or a column the differences are zero, and neighbouring
  outputs are the same to the last bit: max pooling chooses as it would.

An infinity, or a number so large that a sum of four overflows, comes out as NaN. So `forward` says
whether all outputs are finite; if not, they are to be computed in another way.
"""

import numpy as np

from .compile import jit
from .conv_channels import arrange_task, channels_first, places, room_of_weights
from .conv_planes import block_of, copy_planes, cuts, number_of, prepare_copy, room_of
from .memory import empty
from .simd import REGISTER_BYTES, body, full, inlined, lanes, load, store, total
from .strip import prepare_strip, strip
from .threads import pool, run, share, threads_of
from .transposing import prepare_transpose

PRODUCTS = 16  # of a tile
# What the transform of a vector takes, in multiply-adds of vectors, measured; with what belongs to
# it: planes are copied, outputs transposed, weights arranged and read from the third cache.
INPUTS, OUTPUTS, WEIGHTS = 200, 80, 800
PANEL = 2  # vectors of output channels that are done before the next
APART = 16  # words between what different tasks write


def suits(s, itemsize):
    """Whether a Geometry is 3 x 3 at stride 1, and worth the transforms."""
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


@inlined
def _of_inputs(four):
    """B' (a, b, c, d)"""
    a, b, c, d = four
    return a - c, b + c, c - b, b - d


@inlined
def _of_outputs(four):
    """A' (a, b, c, d)"""
    a, b, c, d = four
    return a + b + c, b - c - d


@inlined
def _of_weights(a, b, c, half):
    """G (a, b, c)"""
    return a, half * (a + b + c), half * (a - b + c), c


@inlined
def _load_four(x, at, across, down):
    return load(x, at), load(x, at + across), load(x, at + down), load(x, at + across + down)


@inlined
def _store_four(y, at, step, values):
    store(y, at, values[0])
    store(y, at + step, values[1])
    store(y, at + 2 * step, values[2])
    store(y, at + 3 * step, values[3])


@body
def _weights_task(task, tasks, u, u_next, products, next_vector, s):
    """products[group and vector of c_out, product, c_in, lane] = G w G'."""
    size, half = lanes(u), full(u, u.dtype.type(0.5))
    line = s.c_in * size
    vectors = s.groups * ((s.c_out + size - 1) // size)
    for vector in range(*share(task, tasks, vectors)):
        for channel in range(0, line, size):
            at = vector * u_next + channel
            a = _of_weights(load(u, at), load(u, at + line), load(u, at + 2 * line), half)
            at += 3 * line
            b = _of_weights(load(u, at), load(u, at + line), load(u, at + 2 * line), half)
            at += 3 * line
            c = _of_weights(load(u, at), load(u, at + line), load(u, at + 2 * line), half)
            at = vector * next_vector + channel
            for i in range(4):
                _store_four(products, at + 4 * i * line, line, _of_weights(a[i], b[i], c[i], half))


@body
def _inputs(planes, v, first, v_line, each, s, c, rows, columns):
    """v[product, c_in, first + tile] = B' d B, of the tiles of an image, in whole vectors."""
    size, plane = lanes(v), c.height * c.line
    for channel in range(s.c_in):
        for r in range(rows):
            begin = channel * 4 * plane + r * c.line
            target = channel * v_line + first + r * columns
            for q in range(0, columns, size):
                at = begin + q
                a0 = _of_inputs(_load_four(planes, at, 2 * plane, c.line))
                a1 = _of_inputs(_load_four(planes, at + plane, 2 * plane, c.line))
                a2 = _of_inputs(_load_four(planes, at + 1, 2 * plane, c.line))
                a3 = _of_inputs(_load_four(planes, at + plane + 1, 2 * plane, c.line))
                for i in range(4):
                    place = target + q + 4 * i * each
                    _store_four(v, place, each, _of_inputs((a0[i], a1[i], a2[i], a3[i])))


@body
def _outputs(m, first, each, start, s_at, out, line, width, rows, columns):
    """out[row, column, channel] = A' m A + start, of an image's tiles; 0 if all are finite.

    m[product, first + tile, channel]; the last column is left out where a line is odd.
    """
    size = lanes(out)
    check = full(out, out.dtype.type(0))
    for k in range(0, width, size):
        bias = load(start, s_at + k)
        for r in range(rows):
            for q in range(columns):
                at = (first + r * columns + q) * width + k
                a0 = _of_outputs(_load_four(m, at, 4 * each, 8 * each))
                a1 = _of_outputs(_load_four(m, at + each, 4 * each, 8 * each))
                a2 = _of_outputs(_load_four(m, at + 2 * each, 4 * each, 8 * each))
                a3 = _of_outputs(_load_four(m, at + 3 * each, 4 * each, 8 * each))
                for i in range(2):
                    left, right = _of_outputs((a0[i], a1[i], a2[i], a3[i]))
                    left, right = left + bias, right + bias
                    pixel = (2 * r + i) * line + 2 * q
                    store(out, pixel * width + k, left)
                    check = check + (left - left)
                    if 2 * q + 1 < line:
                        store(out, (pixel + 1) * width + k, right)
                        check = check + (right - right)
    return total(check)


@body
def _forward_task(
    task, tasks, x, products, next_vector, start, y, planes, v, v_line, m, m_each, out, bad, s, t, c
):
    planes, v, m, out = planes[task], v[task], m[task], out[task]
    size, plane = lanes(y), s.ho * s.wo
    all_vectors = (s.c_out + size - 1) // size
    v_each = s.c_in * v_line + size
    steps = np.arange(s.c_in) * v_line
    zero = np.zeros(PANEL * size, y.dtype)
    check = y.dtype.type(0)
    for chunk in range(*share(task, tasks, number_of(c))):
        first_image, images, row, rows, column, columns = block_of(chunk, t, c)
        each_image = rows * columns
        lines = min(2 * rows, s.ho - 2 * row)
        line = min(2 * columns, s.wo - 2 * column)
        runs, pixels = (1, lines * line) if line == s.wo else (lines, line)
        for group in range(s.groups):
            for n in range(images):
                image = (first_image + n) * s.groups + group
                copy_planes(x, image * s.c_in, row, column, planes, 0, t, c)
                _inputs(planes, v, n * each_image, v_line, v_each, s, c, rows, columns)
            for vector in range(0, all_vectors, PANEL):
                vectors = min(PANEL, all_vectors - vector)
                width, panel = vectors * size, group * all_vectors + vector
                for product in range(PRODUCTS):
                    strip(
                        v, product * v_each, steps, 0,
                        products, panel * next_vector + product * s.c_in * size, next_vector,
                        zero, 0, 0, m, product * m_each, width,
                        images * each_image, vectors, (1, 0, s.c_in, 0, 0),
                    )  # fmt: skip
                for n in range(images):
                    check += _outputs(
                        m, n * each_image, m_each, start, panel * size,
                        out, line, width, rows, columns,
                    )  # fmt: skip
                    place = ((first_image + n) * s.groups + group) * s.c_out + vector * size
                    target = place * plane + 2 * row * s.wo + 2 * column
                    for r in range(runs):
                        channels_first(
                            out, r * pixels * width, width, pixels, s.c_out - vector * size,
                            y, target + r * s.wo, plane,
                        )  # fmt: skip
    bad[task * APART] = check != 0


@jit
def _forward(
    pool, x, w, bias, places, u, u_next, start, products, next_vector, y, planes, v, v_line, m,
    m_each, out, bad, s, t, c, turned,
):  # fmt: skip
    tasks = min(threads_of(pool), len(out))
    u = u[-(u.ctypes.data // u.itemsize) % lanes(u) :]
    run(pool, arrange_task, (w, bias, places, u, u_next, start, s, turned), tasks)
    run(pool, _weights_task, (u, u_next, products, next_vector, s), tasks)
    args = x, products, next_vector, start, y, planes, v, v_line, m, m_each, out, bad, s, t, c
    run(pool, _forward_task, args, tasks)


def forward(x, weight, bias, y, s, turned, threads):
    """y = x * weight + bias, and whether all of it is finite; if not, y is not to be used.

    A bias without elements is none. turned: with the weights turned.
    """
    prepare_strip(x.dtype)
    prepare_copy(x.dtype)
    prepare_transpose(x.dtype)
    size, t = REGISTER_BYTES // x.itemsize, _tiled(s)
    beside = PRODUCTS * (s.c_in // size + PANEL)  # vectors for each tile
    c = cuts(t, x.itemsize, threads, beside)
    tiles = c.images * c.rows * c.columns
    u, u_next, start = room_of_weights(s, x.dtype)
    next_vector = (PRODUCTS * s.c_in + 1) * size
    products = empty((len(start) // size * next_vector,), x.dtype)
    # Vectors of tiles reach beyond their image: into what is not written yet, or what nobody reads.
    v_line = tiles + (size if c.images > 1 else 0)
    v_each, m_each = s.c_in * v_line + size, tiles * PANEL * size + size
    planes = empty((threads, room_of(t, c)), x.dtype)
    v = empty((threads, PRODUCTS * v_each), x.dtype)
    m = empty((threads, PRODUCTS * m_each), x.dtype)
    out = empty((threads, 4 * c.rows * c.columns * PANEL * size), x.dtype)
    bad = np.zeros(threads * APART, np.int64)
    _forward(
        pool(), x.reshape(-1), weight.reshape(-1), bias, places(s, turned), u, u_next, start,
        products, next_vector, y.reshape(-1), planes, v, v_line, m, m_each, out, bad, s, t, c,
        turned,
    )  # fmt: skip
    return not bad.any()
