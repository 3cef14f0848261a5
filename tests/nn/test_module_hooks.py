"""Hooks of Modules: what they see and replace, as in PyTorch, and that they leave no trace."""

import copy
import pickle
import weakref
from collections import OrderedDict

import numpy as np
import pytest
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import GraphError, nn
from tinygrad_like.engine import gradients as gradients_of

X = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


class Two(nn.Module):
    """Two inputs, several outputs: one of two Tensors in a dict, which may stay unused."""

    def __init__(self):
        self.dense = nn.Dense(4, 4)

    def forward(self, x, y, scale=1.0):
        h = self.dense(x)
        return h * y * scale, {"sum": h + y, "name": "two"}


def net():
    tg.seed(3)
    return nn.Sequential(nn.Dense(4, 5), nn.Tanh(), nn.Dense(5, 2))


def in_torch(model):
    """The same net in PyTorch."""
    twin = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))
    for ours, theirs in ((model[0], twin[0]), (model[2], twin[2])):
        theirs.weight.data = torch.tensor(ours.weight.numpy().T.copy())
        theirs.bias.data = torch.tensor(ours.bias.numpy().copy())
    return twin


def leaf():
    return tg.Tensor(X, requires_grad=True)


def gradients(model, run=None):
    """(the output, the gradients of X and of all parameters), as arrays."""
    x = leaf()
    model.zero_grad()
    y = (run or model)(x)
    (y * y).sum().backward()
    return [y.numpy(), x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def attributes(model):
    return [dict(vars(m)) for _, m in model.named_modules()]


REGISTER = (
    "register_forward_pre_hook",
    "register_forward_hook",
    "register_full_backward_pre_hook",
    "register_full_backward_hook",
)


# What they see and replace, beside PyTorch


@needs_torch
@pytest.mark.parametrize("name", REGISTER)
def test_a_hook_sees_and_replaces_what_it_does_in_torch(name):
    model = net()
    twin, seen = in_torch(model), {}

    def hook(key, factor):
        def look(module, *args):
            flat = [a for a in args if a is not None]
            flat = [x for a in flat for x in (a if isinstance(a, tuple) else (a,))]
            seen.setdefault(key, []).append([x.detach().numpy().copy() for x in flat])
            if name == "register_forward_pre_hook":
                return args[0][0] * factor
            if name == "register_forward_hook":
                return args[1] * factor
            return (args[0][0] * factor,)

        return look

    for factor, place in ((2.0, 1), (0.5, 2), (3.0, 1)):  # two of one module
        getattr(model[place], name)(hook("ours", factor))
        getattr(twin[place], name)(hook("theirs", factor))
    ours = gradients(model)
    x = torch.tensor(X, requires_grad=True)
    y = twin(x)
    (y * y).sum().backward()
    np.testing.assert_allclose(ours[0], y.detach().numpy(), rtol=1e-5)
    np.testing.assert_allclose(ours[1], x.grad.numpy(), rtol=1e-4, atol=1e-6)
    assert len(seen["ours"]) == len(seen["theirs"]) == 3
    for a, b in zip(seen["ours"], seen["theirs"], strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


def test_hooks_run_in_order_and_prepended_ones_first():
    layer, log = nn.ReLU(), []
    for k, first in ((0, False), (1, True), (2, False)):
        layer.register_forward_hook(lambda m, args, y, k=k: log.append(k), prepend=first)
    layer(tg.ones(2))
    assert log == [1, 0, 2]


def test_keywords_are_seen_and_replaced():
    model, x, y = Two(), tg.Tensor(X), tg.ones(4)
    expected = model(x, y, scale=6.0)[0].numpy()
    with (
        model.register_forward_pre_hook(
            lambda m, args, kwargs: (args, {"scale": 2 * kwargs["scale"]}), with_kwargs=True
        ),
        model.register_forward_hook(lambda m, args, kwargs, out: kwargs["scale"], with_kwargs=True),
    ):
        assert model(x, y, scale=3.0) == 6.0
    np.testing.assert_array_equal(model(x, y, scale=6.0)[0].numpy(), expected)


def test_always_call_runs_when_forward_raises():
    layer, log = nn.Dense(3, 2), []
    layer.register_forward_hook(lambda m, args, y: log.append("never"))
    layer.register_forward_hook(lambda m, args, y: log.append(y), always_call=True)
    with pytest.raises(ValueError, match="in Dense"):
        layer(tg.ones((1, 7)))
    assert log == [None]


def test_gradients_are_shaped_as_what_they_belong_to():
    model, x, y, seen = Two(), leaf(), tg.ones(4, requires_grad=True), []
    model.register_full_backward_hook(lambda m, g_in, g_out: seen.append((g_in, g_out)))
    first, _ = model(x, y, 2.0)
    first.sum().backward()
    ((gx, gy, none), (g_first, g_more)) = seen[0]
    assert (gx.shape, gy.shape, none) == ((3, 4), (4,), None)
    assert g_first.tolist() == np.ones((3, 4)).tolist()
    assert g_more == {"sum": None, "name": None}
    np.testing.assert_array_equal(gx.numpy(), x.grad.numpy())
    model(x, y)[1]["sum"].sum().backward()
    assert seen[1][1][0] is None
    assert seen[1][1][1]["sum"].shape == (3, 4)


def test_a_module_whose_arguments_have_no_gradient_shows_that_of_its_output():
    model, seen = net(), []
    model[0].register_full_backward_hook(lambda m, g_in, g_out: seen.append((g_in, g_out[0].shape)))
    model(tg.Tensor(X)).sum().backward()
    assert seen == [((None,), (3, 5))]
    model[0].register_full_backward_hook(lambda m, g_in, g_out: (tg.ones((3, 4)),))
    with pytest.raises(ValueError, match=r"^\[register_full_backward_hook\] .* for what has none"):
        model(tg.Tensor(X)).sum().backward()


def test_a_gradient_that_a_hook_gives_is_not_written_into():
    model, kept = net(), tg.ones((3, 5))
    model[1].register_full_backward_hook(lambda m, g_in, g_out: (kept,))
    x = leaf()
    (model(x) + 0 * x.sum()).sum().backward()
    assert kept.tolist() == np.ones((3, 5)).tolist()


def test_a_hook_that_writes_into_a_gradient_changes_no_other():
    layer, x = nn.Identity(), leaf()
    h = x * 2
    with layer.register_full_backward_pre_hook(lambda m, g: setattr(g[0], "data", 7 * g[0].data)):
        (h + layer(h)).sum().backward()  # the gradient of the sum is one array for both
    np.testing.assert_array_equal(x.grad.numpy(), np.full((3, 4), 2 * (1 + 7)))


WRONG = [
    ("register_forward_hook", 3, TypeError, "hook is"),
    ("register_forward_pre_hook", lambda m, a: (1, 2, 3), TypeError, "argument"),
    ("register_full_backward_pre_hook", lambda m, g: (1.0,), ValueError, "expected a Tensor"),
    ("register_full_backward_pre_hook", lambda m, g: tg.ones(9), ValueError, "shape"),
    ("register_full_backward_pre_hook", lambda m, g: (*g, *g), ValueError, "2 gradients"),
    ("register_full_backward_hook", lambda m, a, g: {"x": 1}, ValueError, "returned a dict"),
]


@pytest.mark.parametrize(("name", "hook", "error", "words"), WRONG)
def test_wrong_hooks_are_refused(name, hook, error, words):
    model = net()

    def run():
        getattr(model[1], name)(hook)
        model(leaf()).sum().backward()

    with pytest.raises(error, match=words):
        run()


# No trace


@pytest.mark.parametrize("name", REGISTER)
def test_a_removed_hook_leaves_no_trace(name):
    model = net()
    plain, before = gradients(model), attributes(model)
    handle = getattr(model[1], name)(lambda *args: None)
    again = getattr(model[1], name)(lambda *args: None)
    assert same(gradients(model), plain)
    handle.remove()
    handle.remove()
    again.remove()
    assert attributes(model) == before
    assert same(gradients(model), plain)


def test_with_removes_a_hook_and_so_does_an_error():
    layer = nn.ReLU()
    layer(tg.ones(1))
    before = dict(vars(layer))
    with pytest.raises(KeyError), layer.register_forward_hook(lambda *args: None):
        raise KeyError
    assert vars(layer) == before


def test_a_removed_hook_does_not_run_in_a_backward_pass_of_an_earlier_call():
    model = net()
    plain = gradients(model)[1]
    x = leaf()
    with model[1].register_full_backward_hook(lambda m, a, g: (100 * a[0],)):
        y = model(x)
    (y * y).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), plain)


