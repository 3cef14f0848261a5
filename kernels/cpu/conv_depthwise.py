"""Depthwise convolution: every channel has one filter of its own, and meets no other.

There is no product of matrices in it: a plane of the output is a sum of moved and weighted planes.
So the input's plane is copied with its zeros around it, lines kept apart by the place of their
elements modulo the stride (phases). Then an output line meets with each weight a line of
neighbours, and no edge is in the way. The gradient by the input does the same with a plane of g:
each phase of each of its lines has some of the weights.
"""

from typing import NamedTuple

import numpy as np

from .compile import jit
from .conv_lines import copy_line
from .simd import (
    REGISTER_BYTES,
    body,
    fma,
    full,
    inlined,
    lanes,
    load,
    load_some,
    splat,
    store,
    store_every,
    store_some,
    total,
    zipped,
)
from .threads import run, share, threads_of


class Plane(NamedTuple):
    """How a padded plane lies in memory: `rows` of `phases` lines each."""

    rows: int
    phases: int
    line: int  # the distance between lines: room for whole vectors that begin within


def _plane(rows, phases, columns, itemsize):
    size = REGISTER_BYTES // itemsize
    return Plane(rows, phases, -(-columns // size) * size + size)


def plane_of_x(s, itemsize):
    """The Plane for the input of a Geometry."""
    rows = (s.ho - 1) * s.sh + (s.kh - 1) * s.dh + 1
    return _plane(rows, s.sw, s.wo + (s.kw - 1) * s.dw // s.sw, itemsize)


def plane_of_g(s, itemsize):
    """The Plane for the gradient of the output."""
    above, left = (s.kh - 1) * s.dh // s.sh, (s.kw - 1) * s.dw // s.sw
    rows, columns = (s.h - 1 + s.ph) // s.sh + 1, (s.w - 1 + s.pw) // s.sw + 1
    return _plane(above + rows, 1, left + columns, itemsize)


@inlined
def _taps(s, plane):
    """Where the line that weight (i, j) meets begins, from that of the first weight on."""
    taps = np.empty(s.kh * s.kw, np.int64)
    for k in range(taps.size):
        i, j = k // s.kw, k % s.kw * s.dw
        taps[k] = (i * s.dh * plane.phases + j % s.sw) * plane.line + j // s.sw
    return taps


@inlined
def _fill(x, start, padded, s, plane):
    """The plane of x that begins at `start`, with zeros around it."""
    for row in range(plane.rows):
        top = row - s.ph
        width = s.w if 0 <= top < s.h else 0
        for phase in range(plane.phases):
            at = (row * plane.phases + phase) * plane.line
            copy_line(x, start + top * s.w, s.sw, phase - s.pw, width, padded, at, plane.line)


@inlined
def _weighted(w, start, weights, padded, at, taps, value):
    """value + the sum of w[start + weights[k]] times the vector that begins taps[k] from `at`."""
    for k in range(taps.size):
        value = fma(splat(w, start + weights[k]), load(padded, at + taps[k]), value)
    return value


@body
def _forward_task(task, tasks, x, w, bias, y, taps, padded, s, plane):
    padded, size = padded[task], lanes(x)
    weights = np.arange(taps.size)
    for item in range(*share(task, tasks, s.images * s.groups)):
        channel = item % s.groups
        _fill(x, item * s.h * s.w, padded, s, plane)
        start = full(x, x.dtype.type(0))
        if bias.size:
            start = splat(bias, channel)
        for p in range(s.ho):
            line, target = p * s.sh * plane.phases * plane.line, (item * s.ho + p) * s.wo
            for q in range(0, s.wo, size):
                first = channel * taps.size
                value = _weighted(w, first, weights, padded, line + q, taps, start)
                if q + size <= s.wo:
                    store(y, target + q, value)
                else:
                    store_some(y, target + q, value, 0, s.wo - q)


@jit
def forward(pool, x, w, bias, y, padded, s, plane):
    """y = x * w + bias; a bias without elements is none. padded: a plane of x for each task."""
    args = x, w, bias, y, _taps(s, plane), padded, s, plane
    run(pool, _forward_task, args, min(threads_of(pool), len(padded)))


@inlined
def _taps_of_phase(i_phase, j_phase, s, plane):
    """(weights, taps) that meet the elements of dx whose padded place has these phases."""
    weights, taps = np.empty(s.kh * s.kw, np.int64), np.empty(s.kh * s.kw, np.int64)
    count = 0
    for k in range(s.kh * s.kw):
        i, j = k // s.kw * s.dh, k % s.kw * s.dw
        if i % s.sh == i_phase and j % s.sw == j_phase:
            above, left = (s.kh - 1) * s.dh // s.sh - i // s.sh, (s.kw - 1) * s.dw // s.sw
            weights[count], taps[count] = k, above * plane.line + left - j // s.sw
            count += 1
    return weights[:count], taps[:count]


@body
def _input_grad_task(task, tasks, g, w, dx, padded, s, plane):
    padded, size = padded[task], lanes(g)
    above, left = (s.kh - 1) * s.dh // s.sh, (s.kw - 1) * s.dw // s.sw
    columns = (s.w - 1 + s.pw) // s.sw + 1
    for item in range(*share(task, tasks, s.images * s.groups)):
        for row in range(plane.rows):
            width = s.wo if above <= row < above + s.ho else 0
            start = (item * s.ho + row - above) * s.wo
            copy_line(g, start, 1, -left, width, padded, row * plane.line, plane.line)
        first, zero = item % s.groups * s.kh * s.kw, full(g, g.dtype.type(0))
        for i_phase in range(s.sh):
            for j_phase in range(0, s.sw, 2 if s.sw == 2 else 1):
                weights, taps = _taps_of_phase(i_phase, j_phase, s, plane)
                odd_weights, odd_taps = _taps_of_phase(i_phase, 1, s, plane)
                for r in range((i_phase - s.ph) % s.sh, s.h, s.sh):
                    line, start = (r + s.ph) // s.sh * plane.line, (item * s.h + r) * s.w
                    for q in range(0, columns, size):
                        value = _weighted(w, first, weights, padded, line + q, taps, zero)
                        place = q * s.sw + j_phase - s.pw
                        if s.sw == 1:
                            store_some(dx, start + place, value, -place, s.w - place)
                        elif s.sw == 2:
                            odd = _weighted(w, first, odd_weights, padded, line + q, odd_taps, zero)
                            for part in zipped(value, odd):
                                store_some(dx, start + place, part, -place, s.w - place)
                                place += size
                        else:
                            store_every(dx, start + place, value, s.sw, -place, s.w - place)


@jit
def input_grad(pool, g, w, dx, padded, s, plane):
    """dx of y = x * w, where g is the gradient by y. padded: a plane of g for each task."""
    args = g, w, dx, padded, s, plane
    run(pool, _input_grad_task, args, min(threads_of(pool), len(padded)))


@body
def _weight_grad_task(task, tasks, g, x, dw, taps, padded, s, plane):
    padded, size = padded[task], lanes(x)
    sums = np.empty(taps.size * size, x.dtype)
    whole = np.empty(taps.size, np.float64)  # the sums over a batch, in double precision
    for channel in range(*share(task, tasks, s.groups)):
        whole[:] = 0
        for image in range(s.images):
            item = image * s.groups + channel
            _fill(x, item * s.h * s.w, padded, s, plane)
            _products(g, item * s.ho * s.wo, padded, taps, sums, s, plane)
            for k in range(taps.size):
                whole[k] += total(load(sums, k * size))
        for k in range(taps.size):
            dw[channel * taps.size + k] = whole[k]


@inlined
def _products(g, start, padded, taps, sums, s, plane):
    """For each weight a vector: the sum over a plane of g times what the weight met."""
    size = lanes(g)
    sums[:] = 0
    for p in range(s.ho):
        line = p * s.sh * plane.phases * plane.line
        for q in range(0, s.wo, size):
            at, last = start + p * s.wo + q, s.wo - q
            if last >= size:
                slope = load(g, at)
                for k in range(taps.size):
                    met = load(padded, line + q + taps[k])
                    store(sums, k * size, fma(slope, met, load(sums, k * size)))
            else:
                slope = load_some(g, at, 0, last)
                for k in range(taps.size):
                    met = load_some(padded, line + q + taps[k], 0, last)
                    store(sums, k * size, fma(slope, met, load(sums, k * size)))


@jit
def weight_grad(pool, g, x, dw, padded, s, plane):
    """dw of y = x * w, where g is the gradient by y. padded: a plane of x for each task."""
    args = g, x, dw, _taps(s, plane), padded, s, plane
    run(pool, _weight_grad_task, args, min(threads_of(pool), len(padded)))
