"""Convolutions with whole vectors of output channels, as products that need no patches: strip.py.

The forward pass copies the images once, with their padding (planes.py). The sums of a pixel come
out with their channels side by side, and are transposed into y.

For the gradient with respect to the weights x is transposed instead, so that the channels of a
pixel lie side by side: then the elements that the taps of a kernel row meet at a pixel are
contiguous, and the sums run over pixels.

Products with padding are skipped: those of kernel rows above or below the image and, at the first
and the last pixel of a line, of kernel columns beside it.
"""

import numpy as np

from ..machine.compile import jit
from ..machine.memory import empty
from ..machine.simd import (
    REGISTER_BYTES,
    body,
    inlined,
    lanes,
    load,
    store,
)
from ..machine.threads import pool, run, share, threads_of
from ..products.strip import LONGEST, prepare_strip, strip
from ..products.transposing import prepare_transpose, transpose, transpose_exactly
from .channels import arrange_task, arranged, channels_first, places, room_of_weights
from .planes import (
    PADDING,
    block_of,
    chunk_count,
    copy_planes,
    cuts,
    planes_size,
    prepare_copy,
    steps_of,
)
from .sums import ADDITIONS, begin_sums, end_sums, move_sums, room_of_whole

PANEL = 2  # vectors of output channels that are computed at a time


