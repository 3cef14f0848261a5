"""The PTX wrappers of ptx.cuh: what each does in the emulator, and how it is misused."""

import re

import numpy as np
import pytest
from cuda_ptx_kernels import (
    ACROSS,
    ALONG,
    COLUMNS,
    COPIES,
    HALVES,
    HOPPER,
    MICRO_TESTS,
    REGISTERS,
    ROWS,
    SHARED,
    TILE,
    TO_TF32,
    TYPES,
    WRAPPERS,
    computed,
    pipeline,
    rounded,
    source_file,
    views_of,
)
from tinygrad_like.kernels.cuda import emulator
from tinygrad_like.kernels.cuda.machine import resources
from tinygrad_like.kernels.cuda.machine.launcher import Source, TensorView
from tinygrad_like.kernels.cuda.machine.signature import HEADERS, LaunchError

from tinygrad_like import backend

SCHEDULES = (0, 1, 2, 4, 10, 15)


@pytest.fixture
def launch(tmp_path):
    """Compile the kernel `k` of a text and launch it: launch(text, dtype, block, *args, ...)."""

    def run(text, dtype, block, *args, schedule=0, shared=1024):
        path = source_file(tmp_path, text)
        with emulator.run(schedule, checked=True):
            Source(path).kernel("k", dtype)(1, block, *args, shared=shared)

    return run


def on_device(array):
    return emulator.xp.asarray(array)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("dtype", TYPES)
