"""Runs of a row of the tables of cases: its inputs as Tensors, its outputs, their gradients."""

import numpy as np

from tinygrad_like.engine import OPS, gradients, wrap

# Other tests make ops of their own.
OURS = {n: op for n, op in OPS.items() if op.forward.__module__.startswith("tinygrad_like.")}


def is_float(x):
    return getattr(x, "dtype", None) is not None and x.dtype.kind in "fc"


def as_tensors(arrays):
    """Tensors around the very arrays; the floating ones require a gradient."""
    tensors = [wrap(x) for x in arrays]
    for t in tensors:
        if is_float(t):
            t.requires_grad = True
    return tensors


def floats(tensors):
    return [t for t in tensors if is_float(t)]


def cotangents(outs, seed=0):
    """Random numbers shaped like each floating output."""
    rng = np.random.default_rng(seed)
    drawn = [rng.standard_normal(y.shape) for y in outs]
    turned = [g * (1 + 2j) if y.dtype.kind == "c" else g for g, y in zip(drawn, outs, strict=True)]
    return [np.asarray(g, dtype=y.dtype) for g, y in zip(turned, outs, strict=True)]


def run(case, arrays, gs=None, create_graph=False):
    """(outputs, gradients) as Tensors, for raw inputs and output gradients (None: random)."""
    tensors = as_tensors(arrays)
    outs = case(*tensors)
    ys = floats(outs)
    gs = cotangents(ys) if gs is None else gs
    grads = gradients(ys, floats(tensors), [wrap(g) for g in gs], create_graph=create_graph)
    return outs, grads
