"""Plans of recorded calls: those of the short path of two inputs, and those of composites."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import Tensor, op
from tinygrad_like.engine import gradients

X = np.array([0.3, 0.8, 1.1])


def leaf(values):
    return Tensor(np.array(values, np.float64), requires_grad=True)


def test_a_rule_of_two_inputs_is_told_which_of_the_two_need_a_gradient():
    """By the short path: two Tensors, or a Tensor first and an array; and by the full path."""
    told = []

    def rule(g, needs):
        told.append(needs)
        return g

    @op(a=rule, b=rule)
    def told_sum(be, a, b):
        return a + b

    for _ in range(2):  # plans are made once and kept
        for a, b, needs in (
            (leaf(X), Tensor(X), (True, False)),
            (Tensor(X), leaf(X), (False, True)),
            (leaf(X), leaf(X), (True, True)),
            (leaf(X), X, (True, False)),
            (X, leaf(X), (False, True)),
        ):
            told.clear()
            told_sum(a, b).sum().backward()
            assert told == [needs] * sum(needs)
            for x, needed in zip((a, b), needs, strict=True):
                if isinstance(x, Tensor):
                    assert (x.grad is not None) == needed


def test_integers_that_an_op_of_two_inputs_returns_carry_no_gradient():
    """Though one input requires one, and the result has the dtype of the other."""

    @op(a=lambda g: g, b=lambda g: g)
    def first_of_two(be, a, b):
        return a + 0

    y = first_of_two(Tensor([1, 2, 3]), leaf(X))
    assert y.dtype == np.int64
    assert not y.requires_grad
    assert first_of_two(leaf(X), Tensor([1, 2, 3])).requires_grad


def with_composite(composite):
    """An op of two outputs, x + y and 3, with this definition."""

    @op(
        several=True,
        composite=composite,
        backward=lambda g, needs: [g[0] if n else None for n in needs],
    )
    def sum_and_three(be, x, y):
        return x + y, x * 0 + 3

    return sum_and_three


def test_a_composite_may_return_what_depends_on_no_input_and_leave_an_input_out():
    """Such outputs give no gradient, and such inputs get zeros."""
    f = with_composite(lambda x, y: (x * x, Tensor(np.full(3, 3.0))))
    x, y = leaf(X), leaf(X)
    first, second = f(x, y)
    grads = gradients([(first * second).sum()], [x, y], create_graph=True)
    np.testing.assert_allclose(grads[0].numpy(), 3 * 2 * X)
    np.testing.assert_array_equal(grads[1].numpy(), np.zeros(3))
    assert grads[1].dtype == np.float64


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_composite_with_another_number_of_outputs_is_an_error(outputs):
    f = with_composite(lambda x, y: (x + y, x * 0 + 3, x)[:outputs])
    x, y = leaf(X), leaf(X)
    first, second = f(x, y)
    with pytest.raises(ValueError, match=r"zip\(\).*\n?.*in the gradient of sum_and_three"):
        gradients([(first + second).sum()], [x, y], create_graph=True)


def test_two_inputs_that_are_one_are_told_apart_in_a_composite():
    f = with_composite(lambda x, y: (x * y, x * 0 + 3))
    x = leaf(X)
    (grad,) = tg.engine.gradients([f(x, x)[0].sum()], [x], create_graph=True)
    np.testing.assert_allclose(grad.numpy(), 2 * X)
