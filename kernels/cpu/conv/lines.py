"""Copying lines of images with their padding, and adding them back."""

from ..machine.apart import every_second, zipped
from ..machine.simd import (
    full,
    inlined,
    lanes,
    load,
    load_some,
    store,
    store_some,
)


@inlined
def copy(x, i, y, j, n):
    """y[j : j + n] = x[i : i + n], reading whole vectors."""
    size = lanes(x)
    for k in range(0, n - size + 1, size):
        store(y, j + k, load(x, i + k))
    if n % size:
        k = n - n % size
        store_some(y, j + k, load(x, i + k), 0, n - k)


@inlined
def copy_line(x, start, step, left, width, y, at, n):
    """y[at + q] = x[start + left + q * step] for q < n, or 0 where that is not in the line.

    The line is the `width` elements from `start` on. Whole vectors are written.
    """
    size = lanes(x)
    for q in range(0, n, size):
        first = left + q * step
        if step == 1:
            store(y, at + q, load_some(x, start + first, -first, width - first))
        elif step == 2:
            a = load_some(x, start + first, -first, width - first)
            first += size
            b = load_some(x, start + first, -first, width - first)
            store(y, at + q, every_second(a, b))
        else:
            for k in range(q, min(q + size, n)):
                place = left + k * step
                y[at + k] = x[start + place] if 0 <= place < width else x.dtype.type(0)


@inlined
def add_line(y, at, n, x, start, step, left, width):
    """x[start + left + q * step] += y[at + q] for q < n, within the line of `width` elements."""
    size = lanes(x)
    for q in range(0, n, size):
        first = left + q * step
        last = min(width, left + (n - 1) * step + 1) - first
        if step == 1:
            value = load(y, at + q) + load_some(x, start + first, -first, last)
            store_some(x, start + first, value, -first, last)
        elif step == 2:
            for value in zipped(load(y, at + q), full(y, y.dtype.type(0))):
                value = value + load_some(x, start + first, -first, last)
                store_some(x, start + first, value, -first, last)
                first, last = first + size, last - size
        else:
            for k in range(q, min(q + size, n)):
                place = left + k * step
                if 0 <= place < width:
                    x[start + place] += y[at + k]
