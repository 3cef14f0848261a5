"""An exported model beside our own: checked, run by ONNX Runtime, compared."""

import importlib.util
import warnings
import zlib

import numpy as np
import pytest
from needed import missing

import tinygrad_like as tg
from tinygrad_like.engine import wrap

for package in ("onnxruntime", "onnx", "onnx_ir"):
    if importlib.util.find_spec(package) is None:
        pytest.skip(missing(package), allow_module_level=True)

TOLERANCE = 1e-5


def newest():
    """The newest version of ONNX's ops that the onnx package knows."""
    import onnx

    return onnx.defs.onnx_opset_version()


def graph(path):
    """The graph in a file."""
    import onnx

    return onnx.load(path).graph


def session(path):
    """ONNX Runtime's session of a file, on one thread."""
    import onnxruntime  # here, as it takes a second

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def outputs(path, arrays):
    """What ONNX Runtime makes of {name: array}."""
    run = session(path)
    known = {x.name for x in run.get_inputs()}
    return run.run(None, {name: x for name, x in arrays.items() if name in known})


def assert_close(found, expected, tolerance=TOLERANCE):
    """Equal shapes and dtypes, and values to the tolerance, in the scale of the whole array."""
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        b = b.numpy() if isinstance(b, tg.Tensor) else np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        finite = np.abs(b[np.isfinite(b)]) if b.dtype.kind == "f" else np.abs(b)
        scale = max(finite.max(initial=0), 1) if b.dtype.kind != "b" else 1
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * float(scale))


def single(x):
    """Floating numbers as float32."""
    return x.astype(np.float32) if x.dtype == np.float64 else x


def drawn(case, number):
    """The inputs of a row of the op tests, others for each number."""
    rng = np.random.default_rng([zlib.crc32(case.name.encode()), number])
    return [single(x.make(rng)) for x in case.inputs]


def check_row(case, path, opset):
    """Export a row with some inputs, and compare what it makes of others."""
    example, others = drawn(case, 0), drawn(case, 1)
    names = [f"x{i}" for i in range(len(example))]

    def model(**arrays):
        return tuple(case(*arrays.values()))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tg.onnx.export(model, dict(zip(names, example, strict=True)), path, opset=opset)
        expected = case(*map(wrap, others))
    found = outputs(path, dict(zip(names, others, strict=True)))
    assert_close(found, expected, max(TOLERANCE, case.error))
