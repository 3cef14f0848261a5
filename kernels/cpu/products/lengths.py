"""Distances of vectors, see kernels/reference/lengths.py.

Euclidean distances of long vectors come from products, |a|^2 + |b|^2 - 2 a b, of vectors from whose
values a mean is subtracted. Vectors that are close to each other would lose digits so: where the
square of a distance is less than an eighth of |a|^2 + |b|^2, which few are, it is computed from the
differences, in float64. Other distances come from the differences of one vector of a and a block
of vectors of b, whose elements lie side by side. Squares and powers that leave the range of their
dtype are computed anew, in proportion to the largest difference.
"""

import math

import numpy as np

from ..machine.compile import jit
from ..machine.kernel import kernel
from ..machine.memory import empty
from ..machine.simd import body, fma, full, inside, lanes, load_some
from ..machine.simd import total as over_all
from ..machine.threads import pool, run, share, tasks_for
from .linalg import matmul

COUNT, SUM, SQUARES, POWERS, LARGEST = range(5)  # what a norm is made of
KINDS = {0.0: COUNT, 1.0: SUM, 2.0: SQUARES, math.inf: LARGEST}
SHORT = 16  # elements of vectors, up to which their differences are quick enough
FEW = 1 << 16  # differences, up to which products do not pay
SMALL = 1 << 10  # differences, up to which the reference is quick enough
TASK = 1 << 15  # differences that are worth a thread
BLOCK = 512  # vectors of b that are taken at a time
TERMS = 64  # that are added up one after the other
CLOSE = 1 / 8  # of |a|^2 + |b|^2
MEASURE, TO_LENGTHS, TO_WEIGHTS, TO_VECTORS = range(4)  # what is done with each vector


@kernel("a b", half=True)
def distances(a, b, p):
    """The distances."""
    (count, n, d), m = a.shape, b.shape[1]
    if count * n * m * d <= SMALL:
        return NotImplemented
    p = float(p)
    kind = KINDS.get(p, POWERS)
    if _by_products(a, b, kind):
        near_a, near_b, of_a, of_b = _centred(a, b)
        with np.errstate(all="ignore"):
            y = matmul(near_a, near_b.swapaxes(1, 2))
        _run(pool(), TO_LENGTHS, SQUARES, 2.0, y, a, b, b, of_a, of_b, y)
    else:
        y, none = empty((count, n, m), a.dtype), np.empty((0, 0), a.dtype)
        _run(pool(), MEASURE, kind, p, y, a, b, _upright(b), none, none, y)
    return y


@kernel("g a b out", half=True)
def distances_backward(g, a, b, out, p):
    """(da, db)."""
    if g.size * a.shape[2] <= SMALL:
        return NotImplemented
    p = float(p)
    kind = KINDS.get(p, POWERS)
    if _by_products(a, b, kind):
        return _back_by_products(g, a, b, out)
    da, db, none = empty(a.shape, a.dtype), empty(b.shape, b.dtype), np.empty((0, 0), a.dtype)
    _run(pool(), TO_VECTORS, kind, p, g, a, out, _upright(b), none, none, da)
    _run(pool(), TO_VECTORS, kind, p, _upright(g), b, _upright(out), _upright(a), none, none, db)
    return da, db


def _by_products(a, b, kind):
    long = a.shape[2] > SHORT and a.size * b.shape[1] > FEW
    return kind == SQUARES and long and min(a.shape[1], b.shape[1]) > 1


def _upright(b):
    """The vectors of b in columns."""
    return np.ascontiguousarray(b.swapaxes(1, 2))


def _centred(a, b):
    """Vectors from which the mean of b is subtracted, and the squares of their lengths."""
    with np.errstate(all="ignore"):  # what is out of range is found below
        mean = b.mean(axis=1, keepdims=True)
        a, b = a - mean, b - mean
        return a, b, np.einsum("nid,nid->ni", a, a), np.einsum("nid,nid->ni", b, b)


def _back_by_products(g, a, b, out):
    """A pair adds g (a - b) / out to da: products of the far pairs' g / out with a and b."""
    near_a, near_b, of_a, of_b = _centred(a, b)
    weights = empty(g.shape, g.dtype)
    _run(pool(), TO_WEIGHTS, SQUARES, 2.0, g, a, out, b, of_a, of_b, weights)
    with np.errstate(all="ignore"):
        da = near_a * weights.sum(axis=2)[..., None] - matmul(weights, near_b)
        db = near_b * weights.sum(axis=1)[..., None] - matmul(weights.swapaxes(1, 2), near_a)
    _add_close(g, a, b, out, of_a, of_b, da, db)
    return da, db


