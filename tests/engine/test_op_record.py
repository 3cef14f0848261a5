"""`tg.op`: what a rule may ask for, what is refused, and what ops with several outputs promise."""

import numpy as np
import pytest
from op_calls import attempt, leaf

import tinygrad_like as tg
from tinygrad_like import GraphError, Tensor, op
from tinygrad_like.engine import gradients
from tinygrad_like.gradcheck import gradcheck

X = np.array([[0.3, 0.8, 1.1], [0.5, 0.7, 0.2]])


# What a rule may ask for


def test_a_rule_may_ask_for_every_kind_of_name():
    seen = []

    def rule(g, a, b, b_shape, out, scale, be, needs):
        seen.append((a.shape, b.shape, b_shape, out.shape, scale, be.device, needs))
        return g * b * scale

    @op(a=rule, b=lambda g, a, scale: g * a * scale)
    def scaled_product(be, a, b, *, scale=2.0):
        return a * b * scale

    a, b = leaf(X), Tensor(X[0])
    scaled_product(a, b, scale=3.0).sum().backward()
    assert seen == [((2, 3), (3,), (3,), (2, 3), 3.0, "cpu", (True, False))]
    np.testing.assert_allclose(a.grad.numpy(), np.broadcast_to(X[0] * 3, (2, 3)))
    gradcheck(scaled_product, X, X[0], order=3)


def test_an_attribute_that_is_not_given_has_its_default_in_the_rule():
    @op(x=lambda g, scale: g * scale)
    def scaled(be, x, *, scale=7.0):
        return x * scale

    x = leaf([1.0])
    scaled(x).sum().backward()
    assert x.grad.item() == 7


@pytest.mark.parametrize(
    ("rules", "match"),
    [
        ({"x": lambda g, y: g}, "'y'"),
        ({"x": lambda g, X: g}, "'X'"),
        ({"x": lambda g, y_shape: g}, "'y_shape'"),
        ({"x": lambda g, output: g}, "'output'"),
        ({"x": lambda g, mean: g}, "'mean'"),
        ({"z": lambda g: g}, "'z'"),
        ({"scale": lambda g: g}, "'scale'"),
    ],
)
def test_an_unknown_name_in_a_rule_raises_where_the_op_is_defined(rules, match):
    with pytest.raises(TypeError, match=rf"\[faulty\].*{match}"):

        @op(**rules)
        def faulty(be, x, *, scale=1.0):
            return x * scale


def test_an_op_without_a_rule_for_an_input_refuses_to_be_differentiated_by_it():
    @op(a=lambda g: g)
    def half_known(be, a, b):
        return a + b * 2

    a, b = leaf([1.0]), leaf([2.0])
    half_known(a, b.detach()).sum().backward()
    assert a.grad.item() == 1
    with pytest.raises(GraphError, match=r"\[half_known\] is not differentiable by b"):
        half_known(a, b)


def test_ops_take_raw_arrays_and_give_raw_arrays():
    assert type(tg.exp(X)) is np.ndarray
    assert type(tg.multiply(X, 2)) is np.ndarray


def test_an_input_may_be_left_out_where_none_is_its_default():
    @op(x=lambda g: g, shift=lambda g: g)
    def shifted(be, x, shift=None):
        return x * 1 if shift is None else x + shift

    gradcheck(shifted, X)
    gradcheck(shifted, X, X)


def test_an_input_with_another_default_has_it():
    @op(x=lambda g: g)
    def moved(be, x, by=5.0):
        return x + (0 if by is None else by)

    assert moved(leaf([1.0])).item() == 6


def test_an_integer_output_carries_no_graph():
    @op(x=lambda g: g)
    def truncated(be, x):
        return x.astype(np.int64)

    assert not truncated(leaf([1.5])).requires_grad
    x = leaf(X)
    for y in (x > 0.5, tg.argmax(x), x.astype(np.int32), tg.topk(x, 2)[1], tg.isnan(x), x == x):
        assert not y.requires_grad


# What a rule may not do


def test_a_rule_that_returns_none_is_refused():
    @op(x=lambda g: None)
    def forgetful(be, x):
        return x * 2

    with pytest.raises((GraphError, TypeError, ValueError), match="forgetful"):
        forgetful(leaf([1.0])).sum().backward()


