"""What long sums lose by rounding, beside PyTorch and NumPy: `python -m bench accuracy [--size N]`.

Each row is a function of a matrix, once of the library and once of PyTorch, which also gives the
true value, in float64. The error is the largest of all elements of the result, in units in the last
place of its largest element. tests/bench/test_accuracy.py holds small matrices to a bound.
"""

import argparse
import math
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

import tinygrad_like as tg
from bench.accuracy_layers import layer_rows
from tinygrad_like import losses

LAYOUTS = ("C", "transposed", "slice", "flipped", "broadcast")
# Of equal elements, as in a broadcast view, the true result of these is 0: no scale for an error.
NORMS = ("batch_norm", "layer_norm", "gradient: batch_norm", "gradient: layer_norm")


class Row(NamedTuple):
    """A function of a matrix x (rows, columns) in the library, PyTorch, and perhaps NumPy."""

    name: str
    ours: Any
    torch: Any
    numpy: Any = None


def _gradient(shape, loss):
    """The gradients of a loss(p, x) with respect to p, ones of shape(*x.shape): ours, PyTorch's."""

    def ours(x):
        p = tg.Tensor(np.ones(shape(*x.shape), x.dtype), requires_grad=True, device=x.device)
        loss(p, x).backward()
        return p.grad

    def theirs(x):
        p = torch.ones(shape(*x.shape), dtype=x.dtype, requires_grad=True)
        loss(p, x).backward()
        return p.grad

    return ours, theirs


def _axes(name, ours, theirs, numpy=None):
    """Rows of a reduction over the first axis, over the last, and over both."""
    for axes in ((0,), (1,), (0, 1)):
        yield Row(
            f"{name} {axes}",
            lambda x, a=axes: ours(x, axis=a),
            lambda x, a=axes: theirs(x, a),
            None if numpy is None else lambda x, a=axes: numpy(x, axis=a),
        )


def _grads():
    rows = [
        ("first axis", lambda r, c: (c,), lambda p, x: (p * x).sum()),
        ("last axis", lambda r, c: (r, 1), lambda p, x: (p * x).sum()),
        ("middle axis", lambda r, c: (2, 1, c), lambda p, x: (p * _in_two(x)).sum()),
        ("all axes", lambda r, c: (), lambda p, x: (p * x).sum()),
        ("a transposed weight", lambda r, c: (c, 1), lambda p, x: (p * x.T).sum()),
        ("bias behind moveaxis", lambda r, c: (c,), lambda p, x: _bias_behind(p, x)),
        ("mean", lambda r, c: (r, c), lambda p, x: (p * x).mean()),
    ]
    for name, shape, loss in rows:
        yield Row(f"gradient: {name}", *_gradient(shape, loss))
    product = _gradient(lambda r, c: (c, 3), lambda p, x: (x @ p).sum())
    yield Row("gradient: matmul", *product, lambda x: x.T @ np.ones((len(x), 3), x.dtype))


def _pairs_of_columns(x):
    """The products of all pairs of columns, of each half of the rows."""
    halves = _in_two(_tall(x))
    return halves.swapaxes(1, 2) @ halves


