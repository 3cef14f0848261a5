"""tg.onnx.load: names, state, training, control flow, functions, and errors."""

import copy
import pickle

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg

onnx, parser = imported("onnx"), imported("onnx.parser")


def model_of(text, **initializers):
    """A model in ONNX's own syntax, with initializers of the main graph."""
    proto = parser.parse_model(text)
    for name, array in initializers.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return proto


HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n'
LINEAR = HEAD + "g (float[N, 3] x) => (float[N, 2] y) { h = MatMul(x, w)\n y = Add(h, b) }"
W = np.arange(6, dtype=np.float32).reshape(3, 2)


def linear():
    return tg.onnx.load(model_of(LINEAR, w=W, b=np.ones(2, np.float32)))


# State and training


def test_float_initializers_are_parameters_under_their_names():
    model = linear()
    assert [path for path, _ in model.named_parameters()] == ["w", "b"]
    x = np.ones((4, 3), np.float32)
    assert np.array_equal(model(x).numpy(), x @ W + 1)
    assert np.array_equal(model(x=x).numpy(), x @ W + 1)
    model(x).sum().backward()
    assert np.array_equal(model.parameters()[0].grad.numpy(), np.full((3, 2), 4.0))


def test_a_model_learns():
    model = linear()
    optimizer = tg.optim.SGD(model.parameters(), lr=0.3)
    rng = np.random.default_rng(0)
    x, wanted = rng.standard_normal((32, 3)).astype(np.float32), rng.standard_normal((3, 2))
    for _ in range(200):
        optimizer.zero_grad()
        tg.losses.mse(model(x), tg.Tensor((x @ wanted).astype(np.float32))).backward()
        optimizer.step()
    assert np.allclose(model.parameters()[0].numpy(), wanted, atol=1e-3)


def test_dotted_names_and_names_of_methods():
    text = HEAD + 'g (float[2] x) => (float[2] y) { h = Add(x, "layers.0.bias")\n'
    text = text.replace('"layers.0.bias"', "bias") + "y = Mul(h, forward) }"
    proto = model_of(text, bias=np.ones(2, np.float32), forward=np.full(2, 3, np.float32))
    proto.graph.initializer[0].name = proto.graph.node[0].input[1] = "layers.0.bias"
    model = tg.onnx.load(proto)
    assert list(model.state_dict()) == ["layers.0.bias", "forward_"]
    assert model(np.zeros(2, np.float32)).numpy().tolist() == [3, 3]


def test_names_with_slashes_are_saved(tmp_path):
    proto = model_of(LINEAR, w=W, b=np.ones(2, np.float32))
    proto.graph.initializer[0].name = proto.graph.node[0].input[1] = "/linear/w:0"
    model = tg.onnx.load(proto)
    tg.io.save(tmp_path / "m.safetensors", model.state_dict())
    assert list(tg.io.load(tmp_path / "m.safetensors")) == [".linear.w:0", "b"]


