"""Weights as functions of stored parameters: what parametrize changes, and what it leaves alone."""

import copy
import threading

import numpy as np
import pytest
from module_walk import paths
from parametrized import X, model

import tinygrad_like as tg
from tinygrad_like import nn, optim


class Symmetric(nn.Parametrization):
    def forward(self, half):
        return half + half.T

    def initial(self, weight):
        return (weight + weight.T) / 4


class Positive(nn.Parametrization):
    """It stores something else than the weight."""

    def forward(self, log):
        return tg.exp(log)

    def initial(self, weight):
        return tg.log(tg.abs(weight) + 0.1)


class Counting(nn.Parametrization):
    """It counts how often it computes."""

    calls = 0

    def forward(self, original):
        Counting.calls += 1
        return original * 2.0

    def initial(self, weight):
        return weight / 2.0


# What a module is then


def test_a_parametrized_module_is_what_it_was():
    layer = nn.parametrize(nn.Dense(4, 2), "weight", nn.WeightNorm())
    assert isinstance(layer, nn.Dense)
    assert (type(layer).__name__, type(layer).__qualname__) == ("Dense", "Dense")
    assert type(layer).__module__ == "tinygrad_like.nn.layers.dense"
    assert repr(layer) == "Dense(n_in=4, n_out=2\n  (weight): WeightNorm(axis='output')\n)"
    assert paths(layer) == (["bias", "weight.direction", "weight.length"], [])
    assert layer.num_parameters() == 8 + 2 + 2
    rows = layer.summary(X).splitlines()
    assert [row.split()[0] for row in rows[1:3]] == ["(model)", "weight"]
    assert rows[2].split()[1:4] == ["WeightNorm", "(4,", "2)"]
    assert rows[2].split()[-1] == "10"
    assert type(nn.Dense(4, 2)) is nn.Dense
    assert nn.unparametrize(layer, "weight").__class__ is nn.Dense


def test_a_hook_for_subclasses_is_not_told():
    told = []

    class Registered(nn.Dense):
        def __init_subclass__(cls):
            told.append(cls)

    nn.parametrize(Registered(4, 2), "weight", nn.WeightNorm())
    assert told == []


def test_the_weight_is_computed_once_in_a_forward_and_elsewhere_when_it_is_read():
    layer = nn.parametrize(nn.Dense(4, 2, bias=False), "weight", Counting())
    stored, Counting.calls = vars(layer)["weight"].original, 0
    layer(X)  # reads it twice
    assert Counting.calls == 1
    stored.data = stored.numpy() * 0
    assert not layer(X).numpy().any()
    assert Counting.calls == 2
    assert not layer.weight.numpy().any()
    assert not layer.weight.numpy().any()
    assert Counting.calls == 4


def test_a_value_of_one_mode_is_not_read_in_another():
    class Both(nn.Dense):
        def forward(self, x):
            with tg.no_grad():
                first = self.weight
            assert not first.requires_grad
            with tg.autocast():
                assert self.weight.dtype == np.float16
            return tg.linear(x, self.weight, self.bias)

    class Product(nn.Parametrization):
        def forward(self, w, eye):
            return w @ eye

        def initial(self, weight):
            return weight, tg.Tensor(np.eye(2, dtype="float32"))

    layer = nn.parametrize(Both(4, 2), "weight", Product())
    y = layer(X)
    assert y.dtype == np.float32
    y.sum().backward()
    assert vars(layer)["weight"].w.grad.numpy().any()


def test_an_interrupted_forward_leaves_no_value_behind():
    class Interrupted(nn.Dense):
        def forward(self, x):
            raise KeyboardInterrupt(self.weight)

    layer = nn.parametrize(Interrupted(4, 2), "weight", Counting())
    stored = vars(layer)["weight"].original
    with pytest.raises(KeyboardInterrupt):
        layer(X)
    stored.data = stored.numpy() + 1.0
    np.testing.assert_array_equal(layer.weight.numpy(), stored.numpy() * 2)


