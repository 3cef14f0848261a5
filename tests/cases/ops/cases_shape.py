"""Rows for shape.py, index.py and the engine's own ops: one line a row, see case.py."""

import numpy as np
from case import Apart, Bools, Case, Ints, N, Values, torch

import tinygrad_like as tg
from tinygrad_like import ops
from tinygrad_like.engine import backend_of, sum_to
from tinygrad_like.engine.autocast import rounded_to_bfloat16
from tinygrad_like.engine.fit import itself
from tinygrad_like.nn.base.gates import hooked
from tinygrad_like.ops.indexing.index import _put, getitem, scatter_rows
from tinygrad_like.ops.indexing.repetition import _sum_copies


def of_list(function):
    """A function of a list of tensors as one of tensors."""

    def call(*xs, **attributes):
        return function(list(xs), **attributes)

    call.__name__ = function.__name__
    return call


concatenate, stack = of_list(tg.concatenate), of_list(tg.stack)


def torch_cat(axis):
    return lambda *xs: torch.cat(xs, axis)


def torch_stack(axis):
    return lambda *xs: torch.stack(xs, axis)


SHAPE = [
    *(
        Case(tg.reshape, N(2, 6), torch=lambda x, s=s: x.reshape(s), shape=s, empty=-1 in s)
        for s in ((3, 4), (12,), (-1,), (2, -1, 3), (2, 2, 3))
    ),
    Case(tg.reshape, N(2, 6), torch=lambda x: x.reshape(12), shape=12, empty=False),
    Case(tg.reshape, N(), torch=lambda x: x.reshape(1, 1), shape=(1, 1)),
    Case(tg.reshape, N(1, 1), torch=lambda x: x.reshape(()), shape=(), empty=False),
    Case(tg.transpose, N(2, 3, 2), torch=lambda x: x.permute(2, 1, 0)),
    *(
        Case(tg.transpose, N(2, 3, 2), torch=lambda x, a=a: x.permute(a), axes=a)
        for a in ((2, 0, 1), (0, -1, 1), [1, 0, 2])
    ),
    Case(tg.transpose, N(), torch=lambda x: x),
    Case(tg.swapaxes, N(2, 3, 2), torch=lambda x: x.swapaxes(0, -1), axis1=0, axis2=-1),
    Case(tg.swapaxes, N(2, 3), torch=lambda x: x, axis1=1, axis2=-1),
    *(
        Case(tg.moveaxis, N(2, 3, 2), torch=lambda x, i=i, j=j: x.moveaxis(i, j),
             source=i, destination=j)
        for i, j in ((0, -1), ((0, 1), (1, 2)), ((-1, 0), (0, 2)))
    ),
    *(
        Case(tg.expand_dims, N(2, 3), numpy="expand_dims", axis=a)
        for a in (0, -1, 1, (0, 2), (-1, 0))
    ),
    Case(tg.expand_dims, N(), torch=lambda x: x[None], axis=0),
    Case(tg.squeeze, N(2, 1, 3, 1), numpy="squeeze"),
    *(Case(tg.squeeze, N(2, 1, 3, 1), numpy="squeeze", axis=a) for a in (1, -1, (1, 3))),
    Case(tg.squeeze, N(1), torch=lambda x: x[0], empty=False),
    Case(tg.flatten, N(2, 3, 2)),
    Case(tg.flatten, N(), torch="flatten"),
    Case(tg.flatten, N(2, 3, 2), torch=lambda x: x.flatten(1), start_axis=1),
    Case(tg.flatten, N(2, 3, 2), torch=lambda x: x.flatten(0, -2), start_axis=0, end_axis=-2),
    *(
        Case(tg.broadcast_to, N(*s), torch=lambda x, t=t: x.broadcast_to(t), empty=False, shape=t)
        for s, t in (((3,), (2, 3)), ((2, 1), (2, 4)), ((), (2, 2)), ((2, 1, 1), (2, 3, 2)))
    ),
    *(
        Case(sum_to, N(*s), torch=lambda x, t=t: x.sum_to_size(t), empty=False, shape=t)
        for s, t in (((2, 3), (3,)), ((2, 3), (2, 1)), ((2, 3), ()), ((2, 2, 3), (1, 3)))
    ),
    Case(_sum_copies, N(2, 3, 2), torch=lambda x: x.sum((0, 2)), empty=False, axes=(0, 2)),
    Case(_sum_copies, N(3, 4), torch=lambda x: x.sum(1), empty=False, axes=(1,)),
    Case(concatenate, N(2, 3), N(4, 3), torch=torch_cat(0)),
    Case(concatenate, N(2, 3), N(2, 1), N(2, 2), torch=torch_cat(-1), axis=-1),
    Case(concatenate, N(2, 2), torch=torch_cat(1), axis=1),
    Case(concatenate, N(2, 0), N(2, 2), torch=torch_cat(1), axis=1),
    Case(lambda x: tg.concatenate([x, x]), N(2), torch=lambda x: torch.cat([x, x]), name="cat xx"),
    Case(stack, N(2, 3), N(2, 3), torch=torch_stack(0)),
    Case(stack, N(2, 3), N(2, 3), torch=torch_stack(-1), axis=-1),
    Case(stack, N(2, 3), N(2, 3), torch=torch_stack(1), axis=1),
    Case(stack, N(), N(), torch=torch_stack(0)),
    *(
        Case(tg.split, N(4, 3), numpy=lambda x, i=i: np.split(x, i), empty=False, **kw)
        for i in (2, 4, 1, [1, 3], (0, 1), [-1], [2, 9])
        for kw in [{"indices_or_sections": i}]
    ),
    Case(
        tg.split,
        N(2, 6),
        torch=lambda x: x.tensor_split(3, -1),
        indices_or_sections=3,
        axis=-1,
    ),
    *(
        Case(tg.unbind, N(3, 2, 4), torch="unbind", empty=a != 0, axis=a) for a in (0, 1, -1)
    ),
    Case(tg.unbind, N(1), torch=lambda x: x[0], empty=False),
    Case(lambda x: tg.unbind(x, 1)[1], N(2, 3), torch=lambda x: x[:, 1], name="unbind()[1]"),
    Case(of_list(hooked), N(2, 3), N(2), watch=list, torch=lambda x, y: (x, y)),
    Case(lambda x, y: hooked([x, y], watch=list)[1], N(2), N(3), torch=lambda x, y: y, name="gate"),
    # Only one of the pieces is used.
    Case(lambda x: tg.split(x, 3, 1)[1], N(2, 3), torch=lambda x: x[:, 1:2], name="split()[1]"),
    *(
        Case(tg.pad, N(2, 3), numpy=lambda x, p=p: np.pad(x, p), empty=False, pad_width=p)
        for p in (1, (1, 2), ((0, 1), (2, 0)), [(1, 0), (0, 0)], 0)
    ),
    Case(tg.pad, N(2, 3), torch=lambda x: torch.nn.functional.pad(x, (1, 1, 1, 1), value=2.5),
         empty=False, pad_width=1, value=2.5),
    *(
        Case(tg.pad, N(*x), numpy="pad", empty=False, pad_width=p, mode=mode)
        for mode in ("reflect", "symmetric", "edge", "wrap")
        for x, p in (
            ((2, 3), 1),
            ((2, 3), ((0, 0), (1, 2))),
            ((3,), (0, 2)),
            ((2, 2), ((3, 0), (2, 5))),  # wider than the axis
            ((2, 1, 2), ((0, 0), (1, 2), (0, 1))),
        )
    ),
    *(
        Case(tg.pad, N(1, 2, 3, 4), empty=False, pad_width=((0, 0), (0, 0), (1, 2), (0, 3)),
             mode=mode, torch=lambda x, mode=mode: torch.nn.functional.pad(x, (0, 3, 1, 2), mode))
        for mode in ("reflect", "replicate", "circular")
    ),
    Case(tg.pad, Ints(9, 2, 3), numpy="pad", grad=False, empty=False, pad_width=1, mode="wrap"),
    *(Case(tg.flip, N(2, 3, 2), numpy="flip", axis=a) for a in (0, -1, (0, 2), None)),
    Case(tg.flip, N(2, 3)  , torch=lambda x: x.flip(0, 1)),
    *(
        Case(tg.roll, N(2, 3), torch=lambda x, s=s, a=a: x.roll(s, a), shift=s, axis=a)
        for s, a in ((1, 0), (-2, 1), (4, -1), ((1, 2), (0, 1)), (0, 0))
    ),
    Case(tg.roll, N(2, 3), torch=lambda x: x.roll(2), shift=2),
    *(
        Case(tg.tile, N(2, 3), torch=lambda x, r=r: x.tile(r), reps=r)
        for r in ((2,), (2, 1), (2, 3), (2, 1, 2), (1,))
    ),
    Case(tg.tile, N(3), torch=lambda x: x.tile(2), reps=2),
    Case(tg.tile, N(), torch=lambda x: x.tile(2), reps=2),
    *(
        Case(tg.repeat, N(2, 3), numpy="repeat", empty=r != [1, 2], repeats=r, axis=a)
        for r, a in ((2, 0), (3, 1), ([1, 2], 0), ([0, 2, 1], -1), (2, None), (0, 1), ([2], 1))
    ),
    Case(tg.repeat, N(2, 3, 2), numpy="repeat", repeats=3, axis=1),
    Case(tg.copy, N(2, 3), torch="clone"),
    Case(tg.copy, N(), torch="clone"),
]  # fmt: skip

