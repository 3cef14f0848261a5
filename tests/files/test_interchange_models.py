"""load_torch and to_torch of whole models: nested, tied, and what does not fit."""

import numpy as np
import pytest
from needed import imported
from torch_weights import TOLERANCE, an_input, assert_agree, randomize

import tinygrad_like as tg
from tinygrad_like import Tensor, interchange, nn
from tinygrad_like.interchange import LINKS, load_torch, to_torch
from tinygrad_like.nn import StateError

torch = imported("torch")
T = torch.nn


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
        ({1: np.ones(2)}, TypeError, "[load_torch] weights have the key 1, expected names"),
        (
            {"weight": torch.ones(2, 2, device="meta"), "bias": torch.ones(2)},
            TypeError,
            "[load_torch] weight is on the meta device",
        ),
        (
            {"weight": torch.eye(2).to_sparse(), "bias": torch.ones(2)},
            TypeError,
            "[load_torch] weight is torch.sparse_coo, and not dense",
        ),
        (
            {"weight": torch.ones(2, 2, dtype=torch.complex64).conj(), "bias": torch.ones(2)},
            StateError,
            "type: weight is of dtype complex64",
        ),
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
