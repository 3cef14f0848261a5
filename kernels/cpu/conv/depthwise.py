"""Depthwise convolution: every channel has its own filter and meets no other channel.

No matrix product is needed: a plane of the output is a sum of shifted and weighted planes. So the
input's plane is copied with zeros around it, and each line is split into phases: elements whose
columns agree modulo the stride lie together. For each weight, an output line then meets a line of
neighbouring elements, and no edge is in the way. Four lines at a time share the work that is done
for a weight. The gradient with respect to the input does the same with a plane of g, where each
phase of a line meets only some of the weights.
"""

from typing import NamedTuple

import numpy as np

from ..machine.apart import every_other, every_second, store_every, zipped
from ..machine.compile import jit
from ..machine.simd import (
    REGISTER_BYTES,
    body,
    fma,
    full,
    inlined,
    inside,
    lanes,
    load,
    load_some,
    splat,
    store,
    store_some,
)
from ..machine.threads import run, share, threads_of
from .depthwise_3x3 import ROWS, correlate, multiply, store_lines
from .lines import copy_line
from .sums import begin_sums, move_sums

LONGEST = 128  # products that a lane adds up before weight_grad moves its sum to float64


class Plane(NamedTuple):
    """The layout of a padded plane in memory: `rows` of `phases` lines each, without gaps."""

    rows: int
    phases: int
    line: int  # elements

    def size(self, itemsize):
        """Its elements, and room behind them for lines and vectors that are read but not used."""
        return (self.rows * self.phases + ROWS) * self.line + 2 * REGISTER_BYTES // itemsize


