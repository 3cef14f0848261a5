"""Focal and Dice losses, entropy, transport and CTC: against SciPy, PyTorch and definitions."""

import itertools
from functools import partial

import numpy as np
import pytest
from oracle import F, needs_torch, torch
from scipy import stats

import tinygrad_like as tg
from tinygrad_like import losses

RNG = np.random.default_rng(2)
LOGITS = RNG.normal(size=(5, 4)) * 2
LABELS = RNG.integers(0, 4, 5)
P = RNG.dirichlet(np.ones(4), 5)
HUGE = np.array([1e4, -1e4, np.inf, -np.inf, 1e4, -1e4, np.inf, -np.inf])
HARD = np.array([1.0, 0, 1, 0, 0, 1, 0, 1])

# Weights


@pytest.mark.parametrize("name", ["mse", "l1", "huber", "smooth_l1"])
def test_the_mean_of_weighted_errors_is_divided_by_the_sum_of_the_weights(name):
    weight = np.array([[1.0], [2], [0], [1], [4]])
    loss = getattr(losses, name)
    each = loss(LOGITS, P, reduction="none")
    expected = np.average(each, weights=np.broadcast_to(weight, each.shape))
    np.testing.assert_allclose(loss(LOGITS, P, weight=weight), expected)


# Focal and Dice


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize("gamma", [0, 0.5, 2])
def test_focal_losses_are_their_formulas(gamma):
    p = softmax(LOGITS)[range(5), LABELS]
    found = losses.focal(LOGITS, LABELS, gamma=gamma, reduction="none")
    np.testing.assert_allclose(found, -((1 - p) ** gamma) * np.log(p))
    p = 1 / (1 + np.exp(-LOGITS))
    yes, no = -P * (1 - p) ** gamma * np.log(p), -(1 - P) * p**gamma * np.log(1 - p)
    binary = losses.binary_focal_with_logits
    found = binary(LOGITS, P, gamma=gamma, alpha=0.3, reduction="none")
    np.testing.assert_allclose(found, 0.3 * yes + 0.7 * no)
    found = binary(LOGITS, P, gamma=gamma, alpha=None, reduction="none")
    np.testing.assert_allclose(found, yes + no)
    tg.gradcheck(lambda x: losses.focal(x, LABELS, gamma=gamma), LOGITS, directions=2)
    q = softmax(LOGITS)
    shares = 0.7 * np.eye(q.shape[1])[LABELS] + 0.3 / q.shape[1]
    smoothed = partial(losses.focal, gamma=gamma, label_smoothing=0.3)
    found = smoothed(LOGITS, LABELS, reduction="none")
    np.testing.assert_allclose(found, -(shares * (1 - q) ** gamma * np.log(q)).sum(-1))
    tg.gradcheck(lambda x: smoothed(x, LABELS), LOGITS, directions=2)
    tg.gradcheck(lambda x: binary(x, P, gamma=gamma, label_smoothing=0.1), LOGITS, directions=2)


def test_focal_with_weights_and_ignored_rows_counts_as_cross_entropy_does():
    weight = np.array([0.5, 1, 2, 3])
    for smoothing in (0, 0.3):
        options = {"weight": weight, "ignore_index": LABELS[0], "label_smoothing": smoothing}
        np.testing.assert_allclose(
            losses.focal(LOGITS, LABELS, gamma=0, **options),
            losses.cross_entropy(LOGITS, LABELS, **options),
        )


@pytest.mark.parametrize("name", ["binary_cross_entropy_with_logits", "binary_focal_with_logits"])
def test_huge_and_infinite_logits_are_certain(name):
    options = {"alpha": None} if "focal" in name else {}
    loss = getattr(losses, name)(HUGE, HARD, reduction="none", **options)
    np.testing.assert_array_equal(loss, [0, 0, 0, 0, 1e4, 1e4, np.inf, np.inf])
    x = tg.Tensor(HUGE[:6], requires_grad=True)
    getattr(losses, name)(x, HARD[:6], reduction="sum", **options).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0, 0, 0, 1, -1])


def test_focal_of_a_certain_row_has_no_slope():
    x = tg.Tensor([[1e4, 0.0], [-1e4, 0.0]], requires_grad=True)
    loss = losses.focal(x, [0, 0], gamma=0.5, reduction="none")
    loss.sum().backward()
    np.testing.assert_array_equal(loss.numpy(), [0, 1e4])
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0], [-1, 1]], atol=1e-6)