def test_a_backward_that_returns_none_for_a_needed_input_is_refused():
    @op(backward=lambda g: [g, None])
    def forgetful(be, a, b):
        return a + b

    with pytest.raises((GraphError, TypeError, ValueError), match="forgetful"):
        forgetful(leaf([1.0]), leaf([1.0])).sum().backward()


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    "wrong", [lambda g: g.T, lambda g: g.reshape(-1), lambda g: g[:1], lambda g: g.sum()]
)
def test_a_gradient_that_does_not_broadcast_down_to_its_input_is_refused(wrong, create_graph):
    @op(x=wrong)
    def misshapen(be, x):
        return x * 1

    x = leaf(X)
    with pytest.raises(ValueError, match="misshapen"):
        misshapen(x).sum().backward(create_graph=create_graph)


def test_an_error_inside_a_rule_names_the_op():
    @op(x=lambda g, x: g @ x)
    def broken(be, x):
        return x * 1

    with pytest.raises(ValueError, match="matmul") as caught:
        broken(leaf(X)).sum().backward()
    text = f"{caught.value} {getattr(caught.value, '__notes__', '')}"
    assert "in the gradient of broken" in text


@pytest.mark.parametrize("by_rule", [True, False])
def test_a_floating_intermediate_is_never_a_constant_at_order_2(by_rule):
    """It was computed from the input: to differentiate past it is wrong, so it must be refused."""
    if by_rule:
        given = {"x": lambda g, power: g * power}
    else:
        given = {"backward": lambda g, power: [g * power]}

    @op(saves=("power",), **given)
    def kept_exp(be, x):
        power = be.xp.exp(x)
        return power.copy(), (power,)

    x = leaf([0.3])
    kept_exp(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp([0.3]))
    first = attempt(
        lambda: gradients([kept_exp(x).sum()], [x], create_graph=True), match="kept_exp"
    )
    if first is None:
        return
    (g2,) = gradients([first[0].sum()], [x])
    np.testing.assert_allclose(g2.numpy(), np.exp([0.3]))


# Attributes are constants; a Tensor that wants a gradient is not one


@pytest.mark.parametrize(
    "f",
    [
        lambda x, a: tg.leaky_relu(x, slope=a),
        lambda x, a: tg.elu(x, alpha=a),
        lambda x, a: tg.clip(x, a, 2.0),
        lambda x, a: tg.clip(x, 0.1, max=a),
        lambda x, a: tg.pad(x, 1, value=a),
        lambda x, a: tg.layer_norm(x, eps=a),
        lambda x, a: np.clip(x, a, 2.0),
    ],
    ids=["leaky_relu", "elu", "clip min", "clip max", "pad", "layer_norm", "np.clip"],
)
def test_a_tensor_as_attribute_gets_its_gradient_or_is_refused(f):
    x, a = leaf(X - 0.6), leaf(0.5)
    y = attempt(lambda: f(x, a), match="is not differentiable by")
    if y is None:
        return
    y.sum().backward()
    assert a.grad is not None, "the attribute's gradient was lost without a word"


def test_a_tensor_without_gradient_can_be_a_limit_of_clip():
    limit = Tensor(np.array([0.2, 0.5, 0.6]))
    np.testing.assert_array_equal(
        tg.clip(Tensor(X), limit).numpy(), np.clip(X, limit.numpy(), None)
    )


# Fused ops with a composite


def _fused_square_sum(calls):
    def backward(g, be, a, b, total, needs):
        calls.append(needs)
        return [g * 2 * total if n else None for n in needs]

    @op(
        composite=lambda a, b: (a + b) * (a + b),
        backward=backward,
        saves=("total",),
    )
    def fused_square(be, a, b):
        total = a + b
        return total * total, (total,)

    return fused_square


def test_a_fused_op_is_right_at_every_order_through_its_composite():
    calls = []
    f = _fused_square_sum(calls)
    gradcheck(f, X, X * 2, order=3)
    gradcheck(lambda x: f(x, x), X, order=3)
    gradcheck(lambda x: f(x, f(x, x)), X, order=2)


