"""Rows for ops/reductions/reduce.py and ops/neural/softmax.py: one line a row, see case.py."""

import math

from case import Apart, Bools, Case, F, Ints, N, P, Values, torch

import tinygrad_like as tg
from tinygrad_like.ops.neural.softmax import (
    log_softmax_backward,
    softmax_backward,
    softmax_cross_entropy,
)
from tinygrad_like.ops.reductions.reduce import (
    _along_deviation,
    _along_direction,
    _deviation,
    direction_of,
)

# (shape, attributes): every kind of axis, and sizes of 1.
REDUCTIONS = [
    ((2, 3), {}),
    ((2, 3), {"axis": 0}),
    ((2, 3), {"axis": -1, "keepdims": True}),
    ((2, 3, 2), {"axis": (0, 2)}),
    ((2, 3, 2), {"axis": (-1, 0), "keepdims": True}),
    ((2, 3, 2), {"axis": 1}),
    ((2, 1), {"axis": 1}),
    ((2, 3), {"axis": ()}),
    ((2, 3), {"axis": None, "keepdims": True}),
    ((), {}),
    ((4,), {"axis": (0,)}),
]


def torch_axes(function):
    """A torch reduction with `axis` in all of NumPy's forms: None is all, () is none of them."""

    def reduce(x, axis=None, keepdims=False, **rest):
        axes = tuple(range(x.ndim)) if axis is None else axis
        return function(x, axes, keepdims, **rest) if axes != () else function(x[None], (0,), False)

    return reduce


def torch_prod(x, axes, keepdims):
    axes = axes if isinstance(axes, tuple) else (axes,)
    for a in sorted((a % x.ndim for a in axes), reverse=True):
        x = x.prod(a, keepdim=keepdims)
    return x


def reductions(function, maker, oracle, rows=REDUCTIONS, empty=False):
    """Rows of one reduction over all kinds of axes; `empty`: whether it has a value of nothing."""
    oracle = torch_axes(oracle)
    return [
        Case(
            function,
            maker(*shape),
            torch=lambda x, kw=attributes: oracle(x, **kw),
            empty=empty or attributes.get("axis") in (1, -1, ()),
            **attributes,
        )
        for shape, attributes in rows
    ]


WITH_ELEMENTS = [row for row in REDUCTIONS if row[0] not in ((), (2, 1)) and row[1] != {"axis": ()}]


def torch_norm(x, axes, keepdims):
    return torch.linalg.vector_norm(x, 2, axes, keepdim=keepdims)


def torch_var(x, axes, keepdims, ddof=0):
    return x.var(axes, correction=ddof, keepdim=keepdims)


REDUCE = [
    *reductions(tg.sum, N, lambda x, axes, keep: x.sum(axes, keepdim=keep), empty=True),
    *reductions(tg.mean, N, lambda x, axes, keep: x.mean(axes, keepdim=keep)),
    *reductions(tg.max, Apart, lambda x, axes, keep: x.amax(axes, keepdim=keep)),
    *reductions(tg.min, Apart, lambda x, axes, keep: x.amin(axes, keepdim=keep)),
    *reductions(tg.prod, N, torch_prod, empty=True),
    *reductions(tg.var, N, torch_var, WITH_ELEMENTS),
    *reductions(tg.std, N, lambda x, axes, keep: torch_var(x, axes, keep).sqrt(), WITH_ELEMENTS),
    *reductions(tg.norm, N, torch_norm, empty=True),
    Case(tg.var, N(2, 3), torch=lambda x: x.var(1, correction=1), axis=1, ddof=1),
    Case(tg.std, N(2, 3), torch=lambda x: x.std(0, correction=1), axis=0, ddof=1, empty=False),
    *(
        Case(tg.norm, Apart(2, 3), torch=lambda x, p=p: torch.linalg.vector_norm(x, p, 1), **kw)
        for p in (1, 2, math.inf)
        for kw in [{"ord": p, "axis": 1}]
    ),
    Case(tg.norm, Apart(2, 3), torch=lambda x: x.abs().sum(), ord=1),
    Case(tg.norm, Apart(2, 3), torch=lambda x: torch.linalg.vector_norm(x, 3, 1), ord=3, axis=1),
    *(
        Case(tg.prod, Values(x), torch=lambda x: x.prod(1), axis=1)
        for x in ([[0.0, 2.0, 3.0]], [[0.0, 2.0, 0.0], [1.0, 2.0, 3.0]], [[0.0, 0.0, 0.0]])
    ),
    Case(tg.prod, Values([0.0, 2.0, -3.0, 0.5]), empty=False),
    Case(tg.prod, Values([[0.0, 2.0, 3.0], [0.0, 0.0, 1.0]]), torch=lambda x: x * 1, axis=()),
    Case(
        tg.prod, Values([[[0.0, 2.0], [3.0, 4.0]]]), torch=lambda x: x.prod(2).prod(0), axis=(0, 2)
    ),
    Case(tg.cumsum, N(2, 3), axis=0, empty=False),
    Case(tg.cumsum, N(2, 3), axis=-1),
    Case(tg.cumsum, N(2, 3, 2), axis=1),
    Case(tg.cumsum, N(2, 3), torch=lambda x: x.flatten().cumsum(0)),
    Case(lambda x: x.mean(), N(2, 3), torch=lambda x: x.mean(), name="x.mean()", empty=False),
]