def test_copies_pickles_and_states_know_nothing_of_hooks():
    model = net()
    text, state = repr(model), list(model.state_dict())
    model[1].register_forward_hook(lambda m, args, y: y * 0)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), copy.copy(model[1])):
        assert all("_hooks" not in vars(m) for _, m in twin.named_modules())
    assert (repr(model), list(model.state_dict())) == (text, state)


def test_a_module_with_hooks_is_freed():
    model = net()
    dead = weakref.ref(model[1])
    handle = model[1].register_full_backward_hook(lambda *args: None)
    gradients(model)
    del model
    assert dead() is None
    handle.remove()


# With the library's transforms


def doubled(model):
    """The net with gradients that are doubled at its middle, and outputs that are tripled."""
    model[1].register_full_backward_hook(lambda m, a, g: (2 * a[0],))
    model[1].register_forward_hook(lambda m, args, y: 3 * y)
    return model


def test_under_checkpoint():
    model = doubled(net())
    assert same(gradients(model), gradients(model, lambda x: tg.checkpoint(model, x)))


def test_a_hook_that_goes_before_the_second_run_of_a_checkpoint_is_noticed():
    model, x = net(), leaf()
    with model[1].register_full_backward_hook(lambda m, a, g: (2 * a[0],)):
        y = tg.checkpoint(model, x)
    with pytest.raises(GraphError, match="hooks"):
        y.sum().backward()


