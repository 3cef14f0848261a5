"""What some tests need beyond the library: without it they are skipped, with a reason and a fix."""

import pytest

from tinygrad_like import backend

FIXES = {
    **dict.fromkeys(("torch", "transformers", "gensim"), "pip install 'tinygrad-like[oracle]'"),
    **dict.fromkeys(("sklearn", "joblib"), "pip install 'tinygrad-like[sklearn]'"),
    **dict.fromkeys(("optuna", "distributed"), "pip install 'tinygrad-like[search]'"),
    **dict.fromkeys(
        ("array_api_strict", "array_api_compat", "einops", "jaxtyping", "beartype"),
        "pip install 'tinygrad-like[oracle]'",
    ),
    "librosa": "pip install 'tinygrad-like[speech-test]'",
    "jiwer": "pip install 'tinygrad-like[speech]'",
    "jax": "pip install 'tinygrad-like[oracle]' in Python 3.11 or later",
    **dict.fromkeys(("matplotlib", "ml_dtypes", "PIL"), "pip install 'tinygrad-like[test]'"),
    **dict.fromkeys(("onnx", "onnx_ir"), "pip install 'tinygrad-like[onnx]'"),
    "onnxruntime": "pip install 'tinygrad-like[onnx-test]'",
    "onnxscript": "pip install 'tinygrad-like[onnx-test]'",
    "numba_cuda": "pip install 'tinygrad-like[numba-cuda]'",
    **dict.fromkeys(
        ("starlette", "uvicorn", "pydantic", "prometheus_client"),
        "pip install 'tinygrad-like[serve]'",
    ),
    **dict.fromkeys(
        ("schemathesis", "kubernetes_validate", "yaml"), "pip install 'tinygrad-like[serve-test]'"
    ),
    "tokenizers": "pip install 'tinygrad-like[text]'",
    "tensorboardX": "pip install 'tinygrad-like[tensorboard]'",
    **dict.fromkeys(
        ("IPython", "mlflow", "selenium", "tensorboard"), "pip install 'tinygrad-like[readers]'"
    ),
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
