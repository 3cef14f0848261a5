"""Rows for ops/reductions/scan.py: one line a row, see case.py."""

import numpy as np
from case import Apart, Case, Ints, N, U, Values, torch

import tinygrad_like as tg
from tinygrad_like.ops.reductions.scan import _linear_scan_gradients


def torch_scan(axis, reverse=False):
    """The recurrence in a loop over steps, with the state along `axis` last of the inputs, or 0."""

    def scan(a, b, initial=None):
        a, b = torch.broadcast_tensors(a, b)
        steps = [*zip(a.unbind(axis), b.unbind(axis), strict=True)]
        h, states = torch.zeros_like(steps[0][1]) if initial is None else initial, []
        for at, bt in reversed(steps) if reverse else steps:
            h = at * h + bt
            states.append(h)
        return torch.stack(states[::-1] if reverse else states, axis)

    return scan


def torch_scan_gradients(axis, reverse):
    def gradients(g, a, h, initial):
        past = [*h.split(1, axis)]
        past = [*past[1:], initial] if reverse else [initial, *past[:-1]]
        steps = [*zip(g.split(1, axis), a.split(1, axis), past, strict=True)]
        u, das, dbs = torch.zeros_like(initial), [], []
        for gt, at, before in steps if reverse else reversed(steps):
            dbs.append(gt + u)
            das.append(dbs[-1] * before)
            u = at * dbs[-1]
        order = slice(None, None, 1 if reverse else -1)
        return torch.cat(das[order], axis), torch.cat(dbs[order], axis), u

    return gradients


def from_start(a, b, initial, **attributes):
    return tg.linear_scan(a, b, initial=initial, **attributes)


def scan_of_pairs(a, b):
    """The linear recurrence as the composition of functions x -> a x + b."""

    def after(first, second):
        return first[0] * second[0], second[0] * first[1] + second[1]

    return tg.associative_scan(after, (a, b))[1]


LINEAR = [
    Case(tg.linear_scan, U(2, 4), N(2, 4), torch=torch_scan(-1)),
    Case(tg.linear_scan, U(3), N(2, 4, 3), torch=torch_scan(1, True), axis=1, reverse=True),
    Case(from_start, U(2, 3, 2), N(2, 3, 2), N(2, 2), torch=torch_scan(1), name="linear_scan()",
         axis=1),
    Case(from_start, U(4, 2), N(4, 1), N(), torch=torch_scan(0, True), name="linear_scan()",
         empty=False, axis=0, reverse=True),
    *(
        Case(_linear_scan_gradients, N(2, 3, 2), U(2, 3, 2), N(2, 3, 2), N(2, 1, 2), axis=1,
             reverse=reverse, torch=torch_scan_gradients(1, reverse))
        for reverse in (False, True)
    ),
]  # fmt: skip

OTHERS = [
    Case(lambda x: tg.associative_scan(tg.add, x), N(2, 5), torch=lambda x: x.cumsum(1),
         name="associative_scan()"),
    Case(lambda x: tg.associative_scan(tg.multiply, x, 0, reverse=True), N(4, 2), empty=False,
         torch=lambda x: x.flip(0).cumprod(0).flip(0), name="associative_scan()"),
    Case(scan_of_pairs, U(2, 7), N(2, 7), torch=torch_scan(1), name="associative_scan()"),
    Case(tg.cumprod, Values([[2.0, 0.0, -1.5, 3.0], [0.0, 2.0, 0.0, 1.0]]), axis=1),
    *(
        Case(f, Values([[2.0, np.nan, -1.5], [0.5, 2.0, np.nan]]), numpy=f.__name__, axis=1)
        for f in (tg.nancumsum, tg.nancumprod)
    ),
    Case(tg.cumprod, N(2, 2), torch=lambda x: x.flatten().cumprod(0)),
    Case(tg.cumprod, Ints(5, 2, 3, low=1), numpy="cumprod", grad=False, axis=-1),
    *(
        Case(function, Apart(2, 3, 2), empty=axis != 0, axis=axis)
        for function in (tg.cummax, tg.cummin)
        for axis in (0, 1)
    ),
    Case(tg.cummax, Ints(3, 2, 5), grad=False, axis=-1),
    Case(tg.logcumsumexp, N(2, 4), axis=-1),
    Case(tg.logcumsumexp, N(3, 2), empty=False, axis=0),
]  # fmt: skip

CASES = LINEAR + OTHERS
