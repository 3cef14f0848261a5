"""Losses: PyTorch's values and gradients, second order, extreme inputs, dtypes."""

import numpy as np
import pytest
from needed import needs_emulator
from oracle import F, needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import losses

RNG = np.random.default_rng(0)
N, C = 6, 5
NUMBERS = RNG.normal(size=(N, C)) * 2
# Off by amounts that are clear of the kinks, at 0 and at huber's deltas.
OTHERS = NUMBERS + RNG.choice([-2.2, -0.6, -0.15, 0.15, 0.6, 2.2], (N, C))
LABELS = RNG.integers(0, C, N)
IGNORED = np.where(np.arange(N) % 3 == 1, -7, LABELS)
CHANCES = RNG.uniform(0.2, 0.8, (N, C))
YES_NO = RNG.integers(0, 2, (N, C))
P = RNG.dirichlet(np.full(C, 9.0), N)
LOG_Q = np.log(RNG.dirichlet(np.ones(C), N))
SIGNS = RNG.choice([-1.0, 1.0], (N, C))
COUNTS = RNG.integers(0, 6, (N, C))
# Up to three classes for each row, then -1 and numbers that are not read.
SEVERAL = np.array(
    [[0, 3, -1, 1, 1], [2, -1, 2, 2, 2], [-1] * 5, [4, 1, 0, -1, 3]] + [[1, -1] * 2 + [0]] * 2
)
PER_CLASS = RNG.uniform(0.3, 2, C)
BCE_LOGITS = "binary_cross_entropy_with_logits"

ROWS = [  # loss, prediction, target, options
    ("mse", NUMBERS, OTHERS, {}),
    ("l1", NUMBERS, OTHERS, {}),
    ("huber", NUMBERS, OTHERS, {}),
    ("huber", NUMBERS, OTHERS, {"delta": 0.3}),
    ("binary_cross_entropy", CHANCES, YES_NO, {}),
    ("binary_cross_entropy", CHANCES, P, {}),
    (BCE_LOGITS, NUMBERS, YES_NO, {}),
    (BCE_LOGITS, NUMBERS, P, {}),
    ("cross_entropy", NUMBERS, LABELS, {}),
    ("cross_entropy", NUMBERS, LABELS, {"label_smoothing": 0.2}),
    ("cross_entropy", NUMBERS, IGNORED, {"ignore_index": -7}),
    ("cross_entropy", NUMBERS, IGNORED, {"ignore_index": -7, "label_smoothing": 0.2}),
    ("cross_entropy", NUMBERS, P, {}),
    ("cross_entropy", NUMBERS, P, {"label_smoothing": 0.2}),
    ("nll", LOG_Q, LABELS, {}),
    ("nll", LOG_Q, IGNORED, {"ignore_index": -7}),
    ("kl_divergence", LOG_Q, P, {}),
    ("kl_divergence", LOG_Q, np.log(P), {"log_target": True}),
    ("mse", NUMBERS, OTHERS, {"weight": CHANCES}),
    ("smooth_l1", NUMBERS, OTHERS, {"beta": 0.5}),
    ("smooth_l1", NUMBERS, OTHERS, {"beta": 0.0}),
    ("poisson_nll", NUMBERS, COUNTS, {"full": True}),
    ("poisson_nll", CHANCES, COUNTS, {"log_input": False, "eps": 1e-3}),
    ("soft_margin", NUMBERS, SIGNS, {}),
    ("hinge_embedding", NUMBERS, SIGNS, {"margin": 0.7}),
    ("binary_cross_entropy", CHANCES, P, {"weight": PER_CLASS}),
    (BCE_LOGITS, NUMBERS, P, {"weight": PER_CLASS, "pos_weight": PER_CLASS[::-1].copy()}),
    (
        "cross_entropy",
        NUMBERS,
        IGNORED,
        {"ignore_index": -7, "label_smoothing": 0.2, "weight": PER_CLASS},
    ),
    ("cross_entropy", NUMBERS, P, {"label_smoothing": 0.2, "weight": PER_CLASS}),
    ("nll", LOG_Q, IGNORED, {"ignore_index": -7, "weight": PER_CLASS}),
    ("multi_margin", NUMBERS, LABELS, {"margin": 0.6}),
    ("multi_margin", NUMBERS, LABELS, {"p": 2, "weight": PER_CLASS}),
    ("multilabel_margin", NUMBERS, SEVERAL, {}),
    ("multilabel_soft_margin", NUMBERS, YES_NO, {"weight": PER_CLASS}),
]
NAMES_IN_TORCH = {
    "mse": "mse_loss",
    "l1": "l1_loss",
    "huber": "huber_loss",
    "nll": "nll_loss",
    "kl_divergence": "kl_div",
}
OF_LABELS = "cross_entropy nll multi_margin multilabel_margin".split()
every_row = pytest.mark.parametrize(
    ("name", "prediction", "target", "options"),
    ROWS,
    ids=[f"{i}-{row[0]}-{'-'.join(row[3])}" for i, row in enumerate(ROWS)],
)


