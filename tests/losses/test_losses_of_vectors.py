"""Losses of vectors and of several inputs: PyTorch's values and derivatives, edges, errors."""

import numpy as np
import pytest
from oracle import F, needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import losses

RNG = np.random.default_rng(1)
A, B, C = (RNG.choice([-1, 1], (4, 3)) * RNG.uniform(0.3, 2, (4, 3)) for _ in range(3))
SIGNS = np.array([1.0, -1, -1, 1])
VARIANCE = RNG.uniform(0.2, 2, (4, 3))


def cosine_distance(a, b):
    return 1 - losses.cosine_similarity(a, b)


def torch_cosine_distance(a, b):
    return 1 - F.cosine_similarity(a, b)


ROWS = {  # ours, torch's, floating inputs; `reduction` goes to both
    "gaussian_nll": (losses.gaussian_nll, lambda *x, **kw: F.gaussian_nll_loss(*x, **kw),
                     (A, B, VARIANCE)),
    "gaussian_nll full, one variance for a row": (
        lambda *x, **kw: losses.gaussian_nll(*x, full=True, **kw),
        lambda *x, **kw: F.gaussian_nll_loss(*x, full=True, **kw), (A, B, VARIANCE[:, 0])),
    "margin_ranking": (
        lambda a, b, **kw: losses.margin_ranking(a, b, np.sign(C), margin=0.4, **kw),
        lambda a, b, **kw: F.margin_ranking_loss(a, b, torch.tensor(np.sign(C)), 0.4, **kw),
        (A, B)),
    "cosine_embedding": (
        lambda a, b, **kw: losses.cosine_embedding(a, b, SIGNS, margin=-0.5, **kw),
        lambda a, b, **kw: F.cosine_embedding_loss(a, b, torch.tensor(SIGNS), -0.5, **kw), (A, B)),
    "triplet_margin": (losses.triplet_margin, lambda *x, **kw: F.triplet_margin_loss(*x, **kw),
                       (A, B, C)),
    "triplet_margin swap": (
        lambda *x, **kw: losses.triplet_margin(*x, margin=2, p=3, swap=True, **kw),
        lambda *x, **kw: F.triplet_margin_loss(*x, margin=2, p=3, swap=True, **kw), (A, B, C)),
    "triplet_margin distance": (
        lambda *x, **kw: losses.triplet_margin(*x, distance=cosine_distance, **kw),
        lambda *x, **kw: F.triplet_margin_with_distance_loss(
            *x, distance_function=torch_cosine_distance, **kw), (A, B, C)),
}  # fmt: skip


@needs_torch
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("row", ROWS)
def test_values_and_derivatives_of_both_orders_are_torchs(row, reduction):
    ours, theirs, inputs = ROWS[row]
    places = tuple(range(len(inputs)))
    directions = [RNG.standard_normal(x.shape) for x in inputs]

    def total(*x):
        loss = ours(*x, reduction=reduction)
        return (loss * np.arange(1.0, loss.size + 1).reshape(loss.shape)).sum()

    def slope(*x):
        return sum(
            (g * d).sum() for g, d in zip(tg.grad(total, places)(*x), directions, strict=True)
        )

    xs = [torch.tensor(x, requires_grad=True) for x in inputs]
    loss = theirs(*xs, reduction=reduction)
    loss = (loss * torch.arange(1.0, loss.numel() + 1).reshape(loss.shape)).sum()
    first = torch.autograd.grad(loss, xs, create_graph=True)
    along = sum((g * torch.tensor(d)).sum() for g, d in zip(first, directions, strict=True))
    along = along + 0 * sum(x.square().sum() for x in xs)  # it may be constant
    second = torch.autograd.grad(along, xs, materialize_grads=True)
    tensors = [tg.Tensor(x) for x in inputs]
    np.testing.assert_allclose(total(*tensors).item(), loss.item(), rtol=1e-9)
    for f, expected in ((total, first), (slope, second)):
        for g, e in zip(tg.grad(f, places, allow_unused=True)(*tensors), expected, strict=True):
            np.testing.assert_allclose(
                g.numpy(), e.detach().numpy(force=True), rtol=1e-7, atol=1e-9
            )


