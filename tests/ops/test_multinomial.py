"""multinomial: the distributions it draws from, its order, its errors, and its repetition."""

import itertools

import numpy as np
import pytest
from needed import needs_emulator

import tinygrad_like as tg
from tinygrad_like import Tensor

P = np.array([0.1, 0.0, 0.4, 0.2, 0.3])


def test_with_replacement_each_index_comes_as_often_as_its_probability_says():
    tg.seed(0)
    n = 40_000
    drawn = tg.multinomial(Tensor(P * 7), n, replacement=True).numpy()
    assert drawn.shape == (n,)
    assert drawn.dtype == np.int64
    share = np.bincount(drawn, minlength=5) / n
    assert share[1] == 0
    np.testing.assert_array_less(np.abs(share - P), 5 * np.sqrt(P * (1 - P) / n) + 1e-12)


def test_without_replacement_orders_come_as_often_as_successive_draws_give_them():
    tg.seed(1)
    n, p = 30_000, np.array([0.5, 0.2, 0.3])
    rows = tg.multinomial(Tensor(np.tile(p, (n, 1))), 3).numpy()
    assert (np.sort(rows, axis=1) == [0, 1, 2]).all()
    for order in itertools.permutations(range(3)):
        a, b, _ = order
        expected = p[a] * p[b] / (1 - p[a])
        share = (rows == order).all(axis=1).mean()
        assert abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / n), order


@pytest.mark.parametrize("replacement", [False, True])
def test_impossible_indices_are_never_drawn(replacement):
    tg.seed(2)
    p = np.zeros((2000, 6), np.float32)
    p[:, [1, 4]] = 1e-30, 1e30
    rows = tg.multinomial(Tensor(p), 2, replacement).numpy()
    assert np.isin(rows, [1, 4]).all()


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 4, 3), (0, 3)])
@pytest.mark.parametrize("replacement", [False, True])
def test_shapes(shape, replacement):
    drawn = tg.multinomial(tg.ones(shape), 2, replacement=replacement)
    assert drawn.shape == (*shape[:-1], 2)
    assert isinstance(drawn, Tensor)
    assert not tg.multinomial(tg.ones(shape, requires_grad=True), 1).requires_grad


@needs_emulator
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("replacement", [False, True])
def test_the_draws_repeat_from_the_seed_on_every_device(dtype, replacement):
    rows = []
    for device in ("cpu", "cpu", "cuda-emulator"):
        tg.seed(3)
        p = tg.ones((4, 50), dtype=dtype, device=device)
        drawn = tg.multinomial(p, 20, replacement)
        assert drawn.device == device
        rows.append(drawn.cpu().numpy())
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[0], rows[2])
    assert (tg.multinomial(p, 20, replacement).cpu().numpy() != rows[0]).any()


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: tg.multinomial(Tensor([1, 2]), 1), TypeError, "probabilities are of int64"),
        (lambda: tg.multinomial([0.5, 0.5], 1), TypeError, "probabilities are a list, expected a"),
        (lambda: tg.multinomial(Tensor(1.0), 1), ValueError, "probabilities are a number"),
        (lambda: tg.multinomial(Tensor([-0.1, 1]), 1), ValueError, "contain negative, infinite"),
        (lambda: tg.multinomial(Tensor([np.nan, 1]), 1), ValueError, "contain negative, infinite"),
        (lambda: tg.multinomial(Tensor([np.inf, 1]), 1), ValueError, "contain negative, infinite"),
        (lambda: tg.multinomial(tg.zeros(3), 1, True), ValueError, "has 0 positive probabilities"),
        (lambda: tg.multinomial(Tensor([0.0, 1]), 2), ValueError, "pass replacement=True"),
        (
            lambda: tg.multinomial(tg.ones(3), 0),
            ValueError,
            "num_samples is 0, expected a positive integer",
        ),
        (
            lambda: tg.multinomial(tg.ones(3), 1.5),
            TypeError,
            "num_samples is 1.5, expected a positive",
        ),
        (
            lambda: tg.multinomial(tg.ones(3), 1, "yes"),
            ValueError,
            "replacement is 'yes', expected",
        ),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith("[multinomial] ")
    assert text in str(caught.value)


def test_a_tiny_probability_goes_before_none():
    for _ in range(20):
        assert tg.multinomial(tg.Tensor(np.array([0.0, 1e-310, 0.0])), 1).tolist() == [1]