def test_a_forward_in_another_thread_computes_its_own_value():
    seen = []

    class Waiting(nn.Dense):
        def forward(self, x):
            seen.append(self.weight)
            if len(seen) == 1:
                other = threading.Thread(target=self, args=(x,))
                other.start()
                other.join()
            return tg.linear(x, self.weight, self.bias)

    layer = nn.parametrize(Waiting(4, 2), "weight", Counting())
    layer(X)
    assert len(seen) == 2
    assert seen[0].node is not seen[1].node


def test_a_step_moves_what_is_stored_and_so_the_weight():
    net = model(nn.WeightNorm())
    optimizer = optim.SGD(net.parameters(), 0.1)
    before = net[0].weight.numpy().copy()
    for _ in range(2):
        optimizer.zero_grad()
        (net(X) ** 2).sum().backward()
        optimizer.step()
    computing = vars(net[0])["weight"]
    w, direction = net[0].weight.numpy(), computing.direction.numpy()
    np.testing.assert_allclose(
        w, direction / np.linalg.norm(direction, axis=0) * computing.length.numpy(), rtol=1e-5
    )
    assert np.abs(w - before).max() > 1e-3


LAYERS = [
    (nn.Conv2D(2, 4, 3), "weight", (1, 2, 4, 4)),
    (nn.ConvTranspose2D(2, 4, 3), "weight", (1, 2, 4, 4)),
    (nn.MultiHeadAttention(4, 2), "query.weight", (2, 3, 4)),
    (nn.LSTM(4, 3, 2), "layers.1.forward.recurrent", (2, 3, 4)),
    (nn.GRU(4, 3), "layers.0.forward.weight", (2, 3, 4)),
    (nn.RNN(4, 3, bidirectional=True), "layers.0.reverse.weight", (2, 3, 4)),
]


@pytest.mark.parametrize(("layer", "name", "shape"), LAYERS)
def test_weights_of_every_kind_of_layer(layer, name, shape):
    def first(y):
        return y[0] if isinstance(y, tuple) else y

    x = tg.randn(shape)
    before = first(layer(x)).numpy()
    nn.parametrize(layer, name, nn.WeightNorm())
    after = first(layer(x))
    np.testing.assert_allclose(after.numpy(), before, rtol=1e-5, atol=1e-6)
    after.sum().backward()
    stored = dict(layer.named_parameters())
    assert stored[f"{name}.direction"].grad.numpy().any()
    assert stored[f"{name}.length"].grad.numpy().any()
    nn.unparametrize(layer, name)
    np.testing.assert_allclose(first(layer(x)).numpy(), before, rtol=1e-5, atol=1e-6)
    assert name in dict(layer.named_parameters())


def test_a_layer_with_several_weights_may_have_some_of_them_computed():
    layer = nn.parametrize(nn.LSTM(4, 3), "layers.0.forward.weight", nn.WeightNorm())
    nn.parametrize(layer, "*.recurrent", nn.Orthogonal())
    twin = copy.deepcopy(layer)
    np.testing.assert_array_equal(layer(X[None])[0].numpy(), twin(X[None])[0].numpy())
    nn.unparametrize(layer, "*.weight")
    np.testing.assert_allclose(layer(X[None])[0].numpy(), twin(X[None])[0].numpy(), rtol=1e-5)
    u = twin.layers[0]["forward"]["recurrent"].numpy()
    np.testing.assert_allclose(u @ u.T, np.eye(3), atol=1e-5)


# A class of one's own; several on one weight


def test_a_class_of_ones_own():
    layer = nn.parametrize(nn.Dense(3, 3), "weight", Symmetric())
    w = layer.weight.numpy()
    np.testing.assert_array_equal(w, w.T)
    (layer.weight * np.arange(9.0, dtype="float32").reshape(3, 3)).sum().backward()
    np.testing.assert_array_equal(
        vars(layer)["weight"].half.grad.numpy(), [[0, 4, 8], [4, 8, 12], [8, 12, 16]]
    )


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (lambda w: w.T, r"forward returned \(2, 3\) of float32 for weight, expected \(3, 2\)"),
        (lambda w: w.astype("float64"), r"returned \(3, 2\) of float64 .* of float32"),
        (lambda w: None, "forward returned a NoneType of no dtype"),
    ],
)
def test_a_forward_that_returns_something_else_is_refused(returned, words):
    class Odd(nn.Parametrization):
        def forward(self, w):
            return returned(w)

        def initial(self, weight):
            return weight

    layer = nn.Dense(3, 2)
    before = layer.weight
    with pytest.raises(ValueError, match=words):
        nn.parametrize(layer, "weight", Odd())
    assert layer.weight is before
    assert type(layer) is nn.Dense


