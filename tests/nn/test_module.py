"""Module: what the walk finds, states, modes, moves, errors with paths, repr and summary."""

import copy
import pickle
import re

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import io, nn


class Block(nn.Module):
    def __init__(self, n_in, n_out):
        self.dense = nn.Dense(n_in, n_out)
        self.norm = nn.BatchNorm(n_out)

    def forward(self, x):
        return tg.tanh(self.norm(self.dense(x)))


class Net(nn.Module):
    """Submodules as an attribute, in nested containers, and in a module list."""

    def __init__(self):
        self.first = Block(4, 3)
        self.parts = {"a": [Block(3, 3)], "b": (nn.Dropout(0.5), {"c": nn.Dense(3, 3)})}
        self.heads = nn.ModuleList([nn.Dense(3, 2), nn.Dense(3, 2, bias=False)])
        self.scale = tg.ones(2, requires_grad=True)
        self.width, self.name = 3, "net"

    def forward(self, x):
        drop, rest = self.parts["b"]
        x = rest["c"](drop(self.parts["a"][0](self.first(x))))
        return self.scale * (self.heads[0](x) + self.heads[1](x))


PARAMETERS = """
    first.dense.weight first.dense.bias first.norm.weight first.norm.bias
    parts.a.0.dense.weight parts.a.0.dense.bias parts.a.0.norm.weight parts.a.0.norm.bias
    parts.b.1.c.weight parts.b.1.c.bias heads.0.weight heads.0.bias heads.1.weight scale
""".split()
BUFFERS = """
    first.norm.running_mean first.norm.running_var
    parts.a.0.norm.running_mean parts.a.0.norm.running_var
""".split()


@pytest.fixture
def net():
    tg.seed(0)
    return Net()


def values(module):
    return {path: t.numpy().copy() for path, t in module.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[path], b[path]) for path in a)


# The walk


def test_walk_finds_everything_by_path(net):
    assert [path for path, _ in net.named_parameters()] == PARAMETERS
    assert [path for path, _ in net.named_buffers()] == BUFFERS
    modules = dict(net.named_modules())
    assert modules[""] is net
    assert modules["parts.b.1.c"] is net.parts["b"][1]["c"]
    assert modules["heads.1"] is net.heads[1]
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]
    assert net.num_parameters() == 21 + 18 + 12 + 14 + 2


