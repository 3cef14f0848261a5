"""Fused gradients of rows that sum to 1: in their shortest form, and as the ops' own rules say."""

import numpy as np
import pytest
from fused_functions import softmax_row

import tinygrad_like as tg
from tinygrad_like.fusion.decorator import _Trace

pytestmark = pytest.mark.long  # each function is compiled

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 19))


def gradients(f, *arrays):
    """Of a weighted sum of f's result, with respect to all arguments."""
    leaves = [tg.Tensor(a, requires_grad=True) for a in arrays]
    y = f(*leaves)
    y.backward(tg.Tensor(np.arange(float(y.size)).reshape(y.shape)))
    return [x.grad.numpy() for x in leaves]


def shares(e):
    return e / tg.sum(e, axis=-1, keepdims=True)


def of_positive_numbers(x):
    return shares(tg.square(x) + 0.5)


def of_exponentials(x):
    return shares(tg.exp(x))


def masked(x):
    return softmax_row(tg.where(x > 1, -1e9, 2 * x))


def inside_others(x):
    return tg.sin(softmax_row(tg.tanh(x))) * x


def twice(x):
    return softmax_row(softmax_row(x) * 3)


def shifted_by_another(x, z):
    e = tg.exp(z - tg.max(x, axis=-1, keepdims=True))
    return e / tg.sum(e, axis=-1, keepdims=True)


def with_a_zero_of_its_own(x):
    return softmax_row(x) + 0 / (x - X[0, 0])


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
def test_the_gradient_of_softmax_needs_no_exponential_and_no_maximum(device, monkeypatch):
    made = []
    original = _Trace._backward_program

    def watched(self, needs):
        made.append(original(self, needs))
        return made[-1]

    monkeypatch.setattr(_Trace, "_backward_program", watched)
    x = tg.Tensor(X, requires_grad=True, device=device)
    tg.fuse(softmax_row)(x).backward(tg.ones(X.shape, device=device))
    names = [step.name for step in made[0].loop.steps]
    assert sorted(names) == ["multiply", "multiply", "spread", "subtract", "sum"]


@pytest.mark.parametrize(
    "f", [softmax_row, of_positive_numbers, of_exponentials, masked, inside_others, twice]
)
def test_gradients_are_those_of_the_ops(f):
    np.testing.assert_allclose(gradients(tg.fuse(f), X), gradients(f, X), rtol=1e-12, atol=1e-12)
    tg.gradcheck(tg.fuse(f), X, order=2)


def test_ties_share_nothing_where_the_maximum_has_no_gradient():
    x = np.repeat(RNG.normal(size=(4, 1)), 9, axis=1)
    np.testing.assert_allclose(
        gradients(tg.fuse(softmax_row), x), gradients(tg.softmax, x), rtol=1e-12, atol=1e-14
    )


def test_a_gradient_that_is_nothing_but_zero_has_its_shape():
    found = gradients(tg.fuse(shifted_by_another), X, X[::-1] * 0.5)
    expected = gradients(shifted_by_another, X, X[::-1] * 0.5)
    for actual, other in zip(found, expected, strict=True):
        assert actual.shape == other.shape
        np.testing.assert_allclose(actual, other, rtol=1e-12, atol=1e-12)


def test_a_zero_of_the_function_is_divided_as_it_says():
    with np.errstate(invalid="ignore", divide="ignore"):
        (found,) = gradients(tg.fuse(with_a_zero_of_its_own), X)
        (expected,) = gradients(with_a_zero_of_its_own, X)
    assert np.isnan(expected[0, 0])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_not_a_number_fills_its_row():
    x = X.copy()
    x[2, 3] = np.nan
    (found,) = gradients(tg.fuse(softmax_row), x)
    assert np.isnan(found[2]).all()
    assert np.isfinite(np.delete(found, 2, axis=0)).all()