@needs_torch
@pytest.mark.parametrize("p", [1, 2, 3, np.inf])
def test_distances_and_cosines_are_torchs(p):
    a, b = torch.tensor(A), torch.tensor(B[0])
    found = losses.pairwise_distance(A, B[0], p=p, keepdims=True)
    np.testing.assert_allclose(found, F.pairwise_distance(a, b, p, keepdim=True).numpy())
    found = losses.cosine_similarity(tg.Tensor(A), B[0], axis=0 if p == 1 else -1, eps=1e-3)
    expected = F.cosine_similarity(a, b[None], dim=0 if p == 1 else -1, eps=1e-3)
    np.testing.assert_allclose(found.numpy(), expected.numpy())


def test_a_variance_below_eps_counts_as_eps_and_can_grow():
    variance = tg.Tensor([0.0, 4.0], requires_grad=True)
    loss = losses.gaussian_nll(
        tg.Tensor([1.0, 1.0]), [0.0, 0.0], variance, eps=0.5, reduction="sum"
    )
    loss.backward()
    np.testing.assert_allclose(loss.item(), (np.log(0.5) + 2 + np.log(4) + 0.25) / 2, rtol=1e-6)
    np.testing.assert_allclose(variance.grad.numpy(), [1 - 2, 0.125 - 1 / 32], rtol=1e-6)


def test_zero_vectors_have_no_angle_and_no_slope():
    x = tg.Tensor(np.zeros((2, 3)), requires_grad=True)
    loss = losses.cosine_embedding(x, A[:2], SIGNS[:2], reduction="sum")
    assert loss.item() == 1
    losses.cosine_similarity(x, x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros((2, 3)))


def info_nce_by_hand(a, b, temperature):
    a = a / np.linalg.norm(a, axis=-1, keepdims=True)
    b = b / np.linalg.norm(b, axis=-1, keepdims=True)
    e = np.exp(a @ b.T / temperature)
    return np.log(e.sum(1)) - np.log(np.diag(e))


def test_info_nce_is_the_cross_entropy_of_similarities():
    one, other = info_nce_by_hand(A, B, 0.2), info_nce_by_hand(B, A, 0.2)
    found = losses.info_nce(tg.Tensor(A), B, temperature=0.2, reduction="none")
    np.testing.assert_allclose(found.numpy(), one)
    found = losses.info_nce(tg.Tensor(A), B, temperature=tg.Tensor(0.2), symmetric=True)
    np.testing.assert_allclose(found.item(), (one + other).mean() / 2, rtol=1e-6)
    more = np.concatenate([B, C])
    found = losses.info_nce(A[None], more[None], normalize=False, temperature=1.0, reduction="none")
    logits = A @ more.T
    expected = np.log(np.exp(logits).sum(1)) - logits[range(4), range(4)]
    np.testing.assert_allclose(found, expected[None])
    tg.gradcheck(lambda *x: losses.info_nce(*x, temperature=0.5, symmetric=True), A, B)


def test_a_learned_temperature_gets_its_gradient():
    tg.gradcheck(lambda t: losses.info_nce(A, B, temperature=t), np.array(0.4))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: losses.gaussian_nll(A, B, -VARIANCE), ValueError, "variance contains -"),
        (lambda: losses.gaussian_nll(A, B, VARIANCE[0]), ValueError, "variance is (3,), mean is"),
        (
            lambda: losses.margin_ranking(A, B, np.ones(4)),
            ValueError,
            "a is (4, 3), target is (4,)",
        ),
        (lambda: losses.cosine_embedding(A, B, SIGNS > 0), ValueError, "0.0, expected 1 and -1"),
        (lambda: losses.cosine_similarity(A, B[:3]), ValueError, "axis -2 is 4 in a, 3 in b"),
        (lambda: losses.triplet_margin(A, B, C[:1]), ValueError, "negative is (1, 3)"),
        (lambda: losses.triplet_margin(A, B, C, swap="no"), ValueError, "swap is 'no'"),
        (lambda: losses.info_nce(A, B[:3]), ValueError, "m >= n"),
        (lambda: losses.info_nce(A, B, temperature=0), ValueError, "temperature is 0, expected"),
        (lambda: losses.hinge([1.0], [1.0]), TypeError, "scores is a list"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)