def test_mma_multiplies_what_ldmatrix_loads(launch, dtype, schedule):
    rng, k = np.random.default_rng(0), 32 // np.dtype(TYPES[dtype]).itemsize
    a, b = (rounded(rng.standard_normal((16, k)), dtype) for _ in range(2))
    c = on_device(np.zeros((16, 16), np.float32))
    text = TILE.replace("LOAD_RIGHT", ROWS)
    launch(text, dtype, 32, c, on_device(a), on_device(b), schedule=schedule)
    exact = a.astype(np.float64) @ b.astype(np.float64).T
    np.testing.assert_allclose(emulator.xp.asnumpy(c), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", HALVES)
def test_ldmatrix_transposes_on_the_way(launch, dtype):
    rng = np.random.default_rng(0)
    a, b = (rounded(rng.standard_normal((16, 16)), dtype) for _ in range(2))
    c = on_device(np.zeros((16, 16), np.float32))
    launch(TILE.replace("LOAD_RIGHT", COLUMNS), dtype, 32, c, on_device(a), on_device(b))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(emulator.xp.asnumpy(c), exact, rtol=0, atol=1e-5)


def test_float16_operands_have_subnormals_infinities_and_nan(launch):
    a = np.zeros((16, 16), np.float16)
    a[:5, 0] = 2.0**-24, 65504, -(2.0**-15), np.inf, np.nan
    c = on_device(np.zeros((16, 16), np.float32))
    launch(
        TILE.replace("LOAD_RIGHT", ROWS),
        "float16",
        32,
        c,
        *map(on_device, (a, np.eye(16, dtype=np.float16))),
    )
    np.testing.assert_array_equal(emulator.xp.asnumpy(c)[:3, 0], a[:3, 0].astype(np.float32))
    assert np.isnan(emulator.xp.asnumpy(c)[4, 0])


def test_to_tf32_rounds_to_11_bits(launch):
    x = np.random.default_rng(0).standard_normal(32).astype(np.float32)
    x[:3] = np.inf, 1 + 2.0**-11, 1 + 2.0**-12
    y = on_device(np.zeros(32, np.float32))
    launch(TO_TF32, "float32", 32, y, on_device(x))
    np.testing.assert_array_equal(emulator.xp.asnumpy(y), rounded(x, "float32"))
    np.testing.assert_array_equal(emulator.xp.asnumpy(y)[:3], [np.inf, 1 + 2.0**-10, 1])


def test_tf32_operands_must_be_rounded(launch):
    x = np.full((16, 8), 1 / 3, np.float32)
    c = on_device(np.zeros((16, 16), np.float32))
    with pytest.raises(emulator.KernelFault, match="not rounded to tf32"):
        launch(TILE.replace("LOAD_RIGHT", ROWS), "float32", 32, c, on_device(x), on_device(x))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_ldmatrix_orders_no_memory(launch, schedule):
    x = np.ones((16, 16), np.float16)
    c = on_device(np.zeros((16, 16), np.float32))
    text = TILE.replace("LOAD_RIGHT", ROWS).replace("__syncwarp();", "")
    with pytest.raises(emulator.KernelFault, match=r"race|uninitialised"):
        launch(text, "float16", 32, c, on_device(x), on_device(x), schedule=schedule)


MISALIGNED = {
    "DYNAMIC_SHARED(float, tile); copy_async_16(tile, x, true);": "cp.async .* of misaligned add",
    "*(Vector<float, 4>*)y = *(const Vector<float, 4>*)x;": "misaligned: it touches 16 bytes of x",
}


@pytest.mark.parametrize("body", MISALIGNED)
def test_16_bytes_begin_at_a_multiple_of_16(launch, body):
    text = f'extern "C" __global__ void k(float* y, const float* x) {{ {body} }}'
    y, x = (on_device(np.zeros(8, np.float32)) for _ in "yx")
    launch(text, "float32", 1, y, x)
    with pytest.raises(emulator.KernelFault, match=MISALIGNED[body]):
        launch(text, "float32", 1, y, x[1:])


# A pipeline of mbarriers, tensor copies and wgmma


def multiplied(launch, text, across, dtype="float16", schedule=0, k=200):
    """(A B of the kernel, exactly), with k that is no multiple of a step: copies fill up zeros."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((n, k)).astype(TYPES[dtype]) for n in (64, 128))
    c, views = on_device(np.zeros((64, 128), np.float32)), views_of(a, b, across)
    launch(text, dtype, 160, c, *views, -(-k // 64) * 64, schedule=schedule, shared=SHARED)
    return emulator.xp.asnumpy(c), a.astype(np.float64) @ b.astype(np.float64).T


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("words", [ALONG, ACROSS], ids=["along", "across"])
@pytest.mark.parametrize("dtype", HALVES)
def test_a_pipeline_of_tensor_copies_and_wgmma(launch, dtype, words, schedule):
    c, exact = multiplied(launch, pipeline(words), words is ACROSS, dtype, schedule)
    np.testing.assert_allclose(c, exact, rtol=0, atol=1e-4)


WRONG = {
    "no wait for full": (
        "mbarrier_wait(&full[at], step / 2 % 2);",
        "",
        "tensor copy|uninitialised",
    ),
    "no wait for empty": ("mbarrier_wait(&empty[at], step / 2 % 2 ^ 1);", "", "race|more arrivals"),
    "the wrong parity": (
        "step / 2 % 2);",
        "step / 2 % 2 ^ 1);",
        "race|uninitialised|more arrivals",
    ),
    "phases that never turn": ("(&full[at], step / 2 % 2)", "(&full[at], 0)", "race"),
    "arrival before the wait": (
        "wgmma_wait<0>();\n        if (threadIdx.x % 32 == 0) mbarrier_arrive(&empty[at]);",
        "if (threadIdx.x % 32 == 0) mbarrier_arrive(&empty[at]);\n        wgmma_wait<0>();",
        "a product of .* read",
    ),
    "too few arrivals counted": ("(&empty[i], 4)", "(&empty[i], 3)", "race|more arrivals"),
    "too many arrivals counted": ("(&empty[i], 4)", "(&empty[i], 5)", "deadlock.*arrivals"),
    "fewer bytes expected": (
        "(&full[at], STAGE)",
        "(&full[at], STAGE - 128)",
        "deadlock|race|copy",
    ),
    "more bytes expected": ("(&full[at], STAGE)", "(&full[at], STAGE + 128)", "deadlock.*bytes"),
    "no fence of the barriers": ("mbarrier_fence_init();", "", "not fenced"),
    "no barrier after them": ("__syncthreads();", "", "not initialised|race"),
    "no fence of the sums": ("wgmma_fence();", "", "without a fence"),
    "no commit": ("wgmma_commit();", "", "in flight|race|groups|a product"),
    "a weak wait": ("wgmma_wait<0>()", "wgmma_wait<1>()", "in flight|a product"),
    "a misaligned stage": (
        "shared + at * STAGE;\n                mb",
        "shared + 128;\n mb",
        "misaligned",
    ),
    "a descriptor of other rows": (
        "i * 32, 16, 1024",
        "i * 32 + 1024, 16, 1024",
        "uninitialised|copy|wrong",
    ),
    "another stride": ("16, 1024)", "16, 512)", "wrong"),
    "one thread short": (
        "if (threadIdx.x >= 128)",
        "if (threadIdx.x >= 127)",
        "warpgroup|deadlock",
    ),
}


@pytest.mark.parametrize("bug", WRONG)
def test_what_is_wrong_with_a_pipeline_is_found(launch, bug):
    before, after, report = WRONG[bug]
    text = pipeline(ALONG)
    assert before in text

    def outcome(schedule):
        try:
            c, exact = multiplied(launch, text.replace(before, after, 1), False, schedule=schedule)
        except emulator.KernelFault as fault:
            return str(fault)
        return "right" if np.allclose(c, exact, atol=1e-4) else "wrong"

    found = [outcome(schedule) for schedule in SCHEDULES]
    assert any(re.search(report, f) for f in found), found


def test_a_tensor_map_that_does_not_fit_is_refused(launch):
    x = on_device(np.zeros((8, 100), np.float16))
    for sizes, steps, box, what in (
        ((100, 8, 1), (1, 100, 800), (64, 8, 1), "multiples of 16 bytes"),
        ((96, 8, 1), (1, 104, 832), (32, 8, 1), "128 bytes"),
        ((96, 8, 1), (1, 104, 832), (64, 300, 1), "at most 256"),
        ((0, 8, 1), (1, 104, 832), (64, 8, 1), "sizes"),
    ):
        view = TensorView(x, sizes, steps, box)
        c = on_device(np.zeros((64, 128), np.float32))
        with pytest.raises(LaunchError, match=what):
            launch(pipeline(ALONG), "float16", 160, c, view, view, 64, shared=SHARED)


# Registers of warpgroups

DECREASE = "registers_decrease<24>();"
WRONG_REGISTERS = {
    "a thread that has returned": (
        DECREASE,
        f"if (threadIdx.x == 7) return;\n{DECREASE}",
        r"but .* thread \(7,0,0\) has returned \(setmaxnreg of the whole warpgroup",
    ),
    "a thread at another barrier": (
        DECREASE,
        f"if (threadIdx.x == 7) __syncthreads(); else {DECREASE}",
        r"but .* thread \(7,0,0\) waits at test.cu:\d+ \(setmaxnreg of the whole warpgroup",
    ),
    "a thread at another count": (
        DECREASE,
        f"if (threadIdx.x == 7) registers_decrease<32>(); else {DECREASE}",
        "setmaxnreg at test.cu:.* its warpgroup is at another one, of (24|32) registers",
    ),
    "a warpgroup that is cut in two": ("x < 128", "x < 64", "its warpgroup is at another one"),
    "more than there are": ("<240>", "<248>", "asks for 248 .* has 168, and .* have left 64"),
    "nobody who gives any away": (DECREASE, "", "asks for 240 .* has 168, and .* have left 0"),
    "a decrease to more": ("<24>", "<176>", "a decrease from 168 to 176 registers"),
    "an increase to fewer": ("<240>", "<160>", "an increase from 168 to 160 registers"),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("bug", WRONG_REGISTERS)
def test_what_is_wrong_with_registers_is_found(launch, bug, schedule):
    before, after, report = WRONG_REGISTERS[bug]
    y, x = (on_device(np.ones(384, np.float32)) for _ in "yx")
    assert REGISTERS.count(before) == 1
    with pytest.raises(emulator.KernelFault, match=report):
        launch(REGISTERS.replace(before, after), "float32", 384, y, x, schedule=schedule)


@pytest.mark.parametrize("count", [16, 28, 264])
def test_a_count_of_registers_that_no_instruction_takes_does_not_compile(launch, count):
    x = on_device(np.ones(384, np.float32))
    with pytest.raises(emulator.EmulatorError, match="what the instruction takes"):
        launch(REGISTERS.replace("<24>", f"<{count}>"), "float32", 384, x, x)


@pytest.mark.skipif(resources.problem() is not None, reason=str(resources.problem()))
def test_a_block_begins_with_as_many_registers_as_the_compiler_gives_it(tmp_path):
    build = Source(source_file(tmp_path, REGISTERS)).kernel("k", "float32").build
    assert resources.measure(build, "sm_90a")["k"].registers == 168  # as the reports above say


@pytest.mark.skipif(resources.problem() is not None, reason=str(resources.problem()))
@pytest.mark.parametrize(
    ("text", "dtype", "arch"),
    [
        *((TILE.replace("LOAD_RIGHT", ROWS), dtype, "sm_80") for dtype in TYPES),
        (COPIES, "float32", "sm_80"),
        (REGISTERS, "float32", "sm_90a"),
        *((pipeline(words), dtype, "sm_90a") for words in (ALONG, ACROSS) for dtype in HALVES),
    ],
)
def test_the_wrappers_compile_for_the_device(tmp_path, text, dtype, arch):
    path = source_file(tmp_path, text)
    (kernel,) = resources.measure(Source(path).kernel("k", dtype).build, arch).values()
    assert kernel.spilled == 0


# Each wrapper on a GPU, bit for bit: of whole numbers the order of sums makes no difference.


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapper_is_exact_on_whole_numbers(tmp_path, wrapper):
    for schedule in SCHEDULES:
        with emulator.run(schedule, checked=True):
            found, exact = computed(tmp_path, wrapper, emulator.xp)
        np.testing.assert_array_equal(found, exact)


def untested(header, texts):
    """The functions of a header that no text calls."""
    functions = re.findall(r"__forceinline__ [\w *&]*?(\w+)\(", header)
    return {name for name in functions if not re.search(rf"\b{name}\b", " ".join(texts))}


def test_every_wrapper_has_a_micro_test():
    header = (HEADERS / "ptx.cuh").read_text()
    assert {kind for kind, _ in WRAPPERS.values()} == MICRO_TESTS.keys()
    assert untested(header, MICRO_TESTS.values()) == set()
    further = "__device__ __forceinline__ unsigned further(const void* p) {}"
    assert untested(header + further, MICRO_TESTS.values()) == {"further"}
    without = [text for kind, text in MICRO_TESTS.items() if kind not in ("copies", "registers")]
    assert untested(header, without) == {
        *("shared_address", "copy_async_16", "copy_async_commit", "copy_async_wait"),
        *("registers_decrease", "registers_increase"),
    }


@pytest.mark.gpu
@pytest.mark.skipif(backend.cuda_problem() is not None, reason=str(backend.cuda_problem()))
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_gpu_does_what_the_emulator_does(tmp_path, wrapper):
    import cupy

    kind, dtype = WRAPPERS[wrapper]
    capability = int(cupy.cuda.Device().compute_capability)
    if capability < 80 or (kind in HOPPER and capability // 10 != 9):
        pytest.skip(f"a GPU of compute capability {capability / 10} has no {wrapper}")
    if dtype == "bfloat16" and backend.get("cuda").bfloat16 is None:
        pytest.skip("CuPy has no bfloat16 here: pip install -U cupy-cuda13x ml-dtypes")
    (folder := tmp_path / "gpu").mkdir()
    on_gpu, _ = computed(folder, wrapper, cupy)
    emulated, _ = computed(tmp_path, wrapper, emulator.xp)
    assert on_gpu.tobytes() == emulated.tobytes()