WITHOUT_GRADIENT = [
    *(
        Case(f, Apart(2, 3, 2), numpy=f.__name__, grad=False, empty=empty, **kw)
        for f in (tg.argmax, tg.argmin)
        for kw, empty in (
            ({}, False),
            ({"axis": 1}, True),
            ({"axis": -1, "keepdims": True}, True),
        )
    ),
    *(
        Case(f, Bools(2, 3), numpy=f.__name__, grad=False, **kw)
        for f in (tg.any, tg.all)
        for kw in ({}, {"axis": 0}, {"axis": (0, 1), "keepdims": True})
    ),
    *(
        Case(f, Values([[0.0, 1.5], [2.0, 3.0]]), numpy=f.__name__, grad=False, axis=1)
        for f in (tg.any, tg.all)
    ),
]


# (shape, axis) for ops along one axis.
ONE_AXIS = [((2, 4), -1), ((4,), 0), ((2, 3, 2), 1), ((2, 3, 2), -3), ((3, 1), 1)]
LARGE = [[700.0, 710.0, 690.0], [-900.0, -901.0, -899.0]]

DIRECTIONS = [
    Case(direction_of, N(2, 3), P(2, 1), torch=lambda x, norm: x / norm),
    Case(_deviation, N(3, 4), torch=lambda x: x - x.mean(1, keepdim=True), empty=False, axis=1),
    Case(_deviation, N(3, 4), torch=lambda x: x - x.mean(), empty=False, axis=None),
    Case(
        _along_deviation,
        *(N(3, 1), N(3, 4)),
        torch=lambda g, x: 0.3 * g * (x - x.mean(1, keepdim=True)),
        empty=False,
        axis=1,
        factor=0.3,
    ),
    Case(
        _along_direction,
        *(N(1, 4), N(3, 4), P(1, 4)),
        torch=lambda g, x, root: 0.3 * g * (x - x.mean(0)) / root,
        empty=False,
        axis=0,
        factor=0.3,
    ),
    Case(direction_of, N(3, 2), P(1, 2), torch=lambda x, norm: x / norm, empty=False),
]

SOFTMAX = [
    *(Case(tg.softmax, N(*s), empty=a not in (0, -3), axis=a) for s, a in ONE_AXIS),
    *(Case(tg.log_softmax, N(*s), empty=a not in (0, -3), axis=a) for s, a in ONE_AXIS),
    Case(tg.softmax, Values(LARGE), axis=1),
    Case(tg.log_softmax, Values(LARGE), axis=1),
    *(
        Case(
            softmax_backward,
            N(*shape),
            P(*shape),
            torch=lambda dy, y, a=axis: y * (dy - (dy * y).sum(a, keepdim=True)),
            empty=axis not in (0, -3),
            axis=axis,
        )
        for shape, axis in ONE_AXIS
    ),
    *(
        Case(
            log_softmax_backward,
            N(*shape),
            N(*shape),
            torch=lambda dy, y, a=axis: dy - y.exp() * dy.sum(a, keepdim=True),
            empty=axis not in (0, -3),
            axis=axis,
        )
        for shape, axis in ONE_AXIS
    ),
    *(Case(tg.logsumexp, N(*s), empty=a not in (0, -3), axis=a) for s, a in ONE_AXIS),
    Case(tg.logsumexp, N(2, 3, 2), axis=1, keepdims=True),
    Case(tg.logsumexp, N(2, 3, 2), axis=(0, 2), empty=False),
    Case(tg.logsumexp, Values(LARGE), axis=1),
    Case(tg.logsumexp, N(2, 3), torch=lambda x: x.flatten().logsumexp(0), empty=False),
    Case(
        tg.logsumexp,
        N(2, 3),
        torch=lambda x: x.flatten().logsumexp(0)[None, None],
        empty=False,
        keepdims=True,
    ),
    *(
        Case(
            softmax_cross_entropy,
            N(n, classes),
            Ints(classes, n),
            torch=lambda x, labels: F.cross_entropy(x, labels, reduction="none"),
        )
        for n, classes in ((3, 4), (2, 1), (1, 3))
    ),
]

CASES = REDUCE + WITHOUT_GRADIENT + DIRECTIONS + SOFTMAX