def test_a_fused_backward_is_told_what_is_needed():
    calls = []
    f = _fused_square_sum(calls)
    a, b = leaf(X), leaf(X)
    f(a, Tensor(X)).sum().backward()
    f(Tensor(X), b).sum().backward()
    gradients([f(a, b).sum()], [b])
    assert calls == [(True, False), (False, True), (False, True)]


def test_a_fused_op_under_create_graph_uses_its_definition_only():
    calls = []
    x = leaf(X)
    _fused_square_sum(calls)(x, x).sum().backward(create_graph=True)
    np.testing.assert_allclose(x.grad.numpy(), 8 * X)
    assert calls == []


# Several outputs


def _exp_and_square():
    @op(several=True, x=lambda g, out, x: g[0] * out[0] + g[1] * 2 * x)
    def exp_and_square(be, x):
        return be.xp.exp(x), x * x

    return exp_and_square


SEVERAL = {
    "first": lambda a, b: a,
    "second": lambda a, b: b,
    "both": lambda a, b: a * b,
    "one twice": lambda a, b: a * a + a,
    "one after the other": lambda a, b: tg.sin(a * b) + b,
}


@pytest.mark.parametrize("use", SEVERAL)
def test_several_outputs_of_a_rule_that_reads_out(use):
    f = _exp_and_square()
    gradcheck(lambda x: SEVERAL[use](*f(x)), X, order=3, directions=2)


@pytest.mark.parametrize("use", SEVERAL)
def test_several_outputs_of_split(use):
    gradcheck(lambda x: SEVERAL[use](*tg.split(x, 2)), X, order=3, directions=2)


@pytest.mark.parametrize("use", [*SEVERAL, "the variance", "all three", "all three twice"])
def test_several_outputs_of_batch_norm(use):
    more = {
        "the variance": lambda y, m, v: v,
        "all three": lambda y, m, v: y * v * m,
        "all three twice": lambda y, m, v: y * y * v * m + m * m + y,
    }

    def f(x, w):
        y, m, v = tg.batch_norm(x, w)
        return more[use](y, m, v) if use in more else SEVERAL[use](y, m)

    gradcheck(f, X, np.array([0.5, 1.5, 2.0]), order=2, directions=3, rtol=1e-5)


@pytest.mark.parametrize("use", [lambda s, d: d, lambda s, d: d * d * s, lambda s, d: s + d])
def test_several_outputs_of_slogdet(use):
    a = X @ X.T + 2 * np.eye(2)
    gradcheck(lambda x: use(*tg.slogdet(x)), a, order=2)


def test_the_sign_of_a_determinant_alone_has_gradient_zero():
    x = leaf(np.eye(2) * 3)
    tg.slogdet(x)[0].backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros((2, 2)))


def test_backward_from_one_output_frees_the_call_for_the_other():
    """But for parts that are views, whose call saves no array: see tests/ops/test_indexing.py."""
    a, b = _exp_and_square()(leaf(X))
    a.sum().backward()
    with pytest.raises(GraphError, match=r"\[exp_and_square\].*freed"):
        b.sum().backward()


def test_outputs_can_be_differentiated_together():
    x = leaf(X)
    a, b = _exp_and_square()(x)
    (g,) = gradients([a, b, a], [x], [np.ones(X.shape)] * 3)
    np.testing.assert_allclose(g.numpy(), 2 * np.exp(X) + 2 * X)


def test_an_integer_output_among_several_carries_no_graph():
    @op(several=True, x=lambda g, x: g[0])
    def with_rank(be, x):
        return x * 1, be.xp.argsort(x, axis=-1)

    x = leaf(X)
    y, rank = with_rank(x)
    assert (y.requires_grad, rank.requires_grad) == (True, False)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.ones(X.shape))


def test_a_tensor_into_several_inputs_of_an_op_with_several_outputs():
    @op(
        several=True,
        a=lambda g, a, b, out: g[0] * b + g[1],
        b=lambda g, a, b, out: g[0] * a - g[1],
    )
    def product_and_difference(be, a, b):
        return a * b, a - b

    def f(x):
        p, d = product_and_difference(x, x * x)
        q, e = product_and_difference(p, p)
        return p * d + q * q + e

    gradcheck(f, X, order=2)
