"""The emulator itself: what a kernel may do on it, and what it says of a kernel that is wrong."""

import re
from pathlib import Path

import numpy as np
import pytest
from tinygrad_like.kernels.cuda import emulator
from tinygrad_like.kernels.cuda.machine.launcher import Source

SCHEDULES = (0, 1, 2, 4, 10, 15, 16, 99)


@pytest.fixture
def launch(tmp_path):
    """Compile a kernel named `k` and launch it: launch(text, grid, block, *args, shared=, ...)."""

    def run(text, grid, block, *args, shared=0, schedule=0, checked=True):
        path = tmp_path / "test.cu"
        path.write_text(text)
        kernel = Source(path).kernel("k", "float32")
        moved = [emulator.xp.asarray(a) if isinstance(a, np.ndarray) else a for a in args]
        with emulator.run(schedule, checked):
            kernel(grid, block, *moved, shared=shared)
        return [emulator.xp.asnumpy(a) for a in moved if isinstance(a, emulator.DeviceArray)]

    return run


def kernel(body, parameters="float* y, const float* x, int n", before=""):
    """The text of a kernel; line 3 is the first of the body."""
    signature = f'extern "C" __global__ void k({parameters}) {{'
    return f'#include "ptx.cuh"\n{before}{signature}\n{body}\n}}\n'


X = np.arange(1, 65, dtype=np.float32)
Y = np.zeros(64, np.float32)


# What works


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_barrier_lets_a_block_exchange_values(launch, schedule, checked):
    text = kernel(
        """    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = tile[63 - threadIdx.x];"""
    )
    y, _ = launch(text, 1, 64, Y, X, 64, schedule=schedule, checked=checked)
    np.testing.assert_array_equal(y, X[::-1])


