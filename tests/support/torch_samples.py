"""PyTorch's own samples of its layers and optimizers, and the derivatives that are compared."""

import contextlib
import importlib
import sys
import types
import unittest
import warnings

import numpy as np
from oracle import torch

import tinygrad_like as tg


def from_testing(name):
    """A module of torch.testing._internal.

    Some of them import `expecttest`, which compares printed text and has no part in the samples:
    where it is not installed, an empty one stands in for it meanwhile.
    """
    empty = types.ModuleType("expecttest")
    empty.TestCase = unittest.TestCase
    stands_in = sys.modules.setdefault("expecttest", empty) is empty
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(f"torch.testing._internal.{name}")
    finally:
        if stands_in:
            del sys.modules["expecttest"]


@contextlib.contextmanager
def one_thread():
    """PyTorch in one thread meanwhile: for small tensors more of them wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def mapped(f, tree):
    """A tree of tuples, lists and dicts with `f` of each leaf."""
    if isinstance(tree, dict):
        return {key: mapped(f, x) for key, x in tree.items()}
    if isinstance(tree, (tuple, list)):
        return tuple(mapped(f, x) for x in tree)
    return f(tree)


def flat(tree):
    """The leaves of a tree."""
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, (tuple, list)):
        return [leaf for x in tree for leaf in flat(x)]
    return [tree]


def is_floating(x):
    return np.dtype(str(x.dtype).removeprefix("torch.")).kind == "f"


def weights_like(arrays, seed):
    """Random numbers in the shapes of arrays."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=tuple(x.shape)) for x in arrays]


def torchs(call, leaves):
    """(outputs, gradients, second gradients) of `call()` by `leaves`, as lists of arrays.

    The gradients are those of a random weighting of the floating outputs, the second ones those
    of a random weighting of the gradients: None where PyTorch has not implemented them.
    """
    outputs = flat(call())
    floats = [y for y in outputs if is_floating(y)]
    loss = sum((y * w).sum() for y, w in zip(floats, _weights(floats, 1), strict=True))
    first = _gradients(loss, leaves, create_graph=True)
    loss = sum((g * w).sum() for g, w in zip(first, _weights(leaves, 2), strict=True))
    try:
        again = [g.numpy(force=True) for g in _gradients(loss, leaves)] if leaves else []
    except RuntimeError as error:
        if not str(error).endswith("is not implemented"):
            raise
        again = None
    return [y.numpy(force=True) for y in outputs], [g.numpy(force=True) for g in first], again


def _weights(tensors, seed):
    return map(torch.tensor, weights_like(tensors, seed))


def _gradients(loss, leaves, **options):
    if not leaves or not loss.requires_grad:
        return [torch.zeros_like(x) for x in leaves]
    found = torch.autograd.grad(loss, leaves, allow_unused=True, **options)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(leaves, found, strict=True)]


def ours(call, leaves, second=True):
    """The same of `call(leaves)`, of a list of our Tensors; the last is None if not wanted."""

    def weighted(leaves):
        outputs = flat(call(leaves))
        floats = [y for y in outputs if is_floating(y)]
        pairs = zip(floats, weights_like(floats, 1), strict=True)
        return sum((y * w).sum() for y, w in pairs), outputs

    def of_gradients(leaves):
        gradients, outputs = tg.grad(weighted, allow_unused=True, has_aux=True)(leaves)
        pairs = zip(gradients, weights_like(leaves, 2), strict=True)
        return sum((g * w).sum() for g, w in pairs), (outputs, gradients)

    if not leaves:
        return [_host(y) for y in flat(call(leaves))], [], []
    if not second:
        _, (outputs, first) = of_gradients(leaves)
        return list(map(_host, outputs)), list(map(_host, first)), None
    differentiated = tg.value_and_grad(of_gradients, allow_unused=True, has_aux=True)
    (_, (outputs, first)), again = differentiated(leaves)
    return tuple(list(map(_host, arrays)) for arrays in (outputs, first, again))


def _host(x):
    return x.detach().numpy() if isinstance(x, tg.Tensor) else np.asarray(x)


def compare(found, expected, rtol=1e-9, atol=1e-10):
    """Raise AssertionError unless outputs and the derivatives that PyTorch has agree."""
    names = "output", "gradient", "second gradient"
    for what, own, theirs in zip(names, found, expected, strict=True):
        for i, (x, y) in enumerate(zip(own, own if theirs is None else theirs, strict=True)):
            assert (x.shape, x.dtype) == (y.shape, y.dtype), f"{what} {i}: {x}, PyTorch's {y}"
            scale = atol * max(1.0, np.abs(y).max(initial=0))
            np.testing.assert_allclose(x, y, rtol, scale, err_msg=f"{what} {i}")


def slope_by_differences(call, leaves, step=1e-6):
    """(a slope of the weighted gradients of `call(leaves)`, the same by their differences)."""
    direction = weights_like(leaves, 3)

    def weighted_gradients(factor):
        moved = [tg.Tensor(x.numpy() + factor * d) for x, d in zip(leaves, direction, strict=True)]
        return inner(ours(call, moved, second=False)[1], weights_like(leaves, 2))

    difference = (weighted_gradients(step) - weighted_gradients(-step)) / (2 * step)
    return inner(ours(call, leaves)[2], direction), difference


def inner(xs, ys):
    return sum(float((x * y).sum()) for x, y in zip(xs, ys, strict=True))
