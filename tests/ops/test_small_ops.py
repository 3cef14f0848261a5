"""Small ops on shapes and places: copies, non-zero places, lists, rounding; arguments refused."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import Tensor


def leaf(values):
    return Tensor(np.asarray(values, float), requires_grad=True)


def test_clone_and_copy_pass_the_gradient_on_and_share_nothing():
    x = leaf([1.0, 2.0])
    for y in (x.clone(), x.copy(), tg.copy(x), np.copy(x)):
        assert not np.shares_memory(y.data, x.data)
        (y * y).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [8, 16])


def test_nonzero_names_places_as_numpys():
    a = np.array([[0.0, 2.0], [3.0, 0.0], [0.0, np.nan]])
    for found in (tg.nonzero(Tensor(a)), Tensor(a).nonzero(), np.nonzero(Tensor(a))):
        for ours, expected in zip(found, np.nonzero(a), strict=True):
            np.testing.assert_array_equal(ours.numpy(), expected)
    np.testing.assert_array_equal(np.argwhere(Tensor(a)).numpy(), np.argwhere(a))
    x = leaf(a[:2])
    x[tg.nonzero(x)].sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), a[:2] != 0)
    with pytest.raises(ValueError, match=r"\[nonzero\] x is a number"):
        tg.nonzero(Tensor(1.0))


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
def test_numbers_come_out_as_lists(device):
    assert Tensor([[1, 2], [3, 4]], device=device).tolist() == [[1, 2], [3, 4]]
    assert type(Tensor(1.5, device=device).tolist()) is float
    assert leaf([1.0]).tolist() == [1.0]


def test_round_of_a_tensor_is_a_tensor():
    x = Tensor(np.array([1.26, -0.74]))
    assert round(x, 1).tolist() == [1.3, -0.7]
    assert round(x).tolist() == [1.0, -1.0]
    assert round(x[0], 1).item() == 1.3


def test_nothing_is_repeated_no_times():
    assert tg.repeat(tg.zeros(0), []).shape == (0,)
    assert np.repeat(tg.zeros((2, 0)), [], axis=1).shape == (2, 0)
    with pytest.raises(ValueError, match=r"\[repeat\] repeats is \[\]"):
        tg.repeat(tg.zeros(2), [])


def test_numpys_integers_are_integers_everywhere():
    x, one = Tensor(np.arange(6.0).reshape(2, 3)), np.int64(1)
    for f in (
        lambda i: tg.roll(x, i, i),
        lambda i: tg.repeat(x, i + i, i),
        lambda i: tg.tile(x, (i, i + i)),
        lambda i: tg.split(x, i, i)[0],
        lambda i: tg.split(x, [i], i)[1],
        lambda i: tg.unbind(x, i)[i],
        lambda i: tg.reshape(x, (i, -i, i + i)),
        lambda i: tg.tril(x, i),
        lambda i: tg.topk(x, i, i)[0],
        lambda i: tg.one_hot(Tensor([0, 1]), i + i),
        lambda i: tg.flip(x, i),
        lambda i: tg.sort(x, i),
        lambda i: x[i : i + i, i],
    ):
        np.testing.assert_array_equal(f(one).numpy(), f(1).numpy())
    np.testing.assert_array_equal(tg.roll(x, np.array([1, 1]), (0, 1)).numpy(),
                                  np.roll(x.numpy(), (1, 1), (0, 1)))  # fmt: skip


MISUSE = [
    (lambda x: x.roll((1, 2), (0,)), ValueError, "[roll] 2 shifts, 1 axes, expected as many"),
    (lambda x: x.roll((1, 2)), TypeError, "[roll] axis is None, expected an integer"),
    (lambda x: x.roll(True), TypeError, "[roll] shift is True, expected an integer"),
    (lambda x: x.roll(1, 0.0), TypeError, "[roll] axis is 0.0, expected an integer"),
    (lambda x: x.flip(True), TypeError, "[flip] axis is True, expected an integer"),
    (lambda x: x.sum(axis=True), TypeError, "[sum] axis is True, expected an integer"),
    (lambda x: x.tile(True), TypeError, "[tile] reps is True, expected an integer"),
    (lambda x: x.tile((2, 0.5)), TypeError, "[tile] reps is 0.5, expected an integer"),
    (lambda x: x.repeat(True), ValueError, "[repeat] repeats is True, expected a non-negative"),
    (lambda x: x.repeat("a"), ValueError, "[repeat] repeats is 'a', expected a non-negative"),
    (lambda x: x.repeat(None), ValueError, "[repeat] repeats is None, expected a non-negative"),
    (lambda x: x.split([0.5]), TypeError, "[split] indices_or_sections is 0.5, expected an int"),
    (lambda x: x.split(None), TypeError, "[split] indices_or_sections is None, expected an int"),
    (lambda x: x.unbind(2), IndexError, "[unbind] axis 2 is out of range"),
    (lambda x: x.unbind(None), TypeError, "[unbind] axis is None, expected an integer"),
    (lambda x: x.tril(0.5), TypeError, "[tril] k is 0.5, expected an integer"),
    (lambda x: x.triu("a"), TypeError, "[triu] k is 'a', expected an integer"),
    (lambda x: x.topk(True), TypeError, "[topk] k is True, expected an integer"),
    (lambda x: x.sort(True), TypeError, "[sort] axis is True, expected an integer"),
    (lambda x: x.take(0.5), IndexError, "[take] indices have dtype float64, expected integers"),
    (lambda x: x.take([True, False]), IndexError, "[take] indices have dtype bool, expected int"),
    (lambda x: x.take(slice(1)), IndexError, "[take] indices have dtype object, expected integ"),
    (lambda x: x.take(None), IndexError, "[take] indices have dtype object, expected integers"),
    (lambda x: x.take_along_axis(Tensor([[True] * 3])), IndexError,
     "[take_along_axis] indices have dtype bool, expected integers"),
    (lambda x: tg.scatter_add(x, None, x), IndexError, "[scatter_add] indices have dtype object,"),
    (lambda x: tg.scatter_add(x, [[0.5] * 3], x), IndexError, "[scatter_add] indices have dtype"),
    (lambda x: tg.scatter_add(x, [[0, 0, 0]], None), TypeError, "[scatter_add] updates is a None"),
    (lambda x: tg.one_hot(Tensor([1]), 2.5), TypeError, "[one_hot] num_classes is 2.5, expected"),
    (lambda x: tg.one_hot(Tensor([1]), True), TypeError, "[one_hot] num_classes is True, expect"),
    (lambda x: tg.one_hot(Tensor([1]), None), TypeError, "[one_hot] num_classes is None, expect"),
    (lambda x: tg.embedding(x, [[0], [0, 1]]), IndexError, "[embedding] an index cannot be made"),
    (lambda x: x.sum(axis=(1.0,)), TypeError, "[sum] axis is (1.0,), expected an integer"),
    (lambda x: tg.zeros_like([1, 2]), TypeError, "[zeros_like] x is a list, expected a Tensor"),
    (lambda x: tg.rand_like([1, 2]), TypeError, "[rand_like] x is a list, expected a Tensor"),
    (lambda x: tg.einsum("i,i->", None, x[0]), TypeError, "[einsum] operands[0] is a NoneType"),
    (lambda x: tg.einsum("i,i->", x[0], [1, 2]), TypeError, "[einsum] operands[1] is a list"),
    (lambda x: tg.conv2d(tg.ones((1, 1, 3, 3)), None), TypeError, "[conv2d] weight is a NoneType"),
    (lambda x: tg.scaled_dot_product_attention(*[tg.ones((1, 1, 2, 2))] * 2, None), TypeError,
     "[scaled_dot_product_attention] value is a NoneType"),
    (lambda x: tg.stack([x, "a"]), TypeError, "[stack] xs[1] is a str, expected a Tensor"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "text"), MISUSE, ids=[text for *_, text in MISUSE])
def test_misuse_is_named(call, kind, text):
    with pytest.raises(kind) as error:
        call(Tensor(np.arange(6.0).reshape(2, 3)))
    assert str(error.value).startswith(text)
