"""bfloat16 arrays, which only a GPU has: every op, and whole models under autocast."""

import numpy as np
import pytest
from test_cuda_models import MODELS
from test_strict_backend import NAMES, derivatives
from tinygrad_like.kernels.cuda import emulator

import tinygrad_like as tg
from tinygrad_like import Tensor, backend, nn

ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes, which has the dtype, is missing")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
EPSILON = 2.0**-7
MIXED = "where-2x3-2x3-3-2"  # with integers, for which ml_dtypes knows no common dtype


def rounded(array):
    return array.astype(BFLOAT16) if array.dtype.kind == "f" else array


def native(array):
    """A Tensor of bfloat16 on the emulated GPU."""
    return Tensor(backend.get("cuda-emulator").from_host(rounded(array)))


def exact(array):
    """A Tensor of the same numbers in float64 on the CPU."""
    return Tensor(rounded(array).astype(np.float64) if array.dtype.kind == "f" else array)


@pytest.mark.parametrize("name", [name for name in NAMES if name != MIXED])
def test_an_op_and_its_gradient_are_near_those_in_float64(name):
    """Within 8 epsilons of bfloat16, of the largest element or of 1, what rules compute with."""
    tg.seed(0)
    with tg.kernels("vendor"):
        expected = derivatives(name, exact, 1)
    tg.seed(0)
    found = derivatives(name, native, 1)
    assert {type(a) for a in found} == {emulator.DeviceArray}
    assert any(a.dtype == BFLOAT16 for a in found)
    for a, b in zip(found, expected, strict=True):
        bound = 8 * EPSILON * max(1, np.abs(b).max(initial=0))
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


def test_on_the_cpu_it_is_refused():
    with pytest.raises(TypeError, match="bfloat16, expected numbers"):
        Tensor(np.ones(3, BFLOAT16))


def test_a_device_without_it_emulates(monkeypatch):
    """As CuPy before version 14, or with ml_dtypes missing."""
    model, x = nn.Dense(4, 3).to("cuda-emulator"), tg.randn((2, 4), device="cuda-emulator")
    found = []
    for dtype in (BFLOAT16, None):
        monkeypatch.setattr(backend.get("cuda-emulator"), "bfloat16", dtype)
        with tg.autocast("bfloat16"):
            found.append(model(x))
    assert [y.dtype for y in found] == [BFLOAT16, np.float32]
    np.testing.assert_array_equal(found[0].numpy(), found[1].numpy())
