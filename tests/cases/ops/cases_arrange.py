"""Rows for arrange.py, diagonal.py, scatter.py and patches.py: one line a row, see case.py."""

import numpy as np
from case import Apart, Bools, Case, F, Ints, N, Values, torch

import tinygrad_like as tg
from tinygrad_like.ops.indexing.lines import _gradients_of_last, spread_lines
from tinygrad_like.ops.reductions.scatter import _gradients_of_extreme, _product


def of_list(name, *shapes, numpy=None, **attributes):
    """A row of a function of a list of tensors."""
    function, oracle = getattr(tg, name), getattr(np, name)
    return Case(lambda *xs: function(list(xs), **attributes), *(N(*s) for s in shapes), name=name,
                numpy=lambda *xs: oracle(list(xs), **attributes), empty=False)  # fmt: skip


def of_args(name, *shapes, **attributes):
    """A row of a function of several tensors, whose oracle is NumPy's."""
    function, oracle = getattr(tg, name), getattr(np, name)
    return Case(lambda *xs: function(*xs, **attributes), *(N(*s) for s in shapes), empty=False,
                numpy=lambda *xs: oracle(*xs, **attributes), name=name)  # fmt: skip


ARRANGED = [
    of_list("vstack", (2, 3), (1, 3)),
    of_list("vstack", (3,), (3,)),
    of_list("hstack", (2, 3), (2, 1)),
    of_list("hstack", (2,), (3,)),
    of_list("dstack", (2, 3), (2, 3)),
    of_list("column_stack", (3,), (3, 2)),
    Case(lambda a, b: tg.block([[a, b], [b, a]]), N(2, 1), N(2, 2), name="block", empty=False,
         numpy=lambda a, b: np.block([[a, b], [b, a]])),
    of_args("append", (2, 2), (3,)),
    of_args("append", (2, 2), (1, 2), axis=0),
    of_args("broadcast_arrays", (2, 1), (3,)),
    of_args("meshgrid", (2,), (3,)),
    of_args("meshgrid", (2,), (3,), indexing="ij", sparse=True),
    *(of_args(f"atleast_{n}d", shape) for n, shape in ((1, ()), (2, (3,)), (3, (2, 2)))),
    *(
        Case(getattr(tg, name), N(4, 3, 5), numpy=name, empty=False, indices_or_sections=at)
        for name, at in (("array_split", 3), ("hsplit", 3), ("vsplit", [1, 3]), ("dsplit", [2]))
    ),
    Case(tg.chunk, N(2, 5), torch=lambda x: x.chunk(3, 1), chunks=3, axis=1),
    *(Case(tg.rot90, N(2, 3), numpy="rot90", empty=False, k=k) for k in (1, -1, 2)),
    Case(tg.unflatten, N(2, 6), torch=lambda x: x.unflatten(1, (2, 3)), axis=1, shape=(2, -1)),
    Case(tg.delete, N(2, 4), numpy="delete", empty=False, obj=[0, -1], axis=1),
    Case(lambda x, v: tg.insert(x, [1, 3], v, 1), N(2, 4), N(2, 2), name="insert", empty=False,
         numpy=lambda x, v: np.insert(x, [1, 3], v, 1)),
    Case(tg.insert, N(2, 2), numpy="insert", empty=False, obj=1, values=7.0),
    Case(tg.sliding_window_view, N(2, 5), torch=lambda x: x.unfold(1, 3, 2), window_shape=3, axis=1,
         step=2),
    Case(tg.unfold, N(2, 2, 4, 5), torch=lambda x: F.unfold(x, (2, 3), (1, 1), (1, 0), (2, 1)),
         kernel_size=(2, 3), stride=(2, 1), padding=(1, 0)),
    Case(tg.fold, N(2, 8, 4), torch=lambda x: F.fold(x, (3, 3), 2, 1, 0, 1), output_size=(3, 3),
         kernel_size=2),
    *(
        Case(tg.pad, N(1, 1, 3, 4), empty=False, pad_width=((0, 0), (0, 0), (-1, 2), (1, -2)),
             mode=mode, torch=lambda x, mode=mode: F.pad(x, (1, -2, -1, 2), mode))
        for mode in ("constant", "reflect", "circular")
    ),
    Case(tg.take, N(2, 4), numpy="take", indices=[-3, 6, 1], axis=1, mode="wrap"),
    Case(tg.take, N(2, 4), numpy="take", indices=[-3, 6, 1], axis=1, mode="clip"),
    Case(lambda a, b: tg.einsum(a, [0, 1], b, [1, 2], [0, 2]), N(2, 3), N(3, 4), name="einsum",
         torch=lambda a, b: a @ b, empty=False),
]  # fmt: skip

DIAGONALS = [
    Case(tg.diagonal, N(3, 4), empty=False, offset=1, torch=lambda x: x.diagonal(1)),
    Case(tg.diagonal, N(2, 3, 4), torch=lambda x: x.diagonal(-1, 1, 2), offset=-1, axis1=1,
         axis2=2),
    Case(tg.trace, N(3, 3), empty=False),
    Case(tg.diag_embed, N(2, 3), torch=lambda x: x.diag_embed(1), offset=1),
    Case(tg.diag, N(3), torch="diag", empty=False),
    Case(tg.diag, N(3, 2), torch=lambda x: x.diag(-1), empty=False, k=-1),
    Case(tg.diagflat, N(2, 2), torch="diagflat", empty=False),
    Case(tg.kron, N(2, 3), N(2,), empty=False),
    Case(tg.tensordot, N(2, 3, 2), N(3, 2, 4), torch=lambda a, b: torch.tensordot(a, b, 2),
         empty=False),
    Case(tg.tensordot, N(2, 3), N(4, 2), torch=lambda a, b: a.T @ b.T, axes=((0,), (1,)),
         empty=False),
    Case(tg.vdot, N(2, 2), N(2, 2), torch=lambda a, b: (a * b).sum()),
    Case(tg.inner, N(2, 3), N(4, 3), torch="inner", empty=False),
    Case(tg.cross, N(2, 3), N(3), torch=lambda a, b: torch.linalg.cross(a, b.expand_as(a))),
]  # fmt: skip


