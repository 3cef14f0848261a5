"""Sums along a row, in runs: of a run in the precision of the elements, of all runs in float64."""

from ..machine.simd import inside

RUN = 512  # elements of a run


@inside
def sum_of_row(x):
    total = 0.0
    for start in range(0, x.size, RUN):
        a, part = x[start : start + RUN], x.dtype.type(0)
        for i in range(a.size):
            part += a[i]
        total += part
    return total


@inside
def sum_of_products(x, y):
    total = 0.0
    for start in range(0, x.size, RUN):
        a, b, part = x[start : start + RUN], y[start : start + RUN], x.dtype.type(0)
        for i in range(a.size):
            part += a[i] * b[i]
        total += part
    return total