def test_shared_parameters_and_modules_count_once():
    class Tied(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Dense(3, 3), nn.Dense(3, 3)
            self.b.weight = self.a.weight
            self.again = [self.a, self.b]

    tied = Tied()
    assert [path for path, _ in tied.named_parameters()] == ["a.weight", "a.bias", "b.bias"]
    assert [path for path, _ in tied.named_modules()] == ["", "a", "b"]
    assert list(tied.state_dict()) == ["a.weight", "a.bias", "b.bias"]
    assert tied.num_parameters() == 15
    assert tied.summary().endswith("total: 15 parameters, 0 in buffers")
    twin = copy.deepcopy(tied)
    assert twin.b.weight is twin.a.weight
    assert twin.a.weight is not tied.a.weight


def test_cycles_end(net):
    net.first.parent = net
    net.loop = [1]
    net.loop.append(net.loop)
    assert [path for path, _ in net.named_parameters()] == PARAMETERS
    assert "..." in repr(net)
    assert "first.dense" in net.summary()
    assert copy.deepcopy(net).first.parent is not net


def test_intermediate_results_are_no_state(net):
    y = net(tg.ones((3, 4)))
    with pytest.raises(tg.GraphError, match=r"\[Net\] kept was computed by .* detach\(\) it"):
        net.kept = y
    assert "kept" not in vars(net)
    net.kept = y.detach()
    assert "kept" in dict(net.named_buffers())


def test_attributes_count_as_they_are_now(net):
    net.parts["a"].append(nn.Dense(1, 1))
    assert "parts.a.1.weight" in dict(net.named_parameters())
    net.scale.requires_grad = False
    assert "scale" in dict(net.named_parameters())
    net.scale = None
    assert "scale" not in net.state_dict()
    del net.heads[0]
    assert "heads.0.bias" not in dict(net.named_parameters())


# State


def test_state_round_trips_in_place(net, tmp_path):
    state = net.state_dict()
    assert set(state) == set(PARAMETERS + BUFFERS)
    assert not any(t.requires_grad for t in state.values())
    other = Net()
    before = dict(other._named_leaves())
    versions = {path: t.version[0] for path, t in before.items()}
    assert not other.load_state_dict(state)
    assert same(values(other), values(net))
    for path, t in other._named_leaves():
        assert t is before[path]
        assert t.version[0] == versions[path] + 1, path

    io.save(tmp_path / "net.safetensors", state)
    third = Net()
    third.load_state_dict(io.load(tmp_path / "net.safetensors"))
    assert same(values(third), values(net))
    x = tg.ones((2, 4))
    np.testing.assert_array_equal(third.eval()(x).numpy(), net.eval()(x).numpy())


def test_states_share_nothing(net):
    state = net.state_dict()
    kept = {path: t.numpy().copy() for path, t in state.items()}
    other = Net()
    other.load_state_dict(state)
    for p in net.parameters() + other.parameters():
        p.data[...] = 7
    assert same({path: t.numpy() for path, t in state.items()}, kept)
    a, b = nn.Dense(2, 2, bias=False), nn.Dense(2, 2, bias=False)
    pair = nn.Sequential(a, b)
    was = values(pair)
    pair.load_state_dict({"0.weight": b.weight.detach(), "1.weight": a.weight.detach()})
    assert same(values(pair), {"0.weight": was["1.weight"], "1.weight": was["0.weight"]})


def test_load_keeps_the_dtype(net):
    state = {path: v.astype(np.float64) for path, v in values(net).items()}
    net.to(np.float16).load_state_dict(state)
    assert {t.dtype for t in net.state_dict().values()} == {np.dtype(np.float16)}


def test_load_reports_everything_and_changes_nothing():
    model = nn.Sequential(nn.Dense(2, 3), nn.BatchNorm(3))
    model.steps = tg.Tensor(np.array(3))
    before = values(model)
    state = {path: v + 1 for path, v in before.items()}
    del state["0.bias"]
    state |= {"0.weight": np.ones((3, 2)), "2.weight": np.ones(1), "1.bias": [1, 2, 3]}
    state |= {"1.weight": np.ones(3, complex), "steps": np.float32(2)}
    with pytest.raises(nn.StateError) as error:
        model.load_state_dict(state)
    assert str(error.value).splitlines() == [
        "[load_state_dict] the state does not fit Sequential; nothing was changed:",
        "  missing: 0.bias",
        "  unexpected: 2.weight",
        "  shape: 0.weight is (3, 2), expected (2, 3)",
        "  type: steps is of dtype float32, expected int64 or what converts to it",
        "  type: 1.weight is of dtype complex128, expected float32 or what converts to it",
        "  type: 1.bias is of type list, expected a Tensor or an array",
        "0.weight: transposed, as weights of PyTorch's are; tg.interchange.load_torch(model, "
        "weights) reads those",
    ]
    assert isinstance(error.value, ValueError)
    assert error.value.report.misshaped == {"0.weight": ((3, 2), (2, 3))}
    assert same(values(model), before)

    report = model.load_state_dict(state, strict=False)
    assert report
    assert (report.missing, report.unexpected) == (["0.bias"], ["2.weight"])
    assert report.mistyped.keys() == {"1.weight", "1.bias", "steps"}
    fitting = {"1.running_mean", "1.running_var"}
    for path, value in values(model).items():
        np.testing.assert_array_equal(value, before[path] + (path in fitting), err_msg=path)


def test_load_refuses_what_is_no_dict():
    with pytest.raises(TypeError, match="state is a list, expected a dict"):
        nn.Dense(1, 1).load_state_dict([1])


def test_two_tensors_of_one_path_are_refused():
    model = nn.ReLU()
    model.table = {0: tg.ones(1), "0": tg.ones(2)}
    with pytest.raises(nn.StateError, match=r"two Tensors have the path 'table\.0'"):
        model.state_dict()


def test_copies_and_pickles_are_independent(net):
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert repr(twin) == repr(net)
        assert same(values(twin), values(net))
        assert [p.requires_grad for p in twin.parameters()] == [True] * len(PARAMETERS)
        twin.scale.data[...] = 5
        assert np.all(net.scale.numpy() == 1)


# Modes, gradients, moves


def test_train_and_eval_reach_every_module(net):
    assert all(m.training for _, m in net.named_modules())
    assert net.eval() is net
    assert not any(m.training for _, m in net.named_modules())
    net.first.train()
    assert [m.training for m in (net, net.first, net.first.norm)] == [False, True, True]


def test_zero_grad(net):
    net(tg.ones((3, 4))).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_to_casts_in_place_and_training_goes_on(net):
    net.steps = tg.Tensor(np.array(3))
    parameters = net.parameters()
    net(tg.ones((3, 4))).sum().backward()
    assert net.to(np.float64) is net
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    net(tg.Tensor(np.ones((3, 4)))).sum().backward()
    for path, t in net._named_leaves():
        assert t.dtype == (np.int64 if path == "steps" else np.float64), path
        assert t.grad is None or t.grad.dtype == np.float64, path
    versions = [p.version[0] for p in parameters]
    net.to("cpu").to(np.float64)
    assert versions == [p.version[0] for p in parameters]


@pytest.mark.parametrize(
    ("target", "kind", "message"),
    [
        (np.int32, TypeError, r"\[to\] dtype is int32, expected a floating one"),
        ("gpu", tg.DeviceError, "'gpu' is no dtype and no device"),
    ],
)
def test_to_refuses(net, target, kind, message):
    before = values(net)
    with pytest.raises(kind, match=message):
        net.to(target)
    assert same(values(net), before)


# Errors


def message_of(kind, call):
    with pytest.raises(kind) as error:
        call()
    assert type(error.value) is kind
    return str(error.value)


def test_errors_name_the_innermost_module(net):
    net.parts["b"][1]["c"] = nn.Dense(5, 3)
    problem = "[linear] x has 3 features, weight expects 5 (x: (2, 3), weight: (5, 3))"
    x = tg.ones((2, 4))
    assert message_of(ValueError, lambda: net(x)) == f"{problem} (in model.parts.b.1.c)"
    outer = nn.Sequential(nn.Dropout(0.1), net)
    assert message_of(ValueError, lambda: outer(x)) == f"{problem} (in model.1.parts.b.1.c)"
    alone = net.parts["b"][1]["c"]
    assert message_of(ValueError, lambda: alone(tg.ones((2, 3)))) == f"{problem} (in Dense)"
    assert message_of(ValueError, lambda: net.summary(x)) == f"{problem} (in model.parts.b.1.c)"
    assert "forward" not in vars(net)


class Raises(nn.Module):
    def __init__(self, error):
        self.hidden = [{nn.Dropout(0.5)}]  # in a set: the walk does not see it
        self.error = error

    def forward(self, x):
        raise self.error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a"), "a (in model.0)"),
        (IndexError("a"), "a (in model.0)"),
        (TypeError(), "(in model.0)"),
        (tg.GraphError("a"), "a (in model.0)"),
        (ValueError("a", 2), "('a', 2)"),
        (KeyError("a"), "'a'"),
        (RuntimeError("a"), "a"),
    ],
    ids=repr,
)
def test_errors_keep_their_type(error, text):
    model = nn.Sequential(Raises(error))
    with pytest.raises(type(error), match=f"^{re.escape(text)}$") as caught:
        model(tg.ones(1))
    assert caught.value is error