ENGINE = [
    Case(itself, N(2, 3), torch=lambda x: x),
    Case(lambda x: rounded_to_bfloat16(x), Values([0.5, -1.25, 3, 0, 96]), torch=lambda x: x,
         name="rounded_to_bfloat16", error=2**-8),  # of float32's gradients: see test_autocast.py
    Case(lambda x: tg.astype(x, dtype=x.dtype), N(2, 3), torch=lambda x: x, name="astype"),
    Case(lambda x: ops.to_device(x, device="cpu", source="cpu"), N(2, 3), torch=lambda x: x,
         name="to_device"),
]  # fmt: skip

# Indices as torch understands them too; those that it does not are in NUMPY_INDICES.
INDICES = {
    "1": 1,
    "-1": -1,
    ":2": slice(None, 2),
    "::2": slice(None, None, 2),
    "...,0": (..., 0),
    "0,...": (0, ...),
    ":,None,1:": (slice(None), None, slice(1, None)),
    "1,-1,0": (1, -1, 0),
    "5:": slice(5, None),
    "[0,2,0]": [0, 2, 0],
    "[-1,0],[1,1]": ([-1, 0], [1, 1]),
    ":,[2,0,2]": (slice(None), [2, 0, 2]),
    "[0,1],:,[1,0]": ([0, 1], slice(None), [1, 0]),
    "[[0],[2]],[1,2,1]": ([[0], [2]], [1, 2, 1]),
    "...,[0,0]": (..., [0, 0]),
    "[1,1],None": ([1, 1], None),
    "[]": [],
    "()": (),
    "1,1,1": (1, 1, 1),
}
NUMPY_INDICES = {
    "1,:,[0,1]": (1, slice(None), [0, 1]),
    "::-1": slice(None, None, -1),
    ":,::-2,1": (slice(None), slice(None, None, -2), 1),
    "[1,1],None,[0,2]": ([1, 1], None, [0, 2]),
    "0,...,[1,0]": (0, ..., [1, 0]),
    "(0,0,2),": ((0, 0, 2),),
    "...,(1,1)": (..., (1, 1)),
    ":,(1,1),:": (slice(None), (1, 1), slice(None)),
    ":,(0,2,0),(1,0,1)": (slice(None), (0, 2, 0), (1, 0, 1)),
    "range(3),:,range(0,2,2)": (range(3), slice(None), range(0, 2, 2)),
    "((0,1),(1,2)),": (((0, 1), (1, 2)),),
    "[0,0],:-1,1": ([0, 0], slice(-1), 1),
    "[0,2],...,(1,1)": ([0, 2], ..., (1, 1)),
    "True,[0,0]": (True, [0, 0]),
    "True,0": (True, 0),
    "False": False,
    "0d,:,[1,1]": (np.array(0), slice(None), [1, 1]),
    "int8": (np.int8(-1), np.array([1, 1], np.int8)),
    "(),": ((),),
}


