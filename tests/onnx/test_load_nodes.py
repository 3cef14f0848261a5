"""ONNX's own tests of nodes: how many pass, and that the others are refused by name."""

from collections import Counter

import numpy as np
import pytest
from needed import imported, needs_emulator

onnx = imported("onnx")

import onnx_backend  # noqa: E402

PASSED = 1627  # of the 1,884 that onnx 1.23 has


@pytest.mark.long
def test_nodes_pass_or_are_refused_by_name():
    kinds, wrong, unnamed = Counter(), [], []
    tests = onnx_backend.tests_of_nodes()
    if tests[0].model is None:
        pytest.skip(f"onnx {onnx.__version__} has its tests in files: pip install -U onnx")
    for test in tests:
        kind, message = onnx_backend.verdict(test)
        kinds[kind] += 1
        if kind == "wrong":
            wrong.append(f"{test.name}: {message}")
        ops = {node.op_type for node in test.model.graph.node}
        named = any(op in message for op in ops) or "dtype" in message
        if kind == "refused" and not named:
            unnamed.append(f"{test.name}: {message}")
    print(dict(kinds))
    assert not wrong
    assert not unnamed
    if onnx.__version__.startswith("1.23."):
        assert kinds["passed"] >= PASSED, kinds


@needs_emulator
@pytest.mark.long
def test_nodes_pass_on_a_gpu_that_is_emulated():
    tests = [t for t in onnx_backend.tests_of_nodes() if t.model is not None]
    found = {t.name: onnx_backend.verdict(t, "cuda-emulator") for t in tests[::3]}
    assert not {name: message for name, (kind, message) in found.items() if kind == "wrong"}
    assert sum(kind == "passed" for kind, _ in found.values()) > 500


def test_a_backend_runs_a_node():
    node = onnx.helper.make_node("Gemm", ["a", "b"], ["y"], transB=1)
    a, b = np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)
    (y,) = onnx_backend.TinygradLike.run_node(node, [a, b])
    assert np.array_equal(y, np.full((2, 4), 3))
    assert onnx_backend.TinygradLike.supports_device("CPU")
