"""A program that compiles what the rows of the op tests call, for float32 or for float64."""

import itertools
import sys

import numpy as np
from op_calls import CALLS, leaf, leaves, outputs
from views import VIEWS

import tinygrad_like as tg
from tinygrad_like.engine import gradients, wrap


def run_all(dtype):
    """Call every row in a dtype, in float64 of all views, and the gradients of what it gives."""
    views = VIEWS if dtype == "float64" else ()
    for name, view in itertools.product(CALLS, [np.asarray, *views]):

        def tensor(a, view=view):
            return wrap(view(a.astype(dtype) if a.dtype.kind == "f" else a))

        xs = leaves(name, tensor)
        ys = [y for y in outputs(name, xs) if y.requires_grad]
        seeds = [tensor(np.ones(y.shape)) for y in ys]
        gradients(ys, [x for x in xs if x.requires_grad], seeds)


def run_large(dtype):
    """Call what has kernels for large arrays alone: places and sums along lines, optimizers."""
    rng = np.random.default_rng(0)
    at = rng.integers(0, 100, (40, 60))
    x, updates = (leaf(rng.random(shape), dtype) for shape in ((40, 100), at.shape))
    ys = [
        tg.take_along_axis(x, at, 1),
        tg.scatter(x, at, updates, 1),
        tg.scatter(x, at, updates, 1, "sum"),
        tg.sort(x),
        tg.cumsum(x, 1),
        x[:, at[0]],
        tg.mode(x, 1)[0],
        tg.adaptive_max_pool2d(updates[None], (7, 7)),
        tg.embedding_bag(updates, at % 40, mode="max"),
        tg.embedding_bag(updates, at % 40),
        x[:, :, None] @ x[:, None, :],
        tg.sigmoid(updates),
    ]
    gradients(ys, [x, updates], [tg.ones_like(y) for y in ys])
    for make in (tg.optim.Adagrad, tg.optim.RMSprop, tg.optim.NAdam, tg.optim.Lion, tg.optim.Adan):
        weight = leaf(rng.random(5000), dtype)
        weight.grad = tg.ones_like(weight)
        make([weight], lr=1e-3).step()
    table = leaf(rng.random((40, 60)), dtype)
    tg.embedding(table, at % 40, sparse=True).sum().backward()
    tg.optim.SparseAdam([table]).step()
    tg.rand(5000, dtype=dtype)
    tg.randn(5000, dtype=dtype)
    tg.conv2d(leaf(rng.random((2, 32, 14, 14)), dtype), leaf(rng.random((32, 32, 3, 3)), dtype))
    stack, other = (leaf(rng.random((3, 64, 64)), dtype) for _ in range(2))
    gradients([stack @ other], [stack], [tg.ones_like(stack)])
    few = leaf(rng.random(3), dtype)
    gradients([tg.sigmoid(few)], [few], [tg.ones_like(few)])
    for axis, wide in itertools.product((0, 1), ("float32", "float64")):
        np.sum(tg.Tensor(rng.random((400, 300)), dtype=dtype), axis=axis, dtype=wide)


def run_others():
    """Call kernels for whole numbers, and for half types."""
    rng = np.random.default_rng(0)
    at = tg.Tensor(rng.integers(0, 100, (40, 60)))
    tg.cummax(at, 1)
    tg.randint(0, 9, (50,))
    tg.take_along_axis(tg.rand((40, 100), dtype="float16"), at, 1)


if __name__ == "__main__":
    run_all(sys.argv[1])
    run_large(sys.argv[1])
    run_others()
