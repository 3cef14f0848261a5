"""Every op on a device whose arrays refuse NumPy's: nothing of the host leaks in.

What passes here has a good chance on CuPy, without a GPU: the same protocols, the same refusals.
"""

import itertools

import numpy as np
import pytest
import strict_array
from device_calls import NAMES, derivatives
from grouped import grouped
from op_calls import CALLS, brief_rows, family_of, op_of
from strict_array import STRICT, StrictArray
from tinygrad_like.kernels import reference

import tinygrad_like as tg
from tinygrad_like import DeviceError, Tensor, backend, ops
from tinygrad_like.engine import gradients


@pytest.fixture(autouse=True)
def _strict_device(monkeypatch):
    """The device, and on the CPU the same kernels as there: then both compute the same numbers."""
    strict_array.install(monkeypatch)
    kernels = backend.Kernels(lambda: reference, np, np.ndarray)
    monkeypatch.setattr(backend.CPU, "k", kernels)


LONG = "svd", "eigh", "qr", "lu", "solve_triangular", "cholesky_solve", "lstsq", "cond"


def on_strict(array):
    return Tensor(array, device="strict")


@grouped(
    "name order",
    itertools.product(NAMES, [1, 2, 3]),
    by=op_of,
    brief=brief_rows(9),
    together=family_of,
)
def test_no_numpy_array_leaks_into_an_op_or_its_gradient(name, order):
    if order == 3 and (any(word in name for word in ("conv", "pool")) or name.startswith(LONG)):
        order = 2
    if order > (CALLS[name].orders or order):
        with pytest.raises(NotImplementedError, match=rf"^\[\w+\] .*this is order {order}"):
            derivatives(name, on_strict, order)
        return
    tg.seed(0)
    expected = derivatives(name, Tensor, order)
    tg.seed(0)
    found = derivatives(name, on_strict, order)
    assert {type(a) for a in found} == {StrictArray}
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(STRICT.to_host(a), b, rtol=1e-9, atol=1e-12)


@grouped("name", NAMES, by=op_of, brief=brief_rows(6), together=family_of)
def test_an_op_takes_raw_arrays_of_the_device(name):
    for y in CALLS[name](*(on_strict(a).data for a in CALLS[name].arrays())):
        assert type(y) in (StrictArray, Tensor)


def test_the_wall_stands():
    a = on_strict(np.ones(3)).data
    for leak in (
        lambda: a + np.ones(3),
        lambda: np.ones(3) * a,
        lambda: np.add(a, np.ones(3)),
        lambda: np.concatenate([a, np.ones(3)]),
        lambda: strict_array.strict.where(np.ones(3, bool), a, a),
        lambda: a[np.array([0, 1])],
        lambda: a.__setitem__(0, np.ones(())),
        lambda: np.asarray(a),
        lambda: float(a[0]),
        lambda: strict_array.strict.sum(np.ones(3)),
        lambda: np.add.at(a, [0], 1.0),
    ):
        with pytest.raises(TypeError):
            leak()
    assert type(a.sum()) is type(a[0]) is type(a.T) is StrictArray


# Tensors on a device


def test_tensors_know_their_device_and_stay_there():
    x = on_strict([1.0, 2.0])
    x.requires_grad = True
    assert x.device == "strict"
    y = (x * np.float64(2) + 1).sum()
    y.backward()
    assert y.device == x.grad.device == "strict"
    assert (y.item(), float(y), int(y), bool(y)) == (8, 8, 8, True)
    assert f"{y:.1f}" == "8.0"
    np.testing.assert_array_equal(x.grad.numpy(), [2, 2])
    assert "device='strict'" in repr(x)


def test_a_transfer_is_differentiable_both_ways():
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    there = ops.to_device(x, device="strict", source="cpu")
    assert type(there.data) is StrictArray
    back = ops.to_device(there * there, device="cpu", source="strict")
    (g,) = gradients([(back * back).sum()], [x], create_graph=True)
    np.testing.assert_allclose(g.numpy(), 4 * np.array([1.0, 8.0]))
    g.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 12 * np.array([1.0, 4.0]))
    assert x.grad.device == "cpu"


def test_arrays_of_two_devices_are_refused_by_name():
    here, there = Tensor([1.0, 2.0]), on_strict([1.0, 2.0])
    for call in (
        lambda: here + there,
        lambda: there * here,
        lambda: tg.concatenate([here, there]),
        lambda: tg.where(here > 0, there, 0.0),
    ):
        with pytest.raises(DeviceError, match=r"is on (cpu|strict), .* is on (cpu|strict).*\.to\("):
            call()


