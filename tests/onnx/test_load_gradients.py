"""Gradients of the ops that tg.onnx.load composes, beside differences."""

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg

onnx, parser = imported("onnx"), imported("onnx.parser")

pytestmark = pytest.mark.long  # kernels are compiled for float64

# (opset, node, the shapes of its floating inputs, inputs that are constants)
CASES = {
    "Resize cubic": (19, 'Resize <mode = "cubic"> (a,,,s)', [(1, 1, 3, 4)], {"s": [1, 1, 5, 2]}),
    "Resize antialias": (
        18, 'Resize <mode = "linear", antialias = 1> (a,,,s)', [(1, 1, 5, 4)], {"s": [1, 1, 2, 3]}
    ),
    "GridSample": (20, 'GridSample <mode = "linear"> (a, b)', [(1, 2, 3, 4), (1, 2, 2, 2)], {}),
    "GridSample cubic": (
        20, 'GridSample <mode = "cubic", padding_mode = "border"> (a, b)',
        [(1, 1, 3, 4), (1, 2, 1, 2)], {},
    ),
    "DeformConv": (
        19, "DeformConv (a, b, c)", [(1, 1, 3, 3), (1, 1, 2, 2), (1, 8, 2, 2)], {}
    ),
    "RoiAlign": (
        16, "RoiAlign <output_height = 2, output_width = 2> (a, r, i)", [(1, 1, 4, 4)],
        {"r": [[0.0, 0.5, 3.0, 2.5]], "i": [0]},
    ),
    "ConvTranspose": (
        17, "ConvTranspose <strides = [2], pads = [1, 0], output_padding = [1]> (a, b, c)",
        [(1, 2, 3), (2, 1, 3), (1,)], {},
    ),
    "AveragePool": (
        19, "AveragePool <kernel_shape = [2], dilations = [2], pads = [1, 1]> (a)", [(1, 2, 5)], {}
    ),
    "LpPool": (18, "LpPool <kernel_shape = [2], p = 3> (a)", [(1, 1, 4)], {}),
    "LRN": (17, "LRN <size = 3> (a)", [(1, 4, 2)], {}),
    "Col2Im": (18, "Col2Im (a, s, b2)", [(1, 4, 4)], {"s": [3, 3], "b2": [2, 2]}),
    "LSTM": (
        17, "LSTM <hidden_size = 2> (a, b, c, d, n, e, f, g)",
        [(3, 2, 2), (1, 8, 2), (1, 8, 2), (1, 16), (1, 2, 2), (1, 2, 2), (1, 6)], {"n": [3, 2]},
    ),
    "GRU": (
        17, 'GRU <hidden_size = 2, direction = "bidirectional"> (a, b, c)',
        [(2, 1, 2), (2, 6, 2), (2, 6, 2)], {},
    ),
    "ScatterND": (18, 'ScatterND <reduction = "mul"> (a, i, b)', [(3, 2), (2, 2)],
                  {"i": [[0], [2]]}),
    "Clip": (17, "Clip (a, low, high)", [(5,)], {"low": -0.4, "high": 0.6}),
    "LpNormalization": (17, "LpNormalization (a)", [(2, 3)], {}),
    "LayerNormalization": (17, "LayerNormalization (a, b, c)", [(2, 3), (3,), (3,)], {}),
    "SoftmaxCrossEntropyLoss": (
        17, "SoftmaxCrossEntropyLoss <ignore_index = 1> (a, i, b)", [(3, 4), (4,)],
        {"i": [0, 1, 3]},
    ),
    "DFT": (17, "DFT <axis = 1, onesided = 1> (a)", [(1, 4, 1)], {}),
    "RotaryEmbedding": (
        23, "RotaryEmbedding <interleaved = 1> (a, b, c)",
        [(1, 2, 2, 4), (1, 2, 2), (1, 2, 2)], {},
    ),
    "Attention": (24, "Attention <is_causal = 1> (a, b, c)", [(1, 1, 2, 2)] * 3, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_differences(case):
    opset, node, shapes, constants = CASES[case]
    names = "abcdefg".replace("", " ").split()[: len(shapes)]
    declared = ", ".join(f"double{list(s)} {n}" for n, s in zip(names, shapes, strict=True))
    graph = f"g ({declared}) => (double y) {{ y = {node} }}"
    proto = parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]>\n{graph}')
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    for name, value in constants.items():
        array = np.asarray(value)
        array = array.astype(np.int32) if name == "n" else array
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    model = tg.onnx.load(proto)
    rng = np.random.default_rng(len(case))
    inputs = [tg.Tensor(rng.uniform(0.1, 0.9, s)) for s in shapes]
    assert tg.gradcheck(model, *inputs, order=1)
