"""Norms of batches and their running estimates, beside PyTorch's; means over whole images."""

import re

import numpy as np
import pytest
from layer_steps import IMAGE, SEQUENCE, close, compare_step, oracle
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import nn


@needs_torch
@pytest.mark.parametrize(("name", "shape", "options"), [
    ("BatchNorm1d", (5, 4), {"momentum": 0.2}),
    ("BatchNorm1d", SEQUENCE, {"momentum": None}),
    ("BatchNorm2d", IMAGE, {"momentum": 0.2}),
    ("InstanceNorm1d", SEQUENCE, {"momentum": 0.2, "track_running_stats": True}),
])  # fmt: skip
def test_running_estimates_follow_torch_over_steps(name, shape, options):
    ours = getattr(nn, name[:-2])(4, **options)
    theirs = oracle(ours, lambda t: getattr(t, name)(4, **options))
    rng = np.random.default_rng(0)
    for step in range(5):
        compare_step(ours, theirs, rng.normal(step, 1 + step, size=shape))
        for buffer in ("running_mean", "running_var"):
            close(getattr(ours, buffer), getattr(theirs, buffer), f"{buffer} after step {step}")
    before = ours.running_mean.numpy().copy()
    compare_step(ours.eval(), theirs.eval(), rng.normal(size=shape))
    np.testing.assert_array_equal(ours.running_mean.numpy(), before, "eval changed a buffer")


def test_without_momentum_the_estimates_are_means_over_all_batches():
    batches = np.random.default_rng(0).normal(size=(4, 6, 3))
    layer = nn.BatchNorm(3, None).to("float64")
    for batch in batches[:2]:
        layer(batch)
    further = nn.BatchNorm(3, None).to("float64")
    further.load_state_dict(layer.state_dict())
    for batch in batches[2:]:
        further(batch)
    assert further.num_batches_tracked.item() == 4
    np.testing.assert_allclose(further.running_mean.numpy(), batches.mean((0, 1)), 1e-12)
    variances = batches.var(1, ddof=1).mean(0)
    np.testing.assert_allclose(further.running_var.numpy(), variances, 1e-12)


@pytest.mark.parametrize(("layer", "shape", "words"), [
    (nn.LayerNorm((2, 3), affine=False), (4, 3, 2), "[LayerNorm] x is (4, 3, 2), expected (..., 2"),
    (nn.RMSNorm((2, 3), affine=False), (3,), "[RMSNorm] x is (3,), expected (..., 2, 3)"),
    (nn.GroupNorm(2, 4, affine=False), (1, 6, 2), "[GroupNorm] x is (1, 6, 2), expected (N, 4"),
    (nn.InstanceNorm(4, track_running_stats=True), (3, 4, 1), "has no variance to follow"),
])  # fmt: skip
def test_norms_check_what_no_weight_checks(layer, shape, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        layer(tg.ones(shape))


def test_a_norm_without_estimates_takes_those_of_the_batch_in_evaluation():
    layer, x = nn.BatchNorm(3, track_running_stats=False), tg.randn((4, 3))
    assert layer.state_dict().keys() == {"weight", "bias"}
    np.testing.assert_array_equal(layer(x).numpy(), layer.eval()(x).numpy())


@needs_torch
def test_global_avg_pool_is_the_mean_of_the_image():
    x = np.random.default_rng(0).normal(size=IMAGE)
    a, b = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = nn.GlobalAvgPool2D()(a), torch.nn.AdaptiveAvgPool2d(1)(b).flatten(1)
    (y * y).sum().backward()
    (z * z).sum().backward()
    close(y, z.detach(), "output")
    close(a.grad, b.grad, "the gradient of x")


def test_batch_norm_buffers_are_updated_in_place_outside_the_graph():
    layer = nn.BatchNorm(2)
    mean, version = layer.running_mean, layer.running_mean.version[0]
    layer(tg.randn((8, 2), requires_grad=True))
    assert layer.running_mean is mean
    assert not mean.requires_grad
    assert mean.version[0] == version + 1
    assert mean.dtype == np.float32
    x = tg.randn((8, 2), requires_grad=True)
    y = layer.eval()(x).sum()
    layer.train()(x)  # between forward and backward of an evaluation
    y.backward()


def test_batch_norm_refuses_one_value_and_other_channels():
    layer = nn.BatchNorm(3, affine=False)
    with pytest.raises(ValueError, match=r"no variance; use a larger batch, or model.eval\(\)"):
        layer(tg.zeros((1, 3)))
    for shape in ((4, 1), (4, 2, 5), (3,)):
        with pytest.raises(ValueError, match=r"\[batch_norm\] x is .* expected \(N, 3, \.\.\.\)"):
            layer(tg.zeros(shape))
    assert np.all(layer.running_mean.numpy() == 0)
    assert layer.eval()(tg.zeros((1, 3))).shape == (1, 3)
