"""Python numbers as operands: what counts as one, beside which dtypes, and what is refused."""

import math

import numpy as np
import pytest
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import Tensor, losses

# Numbers that float16 cannot hold, at all or exactly, where the result it can.
BEYOND_HALF = {
    "x * 65536": lambda x: x * 65536,
    "65536.0 * x": lambda x: 65536.0 * x,
    "x / 1e-4": lambda x: x / 1e-4,
    "1e5 / (x * 1000)": lambda x: 1e5 / (x * 1000 + 100),
    "x * 0.1": lambda x: x * 0.1,
    "x + 0.1": lambda x: x + 0.1,
    "66000 - 60000 x": lambda x: 66000 - 60000 * (x + 0.05),
    "x ** 0.1": lambda x: x**0.1,
    "1.1 ** x": lambda x: 1.1**x,
}


@needs_torch
@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
@pytest.mark.parametrize("f", BEYOND_HALF.values(), ids=BEYOND_HALF)
def test_numbers_beside_float16_count_in_float32(f, device):
    values = np.array([0.01, 0.5, 0.9], np.float16)
    x = Tensor(values, requires_grad=True, device=device)
    t = torch.tensor(values.astype(np.float64), requires_grad=True)
    y, expected = f(x), f(t)
    (y * 0.01).sum().backward()
    (expected * 0.01).sum().backward()
    assert y.dtype == x.grad.dtype == np.float16
    np.testing.assert_allclose(y.cpu().numpy(), expected.detach().numpy(), rtol=4e-3)
    np.testing.assert_allclose(x.grad.cpu().numpy(), t.grad.numpy(), rtol=4e-3, atol=1e-6)


def test_the_gradient_of_a_product_with_a_large_number_is_finite_in_float16():
    x = Tensor(np.array([1e-4], np.float16), requires_grad=True)
    (x * 1e6 * 1e-3).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1000], rtol=2e-3)


def test_raw_float16_arrays_and_numbers_give_the_same_as_tensors():
    x = np.array([0.01, 0.5], np.float16)
    got = tg.multiply(x, 65536), tg.divide(x, 1e-5), tg.power(x, 0.1)
    assert all(type(y) is np.ndarray and y.dtype == np.float16 for y in got)
    np.testing.assert_array_equal(got[0], (Tensor(x) * 65536).numpy())


def test_comparisons_of_float16_with_numbers_beyond_its_range():
    x = Tensor(np.array([1.0, math.inf, -math.inf, math.nan], np.float16))
    for number in (1e6, -1e6, 10**6):
        wide = x.numpy().astype(np.float64)
        assert (x > number).numpy().tolist() == (wide > number).tolist()
        assert (x <= number).numpy().tolist() == (wide <= number).tolist()
        assert not (x == number).numpy().any()
    assert (Tensor(np.array([0.1], np.float16)) == 0.1).item()  # within its range it is rounded


def test_scalar_attributes_beside_float16_count_in_float32():
    x = Tensor(np.array([-60000.0, 2.0], np.float16), requires_grad=True)
    y = tg.leaky_relu(x, slope=1e-8)
    np.testing.assert_allclose(y.numpy(), [-6e-4, 2], rtol=2e-3)
    (y * 1000).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1e-5, 1000], rtol=0.02)
    np.testing.assert_array_equal(tg.elu(x, alpha=0.001).numpy(), np.array([-0.001, 2], np.float16))
    assert x.clip(-1e6, 1e6).numpy().tolist() == [-60000, 2]
    assert x.clip(None, 1e6).dtype == np.float16


ZERO_D = {
    "add": lambda x, n: x + n,
    "multiply": lambda x, n: x * n,
    "reflected": lambda x, n: n * x,
    "power": lambda x, n: x**n,
    "maximum": tg.maximum,
    "where": lambda x, n: tg.where(x > 0, x, n),
    "clip": lambda x, n: x.clip(n, None),
    "leaky_relu": lambda x, n: tg.leaky_relu(x, slope=n),
    "huber": lambda x, n: tg.losses.huber(x, x * 2, delta=n),
}


@pytest.mark.parametrize(
    "number", [np.array(2.0), np.float64(2), np.array(2), np.int64(2)], ids=repr
)
@pytest.mark.parametrize("f", ZERO_D.values(), ids=ZERO_D)
def test_0d_arrays_and_numpy_scalars_beside_a_tensor_are_numbers(f, number):
    x = Tensor(np.array([1.0, -2.0], np.float32), requires_grad=True)
    y = f(x, number)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.numpy(), f(x, 2.0).numpy())
    y.sum().backward()
    assert x.grad.dtype == np.float32


def test_a_result_within_float16_of_a_number_beyond_it():
    y = Tensor(np.array([60000.0], np.float16)) / 1e5
    np.testing.assert_allclose(y.numpy(), [0.6], rtol=1e-3)


