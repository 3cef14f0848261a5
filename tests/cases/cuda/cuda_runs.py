"""All cases of the CUDA kernels, by family, and each with every dtype that it takes."""

import importlib
from pathlib import Path

from grouped import grouped

FAMILIES = sorted(Path(__file__).parent.glob("cuda_cases_*.py"))
FAMILY_OF = {
    case: path.stem.removeprefix("cuda_cases_")
    for path in FAMILIES
    for case in importlib.import_module(path.stem).CASES
}
CASES = list(FAMILY_OF)
RUNS = [(case, dtype) for case in CASES for dtype in case.dtypes]
FIRST_RUNS = [(case, dtype) for case, dtype in RUNS if dtype == case.dtypes[0]]


def by_case(case, dtype):
    return case.name


each_first_run = grouped("case dtype", FIRST_RUNS, by=by_case)
each_run = grouped("case dtype", RUNS, by=by_case)
each_family = grouped("case dtype", RUNS, by=lambda case, dtype: FAMILY_OF[case])