@jit
def _run(pool, what, kind, p, g, a, b, upright, of_a, of_b, y):
    """For each row of y, what `_part` does with it."""
    work = len(a) * a.shape[1] * upright.size if what in (MEASURE, TO_VECTORS) else y.size
    tasks = max(1, min(tasks_for(pool, work, TASK), len(y) * y.shape[1]))
    run(pool, _part, (what, kind, p, g, a, b, upright, of_a, of_b, y), tasks)


@body
def _part(task, tasks, what, kind, p, g, a, b, upright, of_a, of_b, y):
    """MEASURE: distances by differences. TO_LENGTHS: by the products in y.

    TO_WEIGHTS: g divided by the distances b of pairs that are not close, and 0 for others.
    TO_VECTORS: the gradient of vectors a, by the distances b.
    """
    room = np.empty((3, BLOCK), y.dtype)
    for unit in range(*share(task, tasks, len(y) * y.shape[1])):
        n, i = unit // y.shape[1], unit % y.shape[1]
        if what == MEASURE:
            _measure(kind, p, a[n, i], b[n], upright[n], room, y[n, i])
        elif what == TO_LENGTHS:
            _from_products(a[n, i], b[n], of_a[n, i], of_b[n], y[n, i])
        elif what == TO_WEIGHTS:
            _weigh(g[n, i], b[n, i], of_a[n, i], of_b[n], y[n, i])
        else:
            _back(kind, p, g[n, i], a[n, i], b[n, i], upright[n], room, y[n, i])


@inside
def _bounds(like):
    """Between which numbers sums of squares or powers have all their digits."""
    low, high = (1e-30, 1e30) if like.itemsize == 4 else (1e-280, 1e280)
    return like.dtype.type(low), like.dtype.type(high)


@body
def _measure(kind, p, x, b, upright, room, y):
    """The distances of a vector to those of b."""
    low, high = _bounds(y)
    for lo in range(0, y.size, BLOCK):
        out = y[lo : lo + BLOCK]
        sums, terms = room[0, : out.size], room[1, : out.size]
        sums[:] = 0
        for first in range(0, x.size, TERMS):
            terms[:] = 0
            for k in range(first, min(first + TERMS, x.size)):
                _add_terms(kind, p, x[k], upright[k, lo : lo + out.size], terms)
            _combine(kind, terms, sums)
        if kind in (SQUARES, POWERS):
            missing = _roots(kind, p, sums, low, high, out)
            if missing:
                _complete(p, x, b[lo : lo + out.size], out)
        else:
            for j in range(out.size):
                out[j] = sums[j]


@inside
def _add_terms(kind, p, x, row, terms):
    """What an element adds to the norms of the differences."""
    if kind == SQUARES:
        for j in range(terms.size):
            t = x - row[j]
            terms[j] += t * t
    elif kind == SUM:
        for j in range(terms.size):
            terms[j] += abs(x - row[j])
    elif kind == LARGEST:
        for j in range(terms.size):
            t = abs(x - row[j])
            terms[j] = t if (t > terms[j]) | (t != t) else terms[j]
    elif kind == COUNT:
        for j in range(terms.size):
            terms[j] += x != row[j]
    else:
        for j in range(terms.size):
            terms[j] += abs(x - row[j]) ** terms.dtype.type(p)


@inside
def _combine(kind, terms, sums):
    if kind == LARGEST:
        for j in range(sums.size):
            t = terms[j]
            sums[j] = t if (t > sums[j]) | (t != t) else sums[j]
    else:
        for j in range(sums.size):
            sums[j] += terms[j]


@inside
def _roots(kind, p, sums, low, high, out):
    """The roots of sums; -1, and how many of these, where a sum is out of range."""
    missing = 0
    if kind == SQUARES:
        for j in range(out.size):
            fine = (sums[j] > low) & (sums[j] < high)
            out[j] = np.sqrt(sums[j]) if fine else -1
            missing += not fine
    else:
        for j in range(out.size):
            fine = (sums[j] > low) & (sums[j] < high)
            out[j] = sums[j] ** (1 / p) if fine else -1
            missing += not fine
    return missing


@body
def _complete(p, x, b, out):
    """Compute the distances that are -1."""
    for j in range(out.size):
        if out[j] < 0:
            out[j] = _distance(p, x, b[j])


@body
def _distance(p, x, other):
    """One distance, in float64 and in proportion to the largest difference."""
    peak, total = 0.0, 0.0
    for k in range(x.size):
        t = abs(np.float64(x[k]) - np.float64(other[k]))
        peak = t if (t > peak) | (t != t) else peak
    if peak == 0 or peak == np.inf or peak != peak:
        return peak
    for k in range(x.size):
        t = abs(np.float64(x[k]) - np.float64(other[k])) / peak
        total += t * t if p == 2 else t**p
    return peak * (np.sqrt(total) if p == 2 else total ** (1 / p))


