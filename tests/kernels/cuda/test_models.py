"""Whole models on the emulated GPU: training steps follow the CPU's, and gradients are right."""

import numpy as np
import pytest
from cuda_models import MODELS

import tinygrad_like as tg
from bench.opponents import build
from tinygrad_like import nn

STEPS = 3


def losses(name, device):
    """The losses of some training steps with AdamW from one start."""
    tg.seed(3)
    make, draw = MODELS[name]
    model = make().to(device)
    optimizer = tg.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    rng, found = np.random.default_rng(0), []
    for _ in range(STEPS):
        x, labels = draw(rng)
        logits = model(tg.Tensor(x, device=device))
        loss = tg.losses.cross_entropy(logits, tg.Tensor(labels, device=device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.long
@pytest.mark.parametrize("name", MODELS)
def test_training_steps_follow_the_cpu(name):
    on_cpu, on_emulator = losses(name, "cpu"), losses(name, "cuda-emulator")
    np.testing.assert_allclose(on_emulator, on_cpu, rtol=1e-5)
    assert on_cpu[-1] != on_cpu[0]


def pretraining_losses(device):
    """The losses of a small BERT on both tasks, with padding, at the places that are masked."""
    tg.seed(3)
    model = nn.BERTForPreTraining(nn.BERT(17, 12, 16, 2, 2)).to(device)
    optimizer = tg.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    rng, found = np.random.default_rng(0), []
    for _ in range(STEPS):
        ids, segments = rng.integers(5, 17, (4, 12)), np.arange(12) >= rng.integers(3, 7, (4, 1))
        padding = np.arange(12) >= rng.integers(8, 13, (4, 1))
        seen, places = tg.data.mask_tokens(ids, ~padding, rng, mask=4, size=17)
        inputs = [tg.Tensor(a, device=device) for a in (seen, segments.astype(int), padding)]
        tokens, follows = model(*inputs[:2], key_padding_mask=inputs[2], places=places)
        labels = (tg.Tensor(a, device=device) for a in (ids[places], rng.integers(0, 2, 4)))
        loss = sum(map(tg.losses.cross_entropy, (tokens, follows), labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.long
def test_the_pretraining_of_a_bert_follows_the_cpu():
    on_cpu, on_emulator = map(pretraining_losses, ("cpu", "cuda-emulator"))
    np.testing.assert_allclose(on_emulator, on_cpu, rtol=1e-5)
    assert on_cpu[-1] != on_cpu[0]


@pytest.mark.long
@pytest.mark.parametrize("workload", ["mlp", "cnn", "lstm", "gpt-mini"])
def test_the_measured_steps_follow_the_cpu_at_a_small_batch(workload):
    on_cpu, on_emulator = (
        build("ours", f"{workload}@{device}", 2) for device in ("cpu", "cuda-emulator")
    )
    for step in range(3):
        assert on_emulator() == pytest.approx(on_cpu(), rel=1e-5), f"step {step}"


@pytest.mark.parametrize("name", MODELS)
def test_gradients_agree_with_finite_differences(name):
    """Along a random direction of all parameters at once, in float64."""
    tg.seed(3)
    make, draw = MODELS[name]
    model = make().to(np.float64).to("cuda-emulator").eval()
    x, labels = draw(np.random.default_rng(0))
    x = x[:2].astype(np.float64) if x.dtype == np.float32 else x[:2]
    inputs, labels = (tg.Tensor(a, device="cuda-emulator") for a in (x, labels[:2]))
    parameters = list(model.parameters())
    directions = [tg.randn(p.shape, dtype=np.float64, device="cuda-emulator") for p in parameters]
    starts = [p.detach().data.copy() for p in parameters]

    def loss(step):
        for p, start, direction in zip(parameters, starts, directions, strict=True):
            p.data[...] = start + step * direction.data
        return tg.losses.cross_entropy(model(inputs), labels)

    loss(0.0).backward()
    slope = sum((p.grad * d).sum().item() for p, d in zip(parameters, directions, strict=True))
    h = 1e-5
    with tg.no_grad():
        measured = (loss(h).item() - loss(-h).item()) / (2 * h)
    assert slope == pytest.approx(measured, rel=1e-6)
