"""Images as convolutions read them: cut into chunks, and copied once with their padding.

At a stride above 1 a channel is split into several planes, its phases: elements whose rows and
columns agree modulo the stride lie together. Then, for each weight, neighbouring pixels of the
output meet neighbouring elements, and the distance to these from a pixel's own place in the first
plane, a step, is the same for all pixels.
"""

import functools
from typing import NamedTuple

import numpy as np
from numba import types

from ...geometry import Geometry
from ..machine.compile import jit
from ..machine.memory import empty
from ..machine.shared_code import array_at, shared_code
from ..machine.simd import REGISTER_BYTES, body, inlined, lanes, load, splat, store
from ..machine.threads import pool, run, share, threads_of
from ..products.block_gemm import multiply, prepare
from .lines import copy, copy_line

BYTES = 1 << 18  # of planes and of outputs in a chunk: the L2 cache holds weights too
FEWEST = 64  # pixels in a chunk, however much memory they take
LEAST = 16  # pixels in a chunk, however many threads want some of the work
PADDING = REGISTER_BYTES // 4  # elements behind the planes: a vector may begin at their end


class Cuts(NamedTuple):
    """How the work is cut up: a chunk is a block of pixels of one image, or some whole images."""

    image_parts: int
    row_parts: int
    column_parts: int
    images: int  # in a chunk, at most; as are the rows and columns
    rows: int
    columns: int
    row_phases: int  # a channel has row_phases * column_phases planes
    column_phases: int
    height: int  # lines of a plane
    line: int  # elements of a line