def torch_scatter(reduce, include_self):
    def scatter(x, indices, updates):
        return x.scatter_reduce(1, indices, updates, reduce, include_self=include_self)

    return scatter


PLACES = Values([[3, 0, 3], [1, 1, 3]])


def tied(g, at):
    """(x, updates, places, what is the maximum): each update is one, some at the same place."""
    zeros, ones = 0 * g, 0 * tg.take_along_axis(g, at, 1) + 1
    return zeros, ones, at, tg.scatter(zeros, at, ones, 1)


SCATTERED = [
    Case(tg.scatter, N(2, 4), Values([[3, 0, 2], [1, 2, 3]]), N(2, 3), axis=1, empty=False,
         torch=lambda x, i, u: x.scatter(1, i, u)),
    Case(tg.scatter, N(3, 2), Values([[1, -1]]), N(1, 2), empty=False,
         torch=lambda x, i, u: x.scatter(0, i % 3, u)),
    Case(tg.scatter, N(2, 4), PLACES, N(2, 3), axis=1, empty=False,  # the last one counts
         torch=lambda x, i, u: x.scatter(1, i[:, 1:], u[:, 1:])),
    *(
        Case(tg.scatter, Apart(2, 4), PLACES, Apart(2, 3, shift=0.06), axis=1, reduce=reduce,
             include_self=include_self, torch=torch_scatter(reduce, include_self), empty=False)
        for reduce, include_self in (
            *(("sum", True), ("sum", False), ("mean", True), ("mean", False), ("prod", True)),
            *(("prod", False), ("amax", True), ("amin", False)),
        )
    ),
    Case(_product, N(2, 4), N(2, 3), PLACES, axis=1, empty=False,
         torch=lambda x, u, i: x.scatter_reduce(1, i, u, "prod")),
    Case(spread_lines, N(2, 3), PLACES, axis=1, n=4, empty=False,
         torch=lambda g, i: torch.zeros(2, 4, dtype=g.dtype).scatter_add(1, i, g)),
    Case(lambda g, at: _gradients_of_last(g, at, axis=1)[1], N(2, 4), PLACES,
         name="gradients_of_last", empty=False,
         numpy=lambda g, at: np.array([[0, g[0, 0], g[0, 3]], [0, g[1, 1], g[1, 3]]])),
    Case(lambda g, at: _gradients_of_extreme(g, *tied(g, at), axis=1)[1], N(2, 4), PLACES,
         name="gradients_of_extreme", empty=False, numpy=lambda g, at: np.array(
             [[g[0, 3] / 2, g[0, 0], g[0, 3] / 2], [g[1, 1] / 2, g[1, 1] / 2, g[1, 3]]])),
    Case(tg.index_add, N(3, 2), Ints(3, 4), N(4, 2), empty=False,
         torch=lambda x, i, u: x.index_add(0, i, u)),
    Case(tg.index_reduce, N(2, 3), Values([2, 0, 2]), N(2, 3), axis=1, reduce="mean", empty=False,
         torch=lambda x, i, u: x.scatter_reduce(1, i.expand(len(x), -1), u, "mean")),
    Case(tg.index_reduce, Apart(3, 2), Values([1, 1]), Apart(2, 2, shift=0.06), reduce="amax",
         include_self=False, torch=lambda x, i, u: torch.stack([x[0], u.amax(0), x[2]]),
         empty=False),
    Case(tg.index_copy, N(2, 3), Values([2, 0]), N(2, 2), axis=1,
         torch=lambda x, i, u: x.index_copy(1, i, u), empty=False),
    Case(tg.index_fill, N(2, 3), torch=lambda x: x.index_fill(1, torch.tensor([2, 2]), 7.0),
         indices=[2, 2], value=7.0, axis=1),
    Case(tg.masked_scatter, N(2, 3), Bools(2, 3), N(7), torch="masked_scatter", empty=False),
    Case(tg.masked_scatter, N(3), Bools(2, 1), N(7), torch="masked_scatter", empty=False),
    Case(tg.gather_nd, N(3, 2, 4), Values([[0, 1], [2, -1], [0, 1]]),
         torch=lambda x, i: x[i[:, 0], i[:, 1]], empty=False),
    Case(lambda x, y: tg.select([x > 0.5, x > 0], [x, x * y], y), Apart(2, 3), N(2, 3),
         torch=lambda x, y: torch.where(x > 0.5, x, torch.where(x > 0, x * y, y)), name="select"),
    Case(lambda x: tg.piecewise(x, [x < 0, x > 0.2], [tg.square, tg.exp, 2.0]), Apart(2, 4),
         name="piecewise", empty=False,
         torch=lambda x: torch.where(x < 0, x**2, torch.where(x > 0.2, x.exp(), 2.0))),
]  # fmt: skip

CASES = ARRANGED + DIAGONALS + SCATTERED
