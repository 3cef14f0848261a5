"""Devices, threads and the random stream; a machine without CuPy, or with a broken one."""

import sys
import types

import numpy as np
import pytest
import threadpoolctl

import tinygrad_like as tg
from tinygrad_like import backend


def fake_cupy(count):
    """A CuPy whose runtime answers `count`, a number of GPUs or an exception."""

    def get_device_count():
        if isinstance(count, Exception):
            raise count
        return count

    runtime = types.SimpleNamespace(getDeviceCount=get_device_count)
    cupy = types.ModuleType("cupy")
    cupy.cuda, cupy.__version__ = types.SimpleNamespace(runtime=runtime), "14.2.0"
    return cupy


BROKEN = [
    (None, "CuPy is not installed"),
    (0, "CuPy is installed but sees no GPU. Check that nvidia-smi lists one"),
    (
        RuntimeError("cudaErrorInsufficientDriver"),
        "CuPy 14.2.0 is installed but CUDA does not answer (cudaErrorInsufficientDriver)",
    ),
]


@pytest.fixture(params=BROKEN, ids=["absent", "no GPU", "broken driver"])
def problem(request, monkeypatch):
    count, text = request.param
    monkeypatch.setitem(sys.modules, "cupy", None if count is None else fake_cupy(count))
    monkeypatch.delitem(backend.BY_DEVICE, "cuda", raising=False)
    return text


@pytest.mark.parametrize(
    "call",
    [
        lambda: tg.Tensor([1.0], device="cuda"),
        lambda: tg.zeros(3, device="cuda"),
        lambda: tg.rand(3, device="cuda"),
        lambda: tg.Tensor([1.0]).to("cuda"),
        lambda: tg.Tensor([1.0]).cuda(),
        lambda: tg.nn.Dense(2, 2).to("cuda"),
        lambda: tg.set_device("cuda"),
    ],
)
def test_cuda_that_cannot_be_used_is_one_clear_error(problem, call):
    with pytest.raises(tg.DeviceError) as caught:
        call()
    message = str(caught.value)
    assert message.startswith(f"[device] 'cuda' cannot be used: {problem}")
    assert message.endswith("The rest works on 'cpu'")
    assert (tg.Tensor([1.0]) * 2).item() == 2, "the CPU no longer works"


def test_the_fix_names_the_packages_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(tg.DeviceError, match=r"pip install 'tinygrad-like\[cuda13\]'"):
        tg.Tensor([1.0], device="cuda")


def test_doctor_says_what_is_installed_and_what_to_do(problem, capsys):
    tg.doctor()
    lines = capsys.readouterr().out.splitlines()
    assert f"  numpy          {np.__version__}" in lines
    assert any(line.startswith("  cpu            works, matrix products by ") for line in lines)
    assert any(line.startswith(f"  cuda           no: {problem}") for line in lines)


def test_doctor_names_a_package_that_is_missing(monkeypatch, capsys):
    module = sys.modules["tinygrad_like.doctor"]  # tg.doctor is the function
    monkeypatch.setattr(module, "_REQUIRED", ("numpy", "no-such-package"))
    tg.doctor()
    assert "MISSING: pip install no-such-package" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["gpu", "cuda:7", "", 3])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(tg.DeviceError, match=r"unknown device .*expected 'cpu', 'cuda' or"):
        tg.Tensor([1.0], device=name)


def blas_threads(folder):
    """How many threads the BLAS libraries of a folder use."""
    found = [lib for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]
    return {lib["num_threads"] for lib in found if folder in lib["filepath"]}


def test_threads_are_limited_and_refused_below_one():
    from tinygrad_like.kernels.cpu.machine import threads

    before = threads.num_threads()
    try:
        for n in (1, np.int64(2), 3):
            tg.set_num_threads(n)
            assert threads.num_threads() == n
            assert blas_threads("numpy.libs") in ({n}, set())
            assert blas_threads("scipy.libs") in ({1}, set()), "it runs inside our threads"
    finally:
        tg.set_num_threads(before)
    for wrong in (0, -1, 1.5, True, "2"):
        with pytest.raises(ValueError, match=r"\[set_num_threads\] n is .* positive integer"):
            tg.set_num_threads(wrong)


def test_the_random_stream_repeats_from_its_seed_and_from_its_state():
    tg.seed(3)
    first, state, second = tg.rand(5), tg.get_rng_state(), tg.randn(5)
    tg.seed(3)
    np.testing.assert_array_equal(tg.rand(5).numpy(), first.numpy())
    assert tg.get_rng_state() == state
    tg.rand(100)
    tg.set_rng_state(state)
    np.testing.assert_array_equal(tg.randn(5).numpy(), second.numpy())
    assert not np.array_equal(first.numpy(), second.numpy())


@pytest.mark.parametrize("n", [-1, 1 << 64, 1.5, None])
def test_a_seed_that_is_no_64_bit_number_is_refused(n):
    with pytest.raises(ValueError, match=r"\[seed\] n is "):
        tg.seed(n)


def test_draws_are_uniform_and_normal():
    tg.seed(0)
    u, z = tg.rand(100_000).numpy(), tg.randn(100_000).numpy()
    assert u.min() >= 0
    assert u.max() < 1
    np.testing.assert_allclose([u.mean(), u.var()], [1 / 2, 1 / 12], atol=3e-3)
    np.testing.assert_allclose([z.mean(), z.var()], [0, 1], atol=1e-2)
    counts = np.bincount(tg.randint(-2, 3, 50_000).numpy() + 2)
    np.testing.assert_allclose(counts, 10_000, rtol=0.05)
    np.testing.assert_array_equal(np.sort(tg.permutation(100).numpy()), np.arange(100))


def test_kernels_get_contiguous_arrays_and_those_in_place_the_very_array():
    seen = []

    def look(*args):
        seen.extend(args)

    def change_(*args):
        seen.extend(args)

    look.any_layout, change_.any_layout = False, True
    module = types.SimpleNamespace(KERNELS={"look": look, "change_": change_})
    kernels = backend.Kernels(lambda: module, np, np.ndarray)
    turned = np.arange(6.0).reshape(2, 3).T
    kernels.look(turned, 2.0, None)
    assert seen[0].flags.c_contiguous
    np.testing.assert_array_equal(seen[0], turned)
    assert seen[1:] == [2.0, None]
    kernels.change_(turned)
    assert seen[-1] is turned