@inside
def _from_products(x, b, of_x, of_b, y):
    """Distances in place of products; those of close vectors are computed anew."""
    low, high = _bounds(y)
    close, missing = y.dtype.type(CLOSE), 0
    for j in range(y.size):
        both = of_x + of_b[j]
        square = both - (y[j] + y[j])
        fine = (square > close * both) & (square > low) & (square < high)
        y[j] = np.sqrt(square) if fine else -1
        missing += not fine
    if missing:
        _complete(2.0, x, b, y)


@inside
def _is_far(out, both, close):
    """Whether the distance of two vectors is far from 0 beside their lengths."""
    square = out * out
    return (square > close * both) & (square - square == 0)


@inside
def _weigh(g, out, of_x, of_b, y):
    close, zero = y.dtype.type(CLOSE), y.dtype.type(0)
    for j in range(y.size):
        far = _is_far(out[j], of_x + of_b[j], close)
        y[j] = g[j] / out[j] if far else zero


@jit
def _add_close(g, a, b, out, of_a, of_b, da, db):
    """Add the gradients of vectors that are close, from their differences."""
    close = out.dtype.type(CLOSE)
    for n in range(len(out)):
        for i in range(out.shape[1]):
            x, dx, row, both, count = a[n, i], da[n, i], out[n, i], of_b[n], 0
            for j in range(row.size):
                count += not _is_far(row[j], of_a[n, i] + both[j], close)
            if not count:
                continue
            for j in range(row.size):
                far = row[j]
                if far != 0 and not _is_far(far, of_a[n, i] + both[j], close):
                    other, dother = b[n, j], db[n, j]
                    for k in range(x.size):
                        t = g[n, i, j] * ((x[k] - other[k]) / far)
                        dx[k] += t
                        dother[k] -= t


@body
def _back(kind, p, g, x, out, upright, room, dx):
    """The gradient of a vector."""
    dx[:] = 0
    if kind == COUNT:
        return
    low, one = _bounds(x)[0], x.dtype.type(1)
    for lo in range(0, out.size, BLOCK):
        count = min(BLOCK, out.size - lo)
        far, share, tiny = room[0, :count], room[1, :count], 0
        for j in range(count):
            far[j] = out[lo + j] if out[lo + j] != 0 else one
            share[j] = g[lo + j]
            tiny += far[j] * far[j] < low
        if kind == SQUARES and not tiny:
            for j in range(count):
                share[j], far[j] = share[j] / far[j], one
        if kind == LARGEST:
            _divide_ties(x, upright, lo, far, share, room[2, :count])
        for k in range(x.size):
            dx[k] += _slope(kind, p, x[k], upright[k, lo : lo + count], far, share, tiny)


@inside
def _divide_ties(x, upright, lo, far, share, ties):
    """Differences that tie for the largest one, which is put in `far`, share its gradient."""
    far[:] = 0
    ties[:] = 0
    for k in range(x.size):
        row, value = upright[k, lo : lo + far.size], x[k]
        for j in range(far.size):
            t = abs(value - row[j])
            far[j] = t if t > far[j] else far[j]
    for k in range(x.size):
        row, value = upright[k, lo : lo + far.size], x[k]
        for j in range(far.size):
            ties[j] += abs(value - row[j]) == far[j]
    for j in range(far.size):
        share[j] /= ties[j]


@inside
def _slope(kind, p, x, row, far, share, tiny):
    """The sum over vectors of the gradient that one element gets."""
    zero = share.dtype.type(0)
    if kind == SQUARES and not tiny:
        sums = full(row, zero)
        for j in range(0, row.size, lanes(row)):
            rest = row.size - j
            difference = full(row, x) - load_some(row, j, 0, rest)
            sums = fma(load_some(share, j, 0, rest), difference, sums)
        return over_all(sums)
    total = zero
    if kind == SQUARES:
        for j in range(row.size):
            total += share[j] * ((x - row[j]) / far[j])
    elif kind == SUM:
        for j in range(row.size):
            g = share[j] if x != row[j] else zero
            total += g if x > row[j] else -g
    elif kind == LARGEST:
        for j in range(row.size):
            t = x - row[j]
            g = share[j] if (abs(t) == far[j]) & (t != 0) else zero
            total += g if t > 0 else -g
    else:
        for j in range(row.size):
            t = (x - row[j]) / far[j]
            size = abs(t) ** share.dtype.type(p - 1) if t != 0 else abs(t)
            total += share[j] * (size if t > 0 else -size)
    return total
