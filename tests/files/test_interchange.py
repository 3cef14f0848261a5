"""load_torch and to_torch: layer by layer, nested, tied, and what does not fit."""

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg
from tinygrad_like import Tensor, interchange, nn
from tinygrad_like.interchange import LINKS, load_torch, to_torch
from tinygrad_like.nn import StateError

torch = imported("torch")
T = torch.nn

SAID = {"activation": "relu", "norm_first": False}  # PyTorch's defaults, as in the layers below
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}


class First(nn.Module):
    """The first output of a layer, called with its input once or more often."""

    def __init__(self, layer, times=1):
        self.layer, self.times = layer, times

    def forward(self, x):
        decodes = isinstance(self.layer, nn.TransformerDecoderLayer)
        options = {"causal": False} if decodes else {}
        y = self.layer(*[x] * self.times, **options)
        return y[0] if isinstance(y, tuple) else y


class TorchFirst(T.Module):
    def __init__(self, layer, times=1):
        super().__init__()
        self.layer, self.times = layer, times

    def forward(self, x):
        y = self.layer(*[x] * self.times)
        return y[0] if isinstance(y, tuple) else y


class TorchPositions(T.Embedding):
    """What people write for nn.LearnedPositions."""

    def forward(self, x):
        return x + super().forward(torch.arange(x.shape[-2]))


