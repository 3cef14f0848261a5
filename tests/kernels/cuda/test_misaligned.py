"""Arrays that begin at no multiple of 16 bytes: who looks at that before 16 are read at once."""

import cuda_cases_attention
import cuda_cases_linalg
import numpy as np
import pytest
from cuda_case import emulated, misaligned, rounded
from tinygrad_like.kernels.cuda import emulator, linalg
from tinygrad_like.kernels.cuda.machine import launcher

PRODUCTS, ATTENTIONS = (
    [case for case in family.CASES if "misaligned" in case.name]
    for family in (cuda_cases_linalg, cuda_cases_attention)
)


def in_vectors_wherever_they_begin(x, width, dtype, numbers):
    return width % numbers == 0


def fault_of(case, dtype, **options):
    """The report on a case, watched."""
    arrays = rounded(case, dtype)
    with emulator.run(checked=True, **options), pytest.raises(emulator.KernelFault) as fault:
        emulated(case, arrays)
    return str(fault.value)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("case", PRODUCTS, ids=lambda case: case.name)
def test_products_find_out_where_an_operand_begins(monkeypatch, case, dtype):
    monkeypatch.setattr(linalg, "_in_vectors", in_vectors_wherever_they_begin)
    assert "misaligned" in fault_of(case, dtype)


@pytest.mark.parametrize("name", ["a", "b"])
def test_tensor_copies_need_operands_that_begin_at_multiples_of_16_bytes(monkeypatch, name):
    (case,) = (c for c in PRODUCTS if c.name.startswith("matmul-128x") and c.name.endswith(name))
    monkeypatch.setattr(launcher.TensorView, "problem", lambda view: None)
    assert "[wgmma_gemm]" in (report := fault_of(case, "float16"))
    assert "its source is misaligned" in report


def test_warpgroups_multiply_only_what_begins_at_multiples_of_16_bytes():
    x = emulator.xp.asarray(np.zeros((128, 64), np.float16))
    assert launcher.address(misaligned(x)) % 16 == 2
    aligned, shifted = (linalg.Operand(y, 128, 64, 0, False) for y in (x, misaligned(x)))
    assert linalg.choose_core(aligned, aligned, "float16") is linalg.WGMMA
    assert linalg.choose_core(shifted, aligned, "float16") is linalg.TENSOR
    assert linalg.choose_core(aligned, shifted, "float16") is linalg.TENSOR


@pytest.mark.parametrize("case", ATTENTIONS, ids=lambda case: case.name)
def test_attention_finds_out_where_each_array_begins(case):
    def replace(build):
        guard = " && (unsigned long long)matrix % 16 == 0"
        text = build.source.text
        assert text.count(guard) == (build.source.path.name == "attention_tensor.cu")
        return text.replace(guard, "")

    assert "of misaligned addresses" in fault_of(case, "float16", replace=replace)
