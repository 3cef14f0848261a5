"""Which Tensors on a Module are state is decided by their place: attributes, lists, forwards."""

import copy
import pickle
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest
from module_walk import COPIES, paths

import tinygrad_like as tg
from tinygrad_like import nn

# What a forward keeps


class Keeps(nn.Module):
    """Keeps Tensors in every way, beside a buffer that it moves."""

    def __init__(self):
        self.cell = nn.Dense(2, 2)
        self.mean = tg.zeros(2)
        self.masks = []
        self.masks.append(tg.ones(2) * 2)  # computed, and in the list before the first call
        self.hidden, self.log, self.named = None, [], {}

    def forward(self, x):
        self.given = x
        y = self.cell(x if self.hidden is None else x + self.hidden)
        self.hidden = y.detach()
        self.pair = (y, y.detach())
        self.log.append(y.mean().detach())
        self.log.append(y.sum())
        self.log.append(tg.Tensor([1.0]))
        self.named["last"] = y.detach()
        self.mean = 0.9 * self.mean + 0.1 * y.mean(axis=0).detach()
        return y


@pytest.mark.parametrize("recording", [True, False])
def test_what_a_forward_keeps_is_no_state(recording):
    model, fresh = Keeps(), Keeps()
    expected = ["cell.bias", "cell.weight"], ["masks.0", "mean"]
    assert paths(model) == expected
    for x in (tg.ones((1, 2)), tg.ones((1, 2), requires_grad=recording)):
        model(x)
    assert paths(model) == expected
    assert not fresh.load_state_dict(model.state_dict())
    assert np.all(fresh.mean.numpy() == model.mean.numpy())
    model.hidden = None  # between two sequences
    model(tg.ones((3, 2)))
    model.hidden = tg.zeros((1, 2))  # an attribute of the forward stays one
    assert paths(model) == expected


def test_what_is_made_in_a_forward_as_a_parameter_or_a_layer_is_one():
    class Lazy(nn.Module):
        weight = norm = None

        def forward(self, x):
            if self.weight is None:
                self.weight = nn.init.normal((x.shape[-1], 2))
                self.norm = nn.BatchNorm(2)
                self.pieces = [nn.init.zeros(2), nn.Dense(2, 1)]
            return self.pieces[1](self.norm(x @ self.weight) + self.pieces[0])

    model = Lazy()
    model(tg.ones((3, 4), requires_grad=True))
    model(tg.ones((3, 4), requires_grad=True))
    assert paths(model) == (
        ["norm.bias", "norm.weight", "pieces.0", "pieces.1.bias", "pieces.1.weight", "weight"],
        ["norm.running_mean", "norm.running_var"],
    )


def test_what_is_given_after_the_first_call_counts():
    model = Keeps()
    model(tg.ones((1, 2)))
    model.extra = tg.ones(2) * 3
    model.log.append(tg.ones(1, requires_grad=True))
    model.masks = [*model.masks, tg.ones(2)]
    model.layer = nn.BatchNorm(2)
    names, buffers = paths(model)
    assert "log.3" in names
    assert {"extra", "masks.1", "layer.running_mean"} <= set(buffers)


def test_a_buffer_that_a_forward_replaces_by_a_computed_tensor_is_not_lost():
    class Averages(nn.Module):
        def __init__(self):
            self.mean = tg.zeros(2)

        def forward(self, x):
            self.mean = 0.5 * self.mean + 0.5 * x.mean(axis=0)
            return x

    model = Averages()
    model(tg.ones((1, 2), requires_grad=True))
    assert paths(model) == ([], ["mean"])
    np.testing.assert_array_equal(model.state_dict()["mean"].numpy(), [0.5, 0.5])
    fresh = Averages()
    fresh.load_state_dict(model.to(np.float64).state_dict())
    np.testing.assert_array_equal(fresh.mean.numpy(), [0.5, 0.5])
    assert model.mean.dtype == np.float64
    assert model.mean.is_leaf


