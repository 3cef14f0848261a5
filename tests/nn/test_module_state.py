"""What a Module's Tensors are: parameters, frozen or not, buffers, and what a forward keeps."""

import numpy as np
import pytest
from module_walk import COPIES, paths

import tinygrad_like as tg
from tinygrad_like import nn, optim
from tinygrad_like.engine import mode

# Freezing


def test_a_frozen_parameter_is_still_one():
    model = nn.Sequential(nn.Dense(2, 3), nn.Dense(3, 1))
    names, count = paths(model), model.num_parameters()
    assert model[0].freeze() is model[0]
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]
    assert paths(model) == names
    assert model.num_parameters() == count
    assert list(model.state_dict()) == [path for path, _ in model.named_parameters()]
    optimizer = optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    for p in model[0].parameters():
        p.requires_grad = True
    before = model[0].weight.numpy().copy()
    model(tg.ones((1, 2))).sum().backward()
    optimizer.step()
    assert np.all(model[0].weight.numpy() != before)


@pytest.mark.parametrize("make", [
    lambda ps: optim.SGD(ps, 0.1, momentum=0.9, weight_decay=0.1),
    lambda ps: optim.AdamW(ps, 0.1),
    lambda ps: optim.RMSprop(ps, 0.1, momentum=0.9, weight_decay=0.1),
    lambda ps: optim.Adagrad(ps, 0.1, weight_decay=0.1),
])  # fmt: skip
def test_no_optimizer_moves_a_frozen_parameter(make):
    model = nn.Dense(2, 2)
    optimizer = make(model.parameters())
    model(tg.ones((1, 2))).sum().backward()
    optimizer.step()
    model.weight.requires_grad = False  # its gradient, momentum and decay are there
    before = model.weight.numpy().copy()
    bias = model.bias.numpy().copy()
    optimizer.step()
    np.testing.assert_array_equal(model.weight.numpy(), before)
    assert np.all(model.bias.numpy() != bias)


def test_an_optimizer_refuses_what_never_required_a_gradient():
    with pytest.raises(ValueError, match="does not require a gradient"):
        optim.SGD([tg.ones(2)], 0.1)
    frozen = tg.ones(2, requires_grad=True).requires_grad_(False)
    optim.SGD([frozen], 0.1).step()
    np.testing.assert_array_equal(frozen.numpy(), [1, 1])


def test_the_gradient_of_a_frozen_parameter_can_be_cleared_scaled_and_set():
    model = nn.Dense(2, 2)
    model(tg.ones((1, 2))).sum().backward()
    model.freeze()
    assert optim.clip_grad_norm(model.parameters(), 0.1) > 1
    assert np.abs(model.bias.grad.numpy()).max() < 0.1
    model.bias.grad = tg.ones(2)
    np.testing.assert_array_equal(model.bias.grad.numpy(), [1, 1])
    model.to(np.float64)
    assert model.bias.grad.dtype == np.float64
    model.zero_grad()
    assert model.weight.grad is model.bias.grad is None
    with pytest.raises(tg.GraphError, match="does not require a gradient"):
        tg.ones(2).grad = tg.ones(2)


def test_requires_grad_takes_booleans_only():
    for wrong in ("no", 1, None):
        with pytest.raises(ValueError, match=r"requires_grad is .*, expected True or False"):
            tg.ones(2).requires_grad = wrong
        with pytest.raises(ValueError, match="expected True or False"):
            tg.Tensor([1.0], requires_grad=wrong)
    assert tg.ones(2, requires_grad=np.bool_(True)).requires_grad
    t = tg.ones(2)
    assert t.requires_grad_() is t
    assert t.requires_grad
    assert nn.Dense(2, 2).freeze().unfreeze().weight.requires_grad


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_copies_keep_roles_and_gradients(duplicate):
    model = nn.Sequential(nn.Dense(2, 2), nn.BatchNorm(2))
    model.log = []
    model(tg.ones((3, 2)) * tg.Tensor([[1.0], [2.0], [4.0]])).sum().backward()
    model.log.append(tg.ones(1) * 2)  # after the first call: no state
    model[0].weight.requires_grad = False
    twin = duplicate(model)
    assert paths(twin) == paths(model)
    for ours, theirs in zip(twin.parameters(), model.parameters(), strict=True):
        assert ours.requires_grad == theirs.requires_grad
        np.testing.assert_array_equal(ours.grad.numpy(), theirs.grad.numpy())
        assert ours.grad is not theirs.grad
    x = tg.Tensor([3.0], requires_grad=True)
    x.grad = tg.grad(lambda x: (x * x).sum())(x)
    assert duplicate(x).grad.item() == 6
    y = x * x * x
    y.backward(create_graph=True)
    assert x.grad.node is not None
    assert duplicate(x).grad.node is None


# Assigning


