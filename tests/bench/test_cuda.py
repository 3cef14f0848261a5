"""The benchmark of the CUDA kernels, run without a GPU: the emulator is the card."""

import numpy as np
import pytest
from emulated_card import EmulatedCard
from needed import imported
from tinygrad_like.kernels import cuda, reference
from tinygrad_like.kernels.cuda import tf32

from bench import cuda_kernels
from bench.arena import OpponentError
from bench.kernel_figures import Places, text_of
from bench.kernel_rows.products import matmul_rows
from bench.kernel_rows.row import in_half, in_tf32, normal
from bench.limits import ImpossibleFigure
from tinygrad_like import backend

ml_dtypes = imported("ml_dtypes")
torch = imported("torch")
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
RATES = dict.fromkeys(("gemm", "half", "tf32", "copy", "update", "read", "fill"), 1e15)


def libraries():
    return {
        "ours": Places(cuda, cuda.emulator.xp),
        "numpy": Places(reference, cuda.emulator.xp),
        "torch": torch,
    }


def row(name="matmul 24x20 x 20x28"):
    return next(row for row in matmul_rows(24, 20, 28) if row.name == name)


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(cuda_kernels, "BATCH_MS", 0.1)


def test_a_row_is_compared_and_timed():
    found = cuda_kernels.measure(EmulatedCard(), row(), libraries(), RATES, 2)
    assert found["ms"].keys() == {"ours", "numpy", "torch"}
    assert all(0 < ms["low"] <= ms["median"] <= ms["high"] for ms in found["ms"].values())
    assert found["of_limit"]["ours"]["high"] == pytest.approx(
        2 * 24 * 20 * 28 / 1e15 / (found["ms"]["ours"]["low"] / 1e3)
    )
    assert len(text_of(found)) == 8


def test_inputs_are_more_than_the_cache_holds():
    steps = cuda_kernels.prepared(EmulatedCard(), row(), libraries())
    held = 4 * (24 * 20 + 20 * 28)
    assert {len(turns) for turns in steps.values()} == {-(-2 * (1 << 14) // held)}


def test_wrong_results_are_not_timed():
    wrong = libraries() | {"ours": Places(reference, cuda.emulator.xp)}
    wrong["ours"].matmul = lambda a, b: reference.matmul(a, b) * np.float32(1.01)
    with pytest.raises(OpponentError, match="matmul 24x20 x 20x28"):
        cuda_kernels.measure(EmulatedCard(), row(), wrong, RATES, 1)


def test_a_figure_faster_than_the_card_is_refused():
    with pytest.raises(ImpossibleFigure, match="allows no less than"):
        cuda_kernels.measure(EmulatedCard(), row(), libraries(), RATES | {"gemm": 1.0}, 1)


def test_rows_have_names_of_their_own():
    names = list(cuda_kernels.rows(BFLOAT16))
    assert "matmul 4096x4096 x 4096x4096" in names
    assert {"attention 12x4x64x32", "adamw 16777216"} <= set(names)


@pytest.mark.parametrize("name", ["attention 12x4x64x32", "attention_backward 12x4x64x32"])
def test_attention_is_compared_with_what_pytorch_has_on_every_device(name):
    row = cuda_kernels.rows(BFLOAT16)[name]
    small = row._replace(arrays=normal(*[(1, 4, 9, 32)] * 4))
    found = cuda_kernels.measure(EmulatedCard(), small, libraries(), RATES, 1)
    assert found["ratio"]["median"] > 0


@pytest.mark.parametrize("name", ["attention 12x4x64x32", "attention_backward 12x4x64x32"])
def test_attention_in_half_precision_is_compared_too(name):
    row = cuda_kernels.rows(BFLOAT16)[name]._replace(arrays=normal(*[(1, 2, 9, 32)] * 4))
    found = cuda_kernels.measure(EmulatedCard(), in_half(row), libraries(), RATES, 1)
    assert found["name"] == f"{name} float16"


def test_products_in_half_precision_have_a_limit_of_their_own():
    half = in_half(row())
    rates = RATES | {"gemm": 1.0}
    assert cuda_kernels.measure(EmulatedCard(), half, libraries(), rates, 1)["unit"] == "GFLOP/s"
    with pytest.raises(ImpossibleFigure, match="allows no less than"):
        cuda_kernels.measure(EmulatedCard(), half, libraries(), RATES | {"half": 1.0}, 1)
    names = list(cuda_kernels.rows(BFLOAT16))
    product, attention = "matmul 8192x8192 x 8192x8192", "attention 4x16x4096x128"
    for name in (f"{product} float16", f"{product} bfloat16", f"{attention} bfloat16"):
        assert name in names


def test_products_in_bfloat16_are_compared_with_pytorchs():
    half = in_half(row(), BFLOAT16)
    assert half.name == "matmul 24x20 x 20x28 bfloat16"
    assert cuda_kernels.measure(EmulatedCard(), half, libraries(), RATES, 1)["name"] == half.name


def test_products_in_tf32_have_a_table_and_a_limit_of_their_own():
    rounded, in_tf32s = in_tf32(row()), libraries() | {"ours": Places(tf32, cuda.emulator.xp)}
    assert cuda_kernels.measure(EmulatedCard(), rounded, in_tf32s, RATES, 1)["ratio"]["median"] > 0
    with pytest.raises(ImpossibleFigure, match="allows no less than"):
        cuda_kernels.measure(EmulatedCard(), rounded, in_tf32s, RATES | {"tf32": 1.0}, 1)
    strict = rounded._replace(tolerance=2e-5)
    with pytest.raises(OpponentError, match="matmul 24x20"):  # it did round
        cuda_kernels.measure(EmulatedCard(), strict, in_tf32s, RATES, 1)


def test_rows_in_bfloat16_are_left_out_where_there_are_no_such_arrays(monkeypatch, capsys):
    old = backend.Backend("cuda", cuda.emulator.xp, lambda: cuda, cuda.emulator.DeviceArray)
    monkeypatch.setitem(backend.BY_DEVICE, "cuda", old)
    assert cuda_kernels.bfloat16_of("cuda") is None
    assert "bfloat16 is left out" in capsys.readouterr().out
    assert cuda_kernels.bfloat16_of("cuda-emulator") == BFLOAT16
    assert capsys.readouterr().out == ""
    every, left = (list(cuda_kernels.rows(dtype)) for dtype in (BFLOAT16, None))
    assert left == [name for name in every if not name.endswith("bfloat16")]
    assert len(left) < len(every)