def _in_two(x):
    return x[: x.shape[0] // 2 * 2].reshape(2, x.shape[0] // 2, x.shape[1])


def _bias_behind(p, x):
    images = x.reshape(x.shape[0], 1, x.shape[1])
    moved = images.moveaxis(2, 1)  # (rows, columns, 1): a bias is added to the second axis
    return (moved * p.reshape(-1, 1)).sum()


def _tall(x):
    """x or x.T, whichever has more rows: the deviation of few, close values would be inexact."""
    return x if x.shape[0] >= x.shape[1] else x.T


def _wide(x):
    return _tall(x).T


def _square(x):
    """The products of all pairs of columns (or rows, if they are fewer)."""
    return _wide(x) @ _tall(x)


def _weight_and_bias(ours, theirs, arranged):
    """The gradients of a norm's weight and bias."""

    def shape(r, c):
        return 2, min(r, c) if arranged is _tall else max(r, c)

    def loss(norm):
        return lambda p, x: (norm(arranged(x), p[0], p[1]) * arranged(x)).sum()

    return _gradient(shape, loss(ours))[0], _gradient(shape, loss(theirs))[1]


def _along(name, ours, theirs, numpy=None):
    """Rows of a function along either axis."""
    for a in (0, 1):
        yield Row(
            f"{name} {a}",
            lambda x, a=a: ours(x, axis=a),
            lambda x, a=a: theirs(x, a),
            None if numpy is None else lambda x, a=a: numpy(x, axis=a),
        )


def _einsum(subscripts):
    """The einsum of x, or of x and x."""
    count = 1 + subscripts.count(",")
    functions = (
        lambda x, f=f: f(subscripts, *[_tall(x)] * count)
        for f in (tg.einsum, torch.einsum, np.einsum)
    )
    return Row(f"einsum {subscripts}", *functions)


LAYERS = [Row(*row) for row in layer_rows(_gradient)]
ROWS = [
    *_axes("sum", tg.sum, lambda x, a: x.sum(a), np.sum),
    *_axes("mean", tg.mean, lambda x, a: x.mean(a), np.mean),
    *_axes("var", tg.var, lambda x, a: x.var(a, correction=0), np.var),
    *_axes("std", tg.std, lambda x, a: x.std(a, correction=0), np.std),
    *_axes(
        "norm",
        lambda x, axis: tg.norm(x, axis=axis),
        lambda x, a: torch.linalg.vector_norm(x, 2, a),
    ),
    *_axes("logsumexp", tg.logsumexp, torch.logsumexp),
    *_along("softmax", tg.softmax, torch.softmax),
    *_along("log_softmax", tg.log_softmax, torch.log_softmax),
    *_along("cumsum", tg.cumsum, torch.cumsum, np.cumsum),
    Row("matmul", _square, _square, _square),
    *map(_einsum, ("ij->j", "ij->i", "ij->", "ij,ij->j", "ij,ij->", "ij,ik->jk")),
    Row("stack of matmuls", *[_pairs_of_columns] * 3),
    Row("vector @ matrix", *[lambda x: _tall(x)[:, 0] @ _tall(x)] * 3),
    Row(
        "linear",
        lambda x: tg.linear(_wide(x), _tall(x), _wide(x)[:, 0]),
        lambda x: F.linear(_wide(x), _wide(x), _wide(x)[:, 0]),
    ),
    Row(
        "batch_norm",
        lambda x: tg.batch_norm(_tall(x))[0],
        lambda x: F.batch_norm(_tall(x), None, None, training=True),
    ),
    Row(
        "layer_norm",
        lambda x: tg.layer_norm(_wide(x)),
        lambda x: F.layer_norm(_wide(x), _wide(x).shape[1:]),
    ),
    Row("mse", lambda x: losses.mse(x, x * 0), lambda x: F.mse_loss(x, x * 0)),
    Row("l1", lambda x: losses.l1(x, x * 0), lambda x: F.l1_loss(x, x * 0)),
    Row(
        "cross_entropy",
        lambda x: losses.cross_entropy(x, tg.Tensor(np.zeros(len(x), int), device=x.device)),
        lambda x: F.cross_entropy(x, torch.zeros(len(x), dtype=int)),
    ),
    *_grads(),
    Row(
        "gradient: batch_norm",
        *_weight_and_bias(
            lambda x, w, b: tg.batch_norm(x, w, b)[0],
            lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
            _tall,
        ),
    ),
    Row(
        "gradient: layer_norm",
        *_weight_and_bias(tg.layer_norm, lambda x, w, b: F.layer_norm(x, x.shape[1:], w, b), _wide),
    ),
    *LAYERS,
]


def matrix(shape, dtype, layout, seed=0):
    """(base, view): an array of values in [0, 1), and the function that makes the view of it.

    In float16 they are smaller by a power of two, so that no sum of them leaves its range.
    """
    rows, columns = shape
    rng = np.random.default_rng(seed)
    sizes = {
        "transposed": (columns, rows),
        "slice": (2 * rows, 2 * columns),
        "broadcast": (1, columns),
    }
    base = rng.random(sizes.get(layout, shape), np.float32)
    if dtype == np.float16:
        base *= 0.5 ** max(0, math.ceil(math.log2(rows * columns / 2**15)))
    base = base.astype(dtype)
    views = {
        "C": lambda x: x,
        "transposed": lambda x: x.T,
        "slice": lambda x: x[::2, ::2],
        "flipped": lambda x: x[::-1, ::-1],
        "broadcast": lambda x: np.broadcast_to(x, shape),  # of a Tensor as well
    }
    return base, views[layout]


def error(got, true, dtype):
    """The largest error, in units in the last place of the largest true value."""
    got, true = np.asarray(got, np.float64), np.asarray(true, np.float64)
    scale = np.finfo(dtype).eps * max(np.abs(true).max(), np.finfo(dtype).tiny)
    return float(np.abs(got - true).max() / scale)


def errors(row, shape, dtype, layout, device="cpu", opponents=True):
    """{"ours": ..., "torch": ..., "numpy": ...} of a row; None where there is no opponent."""
    base, view = matrix(shape, dtype, layout)
    array = view(base)
    plain = torch.tensor(np.ascontiguousarray(array))
    true = row.torch(plain.double()).numpy()
    found = {"ours": error(row.ours(view(tg.Tensor(base, device=device))).numpy(), true, dtype)}
    if opponents:
        found["torch"] = error(row.torch(plain).double().numpy(), true, dtype)
        found["numpy"] = None if row.numpy is None else error(row.numpy(array), true, dtype)
    return found


def bound(count):
    """4 units, and what the pairwise sum of `count` elements may lose."""
    return 4 + math.log2(max(2, count)) / 2


def main():
    """Print the table for matrices of some size, tall and wide."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=float, default=3e7, help="elements of a matrix")
    parser.add_argument("--row", default="", help="only rows whose names begin with it")
    parser.add_argument("--layout", choices=LAYOUTS, action="append")
    options = parser.parse_args()
    size = int(options.size)
    for dtype in (np.float32, np.float16):
        for layout in options.layout or LAYOUTS:
            print(f"{np.dtype(dtype)}, {layout}: errors in units in the last place")
            print(f"  {'':<28} {'shape':>14} {'ours':>9} {'torch':>9} {'numpy':>9} {'bound':>6}")
            for row in ROWS:
                constant = layout == "broadcast" and row.name in NORMS
                if row.name.startswith(options.row) and not constant:
                    _print(row, (size // 4, 4), dtype, layout)


def _print(row, shape, dtype, layout):
    with np.errstate(all="ignore"):
        found = errors(row, shape, dtype, layout)
    figures = " ".join(f"{'-' if e is None else format(e, '.3g'):>9}" for e in found.values())
    size = "x".join(map(str, shape))
    print(f"  {row.name:<28} {size:>14} {figures} {bound(math.prod(shape)):6.1f}")