@pytest.mark.parametrize("put", [
    lambda m, t: setattr(m, "w", t),
    lambda m, t: setattr(m, "w", [tg.ones(1), t]),
    lambda m, t: setattr(m, "w", {"a": (t,)}),
    lambda m, t: setattr(m, "weight", t),
])  # fmt: skip
def test_a_computed_tensor_is_no_parameter(put):
    model = nn.Dense(4, 3)
    before = vars(model).copy()
    with pytest.raises(tg.GraphError, match=r"nn\.init\.normal\(\(4, 3\), std=0\.02\)"):
        put(model, tg.randn(4, 3, requires_grad=True) * 0.02)
    assert vars(model) == before
    with tg.no_grad():
        put(model, tg.randn(4, 3, requires_grad=True) * 0.02)  # is a leaf


def test_an_interrupted_call_leaves_nothing_behind():
    class Interrupted(nn.Module):
        def forward(self, x):
            raise KeyboardInterrupt

    model = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        model(1)
    assert not mode.running


def test_a_forward_cannot_put_a_computed_tensor_over_a_parameter():
    class Normed(nn.Dense):
        def forward(self, x):
            self.weight = self.weight / 2.0
            return super().forward(x)

    with pytest.raises(tg.GraphError, match="weight was computed by divide"):
        Normed(2, 2)(tg.ones((1, 2)))


@pytest.mark.parametrize("frozen", [False, True])
def test_values_over_a_parameter_go_into_it(frozen):
    model = nn.Dense(2, 3)
    own = model.weight.requires_grad_(not frozen)
    view, version = own.detach(), own.version[0]
    model.weight = tg.Tensor(np.full((2, 3), 7.0))
    assert model.weight is own
    assert own.dtype == np.float32
    assert own.requires_grad is not frozen
    assert own.version[0] > version
    np.testing.assert_array_equal(view.numpy(), np.full((2, 3), 7))
    with pytest.raises(
        ValueError, match=r"parameter of shape \(2, 3\), got values of shape \(3, 2"
    ):
        model.weight = tg.ones((3, 2))
    with pytest.raises(TypeError, match="of dtype complex128"):
        model.weight = tg.Tensor(np.ones((2, 3), complex))
    other = tg.ones((2, 3), requires_grad=True)
    model.weight = other
    assert model.weight is other


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (
            tg.ones((7, 7), requires_grad=True),
            ValueError,
            r"shape \(2, 3\), got values of shape \(7",
        ),
        (
            tg.Tensor(np.ones((2, 3)), requires_grad=True),
            TypeError,
            r"float32, got one of float64; make it with dtype='float32'",
        ),
    ],
)
def test_a_parameter_over_a_parameter_has_its_shape_and_dtype(value, error, words):
    model = nn.Dense(2, 3)
    before = model.weight
    with pytest.raises(
        error, match=rf"\[Dense\] weight is a parameter of {words}.* `del` the attr"
    ):
        model.weight = value
    assert model.weight is before
    del model.weight
    model.weight = value
    assert model.weight is value


@pytest.mark.parametrize("value", [tg.ones((2, 2)), 5, lambda x: x, [nn.ReLU()], np.ones(2)])
def test_nothing_but_a_module_takes_a_modules_place(value):
    model = nn.Sequential(nn.ReLU())
    model.fc, model.head = nn.Dense(2, 2), nn.Sequential(nn.Dense(2, 2))
    model.layers, model.ws = (nn.Dense(2, 2),), {"a": nn.init.ones(2)}
    before = paths(model)

    class Replaces(nn.Module):
        def forward(self, name):
            setattr(model, name, value)

    for name in ("fc", "head", *([] if type(value) is list else ["layers", "ws"])):
        for put in (lambda name: setattr(model, name, value), Replaces()):
            with pytest.raises(
                TypeError, match=rf"{name} is a .*, got a .* first `del` the attrib"
            ):
                put(name)
    assert paths(model) == before
    model.fc, model.head, model.layers = nn.BatchNorm(2), None, nn.ModuleList(model.layers)
    model.ws = []
    assert paths(model)[0] == ["fc.bias", "fc.weight", "layers.0.bias", "layers.0.weight"]
    del model.fc
    model.fc = value
    assert model.fc is value


@pytest.mark.parametrize("value", [np.ones((2, 2)), 1.0, [1.0, 2.0], "w"], ids=str)
def test_what_is_no_tensor_takes_no_parameters_place(value):
    model = nn.Dense(2, 2)
    with pytest.raises(TypeError, match=r"\[Dense\] weight is a parameter, got .*\.weight\.data ="):
        model.weight = value
    assert paths(model)[0] == ["bias", "weight"]


def test_an_array_takes_no_buffers_place():
    norm = nn.BatchNorm(2)
    with pytest.raises(TypeError, match="running_mean is a buffer, got a ndarray"):
        norm.running_mean = np.zeros(2)
    norm.running_mean = tg.ones(2)
    assert paths(norm)[1] == ["running_mean", "running_var"]
    norm.running_mean = None
    assert paths(norm)[1] == ["running_var"]


