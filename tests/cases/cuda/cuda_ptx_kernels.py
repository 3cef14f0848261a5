"""The small kernels that exercise the wrappers of ptx.cuh, and what they compute, exactly."""

import ml_dtypes
import numpy as np
from tinygrad_like.kernels.cuda import emulator
from tinygrad_like.kernels.cuda.machine.launcher import Source, TensorView

HALVES = ("float16", "bfloat16")
TYPES = {"float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float32": np.float32}


def source_file(folder, text):
    """A file of its own for the text of a kernel."""
    path = folder / "test.cu"
    path.write_text(f'#include "ptx.cuh"\n{text}')
    return path


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
COPIES = """
extern "C" __global__ void k(float* y, const float* x, int count) {
    DYNAMIC_SHARED(float, tile);
    const int lane = threadIdx.x;
    for (int at = lane; at < 64; at += 32) {
        copy_async_16(tile + at * 4, x + at * 4, at < count && at % 5 != 2);
        copy_async_commit();
    }
    copy_async_wait<1>();
    __syncthreads();
    for (int i = lane; i < 128; i += 32) y[i] = tile[i];
    copy_async_wait<0>();
    __syncthreads();
    for (int i = lane + 128; i < 256; i += 32) y[i] = tile[i];
    y[256 + lane] = shared_address(tile + lane) - shared_address(tile);
}
"""
REGISTERS = """
extern "C" __global__ void __launch_bounds__(384, 1) k(float* y, const float* x) {
    float value = x[threadIdx.x];
    if (threadIdx.x < 128) {
        registers_decrease<24>();
        value += 1;
    } else {
        registers_increase<240>();
        value *= 2;
    }
    y[threadIdx.x] = value;
}
"""

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
    """PIPELINE, with a meaning for each of its words."""
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


MICRO_TESTS = {
    "rows": TILE.replace("LOAD_RIGHT", ROWS),
    "columns": TILE.replace("LOAD_RIGHT", COLUMNS),
    "round": TO_TF32,
    "copies": COPIES,
    "along": pipeline(ALONG),
    "across": pipeline(ACROSS),
    "registers": REGISTERS,
}
HOPPER = ("along", "across", "registers")  # need sm_90a
WRAPPERS = {
    **{f"ldmatrix, mma.sync {dtype}": ("rows", dtype) for dtype in TYPES},
    **{f"ldmatrix.trans, mma.sync {dtype}": ("columns", dtype) for dtype in HALVES},
    "cvt.rna.tf32": ("round", "float32"),
    "cp.async, commit_group, wait_group": ("copies", "float32"),
    "setmaxnreg": ("registers", "float32"),
    **{f"TMA, mbarrier, wgmma along {dtype}": ("along", dtype) for dtype in HALVES},
    **{f"TMA, mbarrier, wgmma across {dtype}": ("across", dtype) for dtype in HALVES},
}


def computed(folder, wrapper, xp):
    """(what the kernel of one of WRAPPERS computes with an array module, exactly)."""
    kind, dtype = WRAPPERS[wrapper]
    rng = np.random.default_rng(0)

    def whole(*shape):
        return rng.integers(-3, 4, shape).astype(TYPES[dtype])

    def run(block, y, *args, shared=1024):
        y = xp.asarray(y)
        path, only = source_file(folder, MICRO_TESTS[kind]), "sm_90a" if kind in HOPPER else None
        kernel = Source(path, architecture=only).kernel("k", dtype)
        kernel(1, block, y, *args, shared=shared)
        return xp.asnumpy(y)

    if kind == "round":
        x = rng.standard_normal(32).astype(np.float32)
        return run(32, np.zeros_like(x), xp.asarray(x)), rounded(x, "float32")
    if kind == "copies":
        x, count = whole(64, 4), 60
        places = np.arange(64)
        copied = np.where((places < count) & (places % 5 != 2), x.T, 0).T
        found = run(32, np.zeros(288, np.float32), xp.asarray(x[:count]), count)
        return found, np.append(copied, places[:32] * 4).astype(np.float32)
    if kind == "registers":
        x = whole(384)
        found = run(384, np.zeros_like(x), xp.asarray(x))
        return found, np.where(np.arange(384) < 128, x + 1, x * 2)
    if kind in ("along", "across"):
        a, b, across = whole(64, 200), whole(128, 200), kind == "across"
        views, c = views_of(a, b, across, xp), np.zeros((64, 128), np.float32)
        found = run(160, c, *views, 256, shared=SHARED)
        return found, a.astype(np.float32) @ b.astype(np.float32).T
    a, b = (whole(16, 32 // np.dtype(TYPES[dtype]).itemsize) for _ in "ab")
    found = run(32, np.zeros((16, 16), np.float32), xp.asarray(a), xp.asarray(b))
    a, b = a.astype(np.float32), b.astype(np.float32)
    return found, a @ (b.T if kind == "rows" else b)
