"""Weight norm, spectral norm, orthogonal matrices and low-rank changes against their formulas."""

import math

import numpy as np
import pytest
from oracle import needs_torch, torch
from scipy.linalg import expm

import tinygrad_like as tg
from tinygrad_like import nn

BUILT_IN = {
    "weight norm": nn.WeightNorm,
    "spectral norm": nn.SpectralNorm,
    "cayley": nn.Orthogonal,
    "exp": lambda: nn.Orthogonal("exp"),
    "low rank": lambda: nn.LowRank(2, alpha=3.0),
}
each_one = pytest.mark.parametrize("make", BUILT_IN.values(), ids=BUILT_IN)
SHAPES = [(5, 3), (3, 5), (4, 4), (3, 2, 2, 2)]


class Holder(nn.Module):
    """A float64 weight."""

    def __init__(self, shape):
        self.weight = nn.init.normal(shape)
        self.to("float64")


def moved(parametrization, shape):
    """A module with a parametrized weight, whose stored parameters are moved from their start."""
    layer = nn.parametrize(Holder(shape), "weight", parametrization)
    for p in layer.parameters():
        p.data = p.numpy() + 0.3 * np.random.default_rng(0).standard_normal(p.shape)
    return layer, vars(layer)["weight"]


def weighted(shape):
    return np.random.default_rng(1).standard_normal(shape)


@each_one
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_finite_differences(make, shape):
    layer, computing = moved(make(), shape)
    layer.eval()
    tg.gradcheck(computing.forward, *(p.numpy() for p in layer.parameters()), directions=2)


@each_one
@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
def test_the_weight_starts_as_near_to_what_it_was_as_it_can(make, device):
    layer = nn.Dense(5, 4).to(device)
    before = layer.weight.numpy().copy()
    nn.parametrize(layer, "weight", make()).eval()
    after = layer.weight
    assert after.device == device
    computing = type(vars(layer)["weight"])
    if computing is nn.SpectralNorm:
        np.testing.assert_allclose(after.numpy(), before / np.linalg.norm(before, 2), rtol=1e-2)
    elif computing is nn.Orthogonal:
        left, _, right = np.linalg.svd(before, full_matrices=False)
        np.testing.assert_allclose(after.numpy(), left @ right, atol=1e-6)
    else:
        np.testing.assert_allclose(after.numpy(), before, rtol=1e-6)
    layer(tg.randn((2, 5), device=device)).sum().backward()
    assert all(p.grad.device == device for p in layer.parameters() if p.requires_grad)


@needs_torch
@pytest.mark.parametrize(("axis", "dim"), [(0, 0), (-1, 1), (None, None), ("output", 1)])
def test_weight_norm_is_torchs(axis, dim):
    layer, computing = moved(nn.WeightNorm(axis), (5, 3))
    theirs = torch.nn.Module()
    theirs.weight = torch.nn.Parameter(torch.ones(5, 3, dtype=torch.float64))
    torch.nn.utils.parametrizations.weight_norm(theirs, dim=dim)
    length, direction = theirs.parametrizations.weight.parameters()
    direction.data = torch.from_numpy(computing.direction.numpy().copy())
    length.data = torch.from_numpy(computing.length.numpy().reshape(length.shape).copy())
    (layer.weight * weighted((5, 3))).sum().backward()
    (theirs.weight * torch.from_numpy(weighted((5, 3)))).sum().backward()
    np.testing.assert_allclose(layer.weight.numpy(), theirs.weight.detach(), rtol=1e-12)
    np.testing.assert_allclose(computing.direction.grad.numpy(), direction.grad, atol=1e-12)
    np.testing.assert_allclose(computing.length.grad.numpy().ravel(), length.grad.ravel())


@needs_torch
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2, 2)])
def test_spectral_norm_is_torchs_over_several_forwards(shape, axis):
    layer, computing = moved(nn.SpectralNorm(iterations=2, axis=axis), shape)
    theirs = torch.nn.Module()
    theirs.weight = torch.nn.Parameter(torch.from_numpy(computing.original.numpy().copy()))
    torch.nn.utils.parametrizations.spectral_norm(theirs, n_power_iterations=2, dim=axis)
    (norm,) = torchs = theirs.parametrizations.weight
    norm._u.data = torch.from_numpy(computing.u.numpy().copy())
    norm._v.data = torch.from_numpy(computing.v.numpy().copy())
    for training in (True, True, False, True):
        layer.train(training)
        theirs.train(training)
        (layer.weight * weighted(shape)).sum().backward()
        (theirs.weight * torch.from_numpy(weighted(shape))).sum().backward()
        np.testing.assert_allclose(computing.u.numpy(), norm._u, rtol=1e-9)
        np.testing.assert_allclose(computing.v.numpy(), norm._v, rtol=1e-9)
        grad = computing.original.grad.numpy()
        np.testing.assert_allclose(grad, torchs.original.grad, rtol=1e-8, atol=1e-12)


def test_spectral_norm_moves_its_vectors_once_a_forward():
    """Though Dense reads its weight twice; they come to the singular vectors."""
    layer = nn.parametrize(nn.Dense(6, 4), "weight", nn.SpectralNorm())
    x, computing = tg.randn((2, 6)), vars(layer)["weight"]
    computing.original.data = tg.randn((6, 4))
    matrix, v = computing.original.numpy(), computing.v.numpy().copy()
    layer(x)
    u = matrix @ v
    np.testing.assert_allclose(computing.u.numpy(), u / np.linalg.norm(u), rtol=1e-5)
    for _ in range(100):
        layer(x)
    assert np.linalg.norm(layer.eval().weight.numpy(), 2) == pytest.approx(1, rel=1e-5)


