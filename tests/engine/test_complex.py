"""Complex numbers: forward only. A gradient through them is refused, not guessed."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import Tensor
from tinygrad_like.engine import gradients, leaf

CURE = "take the real and the imaginary part as two real tensors"


def test_values_are_numpy_s():
    z = Tensor(np.array([1 + 2j, -3j]))
    np.testing.assert_array_equal(tg.abs(z * 1j).numpy(), np.abs(z.numpy() * 1j))
    assert (z * z + 1).dtype == np.complex128
    assert not z.requires_grad


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_a_complex_leaf_cannot_require_a_gradient(dtype):
    z = np.ones(2, dtype)
    message = rf"\[requires_grad\] the dtype is {np.dtype(dtype)}, expected a floating one; {CURE}"
    with pytest.raises(TypeError, match=message):
        Tensor(z, requires_grad=True)
    t = Tensor(z)
    with pytest.raises(TypeError, match=CURE):
        t.requires_grad = True
    with pytest.raises(TypeError, match=CURE):
        tg.zeros(2, dtype=dtype, requires_grad=True)
    with pytest.raises(TypeError, match=r"\[data\]"):
        tg.zeros(2, requires_grad=True).data = z


THROUGH = {
    "|x i|": lambda x: tg.abs(x * 1j).sum(),
    "|x| of a cast": lambda x: tg.abs(x.astype(np.complex128)).sum(),
    "cast back": lambda x: tg.abs(x * np.array([1j, 2j]) + 1).sum(),
    "second operand": lambda x: tg.abs(Tensor(np.array([1j, 2j])) * x).sum(),
    "matmul": lambda x: tg.abs(Tensor(np.eye(2) * 1j) @ x).sum(),
    "concatenate": lambda x: tg.abs(tg.concatenate([Tensor(np.array([1j])), x])).sum(),
}


@pytest.mark.parametrize("f", THROUGH.values(), ids=THROUGH)
@pytest.mark.parametrize("create_graph", [False, True])
def test_no_gradient_passes_through_complex_intermediates(f, create_graph):
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    with pytest.raises(TypeError, match=CURE):
        f(x).backward(create_graph=create_graph)
    assert x.grad is None
    with pytest.raises(TypeError, match=CURE):
        tg.grad(f)(np.array([1.0, 2.0]))


def test_a_complex_result_is_not_differentiated():
    x = Tensor(np.array(2.0), requires_grad=True)
    with pytest.raises(
        TypeError, match=rf"\[backward\] the dtype of this tensor is complex.*{CURE}"
    ):
        (x * 1j).backward()
    for derivative in (tg.grad, tg.value_and_grad, tg.jacobian, tg.hessian):
        with pytest.raises(TypeError, match=rf"\[\w+\] what f returned is complex\d+, .*{CURE}"):
            derivative(lambda x: x * (2 + 1j))(3.0)
        with pytest.raises(TypeError, match=rf"\[\w+\] argument 0 is complex\d+, .*{CURE}"):
            derivative(tg.abs)(np.array(1j))
    with pytest.raises(TypeError, match=CURE):
        tg.vjp(lambda x: x * 1j, 3.0)


def test_real_and_imaginary_part_as_two_tensors_go_downhill():
    re, im = Tensor([1.0], requires_grad=True), Tensor([2.0], requires_grad=True)
    loss = (re * re + im * im).sum()  # |z|^2
    loss.backward()
    assert (re.grad.item(), im.grad.item()) == (2, 4)


def test_complex_steps_still_check_analytic_functions():
    x = np.array([0.3, 0.7])
    assert tg.gradcheck(lambda x: tg.exp(x * x) / x, x, order=3, method="complex")
    z = leaf(x + 0.5j)
    (g,) = gradients([tg.exp(z).sum()], [z])
    np.testing.assert_allclose(g.numpy(), np.exp(x + 0.5j))


def test_spreads_and_norms_are_of_sizes():
    z = np.array([[1 + 2j, -3j], [0.5, 2 - 1j]])
    t = Tensor(z)
    for ours, theirs in (
        (tg.var(t), np.var(z)),
        (t.std(axis=0), np.std(z, axis=0)),
        (np.var(t, axis=1), np.var(z, axis=1)),
        (tg.norm(t), np.linalg.norm(z)),
        (tg.norm(t, 1, axis=1), np.linalg.norm(z, 1, axis=1)),
        (tg.norm(t, 3, axis=0), np.linalg.norm(z, 3, axis=0)),
    ):
        assert ours.dtype == np.float64
        np.testing.assert_allclose(ours.numpy(), theirs)


def test_an_infinite_part_leaves_the_other_alone():
    z = np.array([complex(1, np.inf), 2.0])
    total = tg.sum(Tensor(z)).item()
    assert (total.real, total.imag) == (3, np.inf)
