"""Depthwise convolution of a plane by a 3 x 3 filter at stride 1: see depthwise.py.

Each line of the padded plane is loaded three times, shifted by 0, 1 and 2, for four lines of the
output, and the filter stays in registers.
"""

from ..machine.simd import fma, inside, lanes, load, load_some, splat, store, store_some

ROWS = 4  # output lines at a time


def suits(s):
    """Whether a Geometry has such filters, at stride and dilation 1."""
    return s.kh == s.kw == 3 and s.sh == s.sw == s.dh == s.dw == 1


@inside
def multiply(padded, at, line, w, first, step, start, y, target, rows, width):
    """Fill the plane of y that begins at `target`: start + the filter times the padded plane.

    The filter is w[first], w[first + step] and so on, and its first element meets the padded plane
    at `at`. Up to three lines beyond the padded plane are read, too.
    """
    left = _filter_column(w, first, step)
    middle = _filter_column(w, first + step, step)
    right = _filter_column(w, first + 2 * step, step)
    for p in range(0, rows, ROWS):
        for q in range(0, width, lanes(y)):
            place = at + p * line + q
            sums = _plus_column(padded, place, line, left, (start, start, start, start))
            sums = _plus_column(padded, place + 1, line, middle, sums)
            sums = _plus_column(padded, place + 2, line, right, sums)
            store_lines(y, target + p * width + q, width, rows - p, sums, 0, width - q)


@inside
def _filter_column(w, first, step):
    return splat(w, first), splat(w, first + 3 * step), splat(w, first + 6 * step)


@inside
def _plus_column(x, at, line, column, sums):
    """The sums of four lines plus a column of the filter times the lines that it meets."""
    top, middle, bottom = column
    a, b, c, d = sums
    v0, v1, v2 = load(x, at), load(x, at + line), load(x, at + 2 * line)
    v3, v4, v5 = load(x, at + 3 * line), load(x, at + 4 * line), load(x, at + 5 * line)
    a = fma(bottom, v2, fma(middle, v1, fma(top, v0, a)))
    b = fma(bottom, v3, fma(middle, v2, fma(top, v1, b)))
    c = fma(bottom, v4, fma(middle, v3, fma(top, v2, c)))
    d = fma(bottom, v5, fma(middle, v4, fma(top, v3, d)))
    return a, b, c, d


@inside
def store_lines(y, at, distance, count, values, first, last):
    """Write lanes first to last - 1 of the first `count` of four vectors, `distance` apart."""
    a, b, c, d = values
    store_some(y, at, a, first, last)
    if count > 1:
        store_some(y, at + distance, b, first, last)
    if count > 2:
        store_some(y, at + 2 * distance, c, first, last)
    if count > 3:
        store_some(y, at + 3 * distance, d, first, last)


@inside
def correlate(g, start, width, padded, at, line, rows, columns, sums):
    """Add to the sums of nine weights, a vector each, a part of a plane of g times what each meets.

    Lines of g are `width` long. The part begins at `start` in g, and the first weight meets it at
    `at`. Elements beyond the part are not read: one may be NaN or infinite, and 0 times it NaN.
    """
    size = lanes(g)
    whole = rows - rows % ROWS
    for j in range(3):
        a, b, c = load(sums, j * size), load(sums, (3 + j) * size), load(sums, (6 + j) * size)
        for q in range(0, columns, size):
            n = min(size, columns - q)
            for p in range(0, whole, ROWS):
                here, met = start + p * width + q, at + p * line + q + j
                g0, g1 = load_some(g, here, 0, n), load_some(g, here + width, 0, n)
                g2, g3 = (
                    load_some(g, here + 2 * width, 0, n),
                    load_some(g, here + 3 * width, 0, n),
                )
                v0, v1 = load_some(padded, met, 0, n), load_some(padded, met + line, 0, n)
                v2, v3 = (
                    load_some(padded, met + 2 * line, 0, n),
                    load_some(padded, met + 3 * line, 0, n),
                )
                v4, v5 = (
                    load_some(padded, met + 4 * line, 0, n),
                    load_some(padded, met + 5 * line, 0, n),
                )
                a = fma(g3, v3, fma(g2, v2, fma(g1, v1, fma(g0, v0, a))))
                b = fma(g3, v4, fma(g2, v3, fma(g1, v2, fma(g0, v1, b))))
                c = fma(g3, v5, fma(g2, v4, fma(g1, v3, fma(g0, v2, c))))
            for p in range(whole, rows):
                here, met = start + p * width + q, at + p * line + q + j
                slope = load_some(g, here, 0, n)
                a = fma(slope, load_some(padded, met, 0, n), a)
                b = fma(slope, load_some(padded, met + line, 0, n), b)
                c = fma(slope, load_some(padded, met + 2 * line, 0, n), c)
        store(sums, j * size, a)
        store(sums, (3 + j) * size, b)
        store(sums, (6 + j) * size, c)
