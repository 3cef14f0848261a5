"""Rows of scans and of sorting along an axis, and of writing at places.

PyTorch has no linear recurrence: there it is a loop over steps.
"""

import math
from functools import partial

import numpy as np

from bench.kernel_rows.row import FLOAT, Row, by_autograd, by_x, normal
from bench.limits import Work


def rows():
    yield from _linear_scan((8, 512, 512))
    yield from _running_extreme((512, 4096))
    yield from _sorted((512, 4096))
    for shape, k in (((512, 4096), 8), ((512, 4096), 1024), ((8, 50257), 40)):
        yield _largest(shape, k)
    yield from _lines((512, 4096))
    yield from _written_lines((512, 4096))
    yield from _gradients_of_lines((512, 4096))


def _linear_scan(shape):
    """A state-space layer's scan: batch, time, channels."""
    n, steps, m = shape

    def arrays(rng):
        g, b, initial = normal(shape, shape, (n, m))(rng)
        return g, rng.uniform(0.5, 1, shape).astype(np.float32), b, initial

    def torch_scan(torch, a, b, initial):
        states = []
        for at, bt in zip(a.unbind(1), b.unbind(1), strict=True):
            initial = torch.addcmul(bt, at, initial)
            states.append(initial)
        return torch.stack(states, 1)

    def backward(k, g, a, b, initial):
        h = k.linear_scan(a, b, initial, False)
        return partial(k.linear_scan_backward, g, a, h, initial, False)

    def torch_backward(torch, g, a, b, initial):
        return by_autograd(torch, partial(torch_scan, torch), (a, b, initial), g, 3)

    size, state = FLOAT * n * steps * m, FLOAT * n * m
    yield Row(
        f"linear_scan {by_x(shape)}",
        arrays,
        lambda k, g, *inputs: partial(k.linear_scan, *inputs, False),
        lambda torch, g, *inputs: partial(torch_scan, torch, *inputs),
        Work(read=2 * size + state, written=size),
    )
    yield Row(
        f"linear_scan_backward {by_x(shape)}",
        arrays,
        backward,
        torch_backward,
        Work(read=3 * size + state, written=2 * size + state),
    )


def _running_extreme(shape):
    """The places of the maximum so far along the last axis."""
    size = math.prod(shape)
    yield Row(
        f"running_extreme {by_x(shape)}",
        normal(shape),
        lambda k, x: partial(k.running_extreme, x[..., None], True),
        lambda torch, x: lambda: torch.cummax(x, 1)[1][..., None],
        Work(read=FLOAT * size, written=8 * size),  # int64
    )


def _sorted(shape):
    """Rows in rising order, and what stands in their middle."""

    def median_of(x):
        return x.median(1)[0]

    size = FLOAT * math.prod(shape)
    yield Row(
        f"sort {by_x(shape)}",
        normal(shape),
        lambda k, x: partial(k.sort, x),
        lambda torch, x: lambda: torch.sort(x)[0],
        Work(read=size, written=size),
    )
    yield Row(
        f"median {by_x(shape)}",
        normal((shape[0], shape[1] - 1)),  # an odd number, where PyTorch's median is the same
        lambda k, x: partial(k.median, x, 1),
        lambda torch, x: lambda: torch.median(x, 1)[0],
        Work(read=size, written=FLOAT * shape[0]),
    )
    yield Row(
        f"median_backward {by_x(shape)}",  # and the median, with which PyTorch finds the places
        normal((shape[0], shape[1] - 1), (shape[0],)),
        _median_and_gradient,
        lambda torch, x, g: lambda: by_autograd(torch, median_of, [x], g, 1)(),
        Work(read=size, written=size),
    )
    yield Row(
        f"argsort {by_x(shape)}",
        normal(shape),
        lambda k, x: partial(k.argsort, x),
        lambda torch, x: lambda: torch.argsort(x, stable=True),
        Work(read=size, written=2 * size),
    )


def _median_and_gradient(k, x, g):
    if hasattr(k, "vjp"):
        return lambda: k.vjp(partial(k.median, axis=1), x)[1](g)
    return lambda: (x == np.median(x, 1, keepdims=True)) * g[:, None]