def run(name, prediction, target, reduction="mean", **options):
    """The loss and its gradient with respect to the prediction, as arrays.

    The elements of a loss with reduction="none" are weighted by 1, 2, 3...
    """
    x = tg.Tensor(prediction, requires_grad=True)
    loss = getattr(losses, name)(x, target, reduction=reduction, **options)
    loss.backward(np.arange(1, loss.size + 1, dtype=loss.dtype).reshape(loss.shape))
    assert loss.dtype == x.grad.dtype == x.dtype
    return loss.numpy(), x.grad.numpy()


@needs_torch
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-6)])
@every_row
def test_values_and_gradients_are_torchs(
    name, prediction, target, options, dtype, tolerance, reduction
):
    prediction = prediction.astype(dtype)
    value, gradient = run(name, prediction, target, reduction, **options)
    x = torch.tensor(prediction, requires_grad=True)
    integer = name in OF_LABELS and target.dtype.kind == "i"
    options = {
        k: torch.tensor(v, dtype=x.dtype) if hasattr(v, "shape") else v for k, v in options.items()
    }
    by_torch = getattr(F, NAMES_IN_TORCH.get(name, name), None) or getattr(F, f"{name}_loss")
    expected = by_torch(
        x,
        torch.tensor(target if integer else target.astype(dtype)),
        reduction=reduction,
        **options,
    )
    expected.backward(torch.arange(1, expected.numel() + 1).to(x.dtype).reshape(expected.shape))
    np.testing.assert_allclose(value, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=tolerance, atol=tolerance)


@needs_torch
def test_batchmean_is_torchs():
    expected = F.kl_div(torch.tensor(LOG_Q), torch.tensor(P), reduction="batchmean")
    ours = losses.kl_divergence(tg.Tensor(LOG_Q), P, reduction="batchmean")
    np.testing.assert_allclose(ours.item(), expected.item(), rtol=1e-12)


@every_row
def test_second_derivatives_are_right(name, prediction, target, options):
    loss = getattr(losses, name)
    tg.gradcheck(lambda x: loss(x, target, **options), prediction, directions=2)


@pytest.mark.parametrize(
    ("name", "prediction", "target"),
    [
        ("mse", NUMBERS, OTHERS),
        ("l1", NUMBERS, OTHERS),
        ("huber", NUMBERS, OTHERS),
        ("binary_cross_entropy", CHANCES, P),
        (BCE_LOGITS, NUMBERS, P),
        ("cross_entropy", NUMBERS, P),
        ("kl_divergence", LOG_Q, P),
    ],
)
def test_a_target_can_be_differentiated(name, prediction, target):
    tg.gradcheck(getattr(losses, name), prediction, target, directions=2)


@every_row
def test_no_float64_comes_from_lower_precision(name, prediction, target, options):
    for dtype in (np.float16, np.float32):
        for reduction in ("mean", "sum", "none"):
            value, _gradient = run(name, prediction.astype(dtype), target, reduction, **options)
            exact, _gradient = run(
                name, prediction.astype(dtype).astype(float), target, reduction, **options
            )
            tolerance = 8 * np.finfo(dtype).eps
            np.testing.assert_allclose(value, exact, rtol=tolerance, atol=tolerance)


@every_row
def test_arrays_give_arrays(name, prediction, target, options):
    value = getattr(losses, name)(prediction, target, **options)
    assert not isinstance(value, tg.Tensor)
    np.testing.assert_array_equal(value, run(name, prediction, target, **options)[0])


def test_huber_is_twice_differentiable_where_the_error_is_zero():
    x = np.zeros((2, 3))
    tg.gradcheck(losses.huber, x, x)


# Extreme inputs (warnings are errors in this suite)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_huge_logits_is_finite(dtype, smoothing):
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0]], dtype)
    for labels in ([0, 0], np.array([[1.0, 0, 0], [1, 0, 0]])):
        value, gradient = run("cross_entropy", logits, np.array(labels), label_smoothing=smoothing)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    if not smoothing:
        np.testing.assert_allclose(value, 1e4, rtol=1e-3)
        np.testing.assert_allclose(gradient, np.array([[0, 0, 0], [-0.5, 0.5, 0]]), atol=1e-3)


