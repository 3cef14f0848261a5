"""Every CUDA kernel in the emulator, in all dtypes, against the reference in float64.

Each case runs with every access to memory checked; the results must be within the case's bound, and
the same in all schedules, bit for bit. Two schedules and one dtype take a tenth of the time of all.
"""

import pytest
from cuda_case import SCHEDULES, difference, emulated, exact, rounded
from cuda_runs import each_first_run, each_run
from tinygrad_like.kernels import cuda


@each_first_run
def test_kernels_agree_with_the_reference(case, dtype):
    agree(case, dtype, SCHEDULES[:2])


@pytest.mark.long
@each_run
def test_kernels_of_all_dtypes_agree_with_the_reference_in_every_schedule(case, dtype):
    agree(case, dtype, SCHEDULES)


def agree(case, dtype, schedules):
    arrays = rounded(case, dtype)
    expected = exact(case, arrays)
    first = None
    for schedule in schedules:
        with cuda.emulator.run(schedule, checked=True):
            found = emulated(case, arrays)
        wrong = difference(found, expected, dtype, case.bound)
        assert wrong is None, f"{case.name} in {dtype}, schedule {schedule}: {wrong}"
        first = first or found
        for a, b in zip(found, first, strict=True):
            same = a is b is None or a.tobytes() == b.tobytes()
            assert same, f"{case.name} in {dtype}: schedule {schedule} gives other bits"
