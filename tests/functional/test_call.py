"""functional_call: a model computed with other parameters than its own."""

import contextlib
import threading

import numpy as np
import pytest
from interruptions import Alarms, Interruption, needs_timers

import tinygrad_like as tg
from tinygrad_like import nn

X = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


class Net(nn.Module):
    def __init__(self):
        self.layers = [nn.Dense(3, 4), nn.Dense(4, 3)]
        self.scales = {"out": tg.Tensor(2.0, requires_grad=True)}
        self.tied = self.layers[0].weight
        self.steps = tg.zeros(())

    def forward(self, x):
        for layer in self.layers:
            x = tg.tanh(layer(x))
        self.steps = self.steps + 1
        return x @ self.tied * self.scales["out"]


def state(model):
    return {path: x.numpy().copy() for path, x in model.state_dict().items()}


def assert_unchanged(model, before, objects):
    after = model.state_dict()
    assert after.keys() == before.keys()
    for path, x in before.items():
        np.testing.assert_array_equal(after[path].numpy(), x, err_msg=path)
    assert all(a is b for a, b in zip(model.parameters(), objects, strict=True))
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_the_given_parameters_are_used_and_the_model_is_unchanged():
    model, other = Net(), Net()
    before, objects = state(model), model.parameters()
    given = dict(other.named_parameters())
    given["steps"] = tg.zeros(())
    y = tg.functional_call(model, given, tg.Tensor(X))
    np.testing.assert_array_equal(y.numpy(), other(tg.Tensor(X)).numpy())
    assert_unchanged(model, before, objects)
    y.sum().backward()
    assert all(p.grad is not None for p in other.parameters())
    assert all(p.grad is None for p in objects)


MODELS = {
    "net": (Net, (5, 3)),
    "batch_norm": (lambda: nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4), nn.Dense(4, 2)), (5, 3)),
    "conv": (lambda: nn.Conv2D(3, 2, 2), (2, 3, 4, 4)),
    "lstm": (lambda: nn.LSTM(3, 4), (2, 5, 3)),
}


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_by_a_dict_is_that_of_backward(name, device):
    make, shape = MODELS[name]
    model = make().to("float64").to(device)
    x = tg.randn(shape, dtype="float64", device=device)

    def loss(parameters):
        y = tg.functional_call(model, parameters, x)
        return ((y[0] if isinstance(y, tuple) else y) ** 2).sum()

    parameters = dict(model.named_parameters())
    found = tg.grad(loss)(parameters)
    loss({}).backward()
    assert found.keys() == parameters.keys()
    for path, p in parameters.items():
        np.testing.assert_allclose(found[path].numpy(), p.grad.numpy(), rtol=1e-9, atol=1e-12)
        assert found[path].device == device


def test_second_derivatives_and_raw_arrays():
    model = nn.Dense(2, 1, bias=False).to("float64")
    x, w = np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])
    loss = lambda p: (tg.functional_call(model, p, tg.Tensor(x)) ** 2).sum()  # noqa: E731
    np.testing.assert_allclose(tg.grad(loss)({"weight": w})["weight"], 2 * x.T * (x @ w))
    hessian = tg.hessian(loss)({"weight": w})["weight"]["weight"]
    np.testing.assert_allclose(hessian.reshape(2, 2), 2 * x.T @ x)
    assert tg.functional_call(model, {"weight": w}, tg.Tensor(x)).item() == 11


def test_what_is_not_given_is_the_models_own():
    model = nn.Dense(3, 2)
    y = tg.functional_call(model, {"weight": tg.zeros((3, 2))}, tg.Tensor(X))
    y.sum().backward()
    np.testing.assert_array_equal(y.numpy(), np.broadcast_to(model.bias.numpy(), (5, 2)))
    assert model.weight.grad is None
    assert model.bias.grad is not None


def test_tied_weights_count_at_their_first_path():
    model = Net()
    paths = [path for path, _ in model.named_parameters()]
    assert "tied" not in paths
    w = tg.zeros((3, 4))
    y = tg.functional_call(model, {"layers.0.weight": w}, tg.Tensor(X))
    np.testing.assert_array_equal(y.numpy(), np.zeros((5, 4)))
    with pytest.raises(ValueError, match="no parameter or buffer 'tied'"):
        tg.functional_call(model, {"tied": w}, tg.Tensor(X))


