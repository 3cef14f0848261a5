"""The checked launcher: every bad argument is refused by a clear message, before any launch."""

import ctypes
import importlib
import sys
import types

import numpy as np
import pytest
from tinygrad_like.kernels import cuda, reference
from tinygrad_like.kernels.cuda import emulator, linalg, machine
from tinygrad_like.kernels.cuda.emulator import build, xp
from tinygrad_like.kernels.cuda.machine import dtypes, launcher
from tinygrad_like.kernels.cuda.machine.launcher import Source
from tinygrad_like.kernels.cuda.machine.signature import LaunchError, parse_signatures

import tinygrad_like as tg
from tinygrad_like import backend

TEXT = """#include "device.cuh"
#ifndef WIDE
#define WIDE 1
#endif
struct Sizes { int rows, columns; };
extern "C" __global__ void __launch_bounds__(64) everything(
    scalar_t* y, ALIGNED16 const scalar_t* __restrict__ x, OPTIONAL const acc_t* bias,  // a remark
    MAY_BE_EMPTY const long long* index, bool flag, int count, unsigned word, long long big,
    unsigned long long huge, float rate, acc_t scale, Sizes sizes) {
    if (threadIdx.x == 0) {
        y[0] = narrow(acc_t(flag) + count + rate + scale + sizes.rows * sizes.columns);
        y[1] = huge == 0xFFFFFFFFFFFFFFFFull && big == -4294967296ll && word == 4294967295u;
        y[2] = rate == 0.1f;
    }
}
"""


@pytest.fixture
def kernel(tmp_path):
    """A kernel with a parameter of every kind, for float32."""
    (tmp_path / "test.cu").write_text(TEXT)
    source = Source(tmp_path / "test.cu", dtypes=("float32", "float64"), variants=({"WIDE": 1},))
    return source.kernel("everything", "float32", WIDE=1)


def arguments(**changed):
    """Arguments that fit, with some changed."""
    fitting = {
        "y": xp.asarray(np.zeros(4, np.float32)),
        "x": xp.asarray(np.zeros(64, np.float32)),
        "bias": None,
        "index": xp.asarray(np.zeros(0, np.int64)),
        "flag": True,
        "count": -1,
        "word": 2**32 - 1,
        "big": -(2**32),
        "huge": 2**64 - 1,
        "rate": 0.1,
        "scale": 1,
        "sizes": (3, 4),
    }
    return [*(fitting | changed).values()]


def test_what_fits_arrives_as_the_types_of_the_signature(kernel):
    given = arguments()
    kernel(1, 32, *given)
    y = xp.asnumpy(given[0])
    assert y[0] == np.float32(1 - 1 + 0.1 + 1 + 12)
    assert y[1:3].tolist() == [1, 1], "a 64-bit integer, or 0.1 as a float32, did not arrive"


def test_python_numbers_never_travel_as_float64(kernel, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        emulator.TARGET, "load", lambda k: lambda g, b, v, s: lambda: seen.update(values=v)
    )
    kernel(1, 32, *arguments())
    types_ = [type(value) for value, _ in seen["values"]]
    assert types_[4:9] == [
        ctypes.c_bool,
        ctypes.c_int32,
        ctypes.c_uint32,
        ctypes.c_int64,
        ctypes.c_uint64,
    ]
    assert types_[9:11] == [ctypes.c_float, ctypes.c_float]


