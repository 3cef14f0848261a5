"""Every CUDA kernel in the emulator, in all dtypes, against the reference in float64.

Each case runs once in each schedule with every access to memory checked; the results must be
within the case's bound, and the same in all schedules, bit for bit.
"""

import pytest
from cuda_case import SCHEDULES, difference, emulated, exact, rounded
from cuda_runs import each_first_run, each_other_run
from tinygrad_like.kernels import cuda


@each_first_run
def test_kernels_agree_with_the_reference_in_every_schedule(case, dtype):
    agree_in_every_schedule(case, dtype)


@pytest.mark.long
@each_other_run
def test_kernels_of_other_dtypes_agree_with_the_reference_in_every_schedule(case, dtype):
    agree_in_every_schedule(case, dtype)


def agree_in_every_schedule(case, dtype):
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