def _largest(shape, k):
    """The places of the largest elements of each row."""
    return Row(
        f"top_places {k} of {by_x(shape)}",
        normal(shape),
        lambda k_, x: partial(k_.top_places, x, k),
        lambda torch, x: lambda: torch.topk(x, k)[1],
        Work(read=FLOAT * math.prod(shape), written=8 * shape[0] * k),
    )


def _lines(shape):
    """Rows of which each element names a place in the same row: read, added, written, combined."""
    n, m = shape

    def arrays(rng):
        return *normal(shape, shape)(rng), rng.integers(0, m, shape)

    def zeros_and(torch, index, g):
        return torch.zeros_like(g).scatter_add_(1, index, g)

    def row(name, ours, theirs, read):
        return Row(
            f"{name} {by_x(shape)}",
            arrays,
            lambda k, x, g, index: partial(ours, k, *(a[..., None] for a in (x, g, index))),
            lambda torch, x, g, index: partial(theirs, torch, x, g, index),
            Work(read=(read * FLOAT + 8) * n * m, written=FLOAT * n * m),
        )

    yield row(
        "gather_lines",
        lambda k, x, g, index: k.gather_lines(x, index)[..., 0],
        lambda torch, x, g, index: torch.gather(x, 1, index),
        read=1,
    )
    yield row(
        "spread_lines",
        lambda k, x, g, index: k.spread_lines(g, index, m)[..., 0],
        lambda torch, x, g, index: zeros_and(torch, index, g),
        read=1,
    )
    for reduce in ("sum", "prod", "amax"):
        yield row(
            f"scatter_lines {reduce}",
            lambda k, x, g, index, reduce=reduce: k.scatter_lines(x, index, g, reduce)[..., 0],
            lambda torch, x, g, index, reduce=reduce: x.scatter_reduce(1, index, g, reduce),
            read=2,
        )


def _written_lines(shape):
    """Elements written to places of their own in each row."""

    def arrays(rng):
        x, updates = normal(shape, shape)(rng)
        return x, updates, rng.permuted(np.tile(np.arange(shape[1]), (shape[0], 1)), axis=1)

    yield Row(
        f"scatter_lines assigned {by_x(shape)}",
        arrays,
        lambda k, x, updates, index: (
            lambda: k.scatter_lines(x[..., None], index[..., None], updates[..., None], None)[
                ..., 0
            ]
        ),
        lambda torch, x, updates, index: lambda: x.scatter(1, index, updates),
        Work(read=(2 * FLOAT + 8) * math.prod(shape), written=FLOAT * math.prod(shape)),
    )


def _gradients_of_lines(shape):
    """The gradients of what is written: one element for each place, or products and maxima."""
    places = np.tile(np.arange(shape[1]), (shape[0], 1))

    def arrays(rng, reduce):
        index = rng.integers(0, shape[1], shape) if reduce else rng.permuted(places, axis=1)
        return *normal(shape, shape, shape)(rng), index

    def ours(k, g, x, updates, index, reduce):
        g, x, updates, index = (a[..., None] for a in (g, x, updates, index))
        if reduce is None:
            step = partial(k.scatter_last_backward, g, index)
        elif reduce == "prod":
            step = partial(k.scatter_product_backward, g, x, updates, index)
        else:
            out = k.scatter_lines(x, index, updates, reduce)
            step = partial(k.scatter_extreme_backward, g, x, updates, index, out)
        return lambda: tuple(a[..., 0] for a in step())

    def theirs(torch, g, x, updates, index, reduce):
        def write(x, updates):
            if reduce is None:
                return x.scatter(1, index, updates)
            return x.scatter_reduce(1, index, updates, reduce)

        return by_autograd(torch, write, [x, updates], g, 2)

    kinds = {None: ("last", 2), "prod": ("product", 4), "amax": ("extreme", 5)}
    for reduce, (name, read) in kinds.items():
        yield Row(
            f"scatter_{name}_backward {by_x(shape)}",
            partial(arrays, reduce=reduce),
            partial(ours, reduce=reduce),
            partial(theirs, reduce=reduce),
            Work(read=(read * FLOAT + 8) * math.prod(shape), written=2 * FLOAT * math.prod(shape)),
        )