# name: our layer, PyTorch's, the shape of an input (None: integers below 7)
LAYERS = {
    "dense": (lambda: nn.Dense(4, 6), lambda: T.Linear(4, 6), (3, 5, 4)),
    "dense square": (lambda: nn.Dense(4, 4), lambda: T.Linear(4, 4), (3, 4)),
    "dense no bias": (
        lambda: nn.Dense(4, 6, bias=False),
        lambda: T.Linear(4, 6, bias=False),
        (3, 4),
    ),
    "conv1d": (
        lambda: nn.Conv1D(4, 6, 3, stride=2, padding=1, dilation=2, groups=2),
        lambda: T.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2),
        (2, 4, 11),
    ),
    "conv2d": (
        lambda: nn.Conv2D(4, 6, (3, 2), stride=2, padding=1),
        lambda: T.Conv2d(4, 6, (3, 2), stride=2, padding=1),
        (2, 4, 7, 8),
    ),
    "conv2d no bias": (
        lambda: nn.Conv2D(4, 6, 3, groups=2, bias=False),
        lambda: T.Conv2d(4, 6, 3, groups=2, bias=False),
        (2, 4, 7, 8),
    ),
    "conv_transpose2d": (
        lambda: nn.ConvTranspose2D(4, 6, 3, stride=2, padding=1, groups=2, output_padding=1),
        lambda: T.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2, output_padding=1),
        (2, 4, 5, 5),
    ),
    "conv3d": (
        lambda: nn.Conv3D(2, 4, 2, stride=2, groups=2),
        lambda: T.Conv3d(2, 4, 2, stride=2, groups=2),
        (1, 2, 4, 3, 3),
    ),
    "conv_transpose1d": (
        lambda: nn.ConvTranspose1D(4, 6, 3, stride=2, output_padding=1),
        lambda: T.ConvTranspose1d(4, 6, 3, stride=2, output_padding=1),
        (2, 4, 5),
    ),
    "conv_transpose3d": (
        lambda: nn.ConvTranspose3D(2, 4, 2, stride=2),
        lambda: T.ConvTranspose3d(2, 4, 2, stride=2),
        (1, 2, 2, 2, 2),
    ),
    "bilinear": (
        lambda: First(nn.Bilinear(4, 4, 6), 2),
        lambda: TorchFirst(T.Bilinear(4, 4, 6), 2),
        (2, 4),
    ),
    "prelu": (lambda: nn.PReLU(4), lambda: T.PReLU(4), (2, 4, 3)),
    "instance_norm": (
        lambda: nn.InstanceNorm(4, affine=True),
        lambda: T.InstanceNorm1d(4, affine=True),
        (2, 4, 5),
    ),
    "bag": (lambda: nn.EmbeddingBag(7, 5), lambda: T.EmbeddingBag(7, 5), None),
    "embedding": (lambda: nn.Embedding(7, 5), lambda: T.Embedding(7, 5), None),
    "positions": (lambda: nn.LearnedPositions(7, 4), lambda: TorchPositions(7, 4), (2, 5, 4)),
    "layer_norm": (lambda: nn.LayerNorm((3, 4)), lambda: T.LayerNorm((3, 4)), (2, 5, 3, 4)),
    "layer_norm no bias": (
        lambda: nn.LayerNorm(4, bias=False),
        lambda: T.LayerNorm(4, bias=False),
        (5, 4),
    ),
    "rms_norm": (lambda: nn.RMSNorm(4), lambda: T.RMSNorm(4, eps=1e-6), (5, 4)),
    "group_norm": (lambda: nn.GroupNorm(2, 4), lambda: T.GroupNorm(2, 4), (2, 4, 3, 3)),
    "batch_norm": (lambda: nn.BatchNorm(4), lambda: T.BatchNorm2d(4), (3, 4, 2, 2)),
    "batch_norm 1d": (lambda: nn.BatchNorm(4), lambda: T.BatchNorm1d(4), (6, 4)),
    "rnn": (
        lambda: First(nn.RNN(4, 5, 2, bidirectional=True)),
        lambda: TorchFirst(T.RNN(4, 5, 2, bidirectional=True, batch_first=True)),
        (3, 6, 4),
    ),
    "gru": (
        lambda: First(nn.GRU(4, 5, 2, bidirectional=True)),
        lambda: TorchFirst(T.GRU(4, 5, 2, bidirectional=True, batch_first=True)),
        (3, 6, 4),
    ),
    "lstm": (
        lambda: First(nn.LSTM(4, 5, 2, bidirectional=True)),
        lambda: TorchFirst(T.LSTM(4, 5, 2, bidirectional=True, batch_first=True)),
        (3, 6, 4),
    ),
    "lstm projected": (
        lambda: First(nn.LSTM(4, 5, bias=False, proj_size=3)),
        lambda: TorchFirst(T.LSTM(4, 5, bias=False, proj_size=3, batch_first=True)),
        (3, 6, 4),
    ),
    "attention with a key": (
        lambda: First(nn.MultiHeadAttention(4, 2, add_bias_kv=True, add_zero_attn=True)),
        lambda: TorchFirst(
            T.MultiheadAttention(4, 2, add_bias_kv=True, add_zero_attn=True, batch_first=True),
            3,
        ),
        (3, 6, 4),
    ),
    "attention": (
        lambda: First(nn.MultiHeadAttention(4, 2)),
        lambda: TorchFirst(T.MultiheadAttention(4, 2, batch_first=True), 3),
        (3, 6, 4),
    ),
    "attention no bias": (
        lambda: First(nn.MultiHeadAttention(4, 2, bias=False)),
        lambda: TorchFirst(T.MultiheadAttention(4, 2, bias=False, batch_first=True), 3),
        (3, 6, 4),
    ),
    "encoder layer": (
        lambda: nn.TransformerEncoderLayer(4, 2, 8, activation="relu", norm_first=False),
        lambda: T.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True),
        (3, 6, 4),
    ),
    "encoder": (
        lambda: nn.TransformerEncoder(4, 2, 8, 2, activation="relu", norm_first=False),
        lambda: T.TransformerEncoder(
            T.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True), 2
        ),
        (3, 6, 4),
    ),
    "decoder layer": (
        lambda: First(nn.TransformerDecoderLayer(4, 2, 8, activation="relu", norm_first=False), 2),
        lambda: TorchFirst(T.TransformerDecoderLayer(4, 2, 8, dropout=0.0, batch_first=True), 2),
        (3, 6, 4),
    ),
    "batch_norm no affine": (
        lambda: nn.BatchNorm(4, affine=False),
        lambda: T.BatchNorm2d(4, affine=False),
        (3, 4, 2, 2),
    ),
}