def test_a_failing_forward_ends_too():
    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("no")

    model = Fails()
    with pytest.raises(ValueError, match="no"):
        model(1)
    model.given = tg.ones(2)
    assert paths(model) == ([], ["given"])


def test_register_buffer():
    model = nn.Dense(2, 2)
    model.register_buffer("mask", tg.ones(2))
    model.register_buffer("cache", tg.zeros(3), persistent=False)
    model.register_buffer("later", None)
    assert paths(model)[1] == ["cache", "mask"]
    assert sorted(model.state_dict()) == ["bias", "mask", "weight"]
    assert model.to(np.float64).cache.dtype == np.float64
    for wrong in (np.ones(2), tg.ones(2, requires_grad=True)):
        with pytest.raises(TypeError, match=r"\[register_buffer\] wrong"):
            model.register_buffer("wrong", wrong)
    with pytest.raises(TypeError, match=r"weight .* is a parameter"):
        model.register_buffer("weight", tg.ones((2, 2)))

    class Late(nn.Module):
        def __init__(self):
            self.register_buffer("seen", None)

        def forward(self, x):
            self.seen = x.mean(axis=0)
            return x

    late = Late()
    late(tg.ones((1, 2)))
    assert paths(late) == ([], ["seen"])


@pytest.mark.parametrize("first", ["reset", "call"])
def test_a_hidden_state_is_registered_if_it_may_be_set_first(first):
    class Stateful(nn.Module):
        def __init__(self):
            self.register_buffer("h", None, persistent=False)

        def reset(self, n):
            self.h = tg.zeros((n, 2))

        def forward(self, x):
            self.h = x if self.h is None else x + self.h
            return self.h

    model = Stateful()
    if first == "reset":
        model.reset(3)
    model(tg.ones((3, 2)))
    model.reset(1)
    model(tg.ones((1, 2)))
    assert model.state_dict() == {}
    assert model.to(np.float64).h.dtype == np.float64
    np.testing.assert_array_equal(model.h.numpy(), [[1, 1]])


# Lists


def test_a_computed_tensor_in_a_list_is_refused_when_it_matters():
    model = nn.Dense(2, 2)
    model.ws = []
    model.ws.append(tg.ones(2, requires_grad=True) * 0.02)
    for ask in (model.parameters, model.state_dict, lambda: model(tg.ones((1, 2)))):
        with pytest.raises(tg.GraphError, match=r"ws\.0 was computed by multiply"):
            ask()


@pytest.mark.parametrize("value", [
    lambda w: w * 0.5, lambda w: (w * 0.5).detach(), lambda w: w.numpy(), lambda w: tg.ones(2)
])  # fmt: skip
def test_a_parameter_in_a_list_is_not_lost_without_a_word(value):
    model = nn.Sequential(nn.LSTM(2, 2), nn.Dense(2, 2))
    model[1].ws = [tg.ones(2, requires_grad=True), {"a": tg.ones(2, requires_grad=True)}]
    x = tg.ones((1, 3, 2))
    model[0](x)
    model[1](x)
    own = model[1].ws[1]["a"]
    model[1].ws[1]["a"] = value(own)
    for ask in (model.parameters, model.state_dict, model[1].zero_grad):
        with pytest.raises(nn.StateError, match=r"\[Dense\] ws\.1\.a held a parameter and now"):
            ask()
    repr(model)
    model[1].ws[1]["a"] = tg.ones(3, requires_grad=True)
    assert "1.ws.1.a" in paths(model)[0]
    model[1].ws.pop()
    assert "1.ws.1.a" not in paths(model)[0]
    model[1].ws = [tg.ones(2), {"a": tg.ones(2)}]
    assert "1.ws.1.a" in paths(model)[1]


class Lists(nn.Module):
    """A forward appends to one list and replaces what is in another."""

    def __init__(self):
        self.seen, self.means = [], [tg.zeros(2), {"var": tg.ones(2)}]

    def forward(self, x):
        self.seen.append(x)
        self.means[0] = 0.5 * self.means[0] + 0.5 * x.mean(axis=0)
        self.means[1]["var"] = 2 * self.means[1]["var"]
        return x * 2


