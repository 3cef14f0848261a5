"""The emulator's counters on kernels whose traffic is known."""

import numpy as np
import pytest
from tinygrad_like.kernels import cuda
from tinygrad_like.kernels.cuda import emulator
from tinygrad_like.kernels.cuda.machine.launcher import Source


@pytest.fixture
def count(tmp_path):
    """The counters of a kernel body that a warp runs; x has 4,096 floats, y 32."""

    def run(body):
        path = tmp_path / "test.cu"
        path.write_text(
            '#include "ptx.cuh"\n'
            'extern "C" __global__ void k(float* y, ALIGNED16 const float* x) {\n'
            f"DYNAMIC_SHARED(float, tile); const int lane = threadIdx.x;\n{body}\n}}\n"
        )
        counters = emulator.Counters()
        y, x = (emulator.xp.asarray(np.ones(n, np.float32)) for n in (32, 4096))
        with emulator.run(checked=True, counters=counters):
            Source(path).kernel("k", "float32")(1, 32, y, x, shared=16384)
        return counters

    return run


FILL = "for (int i = lane; i < 4096; i += 32) tile[i] = 1; __syncwarp();"  # 128 wavefronts


@pytest.mark.parametrize(
    ("index", "sectors"),
    [("lane", 4), ("lane + 1", 5), ("2 * lane", 8), ("8 * lane", 32), ("32 * lane", 32), ("5", 1)],
)
def test_sectors_of_a_load(count, index, sectors):
    counters = count(f"y[lane] = x[{index}];")
    assert counters.as_dict() == {
        **dict.fromkeys(("global_loads", "global_stores"), 1),
        **{"load_sectors": sectors, "store_sectors": 4},
        **dict.fromkeys(("shared_loads", "shared_stores", "wavefronts", "conflicts"), 0),
    }


@pytest.mark.parametrize(
    ("index", "conflicts"),
    [("lane", 0), ("5", 0), ("2 * lane", 1), ("4 * lane", 3), ("32 * lane", 31), ("33 * lane", 0)],
)
def test_bank_conflicts_of_a_load(count, index, conflicts):
    counters = count(f"{FILL} y[lane] = tile[{index}];")
    assert (counters.shared_loads, counters.shared_stores) == (1, 128)
    assert (counters.wavefronts, counters.conflicts) == (129 + conflicts, conflicts)


@pytest.mark.parametrize(("index", "conflicts"), [("lane", 0), ("8 * lane", 28), ("lane / 8", 0)])
def test_sixteen_bytes_go_by_quarters_of_a_warp(count, index, conflicts):
    counters = count(
        f"{FILL} const float* from = tile + 4 * ({index});"
        "const Vector<float, 4> v = *reinterpret_cast<const Vector<float, 4>*>(from);"
        "y[lane] = v.at[0] + v.at[1] + v.at[2] + v.at[3];"
    )
    assert counters.shared_loads == 1
    assert counters.conflicts == conflicts
    assert counters.wavefronts == 128 + 4 + conflicts


def test_a_vector_is_one_request_to_global_memory(count):
    counters = count(
        "const Vector<float, 4> v = reinterpret_cast<const Vector<float, 4>*>(x)[lane];"
        "y[lane] = v.at[0] + v.at[1] + v.at[2] + v.at[3];"
    )
    assert (counters.global_loads, counters.load_sectors) == (1, 16)


def test_asynchronous_copies_read_and_write(count):
    counters = count(
        "copy_async_16(tile + 4 * lane, x + 4 * lane, true); copy_async_commit();"
        "copy_async_wait<0>(); __syncwarp(); y[lane] = tile[lane];"
    )
    assert (counters.global_loads, counters.load_sectors) == (1, 16)
    assert (counters.shared_stores, counters.shared_loads) == (1, 1)
    assert counters.conflicts == 0


def test_ldmatrix_meets_each_bank_once_or_conflicts(count):
    body = "unsigned r[4]; load_matrices(r, tile + {}); y[lane] = __uint_as_float(r[0]);"
    straight = count(FILL + body.format("lane * 4"))
    assert (straight.shared_loads, straight.conflicts) == (1, 0)
    assert count(FILL + body.format("lane * 32")).conflicts == 28


def test_counters_are_added_to():
    counters = emulator.Counters(global_loads=5)
    x = emulator.xp.asarray(np.ones((2, 8), np.float32))
    with emulator.run(checked=True, counters=counters):
        cuda.softmax(x)
    assert counters.global_loads > 5
    assert "global_loads=" in repr(counters)
