"""The rows of the CUDA kernels on a GPU, and against the emulator: `pytest -m gpu`."""

import pytest
from cuda_case import as_list, difference, emulated, exact, rounded
from cuda_runs import each_family
from tinygrad_like.kernels import cuda

from tinygrad_like import backend

PROBLEM = backend.cuda_problem()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM)),
]


def drawn(case, dtype):
    """The arrays of a case; the test is skipped where CuPy has none of this dtype."""
    if dtype == "bfloat16" and backend.get("cuda").bfloat16 is None:
        pytest.skip("CuPy has no bfloat16 here: pip install -U cupy-cuda13x ml-dtypes")
    return rounded(case, dtype)


def on_gpu(case, arrays):
    import cupy

    given = (None if a is None else cupy.asarray(a) for a in arrays)
    return [None if y is None else cupy.asnumpy(y) for y in as_list(case.call(cuda, *given))]


@each_family
def test_kernels_agree_with_the_reference_and_repeat_their_bits(case, dtype):
    arrays = drawn(case, dtype)
    found, again = on_gpu(case, arrays), on_gpu(case, arrays)
    wrong = difference(found, exact(case, arrays), dtype, case.bound)
    assert wrong is None, f"{case.name} in {dtype}: {wrong}"
    for a, b in zip(found, again, strict=True):
        assert a is b is None or a.tobytes() == b.tobytes()


@each_family
def test_the_emulator_is_the_gpu_up_to_rounding(case, dtype):
    arrays = drawn(case, dtype)
    wrong = difference(on_gpu(case, arrays), emulated(case, arrays), dtype, 2 * case.bound)
    assert wrong is None, f"{case.name} in {dtype}: {wrong}"