def test_an_initial_that_does_not_fit_forward_is_refused():
    class One(nn.Parametrization):
        def forward(self, a, b):
            return a + b

        def initial(self, weight):
            return weight

    class Nothing(nn.Parametrization):
        def forward(self):
            return None

    class NoInitial(nn.Parametrization):
        def forward(self, a):
            return a

    for wrong, words in (
        (One, r"\[One\] initial returned \(3, 2\) for weight, expected Tensors for a, b"),
        (Nothing, r"\[Nothing\] forward takes nothing, expected the stored parameters"),
        (NoInitial, "define `def initial"),
    ):
        with pytest.raises(TypeError, match=words):
            nn.parametrize(nn.Dense(3, 2), "weight", wrong())


def test_several_are_stacked_and_the_last_is_applied_last():
    layer = nn.Dense(4, 2)
    before = layer.weight.numpy().copy()
    nn.parametrize(layer, "weight", nn.LowRank(1))
    nn.parametrize(layer, "weight", nn.WeightNorm())  # weight-decomposed low rank, Liu et al. 2024
    np.testing.assert_allclose(layer.weight.numpy(), before, rtol=1e-6)
    names = ["base", "down", "up"]
    assert paths(layer)[0] == [
        "bias",
        *(f"weight.direction.{name}" for name in names),
        "weight.length",
    ]
    outer = vars(layer)["weight"]
    inner = vars(outer)["direction"]
    inner.up.data = np.ones((1, 2))
    direction = inner.base.numpy() + inner.down.numpy() @ inner.up.numpy()
    np.testing.assert_allclose(
        layer.weight.numpy(),
        direction / np.linalg.norm(direction, axis=0) * outer.length.numpy(),
        rtol=1e-5,
    )
    layer(X).sum().backward()
    assert all(p.grad is not None for p in layer.parameters() if p.requires_grad)
    assert inner.base.grad is None
    nn.unparametrize(layer, "weight", keep=False)
    np.testing.assert_array_equal(layer.weight.numpy(), before)


def test_what_a_frozen_value_is_computed_from_is_frozen():
    layer = nn.parametrize(nn.Dense(4, 2), "weight", nn.WeightNorm())
    nn.parametrize(layer, "weight", nn.LowRank(1))
    trained = [path for path, p in layer.named_parameters() if p.requires_grad]
    assert trained == ["weight.down", "weight.up", "bias"]


def test_what_is_below_starts_anew_where_the_upper_one_stores_another_value():
    layer = nn.Dense(4, 2)
    w = np.abs(layer.weight.numpy()) + 0.1
    nn.parametrize(layer, "weight", nn.WeightNorm())
    nn.parametrize(layer, "weight", Positive())
    np.testing.assert_allclose(layer.weight.numpy(), w, rtol=1e-5)
    length = vars(vars(layer)["weight"])["log"].length.numpy()
    np.testing.assert_allclose(length, np.linalg.norm(np.log(w), axis=0, keepdims=True), rtol=1e-5)


# With the rest of the library


@pytest.mark.parametrize("make", [nn.WeightNorm, nn.SpectralNorm, nn.Orthogonal])
def test_a_checkpoint_gives_the_same_gradients(make):
    grads = []
    for run in (lambda f, x: f(x), tg.checkpoint):
        net = model(make())
        run(lambda x, net=net: net(x) ** 2, tg.Tensor(X)).sum().backward()
        grads.append([p.grad.numpy().tobytes() for p in net.parameters()])
    assert grads[0] == grads[1]


