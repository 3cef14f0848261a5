"""`tg.onnx.export`: what is written, how sizes follow the inputs, and what is refused."""

import sys

import numpy as np
import pytest
from needed import needs_emulator
from onnx_runs import assert_close, graph, outputs

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.engine.definition import OPS
from tinygrad_like.onnx.export.known import LOWERED, REFUSED
from tinygrad_like.onnx.export.patterns import Band, Ramp, Uniform, fitted
from tinygrad_like.onnx.export.sizes import Formula, Size, formula_of

RNG = np.random.default_rng(0)
T = {"x": {1: "length"}}


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def mlp():
    return nn.Sequential(nn.Dense(4, 8), nn.ReLU(), nn.Dense(8, 3)).eval()


def test_a_model_gives_the_same_in_onnx_runtime(tmp_path, opset):
    model, path = mlp(), tmp_path / "m.onnx"
    tg.onnx.export(model, normal(2, 4), path, dynamic_axes={"x": {0: "batch"}}, opset=opset)
    for n in (1, 2, 7):
        x = normal(n, 4)
        assert_close(outputs(path, {"x": x}), [model(tg.Tensor(x))])
    (shown,) = graph(path).output
    assert [d.dim_param or d.dim_value for d in shown.type.tensor_type.shape.dim] == ["batch", 3]


def test_parameters_keep_their_names_and_shared_ones_are_stored_once(tmp_path):
    gpt = nn.GPT(7, 6, d_model=8, num_layers=1, num_heads=2).eval()
    tg.onnx.export(gpt, {"ids": np.array([[1, 2, 3]])}, tmp_path / "g.onnx")
    names = [x.name for x in graph(tmp_path / "g.onnx").initializer]
    assert names.count("token.weight") == 1, "the first and the last product share it"
    assert {path for path, _ in gpt.named_parameters()} <= {*names}
    assert len(names) == len({*names})


@pytest.mark.long
def test_the_file_has_the_opset_that_was_asked_for(tmp_path, opset):
    onnx = pytest.importorskip("onnx")
    tg.onnx.export(tg.gelu, normal(2), tmp_path / "m.onnx", opset=opset)
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == opset


@pytest.mark.long
def test_two_layers_with_one_weight_store_it_once(tmp_path):
    model = nn.Sequential(nn.Dense(4, 4), nn.Dense(4, 4)).eval()
    model[1].weight = model[0].weight
    tg.onnx.export(model, normal(2, 4), tmp_path / "m.onnx")
    names = {x.name for x in graph(tmp_path / "m.onnx").initializer}
    assert names == {"0.weight", "0.bias", "1.bias"}


def test_weights_beyond_a_limit_lie_in_a_file_beside_the_model(tmp_path):
    model, path = nn.Sequential(nn.Dense(64, 64), nn.Dense(64, 4)).eval(), tmp_path / "m.onnx"
    for _ in range(2):  # the second time over the first file
        tg.onnx.export(model, normal(2, 64), path, external_above=10_000)
    assert path.stat().st_size < 5_000
    assert 16_000 < (tmp_path / "m.onnx.data").stat().st_size < 40_000
    x = normal(2, 64)
    assert_close(outputs(path, {"x": x}), [model(tg.Tensor(x))])


def test_every_op_is_written_or_refused_with_a_reason():
    assert all((tg.special, tg.stats, tg.signal, tg.linalg)), "their ops count, too"
    ours = {name for name, op in OPS.items() if op.forward.__module__.startswith("tinygrad_like")}
    composed = {name for name in ours if OPS[name].composite}  # written as what they consist of
    assert ours - {*LOWERED, *REFUSED} - composed == set()
    assert {*LOWERED} & {*REFUSED} == set()
    assert {*LOWERED, *REFUSED} - ours == set()


# What is not the same at other sizes or for other values


def refused(model, x, tmp_path, words, **options):
    with pytest.raises(tg.onnx.ExportError, match=words):
        tg.onnx.export(model, x, tmp_path / "m.onnx", **options)
    assert not (tmp_path / "m.onnx").exists()


