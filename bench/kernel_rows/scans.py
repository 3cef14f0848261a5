"""Rows of scans along an axis. PyTorch has no linear recurrence: there it is a loop over steps."""

from functools import partial

import numpy as np

from bench.kernel_rows.row import FLOAT, Row, by_autograd, by_x, normal
from bench.limits import Work


def rows():
    yield from _linear_scan((8, 512, 512))


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
