"""Every CUDA kernel in the emulator, in all dtypes, against the reference in float64.

Each case runs once in each schedule with every access to memory checked; the results must be
within the case's bound, and the same in all schedules, bit for bit.
"""

import importlib
from pathlib import Path

import pytest
from cuda_case import SCHEDULES, difference, emulated, exact, rounded
from tinygrad_like.kernels import cuda

FAMILIES = sorted(Path(__file__).parent.glob("cuda_cases_*.py"))
CASES = [case for path in FAMILIES for case in importlib.import_module(path.stem).CASES]
RUNS = [(case, dtype) for case in CASES for dtype in case.dtypes]


@pytest.mark.parametrize(("case", "dtype"), RUNS, ids=lambda v: getattr(v, "name", v))
def test_kernels_agree_with_the_reference_in_every_schedule(case, dtype):
    arrays = rounded(case, dtype)
    expected = exact(case, arrays)
    first = None
    for schedule in SCHEDULES:
        with cuda.emulator.run(schedule, checked=True):
            found = emulated(case, arrays)
        wrong = difference(found, expected, dtype, case.bound)
        assert wrong is None, f"{case.name} in {dtype}, schedule {schedule}: {wrong}"
        first = first or found
        for a, b in zip(found, first, strict=True):
            same = a is b is None or a.tobytes() == b.tobytes()
            assert same, f"{case.name} in {dtype}: schedule {schedule} gives other bits"
