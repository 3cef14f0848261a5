"""Images and volumes read at any places, see kernels/reference/sampling.py.

For a block of positions a table is made: the neighbours of each position, and their weights. Every
channel is read by it. Tasks take blocks of positions; where gradients are added up in an image,
they take channels, so that nobody else writes there.
"""

import math

import numpy as np

from ...reference.sampling import FIRST, WEIGHTS
from ..machine.apart import gather
from ..machine.compile import jit
from ..machine.kernel import kernel
from ..machine.memory import empty
from ..machine.simd import (
    body,
    fma,
    full,
    inside,
    lanes,
    load,
    load_some,
    store,
    store_some,
)
from ..machine.threads import pool, run, share, tasks_for

ZEROS, BORDER, REFLECTION = range(3)
READ, TO_X, TO_GRID = range(3)  # what is done by a table
PADDINGS = {"zeros": ZEROS, "border": BORDER, "reflection": REFLECTION}
ENTRIES = 2048  # of the table of a block
CHANNELS = 8  # of an image, at most, to which a task adds up gradients
TASK = 1 << 13  # elements read that are worth a thread
SMALL = 1 << 10  # elements read, below which the reference is quick enough
LONG = 1 << 31  # elements of an image, whose places are int32


@kernel("x grid", half=True)
def grid_sample(x, grid, mode, padding, corners):
    """y (N, C, *outputs)."""
    y = empty((*x.shape[:2], *grid.shape[1:-1]), x.dtype)
    if not _is_ours(x, y, mode):
        return NotImplemented
    arguments = _arguments(x, grid, mode, padding, corners)
    _run(pool(), READ, *arguments, _flat(x), _flat(y), arguments[2])
    return y


@kernel("g x grid", half=True)
def grid_sample_backward(g, x, grid, mode, padding, corners, needs):
    """(dx, dgrid), None for what is not needed."""
    if not _is_ours(x, g, mode):
        return NotImplemented
    arguments, dx, dgrid = _arguments(x, grid, mode, padding, corners), None, None
    if needs[0]:
        dx = empty(x.shape, x.dtype)
        _run(pool(), TO_X, *arguments, _flat(dx), _flat(g), arguments[2])
    if needs[1]:
        dgrid = empty(grid.shape, grid.dtype)
        into = dgrid.reshape(arguments[2].shape)
        _run(pool(), TO_GRID, *arguments, _flat(x), _flat(g), into)
    return dx, dgrid


def _is_ours(x, y, mode):
    reads = y.size * len(WEIGHTS[mode]) ** (x.ndim - 2)
    return reads > SMALL and math.prod(x.shape[2:]) < LONG


def _flat(x):
    return x.reshape(*x.shape[:2], -1)


def _arguments(x, grid, mode, padding, corners):
    """What all loops take first: the mode, the lengths of x, and the grid (N, positions, axes)."""
    how = WEIGHTS[mode], FIRST[mode], mode == "nearest", PADDINGS[padding], corners
    return how, np.array(x.shape[2:]), grid.reshape(grid.shape[0], -1, grid.shape[-1])


# The table of a block: the neighbours along each axis, then the corners that they make


@inside
def _block(how, lengths):
    """How many positions share a table."""
    return ENTRIES // len(how[0]) ** lengths.size


@inside
def _room_along(how, lengths, like):
    """(places, weights, slopes) of the neighbours along each axis."""
    shape = lengths.size, len(how[0]), _block(how, lengths)
    return np.empty(shape, np.int32), np.empty(shape, like.dtype), np.empty(shape, like.dtype)


@inside
def _room_of_corners(how, lengths, like):
    """(places, weights) of the corners."""
    shape = len(how[0]) ** lengths.size, _block(how, lengths)
    return np.empty(shape, np.int32), np.empty(shape, like.dtype)


@body
def _find(how, lengths, grid, along, sloped):
    """The neighbours of positions (positions, axes) along each axis, slopes only if `sloped`."""
    coefficients, first, nearest, padding, corners = how
    places, weights, slopes = along
    cubic, count = len(coefficients) == 4, len(grid)
    at, speed = np.empty(count), np.empty(count if sloped else 0)
    base, t = np.empty(count, np.int32), np.empty(count, weights.dtype)
    for axis in range(lengths.size):
        n, period = lengths[axis], 0
        _move(grid[:, lengths.size - 1 - axis], n, corners, at, speed)
        if padding == REFLECTION:
            if cubic:
                period = 2 * (n - corners)
            else:
                _reflect(at, speed, n, corners)
        if padding != REFLECTION or not cubic:
            beyond = padding == ZEROS or cubic
            low, high = (-2.0 - cubic, n + 1.0 * cubic) if beyond else (0.0, n - 1.0)
            _limit(at, speed, low, high)
        _split(at, nearest, period, base, t)
        for j in range(len(coefficients)):
            _weigh(t, speed, coefficients[j], weights[axis, j], slopes[axis, j])
            _place(base, first + j, n, period, corners, padding == ZEROS, places[axis, j])