def test_an_error_from_a_module_out_of_sight_names_its_class():
    class Hides(nn.Module):
        def forward(self, x):
            return nn.Dense(3, 3)(x)

    text = message_of(ValueError, lambda: nn.Sequential(Hides())(tg.ones((1, 2))))
    assert text.endswith("(in model.0.Dense)")


def test_a_module_without_forward_says_so():
    class Empty(nn.Module):
        pass

    text = "[Empty] has no forward: define `def forward(self, x)` in class Empty (in Empty)"
    assert message_of(TypeError, lambda: Empty()(1)) == text
    assert "missing 1 required" in message_of(TypeError, lambda: nn.ReLU()())


# To look at


def test_repr_is_nested_and_shows_settings(net):
    assert repr(nn.Dropout(0.1)) == "Dropout(p=0.1)"
    assert repr(net) == (
        "Net(width=3, name='net'\n"
        "  (first): Block(\n"
        "    (dense): Dense(n_in=4, n_out=3)\n"
        "    (norm): BatchNorm(num_features=3, momentum=0.1, eps=1e-05)\n"
        "  )\n"
        "  (parts.a.0): Block(\n"
        "    (dense): Dense(n_in=3, n_out=3)\n"
        "    (norm): BatchNorm(num_features=3, momentum=0.1, eps=1e-05)\n"
        "  )\n"
        "  (parts.b.0): Dropout(p=0.5)\n"
        "  (parts.b.1.c): Dense(n_in=3, n_out=3)\n"
        "  (heads): ModuleList(\n"
        "    (0): Dense(n_in=3, n_out=2)\n"
        "    (1): Dense(n_in=3, n_out=2, bias=None)\n"
        "  )\n"
        ")"
    )


