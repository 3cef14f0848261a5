"""Activations where a row of the cases cannot go: limits of their options, and random choices."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import Tensor


def test_softplus_is_exact_unless_a_threshold_is_asked_for():
    x = Tensor(np.array([20.5, 1000.0]), requires_grad=True)
    assert tg.softplus(x).numpy()[0] == np.log1p(np.exp(20.5))
    y = tg.softplus(x, threshold=20)
    assert y.tolist() == [20.5, 1000.0]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]
    assert tg.softplus(x, beta=1e300).numpy()[0] == 20.5


def test_gumbel_softmax_chooses_with_the_probabilities_of_softmax():
    tg.seed(0)
    logits = Tensor(np.tile(np.log([0.2, 0.5, 0.3])[:, None], (1, 4000)), requires_grad=True)
    y = tg.gumbel_softmax(logits, tau=0.3, hard=True, axis=0)
    np.testing.assert_allclose(y.numpy().max(0), 1, rtol=1e-12)
    np.testing.assert_allclose(y.numpy().sum(0), 1, rtol=1e-12)
    np.testing.assert_allclose(y.numpy().mean(1), [0.2, 0.5, 0.3], atol=0.03)
    tg.seed(0)
    soft = tg.gumbel_softmax(logits.detach(), tau=0.3, axis=0)
    np.testing.assert_array_equal(soft.numpy().argmax(0), y.numpy().argmax(0))
    y[0].sum().backward()
    expected = soft.numpy()[0] * (np.eye(3)[0][:, None] - soft.numpy()) / 0.3
    np.testing.assert_allclose(logits.grad.numpy(), expected, rtol=1e-9, atol=1e-12)


X = np.ones((2, 3))
WRONG = [
    (lambda: tg.glu(X), ValueError, r"\[glu\] axis -1 of x has length 3"),
    (lambda: tg.prelu(X, np.ones(2)), ValueError, r"\[prelu\] weight has shape \(2,\)"),
    (lambda: tg.hardtanh(X, min=2), ValueError, r"\[hardtanh\] min is 2"),
    (lambda: tg.celu(X, alpha=0), ValueError, r"\[celu\] alpha is 0"),
    (lambda: tg.softplus(X, beta=0), ValueError, r"\[softplus\] beta is 0, expected a pos"),
    (lambda: tg.softshrink(X, lambd=-1), ValueError, r"\[softshrink\] lambd is -1"),
    (lambda: tg.threshold(X, "a", 0), TypeError, r"\[threshold\] threshold is 'a'"),
    (lambda: tg.gumbel_softmax(X, tau=0), ValueError, r"\[gumbel_softmax\] tau is 0"),
    (lambda: tg.gumbel_softmax(X > 0), TypeError, r"\[gumbel_softmax\] logits have dtype bool"),
]


@pytest.mark.parametrize(("call", "error", "text"), WRONG, ids=[text for *_, text in WRONG])
def test_wrong_options_are_refused(call, error, text):
    with pytest.raises(error, match=f"^{text}"):
        call()