@inside
def _move(grid, n, corners, at, speed):
    """Where positions of a grid lie in an axis of length n, and how fast they move with it."""
    scale, shift = ((n - 1) / 2, 0.0) if corners else (n / 2, 0.5)
    for p in range(at.size):
        at[p] = (np.float64(grid[p]) + 1) * scale - shift
    speed[:] = scale


@inside
def _reflect(at, speed, n, corners):
    """Turn positions back at both ends as often as needed, and the slopes if there are any."""
    low, high = (0.0, n - 1.0) if corners else (-0.5, n - 0.5)
    span = max(high - low, 1.0)
    for p in range(at.size):
        from_low = at[p] - low
        distance = abs(from_low)
        turns = np.floor(distance / span)
        rest, turned = distance - turns * span, turns != 2 * np.floor(turns / 2)
        at[p] = (span - rest if turned else rest) + low
        if speed.size:
            sign = -1.0 if turned else 1.0
            sign = -sign if from_low < 0 else sign
            speed[p] *= 0.0 if (from_low == 0) | (high == low) else sign


@inside
def _limit(at, speed, low, high):
    """Limit positions to a range, beyond which they do not move; NaN remains."""
    for p in range(speed.size):
        speed[p] = 0.0 if (at[p] < low) | (at[p] > high) else speed[p]
    for p in range(at.size):
        at[p] = low if at[p] < low else (high if at[p] > high else at[p])


@inside
def _split(at, nearest, period, base, t):
    """Positions as the element below, or the closest one, and the distance from it.

    NaN lies at element 0. With a period elements are counted from 0 to it, without one the
    positions are near enough to be integers.
    """
    for p in range(at.size):
        below = np.rint(at[p]) if nearest else np.floor(at[p])
        t[p] = at[p] - below
        if period:
            below -= np.floor(below / period) * period
        base[p] = np.int32(below if below == below else 0.0)


@inside
def _weigh(t, speed, coefficients, weight, slope):
    """The weight of a neighbour, and its slope where positions move."""
    c0, c1, c2, c3 = coefficients[0], coefficients[1], coefficients[2], coefficients[3]
    one = weight.dtype.type
    a, b, c, d = one(c0), one(c1), one(c2), one(c3)
    for p in range(t.size):
        weight[p] = a + (b + (c + d * t[p]) * t[p]) * t[p]
    for p in range(speed.size):
        slope[p] = (c1 + (2 * c2 + 3 * c3 * t[p]) * t[p]) * speed[p]


@inside
def _place(base, step, n, period, corners, zeros, place):
    """The places of a neighbour: -1 outside of `zeros`, else the closest one, or a mirrored one."""
    step, last, turn = np.int32(step), np.int32(n - 1), np.int32(period)
    end = np.int32(2 * last + 1 - corners)
    for p in range(base.size):
        near = np.int32(base[p] + step)
        if period:
            near = np.int32(near + turn) if near < 0 else near
            near = np.int32(near - turn) if near >= turn else near
            near = np.int32(end - near) if near > last else near
        inner = np.int32(0) if near < 0 else (last if near > last else near)
        place[p] = np.int32(-1) if zeros & (inner != near) else inner


@body
def _combine(lengths, along, count, corners, turned):
    """The places and weights of the corners; `turned`: the axis whose slope replaces its weight."""
    places, weights, slopes = along
    indices, products = corners
    axes, taps = places.shape[:2]
    for k in range(len(indices)):
        rest, width = k, 1
        for axis in range(axes - 1, -1, -1):
            j = rest % taps
            place = places[axis, j, :count]
            weight = slopes[axis, j, :count] if axis == turned else weights[axis, j, :count]
            if axis == axes - 1:
                _begin(place, weight, indices[k], products[k])
            else:
                _multiply(place, weight, np.int32(width), indices[k], products[k])
            rest //= taps
            width *= lengths[axis]
        indices[k, count:] = -1  # vectors of positions may end later


@inside
def _begin(place, weight, index, product):
    for p in range(place.size):
        index[p] = place[p]
        product[p] = weight[p]


