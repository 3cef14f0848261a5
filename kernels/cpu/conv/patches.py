"""The gradients of convolutions of every kind, as matrix products with patches.

The patches of some output pixels, a chunk, are a matrix (c_in * kh * kw) x pixels that stays in the
cache: row (c, i, j) holds what weight (c, i, j) meets at each pixel. Rows that differ only in i
are the same lines of the image, from different lines on. So where a chunk is part of one image,
only the rows (c, j) are copied, every line once, and the rows of all i are read from within them.

The gradient with respect to the input is the transposed weights times g, added to where the patches
come from. (At stride 1 it is also the convolution of g with flipped weights, which is mostly used
instead.) The gradient with respect to the weights is the patches times g transposed.
"""

from typing import NamedTuple

import numpy as np

from ..machine.compile import jit
from ..machine.memory import empty
from ..machine.simd import (
    REGISTER_BYTES,
    body,
    full,
    inlined,
    lanes,
    store,
)
from ..machine.threads import pool, run, share, threads_of
from ..products.block_gemm import STEPS, multiply, prepare
from ..products.transposing import prepare_transpose, transpose
from .lines import add_line, copy_line
from .sums import ADDITIONS, begin_sums, end_sums, move_sums, room_of_whole

BYTES = 1 << 19  # of patches and outputs in a chunk: half of a usual L2 cache
FEWEST, MOST = 96, 1024  # pixels in a chunk


class Chunks(NamedTuple):
    """How the work is cut up: a chunk is a block of pixels of one image, or some whole images."""

    images: int
    rows: int
    columns: int
    channels: int  # input channels whose patches are made at once
    shared: int  # kernel rows i that share copied lines: kh or 1
    phases: int  # groups of lines: those whose rows agree modulo the stride lie together
    height: int  # lines of a phase
    line: int  # the distance between rows of the matrix of patches
    y_line: int  # and between channels of the outputs
    g_line: int  # and between pixels of the outputs, where the channels of a pixel lie together


