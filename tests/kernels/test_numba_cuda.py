"""The readable twins of the CUDA kernels, in numba's simulator, and on a GPU where there is one."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from needed import missing

from tinygrad_like import backend

pytestmark = pytest.mark.long

ROWS = Path(__file__).parents[1] / "cases" / "cuda" / "numba_cuda_rows.py"
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("numba_cuda") is None, reason=missing("numba_cuda")
)


def run(code, **environment):
    command = [sys.executable, *(["-c", code] if isinstance(code, str) else [str(code)])]
    done = subprocess.run(
        command, env={**os.environ, **environment}, text=True, capture_output=True
    )
    return done.returncode, done.stdout + done.stderr


@needs_package
def test_all_rows_agree_in_the_simulator():
    code, text = run(ROWS, NUMBA_ENABLE_CUDASIM="1")
    assert code == 0, text
    assert "all rows agree" in text


@pytest.mark.gpu
@needs_package
@pytest.mark.skipif(backend.cuda_problem() is not None, reason=str(backend.cuda_problem()))
def test_all_rows_agree_on_a_gpu():
    code, text = run(ROWS)
    assert code == 0, text


@needs_package
@pytest.mark.skipif(backend.cuda_problem() is None, reason="this machine has a GPU")
def test_without_gpu_and_simulator_the_fix_is_named():
    code, text = run(
        "import numpy as np; from tinygrad_like.kernels import numba_cuda as k; "
        "k.softmax(np.ones((2, 3)))"
    )
    assert code != 0
    assert "[softmax] numba sees no GPU; to run in its simulator set NUMBA_ENABLE_CUDASIM=1" in text


def test_without_the_package_the_fix_is_named():
    code, text = run(
        "import sys, importlib.util as u; find = u.find_spec; "
        "u.find_spec = lambda name, *a: None if name == 'numba_cuda' else find(name, *a); "
        "import tinygrad_like.kernels.numba_cuda"
    )
    assert code != 0
    assert "pip install 'tinygrad-like[numba-cuda]'" in text