@inside
def _multiply(place, weight, width, index, product):
    for p in range(place.size):
        inner = np.int32(index[p] + np.int32(width * place[p]))
        index[p] = np.int32(-1) if np.int32(index[p] | place[p]) < 0 else inner
        product[p] *= weight[p]


# Reading and adding up by a table


@inside
def _read(row, places, weights, y):
    """y = the weighted sums of elements of a row."""
    size, single = lanes(y), len(places) == 1
    for p in range(0, y.size, size):
        total = full(y, y.dtype.type(0))
        if single:
            total = gather(row, places[0], p) * load(weights[0], p)
        else:
            for k in range(0, len(places), 2):
                total = fma(gather(row, places[k], p), load(weights[k], p), total)
                total = fma(gather(row, places[k + 1], p), load(weights[k + 1], p), total)
        store_some(y, p, total, 0, y.size - p)


@jit
def _run(pool, what, how, lengths, grid, x, y, dgrid):
    tasks = tasks_for(pool, y.size * len(how[0]) ** lengths.size, TASK)
    groups, pieces = _pieces(what, how, lengths, x, y)
    tasks = min(tasks, len(x) * groups * pieces)
    run(pool, _part, (what, how, lengths, grid, x, y, dgrid), max(tasks, 1))


@inside
def _pieces(what, how, lengths, x, y):
    """(into how many groups of channels an image is divided, into how many of positions)."""
    if what == TO_X:
        return (x.shape[1] + CHANNELS - 1) // CHANNELS, 1
    block = _block(how, lengths)
    return 1, (y.shape[2] + block - 1) // block


@body
def _part(task, tasks, what, how, lengths, grid, x, y, dgrid):
    along, corners = _room_along(how, lengths, y), _room_of_corners(how, lengths, y)
    groups, pieces = _pieces(what, how, lengths, x, y)
    block, channels, positions = _block(how, lengths), x.shape[1], y.shape[2]
    sums = np.empty((min(CHANNELS, channels), x.shape[2] + 1 if what == TO_X else 0))
    products = np.empty((len(corners[0]), block), y.dtype)
    for unit in range(*share(task, tasks, len(x) * groups * pieces)):
        n, group, piece = unit // (groups * pieces), unit // pieces % groups, unit % pieces
        first, end = share(group, groups, channels)
        begin, stop = (0, positions) if what == TO_X else (piece * block, (piece + 1) * block)
        sums[:] = 0
        for lo in range(begin, min(stop, positions), block):
            hi = min(lo + block, positions)
            _find(how, lengths, grid[n, lo:hi], along, what == TO_GRID)
            _combine(lengths, along, hi - lo, corners, -1)
            products[:] = 0
            for c in range(first, end):
                values = y[n, c, lo:hi]
                if what == READ:
                    _read(x[n, c], corners[0], corners[1], values)
                elif what == TO_X:
                    _add(sums[c - first], corners[0], corners[1], values)
                else:
                    _sum_products(x[n, c], corners[0], values, products)
            if what == TO_GRID:
                _slope(lengths, along, corners, products, dgrid[n, lo:hi])
        if what == TO_X:
            for c in range(first, end):
                total, out = sums[c - first], x[n, c]
                for i in range(out.size):
                    out[i] = total[i]


@inside
def _slope(lengths, along, corners, products, dgrid):
    """The gradient of a block of the grid.

    A corner contributes its weight times the sum over channels of g x. A slope takes the place of
    the weight for the gradient.
    """
    count, axes = dgrid.shape
    for axis in range(axes):
        _combine(lengths, along, count, corners, axis)
        for p in range(count):
            total = 0.0
            for k in range(len(products)):
                total += products[k, p] * corners[1][k, p]
            dgrid[p, axes - 1 - axis] = total


@inside
def _add(row, places, weights, g):
    """row[place] += weight g for all corners; what lies outside is added to the row's end."""
    end = np.int32(row.size - 1)
    for k in range(len(places)):
        place, weight = places[k], weights[k]
        for p in range(g.size):
            at = place[p] if place[p] >= 0 else end
            row[np.uint64(np.uint32(at))] += weight[p] * g[p]


@inside
def _sum_products(row, places, g, sums):
    """sums += g times the elements of a row at each corner."""
    size = lanes(g)
    for p in range(0, g.size, size):
        factor = load_some(g, p, 0, g.size - p)
        for k in range(len(places)):
            total = sums[k]
            store(total, p, fma(gather(row, places[k], p), factor, load(total, p)))
