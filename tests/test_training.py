"""Whole training steps, beside PyTorch's: equal weights, equal data, equal losses."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from oracle import needs_torch, torch

import tinygrad_like as tg

EXAMPLES = Path(__file__).parent.parent / "examples"
STEPS, BATCH = 10, 64


@pytest.fixture(scope="module")
def mnist_example():
    spec = importlib.util.spec_from_file_location("mnist_example", EXAMPLES / "mnist.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def batches():
    """Real digits, enlarged to 28 x 28, in a fixed order."""
    train, _ = tg.data.digits()
    images, labels = train.arrays
    images = np.kron(images, np.ones((1, 1, 3, 3), np.float32))
    images = np.pad(images, ((0, 0), (0, 0), (2, 2), (2, 2)))
    for k in range(STEPS):
        part = slice(k * BATCH, (k + 1) * BATCH)
        yield images[part], labels[part]


def torch_model(kind):
    layers = {
        "mlp": lambda nn: [
            *(nn.Flatten(), nn.Linear(784, 128), nn.ReLU()),
            *(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)),
        ],
        "cnn": lambda nn: [
            *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10)),
        ],
    }[kind]
    return torch.nn.Sequential(*layers(torch.nn))


def give_weights(ours, theirs):
    """Copy our starting weights into PyTorch's model; Dense holds the transpose of Linear."""
    with_weights = [layer for layer in ours if hasattr(layer, "weight")]
    torch_layers = [layer for layer in theirs if hasattr(layer, "weight")]
    for a, b in zip(with_weights, torch_layers, strict=True):
        weight = a.weight.data.T if a.weight.ndim == 2 else a.weight.data
        b.weight.data.copy_(b.weight.data.new_tensor(weight.copy()))
        b.bias.data.copy_(b.bias.data.new_tensor(a.bias.data.copy()))


@needs_torch
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("optimizer", ["Adam", "AdamW", "SGD"])
def test_losses_follow_pytorch_for_ten_steps_in_float32(mnist_example, kind, optimizer):
    tg.seed(0)
    ours = mnist_example.MODELS[kind]((1, 28, 28), [128, 64], 10)
    theirs = torch_model(kind)
    give_weights(ours, theirs)
    options = {"lr": 1e-3} if optimizer != "SGD" else {"lr": 0.05, "momentum": 0.9}
    our_optimizer = getattr(tg.optim, optimizer)(ours.parameters(), **options)
    their_optimizer = getattr(torch.optim, optimizer)(theirs.parameters(), **options)
    for step, (images, labels) in enumerate(batches()):
        loss = tg.losses.cross_entropy(ours(tg.Tensor(images)), tg.Tensor(labels))
        our_optimizer.zero_grad()
        loss.backward()
        our_optimizer.step()

        logits = theirs(torch.tensor(images))
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
        their_optimizer.zero_grad()
        expected.backward()
        their_optimizer.step()
        assert abs(loss.item() - expected.item()) <= 1e-5 * max(1.0, expected.item()), (
            f"step {step}: our loss {loss.item()}, PyTorch's {expected.item()}"
        )


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_models_learn_the_digits_of_the_package(mnist_example, kind):
    tg.seed(0)
    train, test = tg.data.digits()
    model = mnist_example.MODELS[kind](train.arrays[0].shape[1:], [64], 10)
    optimizer = tg.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(4):
        for images, labels in tg.data.DataLoader(train, 32, shuffle=True, seed=epoch):
            loss = tg.losses.cross_entropy(model(tg.Tensor(images)), tg.Tensor(labels))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    images, labels = test.arrays
    with tg.no_grad():
        accuracy = (model(tg.Tensor(images)).argmax(axis=1).numpy() == labels).mean()
    assert accuracy > 0.85, f"test accuracy {accuracy:.2%}"


def test_training_is_the_same_from_run_to_run(mnist_example):
    def weights():
        tg.seed(7)
        model = mnist_example.mlp((1, 28, 28), [32], 10)
        optimizer = tg.optim.AdamW(model.parameters())
        for images, labels in batches():
            loss = tg.losses.cross_entropy(
                tg.dropout(model(tg.Tensor(images)), 0.1), tg.Tensor(labels)
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return {k: v.numpy().tobytes() for k, v in model.state_dict().items()}

    assert weights() == weights()


@pytest.mark.parametrize("parts", [2, 4])
def test_gradients_accumulated_over_parts_are_those_of_the_large_batch(parts):
    model = tg.nn.GPT(11, 8, 16, 2, 2).to(np.float64)
    ids = np.random.default_rng(0).integers(0, 11, (4, 9))

    def gradients(batches):
        model.zero_grad()
        for batch in batches:
            loss = tg.losses.cross_entropy(model(batch[:, :-1]), batch[:, 1:])
            (loss / len(batches)).backward()
        return [p.grad.numpy().copy() for p in model.parameters()]

    for a, b in zip(gradients([ids]), gradients(np.split(ids, parts)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14)
