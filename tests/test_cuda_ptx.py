"""The PTX wrappers of ptx.cuh: what each does in the emulator, and how it is misused."""

import re

import ml_dtypes
import numpy as np
import pytest
from tinygrad_like.kernels.cuda import emulator, resources
from tinygrad_like.kernels.cuda.launcher import LaunchError, Source, TensorView

from tinygrad_like import backend

SCHEDULES = (0, 1, 2, 4, 10, 15)
HALVES = ("float16", "bfloat16")
TYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32}


def source_file(folder, text):
    path = folder / "test.cu"
    path.write_text(f'#include "ptx.cuh"\n{text}')
    for header in ("device.cuh", "ptx.cuh"):
        (folder / header).write_text((emulator.build.HERE.parent / header).read_text())
    return path


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


def rounded(array, dtype):
    """To the dtype, and of float32 to tf32."""
    array = array.astype(TYPES[dtype])
    if dtype == "float32":
        bits = array.view(np.uint32)
        return ((bits + 0x1000) & ~np.uint32(0x1FFF)).view(np.float32)
    return array


TILE = """
extern "C" __global__ void k(float* c, const scalar_t* a, const scalar_t* b) {
    constexpr int K = 32 / sizeof(scalar_t), CHUNK = 16 / sizeof(scalar_t);
    DYNAMIC_SHARED(scalar_t, left);
    scalar_t* right = left + 16 * K;
    const int lane = threadIdx.x;
    for (int i = lane; i < 16 * K; i += 32) left[i] = a[i], right[i] = b[i];
    __syncwarp();
    unsigned x[4], y[4];
    load_matrices(x, left + (lane % 8 + lane / 8 % 2 * 8) * K + lane / 16 * CHUNK);
    LOAD_RIGHT
    for (int half = 0; half < 2; ++half) {
        float s[4] = {};
        Multiply<scalar_t>::add(s[0], s[1], s[2], s[3], x, y + 2 * half);
        for (int i = 0; i < 4; ++i)
            c[(lane / 4 + i / 2 * 8) * 16 + half * 8 + lane % 4 * 2 + i % 2] = s[i];
    }
}
"""
TO_TF32 = """
extern "C" __global__ void k(float* y, const float* x) {
    y[threadIdx.x] = __uint_as_float(to_tf32(x[threadIdx.x]));
}
"""
ROWS = "load_matrices(y, right + (lane % 8 + lane / 16 * 8) * K + lane / 8 % 2 * CHUNK);"
COLUMNS = "load_matrices_transposed(y, right + (lane % 16) * 16 + lane / 16 * 8);"


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


# mbarriers, tensor copies and wgmma: one producer, one warpgroup that multiplies, two stages.

PIPELINE = """
extern "C" __global__ void k(float* c, const __grid_constant__ TensorMap a,
                             const __grid_constant__ TensorMap b, int k) {
    DYNAMIC_SHARED(unsigned char, shared);
    constexpr int STAGE = (64 + 128) * 128;
    Mbarrier* full = (Mbarrier*)(shared + 2 * STAGE);
    Mbarrier* empty = full + 2;
    if (threadIdx.x == 0) {
        for (int i = 0; i < 2; ++i) {
            mbarrier_init(&full[i], 1);
            mbarrier_init(&empty[i], 4);
        }
        mbarrier_fence_init();
    }
    __syncthreads();
    if (threadIdx.x >= 128) {
        if (threadIdx.x == 128)
            for (int step = 0; step < k / 64; ++step) {
                const int at = step % 2;
                unsigned char* stage = shared + at * STAGE;
                mbarrier_wait(&empty[at], step / 2 % 2 ^ 1);
                mbarrier_arrive(&full[at], STAGE);
                LOADS
            }
        return;
    }
    float sums[64] = {};
    for (int step = 0; step < k / 64; ++step) {
        const int at = step % 2;
        const unsigned char* stage = shared + at * STAGE;
        mbarrier_wait(&full[at], step / 2 % 2);
        wgmma_fence();
        for (int i = 0; i < 4; ++i)
            wgmma_128<scalar_t, A_ACROSS, B_ACROSS>(sums, LEFT, RIGHT);
        wgmma_commit();
        wgmma_wait<0>();
        if (threadIdx.x % 32 == 0) mbarrier_arrive(&empty[at]);
    }
    for (int i = 0; i < 64; ++i) {
        const int row = threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4 + i / 2 % 2 * 8;
        c[row * 128 + i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2] = sums[i];
    }
}
"""
ALONG = {
    "A_ACROSS": "false",
    "B_ACROSS": "false",
    "LEFT": "wgmma_descriptor(stage + i * 32, 16, 1024)",
    "RIGHT": "wgmma_descriptor(stage + 64 * 128 + i * 32, 16, 1024)",
    "LOADS": "tensor_load(stage, &a, &full[at], step * 64, 0, 0);"
    "tensor_load(stage + 64 * 128, &b, &full[at], step * 64, 0, 0);",
}
ACROSS = {
    "A_ACROSS": "true",
    "B_ACROSS": "true",
    "LEFT": "wgmma_descriptor(stage + i * 2048, 16, 1024)",
    "RIGHT": "wgmma_descriptor(stage + 64 * 128 + i * 2048, 8192, 1024)",
    "LOADS": "tensor_load(stage, &a, &full[at], 0, step * 64, 0);"
    "tensor_load(stage + 8192, &b, &full[at], 0, step * 64, 0);"
    "tensor_load(stage + 16384, &b, &full[at], 64, step * 64, 0);",
}
SHARED = 2 * (64 + 128) * 128 + 64