def torch_take_along(axis):
    return lambda x, i: torch.take_along_dim(x, i, axis)


def put_twice(g):
    twice = backend_of(g).from_host(np.array([2, 2]))
    return _put(g, shape=(3, 2), index=(twice,))


def torch_put(g):
    return torch.zeros(3, 2, dtype=g.dtype).index_add(0, torch.tensor([2, 2]), g)


INDEX = [
    *(
        Case(lambda x, i=i: getitem(x, i), N(3, 3, 2), torch=lambda x, i=i: x[i],
             name=f"x[{n}]", empty=False)
        for n, i in INDICES.items()
    ),
    *(
        Case(lambda x, i=i: getitem(x, i), N(3, 3, 2), numpy=lambda x, i=i: x[i],
             name=f"x[{n}]", empty=False)
        for n, i in NUMPY_INDICES.items()
    ),
    Case(getitem, N(3, 2), Ints(3, 4), torch=lambda x, i: x[i], empty=False),
    Case(getitem, N(3, 2), Ints(3, 2, 2, low=-3), torch=lambda x, i: x[i], empty=False),
    Case(getitem, N(3, 2), Bools(3, 2), torch=lambda x, i: x[i]),
    Case(getitem, N(3, 2), Values([True, False, True]), torch=lambda x, i: x[i]),
    Case(getitem, N(3, 2), Values([False, False, False]), torch=lambda x, i: x[i]),
    Case(lambda x, m: getitem(x, (slice(None), m)), N(2, 3), Values([True, False, True]),
         torch=lambda x, m: x[:, m], name="x[:,mask]"),
    Case(lambda x, m, i: getitem(x, (m, i)), N(3, 3), Values([True, False, True]), Ints(3, 2),
         torch=lambda x, m, i: x[m, i], name="x[mask,ints]", empty=False),
    Case(lambda x, i: getitem(x, (..., i)), N(2, 3, 4), Values([3, 0, 3]),
         torch=lambda x, i: x[..., i], name="x[...,ints]"),
    Case(lambda x, i: getitem(x, (i, slice(1, None))), N(3, 3), Ints(3, 4),
         torch=lambda x, i: x[i, 1:], name="x[ints,1:]", empty=False),
    Case(tg.take, N(3, 4), Ints(12, 5), torch="take", empty=False),
    Case(tg.take, N(3, 4), Ints(3, 5, low=-3), numpy="take", axis=0, empty=False),
    Case(tg.take, N(3, 4), Ints(4, 2, 2), numpy="take", axis=-1),
    Case(tg.take, N(2, 3, 2), Ints(3, 4), numpy="take", axis=1),
    Case(lambda x: tg.take(x, 2, axis=1), N(2, 3), torch=lambda x: x[:, 2], name="take(x,2)"),
    *(
        Case(tg.take_along_axis, N(*s), Ints(high, *t), torch=torch_take_along(a), axis=a,
             empty=a != 0)
        for s, high, t, a in (
            ((3, 2), 3, (4, 2), 0),
            ((3, 4), 4, (3, 2), -1),
            ((2, 3, 2), 3, (2, 5, 2), 1),
            ((5,), 5, (3,), 0),
        )
    ),
    # As in NumPy, the indices broadcast along the other axes.
    Case(tg.take_along_axis, N(3, 4), Ints(4, 1, 2), numpy="take_along_axis", axis=1, empty=False),
    Case(tg.take_along_axis, N(1, 4), Ints(4, 3, 2), numpy="take_along_axis", axis=1, empty=False),
    *(
        Case(tg.scatter_add, N(*s), Ints(high, *t), N(*t), empty=False, axis=a,
             torch=lambda x, i, u, a=a: x.scatter_add(a, i, u))
        for s, high, t, a in (
            ((3, 2), 3, (4, 2), 0),
            ((3, 4), 4, (3, 2), 1),
            ((2, 3, 2), 3, (2, 5, 2), -2),
            ((5,), 5, (7,), 0),
        )
    ),
    Case(tg.embedding, N(5, 2), Ints(5, 4), torch=lambda w, i: w[i], empty=False),
    Case(tg.embedding, N(4, 3), Ints(4, 2, 3), torch=lambda w, i: w[i], empty=False),
    Case(tg.embedding, N(4, 2), Ints(4), sparse=True, torch=lambda w, i: w[i], empty=False),
    Case(tg.embedding, N(4, 2), Ints(4), torch=lambda w, i: w[i], empty=False),
    Case(scatter_rows, N(4, 2), Ints(3, 4), count=3,
         torch=lambda g, i: torch.zeros(3, 2, dtype=g.dtype).index_add(0, i, g)),
    Case(put_twice, N(2, 2), torch=torch_put, empty=False),
    Case(tg.nonzero, Values([[0, 1, 2], [3, 0, 0]]), numpy="nonzero", grad=False),
    Case(tg.nonzero, Bools(5), numpy="nonzero", grad=False),
    Case(tg.argwhere, Values([[0.0, 1], [-0.5, 0]]), numpy="argwhere", grad=False),
    Case(tg.one_hot, Ints(4, 2, 3), num_classes=4, grad=False),
    Case(tg.one_hot, Ints(1, 3), torch="one_hot", num_classes=1, grad=False),
    *(
        Case(f, N(*s), torch=lambda x, n=f.__name__, k=k: getattr(x, n)(k), k=k)
        for f in (tg.tril, tg.triu)
        for s, k in (((3, 3), 0), ((2, 4), 1), ((2, 3, 3), -1))
    ),
    *(
        Case(tg.sort, Apart(*s), torch=lambda x, a=a, d=d: x.sort(dim=a, descending=d).values,
             empty=a != 0, axis=a, descending=d)
        for s, a in (((2, 4), -1), ((4,), 0), ((2, 3, 2), 1), ((3, 2), 0))
        for d in (False, True)
    ),
    Case(tg.sort, Apart(2, 4), torch=lambda x: x.sort().values),
    *(
        Case(tg.argsort, Apart(*s), grad=False, empty=a != 0, axis=a, descending=d,
             torch=lambda x, a=a, d=d: x.argsort(dim=a, descending=d, stable=True))
        for s, a in (((2, 4), -1), ((3, 2), 0))
        for d in (False, True)
    ),
    *(
        Case(tg.topk, Apart(*s), torch=lambda x, k=k, a=a: x.topk(k, a), k=k, axis=a, empty=a != 0)
        for s, k, a in (((2, 4), 2, -1), ((5,), 3, 0), ((2, 3, 2), 1, 1), ((2, 3), 3, 1))
    ),
    Case(tg.topk, Apart(2, 4), torch=lambda x: x.topk(0), k=0),
    Case(tg.topk, Apart(2, 4), torch=lambda x: x.topk(3, largest=False), k=3, largest=False),
]  # fmt: skip

CASES = SHAPE + ENGINE + INDEX