@pytest.mark.parametrize("recorded", [False, True])
def test_what_a_forward_does_to_a_list_changes_no_place_of_state(recorded):
    model, fresh = Lists(), Lists()
    for _ in range(2):
        model(tg.ones((1, 2), requires_grad=recorded))
        model({"x": tg.ones((1, 2), requires_grad=recorded)}["x"])
    assert len(model.seen) == 4
    assert paths(model) == ([], ["means.0", "means.1.var"])
    fresh.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(fresh.means[0].numpy(), [0.9375, 0.9375])
    np.testing.assert_array_equal(fresh.means[1]["var"].numpy(), [16, 16])
    assert model.to(np.float64).means[0].dtype == np.float64


class Inputs(nn.Module):
    def __init__(self):
        self.seen = []

    def forward(self, *args, **kwargs):
        self.seen += [args[0], args[1][0], kwargs["last"]["x"]]


def test_an_input_is_no_parameter_however_it_is_given():
    def leaf():
        return tg.ones(1, requires_grad=True)

    model = Inputs()
    for _ in range(2):
        model(leaf(), (leaf(),), last={"x": leaf()})
    assert len(model.seen) == 6
    loop = [leaf()]
    loop.append(loop)  # a list in itself
    model(leaf(), loop, last={"x": leaf()})
    assert paths(model) == ([], [])
    for duplicate in COPIES.values():
        assert paths(duplicate(model)) == ([], [])


def test_values_in_a_list_are_replaced_without_no_grad_or_with():
    model = Lists()
    model(tg.ones((1, 2)))
    with tg.no_grad():
        model.means[0] = 0.9 * model.means[0]
    model.means[1]["var"] = tg.ones(2) * 3
    assert paths(model) == ([], ["means.0", "means.1.var"])
    model.means[1] = tg.ones(2)  # a place that held no Tensor
    assert paths(model) == ([], ["means.0"])
    model.means = [*model.means]
    assert paths(model) == ([], ["means.0", "means.1"])


def test_parameters_and_layers_count_wherever_they_are_put():
    class Grows(nn.Module):
        def __init__(self):
            self.layers, self.scales = [], []

        def forward(self, x):
            if not self.layers:
                self.layers.append(nn.Dense(2, 2))
                self.scales.append(nn.init.ones(2))
            return self.layers[0](x) * self.scales[0]

    model = Grows()
    for _ in range(2):
        model(tg.ones((1, 2)))
    model.scales.append(nn.init.ones(2))
    expected = ["layers.0.bias", "layers.0.weight", "scales.0", "scales.1"]
    assert paths(model) == (expected, [])
    model.scales[1] = tg.ones(2)
    with pytest.raises(nn.StateError, match=r"scales\.1 held a parameter"):
        model.parameters()


@pytest.mark.parametrize("value", [tg.zeros(12), np.zeros(12), 0.0], ids=lambda v: type(v).__name__)
def test_a_parameter_in_a_list_is_not_lost_before_the_first_call_either(value):
    layer = nn.LSTM(2, 3)
    layer.layers[0]["forward"]["bias"] = value
    for ask in (layer.parameters, layer.state_dict, lambda: layer(tg.ones((1, 2, 2)))):
        with pytest.raises(nn.StateError, match=r"\[LSTM\] layers\.0\.forward\.bias held a param"):
            ask()
    model = nn.ReLU()
    model.ws = []
    model.ws.append(nn.init.ones(2))
    assert len(model.parameters()) == 1  # as an optimizer asks
    model.ws[0] = value
    with pytest.raises(nn.StateError, match=r"ws\.0 held a parameter"):
        model.zero_grad()
    del model.ws[0]
    assert model.parameters() == []