def pipeline(words):
    text = PIPELINE
    for name, meaning in words.items():
        text = text.replace(name, meaning)
    return text


def views_of(a, b, across, xp=emulator.xp):
    """The factors of a pipeline as its tensor copies see them."""
    views = []
    for x, (rows, k) in ((a, a.shape), (b, b.shape)):
        x = xp.asarray(np.ascontiguousarray(x.T) if across else x)
        sizes, box = ((rows, k, 1), (64, 64, 1)) if across else ((k, rows, 1), (64, rows, 1))
        views.append(TensorView(x, sizes, (1, sizes[0], sizes[0] * sizes[1]), box))
    return views


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


@pytest.mark.skipif(resources.problem() is not None, reason=str(resources.problem()))
@pytest.mark.parametrize(
    ("text", "dtype", "arch"),
    [
        *((TILE.replace("LOAD_RIGHT", ROWS), dtype, "sm_80") for dtype in TYPES),
        *((pipeline(words), dtype, "sm_90a") for words in (ALONG, ACROSS) for dtype in HALVES),
    ],
)
def test_the_wrappers_compile_for_the_device(tmp_path, text, dtype, arch):
    path = source_file(tmp_path, text)
    (kernel,) = resources.measure(Source(path).kernel("k", dtype).build, arch).values()
    assert kernel.spilled == 0


# Each wrapper on a GPU, bit for bit: of whole numbers the order of sums makes no difference.

WRAPPERS = {
    **{f"ldmatrix, mma.sync {dtype}": ("rows", dtype) for dtype in TYPES},
    **{f"ldmatrix.trans, mma.sync {dtype}": ("columns", dtype) for dtype in HALVES},
    "cvt.rna.tf32": ("round", "float32"),
    **{f"TMA, mbarrier, wgmma along {dtype}": ("along", dtype) for dtype in HALVES},
    **{f"TMA, mbarrier, wgmma across {dtype}": ("across", dtype) for dtype in HALVES},
}


def computed(folder, wrapper, xp):
    """(what a wrapper's kernel computes with an array module, exactly)."""
    kind, dtype = WRAPPERS[wrapper]
    rng = np.random.default_rng(0)

    def whole(*shape):
        return rng.integers(-3, 4, shape).astype(TYPES[dtype])

    def run(text, block, y, *args, shared=1024):
        y = xp.asarray(y)
        only = "sm_90a" if "wgmma" in text else None
        kernel = Source(source_file(folder, text), architecture=only).kernel("k", dtype)
        kernel(1, block, y, *args, shared=shared)
        return xp.asnumpy(y)

    if kind == "round":
        x = rng.standard_normal(32).astype(np.float32)
        return run(TO_TF32, 32, np.zeros_like(x), xp.asarray(x)), rounded(x, "float32")
    if kind in ("along", "across"):
        a, b, across = whole(64, 200), whole(128, 200), kind == "across"
        text = pipeline(ACROSS if across else ALONG)
        views, c = views_of(a, b, across, xp), np.zeros((64, 128), np.float32)
        found = run(text, 160, c, *views, 256, shared=SHARED)
        return found, a.astype(np.float32) @ b.astype(np.float32).T
    a, b = (whole(16, 32 // np.dtype(TYPES[dtype]).itemsize) for _ in "ab")
    text = TILE.replace("LOAD_RIGHT", ROWS if kind == "rows" else COLUMNS)
    found = run(text, 32, np.zeros((16, 16), np.float32), xp.asarray(a), xp.asarray(b))
    a, b = a.astype(np.float32), b.astype(np.float32)
    return found, a @ (b.T if kind == "rows" else b)


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapper_is_exact_on_whole_numbers(tmp_path, wrapper):
    found, exact = computed(tmp_path, wrapper, emulator.xp)
    np.testing.assert_array_equal(found, exact)


@pytest.mark.gpu
@pytest.mark.skipif(backend.cuda_problem() is not None, reason=str(backend.cuda_problem()))
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_gpu_does_what_the_emulator_does(tmp_path, wrapper):
    import cupy

    kind, dtype = WRAPPERS[wrapper]
    capability = int(cupy.cuda.Device().compute_capability)
    if capability < 80 or (kind in ("along", "across") and capability // 10 != 9):
        pytest.skip(f"a GPU of compute capability {capability / 10} has no {wrapper}")
    if dtype == "bfloat16" and backend.get("cuda").bfloat16 is None:
        pytest.skip("bfloat16 arrays need CuPy 14 and ml_dtypes")
    (folder := tmp_path / "gpu").mkdir()
    on_gpu, _ = computed(folder, wrapper, cupy)
    emulated, _ = computed(tmp_path, wrapper, emulator.xp)
    assert on_gpu.tobytes() == emulated.tobytes()