@inlined
def _inside(top, s):
    """The half-open range of kernel rows that lie within the image."""
    first = max(0, (s.dh - 1 - top) // s.dh)
    return first, max(first, min(s.kh, (s.h - top + s.dh - 1) // s.dh))


@inlined
def _beside(column, columns, s):
    """How many kernel columns lie left of the image at the first pixel, and right at the last."""
    left, right = column * s.sw - s.pw, (column + columns - 1) * s.sw - s.pw
    early = min(s.kw, (max(0, -left) + s.dw - 1) // s.dw)
    return early, s.kw - min(s.kw, max(0, (s.w - right + s.dw - 1) // s.dw))


# Forward


@body
def _forward_task(task, tasks, x, weights, steps, y, planes, each, out, s, c):
    """each: the elements of the planes of an image."""
    u, u_next, start = weights
    planes, out = planes[task], out[task]
    size, y_plane = lanes(y), s.ho * s.wo
    all_vectors = (s.c_out + size - 1) // size
    for chunk in range(*share(task, tasks, chunk_count(c))):
        first_image, images, row, rows, column, columns = block_of(chunk, s, c)
        early, late = _beside(column, columns, s)
        whole = columns == s.wo
        runs, pixels = (1, rows * columns) if whole else (rows, columns)
        for group in range(s.groups):
            for n in range(images):
                image = (first_image + n) * s.groups + group
                copy_planes(x, image * s.c_in, row, column, planes, n * each, s, c)
            for vector in range(0, all_vectors, PANEL):
                vectors = min(PANEL, all_vectors - vector)
                width, panel = vectors * size, group * all_vectors + vector
                for n in range(images):
                    for r in range(rows):
                        first, last = _inside((row + r) * s.sh - s.ph, s)
                        strip(
                            (planes, n * each + r * c.line),
                            (steps, first * s.c_in),
                            (u, panel * u_next + first * s.c_in * size, u_next),
                            (start, panel * size, 0),
                            (out, r * columns * width, width),
                            columns, vectors,
                            (s.kw, s.kh * s.c_in, (last - first) * s.c_in, early, late),
                        )  # fmt: skip
                    place = ((first_image + n) * s.groups + group) * s.c_out + vector * size
                    target = place * y_plane + row * s.wo + column
                    for r in range(runs):
                        channels_first(
                            out, r * pixels * width, width, pixels, s.c_out - vector * size,
                            y, target + r * s.wo, y_plane,
                        )  # fmt: skip


@jit
def _forward(pool, x, w, bias, places, steps, y, weights, planes, each, out, s, c, flipped):
    tasks = min(threads_of(pool), len(out))
    weights = arranged(weights)
    run(pool, arrange_task, (w, bias, places, weights, s, flipped), tasks)
    run(pool, _forward_task, (x, weights, steps, y, planes, each, out, s, c), tasks)


def forward(x, weight, bias, y, s, flipped, threads):
    """y = x * weight + bias; an empty bias stands for none.

    flipped: whether to rotate the weights by half a turn and to exchange their input and output
    channels, as the gradient with respect to the input does.
    """
    prepare_strip(x.dtype)
    prepare_copy(x.dtype)
    prepare_transpose(x.dtype)
    c, size = cuts(s, x.itemsize, threads, PANEL), REGISTER_BYTES // x.itemsize
    each = planes_size(s, c) - PADDING
    planes = empty((threads, c.images * each + PADDING), x.dtype)
    out = empty((threads, c.rows * c.columns * PANEL * size), x.dtype)
    arrays = x.reshape(-1), weight.reshape(-1), bias
    tables = places(s, flipped), steps_of(s, c, (2, 1, 0))
    rooms = room_of_weights(s, x.dtype), planes, each, out
    _forward(pool(), *arrays, *tables, y.reshape(-1), *rooms, s, c, flipped)


# The gradient with respect to the weights


@jit
def _down(s, c):
    """Lines of x that a chunk needs."""
    return (c.rows - 1) * s.sh + (s.kh - 1) * s.dh + 1


@jit
def _across(s, c):
    """Columns of x that a chunk needs."""
    return (c.columns - 1) * s.sw + (s.kw - 1) * s.dw + 1


@body
def _x_by_pixels(x, plane, row, column, pixels, at, s, c):
    """pixels[line, q, channel] = x with its padding, for a block of outputs of an image."""
    size, across = lanes(x), _across(s, c)
    left = column * s.sw - s.pw
    begin = min(across, max(0, -left))
    end = max(begin, min(across, s.w - left))
    top = row * s.sh - s.ph
    step = s.sh if s.kh == 1 else 1  # between the lines that a kernel row meets
    first = (max(0, -top) + step - 1) // step * step
    for t in range(first, min(_down(s, c), s.h - top), step):
        line = at + t * across * s.c_in
        start = (plane * s.h + top + t) * s.w
        pixels[line : line + begin * s.c_in] = 0
        pixels[line + end * s.c_in : line + across * s.c_in] = 0
        for channel in range(0, s.c_in, size):
            source = start + channel * s.h * s.w + left
            for q in range(begin, end, size):
                transpose_exactly(
                    x, source + q, s.h * s.w, min(size, s.c_in - channel), min(size, end - q),
                    pixels, line + q * s.c_in + channel, s.c_in,
                )  # fmt: skip


@body
def _g_by_pixels(g, plane, row, rows, column, columns, pixels, at, step, vector_step, s, c):
    """pixels[vector, row, image, q, lane] = g, for one image, which begins at `at`."""
    size = lanes(g)
    for o in range(0, s.c_out, size):
        for r in range(rows):
            start = ((plane + o) * s.ho + row + r) * s.wo + column
            target = at + o // size * vector_step + r * step
            for q in range(0, columns, size):
                transpose(
                    g, start + q, s.ho * s.wo, min(size, s.c_out - o), min(size, columns - q),
                    pixels, target + q * size, size,
                )  # fmt: skip


@jit
def _additions(c):
    """How many additions to a sum a chunk makes: `strip` makes one for every LONGEST pixels."""
    return (c.images * c.rows * c.columns + LONGEST - 1) // LONGEST


@body
def _sums_task(task, tasks, x, g, sums, whole, x_pixels, g_pixels, s, c):
    """sums[task, group, i, (j, c_in), o] = the sums over this task's chunks."""
    sums, whole, x_pixels, g_pixels = sums[task], whole[task], x_pixels[task], g_pixels[task]
    size = lanes(x)
    begin = -(g_pixels.ctypes.data // g.itemsize) % size
    vectors, down, x_line = (s.c_out + size - 1) // size, _down(s, c), _across(s, c) * s.c_in
    c_line = vectors * size
    at_once = s.kw * s.c_in if s.dw == 1 else s.c_in  # sums whose elements of x are contiguous
    steps = np.empty(c.images * c.rows * c.columns, np.int64)
    begin_sums(sums, whole)
    most = max(1, ADDITIONS // _additions(c))  # chunks
    first_chunk, last_chunk = share(task, tasks, chunk_count(c))
    for chunk in range(first_chunk, last_chunk):
        if chunk > first_chunk and (chunk - first_chunk) % most == 0:
            move_sums(sums, whole)
        image, images, row, rows, column, columns = block_of(chunk, s, c)
        for p in range(rows * images * columns):
            r, n, q = p // (images * columns), p // columns % images, p % columns
            steps[p] = (n * down + r * s.sh) * x_line + q * s.sw * s.c_in
        for group in range(s.groups):
            for n in range(images):
                place = (image + n) * s.groups + group
                at = n * down * x_line
                _x_by_pixels(x, place * s.c_in, row, column, x_pixels, at, s, c)
                _g_by_pixels(
                    g, place * s.c_out, row, rows, column, columns,
                    g_pixels, begin + n * columns * size, images * columns * size,
                    len(steps) * size, s, c,
                )  # fmt: skip
            for i in range(s.kh):
                above, below = s.ph - i * s.dh, s.h + s.ph - i * s.dh
                first = max(0, (above + s.sh - 1) // s.sh - row)
                last = max(first, min(rows, (below + s.sh - 1) // s.sh - row))
                skipped, taken = first * images * columns, (last - first) * images * columns
                for j in range(0, s.kw, at_once // s.c_in):
                    at = ((group * s.kh + i) * s.kw + j) * s.c_in * c_line
                    strip(
                        (x_pixels, i * s.dh * x_line + j * s.dw * s.c_in),
                        (steps, skipped),
                        (g_pixels, begin + skipped * size, len(steps) * size),
                        (sums, at, c_line),
                        (sums, at, c_line),
                        at_once, vectors, (1, 0, taken, 0, 0),
                    )  # fmt: skip
    end_sums(sums, whole)


@body
def _weights_task(task, tasks, sums, dw, s):
    """dw = the sums of all tasks, added in the order of the tasks, output channels first."""
    size, taps = lanes(dw), s.kh * s.kw
    c_line = (s.c_out + size - 1) // size * size
    block = np.empty(taps * size, dw.dtype)
    for item in range(*share(task, tasks, s.groups * s.c_in)):
        group, channel = item // s.c_in, item % s.c_in
        for o in range(0, s.c_out, size):
            for k in range(taps):
                at = ((group * taps + k) * s.c_in + channel) * c_line + o
                value = load(sums[0], at)
                for other in range(1, len(sums)):
                    value = value + load(sums[other], at)
                store(block, k * size, value)
            for lane in range(min(size, s.c_out - o)):
                target = ((group * s.c_out + o + lane) * s.c_in + channel) * taps
                for k in range(taps):
                    dw[target + k] = block[k * size + lane]


@jit
def _weight_grad(pool, x, g, dw, sums, whole, x_pixels, g_pixels, s, c):
    tasks = min(threads_of(pool), len(sums))
    sums = sums[:tasks]
    run(pool, _sums_task, (x, g, sums, whole, x_pixels, g_pixels, s, c), tasks)
    run(pool, _weights_task, (sums, dw, s), tasks)


def weight_grad(g, x, dw, s, threads):
    """dw of y = x * w, where g is the gradient with respect to y."""
    prepare_strip(x.dtype)
    prepare_transpose(x.dtype)
    size = REGISTER_BYTES // x.itemsize
    vectors = -(-s.c_out // size)
    c = cuts(s, x.itemsize, threads, vectors)
    pixels = c.images * c.rows * c.columns
    sums = empty((threads, s.groups * s.kh * s.kw * s.c_in * vectors * size), x.dtype)
    x_pixels = empty((threads, c.images * _down(s, c) * _across(s, c) * s.c_in + size), x.dtype)
    g_pixels = empty((threads, pixels * vectors * size + size), x.dtype)
    arrays = x.reshape(-1), g.reshape(-1), dw.reshape(-1)
    whole = room_of_whole(sums, chunk_count.py_func(c) * _additions.py_func(c))
    _weight_grad(pool(), *arrays, sums, whole, x_pixels, g_pixels, s, c)
