"""The calls of op_calls.py that run on any device, and their derivatives there."""

import numpy as np
from op_calls import CALLS, leaves, outputs, parts

import tinygrad_like as tg
from tinygrad_like.engine import gradients


def scalar(tensors):
    """A number that depends on every element, by operators and Python numbers alone."""
    total = 0.0
    for k, t in enumerate(tensors):
        total = total + (t * t * (k + 1.5)).sum() + tg.sin(t).sum()
    return total


def derivatives(name, make, order):
    """The outputs of a call and its gradients up to `order`, as lists of raw arrays."""
    xs = leaves(name, make)
    active = [x for x in xs if x.requires_grad]
    ys = outputs(name, xs)
    found = [y.data for y in ys]
    terms = [y for y in ys if y.requires_grad]
    for k in range(order):
        if not terms:
            break
        grads = gradients([scalar(terms)], active, create_graph=k + 1 < order)
        found += [g.data for g in grads]
        terms = [parts(g) for g in grads if g.requires_grad]
    return found


# Without the rows that name the CPU, or give an internal op an array of it as attribute.
NAMES = [
    name
    for name, case in CALLS.items()
    if not name.startswith("to_device")
    and not any(isinstance(value, np.ndarray) for value in case.attributes.values())
]