def test_under_vmap_inside_and_outside():
    model = doubled(net())
    expected = gradients(model)[1]
    whole = gradients(model, tg.vmap(model))[1]
    np.testing.assert_allclose(whole, expected, rtol=1e-5)
    each = tg.vmap(tg.grad(lambda x: (model(x) ** 2).sum()))(tg.Tensor(X))
    np.testing.assert_allclose(each.numpy(), expected, rtol=1e-5)


def test_under_autocast():
    model, seen = net(), []
    model[2].register_full_backward_hook(lambda m, a, g: seen.append((a[0].dtype, g[0].dtype)))
    plain, hooked = leaf(), leaf()
    with tg.autocast("float16"):
        model(hooked).sum().backward()
    model[2]._hooks.backward[0].remove()
    with tg.autocast("float16"):
        model(plain).sum().backward()
    assert len(seen) == 1
    assert seen[0][1] == np.float16
    np.testing.assert_array_equal(hooked.grad.numpy(), plain.grad.numpy())


@needs_torch
def test_second_derivatives_are_those_of_torch():
    model, x = net(), leaf()
    twin, z = in_torch(model), torch.tensor(X, requires_grad=True)
    for middle in (model[1], twin[1]):
        middle.register_full_backward_hook(lambda m, a, g: (2 * a[0],))
        middle.register_forward_hook(lambda m, args, y: 3 * y)
    y = model(x)
    (g,) = gradients_of([(y * y).sum()], [x], create_graph=True)
    (g * g).sum().backward()
    y = twin(z)
    (g,) = torch.autograd.grad((y * y).sum(), z, create_graph=True)
    (g * g).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_without_recording_there_are_no_gates():
    model = doubled(net())
    with tg.no_grad():
        assert model(tg.Tensor(X)).node is None


def test_complex_gradients_are_seen_as_users_see_them():
    layer, x, seen = nn.Identity(), tg.Tensor([1 + 2j], requires_grad=True), []
    layer.register_full_backward_hook(lambda m, a, g: seen.append(a[0].item()))
    y = layer(x)
    (y * tg.conj(y)).real.sum().backward()
    assert seen == [x.grad.item()] == [2 + 4j]


def test_a_frozen_list_that_a_module_fills_stays_the_same_object():
    class Fills(nn.Module):
        def forward(self, x, cache):
            cache.append(x)
            return x

    layer, cache = Fills(), []
    layer.register_full_backward_hook(lambda *args: None)
    layer(leaf(), cache)
    assert len(cache) == 1


class Answer(dict):
    """A dict whose items are attributes, too, as some libraries' models return it."""

    def __getattr__(self, name):
        if name not in self:
            raise AttributeError(name)
        return self[name]


class Items(list):
    """A list of a class of its own."""


class Pair(tuple):
    """A tuple with an attribute."""


def answers(y):
    pair = Pair((y, 2))
    pair.note = "kept"
    return [Answer(y=y), OrderedDict(a=y, b=None), Items([y]), pair]


def test_containers_keep_their_types_behind_hooks_of_gradients():
    class Returns(nn.Module):
        def __init__(self, kind):
            self.kind = kind

        def forward(self, x):
            return answers(x * 2)[self.kind]

    for kind, expected in enumerate(answers(tg.ones(3))):
        x, seen = tg.ones(3, requires_grad=True), []
        model = Returns(kind)
        with model.register_full_backward_hook(lambda m, g_in, g_out, seen=seen: seen.append(g_in)):
            out = model(x)
            assert type(out) is type(expected)
            assert getattr(out, "note", None) == getattr(expected, "note", None)
            first = next(iter(out.values() if isinstance(out, dict) else out))
            first.sum().backward()
        assert seen[0][0].tolist() == [2.0, 2.0, 2.0]
        with tg.tap(model) as kept:
            model(x)
        assert type(kept[""]) is type(expected)