def randomize(model, seed=0):
    """Fill a PyTorch model with numbers that no initialisation gives."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for x in model.state_dict().values():
            if x.is_floating_point():
                x.copy_(torch.rand(x.shape, generator=generator, dtype=x.dtype) + 0.1)
    return model


def an_input(shape, dtype):
    rng = np.random.default_rng(0)
    return rng.integers(0, 7, (3, 4)) if shape is None else rng.standard_normal(shape).astype(dtype)


def assert_agree(ours, theirs, x, dtype):
    for training in (False, True):
        ours.train(training)
        theirs.train(training)
        expected = theirs(torch.from_numpy(x)).detach().numpy()
        found = ours(Tensor(x)).numpy()
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("whole", [True, False], ids=["module", "state_dict"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.filterwarnings("ignore:LSTM with projections")  # that oneDNN has none
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_with_torchs_weights_computes_what_torch_does(name, dtype, whole):
    make, make_torch, shape = LAYERS[name]
    theirs = randomize(make_torch()).to(getattr(torch, dtype.__name__))
    ours = make().to(dtype)
    load_torch(ours, theirs if whole else theirs.state_dict(), **({} if whole else SAID))
    assert_agree(ours, theirs, an_input(shape, dtype), dtype)


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # that oneDNN has none
@pytest.mark.parametrize("name", LAYERS)
def test_torch_takes_our_weights_and_gives_them_back(name):
    make, make_torch, shape = LAYERS[name]
    ours, theirs, again = make(), make_torch(), make()
    weights = {k: torch.from_numpy(v) for k, v in to_torch(ours).items()}
    assert all(v.is_contiguous() for v in weights.values())
    theirs.load_state_dict(weights)  # strict, as PyTorch is by default
    assert_agree(ours, theirs, an_input(shape, np.float32), np.float32)
    load_torch(again, to_torch(ours), **SAID)
    assert {k: v.numpy().tobytes() for k, v in again.state_dict().items()} == {
        k: v.numpy().tobytes() for k, v in ours.state_dict().items()
    }


def test_every_layer_that_is_known_is_tested():
    """A layer that gets an entry in LINKS gets a row above."""
    tested = {type(m) for make, _, _ in LAYERS.values() for _, m in make().named_modules()}
    assert set(LINKS) <= tested


@pytest.mark.parametrize(
    ("make", "activation"),
    [
        (lambda: nn.AdditiveAttention(2, 3, 4), None),
        (lambda: nn.GPT(5, 4, 4, 2, 2), "gelu_tanh"),
        (lambda: nn.TransformerDecoder(4, 2, 6, 2), "gelu"),
    ],
)
def test_the_weights_of_what_is_made_of_layers_are_all_known(make, activation):
    ours, again = make(), make()
    load_torch(again, to_torch(ours), activation=activation, norm_first=True)
    state = again.state_dict()
    for path, value in ours.state_dict().items():
        np.testing.assert_array_equal(state[path].numpy(), value.numpy(), err_msg=path)


# Models


class Residual(nn.Module):
    def __init__(self, n):
        self.norm = nn.LayerNorm(n)
        self.layers = nn.ModuleList([nn.Dense(n, 2 * n), nn.Dense(2 * n, n)])
        self.scale = tg.ones(n, requires_grad=True)

    def forward(self, x):
        return x + self.layers[1](tg.tanh(self.layers[0](self.norm(x)))) * self.scale


class TorchResidual(T.Module):
    def __init__(self, n):
        super().__init__()
        self.norm = T.LayerNorm(n)
        self.layers = T.ModuleList([T.Linear(n, 2 * n), T.Linear(2 * n, n)])
        self.scale = T.Parameter(torch.ones(n))

    def forward(self, x):
        return x + self.layers[1](torch.tanh(self.layers[0](self.norm(x)))) * self.scale


def model():
    return nn.Sequential(nn.Embedding(7, 4), Residual(4), nn.ReLU(), nn.Dense(4, 3))


def torch_model():
    return T.Sequential(T.Embedding(7, 4), TorchResidual(4), T.ReLU(), T.Linear(4, 3))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("by", ["state_dict", "file", "parameters", "our tensors"])
def test_a_nested_model_is_loaded(dtype, by, tmp_path):
    theirs = randomize(torch_model()).to(getattr(torch, dtype.__name__))
    ours = model().to(dtype)
    weights = theirs.state_dict()
    if by == "file":
        from safetensors.torch import save_file

        save_file(weights, tmp_path / "weights.safetensors")
        weights = tmp_path / "weights.safetensors"
    if by == "parameters":
        weights = dict(theirs.named_parameters())
    if by == "our tensors":
        weights = {k: Tensor(v.numpy()) for k, v in weights.items()}
    before = list(ours.parameters())
    load_torch(ours, weights)
    assert all(a is b for a, b in zip(before, ours.parameters(), strict=True))
    assert_agree(ours, theirs, an_input(None, dtype), dtype)


def test_loading_converts_the_dtype():
    theirs = randomize(torch_model())
    ours = model().to(np.float64)
    load_torch(ours, theirs.state_dict())
    assert {p.dtype.name for p in ours.parameters()} == {"float64"}
    bfloat = {k: v.bfloat16() for k, v in theirs.state_dict().items()}
    load_torch(ours, bfloat)
    expected = bfloat["3.weight"].float().numpy().T
    np.testing.assert_array_equal(ours[3].weight.numpy(), expected)


def test_loading_counts_as_a_change_in_place():
    ours, theirs = nn.Dense(2, 2), T.Linear(2, 2)
    y = ours(tg.ones((1, 2), requires_grad=True))
    load_torch(ours, theirs.state_dict())
    with pytest.raises(tg.GraphError, match="changed in place"):
        y.sum().backward()


def test_a_layer_of_ones_own_gets_an_entry(monkeypatch):
    """As for attention: two layers of ours in one array of PyTorch's, and names of its own."""

    class Pair(nn.Module):
        def __init__(self):
            self.a, self.b, self.out = nn.Dense(3, 2), nn.Dense(3, 2), nn.Dense(2, 2)

    def links(pair):
        ours = (pair.a.weight, pair.b.weight)
        return [
            interchange.Link(
                ours,
                ("packed",),
                lambda packed: (packed[:2].T, packed[2:].T),
                lambda a, b: (np.concatenate([a.T, b.T]),),
            ),
            *(
                interchange.Link((x.bias,), (f"{name}_bias",), lambda a: (a,), lambda a: (a,))
                for name, x in (("a", pair.a), ("b", pair.b))
            ),
            *interchange.below("proj", interchange.links_of(pair.out)),
        ]

    monkeypatch.setitem(LINKS, Pair, links)
    rng = np.random.default_rng(0)
    shapes = {
        "0.packed": (4, 3),
        "0.a_bias": (2,),
        "0.b_bias": (2,),
        "0.proj.weight": (2, 2),
        "0.proj.bias": (2,),
    }
    state = {name: rng.random(shape, np.float32) for name, shape in shapes.items()}
    ours = nn.Sequential(Pair())
    load_torch(ours, state)
    np.testing.assert_array_equal(ours[0].b.weight.numpy(), state["0.packed"][2:].T)
    back = to_torch(ours)
    assert back.keys() == state.keys()
    assert all((back[k] == state[k]).all() for k in state)
    with pytest.raises(StateError, match=r"shape: 0.packed is \(3, 3\), expected \(4, 3\)"):
        load_torch(ours, {**state, "0.packed": np.ones((3, 3))})


