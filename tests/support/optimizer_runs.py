"""Every optimizer with its settings, and runs of it on the same gradients each time."""

import numpy as np
import pytest
from oracle import torch

import tinygrad_like as tg
from tinygrad_like import optim

ROWS = [  # class, settings (torch's are the same)
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-6, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-6, "weight_decay": 0.1}),
    ("Adam", {"lr": 0.1, "betas": (0.9, 0.5), "amsgrad": True}),
    ("AdamW", {"lr": 0.1, "betas": (0.9, 0.5), "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.9, "eps": 1e-6, "momentum": 0.9, "weight_decay": 0.1}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "eps": 1e-6, "weight_decay": 0.1}),
]
every_row = pytest.mark.parametrize(
    ("name", "settings"), ROWS, ids=[f"{i}-{row[0]}" for i, row in enumerate(ROWS)]
)
SHAPES = [(4, 3), (3,), ()]


def make_params(dtype=np.float64, shapes=SHAPES):
    rng = np.random.default_rng(0)
    return [tg.Tensor(np.array(rng.normal(size=s), dtype), requires_grad=True) for s in shapes]


def make_grads(step, params):
    """The same gradients for the same step; those of the last parameter are missing at first."""
    rng = np.random.default_rng(1 + step)
    grads = [np.array(rng.normal(size=p.shape), p.dtype) for p in params]
    return [*grads[:-1], None] if step < 2 else grads


def train(optimizer, params, steps):
    for step in steps:
        for p, grad in zip(params, make_grads(step, params), strict=True):
            p.grad = None if grad is None else tg.Tensor(grad)
        optimizer.step()


def make(name, settings, dtype=np.float64):
    params = make_params(dtype)
    return getattr(optim, name)(params, **settings), params


def step_torch(optimizer, copies, grads):
    """A step of PyTorch's optimizer with these gradients, None for none."""
    for copy, grad in zip(copies, grads, strict=True):
        copy.grad = None if grad is None else torch.tensor(grad)
    optimizer.step()


def check_same(params, copies, rtol, atol):
    """Raise AssertionError where our parameters are not PyTorch's."""
    for p, copy in zip(params, copies, strict=True):
        np.testing.assert_allclose(p.numpy(), copy.detach().numpy(), rtol=rtol, atol=atol)