def test_training_mode_is_refused(tmp_path):
    model = nn.Sequential(nn.Dense(4, 4), nn.Dropout(0.5))
    refused(model, normal(2, 4), tmp_path, "training mode.*model.eval")
    model.eval()[1].train()
    refused(model, normal(2, 4), tmp_path, r"Dropout \(1\) is in training mode")


def test_an_op_that_onnx_lacks_is_refused_by_name(tmp_path):
    refused(tg.lgamma, normal(2), tmp_path, r"lgamma cannot be exported: ONNX has no such function")


VALUES = {
    "an if": (lambda x: x + 1 if x[0] > 0 else x * 2, "reads values"),
    "a number": (lambda x: x * x[0].item(), "reads values"),
    "an index": (lambda x: x[: int(x.max())], "reads values"),
    "an array": (lambda x: x + tg.Tensor(x.numpy() ** 2), "reads values"),
    "an if on data": (lambda x: x + 1 if x.data[0] > 0 else x * 2, "changes with the values"),
    "a number of data": (lambda x: x * float(x.data[0]), "an input of multiply is 1.5, or"),
    "an array of data": (lambda x: x + tg.Tensor(x.data**2), "outside ops"),
    "a mask": (lambda x: x[x > 1], "shape of what getitem returns depends on the values"),
    "a mask of as many": (lambda x: x[x * x > 0], "getitem by booleans cannot be exported"),
    "random numbers": (lambda x: x + tg.randn(3), "random"),
}


@pytest.mark.parametrize("name", VALUES)
def test_what_depends_on_values_is_refused(tmp_path, name):
    f, words = VALUES[name]
    refused(f, np.array([1.5, -1.0, 2.0], np.float32), tmp_path, words)


def test_a_loop_over_a_dynamic_axis_is_refused(tmp_path):
    def steps(x):
        h = x[:, 0]
        for t in range(1, x.shape[1]):
            h = h + x[:, t]
        return h

    refused(steps, normal(2, 3), tmp_path, "loop over a dynamic axis", dynamic_axes=T)
    tg.onnx.export(steps, normal(2, 3), tmp_path / "fixed.onnx")


def test_an_if_on_sizes_is_refused(tmp_path):
    def long_ones_differ(x):
        return x * 2 if x.shape[1] > 6 else x + 1

    words = "changes with the sizes .* add or multiply"
    refused(long_ones_differ, normal(2, 3), tmp_path, words, dynamic_axes=T)


@pytest.mark.long
def test_a_table_as_long_as_a_dynamic_axis_is_refused(tmp_path):
    def waves(x):
        return x + np.sin(np.arange(x.shape[1])).astype(np.float32)

    refused(waves, normal(2, 3), tmp_path, "changes with the sizes", dynamic_axes=T)


def test_changes_in_place_are_refused(tmp_path):
    def doubled(x):
        y = x + 1
        y *= 2
        return y * 3

    def written_behind_our_back(x):
        y = x + 1
        y.data[0] = 0
        return y * 3

    for f in (doubled, written_behind_our_back):
        refused(f, normal(2, 3), tmp_path, "changed in place")


@pytest.mark.long
def test_a_model_that_changes_its_state_is_refused(tmp_path):
    class Counting(nn.Module):
        def __init__(self):
            self.count = tg.zeros(())

        def forward(self, x):
            y = x + self.count
            self.count.data = self.count.data + 1
            return y

    refused(Counting().eval(), normal(2), tmp_path, "changes count as it runs")