def plane_of_x(s):
    """The Plane for the input of a Geometry."""
    rows = (s.ho - 1) * s.sh + (s.kh - 1) * s.dh + 1
    return Plane(rows, s.sw, s.wo + (s.kw - 1) * s.dw // s.sw)


def plane_of_g(s):
    """The Plane for the gradient of the output."""
    above, left = (s.kh - 1) * s.dh // s.sh, (s.kw - 1) * s.dw // s.sw
    rows, columns = (s.h - 1 + s.ph) // s.sh + 1, (s.w - 1 + s.pw) // s.sw + 1
    return Plane(above + rows, 1, left + columns)


@inlined
def _split(x, start, padded, at, s, plane):
    """Copy a line of x as two phases: columns 0, 2, 4 ..., and 1, 3, 5 ..."""
    size = lanes(x)
    to_even, to_odd = s.pw // 2, (s.pw + 1) // 2
    for q in range(0, s.w, 2 * size):
        a = load_some(x, start + q, 0, s.w - q)
        b = load_some(x, start + q + size, 0, s.w - q - size)
        even, odd, half = every_second(a, b), every_other(a, b), q // 2
        last_even, last_odd = plane.line - to_even, plane.line - to_odd
        last_even, last_odd = min(last_even, (s.w + 1) // 2), min(last_odd, s.w // 2)
        place = at + s.pw % 2 * plane.line + to_even + half
        store_some(padded, place, even, 0, last_even - half)
        place = at + (s.pw + 1) % 2 * plane.line + to_odd + half
        store_some(padded, place, odd, 0, last_odd - half)


@inlined
def _taps(s, plane):
    """For each weight, where the line that it meets begins, relative to the first weight's line."""
    taps = np.empty(s.kh * s.kw, np.int64)
    for k in range(taps.size):
        i, j = k // s.kw, k % s.kw * s.dw
        taps[k] = (i * s.dh * plane.phases + j % s.sw) * plane.line + j // s.sw
    return taps


@inlined
def _fill(x, start, padded, s, plane):
    """Copy the plane of x that begins at `start`; the zeros around it are there already."""
    for row in range(min(s.h, plane.rows - s.ph)):
        line, at = start + row * s.w, (row + s.ph) * plane.phases * plane.line
        if plane.phases == 1:
            _copy(x, line, padded, at + s.pw, s.w)
        elif plane.phases == 2:
            _split(x, line, padded, at, s, plane)
        else:
            for phase in range(plane.phases):
                copy_line(x, line, s.sw, phase - s.pw, s.w, padded, at, plane.line)
                at += plane.line


@inlined
def _copy(x, i, y, j, n):
    """y[j : j + n] = x[i : i + n]."""
    for k in range(0, n, lanes(x)):
        store_some(y, j + k, load_some(x, i + k, 0, n - k), 0, n - k)


@inside
def _four_lines(w, first, weights, padded, at, distance, count, taps, value):
    """For up to four lines, `distance` apart, value + the sum over k of w[first + weights[k]] times
    the vector at `at` + taps[k]. Where there are fewer lines, the last one is repeated."""
    a = b = c = d = value
    to_b, to_c, to_d = (
        min(1, count - 1) * distance,
        min(2, count - 1) * distance,
        min(3, count - 1) * distance,
    )
    for k in range(taps.size):
        weight, place = splat(w, first + weights[k]), at + taps[k]
        a = fma(weight, load(padded, place), a)
        b = fma(weight, load(padded, place + to_b), b)
        c = fma(weight, load(padded, place + to_c), c)
        d = fma(weight, load(padded, place + to_d), d)
    return a, b, c, d


@body
def _forward_task(task, tasks, is_3x3, x, w, bias, y, taps, padded, s, plane):
    padded, size, weights = padded[task], lanes(x), np.arange(taps.size)
    padded[:] = 0
    distance = s.sh * plane.phases * plane.line
    for item in range(*share(task, tasks, s.images * s.groups)):
        channel = item % s.groups
        _fill(x, item * s.h * s.w, padded, s, plane)
        start = full(x, x.dtype.type(0))
        if bias.size:
            start = splat(bias, channel)
        if is_3x3:
            target = item * s.ho * s.wo
            multiply(padded, 0, plane.line, w, channel * 9, 1, start, y, target, s.ho, s.wo)
            continue
        for p in range(0, s.ho, ROWS):
            count = min(ROWS, s.ho - p)
            for q in range(0, s.wo, size):
                at = p * distance + q
                values = _four_lines(
                    w, channel * taps.size, weights, padded, at, distance, count, taps, start
                )
                target = (item * s.ho + p) * s.wo + q
                store_lines(y, target, s.wo, count, values, 0, s.wo - q)


@jit
def forward(pool, is_3x3, x, w, bias, y, padded, s, plane):
    """y = x * w + bias; an empty bias stands for none. padded: a plane of x for each task.

    is_3x3: whether depthwise_3x3.py is for this geometry.
    """
    args = is_3x3, x, w, bias, y, _taps(s, plane), padded, s, plane
    run(pool, _forward_task, args, min(threads_of(pool), len(padded)))


@inlined
def _taps_of_phases(s, plane):
    """(counts, weights, taps) for each pair of phases (row, column) of the padded plane of x: how
    many weights meet its elements, which ones, and where in the plane of g each begins."""
    counts = np.zeros((s.sh, s.sw), np.int64)
    weights = np.empty((s.sh, s.sw, s.kh * s.kw), np.int64)
    taps = np.empty_like(weights)
    above, left = (s.kh - 1) * s.dh // s.sh, (s.kw - 1) * s.dw // s.sw
    for k in range(s.kh * s.kw):
        i, j = k // s.kw * s.dh, k % s.kw * s.dw
        phases = i % s.sh, j % s.sw
        n = counts[phases]
        weights[phases][n], taps[phases][n] = k, (above - i // s.sh) * plane.line + left - j // s.sw
        counts[phases] += 1
    return counts, weights, taps


@body
def _input_grad_task(task, tasks, is_3x3, g, w, dx, counts, weights, taps, padded, s, plane):
    padded, size, zero = padded[task], lanes(g), full(g, g.dtype.type(0))
    padded[:] = 0
    above, left = (s.kh - 1) * s.dh // s.sh, (s.kw - 1) * s.dw // s.sw
    columns = (s.w - 1 + s.pw) // s.sw + 1
    for item in range(*share(task, tasks, s.images * s.groups)):
        for row in range(min(s.ho, plane.rows - above)):
            place = (above + row) * plane.line + left
            _copy(g, (item * s.ho + row) * s.wo, padded, place, min(s.wo, plane.line - left))
        first = item % s.groups * s.kh * s.kw
        if is_3x3:  # a convolution with the filter rotated by half a turn
            at, target = s.ph * plane.line + s.pw, item * s.h * s.w
            multiply(padded, at, plane.line, w, first + 8, -1, zero, dx, target, s.h, s.w)
            continue
        for i in range(s.sh):
            for j in range(0, s.sw, 2 if s.sw == 2 else 1):
                n, other = counts[i, j], counts[i, s.sw - 1]
                for r in range((i - s.ph) % s.sh, s.h, ROWS * s.sh):
                    count = min(ROWS, (s.h - r + s.sh - 1) // s.sh)
                    for q in range(0, columns, size):
                        at = (r + s.ph) // s.sh * plane.line + q
                        values = _four_lines(
                            *(w, first, weights[i, j, :n], padded, at),
                            *(plane.line, count, taps[i, j, :n], zero),
                        )
                        place = q * s.sw + j - s.pw
                        target, distance = (item * s.h + r) * s.w + place, s.sh * s.w
                        if s.sw == 1:
                            store_lines(dx, target, distance, count, values, -place, s.w - place)
                        elif s.sw == 2:
                            odd = _four_lines(
                                *(w, first, weights[i, 1, :other], padded, at),
                                *(plane.line, count, taps[i, 1, :other], zero),
                            )
                            low, high = _zipped_lines(values, odd)
                            store_lines(dx, target, distance, count, low, -place, s.w - place)
                            place, target = place + size, target + size
                            store_lines(dx, target, distance, count, high, -place, s.w - place)
                        else:
                            for line in range(count):
                                value = values[line]
                                to = target + line * distance
                                store_every(dx, to, value, s.sw, -place, s.w - place)


@inside
def _zipped_lines(even, odd):
    """(the first halves, the second halves) of four vectors zipped with four."""
    a, b = zipped(even[0], odd[0]), zipped(even[1], odd[1])
    c, d = zipped(even[2], odd[2]), zipped(even[3], odd[3])
    return (a[0], b[0], c[0], d[0]), (a[1], b[1], c[1], d[1])


@jit
def input_grad(pool, is_3x3, g, w, dx, padded, s, plane):
    """dx of y = x * w; g is the gradient with respect to y. padded: a plane of g for each task."""
    counts, weights, taps = _taps_of_phases(s, plane)
    args = is_3x3, g, w, dx, counts, weights, taps, padded, s, plane
    run(pool, _input_grad_task, args, min(threads_of(pool), len(padded)))


@body
def _weight_grad_task(task, tasks, is_3x3, g, x, dw, taps, padded, s, plane):
    padded, size = padded[task], lanes(x)
    padded[:] = 0
    sums = np.empty(taps.size * size, x.dtype)
    whole = np.empty(sums.size, np.float64)  # the sums over the batch
    height, width = _block(s, size)
    row_parts, column_parts = (s.ho + height - 1) // height, (s.wo + width - 1) // width
    vectors = (s.wo + size - 1) // size * s.ho
    distance = s.sh * plane.phases * plane.line
    images = max(1, LONGEST // vectors)  # added up in vectors before the sums move
    for channel in range(*share(task, tasks, s.groups)):
        begin_sums(sums, whole)
        added = 0
        for image in range(s.images):
            item = image * s.groups + channel
            _fill(x, item * s.h * s.w, padded, s, plane)
            added += 1
            for part in range(row_parts):
                p = part * height
                rows = min(height, s.ho - p)
                for column_part in range(column_parts):
                    q = column_part * width
                    columns = min(width, s.wo - q)
                    start = (item * s.ho + p) * s.wo + q
                    at = p * distance + q
                    if is_3x3:
                        correlate(g, start, s.wo, padded, at, plane.line, rows, columns, sums)
                    else:
                        for k in range(0, taps.size, 3):
                            _products(g, start, padded, at, taps, k, rows, columns, sums, s, plane)
                    if added == images:
                        move_sums(sums, whole)
            if added == images:
                added = 0
        move_sums(sums, whole)
        for k in range(taps.size):
            dw[channel * taps.size + k] = whole[k * size : (k + 1) * size].sum()


@inside
def _block(s, size):
    """(rows, columns) of a part of a plane, of which a lane adds up at most LONGEST products."""
    columns = min(s.wo, LONGEST // ROWS * size)
    rows = LONGEST // ((columns + size - 1) // size) // ROWS * ROWS
    return min(s.ho, rows), columns


@inside
def _products(g, start, padded, at, taps, k, rows, columns, sums, s, plane):
    """Add to the sums of weights k to k + 2 a part of a plane of g times what each weight meets.

    The part begins at `start` in g, and the first weight meets it at `at`.
    """
    size, distance = lanes(g), s.sh * plane.phases * plane.line
    k1, k2 = min(k + 1, taps.size - 1), min(k + 2, taps.size - 1)  # beyond the last, the last
    at0, at1, at2 = at + taps[k], at + taps[k1], at + taps[k2]
    a, b, c = load(sums, k * size), load(sums, k1 * size), load(sums, k2 * size)
    for q in range(0, columns, size):
        # Elements beyond the part are not read: one may be NaN or infinite, and 0 times it NaN.
        count = min(size, columns - q)
        for p in range(rows):
            slope, line = load_some(g, start + p * s.wo + q, 0, count), p * distance + q
            a = fma(slope, load_some(padded, line + at0, 0, count), a)
            b = fma(slope, load_some(padded, line + at1, 0, count), b)
            c = fma(slope, load_some(padded, line + at2, 0, count), c)
    store(sums, k2 * size, c)
    store(sums, k1 * size, b)
    store(sums, k * size, a)


@jit
def weight_grad(pool, is_3x3, g, x, dw, padded, s, plane):
    """dw of y = x * w; g is the gradient with respect to y. padded: a plane of x for each task."""
    args = is_3x3, g, x, dw, _taps(s, plane), padded, s, plane
    run(pool, _weight_grad_task, args, min(threads_of(pool), len(padded)))