def test_summary_without_and_with_inputs():
    class Pair(nn.Module):
        def forward(self, x):
            return x, {"twice": x * 2}

    model = nn.Sequential(nn.Dense(784, 128), nn.BatchNorm(128), Pair())
    assert model.summary().splitlines() == [
        "path     layer       parameters",
        "(model)  Sequential           0",
        "0        Dense          100,480",
        "1        BatchNorm          256",
        "2        Pair                 0",
        "total: 100,736 parameters, 256 in buffers",
    ]
    model[1].eval()
    model[0].bias.data = np.repeat(np.float32([0, 4]), 64)  # the output: as many of each
    pair = "[(1, 128), {twice: (1, 128)}]"
    texts = [line.split("  ") for line in model.summary(tg.zeros((1, 784))).splitlines()]
    assert [[cell.strip() for cell in text if cell.strip()] for text in texts] == [
        ["path", "layer", "output shape", "mean", "std", "zeros", "FLOPs", "parameters"],
        ["(model)", "Sequential", pair, "3", "3.32", "50%", "201,728", "0"],
        ["0", "Dense", "(1, 128)", "2", "2", "50%", "200,704", "100,480"],
        ["1", "BatchNorm", "(1, 128)", "2", "2", "50%", "896", "256"],
        ["2", "Pair", pair, "3", "3.32", "50%", "128", "0"],
        ["total: 100,736 parameters, 256 in buffers"],
    ]
    assert [m.training for _, m in model.named_modules()] == [True, True, False, True]
    assert np.all(model[1].running_mean.numpy() == 0)
    assert not any("forward" in vars(m) for _, m in model.named_modules())


def test_summary_says_what_is_not_called():
    class Uses(nn.Module):
        def __init__(self):
            self.used, self.spare = nn.ReLU(), nn.Dense(2, 2)

        def forward(self, x):
            return self.used(x)

    assert re.search(r"spare +Dense +not called +6\n", Uses().summary(tg.ones((1, 2))))


# Containers


def test_layer_lists_are_lists():
    a, b, c = nn.Dense(2, 2), nn.ReLU(), nn.Dense(2, 1)
    model = nn.Sequential(a, b, c)
    assert len(model) == 3
    assert list(model) == [a, b, c]
    assert model[-1] is c
    assert type(model[:2]) is nn.Sequential
    assert list(model[:2]) == [a, b]
    assert list(nn.Sequential([a, b])) == [a, b]
    assert list(nn.Sequential(model)) == [model]
    assert list(nn.Sequential(nn.ModuleList([a, b]))) == [a, b]
    assert model in {model}
    assert model != nn.Sequential(a, b, c)

    layers = nn.ModuleList([a])
    layers.append(b)
    layers += [c]
    layers.insert(0, nn.Tanh())
    layers[1:2] = [b, b]
    layers[0] = c
    assert list(layers) == [c, b, b, b, c]
    assert [path for path, _ in layers.named_modules()] == ["", "0", "1"]
    x = tg.ones((3, 2))
    np.testing.assert_array_equal(model(x).numpy(), c(b(a(x))).numpy())
    assert nn.Sequential()(x) is x