# Tied weights


class Tied(nn.Module):
    def __init__(self):
        self.first = nn.Embedding(5, 4)
        self.second = nn.Embedding(5, 4)
        self.second.weight = self.first.weight
        self.again = self.first


@pytest.mark.parametrize("given", [("first",), ("second",), ("first", "second", "again")])
def test_of_tied_weights_one_name_is_enough(given):
    weight = np.random.default_rng(0).random((5, 4), np.float32)
    ours = Tied()
    load_torch(ours, {f"{name}.weight": weight for name in given})
    assert ours.second.weight is ours.first.weight
    np.testing.assert_array_equal(ours.first.weight.numpy(), weight)
    assert list(to_torch(ours)) == ["first.weight", "second.weight", "again.weight"]


def test_different_weights_for_tied_ones_are_refused():
    weight = np.ones((5, 4), np.float32)
    with pytest.raises(StateError) as caught:
        load_torch(Tied(), {"first.weight": weight, "second.weight": 2 * weight})
    assert "second.weight is unlike first.weight, and in our module the two are tied" in str(
        caught.value
    )


# What does not fit


def test_a_misfit_is_reported_in_full_and_changes_nothing():
    ours = nn.Sequential(nn.Dense(4, 6), nn.BatchNorm(6), nn.Dense(6, 2, bias=False))
    state = {
        "0.weight": np.ones((4, 6), np.float32),  # of our layout, not PyTorch's
        "1.weight": np.ones(6, np.complex64),
        "1.bias": "zeros",
        "1.running_mean": np.ones(6),
        "1.running_var": np.ones(6),
        "1.num_batches_tracked": np.array(3),
        "2.weight": np.ones((2, 6)),
        "2.bias": np.ones(2),
    }
    before = {k: v.numpy().tobytes() for k, v in ours.state_dict().items()}
    with pytest.raises(StateError) as caught:
        load_torch(ours, state)
    assert str(caught.value).splitlines() == [
        "[load_torch] the weights do not fit Sequential; nothing was changed:",
        "  missing: 0.bias",
        "  unexpected: 2.bias",
        "  shape: 0.weight is (4, 6), expected (6, 4)",
        "  type: 1.weight is of dtype complex64, expected float32 or what converts to it",
        "  type: 1.bias is of type str, expected a Tensor or an array",
    ]
    assert caught.value.report.misshaped == {"0.weight": ((4, 6), (6, 4))}
    assert {k: v.numpy().tobytes() for k, v in ours.state_dict().items()} == before


