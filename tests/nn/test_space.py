"""The state-space layer: its recurrence step by step in torch, pieces, derivatives."""

import itertools

import numpy as np
import pytest
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import nn


def step_by_step(layer, x):
    """(y, leaves) in torch."""
    F = torch.nn.functional
    p = {
        name: torch.tensor(t.numpy(), requires_grad=True) for name, t in layer.state_dict().items()
    }
    x = torch.tensor(x, requires_grad=True)
    u, z = (x @ p["enter.weight"]).chunk(2, -1)
    width, d = u.shape[-1], layer.d_state
    u = F.pad(u.swapaxes(1, 2), (layer.kernel_size - 1, 0))
    u = F.silu(F.conv1d(u, p["conv.weight"], p["conv.bias"], groups=width).swapaxes(1, 2))
    step, write, read = (u @ p["choose.weight"]).split([layer.rank, d, d], -1)
    step = F.softplus(step @ p["step.weight"] + p["step.bias"])
    h, outs = torch.zeros(len(x), width, d, dtype=x.dtype), []
    for t in range(x.shape[1]):
        keep = torch.exp(-step[:, t, :, None] * torch.exp(p["log_decay"]))
        h = keep * h + (step[:, t] * u[:, t])[:, :, None] * write[:, t, None]
        outs.append((h * read[:, t, None]).sum(-1))
    y = (torch.stack(outs, 1) + p["skip"] * u) * F.silu(z)
    return y @ p["leave.weight"], {"x": x, **p}


def a_layer(**options):
    tg.seed(0)
    return nn.StateSpace(4, 3, **options).to("float64")


@needs_torch
@pytest.mark.parametrize("options", [{}, {"expand": 1, "kernel_size": 1, "rank": 2}])
def test_the_layer_is_its_recurrence(options):
    layer, x = a_layer(**options), np.random.default_rng(0).normal(size=(2, 5, 4))
    y, theirs = step_by_step(layer, x)
    ours = tg.Tensor(x, requires_grad=True)
    found = layer(ours)
    np.testing.assert_allclose(found.detach().numpy(), y.detach().numpy(), rtol=1e-9)
    (found * found).sum().backward()
    (y * y).sum().backward()
    for path, p in {"x": ours, **dict(layer.named_parameters())}.items():
        expected = theirs[path].grad.numpy()
        np.testing.assert_allclose(p.grad.numpy(), expected, 1e-8, 1e-12, err_msg=path)


@pytest.mark.parametrize("cuts", [(0, 1, 2, 6), (0, 4, 6)])
def test_pieces_of_a_sequence_give_what_the_whole_gives(cuts):
    layer, x = a_layer(), tg.Tensor(np.random.default_rng(0).normal(size=(2, 6, 4)))
    state, outs = None, []
    with tg.no_grad():
        for start, end in itertools.pairwise(cuts):
            y, state = layer(x[:, start:end], state, return_state=True)
            outs.append(y.numpy())
        np.testing.assert_allclose(np.concatenate(outs, 1), layer(x).numpy(), rtol=1e-9)
    assert all(s.shape[0] == 2 for s in nn.detach_state(state))


def test_derivatives_of_a_state_space_layer():
    layer = a_layer(expand=1, kernel_size=2)
    tg.gradcheck(lambda x: layer(x), np.random.default_rng(0).normal(size=(1, 3, 4)), order=2)


def test_it_starts_with_small_steps_and_refuses_other_widths():
    layer = nn.StateSpace(32)
    steps = np.log1p(np.exp(layer.step.bias.numpy()))
    assert 0.9e-3 < steps.min() < steps.max() < 0.11
    with pytest.raises(ValueError, match=r"x is \(2, 32\), expected \(N, T, 32\)"):
        layer(tg.ones((2, 32)))
