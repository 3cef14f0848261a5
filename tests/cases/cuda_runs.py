"""All cases of the CUDA kernels, by family, and each with every dtype that it takes."""

import importlib
from pathlib import Path

from grouped import grouped

FAMILIES = sorted(Path(__file__).parent.glob("cuda_cases_*.py"))
CASES = [case for path in FAMILIES for case in importlib.import_module(path.stem).CASES]
RUNS = [(case, dtype) for case in CASES for dtype in case.dtypes]
each_run = grouped("case dtype", RUNS, by=lambda case, dtype: case.name)