SIZES = {
    "reshape": lambda x: x.reshape(x.shape[0] * x.shape[1], 2, 2),
    "broadcast": lambda x: tg.zeros((x.shape[1], 4)) + x[:, :1],
    "positions": lambda x: x + tg.arange(x.shape[1], dtype="float32")[:, None],
    "reversed positions": lambda x: x * (x.shape[1] - tg.arange(x.shape[1])).reshape(-1, 1),
    "mask": lambda x: tg.where(np.tri(x.shape[1], dtype=bool), x @ tg.swapaxes(x, 1, 2), -1.0),
    "float mask": lambda x: x @ tg.swapaxes(x, 1, 2) + np.triu(
        np.full((x.shape[1],) * 2, -1e4, np.float32), 1),
    "last": lambda x: x[:, x.shape[1] - 1],
    "half": lambda x: x[:, : x.shape[1] // 2],
    "every second": lambda x: x[:, ::2].reshape(x.shape[0], -1),
    "mean": lambda x: x.sum(axis=1) / x.shape[1],
    "var": lambda x: tg.var(x, axis=1, ddof=1),
    "flip and roll": lambda x: tg.roll(tg.flip(x, axis=1), 2, axis=1),
    "padded": lambda x: tg.pad(x, ((0, 0), (1, 2), (0, 0))),
    "repeated": lambda x: tg.tile(tg.repeat(x, 2, axis=1), (1, 3, 1)),
    "outer": lambda x: (x[:, :, None] - x[:, None]).reshape(x.shape[0], -1, 4),
    "cumulated": lambda x: tg.cumsum(x, axis=1) + tg.cumprod(x, axis=1),
    "sorted": lambda x: tg.sort(x, axis=1, descending=True),
    "eye": lambda x: np.eye(x.shape[1], dtype=np.float32) @ x,
    "windows": lambda x: tg.avg_pool1d(tg.swapaxes(x, 1, 2), 2),
    "linear scan": lambda x: tg.linear_scan(x * 0.5, x, axis=1, reverse=True),
    "cummax": lambda x: tg.cummax(x, axis=1),
    "logcumsumexp": lambda x: tg.logcumsumexp(x, axis=1),
    "diagonal": lambda x: tg.diagonal(x @ tg.swapaxes(x, 1, 2), 1, 1, 2),
    "upsampled": lambda x: tg.interpolate(tg.swapaxes(x, 1, 2), scale_factor=2, mode="linear"),
    "nearest": lambda x: tg.interpolate(tg.swapaxes(x, 1, 2), scale_factor=3, mode="nearest"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("name", SIZES)
def test_sizes_follow_the_dynamic_axes(tmp_path, name, opset):
    f, path, axes = SIZES[name], tmp_path / "m.onnx", {"x": {0: "batch", 1: "length"}}
    tg.onnx.export(f, normal(2, 5, 4), path, dynamic_axes=axes, opset=opset)
    for n, length in ((2, 5), (1, 9), (3, 2), (4, 12)):
        x = normal(n, length, 4)
        y = f(tg.Tensor(x))
        assert_close(outputs(path, {"x": x}), y if isinstance(y, tuple) else [y])


@pytest.mark.parametrize(
    "f",
    [
        *(lambda b, t: 4 * b * t, lambda b, t: t * t, lambda b, t: 3 * b + 2, lambda b, t: b + t),
        *(lambda b, t: (t + 1) // 2, lambda b, t: (t - 3) // 2 + 1, lambda b, t: (t * 2 + 1) // 3),
    ],
)
def test_a_formula_is_found_and_right_at_sizes_that_were_not_seen(f):
    symbols = (2, 3, 4, 5, 2, 2, 2, 7, 2, 2, 2), (5, 5, 5, 5, 6, 7, 8, 11, 27, 38, 9)
    formula = formula_of(tuple(map(f, *symbols)), symbols)
    for b, t in ((9, 31), (1, 1), (17, 4)):
        assert formula.of([b, t]) == f(b, t)


def test_no_formula_is_made_up():
    assert formula_of((1, 2, 4, 8), ((2, 3, 4, 5),)) is None
    assert formula_of((3, 4), ((2, 3),)) is None  # too few to tell n + 1 from anything else
    assert formula_of((1, 1, 5, 1, 2), ((8, 9, 25, 7, 10),)) is None  # n // 5 or (n - 2) // 4
    assert formula_of((2, 3, 3, 3, 3), ((2, 3, 7, 4, 5),)) is None  # min(n, 3)
    halves = formula_of((4, 5, 3, 6, 2), ((8, 10, 6, 12, 4),))  # of a model that takes even n
    assert halves == Formula(((1, (0,)), (0, ())), 2)


def test_patterns_of_constants():
    def of(make):
        return fitted([make(n) for n in (5, 5, 6, 7, 4)])

    assert of(lambda n: np.full((n, 2), 3.0)) == Uniform(3.0)
    assert of(lambda n: np.arange(n, 0, -1)) == Ramp(Size((5, 5, 6, 7, 4)), (-1,))
    assert of(lambda n: np.tri(n, dtype=bool)) == Band(False, True, 1, None)
    assert of(lambda n: np.arange(2 * n).reshape(2, n)) == Ramp(0, (Size((5, 5, 6, 7, 4)), 1))
    assert of(lambda n: np.repeat(np.arange(n), 3)) == Ramp(0, (1,), 3)
    assert of(lambda n: np.sin(np.arange(n))) is None
    assert of(lambda n: np.full(n, np.nan if n > 5 else 3.0)) is None
    assert of(lambda n: np.arange(n) % 3) is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"opset": 16}, "opset is 16"),
        ({"dynamic_axes": {"y": {0: "n"}}}, "names 'y', expected one of"),
        ({"dynamic_axes": {"x": {5: "n"}}}, "axis 5"),
        ({"dynamic_axes": "x"}, "dynamic_axes is a str, expected a dict"),
        ({"dynamic_axes": {"x": 0}}, "dynamic_axes of 'x' is a int, expected"),
        ({"dynamic_axes": {"x": {0: None}}}, "names axis 0 of x None, expected a string"),
        ({"dynamic_axes": {"x": {0: "n", -2: "m"}}}, "axis 0 of x both 'n' and 'm'"),
        ({"output_names": ["a", "b"]}, "output_names"),
        ({"output_names": "y"}, "output_names is 'y', expected a list"),
        ({"output_names": [""]}, r"output_names is \[''\]"),
        ({"output_names": ["x"]}, "x: an input, an output .* different names"),
        ({"output_names": ["0.bias"]}, "0.bias: an input, an output .* different names"),
        ({"external_above": -1}, "external_above is -1"),
    ],
)
def test_wrong_options_are_refused(tmp_path, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        tg.onnx.export(mlp(), {"x": normal(2, 4)}, tmp_path / "m.onnx", **options)


@tg.fuse
def swish(x):
    return x * tg.sigmoid(x)


def in_half(x):
    with tg.autocast("float16"):
        return x @ np.eye(4, dtype=np.float32)


WRAPPED = {
    "a fused function": swish,
    "vmap": lambda x: tg.vmap(lambda row: tg.softmax(row) * row.sum())(x),
    "checkpoint": lambda x: tg.checkpoint(tg.tanh, x) + 1,
    "NumPy's functions": lambda x: np.exp(x) + np.sum(x, axis=1, keepdims=True),
    "a copy without history": lambda x: tg.stop_gradient(x) + x.detach() * 2,
    "an index from values": lambda x: x[:, tg.argmax(x.sum(axis=0))],
    "autocast": in_half,
}


@pytest.mark.long
@pytest.mark.parametrize("name", WRAPPED)
def test_what_wraps_ops_is_seen_through(tmp_path, name):
    f = WRAPPED[name]
    f(tg.Tensor(normal(3, 4)))  # what fuses has fused
    tg.onnx.export(f, {"x": normal(3, 4)}, tmp_path / "m.onnx", dynamic_axes={"x": {0: "n"}})
    for n in (3, 7, 1):
        x = normal(n, 4)
        found = outputs(tmp_path / "m.onnx", {"x": x})
        assert_close(found, [f(tg.Tensor(x))], 2e-3 if name == "autocast" else 1e-5)


def test_an_op_of_ones_own_is_refused_by_name(tmp_path):
    @tg.op(x=lambda g: g * 2)
    def doubled(be, x):
        return x * 2

    refused(doubled, normal(3), tmp_path, "doubled cannot be exported: no table")


@pytest.mark.long
def test_names_that_a_graph_may_have_are_left_to_the_parameters(tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            self.Add_1 = nn.init.ones(3)
            self.constant_2 = nn.init.zeros(3)

        def forward(self, Mul_3):
            return (Mul_3 + self.Add_1) * 2 + self.constant_2

    x = normal(2, 3)
    tg.onnx.export(Odd().eval(), x, tmp_path / "m.onnx")
    assert_close(outputs(tmp_path / "m.onnx", {"Mul_3": x}), [(x + 1) * 2])
    tg.onnx.export(Odd().eval(), x, tmp_path / "m.onnx", output_names=["Mul_1"])
    assert_close(outputs(tmp_path / "m.onnx", {"Mul_3": x}), [(x + 1) * 2])


@pytest.mark.long
def test_inputs_and_outputs_in_containers_have_names(tmp_path):
    def model(pair, *, options):
        a, b = pair
        return {"sum": a + b, "parts": (a * options["scale"], b)}

    example = {"pair": (normal(2), normal(2)), "options": {"scale": normal(), "unused": 3}}
    tg.onnx.export(model, example, tmp_path / "m.onnx", dynamic_axes={"pair": {0: "n"}})
    written = graph(tmp_path / "m.onnx")
    assert [x.name for x in written.input] == ["pair_0", "pair_1", "options_scale"]
    assert [x.name for x in written.output] == ["sum", "parts_0", "parts_1"]
    a, b, scale = normal(5), normal(5), normal()
    found = outputs(tmp_path / "m.onnx", {"pair_0": a, "pair_1": b, "options_scale": scale})
    assert_close(found, [a + b, a * scale, b])


DTYPES = "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 bool".split()


@pytest.mark.long
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_are_those_of_the_model(tmp_path, dtype):
    def model(x):
        y = x.reshape(-1)
        total = (
            y.astype("int64") if y.dtype.kind == "u" else y
        ).sum()  # ONNX Runtime sums no uint64
        return y + y, y * 3 if dtype != "bool" else y, total, y.max(), y == 1, tg.sort(y), y / 2

    x = RNG.integers(0, 9, (2, 3)).astype(dtype)
    with np.errstate(all="ignore"):
        tg.onnx.export(model, x, tmp_path / "m.onnx", dynamic_axes={"x": {0: "n"}})
        other = RNG.integers(0, 9, (4, 3)).astype(dtype)
        expected = model(tg.Tensor(other))
    assert_close(outputs(tmp_path / "m.onnx", {"x": other}), expected)


@pytest.mark.long
def test_a_model_of_many_sizes_has_few_nodes_for_them(tmp_path):
    gpt = nn.GPT(7, 16, d_model=8, num_layers=3, num_heads=2).eval()
    axes = {"ids": {0: "batch", 1: "length"}}
    tg.onnx.export(gpt, {"ids": np.array([[1, 2, 3]])}, tmp_path / "g.onnx", dynamic_axes=axes)
    kinds = [node.op_type for node in graph(tmp_path / "g.onnx").node]
    assert kinds.count("Shape") == 1, "the shape of the input is read once"


@pytest.mark.long
@needs_emulator
def test_a_model_on_another_device_is_refused(tmp_path):
    model = mlp().to("cuda-emulator")
    with pytest.raises(ValueError, match=r"0.weight is on cuda-emulator.*model.to\('cpu'\)"):
        tg.onnx.export(model, normal(2, 4), tmp_path / "m.onnx")


def test_without_the_extra_the_error_names_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx_ir", None)
    with pytest.raises(ImportError, match=r"tinygrad-like\[onnx\]"):
        tg.onnx.export(mlp(), normal(2, 4), tmp_path / "m.onnx")
