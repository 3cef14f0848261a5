"""Rows for ops/scan.py: one line a row, see case.py."""

from case import Case, N, U, torch

import tinygrad_like as tg
from tinygrad_like.ops.scan import _linear_scan_gradients


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

CASES = LINEAR
