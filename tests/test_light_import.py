"""`import tinygrad_like` is light: what it loads, and how long it takes."""

import os
import subprocess
import sys

from source_tree import ROOT

HEAVY = (
    "numba cupy matplotlib scipy safetensors tqdm torch threadpoolctl jax tinygrad sklearn joblib "
    "tokenizers"
).split()


def run(code, **variables):
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT.parent,
        env={**os.environ, **variables},
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


def test_importing_the_library_loads_nothing_heavy():
    loaded = run(
        "import tinygrad_like, sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    assert not set(HEAVY) & set(loaded.split())


def test_importing_the_library_loads_nothing_that_numpy_or_python_load_on_use():
    """Random generators and hashes take a tenth of the time of the import."""
    code = (
        "import numpy, sys; before = set(sys.modules); import tinygrad_like; "
        "print({'numpy.random', 'hashlib'} & (set(sys.modules) - before))"
    )
    assert run(code) == "set()"


def test_computing_on_a_cpu_array_loads_nothing_of_cuda_and_no_linear_algebra_of_scipys():
    code = (
        "import tinygrad_like as tg, sys; x = tg.ones((2, 2), requires_grad=True); "
        "(x @ x).sum().backward(); print({'cupy', 'torch', 'scipy.linalg'} & set(sys.modules))"
    )
    assert run(code) == "set()"


def test_importing_the_library_takes_less_than_0_3_s_beyond_numpy(tmp_path):
    """Of the processor's time, the least of five: others at work should not count.

    From the second import on, as for any user: the first one leaves Python's compiled files.
    """
    code = (
        "import numpy, time; t = time.process_time(); import tinygrad_like; "
        "print(time.process_time() - t)"
    )
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}
    run(code, **compiled)
    seconds = [float(run(code, **compiled)) for _ in range(5)]
    assert min(seconds) < 0.3, seconds