def test_smoothed_targets_move_to_one_half():
    name = losses.binary_cross_entropy_with_logits
    np.testing.assert_allclose(name(LOGITS, P, label_smoothing=0.2), name(LOGITS, 0.8 * P + 0.1))
    p = 1 / (1 + np.exp(-LOGITS))
    np.testing.assert_allclose(
        losses.binary_cross_entropy(p, P, label_smoothing=0.2), name(LOGITS, 0.8 * P + 0.1)
    )


def test_hinge_is_its_formula():
    y = np.sign(RNG.normal(size=LOGITS.shape))
    for p in (1, 2):
        found = losses.hinge(LOGITS, y, margin=0.5, p=p, reduction="sum")
        np.testing.assert_allclose(found, (np.maximum(0, 0.5 - y * LOGITS) ** p).sum())


def test_dice_is_its_formula():
    p, t = RNG.uniform(0.1, 0.9, (2, 3, 4, 2)), RNG.integers(0, 2, (2, 3, 4, 2))
    found = losses.dice(tg.Tensor(p), t, axis=(1, 2), smooth=0.5, reduction="none")
    both, size = (p * t).sum((1, 2)), p.sum((1, 2)) + t.sum((1, 2))
    np.testing.assert_allclose(found.numpy(), 1 - (2 * both + 0.5) / (size + 0.5))
    found = losses.dice(p, t, squared=True)
    both, size = (p * t).sum((1, 2, 3)), (p**2).sum((1, 2, 3)) + t.sum((1, 2, 3))
    np.testing.assert_allclose(found, (1 - (2 * both + 1) / (size + 1)).mean())
    tg.gradcheck(lambda p: losses.dice(p, t), p, directions=2)


# Entropy


@pytest.mark.parametrize("base", [np.e, 2])
def test_entropy_is_scipys(base):
    expected = stats.entropy(P, axis=-1, base=base)
    with_zero = np.array([[0.0, 1.0], [0.5, 0.5]])
    for x, options in ((np.log(P), {}), (P, {"probabilities": True})):
        found = losses.entropy(tg.Tensor(x), base=base, reduction="none", **options)
        np.testing.assert_allclose(found.numpy(), expected)
        tg.gradcheck(lambda x, kw=options: losses.entropy(x, axis=0, **kw), x, directions=2)
    for x, options in ((HUGE[:2], {}), (with_zero[0], {"probabilities": True})):
        leaf = tg.Tensor(x, requires_grad=True)
        value = losses.entropy(leaf, **options)
        value.backward()
        assert value.item() == 0
        assert np.isfinite(leaf.grad.numpy()).all()


def test_a_class_that_is_ruled_out_adds_no_entropy():
    found = losses.entropy(tg.Tensor([0.0, -np.inf, 0.0]))
    np.testing.assert_allclose(found.item(), np.log(2), rtol=1e-6)


def test_perplexity_of_equal_choices_is_their_number():
    np.testing.assert_allclose(losses.perplexity(np.zeros((3, 7)), [0, 1, 2]), 7)


# Transport


def test_wasserstein_is_scipys():
    for n, m in itertools.product((1, 3, 4), (1, 4)):
        u, v = RNG.normal(size=n), RNG.normal(size=m).round()
        wu, wv = RNG.uniform(0.1, 1, n), RNG.uniform(0.1, 1, m)
        found = losses.wasserstein(tg.Tensor(u), v)
        np.testing.assert_allclose(found.item(), stats.wasserstein_distance(u, v))
        found = losses.wasserstein(u, v, u_weights=wu, v_weights=wv)
        np.testing.assert_allclose(found, stats.wasserstein_distance(u, v, wu, wv))
    u, v, w = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 4)), RNG.uniform(0.1, 1, (2, 3))
    tg.gradcheck(lambda *x: losses.wasserstein(x[0], x[1], u_weights=x[2]), u, v, w, directions=2)


