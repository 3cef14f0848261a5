"""bfloat16 arrays, which only a GPU has: every op, and whole models under autocast."""

import copy
import importlib
import pickle

import numpy as np
import pytest
from cuda_models import MODELS
from device_calls import NAMES, derivatives
from grouped import grouped
from needed import imported
from op_calls import CALLS, brief_rows, family_of, op_of
from tinygrad_like.kernels.cuda import emulator

import tinygrad_like as tg
from tinygrad_like import Tensor, backend, nn
from tinygrad_like.backend import installed

ml_dtypes = imported("ml_dtypes")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
EPSILON = 2.0**-7


def rounded(array):
    return array.astype(BFLOAT16) if array.dtype.kind == "f" else array


def native(array):
    """A Tensor of bfloat16 on the emulated GPU."""
    return Tensor(backend.get("cuda-emulator").from_host(rounded(array)))


def exact(array):
    """A Tensor of the same numbers in float64 on the CPU."""
    return Tensor(rounded(array).astype(np.float64) if array.dtype.kind == "f" else array)


# bfloat16 beside complex numbers gives complex ones.
REAL = [name for name in NAMES if all(x.dtype.kind != "c" for x in CALLS[name].arrays())]


@grouped("name", REAL, by=op_of, brief=brief_rows(4), together=family_of)
def test_an_op_and_its_gradient_are_near_those_in_float64(name):
    """Within 8 epsilons of bfloat16, of the largest element or of 1, what rules compute with.

    An op that needs LAPACK, which has no half types, may refuse it.
    """
    tg.seed(0)
    with tg.use_kernels("vendor"):
        expected = derivatives(name, exact, 1)
    tg.seed(0)
    try:
        found = derivatives(name, native, 1)
    except TypeError as error:
        if CALLS[name].half or "bfloat16 is unsupported in linalg" not in str(error):
            raise
        return
    assert {type(a) for a in found} == {emulator.DeviceArray}
    assert any(a.dtype == BFLOAT16 for a in found)
    for a, b in zip(found, expected, strict=True):
        largest = np.abs(b).max(initial=0)
        bound = 8 * EPSILON * max(1, largest)
        if largest > EPSILON:  # zeros are not near; what is smaller, differences can cancel to
            bound = min(bound, largest / 2)
        np.testing.assert_allclose(backend.of(a).to_host(a), b, rtol=0, atol=bound)


def losses(name, device, enabled):
    """The losses of some training steps under bfloat16 autocast from one start."""
    tg.seed(3)
    make, draw = MODELS[name]
    model = make().to(device)
    optimizer = tg.optim.AdamW(model.parameters(), lr=3e-3)
    rng, found = np.random.default_rng(0), []
    for _ in range(3):
        x, labels = (Tensor(a, device=device) for a in draw(rng))
        with tg.autocast("bfloat16", enabled=enabled):
            logits = model(x)
            loss = tg.losses.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    native = enabled and device != "cpu"
    assert logits.dtype == (BFLOAT16 if native else np.float32)
    assert loss.dtype == np.float32
    assert all(p.dtype == p.grad.dtype == np.float32 for p in model.parameters())
    return found


@pytest.mark.parametrize("name", MODELS)
def test_training_steps_follow_the_emulated_bfloat16_of_the_cpu(name):
    on_gpu, on_cpu = losses(name, "cuda-emulator", True), losses(name, "cpu", True)
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-4)
    assert on_gpu != losses(name, "cuda-emulator", False)


def test_on_the_host_it_becomes_float32():
    x = tg.randn((2, 3), device="cuda-emulator")
    with tg.autocast("bfloat16"):
        y = x @ x.T
    assert y.dtype == BFLOAT16
    assert y.numpy().dtype == y.to("cpu").dtype == np.float32
    np.testing.assert_array_equal(y.numpy(), y.numpy().astype(BFLOAT16).astype(np.float32))
    assert "dtype=bfloat16" in repr(y)


@pytest.mark.parametrize(
    "make",
    [
        lambda **further: Tensor(np.ones(3, BFLOAT16), **further),
        lambda **further: Tensor([1.0, 1.0, 1.0], dtype=BFLOAT16, **further),
        lambda **further: tg.ones(3, dtype=BFLOAT16, **further),
        lambda **further: tg.full(3, 1.0, dtype=BFLOAT16, **further),
        lambda **further: tg.rand(3, dtype=BFLOAT16, **further),
        lambda **further: tg.randn(3, dtype=BFLOAT16, **further),
        lambda **further: tg.eye(3, dtype=BFLOAT16, **further),
        lambda **further: tg.ones(3, **further).to("bfloat16"),
        lambda **further: nn.Dense(2, 3).to(further.get("device", "cpu")).to("bfloat16").weight,
    ],
)
def test_it_is_made_on_a_gpu_and_refused_on_the_cpu(make):
    assert make(device="cuda-emulator").dtype == BFLOAT16
    with pytest.raises(TypeError, match="bfloat16, expected one of numbers; bfloat16 is for GPUs"):
        make()


