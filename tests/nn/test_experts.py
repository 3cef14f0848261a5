"""Mixture of experts: all experts on all rows as the oracle, the balance, empty and half inputs."""

import numpy as np
import pytest
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import nn


def by_all_experts(layer, x):
    """(y, balance, leaves) in torch, of every expert on every row."""
    p = {
        name: torch.tensor(t.numpy(), requires_grad=True) for name, t in layer.state_dict().items()
    }
    x = torch.tensor(x, requires_grad=True)
    rows = x.reshape(-1, layer.d_model)
    shares = torch.softmax(rows @ p["router.weight"], -1)
    top, chosen = shares.topk(layer.k, -1)
    if layer.normalize:
        top = top / top.sum(-1, keepdim=True)
    every = []
    for e in range(layer.num_experts):
        h, back = rows @ p["up"][e], p["down"][e]
        h = torch.nn.functional.gelu(h + p["up_bias"][e] if "up_bias" in p else h)
        every.append(h @ back + p["down_bias"][e] if "down_bias" in p else h @ back)
    outs = torch.stack(every, 1)[torch.arange(len(rows))[:, None], chosen]
    used = torch.nn.functional.one_hot(chosen, layer.num_experts).to(x.dtype).mean((0, 1))
    balance = layer.num_experts * (used * shares.mean(0)).sum()
    return (outs * top[..., None]).sum(1).reshape(x.shape), balance, {"x": x, **p}


@needs_torch
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((3, 4, 5), {}),
        ((9, 5), {"k": 1, "normalize": False, "bias": False}),
        ((7, 5), {"k": 4}),
    ],
)
def test_only_the_chosen_experts_count(shape, options):
    tg.seed(0)
    layer = nn.MixtureOfExperts(5, 6, 4, **options).to("float64")
    x = np.random.default_rng(0).normal(size=shape)
    y, balance, theirs = by_all_experts(layer, x)
    ours = tg.Tensor(x, requires_grad=True)
    found, own_balance = layer(ours, return_balance=True)
    np.testing.assert_allclose(found.detach().numpy(), y.detach().numpy(), rtol=1e-10)
    np.testing.assert_allclose(own_balance.item(), balance.item(), rtol=1e-12)
    g = np.random.default_rng(1).normal(size=shape)
    ((found * g).sum() + own_balance).backward()
    ((y * torch.tensor(g)).sum() + balance).backward()
    for path, p in {"x": ours, **dict(layer.named_parameters())}.items():
        expected = theirs[path].grad.numpy()
        np.testing.assert_allclose(p.grad.numpy(), expected, 1e-9, 1e-12, err_msg=path)


def test_derivatives_of_a_mixture():
    tg.seed(0)
    layer = nn.MixtureOfExperts(3, 2, 3, 2).to("float64")
    tg.gradcheck(lambda x: layer(x), np.random.default_rng(0).normal(size=(3, 3)), order=2)


def test_the_balance_is_1_if_all_experts_are_used_alike_and_grows_if_not():
    layer = nn.MixtureOfExperts(4, 2, 4, 1)
    layer.router.weight.data = 20 * np.eye(4)
    _, alike = layer(tg.eye(4), return_balance=True)
    assert abs(alike.item() - 1) < 1e-5
    _, one = layer(tg.ones((3, 1)) * tg.eye(4)[:1], return_balance=True)
    assert abs(one.item() - 4) < 1e-5


def test_one_row_no_row_and_half_types():
    layer = nn.MixtureOfExperts(5, 6, 4)
    assert layer(tg.ones(5)).shape == (5,)
    x = tg.zeros((0, 5), requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.shape == (0, 5)
    assert all((p.grad.numpy() == 0).all() for p in layer.parameters())
    assert layer.to("float16")(tg.ones((2, 5), dtype="float16")).dtype == np.float16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: nn.MixtureOfExperts(4, 4, 2, 3),
            r"\[MixtureOfExperts\] k is 3, expected at most num_experts=2",
        ),
        (
            lambda: nn.MixtureOfExperts(4, 4, 2)(tg.ones(3)),
            r"\[MixtureOfExperts\] x is \(3,\), expected \(\.\.\., 4\)",
        ),
        (
            lambda: tg.expert_matmul(tg.ones((2, 3)), tg.ones((2, 4, 1)), tg.Tensor([0, 1])),
            r"\[expert_matmul\] x is \(2, 3\), weight is",
        ),
        (
            lambda: tg.expert_matmul(tg.ones((1, 3)), tg.ones((2, 3, 1)), tg.Tensor([2])),
            r"\[expert_matmul\] experts contain 2, expected 0 to 1",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises((ValueError, IndexError), match=message):
        make()