def test_two_forwards_of_spectral_norm_can_wait_for_their_backward():
    layer = nn.parametrize(nn.Dense(6, 4), "weight", nn.SpectralNorm())
    first, second = layer(tg.randn((2, 6))), layer(tg.randn((2, 6)))
    (first.sum() + second.sum()).backward()
    assert np.isfinite(vars(layer)["weight"].original.grad.numpy()).all()


@needs_torch
@pytest.mark.parametrize(("method", "name"), [("cayley", "cayley"), ("exp", "matrix_exp")])
@pytest.mark.parametrize("shape", [(5, 3), (4, 4)])
def test_orthogonal_is_torchs(method, name, shape):
    layer, computing = moved(nn.Orthogonal(method), shape)
    theirs = torch.nn.Module()
    theirs.weight = torch.nn.Parameter(torch.zeros(shape, dtype=torch.float64))
    torch.nn.utils.parametrizations.orthogonal(theirs, orthogonal_map=name)
    (orthogonal,) = torchs = theirs.parametrizations.weight
    orthogonal.base.data = torch.from_numpy(computing.base.numpy().copy())
    places, skew = np.tril_indices(shape[0], -1, shape[1]), np.zeros(shape)
    skew[places] = computing.skew.numpy()
    torchs.original.data = torch.from_numpy(skew)
    (layer.weight * weighted(shape)).sum().backward()
    (theirs.weight * torch.from_numpy(weighted(shape))).sum().backward()
    np.testing.assert_allclose(layer.weight.numpy(), theirs.weight.detach(), atol=1e-12)
    grad = torchs.original.grad.numpy()[places]
    np.testing.assert_allclose(computing.skew.grad.numpy(), grad, atol=1e-11)


@pytest.mark.parametrize("method", ["cayley", "exp"])
@pytest.mark.parametrize("shape", [(6, 3), (3, 6), (4, 4), (1, 1), (4, 1), (4, 3, 2)])
def test_an_orthogonal_weight_stays_so_wherever_it_moves(method, shape):
    layer, computing = moved(nn.Orthogonal(method), shape)
    k, n = sorted((shape[0], math.prod(shape[1:])))
    assert computing.num_parameters() == n * k - k * (k + 1) // 2
    computing.skew.data = computing.skew.numpy() * 20
    matrix = layer.weight.numpy().reshape(shape[0], -1)
    gram = matrix @ matrix.T if shape[0] == k else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(k), atol=1e-12)


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0])
def test_the_exponential_is_that_of_scipy(size):
    layer, computing = moved(nn.Orthogonal("exp"), (5, 5))
    computing.skew.data = skew = weighted(10) * size
    a = np.zeros((5, 5))
    a[np.tril_indices(5, -1)] = skew
    expected = computing.base.numpy() @ expm(a - a.T)
    np.testing.assert_allclose(layer.weight.numpy(), expected, atol=1e-11)


def test_low_rank_adds_a_scaled_product_to_a_frozen_base():
    layer, computing = moved(nn.LowRank(2, alpha=3.0), (5, 4))
    base, down, up = (x.numpy() for x in layer.parameters())
    np.testing.assert_allclose(layer.weight.numpy(), base + 1.5 * down @ up, rtol=1e-12)
    assert [p.requires_grad for p in layer.parameters()] == [False, True, True]
    fresh = nn.parametrize(Holder((400, 9)), "weight", nn.LowRank(9))
    computing = vars(fresh)["weight"]
    assert not computing.up.numpy().any()
    assert computing.down.numpy().std() == pytest.approx(1 / 20, rel=0.1)
    assert computing.alpha / computing.rank == 1


@pytest.mark.parametrize(
    ("make", "shape", "words"),
    [
        (lambda: nn.LowRank(4), (3, 5), r"rank is 4, expected at most 3 for the weight \(3, 5\)"),
        (lambda: nn.LowRank(1), (3,), r"weight is \(3,\), expected two axes or more"),
        (lambda: nn.WeightNorm(), (3,), "expected two axes or more; or give an axis"),
        (lambda: nn.WeightNorm(2), (3, 5), r"axis is 2, but weight is \(3, 5\)"),
        (lambda: nn.WeightNorm("rows"), (3, 5), "axis is 'rows', expected 'output'"),
        (lambda: nn.WeightNorm(True), (3, 5), "axis is True"),
        (lambda: nn.SpectralNorm(axis=2), (3, 5), r"axis is 2, but weight is \(3, 5\)"),
        (lambda: nn.SpectralNorm(0), (3, 5), "iterations is 0"),
        (lambda: nn.Orthogonal("qr"), (3, 5), "method is 'qr', expected"),
        (lambda: nn.LowRank(0), (3, 5), "rank is 0"),
        (lambda: nn.LowRank(1, -1.0), (3, 5), "alpha is -1.0"),
    ],
)
def test_what_does_not_suit_a_weight_is_named(make, shape, words):
    layer = Holder(shape)
    before = layer.weight
    with pytest.raises((ValueError, TypeError), match=words):
        nn.parametrize(layer, "weight", make())
    assert layer.weight is before
    assert before.requires_grad


@pytest.mark.parametrize("make", [nn.WeightNorm, nn.SpectralNorm])
def test_a_norm_of_zero_is_refused(make):
    layer = Holder((3, 2))
    layer.weight.data = np.zeros((3, 2))
    with pytest.raises(ValueError, match=r"vector of zeros|weight is 0"):
        nn.parametrize(layer, "weight", make())
