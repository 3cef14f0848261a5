"""Writing into a Tensor: a value that its dtype would not keep is refused, and nothing changes."""

import math

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import Tensor

NAN, INF = math.nan, math.inf
DEVICES = ["cpu", "cuda-emulator"]

# (dtype of the tensor, value, error)
REFUSED = [
    (np.int64, NAN, ValueError),
    (np.int64, INF, ValueError),
    (np.int64, 1.7, ValueError),
    (np.int64, 2**70, ValueError),
    (np.int64, 2.0**63, ValueError),
    (np.int64, np.uint64(2**63), ValueError),
    (np.int64, np.float16(2.5), ValueError),
    (np.int64, np.array([1.0, 2.5, 3.0]), ValueError),
    (np.int64, Tensor([1.0, 2.0, NAN]), ValueError),
    (np.int64, 1j, TypeError),
    (np.uint8, 300, ValueError),
    (np.uint8, -1, ValueError),
    (np.uint8, np.int64(300), ValueError),
    (np.uint8, [1, 2, 256], ValueError),
    (np.uint8, Tensor([1, 2, 300]), ValueError),
    (np.int8, np.float32(128), ValueError),
    (np.bool_, 2, ValueError),
    (np.bool_, NAN, ValueError),
    (np.bool_, [0.5, 0, 1], ValueError),
    (np.float32, 1e300, ValueError),
    (np.float32, [1e300, 0, 0], ValueError),
    (np.float32, 10**400, ValueError),
    (np.float16, 70000.0, ValueError),
    (np.float32, 1j, TypeError),
    (np.float32, np.array([1j, 0, 0]), TypeError),
    (np.float32, None, TypeError),
    (np.float32, [1, None, 3], TypeError),
    (np.float32, "a", TypeError),
    (np.float32, {}, TypeError),
    (np.float32, object(), TypeError),
    (np.float32, [1, 2], ValueError),
]
KEPT = [
    (np.int64, 2.0),
    (np.int64, True),
    (np.int64, -(2.0**63)),
    (np.int64, np.array([1.0, 2.0, 3.0])),
    (np.int64, np.float64(7)),
    (np.uint8, 255),
    (np.uint8, Tensor([0, 1, 255])),
    (np.bool_, 1),
    (np.bool_, [0, 1.0, True]),
    (np.float32, INF),
    (np.float32, NAN),
    (np.float32, 2**70),
    (np.float32, [1, 2, 3]),
    (np.float16, -65504),
    (np.float64, 1e300),
    (np.complex64, 1j),
]


def on(device, value):
    return value.to(device) if isinstance(value, Tensor) else value


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "value", "error"), REFUSED)
def test_a_value_that_would_change_on_the_way_is_refused(dtype, value, error, device):
    x = tg.zeros(3, dtype=dtype, device=device)
    with pytest.raises(error, match=r"^\[setitem\] "):
        x[:] = on(device, value)
    assert not x.numpy().any()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "value"), KEPT, ids=str)
def test_a_value_that_the_dtype_holds_is_written(dtype, value, device):
    x = tg.zeros(3, dtype=dtype, device=device)
    x[:] = on(device, value)
    raw = value.numpy() if isinstance(value, Tensor) else value
    np.testing.assert_array_equal(x.numpy(), np.full(3, raw, dtype))


@pytest.mark.parametrize("device", DEVICES)
def test_a_sum_that_leaves_the_integers_is_refused_in_place(device):
    x = Tensor(np.array([100, 1], np.int8), device=device)
    for value, error in (
        (300, ValueError),
        (Tensor([300, 1], device=device), ValueError),
        (1.5, TypeError),
    ):
        with pytest.raises(error, match=r"^\[i?add\] "):
            x += value
        assert x.numpy().tolist() == [100, 1]
    x += Tensor([20, 1], device=device)
    assert x.numpy().tolist() == [120, 2]
    assert x.dtype == np.int8
