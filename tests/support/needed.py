"""What some tests need beyond the library: without it they are skipped, with a reason and a fix."""

import pytest

from tinygrad_like import backend

FIXES = {
    **dict.fromkeys(("torch", "transformers", "sklearn"), "pip install 'tinygrad-like[oracle]'"),
    "jax": "pip install 'tinygrad-like[oracle]' in Python 3.11 or later",
    **dict.fromkeys(("matplotlib", "ml_dtypes"), "pip install 'tinygrad-like[test]'"),
    "numba_cuda": "pip install 'tinygrad-like[numba-cuda]'",
    "onnx": "pip install 'tinygrad-like[onnx]'",
    "onnxscript": "pip install onnxscript",
    "tensorboardX": "pip install 'tinygrad-like[tensorboard]'",
}


def missing(package):
    """The reason for which a test without this package is skipped."""
    return f"{package} is not installed: {FIXES[package]}"


def imported(module):
    """A module of a package that may be missing; then the test, or the file, is skipped."""
    __tracebackhide__ = True  # the report names the test, not this line
    return pytest.importorskip(module, reason=missing(module.partition(".")[0]))


NO_NUMBA = backend.numba_problem()
needs_numba = pytest.mark.skipif(NO_NUMBA is not None, reason=str(NO_NUMBA))
NO_EMULATOR = backend.emulator_problem()
needs_emulator = pytest.mark.skipif(NO_EMULATOR is not None, reason=str(NO_EMULATOR))
