"""Starting values of layers, and the functions of nn.init that draw them."""

import math

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn


def test_fans():
    assert nn.init.fans((784, 128)) == (784, 128)
    assert nn.init.fans((32, 16, 3, 5)) == (16 * 15, 32 * 15)
    assert nn.init.fans(nn.Conv2D(8, 16, 3, groups=4).weight.shape)[0] == 2 * 9


@pytest.mark.parametrize(
    ("name", "std", "is_uniform"),
    [
        ("xavier_uniform", math.sqrt(2 / (300 + 200)), True),
        ("xavier_normal", math.sqrt(2 / (300 + 200)), False),
        ("kaiming_uniform", math.sqrt(2 / 300), True),
        ("kaiming_normal", math.sqrt(2 / 300), False),
        ("fan_in_uniform", math.sqrt(1 / 300 / 3), True),
        ("uniform", math.sqrt(1 / 12), True),
        ("normal", 1, False),
    ],
)
def test_initial_statistics(name, std, is_uniform):
    tg.seed(3)
    p = getattr(nn.init, name)((300, 200))
    assert p.requires_grad
    assert p.dtype == np.float32
    values = p.numpy() - (0.5 if name == "uniform" else 0)
    assert abs(values.mean()) < 0.02 * std
    assert abs(values.std() / std - 1) < 0.02
    bound = np.abs(values).max() / std
    assert (bound <= math.sqrt(3) + 1e-5) if is_uniform else bound > 3


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (4, 2, 3, 3)])
def test_orthogonal(shape):
    w = nn.init.orthogonal(shape, gain=np.sqrt(2))
    assert w.shape == shape
    assert w.dtype == np.float32
    m = w.numpy().reshape(shape[0], -1)
    gram = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
    np.testing.assert_allclose(gram, 2 * np.eye(len(gram)), atol=1e-5)


def test_numpy_factors_do_not_promote():
    for p in (
        nn.init.normal((2, 2), np.float64(0), np.sqrt(2)),
        nn.init.uniform(3, np.float64(-1)),
    ):
        assert p.dtype == np.float32


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (nn.Dense(64, 300), 64),
        (nn.Conv1D(8, 40, 5), 40),
        (nn.Conv2D(8, 48, 3, groups=2), 36),
        (nn.ConvTranspose2D(8, 40, 3), 360),
    ],
)
def test_layers_start_like_torch(layer, fan_in):
    bound = 1 / math.sqrt(fan_in)
    for path, p in layer.named_parameters():
        largest = np.abs(p.numpy()).max()
        assert 0.8 * bound < largest <= bound * 1.0001, path


def test_a_seed_repeats_a_model():
    def make(seed):
        tg.seed(seed)
        model = nn.Sequential(nn.Dense(4, 3), nn.Dropout(0.5), nn.Conv1D(1, 2, 3))
        return [p.numpy() for p in model.parameters()] + [model[1](tg.ones(20)).numpy()]

    for a, b, c in zip(make(1), make(1), make(2), strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