@pytest.mark.parametrize("checked", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_dynamic_shared_memory_and_warp_barriers(launch, schedule, checked):
    text = kernel(
        """    DYNAMIC_SHARED(float, tile);
    tile[threadIdx.x] = x[threadIdx.x];
    __syncwarp();
    y[threadIdx.x] = tile[threadIdx.x ^ 1];"""
    )
    y, _ = launch(text, 1, 64, Y, X, 64, shared=256, schedule=schedule, checked=checked)
    np.testing.assert_array_equal(y, X.reshape(32, 2)[:, ::-1].reshape(64))


SHUFFLES = {
    "__shfl_sync(FULL_WARP, v, 5)": lambda lane: 0 * lane + 5,
    "__shfl_sync(FULL_WARP, v, 5, 8)": lambda lane: lane // 8 * 8 + 5,
    "__shfl_xor_sync(FULL_WARP, v, 3)": lambda lane: lane ^ 3,
    "__shfl_up_sync(FULL_WARP, v, 2)": lambda lane: np.where(lane < 2, lane, lane - 2),
    "__shfl_down_sync(FULL_WARP, v, 2, 16)": lambda lane: np.where(lane % 16 < 14, lane + 2, lane),
}


@pytest.mark.parametrize("schedule", [0, 5])
@pytest.mark.parametrize("call", SHUFFLES)
def test_shuffles_read_the_lane_that_cuda_reads(launch, call, schedule):
    text = kernel(f"    const float v = x[threadIdx.x]; y[threadIdx.x] = {call};")
    y, _ = launch(text, 1, 32, Y[:32], X[:32], 32, schedule=schedule)
    np.testing.assert_array_equal(y, X[SHUFFLES[call](np.arange(32))])


def test_votes(launch):
    text = kernel(
        """    const int v = threadIdx.x % 3 == 0;
    y[threadIdx.x] = __popc(__ballot_sync(FULL_WARP, v)) + 100 * __any_sync(FULL_WARP, v)
                     + 1000 * __all_sync(FULL_WARP, v);"""
    )
    y, _ = launch(text, 1, 32, Y[:32], X[:32], 32)
    np.testing.assert_array_equal(y, 111)


def test_atomics_of_many_blocks(launch):
    text = kernel("    atomicAdd(count, 1); atomicMax(count + 1, (int)threadIdx.x);", "int* count")
    (count,) = launch(text, (3, 2), (8, 4), np.zeros(2, np.int32))
    assert count.tolist() == [192, 7]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_late_copies_have_landed_when_they_are_waited_for(launch, schedule):
    text = kernel(
        """    __shared__ __align__(16) float tile[64];
    copy_async_16(tile + 4 * threadIdx.x, x + 4 * threadIdx.x, threadIdx.x < 8);
    copy_async_commit();
    copy_async_wait<0>();
    __syncthreads();
    for (int i = 0; i < 4; ++i) y[i * 16 + threadIdx.x] = tile[i * 16 + threadIdx.x];"""
    )
    y, _ = launch(text, 1, 16, Y, X, 64, schedule=schedule)
    np.testing.assert_array_equal(y, np.where(np.arange(64) < 32, X, 0))


def test_half_types_round_as_numpy_rounds(launch):
    text = kernel(
        "    h[threadIdx.x] = Narrow<__half>::from(x[threadIdx.x]);", "__half* h, const float* x"
    )
    x = np.float32([1, 1 + 2**-11, 1 + 3 * 2**-11, 65519, 65520, 1e-8, -3e-8, np.nan] * 4)
    h, _ = launch(text, 1, 32, np.zeros(32, np.float16), x)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(h, x.astype(np.float16))


# What is reported, by kernel, block, thread and line

FAULTS = {
    "a missing barrier": (
        """    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = tile[63 - threadIdx.x];""",
        r"\[k\] block \(0,0,0\) thread \(\d+,0,0\): (race: it reads|uninitialised: it reads) byte "
        r"\d+ of shared memory at test.cu:5",
    ),
    "a tile that is overwritten while it is read": (
        """    __shared__ float tile[64];
    for (int round = 0; round < 2; ++round) {
        tile[threadIdx.x] = x[threadIdx.x];
        __syncthreads();
        y[threadIdx.x] = tile[63 - threadIdx.x];
    }""",
        r"thread \(\d+,0,0\): race: it (writes|reads) byte \d+ of shared memory at test.cu:[57], "
        r"which block \(0,0,0\) thread \(\d+,0,0\) (read|wrote) at test.cu:[57], and no barrier",
    ),
    "an exchange within a warp without a barrier": (
        """    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    tile[threadIdx.x] += 1;
    y[threadIdx.x] = tile[threadIdx.x ^ 1];""",
        r"race: it (reads|writes) byte \d+ of shared memory at test.cu:[67]",
    ),
    "a shuffle where the warp needs a barrier": (
        """    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    float v = __shfl_xor_sync(FULL_WARP, x[threadIdx.x], 1);
    y[threadIdx.x] = v + tile[threadIdx.x ^ 1];""",
        r"race: it reads byte \d+ of shared memory at test.cu:6, which .* wrote at test.cu:4",
    ),
    "a warp barrier where the block needs one": (
        """    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    __syncwarp();
    y[threadIdx.x] = tile[63 - threadIdx.x];""",
        r"(race|uninitialised): it reads byte \d+ of shared memory at test.cu:6",
    ),
    "a divergent barrier": (
        """    if (threadIdx.x < 32) __syncthreads();
    else
        __syncthreads();
    y[threadIdx.x] = 0;""",
        r"divergent barrier: it waits at test.cu:[35], but block .* thread .* at test.cu:[35]",
    ),
    "a thread that leaves before a barrier": (
        """    if (threadIdx.x == 7) return;
    __syncthreads();
    y[threadIdx.x] = 0;""",
        r"divergent barrier: it waits at test.cu:4, but .* thread \(7,0,0\) has returned",
    ),
    "a warp operation that a lane does not reach": (
        """    if (threadIdx.x != 3) y[threadIdx.x] = __shfl_sync(FULL_WARP, x[threadIdx.x], 0);""",
        r"deadlock: it waits at test.cu:3.*mask names lanes that never come",
    ),
    "lanes in different warp operations": (
        """    if (threadIdx.x % 2) y[threadIdx.x] = __shfl_sync(FULL_WARP, x[threadIdx.x], 0);
    else __syncwarp();""",
        r"warp operation at test.cu:[34].* waits at another one, at test.cu:[34]",
    ),
    "a shuffle from outside its mask": (
        """    if (threadIdx.x < 16) y[threadIdx.x] = __shfl_sync(0xffffu, x[threadIdx.x], 20);""",
        "shuffle at test.cu:3 reads a lane outside its mask",
    ),
    "a read beyond an array": (
        "    y[threadIdx.x] = x[threadIdx.x + 1];",
        r"thread \(63,0,0\): out of bounds: it reads 4 bytes at test.cu:3, index 64 of x, which "
        "has 64 elements",
    ),
    "a write before an array": (
        "    y[(int)threadIdx.x - 1] = x[threadIdx.x];",
        r"thread \(0,0,0\): out of bounds: it writes 4 bytes at test.cu:3, index -1 of y",
    ),
    "an index beyond a shared array": (
        """    __shared__ float tile[32];
    tile[threadIdx.x] = x[threadIdx.x];
    y[threadIdx.x] = 0;""",
        r"thread \(32,0,0\): out of bounds: an index beyond the end of an array at test.cu:4",
    ),
    "a read of shared memory that nobody wrote": (
        """    __shared__ float tile[64];
    y[threadIdx.x] = tile[threadIdx.x];""",
        "uninitialised: it reads byte 0 of shared memory at test.cu:4",
    ),
    "two threads that write one element": (
        "    y[threadIdx.x / 2] = x[threadIdx.x];",
        r"race: it writes element 0 of y at test.cu:3, which .* thread \(0,0,0\) wrote",
    ),
    "a copy that is looked at too early": (
        """    __shared__ __align__(16) float tile[256];
    copy_async_16(tile + 4 * threadIdx.x, x, true);
    copy_async_commit();
    y[threadIdx.x] = tile[4 * threadIdx.x];""",
        "cp.async still in flight: it touches byte 0 of shared memory at test.cu:6",
    ),
    "a copy that is waited for by another thread": (
        """    __shared__ __align__(16) float tile[256];
    copy_async_16(tile + 4 * threadIdx.x, x, true);
    copy_async_commit();
    copy_async_wait<0>();
    y[threadIdx.x] = tile[255 - 4 * threadIdx.x];""",
        r"(race|uninitialised|cp.async still in flight): it \w+ byte \d+ of shared memory at "
        "test.cu:7",
    ),
    "an integer overflow": (
        "    y[threadIdx.x] = n * (2147483647 / 32 + int(threadIdx.x)) ;",
        "integer overflow in a product at test.cu:3",
    ),
    "a division by zero": (
        "    y[threadIdx.x] = 7 / (n - 64);",
        "integer division by zero at test.cu:3",
    ),
}


@pytest.mark.parametrize("schedule", [0, 1, 2, 4, 10, 15])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported_where_it_is(launch, fault, schedule):
    body, report = FAULTS[fault]
    if schedule:  # another thread may be the first
        report = re.sub(r"thread \\\(\d+,0,0\\\)", r"thread .*", report)
        report = re.sub(r"(byte|element|index) -?\d+", r"\1 .*", report)
    with pytest.raises(emulator.KernelFault, match=report):
        launch(kernel(body), 1, 64, Y, X, 64, schedule=schedule)


def test_blocks_that_write_one_element_are_reported(launch):
    with pytest.raises(
        emulator.KernelFault, match=r"race: it writes element 3 of y .*orders blocks"
    ):
        launch(kernel("    if (threadIdx.x == 3) y[3] = x[0];"), 2, 32, Y, X, 64)


def test_a_launch_that_never_ends_is_reported(launch, tmp_path):
    text = kernel("    for (int i = 0; i >= 0; i = (i + 1) % 64) y[threadIdx.x] += x[i];")
    path = tmp_path / "endless.cu"
    path.write_text(text.replace("ptx.cuh", "device.cuh"))
    arrays = [emulator.xp.asarray(a) for a in (Y, X)]
    endless = Source(path).kernel("k", "float32")
    fault = pytest.raises(emulator.KernelFault, match="endless: more than 10000 accesses")
    with emulator.run(checked=True, access_limit=10_000), fault:
        endless(1, 32, *arrays, 64)


def test_a_fault_leaves_the_emulator_usable(launch):
    with pytest.raises(emulator.KernelFault):
        launch(kernel("    y[threadIdx.x + 64] = 0;"), 1, 32, Y, X, 64)
    y, _ = launch(kernel("    y[threadIdx.x] = x[threadIdx.x];"), 1, 64, Y, X, 64)
    np.testing.assert_array_equal(y, X)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's list of mappings")
def test_another_kernel_needs_no_further_stacks(launch):
    """A process may hold 65,530 mappings, and a block of 1,024 threads has 2,048 for its stacks."""
    counts = []
    for number in range(3):
        text = kernel(f"y[threadIdx.x] = {number};", "float* y")
        launch(text, 1, 1024, np.zeros(1024, np.float32))
        counts.append(len(Path("/proc/self/maps").read_text().splitlines()))
    assert counts[2] - counts[0] < 100


def test_new_memory_is_poisoned():
    x = emulator.xp.asarray(X)
    assert np.isnan(emulator.xp.asnumpy(np.empty_like(x))).all()
    assert np.isnan(emulator.xp.asnumpy(emulator.xp.empty((3, 2)))).all()