def test_sinkhorn_approaches_the_cheapest_plan():
    u, v = RNG.normal(size=4), RNG.normal(size=4)
    a, b = RNG.dirichlet(np.ones(4), 2)
    cost = np.abs(u[:, None] - v)
    found = losses.sinkhorn(cost, a, b, epsilon=0.01, iterations=600)
    np.testing.assert_allclose(found, stats.wasserstein_distance(u, v, a, b), rtol=1e-3)
    empty = losses.sinkhorn(tg.Tensor(cost), [0, 1, 1, 0], b, epsilon=0.1, iterations=200)
    assert np.isfinite(empty.item())
    tg.gradcheck(
        lambda *x: losses.sinkhorn(*x, epsilon=0.5, iterations=5), cost, a, b, directions=2
    )


# CTC

FRAMES = np.array([4, 5, 3])
LENGTHS = np.array([2, 0, 2])
TARGETS = np.array([[1, 3], [2, 2], [2, 2]])  # the last one takes all of its frames
SCORES = RNG.normal(size=(5, 3, 4))


def ctc(x, **options):
    return losses.ctc(tg.log_softmax(x), TARGETS, FRAMES, LENGTHS, **options)


@needs_torch
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_ctc_is_torchs(reduction):
    x = torch.tensor(SCORES, requires_grad=True)
    arguments = map(torch.tensor, (TARGETS, FRAMES, LENGTHS))
    expected = F.ctc_loss(x.log_softmax(-1), *arguments, reduction=reduction)
    expected.sum().backward()
    leaf = tg.Tensor(SCORES, requires_grad=True)
    found = ctc(leaf, reduction=reduction)
    found.sum().backward()
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy())
    np.testing.assert_allclose(leaf.grad.numpy(), x.grad.numpy(), atol=1e-12)


def test_ctc_sums_over_all_paths():
    p, found = softmax(SCORES), np.zeros(3)
    for n in range(3):
        for path in itertools.product(range(4), repeat=FRAMES[n]):
            read = [c for c, _ in itertools.groupby(path) if c]
            if read == TARGETS[n, : LENGTHS[n]].tolist():
                found[n] += np.prod([p[t, n, c] for t, c in enumerate(path)])
    np.testing.assert_allclose(ctc(SCORES, reduction="none"), -np.log(found))


def test_ctc_has_derivatives_of_both_orders_and_vmap():
    tg.gradcheck(ctc, SCORES, directions=2)
    many = RNG.normal(size=(2, 5, 3, 4))
    found = tg.vmap(tg.grad(ctc))(tg.Tensor(many))
    for x, g in zip(many, found, strict=True):
        np.testing.assert_allclose(g.numpy(), tg.grad(ctc)(tg.Tensor(x)).numpy(), atol=1e-12)


def test_ctc_without_a_path_is_infinite_or_nothing():
    x = tg.Tensor(SCORES, requires_grad=True)
    call = [tg.log_softmax(x), TARGETS, [4, 5, 2], LENGTHS]
    loss = losses.ctc(*call, reduction="none")
    assert np.isinf(loss.numpy()).tolist() == [False, False, True]
    losses.ctc(*call, zero_infinity=True).backward()
    assert np.isfinite(x.grad.numpy()).all()
    assert not x.grad.numpy()[:, 2].any()
    assert x.grad.numpy()[:, 0].any()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ctc(SCORES[0]), ValueError, "expected (t, n, c)"),
        (lambda: losses.ctc(SCORES, [[0]] * 3, FRAMES, [1] * 3), ValueError, "contain the blank"),
        (lambda: losses.ctc(SCORES, [[4]] * 3, FRAMES, [1] * 3), IndexError, "contain 4"),
        (
            lambda: losses.ctc(SCORES, [[1]] * 3, [6] * 3, [1] * 3),
            ValueError,
            "contain 6, expected",
        ),
        (lambda: losses.ctc(SCORES, [[1.0]] * 3, FRAMES, [1] * 3), TypeError, "expected integers"),
        (lambda: losses.wasserstein(P, P[0]), ValueError, "u is (5, 4), v is (4,)"),
        (lambda: losses.wasserstein(P, P, u_weights=-P), ValueError, "u_weights are negative"),
        (lambda: losses.sinkhorn(P[0]), ValueError, "cost is (4,), expected (..., n, m)"),
        (lambda: losses.entropy(LOGITS, probabilities=True), ValueError, "expected 0 to 1; for"),
        (lambda: losses.entropy(P, base=1), ValueError, "base is 1, expected a number above 1"),
    ],
)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)