def test_updates_of_buffers_go_to_the_given_tensors():
    model = nn.BatchNorm(3)
    own = state(model)
    given = {path: tg.Tensor(x) for path, x in model.named_buffers()}
    tg.functional_call(model, given, tg.Tensor(X))
    np.testing.assert_allclose(given["running_mean"].numpy(), 0.1 * X.mean(0), rtol=1e-5)
    np.testing.assert_array_equal(model.running_mean.numpy(), own["running_mean"])
    arrays = {path: x.numpy().copy() for path, x in model.named_buffers()}
    tg.functional_call(model, arrays, tg.Tensor(X))
    np.testing.assert_array_equal(arrays["running_mean"], np.zeros(3))
    tg.functional_call(model, {}, tg.Tensor(X))
    np.testing.assert_allclose(model.running_mean.numpy(), 0.1 * X.mean(0), rtol=1e-5)


def test_a_buffer_that_forward_replaces_is_put_back():
    class Counter(nn.Module):
        def __init__(self):
            self.count = tg.zeros(())
            self.moments = [tg.zeros(2), tg.zeros(2)]

        def forward(self, x):
            self.count = self.count + 1
            self.moments[0] = self.moments[0] * 0.5 + x
            return self.count

    model = Counter()
    count, moments = model.count, list(model.moments)
    given = {"count": tg.Tensor(5.0), "moments.0": tg.Tensor([2.0, 2.0])}
    assert tg.functional_call(model, given, tg.ones(2)).item() == 6
    assert given["count"].item() == 6
    assert given["moments.0"].tolist() == [2, 2]
    assert model.count is count
    assert count.item() == 0
    assert all(a is b for a, b in zip(model.moments, moments, strict=True))
    assert moments[0].tolist() == [0, 0]


def test_a_parameter_that_forward_returns_is_the_given_one():
    class Tied(nn.Module):
        def __init__(self):
            self.weight = nn.init.ones((2,))

        def forward(self, x):
            return {"y": x * self.weight, "w": self.weight}

    given = {"weight": tg.Tensor([3.0, 4.0], requires_grad=True)}
    assert tg.functional_call(Tied(), given, tg.ones(2))["w"] is given["weight"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_the_model_is_whole_again_if_forward_raises(error):
    class Failing(Net):
        def forward(self, x):
            super().forward(x)
            raise error

    model = Failing()
    before, objects = state(model), model.parameters()
    given = {path: tg.ones(x.shape) for path, x in state(model).items()}
    with pytest.raises(type(error)):
        tg.functional_call(model, given, tg.Tensor(X))
    assert_unchanged(model, before, objects)


@needs_timers
def test_no_ctrl_c_leaves_the_given_tensors_in_the_model():
    model = nn.Sequential(nn.BatchNorm(3), nn.Dense(3, 2))
    given = {path: tg.Tensor(x + 1) for path, x in state(model).items()}
    before, objects, x = state(model), model.parameters(), tg.Tensor(X)
    with Alarms(np.random.default_rng(0), longest=1e-3) as alarms:
        for _ in range(500):
            with contextlib.suppress(Interruption):
                alarms.set()
                while True:
                    tg.functional_call(model, given, x)
            assert_unchanged(model, before, objects)
    assert alarms.raised == 500


def test_calls_nest():
    model = nn.Dense(1, 1, bias=False)
    x = tg.ones((1, 1))

    def outer(w):
        inner = lambda v: tg.functional_call(model, {"weight": v * w}, x).sum()  # noqa: E731
        return tg.grad(inner)(tg.Tensor([[3.0]])).sum() * tg.functional_call(
            model, {"weight": w}, x
        )

    own = model.weight.numpy().copy()
    assert tg.grad(lambda w: outer(w).sum())(tg.Tensor([[2.0]])).item() == 4
    np.testing.assert_array_equal(model.weight.numpy(), own)


def test_threads_with_a_model_each():
    models, found = [nn.Dense(3, 2) for _ in range(4)], {}

    def run(i):
        for _ in range(20):
            w = tg.full((3, 2), float(i))
            found[i] = tg.functional_call(models[i], {"weight": w}, tg.ones((1, 3)))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, model in enumerate(models):
        expected = 3 * i + model.bias.numpy()
        np.testing.assert_allclose(found[i].numpy()[0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"wieght": X}, ValueError, r"Dense has no .* 'wieght'; did you mean 'weight'\?"),
        ({"zzz": X}, ValueError, r"no parameter or buffer 'zzz'; it has weight, bias$"),
        ({"weight": X}, ValueError, r"weight has shape \(5, 3\), expected \(3, 2\)"),
        ({"weight": [[1.0]]}, TypeError, r"weight is of type list"),
        ({"weight": np.ones((3, 2), int)}, TypeError, r"weight is of dtype int64"),
        ([X], TypeError, r"parameters is a list, expected a dict"),
    ],
)
def test_what_does_not_fit_is_refused(given, error, message):
    with pytest.raises(error, match=rf"\[functional_call\] .*{message}"):
        tg.functional_call(nn.Dense(3, 2), given, tg.Tensor(X))


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"model is a function, expected a Module"):
        tg.functional_call(lambda x: x, {}, X)