def _parts(n, most, threads):
    """The size of equal parts of n, at most `most`; if they are few, each thread gets as many."""
    count = -(-n // max(1, most))
    if 1 < count < 4 * threads:
        count = min(n, -(-count // threads) * threads)
    return -(-n // count)


def _chunks(s, itemsize, threads):
    """The Chunks for a Geometry."""
    pixels = BYTES // (itemsize * (s.c_in * s.kh * s.kw + s.c_out))
    pixels = min(max(pixels, FEWEST), MOST, -(-s.images * s.ho * s.wo // threads))
    images, rows, columns = 1, s.ho, s.wo
    if s.wo > pixels:
        rows, columns = 1, _parts(s.wo, pixels, threads)
    elif s.ho * s.wo > pixels:
        rows = _parts(s.ho, pixels // s.wo, threads)
    else:
        images = _parts(s.images, pixels // (s.ho * s.wo), threads)
    shared, phases, height = 1, 1, rows
    if images == 1 and s.kh > 1:
        shared, phases, height = s.kh, s.sh, rows + s.dh * (s.kh - 1) // s.sh
    copied = images * phases * height * columns
    channels = min(s.c_in, max(1, BYTES // (2 * itemsize * s.kh // shared * s.kw * copied)))
    size = REGISTER_BYTES // itemsize
    line, y_line = (_line(n, size) for n in (copied, images * rows * columns))
    g_line = -(-s.c_out // size) * size
    return Chunks(images, rows, columns, channels, shared, phases, height, line, y_line, g_line)


def _line(n, size):
    """The distance between rows of n elements, with room for a vector that begins within a row.

    Neighbouring rows must not compete for the same few places in the cache.
    """
    line = -(-n // size) * size + size
    return line + size if line % (4 * size) == 0 else line


def _rooms(threads, s, c, dtype):
    """For each task, memory (for patches, for outputs or their gradients)."""
    sizes = c.channels * (s.kh // c.shared) * s.kw * c.line, c.y_line * (c.g_line + 1)
    return [empty((threads, size), dtype) for size in sizes]


@inlined
def _chunk_count(s, c):
    """How many chunks there are."""
    rows, columns = (s.ho + c.rows - 1) // c.rows, (s.wo + c.columns - 1) // c.columns
    return (s.images + c.images - 1) // c.images * rows * columns


@inlined
def _block(chunk, s, c):
    """(first image, images, first row, rows, first column, columns) of a chunk."""
    row_parts, column_parts = (s.ho + c.rows - 1) // c.rows, (s.wo + c.columns - 1) // c.columns
    column = chunk % column_parts * c.columns
    row = chunk // column_parts % row_parts * c.rows
    image = chunk // column_parts // row_parts * c.images
    images = min(c.images, s.images - image)
    return image, images, row, min(c.rows, s.ho - row), column, min(c.columns, s.wo - column)


@inlined
def _shift(i, s, c):
    """Where the patches of kernel row i begin within the copied lines."""
    return (i * s.dh % s.sh * c.height + i * s.dh // s.sh) * c.columns


@inlined
def _gather(x, group, channel, channels, chunk, patches, s, c):
    """Copy the patches of some channels of a chunk, and put zeros behind them.

    Products read whole vectors, so they would read what the memory behind held before. Subnormal
    numbers there would take many processors a hundred times as long.
    """
    image, images, row, rows, column, _ = _block(chunk, s, c)
    zero = full(patches, patches.dtype.type(0))
    taps = s.kh // c.shared * s.kw
    for k in range(channels * taps):
        i, j = k % taps // s.kw, k % s.kw
        left = column * s.sw + j * s.dw - s.pw
        for n in range(images):
            plane = ((image + n) * s.groups + group) * s.c_in + channel + k // taps
            for phase in range(c.phases):
                at = k * c.line + (n * c.phases + phase) * c.height * c.columns
                for r in range(row, row + rows + c.height - c.rows):
                    top = r * s.sh + phase + i * s.dh - s.ph
                    inside = s.w if 0 <= top < s.h else 0
                    start = (plane * s.h + top) * s.w
                    copy_line(x, start, s.sw, left, inside, patches, at, c.columns)
                    at += c.columns
                store(patches, at, zero)


# The gradient with respect to the input, at any stride


@body
def _kernel_rows_task(task, tasks, w, u, s):
    """u[group, i, c_out, (c_in, j)] = the weights, by kernel rows."""
    for item in range(*share(task, tasks, s.groups * s.c_out)):
        group, o = item // s.c_out, item % s.c_out
        for c in range(s.c_in):
            for i in range(s.kh):
                at = (((group * s.kh + i) * s.c_out + o) * s.c_in + c) * s.kw
                start = ((item * s.c_in + c) * s.kh + i) * s.kw
                for j in range(s.kw):
                    u[at + j] = w[start + j]


@body
def _scatter_task(task, tasks, g, u, g_rows, dx, patches, g_lines, s, c):
    """Fill a task's planes of dx, which are whole; a chunk is part of one image."""
    patches, g_lines = patches[task], g_lines[task]
    parts = (s.c_in + c.channels - 1) // c.channels
    blocks = _chunk_count(s, c) // s.images
    for item in range(*share(task, tasks, s.images * s.groups * parts)):
        channel, rest = item % parts * c.channels, item // parts
        group, image = rest % s.groups, rest // s.groups
        channels = min(c.channels, s.c_in - channel)
        plane = (rest * s.c_in + channel) * s.h * s.w
        dx[plane : plane + channels * s.h * s.w] = 0
        for chunk in range(image * blocks, (image + 1) * blocks):
            pixels = _g_lines(g, group, chunk, g_lines, s, c)
            patches[: channels * s.kw * c.line] = 0
            for i in range(s.kh):
                at = ((group * s.kh + i) * s.c_out * s.c_in + channel) * s.kw
                multiply(
                    u, at, 1, s.c_in * s.kw, g_lines, 0, g_rows, patches, _shift(i, s, c), c.line,
                    channels * s.kw, pixels, s.c_out, True,
                )  # fmt: skip
            _scatter(dx, plane, channels, chunk, patches, s, c)


@inlined
def _g_lines(g, group, chunk, lines, s, c):
    """lines[o, pixel] = g, and zeros up to the end of a row; returns the number of pixels."""
    image, _, row, rows, column, columns = _block(chunk, s, c)
    pixels = rows * c.columns
    for o in range(s.c_out):
        plane = (image * s.groups + group) * s.c_out + o
        for r in range(rows):
            start = (plane * s.ho + row + r) * s.wo + column
            copy_line(g, start, 1, 0, columns, lines, o * c.y_line + r * c.columns, c.columns)
        end = (o + 1) * c.y_line
        lines[o * c.y_line + pixels : end] = 0
    return pixels


@inlined
def _scatter(dx, plane, channels, chunk, patches, s, c):
    """Add the patches of some channels to the elements of dx that they come from."""
    _, _, row, rows, column, columns = _block(chunk, s, c)
    for k in range(channels * s.kw):
        left = column * s.sw + k % s.kw * s.dw - s.pw
        for phase in range(c.phases):
            at = k * c.line + phase * c.height * c.columns
            for r in range(row, row + rows + c.height - c.rows):
                top = r * s.sh + phase - s.ph
                if 0 <= top < s.h:
                    start = plane + (k // s.kw * s.h + top) * s.w
                    add_line(patches, at, columns, dx, start, s.sw, left, s.w)
                at += c.columns


@jit
def _input_grad(pool, g, w, dx, u, patches, g_lines, s, c):
    tasks = min(threads_of(pool), len(g_lines))
    run(pool, _kernel_rows_task, (w, u, s), tasks)
    args = g, u, np.arange(s.c_out) * c.y_line, dx, patches, g_lines, s, c
    run(pool, _scatter_task, args, tasks)


def input_grad(g, weight, dx, s, threads):
    """dx of y = x * weight, where g is the gradient with respect to y."""
    prepare(g.dtype)
    c = _chunks(s._replace(images=1), g.itemsize, 1)
    u = empty((weight.size,), g.dtype)
    arrays = g.reshape(-1), weight.reshape(-1), dx.reshape(-1)
    _input_grad(pool(), *arrays, u, *_rooms(threads, s, c, g.dtype), s, c)


# The gradient with respect to the weights


@jit
def _additions(c):
    """How many additions to a sum a chunk makes: block_gemm makes one for every STEPS pixels."""
    return (c.images * c.rows * c.columns + STEPS - 1) // STEPS


@body
def _sums_task(task, tasks, x, g, pixel_rows, sums, whole, patches, g_pixels, s, c):
    """sums[task, group, shared i, (c_in, other i, j), o] = patches times g, of this task's chunks.

    Either all kernel rows i share copied lines, or none does.
    """
    patches, g_pixels, sums, whole = patches[task], g_pixels[task], sums[task], whole[task]
    begin_sums(sums, whole)
    most = max(1, ADDITIONS // _additions(c))  # chunks
    first, last = share(task, tasks, _chunk_count(s, c))
    taps = s.kh // c.shared * s.kw
    for chunk in range(first, last):
        if chunk > first and (chunk - first) % most == 0:
            move_sums(sums, whole)
        for group in range(s.groups):
            pixels = _g_pixels(g, group, chunk, g_pixels, s, c)
            for channel in range(0, s.c_in, c.channels):
                channels = min(c.channels, s.c_in - channel)
                _gather(x, group, channel, channels, chunk, patches, s, c)
                for i in range(c.shared):
                    at = ((group * c.shared + i) * s.c_in + channel) * taps * c.g_line
                    multiply(
                        patches, _shift(i, s, c), c.line, 1, g_pixels, 0, pixel_rows,
                        sums, at, c.g_line, channels * taps, s.c_out, pixels, True,
                    )  # fmt: skip
    end_sums(sums, whole)


@inlined
def _g_pixels(g, group, chunk, pixels, s, c):
    """pixels[p, o] = g; returns the number of pixels."""
    image, images, row, rows, column, columns = _block(chunk, s, c)
    size, plane = lanes(g), s.ho * s.wo
    p = 0
    for n in range(image, image + images):
        for r in range(rows):
            start = ((n * s.groups + group) * s.c_out * s.ho + row + r) * s.wo + column
            for o in range(0, s.c_out, size):
                for q in range(0, columns, size):
                    transpose(
                        g, start + o * plane + q, plane, min(size, s.c_out - o),
                        min(size, columns - q), pixels, (p + q) * c.g_line + o, c.g_line,
                    )  # fmt: skip
            pixels[(p + columns) * c.g_line : (p + c.columns) * c.g_line] = 0
            p += c.columns
    return p


@body
def _weights_task(task, tasks, sums, dw, s, c):
    """dw = the sums of all tasks, added in the order of the tasks, output channels first."""
    rows, taps = s.kh // c.shared, s.kh * s.kw
    for item in range(*share(task, tasks, s.groups * s.c_in)):
        group, channel = item // s.c_in, item % s.c_in
        for k in range(taps):
            i, j = k // s.kw, k % s.kw
            first = ((group * c.shared + i // rows) * s.c_in + channel) * rows
            at = ((first + i % rows) * s.kw + j) * c.g_line
            target = (group * s.c_out * s.c_in + channel) * taps + k
            for o in range(s.c_out):
                value = sums[0, at + o]
                for other in range(1, len(sums)):
                    value += sums[other, at + o]
                dw[target + o * s.c_in * taps] = value


@jit
def _weight_grad(pool, x, g, dw, sums, whole, patches, g_pixels, s, c):
    tasks = min(threads_of(pool), len(g_pixels))
    pixel_rows = np.arange(c.images * c.rows * c.columns) * c.g_line
    args = x, g, pixel_rows, sums[:tasks], whole, patches, g_pixels, s, c
    run(pool, _sums_task, args, tasks)
    run(pool, _weights_task, (sums[:tasks], dw, s, c), tasks)


def weight_grad(g, x, dw, s, threads):
    """dw of y = x * w, where g is the gradient with respect to y."""
    prepare(x.dtype)
    prepare_transpose(x.dtype)
    c = _chunks(s, x.itemsize, threads)
    sums = empty((threads, s.groups * s.c_in * s.kh * s.kw * c.g_line), x.dtype)
    arrays = x.reshape(-1), g.reshape(-1), dw.reshape(-1)
    whole = room_of_whole(sums, _chunk_count.py_func(s, c) * _additions.py_func(c))
    _weight_grad(pool(), *arrays, sums, whole, *_rooms(threads, s, c, x.dtype), s, c)