def test_a_layer_that_is_used_twice_in_a_checkpoint_inside_a_model():
    class Twice(nn.Module):
        def __init__(self, keep):
            self.first, self.second, self.keep = nn.Dense(4, 4), nn.Dense(4, 4), keep

        def forward(self, x):
            def rest(x):
                return self.second(tg.tanh(self.second(x)))

            x = self.first(x)
            return rest(x) if self.keep else tg.checkpoint(rest, x)

    grads = []
    for keep in (True, False):
        tg.seed(0)
        net = nn.parametrize(Twice(keep), "*.weight", nn.WeightNorm())
        net(X).sum().backward()
        grads.append([p.grad.numpy().tobytes() for p in net.parameters()])
    assert grads[0] == grads[1]


def test_a_checkpoint_that_moves_spectral_norm_twice_is_refused():
    layer = nn.parametrize(nn.Dense(4, 4), "weight", nn.SpectralNorm())
    vars(layer)["weight"].original.data = tg.randn((4, 4))
    y = tg.checkpoint(lambda x: layer(layer(x)), tg.Tensor(X))
    with pytest.raises(tg.GraphError, match="returned other values when it ran again"):
        y.sum().backward()


def test_autocast_computes_products_in_half_and_stores_float32():
    net = model(nn.LowRank(2))
    with tg.autocast():
        y = net(X)
    assert y.dtype == np.float16
    y.sum().backward()
    assert vars(net[0])["weight"].up.grad.dtype == np.float32
    with tg.autocast():
        merged = nn.unparametrize(net, "*")
    assert merged[0].weight.dtype == np.float32


def test_freezing_and_groups_by_pattern_find_what_is_stored():
    net = model(nn.WeightNorm()).freeze("0.weight")
    assert [p.requires_grad for p in net.parameters()] == [False, False, *[True] * 4]
    net.unfreeze("*.direction")
    assert [p.requires_grad for p in net.parameters()] == [True, False, *[True] * 4]
    groups = optim.pattern_groups(net, {"*.length": {"weight_decay": 0.0}, "0": {"lr": 0.1}})
    assert [len(group["params"]) for group in groups] == [2, 2, 2]


def test_a_frozen_weight_stays_so_and_training_mode_is_kept():
    net = model().eval()
    net[0].freeze()
    nn.parametrize(net, "*.weight", nn.SpectralNorm())
    assert [p.requires_grad for p in net.parameters()] == [False, False, True, True]
    assert not vars(net[0])["weight"].training
    assert vars(net.train()[0])["weight"].training
    nn.unparametrize(net, "*")
    assert [p.requires_grad for p in net.parameters()] == [False, False, True, True]


def test_an_average_is_one_of_what_is_stored():
    net = model(nn.WeightNorm())
    average, stored = optim.Average(net), vars(net[0])["weight"].length
    average.update()
    before, weight = stored.numpy().copy(), net[0].weight.numpy().copy()
    stored.data = before * 3
    average.update()
    with average:
        factor = (stored.numpy() / before).mean()
        np.testing.assert_allclose(net[0].weight.numpy(), weight * factor, rtol=1e-5)
    assert 1 < factor < 2.9
    np.testing.assert_allclose(net[0].weight.numpy(), weight * 3, rtol=1e-5)


def test_second_derivatives_go_through():
    net = model(nn.WeightNorm()).to("float64")
    stored = vars(net[0])["weight"].length
    x = X.astype("float64")
    y = (net(x) ** 2).sum()
    (g,) = tg.engine.gradients([y], [stored], create_graph=True)
    (h,) = tg.engine.gradients([g.sum()], [stored])
    start, step, ends = stored.numpy().copy(), 1e-5, []
    for sign in (1, -1):
        stored.data = start + sign * step
        (g,) = tg.engine.gradients([(net(x) ** 2).sum()], [stored])
        ends.append(g.numpy())
    np.testing.assert_allclose(h.numpy(), (ends[0] - ends[1]) / (2 * step), rtol=1e-6, atol=1e-8)
