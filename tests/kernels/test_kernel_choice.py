"""Our kernels or the array library's; what memory a device holds."""

import importlib

import numpy as np
import pytest
from needed import needs_emulator
from tinygrad_like.kernels import cpu, reference
from tinygrad_like.kernels.cuda import emulator
from tinygrad_like.kernels.cuda.machine.dtypes import log_once

import tinygrad_like as tg
from tinygrad_like import backend


def test_the_vendors_kernels_are_chosen_for_a_block_or_for_good():
    x = tg.randn((4, 4))
    ours = backend.CPU.k
    with tg.use_kernels("vendor"):
        vendor = backend.CPU.k
        assert vendor is not ours
        assert vendor.matmul is reference.matmul
        np.testing.assert_allclose((x @ x).numpy(), x.numpy() @ x.numpy(), rtol=1e-6)
        with tg.use_kernels("ours"):
            assert backend.CPU.k is ours
        assert backend.CPU.k is vendor
    assert backend.CPU.k is ours
    assert ours.matmul is cpu.matmul
    tg.use_kernels("vendor")
    assert backend.CPU.k is vendor
    tg.use_kernels("ours")
    assert backend.CPU.k is ours


@needs_emulator
def test_a_device_that_is_made_later_follows_the_choice(monkeypatch):
    monkeypatch.delitem(backend.BY_DEVICE, "cuda-emulator", raising=False)
    monkeypatch.delitem(backend.BY_TYPE, emulator.DeviceArray, raising=False)
    with tg.use_kernels("vendor"):
        made = backend.get("cuda-emulator")
        assert made.k.matmul is reference.matmul
    assert made.k.matmul is not reference.matmul


def test_other_names_are_refused():
    with pytest.raises(
        ValueError, match=r"\[use_kernels\] got 'theirs', expected 'ours', 'vendor'"
    ):
        tg.use_kernels("theirs")


def test_kernels_is_the_package_and_nothing_else():
    assert tg.kernels is importlib.import_module("tinygrad_like.kernels")
    assert not callable(tg.kernels)


@pytest.mark.parametrize("which", ["vendor", "reference"])
def test_the_reference_is_written_in_the_vendors_functions(which):
    with tg.use_kernels(which):
        assert backend.CPU.k.matmul is reference.matmul


def test_memory_is_told_in_numbers_and_in_words():
    found = tg.memory()
    assert found["used"] > 1 << 20
    assert f"{found['used'] / 2**20:.1f} MiB" in found["text"]


def test_memory_of_a_gpu_is_that_of_the_pool(monkeypatch):
    class Pool:
        used_bytes, total_bytes = (lambda self: 3 << 20), (lambda self: 5 << 20)

    class FakeCuPy:
        __name__ = "cupy"
        get_default_memory_pool = staticmethod(Pool)

    fake = backend.Backend("cuda", FakeCuPy, lambda: reference, float)
    monkeypatch.setitem(backend.BY_DEVICE, "cuda", fake)
    assert tg.memory("cuda") == {
        "used": 3 << 20,
        "held": 5 << 20,
        "text": "3.0 MiB in arrays, 5.0 MiB held by the pool",
    }


def product(device, dtype=np.float32):
    """The gradients of two products in a row."""
    x = np.random.default_rng(0).standard_normal((24, 40)).astype(np.float32).astype(dtype)
    a, w = (tg.Tensor(v, device=device, requires_grad=True) for v in (x, x.T))
    tg.linear(tg.linear(a, w), a).sum().backward()
    return np.concatenate([a.grad.numpy(), w.grad.numpy().T])


@needs_emulator
def test_tf32_is_for_float32_on_tensor_cores(caplog):
    """Products and their gradients round their inputs to 11 bits; all else is as it was."""
    log_once.cache_clear()
    exact = product("cpu", np.float64)

    def error(device="cuda-emulator"):
        return np.abs(product(device) - exact).max() / np.abs(exact).max()

    ours, ours_in_double = error(), product("cuda-emulator", np.float64)
    on_cpu = product("cpu")
    with tg.use_kernels("tf32"):
        assert ours < 2**-20 < 2**-14 < error() < 2**-9
        np.testing.assert_array_equal(product("cuda-emulator", np.float64), ours_in_double)
        np.testing.assert_array_equal(product("cpu"), on_cpu)
        with emulator.run(capability=75):
            assert error() == ours
    assert error() == ours
    assert "float32 without tensor cores" in caplog.text


def test_a_choice_serves_several_blocks_also_inside_each_other():
    ours = backend.CPU.k
    choice = tg.use_kernels("reference")
    chosen = backend.CPU.k
    assert chosen is not ours
    for _ in range(2):
        with choice:
            assert backend.CPU.k is chosen
            with choice:
                assert backend.CPU.k is chosen
            assert backend.CPU.k is chosen
        assert backend.CPU.k is ours
