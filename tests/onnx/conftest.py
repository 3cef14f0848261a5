"""The versions of ONNX's ops that exported models are tried with."""

import pytest
from onnx_runs import newest


@pytest.fixture(params=[17, pytest.param("newest", marks=pytest.mark.long)])
def opset(request):
    """The oldest version that `tg.onnx.export` writes, and the newest one that onnx knows."""
    return newest() if request.param == "newest" else request.param