def test_0d_arrays_beside_integers_keep_their_dtype():
    assert (Tensor(np.array([1, 2], np.int8)) * np.array(2)).dtype == np.int8
    assert (Tensor([1, 2]) * np.array(2.5)).dtype == np.float32


def test_numbers_alone_give_a_tensor():
    for got, expected in (
        (tg.add(2.0, 3.0), np.float32(5)),
        (tg.add(2, 3), np.int64(5)),
        (tg.divide(1, 2), np.float32(0.5)),
        (tg.exp(0.0), np.float32(1)),
        (tg.maximum(2, 3.0), np.float32(3)),
    ):
        assert isinstance(got, Tensor)
        assert got.shape == ()
        assert got.dtype == expected.dtype
        assert got.item() == expected


NONE = {
    "where": lambda x: tg.where(x > 0, x, None),
    "where condition": lambda x: tg.where(None, x, x),
    "where, raw": lambda x: tg.where(x.numpy() > 0, x.numpy(), None),
    "add": lambda x: x + None,
    "reflected": lambda x: None * x,
    "power": lambda x: x**None,
    "maximum": lambda x: tg.maximum(None, x),
    "equal": lambda x: tg.equal(x, None),
    "logical_and": lambda x: tg.logical_and(x, None),
    "logical_or": lambda x: tg.logical_or(None, x),
    "logical_not": lambda x: tg.logical_not(None),
    "isclose": lambda x: tg.isclose(x, None),
    "masked_fill": lambda x: x.masked_fill(x > 0, None),
    "concatenate": lambda x: tg.concatenate([x, None]),
    "linear": lambda x: tg.linear(x, None),
    "matmul": lambda x: tg.matmul(x, None),
    "isnan": lambda x: tg.isnan(None),
}


@pytest.mark.parametrize("f", NONE.values(), ids=NONE)
def test_none_is_no_operand(f):
    with pytest.raises(TypeError, match=r"^\[\w+\] .* is a NoneType, expected a Tensor, an array"):
        f(tg.ones((2, 2)))


def test_integers_are_not_divided_by_zero():
    x = Tensor([1, 2])
    for f in (lambda: x // 0, lambda: x % 0, lambda: x // Tensor([1, 0]), lambda: 5 % (x - 1)):
        with pytest.raises(ValueError, match=r"^\[(floor_divide|remainder)\] integers are divided"):
            f()
    with np.errstate(divide="ignore"):
        assert (tg.ones(1) // 0).item() == math.inf


def test_a_number_that_an_integer_dtype_cannot_hold_is_refused():
    with pytest.raises(ValueError, match=r"^\[add\] .*300 out of bounds for uint8"):
        Tensor([1], dtype=np.uint8) + 300
    with pytest.raises(ValueError, match=r"^\[multiply\] "):
        tg.ones(1) * 10**400


# Gradients of half types


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_in_float16_that_is_a_sum_of_many_is_added_up_in_float32(create_graph, device):
    w = Tensor(np.float16([0.0]), requires_grad=True, device=device)
    y = w
    for _ in range(2999):
        y = y + w
    y.backward(create_graph=create_graph)
    assert w.grad.dtype == np.float16
    assert w.grad.item() == 3000  # one after the other they stop at 2048


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
@pytest.mark.parametrize("name", ["var", "std"])
def test_gradients_of_spreads_in_float16_keep_their_digits(name, device):
    n = 200_000
    x = Tensor(np.tile(np.float16([200, -200]), n // 2), requires_grad=True, device=device)
    (getattr(x, name)() * 0.25).backward()
    expected = 0.25 * (2 / n * 200 if name == "var" else 1 / n)
    half = np.float16(expected)
    assert abs(float(x.grad.numpy()[0]) - expected) <= np.spacing(half)


def test_a_mean_over_a_batch_does_not_overflow_in_float16():
    q, p = np.full((100_000, 1), -1, np.float16), np.ones((100_000, 1), np.float16)
    assert losses.kl_divergence(Tensor(q), p, reduction="batchmean").item() == 1


def test_a_loss_of_few_rows_in_float16_does_not_overflow_on_its_way_back():
    labels = np.full((8, 512), -100)
    labels[:, 0] = 1
    z = np.random.default_rng(0).standard_normal((8, 512, 32)).astype(np.float16)
    found = []
    for dtype in (np.float16, np.float64):
        x = Tensor(z.astype(dtype), requires_grad=True)
        (losses.cross_entropy(x, labels, ignore_index=-100) * 256).backward()
        found.append(x.grad.numpy())
    np.testing.assert_allclose(*found, rtol=0.01, atol=0.01)


def test_rounding_in_float16_does_not_overflow_on_the_way():
    assert tg.round(Tensor(np.float16([125.6])), decimals=3).tolist() == [np.float16(125.6)]