@functools.lru_cache(maxsize=256)
def cuts(s, itemsize, threads, vectors):
    """The Cuts for a Geometry, if for each pixel `vectors` of outputs lie beside the planes."""
    size = REGISTER_BYTES // itemsize
    pixels = BYTES // (itemsize * (s.c_in * s.sh * s.sw + vectors * size))
    pixels = min(max(pixels, FEWEST), max(LEAST, -(-s.images * s.ho * s.wo // threads)))
    parts = [s.images, 1, 1]
    if s.wo > pixels:
        parts[1:] = s.ho, -(-s.wo // pixels)
    elif s.ho * s.wo > pixels:
        parts[1] = -(-s.ho // (pixels // s.wo))
    elif s.images < 4 * threads and s.images % threads:
        parts[1] = min(s.ho, threads)
    else:
        parts[0] = -(-s.images // (pixels // (s.ho * s.wo)))
    sizes = s.images, s.ho, s.wo
    for axis, extent in enumerate(sizes):
        even = -(-parts[axis] // threads) * threads  # the same work for each thread
        if parts[axis] > 1 and even <= min(extent, 2 * parts[axis]):
            parts[axis] = even
    images, rows, columns = (-(-extent // n) for extent, n in zip(sizes, parts, strict=True))
    down, across = (s.kh - 1) * s.dh, (s.kw - 1) * s.dw
    phases = min(s.sh, down + 1), min(s.sw, across + 1)
    return Cuts(
        *parts, images, rows, columns, *phases, rows + down // s.sh, columns + across // s.sw
    )


@inlined
def chunk_count(c):
    """How many chunks there are."""
    return c.image_parts * c.row_parts * c.column_parts


@inlined
def block_of(chunk, s, c):
    """(first image, images, first row, rows, first column, columns) of a chunk."""
    column, end_column = share(chunk % c.column_parts, c.column_parts, s.wo)
    row, end_row = share(chunk // c.column_parts % c.row_parts, c.row_parts, s.ho)
    image, end_image = share(chunk // c.column_parts // c.row_parts, c.image_parts, s.images)
    return image, end_image - image, row, end_row - row, column, end_column - column


def planes_size(s, c):
    """The elements of the planes of an image, with PADDING."""
    return s.c_in * c.row_phases * c.column_phases * c.height * c.line + PADDING


@functools.lru_cache(maxsize=256)
def steps_of(s, c, order):
    """The distance from an output's place in the planes to what each tap (channel, i, j) meets.

    `order` is the order of the three axes in which the taps are listed.
    """
    channel, i, j = np.ogrid[: s.c_in, : s.kh, : s.kw]
    i, j = i * s.dh, j * s.dw
    plane = (channel * c.row_phases + i % s.sh) * c.column_phases + j % s.sw
    steps = (plane * c.height + i // s.sh) * c.line + j // s.sw
    return np.ravel(steps.transpose(order))


def _copy_planes(like, x, first, row, column, planes, s, c):
    x, planes = array_at(like, x), array_at(like, planes)
    top, left, at = row * s.sh - s.ph, column * s.sw - s.pw, 0
    for channel in range(first, first + s.c_in):
        for row_phase in range(c.row_phases):
            for phase in range(c.column_phases):
                for r in range(c.height):
                    t = top + r * s.sh + row_phase
                    start = (channel * s.h + t) * s.w
                    width = s.w if 0 <= t < s.h else 0
                    copy_line(x, start, s.sw, left + phase, width, planes, at, c.line)
                    at += c.line
    planes[at : at + PADDING] = 0


prepare_copy, _call = shared_code(
    *(types.int64,) * 5,
    *(types.NamedUniTuple(types.int64, len(kind._fields), kind) for kind in (Geometry, Cuts)),
)(_copy_planes)


@inlined
def copy_planes(x, first, row, column, planes, at, s, c):
    """Copy to planes[at:] what a block's outputs need of an image, whose channels begin at `first`.

    For calls from compiled code.
    """
    target = planes.ctypes.data + at * planes.itemsize
    _call(x.dtype.type(0), (x.ctypes.data, first, row, column, target, s, c))


# The plain forward pass: for each image the weights times the planes, read at all steps


@inlined
def _add_scalar(y, j, scalars, k, n):
    """y[j : j + n] += scalars[k], in whole vectors."""
    scalar = splat(scalars, k)
    for at in range(j, j + n, lanes(y)):
        store(y, at, load(y, at) + scalar)


@body
def _copy_rows(out, at, line, y, target, rows, columns, w):
    for r in range(rows):
        copy(out, at + r * line, y, target + r * w, columns)


@body
def _forward_task(task, tasks, x, w, w_line, bias, steps, y, planes, out, s, c):
    planes, out = planes[task], out[task]
    taps, size, plane = s.c_in * s.kh * s.kw, lanes(y), s.ho * s.wo
    for chunk in range(*share(task, tasks, chunk_count(c))):
        image, images, row, rows, column, columns = block_of(chunk, s, c)
        # Products write whole vectors, and so reach into the next line, which is written later. The
        # last line, beyond which nothing may be written, goes through `out`.
        lines = rows - 1 if s.wo == columns >= size else 0
        pixels = (rows - 1 - lines) * c.line + columns  # and the elements between the lines
        out_line = (pixels + size - 1) // size * size
        for place in range(image * s.groups, (image + images) * s.groups):
            first = place % s.groups * s.c_out
            target = (place * s.c_out * s.ho + row) * s.wo + column
            copy_planes(x, place * s.c_in, row, column, planes, 0, s, c)
            for r in range(lines):
                multiply(
                    w, first * w_line, w_line, 1, planes, r * c.line, steps,
                    y, target + r * s.wo, plane, s.c_out, columns, taps, False,
                )  # fmt: skip
            multiply(
                w, first * w_line, w_line, 1, planes, lines * c.line, steps,
                out, 0, out_line, s.c_out, pixels, taps, False,
            )  # fmt: skip
            for o in range(s.c_out):
                if bias.size:
                    _add_scalar(y, target + o * plane, bias, first + o, lines * s.wo)
                    _add_scalar(out, o * out_line, bias, first + o, pixels)
                at = target + o * plane + lines * s.wo
                _copy_rows(out, o * out_line, c.line, y, at, rows - lines, columns, s.wo)


@jit
def _forward(pool, x, w, w_line, bias, steps, y, planes, out, s, c):
    args = x, w, w_line, bias, steps, y, planes, out, s, c
    run(pool, _forward_task, args, min(threads_of(pool), len(out)))


def _as_rows(weight, s, flipped):
    """The weights as a row for each output channel, flipped or not, and the distance between rows.

    Rows a multiple of 1024 bytes apart would compete for the same few places in the cache.
    """
    if flipped:
        shape = s.groups, s.c_in, s.c_out, s.kh, s.kw
        weight = weight.reshape(shape).swapaxes(1, 2)[..., ::-1, ::-1]
    rows = np.ascontiguousarray(weight).reshape(s.groups * s.c_out, s.c_in * s.kh * s.kw)
    if rows.strides[0] % 1024 == 0:
        wider = np.empty((len(rows), rows.shape[1] + 16), rows.dtype)
        wider[:, :-16] = rows
        rows = wider
    return rows.reshape(-1), rows.shape[1]


def forward(x, weight, bias, y, s, flipped, threads):
    """y = x * weight + bias; an empty bias stands for none. flipped: see direct.py."""
    prepare(x.dtype)
    prepare_copy(x.dtype)
    size = REGISTER_BYTES // x.itemsize
    c = cuts(s, x.itemsize, threads, -(-s.c_out // size))
    planes = empty((threads, planes_size(s, c)), x.dtype)
    out = empty((threads, s.c_out * (c.rows * c.line + size)), x.dtype)
    arrays = x.reshape(-1), *_as_rows(weight, s, flipped), bias, steps_of(s, c, (0, 1, 2))
    _forward(pool(), *arrays, y.reshape(-1), planes, out, s, c)