@pytest.mark.parametrize("spread", [1, 50])
@pytest.mark.parametrize("offset", [0, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["cross_entropy", "smoothed", "probabilities", "logsumexp"])
def test_an_offset_of_all_logits_costs_no_digits(name, dtype, offset, spread):
    """Against float64, of the same logits about zero: there all differences are exact."""
    logits = (offset + spread * NUMBERS).astype(dtype)
    losses_of = {
        "cross_entropy": lambda x: losses.cross_entropy(x, LABELS, reduction="none"),
        "smoothed": lambda x: losses.cross_entropy(
            x, LABELS, reduction="none", label_smoothing=0.2
        ),
        "probabilities": lambda x: losses.cross_entropy(x, P, reduction="none"),
        "logsumexp": lambda x: tg.logsumexp(x, axis=-1),
    }[name]

    def value_and_gradient(x):
        x = tg.Tensor(x, requires_grad=True)
        value = losses_of(x)
        tg.sum(value).backward()
        return value.numpy(), x.grad.numpy()

    value, gradient = value_and_gradient(logits)
    true_value, true_gradient = value_and_gradient(logits.astype(np.float64) - offset)
    if name == "logsumexp":
        true_value = true_value + offset
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(value, true_value, rtol=4 * eps, atol=4 * eps)
    np.testing.assert_allclose(gradient, true_gradient, rtol=0, atol=4 * eps)


def test_the_gradient_of_cross_entropy_sees_differences_beside_a_large_offset():
    logits = np.array([[1e8, 1e8, 1e8 - 8, 0]], np.float32)
    value, gradient = run("cross_entropy", logits, np.array([0]))
    p = 1 / (2 + np.exp(-8.0))
    np.testing.assert_allclose(value, -np.log(p), rtol=1e-6)
    np.testing.assert_allclose(gradient, [[p - 1, p, p * np.exp(-8.0), 0]], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_binary_cross_entropy_of_huge_logits_is_finite_and_right(dtype):
    logits = np.array([1e4, -1e4, 1e4, -1e4, 0], dtype)
    value, gradient = run(BCE_LOGITS, logits, np.array([1, 0, 0, 1, 1]), "none")
    np.testing.assert_allclose(value, [0, 0, 1e4, 1e4, np.log(2)], rtol=1e-3)
    np.testing.assert_allclose(gradient / np.arange(1, 6), [0, 0, 1, -1, -0.5], rtol=1e-3)


def test_confident_right_answers_keep_their_small_loss_and_gradient():
    for logit, target in ((20.0, 1), (-20.0, 0)):
        value, gradient = run(BCE_LOGITS, np.array([logit], np.float32), np.array([target]))
        np.testing.assert_allclose(value, np.exp(-20.0), rtol=1e-5)
        np.testing.assert_allclose(abs(gradient), [np.exp(-20.0)], rtol=1e-5)


def test_binary_cross_entropy_stops_at_100_for_probabilities_0_and_1():
    p = np.array([0.0, 0.0, 1.0, 1.0], np.float32)
    value, gradient = run("binary_cross_entropy", p, np.array([0, 1, 0, 1]), "none")
    np.testing.assert_array_equal(value, [0, 100, 100, 0])
    np.testing.assert_array_equal(gradient, [1, 0, 0, -4])


def test_kl_counts_nothing_where_p_is_zero_even_if_q_is_zero_too():
    value, gradient = run(
        "kl_divergence", np.array([-np.inf, np.log(0.5)]), np.array([0.0, 1.0]), "none"
    )
    np.testing.assert_allclose(value, [0, np.log(2)])
    np.testing.assert_array_equal(gradient, [0, -2])
    p = tg.Tensor([0.0, 1.0], requires_grad=True)
    losses.kl_divergence(np.array([-np.inf, -1.0], np.float32), p, reduction="sum").backward()
    np.testing.assert_allclose(p.grad.numpy(), [0, 2])


def test_a_class_that_is_ruled_out_may_have_probability_zero():
    logits = np.array([[0.0, 0.0, -np.inf]])
    value, gradient = run("cross_entropy", logits, np.array([[0.5, 0.5, 0]]))
    np.testing.assert_allclose(value, np.log(2))
    np.testing.assert_allclose(gradient, np.zeros((1, 3)))


@every_row
def test_nan_shows_in_the_loss(name, prediction, target, options):
    broken = prediction.copy()
    broken[0, 0] = np.nan
    with np.errstate(invalid="ignore"):
        given = target if target is SIGNS else np.where(target == LABELS[0], 0, target)
        assert np.isnan(run(name, broken, given, **options)[0])


@pytest.mark.parametrize("name", ["cross_entropy", BCE_LOGITS, "mse", "kl_divergence"])
def test_nan_in_a_target_shows_in_the_loss(name):
    target = np.full((N, 3), 1 / 3, np.float32)
    target[0, 0] = np.nan
    assert np.isnan(getattr(losses, name)(tg.full((N, 3), 0.5), tg.Tensor(target)).item())


def test_an_ignored_row_may_hold_nan():
    logits = NUMBERS.copy()
    logits[IGNORED == -7] = np.nan
    for smoothing in (0.0, 0.1):
        value, gradient = run(
            "cross_entropy", logits, IGNORED, ignore_index=-7, label_smoothing=smoothing
        )
        kept = IGNORED != -7
        expected = run("cross_entropy", NUMBERS[kept], LABELS[kept], label_smoothing=smoothing)
        np.testing.assert_allclose(value, expected[0])
        np.testing.assert_allclose(gradient[kept], expected[1])
        assert not gradient[~kept].any()


# Shapes and types that are accepted


def test_classes_lie_along_the_last_axis_of_any_number():
    logits, labels = RNG.normal(size=(2, 3, 4, C)), RNG.integers(0, C, (2, 3, 4))
    flat = losses.cross_entropy(logits.reshape(-1, C), labels.reshape(-1), reduction="none")
    value = losses.cross_entropy(tg.Tensor(logits), labels, reduction="none")
    np.testing.assert_array_equal(value.numpy(), flat.reshape(2, 3, 4))
    one = losses.cross_entropy(tg.Tensor(logits[0, 0, 0]), int(labels[0, 0, 0]))
    np.testing.assert_allclose(one.item(), flat[0])


@pytest.mark.parametrize("kind", ["uint8", "int8", "int32", "int64", "uint64"])
def test_labels_of_any_integer_type_are_accepted(kind):
    expected = losses.cross_entropy(NUMBERS, LABELS)
    labels = LABELS.astype(kind)
    for given in (labels, tg.Tensor(labels), list(LABELS)):
        for ignore in (None, -100):
            ours = losses.cross_entropy(NUMBERS, given, ignore_index=ignore)
            np.testing.assert_allclose(ours, expected)


def test_an_empty_batch_has_a_sum():
    empty = np.zeros((0, C), np.float32)
    assert losses.mse(empty, empty, reduction="sum") == 0
    assert losses.cross_entropy(empty, np.zeros(0, int), reduction="sum") == 0
    assert losses.cross_entropy(empty, np.zeros(0, int), reduction="none").shape == (0,)
    ignored = losses.cross_entropy(NUMBERS, LABELS * 0 - 1, ignore_index=-1, reduction="sum")
    assert ignored == 0


def test_numbers_and_lists_are_taken_as_exactly_as_the_prediction():
    assert losses.l1(np.array([0.0]), [0.1]) == 0.1
    assert losses.gaussian_nll(np.array([1.0]), [1.0], 0.1) == 0.5 * np.log(0.1)


# One example of vmap, and other devices

CALLS = {
    "mse": lambda x: losses.mse(x, OTHERS, weight=CHANCES),
    "gaussian_nll": lambda x: losses.gaussian_nll(x, OTHERS, tg.exp(x)),
    "poisson_nll": lambda x: losses.poisson_nll(x, COUNTS, full=True),
    BCE_LOGITS: lambda x: getattr(losses, BCE_LOGITS)(x, P, pos_weight=PER_CLASS),
    "focal": lambda x: losses.focal(x, IGNORED, ignore_index=-7, weight=PER_CLASS),
    "dice": lambda x: losses.dice(tg.sigmoid(x), YES_NO),
    "multi_margin": lambda x: losses.multi_margin(x, LABELS, weight=PER_CLASS),
    "multilabel_margin": lambda x: losses.multilabel_margin(x, SEVERAL),
    "entropy": losses.entropy,
    "triplet_margin": lambda x: losses.triplet_margin(x, OTHERS, -OTHERS, swap=True),
    "info_nce": lambda x: losses.info_nce(x, OTHERS, symmetric=True),
    "wasserstein": lambda x: losses.wasserstein(x, OTHERS, u_weights=tg.exp(x)),
    "sinkhorn": lambda x: losses.sinkhorn(x * x, epsilon=1.0, iterations=3),
    "ctc": lambda x: losses.ctc(
        tg.log_softmax(x[:, None]), np.array([[1, 2]]), np.array([N]), np.array([2])
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_examples_of_vmap_have_the_values_and_gradients_of_a_loop(name):
    many = np.stack([NUMBERS, OTHERS[::-1]])
    for f in (CALLS[name], tg.grad(CALLS[name])):
        found = tg.vmap(f)(tg.Tensor(many)).numpy()
        expected = np.stack([f(tg.Tensor(x)).numpy() for x in many])
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.long
@needs_emulator
@pytest.mark.parametrize("name", CALLS)
def test_a_device_gives_the_values_and_gradients_of_the_cpu(name):
    found, expected = [], []
    for out, device in ((found, "cuda-emulator"), (expected, "cpu")):
        x = tg.Tensor(NUMBERS, device=device, requires_grad=True)
        loss = CALLS[name](x)
        loss.backward()
        assert loss.device == x.grad.device == x.device
        out += [loss.numpy(), x.grad.numpy()]
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-10)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-9, atol=1e-12)
