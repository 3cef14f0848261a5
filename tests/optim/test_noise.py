"""Norms of gradients by layer, and the noise scale."""

import math

import numpy as np
import pytest
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import io, optim


def model_with_gradients():
    tg.seed(0)
    model = tg.nn.Sequential(tg.nn.Dense(3, 4), tg.nn.Sequential(tg.nn.Dense(4, 2), tg.nn.ReLU()))
    (model(tg.ones((5, 3))) ** 2).sum().backward()
    return model


@needs_torch
@pytest.mark.parametrize("norm", [1, 2, math.inf])
def test_norms_of_layers_and_of_parameters(norm):
    model = model_with_gradients()
    grads = {path: p.grad.numpy() for path, p in model.named_parameters()}
    by_parameter = optim.gradient_norms(model, norm, by="parameter")
    assert list(by_parameter) == ["0.weight", "0.bias", "1.0.weight", "1.0.bias"]
    for path, grad in grads.items():
        expected = torch.linalg.vector_norm(torch.tensor(grad), norm).item()
        assert by_parameter[path] == pytest.approx(expected, rel=1e-6)
    by_layer = optim.gradient_norms(model, norm)
    assert list(by_layer) == ["0", "1.0"]
    for layer, found in by_layer.items():
        both = [grads[f"{layer}.{name}"].ravel() for name in ("weight", "bias")]
        assert found == pytest.approx(np.linalg.norm(np.concatenate(both), norm), rel=1e-6)
    total = optim.clip_grad_norm(model.parameters(), 1e9, norm)
    assert np.linalg.norm(list(by_layer.values()), norm) == pytest.approx(total)


def test_what_has_no_gradient_is_left_out():
    model = model_with_gradients()
    for p in model[0].parameters():
        p.grad = None
    assert list(optim.gradient_norms(model)) == ["1.0"]
    layer = tg.nn.Dense(2, 2)
    assert optim.gradient_norms(layer) == {}
    layer(tg.ones((1, 2))).sum().backward()
    layer.bias.grad = tg.Tensor(np.array([np.nan, 1], np.float32))
    (path,) = found = optim.gradient_norms(layer)
    assert path == ""
    assert math.isnan(found[path])


def samples(n, rng, noise=3.0):
    """Gradients of n samples: their mean is 2 in each of 10 elements, tr(S) is 10 noise^2."""
    return 2 + noise * rng.normal(size=(n, 10))


@pytest.mark.long
def test_both_estimates_find_the_noise_that_was_put_in():
    rng, exact = np.random.default_rng(0), 9 / 4
    assert optim.noise_scale([samples(20_000, rng)]) == pytest.approx(exact, rel=0.05)
    split = np.split(samples(20_000, rng), [4], axis=1)
    assert optim.noise_scale([tg.Tensor(g) for g in split]) == pytest.approx(exact, rel=0.05)
    noise = optim.NoiseScale(small=2, large=16, decay=0.999)
    for _ in range(3000):
        g = samples(16, rng)
        small = [float(np.linalg.norm(part.mean(0))) for part in np.split(g, 8)]
        noise.update(small, float(np.linalg.norm(g.mean(0))))
    assert noise.value == pytest.approx(exact, rel=0.05)


def test_estimates_are_unbiased():
    """Over all pairs from a small population, drawn with replacement, the terms are exact."""
    rng = np.random.default_rng(0)
    population = rng.normal(size=(4, 3))
    mean = population.mean(0)
    trace, square = ((population - mean) ** 2).sum() / 4, (mean**2).sum()
    noise = optim.NoiseScale(small=1, large=2, decay=0.0)
    sums = np.zeros(2)
    for a in population:
        for b in population:
            noise.update([np.linalg.norm(a), np.linalg.norm(b)], np.linalg.norm((a + b) / 2))
            sums += noise._sums[1:]
    np.testing.assert_allclose(sums / 16, [trace, square], rtol=1e-12)


def test_the_gradients_of_samples_come_from_vmap():
    w, x = tg.Tensor([1.0, -2.0]), np.random.default_rng(0).normal(size=(6, 2))
    gradients = tg.vmap(tg.grad(lambda w, x: (w @ x) ** 2), in_axes=(None, 0))(w, tg.Tensor(x))
    by_hand = np.array([2 * (w.numpy() @ row) * row for row in x])
    assert optim.noise_scale([gradients]) == pytest.approx(optim.noise_scale([by_hand]), rel=1e-5)


def test_a_gradient_that_drowns_in_noise():
    assert optim.noise_scale([np.array([[1.0], [-1.0]])]) == math.inf
    noise = optim.NoiseScale(1, 4)
    noise.update(2.0, 0.5)
    assert noise.value == math.inf


def test_the_averages_are_saved_and_loaded(tmp_path):
    noise, again = optim.NoiseScale(2, 8), optim.NoiseScale(2, 8)
    noise.update(2.0, tg.Tensor(1.5))
    io.save(tmp_path / "state", noise.state_dict())
    again.load_state_dict(io.load(tmp_path / "state"))
    for each in (noise, again):
        each.update(1.9, 1.6)
    assert again.value == noise.value
    with pytest.raises(ValueError, match=r"the state is of .*'large': 8.*, expected .*'large': 9"):
        optim.NoiseScale(2, 9).load_state_dict(noise.state_dict())
    with pytest.raises(ValueError, match="none of a NoiseScale"):
        noise.load_state_dict({})


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (TypeError, "model is a list", lambda: optim.gradient_norms([])),
        (ValueError, "norm is 0", lambda: optim.gradient_norms(tg.nn.ReLU(), 0)),
        (ValueError, "by is 'group'", lambda: optim.gradient_norms(tg.nn.ReLU(), by="group")),
        (ValueError, "large is 4", lambda: optim.NoiseScale(4, 4)),
        (ValueError, "small is nan", lambda: optim.NoiseScale(2, 4).update(math.nan, 1)),
        (ValueError, "small is empty", lambda: optim.NoiseScale(2, 4).update([], 1)),
        (ValueError, "call update first", lambda: optim.NoiseScale(2, 4).value),
        (TypeError, "gradients is .3, 2.", lambda: optim.noise_scale(np.ones((3, 2)))),
        (ValueError, "one N of at least 2", lambda: optim.noise_scale([np.ones((1, 2))])),
        (ValueError, "one N of at least 2", lambda: optim.noise_scale([np.ones(2), np.ones(3)])),
        (ValueError, "one N of at least 2", lambda: optim.noise_scale([])),
    ],
)
def test_mistakes_are_named(error, words, call):
    with pytest.raises(error, match=words) as raised:
        call()
    assert str(raised.value).startswith("[")
