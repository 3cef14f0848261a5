"""The rows of cases.py that have gradients, as calls for tests of the engine."""

import numpy as np
from cases import CASES

import tinygrad_like as tg
from tinygrad_like import GraphError, Tensor
from tinygrad_like.backend import FLOATING

CALLS = {case.name: case for case in CASES if case.grad}


def leaves(name, wrap=Tensor):
    """Fresh Tensors for a call, differentiable where floating."""
    tensors = [wrap(a) for a in CALLS[name].arrays()]
    for t in tensors:
        if t.dtype.kind in FLOATING:
            t.requires_grad = True
    return tensors


def outputs(name, tensors):
    """The floating outputs of a call, as a list."""
    return [y for y in CALLS[name](*tensors) if y.dtype.kind in FLOATING]


def scalar(tensors):
    """A number that depends on every element of every tensor, each with a weight of its own."""
    total = 0.0
    for t in tensors:
        weights = tg.arange(1.0, t.size + 1.0, dtype=np.float64, device=t.device).reshape(t.shape)
        total = total + (t * t * weights).sum()
    return total


def attempt(f, match):
    """What f() returns; None where a GraphError, which must say `match`, refuses it."""
    try:
        return f()
    except GraphError as error:
        if match not in str(error):
            raise
        return None