def test_a_layer_without_a_known_counterpart_is_named(monkeypatch):
    monkeypatch.delitem(LINKS, nn.RMSNorm)
    ours = nn.Sequential(nn.Dense(2, 2), nn.RMSNorm(2))
    for call in (lambda: load_torch(ours, {}), lambda: to_torch(ours)):
        with pytest.raises(TypeError) as caught:
            call()
        assert "it is not known what 1.weight of Sequential is in PyTorch; known are Dense," in str(
            caught.value
        )


def test_additions_to_a_known_layer_are_linked_or_named():
    class Scaled(nn.Dense):
        def __init__(self):
            self.scale = tg.ones(2, requires_grad=True)
            super().__init__(2, 3)

    ours = Scaled()
    assert {k: v.shape for k, v in to_torch(ours).items()} == {
        "scale": (2,),
        "weight": (3, 2),
        "bias": (3,),
    }
    ours.gate = nn.Dense(2, 2)
    with pytest.raises(TypeError, match=r"not known what gate\.weight, gate\.bias of Scaled is"):
        to_torch(ours)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ([1], TypeError, "[load_torch] weights are a list, expected a path, a dict or a module"),
        ("/nowhere.safetensors", FileNotFoundError, "/nowhere.safetensors"),
    ],
)
def test_what_are_no_weights_is_refused(weights, error, message):
    with pytest.raises(error) as caught:
        load_torch(nn.Dense(2, 2), weights)
    assert message in str(caught.value)


def test_a_pickle_of_torch_is_refused(tmp_path):
    torch.save(T.Linear(2, 2).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(tg.io.FileError, match="not a safetensors file"):
        load_torch(nn.Dense(2, 2), tmp_path / "weights.pt")