DEVICE = {
    "strided": lambda: xp.asarray(np.zeros((4, 4), np.float32))[:, ::2],
    "float64": lambda: xp.asarray(np.zeros(4)),
    "empty": lambda: xp.asarray(np.zeros(0, np.float32)),
    "misaligned": lambda: xp.asarray(np.zeros(65, np.float32))[1:],
}
BAD = {
    "a NumPy array": ({"y": np.zeros(4, np.float32)}, r"y is a numpy.ndarray, expected a DeviceA"),
    "a strided view": (
        {"y": "strided"},
        r"y of shape \(4, 2\) is a strided view.*ascontiguousarray",
    ),
    "another dtype": ({"y": "float64"}, r"y has dtype float64, expected float32"),
    "an empty array": ({"y": "empty"}, r"y of shape \(0,\) is empty: there is nothing to launch"),
    "no array": ({"y": None}, r"y is None, expected an array of float32"),
    "a misaligned array": ({"x": "misaligned"}, r"x starts \d+ bytes beyond a multiple of 16"),
    "a fraction for an integer": ({"count": 1.0}, r"count is 1.0 \(float\), expected an integer"),
    "too large an integer": ({"count": 2**31}, r"count is 2147483648, which does not fit int"),
    "a negative unsigned": ({"word": -1}, r"word is -1, which does not fit unsigned"),
    "text for a number": ({"rate": "fast"}, r"rate is 'fast' \(str\), expected a number \(float\)"),
    "a bool for a number": ({"scale": True}, r"scale is True \(bool\), expected a number"),
    "a short struct": ({"sizes": (1,)}, r"sizes is \(1,\), expected a tuple .*'rows', 'columns'"),
    "a struct of fractions": (
        {"sizes": (1, 0.5)},
        r"sizes.columns is 0.5 \(float\), expected an in",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_argument_is_refused_before_the_launch(kernel, monkeypatch, what):
    changed, message = BAD[what]
    changed = {
        k: DEVICE[v]() if isinstance(v, str) and v in DEVICE else v for k, v in changed.items()
    }
    monkeypatch.setattr(emulator.TARGET, "load", lambda k: pytest.fail("it was launched"))
    with pytest.raises(LaunchError, match=rf"\[everything\] {message}"):
        kernel(1, 32, *arguments(**changed))


EXTENTS = {
    "an empty grid": ((0, 32, 0), r"grid \(0, 1, 1\) is out of bounds.*needs no launch"),
    "a deep grid": (((1, 65536), 32, 0), r"grid \(1, 65536, 1\) is out of bounds"),
    "a long block": ((1, 1025, 0), r"block \(1025, 1, 1\) is out of bounds"),
    "a large block": ((1, (32, 64), 0), r"block \(32, 64, 1\) has more than 1024 threads"),
    "too much shared memory": ((1, 32, 1 << 20), "1048576 bytes of shared memory, at most 232448"),
}


@pytest.mark.parametrize("what", EXTENTS)
def test_a_launch_beyond_the_limits_is_refused(kernel, what):
    (grid, block, shared), message = EXTENTS[what]
    with pytest.raises(LaunchError, match=message):
        kernel(grid, block, *arguments(), shared=shared)


def test_a_wrong_number_of_arguments_is_refused(kernel):
    with pytest.raises(LaunchError, match=r"got 2 arguments, expected 12: y, x, bias, index, flag"):
        kernel(1, 32, *arguments()[:2])


def test_arrays_of_the_host_alone_are_refused(kernel):
    host = arguments(y=np.zeros(4, np.float32), x=np.zeros(64, np.float32), index=np.zeros(0, int))
    with pytest.raises(LaunchError, match="no array of a CUDA device among the arguments"):
        kernel(1, 32, *host)


def test_unknown_kernels_dtypes_and_variants_are_refused(kernel):
    source = kernel.build.source
    with pytest.raises(LaunchError, match=r"no such kernel in test.cu, which has everything"):
        source.kernel("nothing", "float32", WIDE=1)
    with pytest.raises(
        LaunchError, match=r"no kernel for float16, test.cu is compiled for float32"
    ):
        source.kernel("everything", np.float16, WIDE=1)
    with pytest.raises(LaunchError, match=r"\{'WIDE': 3\} is none of the variants of test.cu"):
        source.kernel("everything", "float32", WIDE=3)


def test_a_signature_that_cannot_be_passed_is_refused():
    with pytest.raises(LaunchError, match=r"parameter 'float4 v' of k has an unknown type"):
        parse_signatures('extern "C" __global__ void k(float4 v) {}', "x.cu")
    with pytest.raises(LaunchError, match=r"parameter 'float\*\* v' of k has an unknown type"):
        parse_signatures('extern "C" __global__ void k(float** v) {}', "x.cu")


# What the machine lacks


def test_without_a_compiler_the_fix_is_named(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        emulator.EmulatorError, match=r"needs the C\+\+ compiler.*apt install g\+\+"
    ):
        build.compiler()
    assert "apt install g++" in emulator.problem()


def test_without_cuda_headers_the_fix_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_HOME", raising=False)
    monkeypatch.delenv("CUDA_PATH", raising=False)
    monkeypatch.setattr(build, "package_directories", lambda: [tmp_path])
    monkeypatch.setattr(build, "TOOLKIT", str(tmp_path))
    with pytest.raises(emulator.EmulatorError, match=r"pip install 'tinygrad-like\[emulator\]'"):
        build.cuda_include()


def test_a_device_that_cannot_be_used_says_why(monkeypatch):
    monkeypatch.delitem(backend.BY_DEVICE, "cuda-emulator", raising=False)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(tg.DeviceError, match=r"\[cuda-emulator\] needs the C\+\+ compiler"):
        tg.Tensor([1.0], device="cuda-emulator")


def test_a_kernel_that_does_not_compile_shows_the_compilers_words(kernel, tmp_path):
    (tmp_path / "bad.cu").write_text(TEXT.replace("y[1] = huge", "y[1] = hugh"))
    bad = Source(tmp_path / "bad.cu", variants=({"WIDE": 1},)).kernel(
        "everything", "float32", WIDE=1
    )
    with pytest.raises(
        emulator.EmulatorError, match=r"bad float32 WIDE=1 does not compile:[\s\S]*hugh"
    ):
        bad(1, 32, *arguments())


# Launches on a GPU, with a stand-in for CuPy


class FakeArray:
    """What the launcher looks at of a CuPy array."""

    def __init__(self, array, gpu=0):
        self.dtype, self.size, self.shape, self.flags = (
            array.dtype,
            array.size,
            array.shape,
            array.flags,
        )
        self.data = types.SimpleNamespace(ptr=array.ctypes.data)
        self.device = types.SimpleNamespace(id=gpu)


class FakeModule:
    made: list = []  # noqa: RUF012  of each test anew

    def __init__(self, code, options, backend):
        self.code, self.options, self.backend = code, options, backend
        self.launches, self.max_dynamic_shared_size_bytes = [], 0
        FakeModule.made.append(self)

    def get_function(self, name):
        if "hugh" in self.code:
            raise CompileError("identifier hugh is undefined")
        self.name = name
        return self

    def __call__(self, grid, block, args, shared_mem):
        self.launches.append((grid, block, args, shared_mem))


class CompileError(Exception):
    pass


@pytest.fixture
def gpu(monkeypatch):
    """`kernels.cuda.machine.gpu` on a stand-in for CuPy."""
    cupy = types.ModuleType("cupy")
    cupy.ndarray, cupy.RawModule = FakeArray, FakeModule
    cupy.cuda = types.SimpleNamespace(
        runtime=types.SimpleNamespace(getDevice=lambda: 0),
        Device=lambda i: types.SimpleNamespace(compute_capability="86"),
        compiler=types.SimpleNamespace(CompileException=CompileError),
    )
    FakeModule.made = []
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.delitem(sys.modules, "tinygrad_like.kernels.cuda.machine.gpu", raising=False)
    module = importlib.import_module("tinygrad_like.kernels.cuda.machine.gpu")
    monkeypatch.setitem(launcher._TARGETS, FakeArray, module.TARGET)
    yield module
    sys.modules.pop("tinygrad_like.kernels.cuda.machine.gpu", None)
    vars(machine).pop("gpu", None)


def on_gpu(**changed):
    given = arguments(**changed)
    return [FakeArray(a._array) if isinstance(a, emulator.DeviceArray) else a for a in given]


def test_a_gpu_gets_the_whole_text_and_numbers_of_the_right_size(kernel, gpu):
    given = on_gpu()
    kernel(2, (32, 2), *given)
    kernel(2, (32, 2), *given)
    (module,) = FakeModule.made
    assert module.backend == "nvrtc"
    assert module.options == ("-std=c++17", "-DSCALAR=float", "-DWIDE=1")
    assert "struct Accumulator" in module.code, "the header is not in the text that CuPy hashes"
    assert len(module.launches) == 2
    grid, block, args, shared = module.launches[0]
    assert (grid, block, shared) == ((2, 1, 1), (32, 2, 1), 0)
    assert args[:2] == tuple(given[:2])
    assert [type(a) for a in args[2:3]] == [np.uintp]
    assert args[2] == 0
    assert [a.dtype.name for a in args[4:11]] == (
        "bool int32 uint32 int64 uint64 float32 float32".split()
    )
    assert args[11].tobytes() == np.array([3, 4], np.int32).tobytes()


def test_much_shared_memory_is_asked_for_once(kernel, gpu):
    kernel(1, 32, *on_gpu(), shared=1000)
    (module,) = FakeModule.made
    assert module.max_dynamic_shared_size_bytes == 0
    kernel(1, 32, *on_gpu(), shared=60_000)
    assert module.max_dynamic_shared_size_bytes == 60_000
    assert module.launches[1][3] == 60_000
    with pytest.raises(LaunchError, match=r"at most 101376 \(compute capability 8.6\)"):
        kernel(1, 32, *on_gpu(), shared=120_000)


def test_an_array_of_another_gpu_is_refused(kernel, gpu):
    far = FakeArray(np.zeros(4, np.float32), gpu=1)
    with pytest.raises(LaunchError, match=r"y is on GPU 1, and kernels are launched on GPU 0; use"):
        kernel(1, 32, *on_gpu(y=far))


def test_a_mixture_of_devices_is_refused(kernel, gpu):
    given = on_gpu()
    given[1] = xp.asarray(np.zeros(64, np.float32))
    with pytest.raises(
        LaunchError, match=r"x is a .*DeviceArray, expected a FakeArray as the other"
    ):
        kernel(1, 32, *given)


def test_what_nvrtc_refuses_is_shown(gpu, tmp_path, kernel):
    (tmp_path / "bad.cu").write_text(TEXT.replace("y[1] = huge", "y[1] = hugh"))
    bad = Source(tmp_path / "bad.cu", variants=({"WIDE": 1},)).kernel(
        "everything", "float32", WIDE=1
    )
    with pytest.raises(LaunchError, match="bad float32 WIDE=1 does not compile: identifier hugh"):
        bad(1, 32, *on_gpu())


def test_a_gpu_without_fitting_tensor_cores_multiplies_without_them_and_says_so_once(caplog):
    x = xp.asarray(np.ones((8, 8), np.float16))
    dtypes.log_once.cache_clear()
    with emulator.run(capability=75):
        ys = [cuda.matmul(x, x) for _ in range(2)]
    for y in ys:
        np.testing.assert_array_equal(xp.asnumpy(y), 8)
    (record,) = caplog.records
    assert "float16 without tensor cores" in record.getMessage()
    assert "7.5" in record.getMessage()


def test_half_types_multiply_on_tensor_cores_and_float32_only_if_asked_to():
    assert linalg.has_tensor_cores("matmul", "float16", 80)
    assert linalg.has_tensor_cores("matmul", "bfloat16", 90)
    assert not linalg.has_tensor_cores("matmul", "float32", 90)
    a, b = (linalg.Operand(xp.asarray(np.zeros((256, 136), np.float16)), 256, 136, 0, False),) * 2
    assert linalg.choose_core(a, b, "float16") is linalg.WGMMA
    assert linalg.choose_core(a, b._replace(rows=64), "float16") is linalg.TENSOR
    with emulator.run(capability=80):
        assert linalg.choose_core(a, b, "float16") is linalg.TENSOR
    a = np.full((8, 8), 1 + 2.0**-12, np.float32)
    product = linalg.gemm(
        xp.asarray(a), xp.asarray(np.eye(8, dtype=np.float32)), core=linalg.TENSOR
    )
    np.testing.assert_array_equal(xp.asnumpy(product), 1)  # rounded to tf32


def test_rows_that_no_tensor_copy_takes_go_another_way_which_is_said_once(caplog):
    dtypes.log_once.cache_clear()
    a = np.random.default_rng(0).integers(-2, 3, (130, 129)).astype(np.float16)
    for _ in range(2):
        y = linalg.gemm(xp.asarray(a), xp.asarray(a.T.copy()))
        np.testing.assert_array_equal(xp.asnumpy(y), a @ a.T)
    (record,) = caplog.records
    assert "float16 without warpgroups" in record.getMessage()
    assert "multiples of 16 bytes" in record.getMessage()


@pytest.mark.parametrize(
    ("width", "mask", "named"),
    [
        (130, None, "float16 with heads of 130"),
        (8, np.float32, "float16, float16, float16, float32"),
    ],
)
def test_attention_without_a_kernel_goes_another_way_which_is_said_once(width, mask, named, caplog):
    """Heads wider than 128, and an added mask of another dtype, which only a direct call has."""
    dtypes.log_once.cache_clear()
    x = np.random.default_rng(0).standard_normal((3, 1, 2, 5, width)).astype(np.float16)
    mask = mask and np.linspace(-1, 1, 25, dtype=mask).reshape(1, 1, 5, 5)
    given = False, 0.5, 0.0, 0, 0
    for _ in range(2):
        moved = None if mask is None else xp.asarray(mask)
        out, _ = cuda.attention(*map(xp.asarray, x), moved, *given)
        expected, _ = reference.attention(*x, mask, *given)
        np.testing.assert_allclose(xp.asnumpy(out), expected, rtol=2e-3, atol=2e-3)
    (record,) = caplog.records
    assert f"[attention] no kernel for {named}" in record.getMessage()


@pytest.mark.parametrize(("capability", "falls_back"), [(75, True), (80, False)])
def test_a_gpu_with_too_little_shared_memory_goes_another_way(capability, falls_back, caplog):
    """A block of the backward pass with heads of 128 takes 73 KiB, and 64 are there in 7.5."""
    dtypes.log_once.cache_clear()
    q, k, v = np.random.default_rng(0).standard_normal((3, 1, 1, 40, 128)).astype(np.float32)
    given, needs = (None, False, 0.1, 0.0, 0, 0), (True, True, True, False)
    out, sums = reference.attention(q, k, v, *given)
    expected = reference.attention_backward(v, q, k, v, out, sums, *given, needs)
    arrays = map(xp.asarray, (v, q, k, v, out, sums))
    with emulator.run(capability=capability):
        found = cuda.attention_backward(*arrays, *given, needs)
    for a, b in zip(found[:3], expected[:3], strict=True):
        np.testing.assert_allclose(xp.asnumpy(a), b, rtol=1e-4, atol=1e-5)
    assert ("float32 with heads of 128 on compute capability 7.5" in caplog.text) == falls_back


def test_dtypes_without_a_kernel_are_named_once(caplog):
    dtypes.log_once.cache_clear()
    x, other = np.ones((4, 4), np.float16), np.eye(4, dtype=np.float32)
    for _ in range(2):
        y = cuda.matmul(xp.asarray(x), xp.asarray(other))
        np.testing.assert_array_equal(xp.asnumpy(y), 1)
    cuda.matmul(*map(xp.asarray, (other.astype(int), other.astype(int))))  # goes without saying
    (record,) = caplog.records
    assert "[matmul] no kernel for float16, float32" in record.getMessage()


def test_large_products_of_half_types_go_by_warpgroups():
    a, b = (
        np.random.default_rng(0).integers(-2, 3, shape).astype(np.float16)
        for shape in ((136, 72), (72, 144))
    )
    y = linalg.gemm(xp.asarray(a), xp.asarray(b))
    np.testing.assert_array_equal(xp.asnumpy(y), a.astype(np.float32) @ b.astype(np.float32))
