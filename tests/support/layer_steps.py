"""A layer and PyTorch's with the same parameters, compared in a forward and a backward pass."""

import numpy as np
from oracle import torch

import tinygrad_like as tg
from tinygrad_like import nn

IMAGE, SEQUENCE = (3, 4, 7, 6), (3, 4, 9)


def oracle(ours, make_theirs):
    """torch's layer in float64 with our parameters; ours becomes float64, its parameters random."""
    rng = np.random.default_rng(1)
    theirs = make_theirs(torch.nn).double()
    for path, p in ours.to(np.float64).named_parameters():
        p.data = rng.normal(size=p.shape)
        with torch.no_grad():
            getattr(theirs, path).copy_(torch.tensor(turned(ours, p.data)))
    return theirs


def turned(layer, weight):
    """A Dense weight, or its gradient, as torch has it: (n_out, n_in)."""
    return weight.T if isinstance(layer, nn.Dense) else weight


def compare_step(ours, theirs, x):
    """One forward and backward of both layers: output, and all gradients."""
    ours.zero_grad()
    theirs.zero_grad()
    floating = x.dtype.kind == "f"
    a, b = tg.Tensor(x, requires_grad=floating), torch.tensor(x, requires_grad=floating)
    y, z = ours(a), theirs(b)
    close(y, z.detach(), "output")
    g = np.random.default_rng(2).normal(size=y.shape)
    y.backward(tg.Tensor(g))
    z.backward(torch.tensor(g))
    if floating:
        close(a.grad, b.grad, "the gradient of x")
    for path, p in ours.named_parameters():
        close(turned(ours, p.grad.numpy()), getattr(theirs, path).grad, f"the gradient of {path}")


def close(ours, theirs, what):
    ours = ours.numpy() if isinstance(ours, tg.Tensor) else ours
    np.testing.assert_allclose(ours, theirs.numpy(), 1e-10, 1e-10, err_msg=what)