def test_numpy_arrays_are_copied_to_the_device_of_the_tensor_beside_them():
    there = on_strict([1.0, 2.0])
    for call in (
        lambda: there + np.ones(2),
        lambda: np.ones(2) + there,
        lambda: np.maximum(np.ones(2), there) + 1,
    ):
        assert (call().device, call().numpy().tolist()) == ("strict", [2, 3])


def test_gradients_of_another_device_are_refused():
    x = on_strict([1.0, 2.0])
    x.requires_grad = True
    (x * x).backward([1.0, 1.0])
    with pytest.raises(DeviceError, match=r"^\[backward\] gradient is on cpu, expected strict"):
        (x * x).backward(Tensor([1.0, 1.0]))
    with pytest.raises(ValueError, match=r"\[grad\] got .* on cpu, expected .* on strict"):
        x.grad = Tensor([1.0, 1.0])
    assert (x.device, x.grad.device) == ("strict", "strict")


def test_in_place_changes_stay_on_the_device():
    x = on_strict([1.0, 2.0, 3.0])
    x[0] = 5.0
    x[1:] = on_strict([7.0, 8.0])
    x += 1
    x *= on_strict([2.0, 1.0, 1.0])
    assert type(x.data) is StrictArray
    np.testing.assert_array_equal(x.numpy(), [12, 8, 9])


@pytest.mark.parametrize("index", [1, slice(1, 3), [0, 2], np.array([2, 0]), (..., None), "mask"])
def test_indices_of_the_host_are_carried_over(index):
    values = np.arange(6.0).reshape(3, 2)
    x = on_strict(values)
    x.requires_grad = True
    index = np.array([True, False, True]) if isinstance(index, str) else index
    y = x[index]
    np.testing.assert_array_equal(y.numpy(), values[index])
    y.sum().backward()
    assert x.grad.device == "strict"


def test_an_index_out_of_range_is_refused_though_the_device_would_wrap_around():
    x = on_strict(np.arange(6.0).reshape(3, 2))
    for index in ([0, 3], np.array([-4]), (slice(None), [2]), on_strict([3])):
        with pytest.raises(IndexError, match="out of range"):
            x[index]


def test_new_tensors_are_made_on_the_device():
    for t in (
        tg.zeros((2, 3), device="strict"),
        tg.ones(2, device="strict"),
        tg.full((2,), 3.5, device="strict"),
        tg.arange(4, device="strict"),
        tg.linspace(0, 1, 3, device="strict"),
        tg.eye(3, device="strict"),
        tg.rand((3,), device="strict"),
        tg.randn((3,), device="strict"),
        tg.randint(0, 9, (3,), device="strict"),
        tg.zeros_like(on_strict([1.0])),
        tg.rand_like(on_strict([1.0])),
        tg.one_hot(on_strict([1, 0]), 3),
    ):
        assert type(t.data) is StrictArray
        assert t.device == "strict"


def test_random_numbers_are_the_same_on_every_device():
    found = []
    for device in ("cpu", "strict"):
        tg.seed(3)
        found.append([f((7,), device=device).numpy() for f in (tg.rand, tg.randn)])
        x = tg.ones((8,), device=device)
        found[-1].append(tg.dropout(x).numpy())
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_default_device_of_a_thread_can_be_the_device():
    try:
        tg.set_device("strict")
        assert Tensor([1.0]).device == tg.zeros(2).device == tg.rand(2).device == "strict"
        assert Tensor(np.ones(2)).device == "strict"
        assert Tensor(Tensor(1.0, device="cpu")).device == "cpu"
    finally:
        tg.set_device("cpu")


def test_debug_mode_and_pickle_work_on_the_device():
    with tg.debug():
        x = on_strict([1.0, 2.0])
        x.requires_grad = True
        y = (x * x).sum()
        x.data[...] = 5.0
        with pytest.raises(tg.GraphError, match="behind the library's back"):
            y.backward()
    twin = x.__reduce__()[0](*x.__reduce__()[1])
    assert (twin.device, twin.requires_grad) == ("strict", True)


def test_numpy_functions_dispatch_to_the_ops_there_too():
    x = on_strict(np.ones((2, 3)))
    for y in (np.exp(x), np.sum(x, axis=0), np.concatenate([x, x]), np.matmul(x, x.T)):
        assert isinstance(y, Tensor)
        assert y.device == "strict"


def test_the_backend_of_an_array_is_found_by_its_type():
    assert backend.of(on_strict([1.0]).data) is STRICT
    assert backend.get("strict") is STRICT
