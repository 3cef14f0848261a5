"""Whole models, exported once and run by ONNX Runtime at other sizes of their dynamic axes."""

import numpy as np
import pytest
from onnx_runs import assert_close, graph, outputs

import tinygrad_like as tg
from tinygrad_like import nn

RNG = np.random.default_rng(0)
SEQUENCE = {0: "batch", 1: "length"}


def normal(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def ids(*shape):
    return RNG.integers(0, 11, shape)


def check(model, path, axes, opset, example, *others):
    """Export with an example, and compare what the file and the model make of it and of others."""
    tg.onnx.export(model, example, path, dynamic_axes=axes, opset=opset)
    for inputs in (example, *others):
        y = model(**{name: tg.Tensor(x) for name, x in inputs.items()})
        assert_close(outputs(path, inputs), [*leaves(y)])


def leaves(y):
    if isinstance(y, tuple):
        for part in y:
            yield from leaves(part)
    else:
        yield y


def warm(model):
    """A model in evaluation mode whose running estimates are those of some data."""
    for _, module in model.named_modules():
        if isinstance(module, nn.BatchNorm):
            module.running_mean.data = normal(module.num_features) * 0.1
            module.running_var.data = 1 + normal(module.num_features) ** 2
    return model.eval()


@pytest.mark.long
def test_a_multi_layer_perceptron(tmp_path, opset):
    model = nn.Sequential(
        nn.Flatten(), nn.Dense(64, 32), nn.ReLU(), nn.Dropout(0.2), nn.Dense(32, 10), nn.Softmax()
    )
    sizes = ({"x": normal(n, 8, 8)} for n in (3, 1, 64))
    check(model.eval(), tmp_path / "m.onnx", {"x": {0: "batch"}}, opset, *sizes)


@pytest.mark.long
def test_a_cnn_for_digits(tmp_path, opset):
    model = nn.Sequential(
        *(nn.Conv2D(1, 8, 3, padding=1), nn.BatchNorm(8), nn.ReLU(), nn.MaxPool2D(2)),
        *(nn.Conv2D(8, 16, 3, padding="same"), nn.GELU(), nn.AvgPool2D(2), nn.Flatten()),
        *(nn.Dropout(0.5), nn.Dense(16 * 49, 10)),
    )
    sizes = ({"x": normal(n, 1, 28, 28)} for n in (2, 1, 9))
    check(warm(model), tmp_path / "m.onnx", {"x": {0: "batch"}}, opset, *sizes)


class Residual(nn.Module):
    """The block of a ResNet: two convolutions beside a short cut."""

    def __init__(self, n_in, n_out, stride):
        self.first = nn.Conv2D(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2D(n_out, n_out, 3, padding=1, bias=False)
        self.norms = [nn.BatchNorm(n_out), nn.BatchNorm(n_out)]
        self.short = None
        if stride > 1 or n_in != n_out:
            self.short = nn.Sequential(
                nn.Conv2D(n_in, n_out, 1, stride=stride, bias=False), nn.BatchNorm(n_out)
            )

    def forward(self, x):
        y = tg.relu(self.norms[0](self.first(x)))
        y = self.norms[1](self.second(y))
        return tg.relu(y + (x if self.short is None else self.short(x)))


@pytest.mark.long
def test_a_resnet_of_images_of_any_size(tmp_path, opset):
    model = nn.Sequential(
        *(nn.Conv2D(3, 8, 7, stride=2, padding=3, bias=False), nn.BatchNorm(8), nn.ReLU()),
        nn.MaxPool2D(3, stride=2, padding=1),
        *(Residual(8, 8, 1), Residual(8, 16, 2), Residual(16, 32, 2)),
        *(nn.GlobalAvgPool2D(), nn.Dense(32, 10)),
    )
    axes = {"x": {0: "batch", 2: "height", 3: "width"}}
    sizes = ({"x": normal(n, 3, h, w)} for n, h, w in ((2, 32, 40), (1, 37, 51), (3, 64, 33)))
    check(warm(model), tmp_path / "m.onnx", axes, opset, *sizes)


@pytest.mark.long
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_are_those_of_onnx(tmp_path, kind, opset):
    model, path = kind(4, 6, num_layers=2, bidirectional=True).eval(), tmp_path / "m.onnx"
    sizes = [{"x": normal(n, t, 4)} for n, t in ((2, 5), (3, 9), (1, 1))]
    check(model, path, {"x": SEQUENCE}, opset, *sizes)
    kinds = [node.op_type for node in graph(path).node]
    assert kinds.count(kind.__name__) == 4


@pytest.mark.long
def test_an_lstm_goes_on_from_a_state_and_heeds_lengths(tmp_path, opset):
    class Tagger(nn.Module):
        def __init__(self):
            self.embedding = nn.Embedding(11, 4)
            self.lstm = nn.LSTM(4, 6, num_layers=2)
            self.head = nn.Dense(6, 3)

        def forward(self, ids, h, c, lengths):
            out, state = self.lstm(self.embedding(ids), (h, c), lengths=lengths)
            return self.head(out), state

    def inputs(n, t, lengths):
        return {
            "ids": ids(n, t), "h": normal(2, n, 6), "c": normal(2, n, 6),
            "lengths": np.array(lengths),
        }  # fmt: skip

    axes = {"ids": SEQUENCE, "h": {1: "batch"}, "c": {1: "batch"}, "lengths": {0: "batch"}}
    sizes = inputs(3, 5, [5, 2, 3]), inputs(2, 7, [7, 0]), inputs(4, 6, [1, 6, 4, 2])
    check(Tagger().eval(), tmp_path / "m.onnx", axes, opset, *sizes)


@pytest.mark.long
@pytest.mark.parametrize("positions", ["rotary", "alibi", "window", "sinusoidal"])
def test_a_transformer_encoder_with_padding(tmp_path, positions, opset):
    options = {"window": 3} if positions == "window" else {positions: True}

    class Encoder(nn.Module):
        def __init__(self):
            self.embedding = nn.Embedding(11, 16)
            self.positions = nn.PositionalEncoding(16) if positions == "sinusoidal" else None
            options.pop("sinusoidal", None)
            self.encoder = nn.TransformerEncoder(16, 4, 32, 2, num_kv_heads=2, **options)

        def forward(self, ids, padding):
            x = self.embedding(ids)
            x = x if self.positions is None else self.positions(x)
            return self.encoder(x, key_padding_mask=padding).mean(axis=1)

    def inputs(n, t):
        return {"ids": ids(n, t), "padding": np.arange(t) >= RNG.integers(1, t + 1, (n, 1))}

    axes = {"ids": SEQUENCE, "padding": SEQUENCE}
    sizes = (inputs(*size) for size in ((2, 5), (3, 9), (1, 1), (4, 2)))
    check(Encoder().eval(), tmp_path / "m.onnx", axes, opset, *sizes)


@pytest.mark.long
def test_a_gpt(tmp_path, opset):
    model = nn.GPT(11, 16, d_model=16, num_layers=2, num_heads=2).eval()
    sizes = ({"ids": ids(*size)} for size in ((2, 5), (3, 16), (1, 1)))
    check(model, tmp_path / "m.onnx", {"ids": SEQUENCE}, opset, *sizes)


def gpt_with_cache(**options):
    """A GPT of rotary positions, or of learned ones without options."""
    if not options:
        return nn.GPT(11, 24, d_model=16, num_layers=2, num_heads=2).eval()

    class Rotary(nn.Module):
        def __init__(self):
            self.token = nn.Embedding(11, 16)
            self.blocks = nn.TransformerEncoder(16, 4, 32, 2, **options)

        def forward(self, ids, *, cache=None):
            return self.blocks(self.token(ids), causal=True, cache=cache) @ self.token.weight.T

    return Rotary().eval()


@pytest.mark.long
@pytest.mark.parametrize("options", [{}, {"rotary": True, "num_kv_heads": 2}, {"alibi": True}])
def test_a_gpt_with_its_key_value_cache_generates(tmp_path, options, opset):
    """Step by step in ONNX Runtime: what one step returns as `present` the next one is given."""
    model, path = gpt_with_cache(**options), tmp_path / "gpt.onnx"
    cache = nn.KeyValueCache()
    with tg.no_grad():
        model(tg.Tensor(ids(2, 4)), cache=cache)
    axes = {"ids": SEQUENCE, "cache": {0: "batch", 2: "past"}}
    tg.onnx.export(model, {"ids": ids(2, 3), "cache": cache}, path, dynamic_axes=axes, opset=opset)
    results = graph(path).output
    names = [x.name for x in results]
    assert names[0] == "output"
    assert len(names) == 5
    shapes = [[d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim]
              for x in results]  # fmt: skip
    assert shapes[0] == ["batch", "length", 11]
    assert shapes[1][2] in ("past + length", "length + past")

    tokens, ours = ids(3, 12), nn.KeyValueCache()
    with tg.no_grad():
        model(tg.Tensor(tokens[:, :2]), cache=ours)
    state = {
        f"cache.{layer}.{what}": x.numpy()
        for layer, pair in named(model, ours)
        for what, x in zip(("key", "value"), pair, strict=True)
    }
    for start, stop in ((2, 5), (5, 6), (6, 12)):
        with tg.no_grad():
            expected = model(tg.Tensor(tokens[:, start:stop]), cache=ours)
        found = outputs(path, {"ids": tokens[:, start:stop], **state})
        assert_close(found[:1], [expected])
        new = dict(zip(names[1:], found[1:], strict=True))
        state = {name.replace("present", "cache", 1): x for name, x in new.items()}
        assert {x.shape[2] for x in state.values()} == {stop}
    assert_close(
        [state[f"cache.{named(model, ours)[-1][0]}.value"]], [named(model, ours)[-1][1][1]]
    )


def named(model, cache):
    """[(path of a layer, its keys and values)] of a cache."""
    paths = {module: path for path, module in model.named_modules()}
    return [(paths[layer], pair) for layer, pair in cache.seen.items()]


@pytest.mark.long
def test_the_first_step_of_a_cache_has_none_before(tmp_path):
    model, path = gpt_with_cache(), tmp_path / "gpt.onnx"
    example = {"ids": ids(2, 4), "cache": nn.KeyValueCache()}
    tg.onnx.export(model, example, path, dynamic_axes={"ids": SEQUENCE})
    tokens, cache = ids(3, 6), nn.KeyValueCache()
    expected = model(tg.Tensor(tokens), cache=cache)
    found = outputs(path, {"ids": tokens})
    assert_close(found, [expected, *(x for pair in cache.seen.values() for x in pair)])


@pytest.mark.long
def test_the_weights_of_a_gpt_lie_in_a_file_beside_it(tmp_path):
    model = nn.GPT(11, 16, d_model=32, num_layers=2, num_heads=2).eval()
    path = tmp_path / "gpt.onnx"
    tg.onnx.export(model, ids(2, 5), path, dynamic_axes={"ids": SEQUENCE}, external_above=1000)
    weights = sum(p.data.nbytes for p in model.parameters())
    assert (tmp_path / "gpt.onnx.data").stat().st_size > 0.9 * weights
    assert path.stat().st_size < weights / 2
    tokens = ids(3, 9)
    assert_close(outputs(path, {"ids": tokens}), [model(tg.Tensor(tokens))])