def test_a_model_in_it_returns_to_float32_and_trains():
    model = nn.Dense(2, 3).to("cuda-emulator").to("bfloat16")
    optimizer = tg.optim.Adam(model.parameters(), 0.25)
    before = model.bias.numpy()
    model(tg.ones((1, 2), dtype=BFLOAT16, device="cuda-emulator")).sum().backward()
    optimizer.step()
    assert {p.dtype for p in model.parameters()} == {BFLOAT16}
    after = (before - 0.25).astype(BFLOAT16).astype(np.float32)
    np.testing.assert_array_equal(model.bias.numpy(), after)
    assert {p.dtype for p in model.to("float32").parameters()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("other", ["bool", "int16", "int64", "float16"])
def test_it_meets_other_dtypes_as_float32_does(other):
    """Beside integers it stays, as any float does; the two half types give float32."""
    x = tg.Tensor([1.5, 2.0, -3.0], dtype=BFLOAT16, device="cuda-emulator", requires_grad=True)
    y = tg.Tensor(np.array([1, 0, 1], other), device="cuda-emulator")
    expected = np.float32 if other == "float16" else BFLOAT16
    for f in (
        lambda x, y: tg.where(y > 0, x, y),
        lambda x, y: tg.concatenate([y, x]),
        lambda x, y: tg.stack([x, y]),
        lambda x, y: tg.einsum("i,i->i", x, y),
        lambda x, y: x * y,
        tg.maximum,
        lambda x, y: x @ y,
    ):
        found, wanted = f(x, y), f(x.detach().to("cpu"), y.to("cpu"))
        assert found.dtype == expected
        np.testing.assert_array_equal(found.numpy(), wanted.numpy())
        x.grad = None
        found.sum().backward()
        assert x.grad.dtype == BFLOAT16


def test_a_device_without_it_emulates(monkeypatch, caplog):
    """As CuPy before version 14, or with ml_dtypes missing; on a GPU that is said once."""
    model, x = nn.Dense(4, 3).to("cuda-emulator"), tg.randn((2, 4), device="cuda-emulator")
    found = []
    for dtype in (BFLOAT16, None):
        monkeypatch.setattr(backend.get("cuda-emulator"), "bfloat16", dtype)
        with tg.autocast("bfloat16"):
            found.append(model(x))
    assert [y.dtype for y in found] == [BFLOAT16, np.float32]
    np.testing.assert_array_equal(found[0].numpy(), found[1].numpy())
    assert "emulated" not in caplog.text
    monkeypatch.setattr(backend.get("cuda-emulator"), "device", "cuda")
    casts = importlib.import_module("tinygrad_like.engine.autocast")
    casts._say_that_it_is_emulated.cache_clear()
    for _ in range(2):
        with tg.autocast("bfloat16"):
            x @ x.T
    (record,) = caplog.records
    assert "pip install -U cupy-cuda13x ml-dtypes" in record.getMessage()


def test_a_cupy_is_tried_before_it_is_given_bfloat16():
    """NumPy with ml_dtypes does it as CuPy 14 does; one that cannot cast, or adds wrongly, not."""
    assert installed.bfloat16_of(np) == BFLOAT16

    class Wrong:
        ones, float32 = staticmethod(np.ones), np.float32
        where = staticmethod(lambda condition, a, b: b)

    assert installed.bfloat16_of(Wrong) is None
    assert installed.bfloat16_of(object()) is None


@pytest.mark.parametrize("frozen", [False, True])
def test_a_copy_of_a_bfloat16_tensor_is_one(frozen):
    t = native(np.array([1.5, 2.25])).requires_grad_()
    t.grad = native(np.array([3.0, 4.0]))
    t.requires_grad = not frozen
    for twin in (copy.deepcopy(t), pickle.loads(pickle.dumps(t))):
        assert twin.dtype == twin.grad.dtype == BFLOAT16
        assert twin.device == twin.grad.device == "cuda-emulator"
        assert twin.requires_grad is not frozen
        assert twin.tolist() == [1.5, 2.25]
        assert twin.grad.tolist() == [3, 4]


@pytest.mark.parametrize(
    "f",
    [
        tg.sort,
        lambda x: tg.sort(x, descending=True),
        tg.argsort,
        lambda x: tg.topk(x, 2)[0],
        tg.unique,
        lambda x: tg.unique(x, return_counts=True)[1],
        lambda x: tg.searchsorted(tg.sort(x[0]), x[1]),
        lambda x: tg.median(x, -1),
        lambda x: tg.nanmedian(x, -1),
        lambda x: tg.nan_to_num(x, 0.5, posinf=9.0),
    ],
)
def test_nan_stands_where_it_does_in_float32(f):
    """NumPy neither sorts nor replaces a NaN in bfloat16."""
    values = np.array([[3, np.nan, 1, 2], [np.nan, 2, np.nan, 1], [np.nan, 4, np.inf, -1]])
    x = native(values)
    np.testing.assert_allclose(f(x).numpy(), f(x.to("float32")).numpy(), rtol=EPSILON)


def test_infinities_become_the_largest_numbers_of_the_dtype():
    y = tg.nan_to_num(native(np.array([np.inf, -np.inf, np.nan])))
    most = float(ml_dtypes.finfo(BFLOAT16).max)
    assert y.tolist() == [most, -most, 0]


@pytest.mark.parametrize("name", ["det", "inv", "slogdet", "svd", "eigh", "qr", "cholesky"])
def test_what_lapack_computes_is_refused(name):
    with pytest.raises(TypeError, match=rf"^\[{name}\] bfloat16 is unsupported in linalg; use"):
        getattr(tg.linalg, name)(native(np.eye(2)))