def test_a_parameter_that_each_forward_makes_anew_is_refused():
    class Anew(nn.Module):
        x = None

        def forward(self, x):
            self.x = tg.Tensor(x.data, requires_grad=True)
            return self.x * 2

    model = Anew()
    model(tg.ones(2))
    with pytest.raises(nn.StateError, match=r"\[Anew\] x is a parameter, and a forward made ano"):
        model(tg.ones(2))
    inputs = tg.ones(2, requires_grad=True)
    nn.ReLU()(inputs).sum().backward()  # as the message says
    np.testing.assert_array_equal(inputs.grad.numpy(), [1, 1])


class Computes(nn.Module):
    def __init__(self):
        self.dense, self.hidden = nn.Dense(2, 2), None
        self.log, self.mean = [], tg.zeros(2)
        self.log.append(self.log)  # a list in itself

    def forward(self, x):
        self.loss = self.dense(x).sum()
        self.pair = self.loss, {"a": [self.loss]}
        self.log.append(self.loss)
        self.mean = self.mean + self.dense(x).mean(axis=0)


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_what_a_forward_computed_and_kept_is_copied_without_its_history(duplicate):
    model = nn.Sequential(Computes())
    model(tg.ones((1, 2)))
    twin = duplicate(model)
    ours, theirs = model[0], twin[0]
    assert paths(twin) == paths(model)
    for a, b in (
        (ours.loss, theirs.loss),
        (ours.loss, theirs.log[1]),
        (ours.loss, theirs.pair[1]["a"][0]),
        (ours.mean, theirs.mean),
    ):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert b.is_leaf
        assert not a.is_leaf
    assert theirs.log[0] is theirs.log
    assert ours.log[1] is ours.loss
    unused = Computes()
    unused.log.append(nn.init.ones(2) * 2)  # meant as a parameter
    with pytest.raises(tg.GraphError, match="only leaves can be copied"):
        duplicate(unused)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.b", "name is 'a.b', expected that of an attribute"),
        (3, "name is 3"),
        ("forward", "forward is a function of Dense"),
        ("layer", "layer is a ReLU of Dense"),
        ("n_in", "n_in is a int of Dense"),
    ],
)
def test_a_buffer_is_registered_by_a_name_that_is_free(name, words):
    model = nn.Dense(2, 2)
    model.layer = nn.ReLU()
    before = vars(model).copy()
    with pytest.raises(ValueError, match=rf"\[register_buffer\] {words}"):
        model.register_buffer(name, tg.ones(2))
    assert vars(model) == before


def test_many_parameters_in_a_container_are_walked_in_linear_time():
    class Key:
        named = 0

        def __str__(self):
            Key.named += 1
            return str(id(self))

    model = nn.ReLU()
    model.ws = {Key(): nn.init.ones(1) for _ in range(50)}
    model(tg.ones(1))
    Key.named = 0
    assert len(model.parameters()) == 50
    assert 50 <= Key.named <= 100


class Named(NamedTuple):
    """An output as a forward may keep it."""

    y: tg.Tensor
    steps: int


class KeepsAll(nn.Module):
    """It keeps its output in containers of several types."""

    def __init__(self):
        self.dense = nn.Dense(2, 2)

    def forward(self, x):
        y = self.dense(x)
        self.named, self.ordered, self.nested = Named(y, 1), OrderedDict(y=y), [y, {"y": (y,)}]
        return y


def test_kept_outputs_in_any_container_lose_their_history_in_copies():
    model = KeepsAll()
    y = model(tg.ones((1, 2)))
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert [type(twin.named), type(twin.ordered)] == [Named, OrderedDict]
        for kept in (twin.named.y, twin.ordered["y"], twin.nested[0], twin.nested[1]["y"][0]):
            assert kept.node is None
            assert kept.tolist() == y.tolist()
    assert model.named.y is y


def test_a_summary_leaves_buffers_and_the_random_stream_as_they_were():
    class Draws(nn.Module):
        def __init__(self):
            self.calls = tg.zeros(())

        def forward(self, x):
            self.calls += 1
            return x + tg.rand(x.shape)

    model, state = Draws(), tg.get_rng_state()
    calls = model.calls
    assert "(2,)" in model.summary(tg.ones(2))
    assert model.calls is calls
    assert calls.item() == 0
    assert tg.get_rng_state() == state