def test_updates_by_hand_keep_the_parameter():
    model = nn.Dense(2, 2)
    own = model.weight
    model(tg.ones((1, 2))).sum().backward()
    before = own.numpy().copy()
    with tg.no_grad():
        model.weight -= 0.1 * model.weight.grad
        model.weight = model.weight - 0.1 * model.weight.grad
    model.weight.data = model.weight.data - 0.1 * model.weight.grad
    assert model.weight is own
    np.testing.assert_allclose(own.numpy(), before - 0.3 * own.grad.numpy(), rtol=1e-5)


# Values


def test_data_takes_arrays_and_tensors_and_keeps_dtype_shape_and_memory():
    p = tg.ones(2, requires_grad=True)
    view = p.detach()
    p.data = np.array([1.5, 2.5])
    assert p.dtype == np.float32
    np.testing.assert_array_equal(view.numpy(), [1.5, 2.5])
    (p * p).sum().backward()
    p.data = p.data - 0.1 * p.grad
    np.testing.assert_allclose(view.numpy(), [1.2, 2.0])
    assert p.node.plan is None
    scalar = tg.Tensor(1.0, requires_grad=True)
    scalar.data = scalar.data * 2  # a NumPy scalar
    assert scalar.item() == 2
    whole = tg.Tensor([1, 2])
    for t, wrong in ((p, np.ones(2, int)), (p, np.ones(2, complex)), (whole, np.ones(2))):
        with pytest.raises(TypeError, match=r"\[data\] got dtype"):
            t.data = wrong
    with pytest.raises(TypeError, match=r"\[data\] got a list, expected a raw array or a Tensor"):
        p.data = [1.0, 2.0]


def test_a_state_that_cannot_be_written_changes_nothing():
    model = nn.Sequential(nn.Dense(2, 2), nn.Dense(2, 2))
    before = {path: t.numpy().copy() for path, t in model.state_dict().items()}
    model[1].weight.data.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        model.load_state_dict({path: v + 1 for path, v in before.items()})
    for path, t in model.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), before[path], err_msg=path)


def test_integers_are_no_values_of_a_parameter_wherever_they_come_from():
    model = nn.BatchNorm(2)
    whole = np.ones(2, np.int64)
    with pytest.raises(TypeError, match="got dtype int64"):
        model.weight.data = whole
    with pytest.raises(TypeError, match="got values of dtype int64, expected a floating one"):
        model.weight = tg.Tensor(whole)
    report = model.load_state_dict({"weight": whole, "running_mean": whole}, strict=False)
    assert report.mistyped == {"weight": "of dtype int64, expected a floating one"}
    np.testing.assert_array_equal(model.running_mean.numpy(), [1, 1])  # a buffer may take them


def test_a_number_that_a_dtype_cannot_hold_is_reported_with_its_path():
    model = nn.ReLU()
    model.counts, model.other = tg.Tensor([1], dtype="int8"), tg.ones(1)
    state = {"counts": np.array([300]), "other": np.array([2.0])}
    with pytest.raises(nn.StateError, match=r"type: counts is out of range: 300 does not fit into"):
        model.load_state_dict(state)
    assert model.other.item() == 1
    report = model.load_state_dict(state, strict=False)
    assert list(report.mistyped) == ["counts"]
    assert (model.counts.item(), model.other.item()) == (1, 2)


def test_options_are_booleans():
    with pytest.raises(ValueError, match=r"\[Dense\] bias is 'no'"):
        nn.Dense(2, 2, bias="no")
    with pytest.raises(ValueError, match=r"\[LayerNorm\] bias is 'no'"):
        nn.LayerNorm(2, bias="no")
    with pytest.raises(ValueError, match=r"\[BatchNorm\] affine is 1"):
        nn.BatchNorm(2, affine=1)
    with pytest.raises(ValueError, match=r"\[train\] mode is 'no'"):
        nn.Dense(2, 2).train("no")
    with pytest.raises(ValueError, match=r"\[load_state_dict\] strict is 'no'"):
        nn.Dense(2, 2).load_state_dict({}, strict="no")
    assert nn.Dense(np.int64(2), np.int32(3), bias=np.bool_(False)).bias is None


@pytest.mark.parametrize(
    "change",
    [
        lambda layers: layers.append(nn.ReLU),
        lambda layers: layers.extend([nn.ReLU(), tg.relu]),
        lambda layers: layers.insert(0, 3),
        lambda layers: layers.__setitem__(0, None),
        lambda layers: layers.__iadd__([None]),
        lambda layers: nn.Sequential(layers[0], tg.relu),
    ],
)
def test_layer_lists_refuse_what_is_no_module(change):
    layers = nn.ModuleList([nn.ReLU()])
    with pytest.raises(TypeError, match=r"got .*, expected a Module, such as nn.ReLU\(\)"):
        change(layers)
    assert len(layers) == 1
