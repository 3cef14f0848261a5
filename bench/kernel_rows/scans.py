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
    yield from _scatter_write(1 << 20)


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


def _scatter_write(size):
    """As many elements written into a copy: each to its own place, or the maximum of several."""

    def arrays(rng, reduce):
        x, updates = normal((size,), (size,))(rng)
        return x, rng.integers(0, size, size) if reduce else rng.permutation(size), updates

    def step(k, x, index, updates, reduce):
        y = x.copy()
        k.scatter_write_(y, index, updates, reduce)
        return y

    def torch_step(torch, x, index, updates, reduce):
        if reduce is None:
            return x.scatter(0, index, updates)
        return x.scatter_reduce(0, index, updates, reduce)

    for reduce in (None, "amax"):
        yield Row(
            f"scatter_write {size} {reduce or 'assigned'}",
            partial(arrays, reduce=reduce),
            lambda k, *given, reduce=reduce: partial(step, k, *given, reduce),
            lambda torch, *given, reduce=reduce: partial(torch_step, torch, *given, reduce),
            Work(read=(2 * FLOAT + 8) * size, written=FLOAT * size),
        )