def test_state_is_saved_copied_and_pickled(tmp_path):
    model, x = linear(), np.ones((1, 3), np.float32)
    model(x)
    tg.io.save(tmp_path / "m.safetensors", model.state_dict())
    for other in (linear(), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(other(x).numpy(), model(x).numpy())
    other = linear().requires_grad_(False)
    other.load_state_dict({name: v * 2 for name, v in model.state_dict().items()})
    other.load_state_dict(tg.io.load(tmp_path / "m.safetensors"))
    assert np.array_equal(other(x).numpy(), model(x).numpy())


def test_what_does_not_learn_is_a_buffer_or_a_constant():
    text = HEAD + (
        "g (float[N, 2, 1] x) => (float[N, 2, 1] y) {"
        " a = BatchNormalization(x, scale, bias, mean, var)\n b = Mul(a, factor)\n"
        " c = Add(b, mask)\n y = Reshape(c, shape) }"
    )
    ones = np.ones(2, np.float32)
    proto = model_of(
        text, scale=ones, bias=ones, mean=ones, var=ones, factor=np.float32(2),
        mask=np.asarray([[[0.0], [-np.inf]]], np.float32), shape=np.asarray([-1, 2, 1]),
    )  # fmt: skip
    model = tg.onnx.load(proto)
    assert [path for path, _ in model.named_parameters()] == ["scale", "bias"]
    assert [path for path, _ in model.named_buffers()] == ["mean", "var", "factor", "mask"]


def test_a_model_moves_to_another_device_and_dtype():
    text = HEAD + (
        "g (float[N, 3] x) => (float[M] y) { s = Shape(x)\n n = Gather(s, zero)\n"
        " k = Mul(n, three)\n h = Mul(x, w)\n y = Reshape(h, k) }"
    )
    proto = model_of(text, zero=np.asarray([0]), three=np.asarray([3]), w=W[:1, :1])
    model, x = tg.onnx.load(proto), np.ones((2, 3), np.float32)
    assert model(x).shape == (6,)
    wide = copy.deepcopy(model).to(np.float64)
    assert wide(x.astype(np.float64)).dtype == np.float64


# Control flow and functions


def test_if_and_loop_are_differentiated():
    text = HEAD + (
        "g (float[2] x, int64 n) => (float[2] y, float[k, 2] steps) {"
        " yes = Constant <value_int = 1> ()\n go = Cast <to = 9> (yes)\n"
        " y, steps = Loop (n, go, x) <body = b (int64 i, bool c, float[2] v)"
        " => (bool d, float[2] w, float[2] s)"
        " { d = Identity(c)\n w = Mul(v, factor)\n s = Identity(w) }> }"
    )
    model = tg.onnx.load(model_of(text, factor=np.asarray([2.0, 3.0], np.float32)))
    x = tg.Tensor([1.0, 1.0], requires_grad=True)
    y, steps = model(x, np.asarray(3))
    assert y.numpy().tolist() == [8, 27]
    assert steps.numpy().tolist() == [[2, 3], [4, 9], [8, 27]]
    y.sum().backward()
    assert x.grad.numpy().tolist() == [8, 27]
    assert model.parameters()[0].grad.numpy().tolist() == [12, 27]
    choice = HEAD + (
        "g (bool c, float[2] x) => (float[2] y) { y = If (c)"
        " <then_branch = t () => (float[2] a) { a = Exp(x) },"
        " else_branch = e () => (float[2] b) { b = Neg(x) }> }"
    )
    model = tg.onnx.load(model_of(choice))
    assert model(np.asarray(False), x).numpy().tolist() == [-1, -1]
    assert np.allclose(model(np.asarray(True), x).numpy(), np.e)


def test_functions_of_the_model_with_attributes():
    text = """<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        g (float[2] x) => (float[2] y) { h = own.twice <slope = 0.5> (x)
            y = own.twice <slope = 0.25> (h) }
        <domain: "own", opset_import: ["" : 17]>
        twice <slope> (a) => (c) { b = LeakyRelu <alpha: float = @slope> (a)
            c = Add(b, a) }"""
    model = tg.onnx.load(model_of(text))
    assert model(np.asarray([4.0, -4.0], np.float32)).numpy().tolist() == [16, -7.5]


def test_an_op_that_onnx_defines_by_others():
    text = HEAD + "g (int32 n) => (float[k] y) { y = HannWindow <periodic = 0> (n) }"
    y = tg.onnx.load(model_of(text))(np.asarray(5, np.int32))
    assert np.allclose(y.numpy(), np.hanning(5), atol=1e-6)
    text = HEAD.replace("17", "23") + (
        "g (float[1, 2, 3, 4] q, float[1, 2, 3, 4] k) => (float[1, 2, 3, 4] y)"
        " { y = Attention <is_causal = 1> (q, k, k) }"
    )
    q, k = np.random.default_rng(0).standard_normal((2, 1, 2, 3, 4)).astype(np.float32)
    weights = np.tril(np.exp(q @ k.swapaxes(-1, -2) / 2))
    expected = weights / weights.sum(-1, keepdims=True) @ k
    model = tg.onnx.load(model_of(text))
    assert np.allclose(model(q, k).numpy(), expected, atol=1e-6)
    assert np.allclose(pickle.loads(pickle.dumps(model))(q, k).numpy(), expected, atol=1e-6)


# Versions of ops


def run_version(opset, text, *inputs):
    model = tg.onnx.load(model_of(f'<ir_version: 8, opset_import: ["" : {opset}]>\n' + text))
    return model(*inputs).numpy()


def test_versions_that_changed_what_an_op_means():
    x = np.random.default_rng(0).standard_normal((2, 2, 3)).astype(np.float32)
    text = "g (float[2, 2, 3] x) => (float[2, 2, 3] y) { y = Softmax <axis = 1> (x) }"
    e = np.exp(x)
    assert np.allclose(run_version(12, text, x), e / e.sum((1, 2), keepdims=True), atol=1e-6)
    assert np.allclose(run_version(13, text, x), e / e.sum(1, keepdims=True), atol=1e-6)
    text = "g (int64[2] i, int64 n, float[2] v) => (float[2, 2] y) { y = OneHot(i, n, v) }"
    given = np.asarray([-1, 0]), np.asarray(2), np.asarray([0, 1], np.float32)
    assert run_version(10, text, *given).tolist() == [[0, 0], [1, 0]]
    assert run_version(11, text, *given).tolist() == [[0, 1], [1, 0]]
    attribute = "g (float[2] x) => (float[1, 2] y) { y = Unsqueeze <axes = [0]> (x) }"
    assert run_version(11, attribute, x[0, 0, :2]).shape == (1, 2)
    old = "g (float[2] x, float[2] s) => (float[2] y) { y = PRelu(x, s) }"
    with pytest.raises(tg.onnx.Refused, match="PRelu of opset 6"):
        run_version(6, old, x[0, 0, :2], x[0, 0, :2])
    text = "g (float[5] x) => (float[k] y) { s = Constant <value_ints = [9]> ()\n"
    text += " e = Constant <value_ints = [-9]> ()\n t = Constant <value_ints = [-2]> ()\n"
    text += " a = Constant <value_ints = [0]> ()\n y = Slice(x, s, e, a, t) }"
    assert run_version(13, text, np.arange(5, dtype=np.float32)).tolist() == [4, 2, 0]


def test_resize_computes_lengths_and_places_as_onnx_runtime():
    text = (
        '<ir_version: 8, opset_import: ["" : 17]>\ng (float[N] x, float[1] s) => (float[M] y)'
        ' { y = Resize <nearest_mode = "floor", coordinate_transformation_mode = "asymmetric">'
        " (x, , s) }"
    )
    model, x = tg.onnx.load(model_of(text)), np.arange(30, dtype=np.float32)
    thirds = model(x, np.asarray([1 / 3], np.float32)).numpy()
    assert thirds.tolist() == list(range(0, 30, 3))
    assert model(x[:10], np.asarray([0.7], np.float32)).shape == (7,)


# Errors


@pytest.mark.parametrize(
    ("args", "named", "message"),
    [
        ((), {}, r"input 'x' is missing, expected \['x'\]"),
        ((np.ones((1, 3)),), {}, r"input 'x' has dtype float64, expected float32"),
        ((np.ones((1, 4), "f"),), {}, r"input 'x' has shape \(1, 4\), expected \(N, 3\)"),
        ((np.ones(3, "f"),), {}, r"input 'x' has shape \(3,\), expected \(N, 3\)"),
        ((np.ones((1, 3), "f"),) * 2, {}, r"2 inputs, expected 1"),
        ((), {"z": 1.0}, r"input 'z' is unknown, expected \['x'\]"),
        ((np.ones((1, 3), "f"),), {"x": 1.0}, r"input 'x' is given twice"),
        ((None,), {}, r"input 'x' is None, expected float32 \(N, 3\)"),
        (("word",), {}, r"input 'x'"),
    ],
)  # fmt: skip
def test_inputs_that_do_not_fit_are_named(args, named, message):
    with pytest.raises(tg.onnx.OnnxError, match=message):
        linear()(*args, **named)


def test_named_dimensions_agree_between_inputs():
    text = HEAD + "g (float[N] a, float[N] b) => (float[N] y) { y = Add(a, b) }"
    with pytest.raises(tg.onnx.OnnxError, match=r"input 'b' .* where \{'N': 2\}"):
        tg.onnx.load(model_of(text))(np.ones(2, np.float32), np.ones(1, np.float32))


def test_damaged_files(tmp_path):
    path = tmp_path / "m.onnx"
    for data in (b"", b"no model", model_of(LINEAR, w=W, b=W[0]).SerializeToString()[:-9]):
        path.write_bytes(data)
        with pytest.raises(tg.onnx.OnnxError, match=r"m\.onnx"):
            tg.onnx.load(path)
    with pytest.raises(FileNotFoundError):
        tg.onnx.load(tmp_path / "none.onnx")
    with pytest.raises(TypeError, match=r"\[onnx\] source is a int, expected a path"):
        tg.onnx.load(3)
    with pytest.raises(tg.onnx.OnnxError, match="not a sound model"):
        tg.onnx.load(model_of(LINEAR, w=W))  # b is missing


def test_external_data(tmp_path):
    path = tmp_path / "m.onnx"
    proto = model_of(LINEAR, w=W, b=np.ones(2, np.float32))
    options = {"save_as_external_data": True, "location": "m.data", "size_threshold": 0}
    onnx.save_model(proto, path, **options)
    x = np.ones((1, 3), np.float32)
    assert np.array_equal(tg.onnx.load(path)(x).numpy(), x @ W + 1)
    (tmp_path / "m.data").unlink()
    with pytest.raises(FileNotFoundError, match=r"m\.data"):
        tg.onnx.load(path)
    with pytest.raises(tg.onnx.OnnxError, match="data of 'w' lie in a file beside the model"):
        tg.onnx.load(path.read_bytes())


def test_all_that_is_refused_is_named():
    text = '<ir_version: 8, opset_import: ["" : 17, "strange" : 1]>\n' + (
        "g (float[2] x) => (float[2] y) { a = strange.Op(x)\n b = StringNormalizer(x)\n"
        " y = Add(a, b) }"
    )
    with pytest.raises(tg.onnx.Refused) as caught:
        tg.onnx.load(model_of(text))
    assert "strange.Op" in str(caught.value)
    assert "StringNormalizer" in str(caught.value)
    newer = model_of(LINEAR.replace("17", "29"), w=W, b=W[0])
    with pytest.raises(tg.onnx.OnnxError, match="29"):
        tg.onnx.load(newer)
    half = HEAD + "g (bfloat16[2] x) => (bfloat16[2] y) { y = Neg(x) }"
    with pytest.raises(tg.onnx.Refused, match="'x' has the dtype BFLOAT16"):
        tg.onnx.load(model_of(half))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ("y = SpaceToDepth <blocksize = 2> (x)", r"SpaceToDepth of float32 \(2, 3\): ValueError"),
        ("y = Flatten <axis = 5> (x)", r"axis is 5, expected one of 2 axes \(in op Flatten\)"),
        ("y = CumSum(x, i)", r"got \[0, 1\], expected one integer \(in op CumSum\)"),
        ("s = SequenceConstruct(x)\n y = Flatten(s)", "Flatten of a list: AttributeError"),
        ("r = RotaryEmbedding(z, x, x)\n y = Identity(r)", "RotaryEmbedding of .*: ZeroDivision"),
    ],
)  # fmt: skip
def test_nodes_that_do_not_take_their_inputs_say_what_they_got(node, message):
    text = HEAD.replace("17", "23") + (
        f"g (float[N, M] x, int64[K] i, float[A, B, C] z) => (float[P, Q] y) {{ {node} }}"
    )
    model = tg.onnx.load(model_of(text))
    x = np.ones((2, 3), np.float32)
    with pytest.raises((tg.onnx.OnnxError, IndexError, ValueError), match=message):
        model(x, np.asarray([0, 1]), np.ones((1, 2, 4), np.float32))


def test_errors_of_ops_name_the_node():
    proto = model_of(HEAD + "g (float[N] a, float[M] b) => (float[K] y) { y = Add(a, b) }")
    proto.graph.node[0].name = "/sum"
    with pytest.raises(ValueError, match=r"\[add\].*\(in node '/sum', op Add\)"):
        tg.onnx.load(proto)(np.ones(2, np.float32), np.ones(3, np.float32))


def test_without_onnx_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r"tinygrad-like\[onnx\]"):
        tg.onnx.load("m.onnx")
