"""The checker itself: it passes what is right, and finds what is planted."""

import numpy as np
import pytest

import tinygrad_like as tg

RNG = np.random.default_rng(0)
X = RNG.uniform(0.5, 1.5, (2, 3))


def planted(relative, forward, derivative, *, at=None):
    """An op whose gradient is wrong by a relative amount, everywhere or at one index."""

    def factor(x):
        wrong = np.ones(np.shape(x)) if at is None else np.zeros(np.shape(x))
        if at is not None:
            wrong[at] = 1
        return 1 + relative * wrong

    @tg.op(x=lambda g, x: g * derivative(x) * factor(x))
    def planted_op(be, x):
        return forward(be.xp, x)

    return planted_op


@pytest.mark.parametrize("relative", [1e-6, -1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("at", [None, (1, 2)])
@pytest.mark.parametrize("directions", [None, 3])
def test_a_planted_error_is_found_by_complex_steps(relative, at, directions):
    op = planted(relative, lambda xp, x: xp.sin(x), lambda x: tg.cos(x), at=at)
    with pytest.raises(tg.GradientError, match=r"order 1"):
        tg.gradcheck(op, X, directions=directions)


@pytest.mark.parametrize("relative", [1e-6, -1e-6, 1e-3])
@pytest.mark.parametrize("at", [None, (0, 1)])
def test_a_planted_error_is_found_by_differences_where_complex_steps_cannot_go(relative, at):
    op = planted(relative, lambda xp, x: xp.abs(x) ** 3, lambda x: 3 * x * tg.abs(x), at=at)
    with pytest.raises(tg.GradientError, match=r"order 1"):
        tg.gradcheck(op, X)


def test_an_error_planted_in_the_second_order_only_is_found():
    @tg.op(y=lambda g, y: g * -tg.sin(y) * (1 + 1e-6))
    def wrong_cos(be, y):
        return be.xp.cos(y)

    @tg.op(x=lambda g, x: g * wrong_cos(x))
    def sine(be, x):
        return be.xp.sin(x)

    assert tg.gradcheck(sine, X, order=1)
    with pytest.raises(tg.GradientError, match=r"order 2"):
        tg.gradcheck(sine, X, order=2)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_right_gradients_pass(order):
    w = RNG.standard_normal((3, 2))
    assert tg.gradcheck(lambda x, w: tg.softmax(tg.tanh(x @ w)), X, w, order=order)
    assert tg.gradcheck(lambda x: tg.abs(x) * tg.exp(x), X, order=order)


def test_several_outputs_are_checked_each():
    good = planted(0.0, lambda xp, x: xp.exp(x), tg.exp)
    bad = planted(1e-6, lambda xp, x: xp.sin(x), tg.cos)
    assert tg.gradcheck(lambda x: (good(x), good(x) * 2), X)
    with pytest.raises(tg.GradientError):
        tg.gradcheck(lambda x: (good(x), bad(x)), X)


def test_the_message_names_order_input_index_and_both_numbers():
    bad = planted(0.5, lambda xp, x: xp.exp(x), tg.exp, at=(1, 2))
    with pytest.raises(tg.GradientError) as caught:
        tg.gradcheck(lambda a, b: a.sum() + bad(b).sum(), X, X + 1)
    error = caught.value
    assert (error.order, error.input, error.index) == (1, 1, (1, 2))
    assert error.computed == pytest.approx(1.5 * error.numerical)
    assert "order 1, input 1, index (1, 2): computed " in str(error)
    assert repr(error.computed) in str(error)
    assert repr(error.numerical) in str(error)


def test_method_complex_refuses_a_function_that_is_not_analytic():
    assert tg.gradcheck(tg.exp, X, method="complex")
    with pytest.raises(ValueError, match=r"\[gradcheck\] f does not allow complex steps"):
        tg.gradcheck(lambda x: tg.abs(x), X, method="complex")


def test_method_differences_passes_what_complex_steps_pass():
    assert tg.gradcheck(lambda x: tg.log(x) * tg.sqrt(x), X, method="differences", order=2)


def test_integers_and_none_are_passed_on():
    labels = np.array([0, 2])
    assert tg.gradcheck(
        lambda x, b, y: tg.linear(x, tg.exp(x).T, b)[np.arange(2), y % 2], X, None, labels
    )


def test_0d_and_empty_inputs_are_checked():
    assert tg.gradcheck(lambda a, b: a * tg.exp(b), np.array(0.5), np.array(2.0))
    assert tg.gradcheck(lambda a, b: a.sum() + b.sum(), np.ones((0, 3)), X)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tg.gradcheck(tg.exp, X.astype("f4")), TypeError, r"input 0 has dtype float32"),
        (
            lambda: tg.gradcheck(tg.exp, np.arange(3)),
            TypeError,
            r"no input is a float64 or complex128",
        ),
        (lambda: tg.gradcheck(tg.exp, X, order=0), ValueError, r"order is 0"),
        (lambda: tg.gradcheck(tg.exp, X, method="magic"), ValueError, r"method is 'magic'"),
        (lambda: tg.gradcheck(lambda x: x.numpy(), X), TypeError, r"f must return a Tensor"),
        (
            lambda: tg.gradcheck(lambda x: tg.dropout(x, 0.5), X),
            ValueError,
            r"make it deterministic",
        ),
    ],
)
def test_what_cannot_be_checked_is_refused(call, error, message):
    with pytest.raises(error, match=r"\[gradcheck\].*" + message):
        call()


def test_a_gradient_that_is_nan_is_an_error():
    with pytest.raises(tg.GradientError):
        tg.gradcheck(lambda x: x * np.nan, X, order=1)
