"""tap: what it sees by path, what it replaces, and that it changes nothing else."""

import threading
import time

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.nn.base import hooks

X = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)


class Block(nn.Module):
    def __init__(self):
        self.attention, self.dense = nn.Dense(4, 4), nn.Dense(4, 4)

    def forward(self, x):
        return x + self.dense(tg.relu(self.attention(x)))


class Blocks(nn.Module):
    def __init__(self):
        tg.seed(0)
        self.blocks = [Block() for _ in range(3)]

    def forward(self, x, *, mask=None):
        for block in self.blocks:
            x = block(x)
        return x if mask is None else x * mask


def gradients(model, run=None):
    """[the output, the gradients of X and of all parameters]."""
    x = tg.Tensor(X, requires_grad=True)
    model.zero_grad()
    y = (run or model)(x)
    (y * y).sum().backward()
    return [y.numpy(), x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


ATTENTION = [f"blocks.{i}.attention" for i in range(3)]


@pytest.mark.parametrize("on", ["output", "input", "gradient"])
@pytest.mark.parametrize("keep", ["last", "all", "statistics"])
def test_results_have_the_bits_that_they_have_without(on, keep):
    model = Blocks()
    plain, before = gradients(model), [dict(vars(m)) for _, m in model.named_modules()]
    with tg.tap(model, on=on, keep=keep) as seen:
        assert same(gradients(model), plain)
    assert list(seen)
    assert {*seen} == {path for path, _ in model.named_modules()}
    assert [dict(vars(m)) for _, m in model.named_modules()] == before
    assert same(gradients(model), plain)


def test_patterns_name_modules_but_not_what_is_in_them():
    model = Blocks()
    with tg.tap(model, "blocks.*.attention") as seen:
        model(tg.Tensor(X))
    assert list(seen) == ATTENTION
    with tg.tap(model, "blocks.[02]", "") as seen:
        y = model(tg.Tensor(X))
    assert list(seen) == ["blocks.0", "blocks.2", ""]
    assert seen[""] is y


def test_inputs_outputs_and_gradients_are_those_of_the_module():
    model, block = Blocks(), []
    model.blocks[1].attention.register_forward_hook(lambda m, args, y: block.append((args[0], y)))
    taps = {on: tg.tap(model, ATTENTION[1], on=on) for on in ("input", "output", "gradient")}
    with taps["input"], taps["output"], taps["gradient"]:
        y = model(tg.Tensor(X, requires_grad=True))
        y.sum().backward()
    ((x, out),) = block
    assert taps["input"][ATTENTION[1]] is x
    assert taps["output"][ATTENTION[1]] is out
    weight = model.blocks[1].attention.weight
    g = taps["gradient"][ATTENTION[1]]
    np.testing.assert_allclose((x.detach().T @ g).numpy(), weight.grad.numpy(), rtol=1e-5)


def test_inputs_by_keyword_and_several():
    model = nn.Bilinear(3, 4, 2)
    x, y = tg.ones((5, 3)), tg.ones((5, 4))
    with tg.tap(model, on="input") as seen:
        model(x, y)
    assert seen[""] == (x, y)
    model = Blocks()
    with tg.tap(model, "", on="input") as seen:
        model(x=(z := tg.Tensor(X)), mask=2.0)
    assert seen[""] == {"x": z, "mask": 2.0}


def test_replacing_outputs_inputs_and_gradients():
    model, x = Blocks(), tg.Tensor(X)
    with tg.tap(model, "blocks.[01]", replace=lambda path, y: 0 * y):
        y = model(x)
    np.testing.assert_array_equal(y.numpy(), model.blocks[2](0 * x).numpy())
    with tg.tap(model, "blocks.2", on="input", replace=lambda path, y: 0 * y) as seen:
        np.testing.assert_array_equal(model(x).numpy(), y.numpy())
    assert seen["blocks.2"].numpy().any()
    with tg.tap(model, on="gradient", replace=lambda path, g: 0 * g):
        assert not np.any(gradients(model)[1])


def test_a_run_is_patched_with_what_another_one_kept():
    model = Blocks()
    with tg.tap(model, "blocks.1") as clean:
        expected = model(tg.Tensor(X))
    with tg.tap(model, "blocks.1", replace=lambda path, y: clean[path]):
        np.testing.assert_array_equal(model(tg.Tensor(-X)).numpy(), expected.numpy())


def test_all_calls_are_kept_in_order():
    model = Blocks()
    with tg.tap(model, "blocks.0", on="input", keep="all") as seen:
        for k in range(3):
            model(tg.Tensor(k * X))
    for k, x in enumerate(seen["blocks.0"]):
        np.testing.assert_array_equal(x.numpy(), k * X)


def test_statistics_of_activations_and_gradients():
    model, kept = nn.Sequential(nn.Dense(4, 50), nn.ReLU()), []
    model[1].register_forward_hook(lambda m, args, y: kept.append(y.numpy()))
    with tg.tap(model, "1", keep="statistics") as seen:
        for k in range(4):
            model(tg.Tensor(k * X))
    every, found = np.stack(kept), seen["1"]
    assert found.zeros == np.mean(every == 0)
    np.testing.assert_allclose([found.mean, found.std], [every.mean(), every.std()], rtol=1e-5)
    assert "1: Statistics(mean=" in repr(seen)
    assert len(kept) == 4


def test_under_checkpoint_nothing_is_kept_twice():
    model = Blocks()
    plain = gradients(model)
    for on in ("input", "output", "gradient"):
        with tg.tap(model, "blocks.*", on=on, keep="all") as seen:
            assert same(gradients(model, lambda x: tg.checkpoint(model, x)), plain)
        assert all(len(kept) == 1 for kept in seen.values())


@pytest.mark.parametrize("on", ["output", "gradient"])
def test_inside_vmap_all_examples_are_kept(on):
    model = Blocks()
    with tg.tap(model, ATTENTION[0], on=on, keep="last") as seen:
        tg.vmap(tg.grad(lambda x: model(x).sum()))(tg.Tensor(X))
    assert seen[ATTENTION[0]].numpy().shape == (3, 4)
    with tg.tap(model, ATTENTION[0], on=on, keep="statistics") as seen:
        tg.vmap(tg.vmap(tg.grad(lambda x: model(x).sum())))(tg.Tensor(np.stack([X, X])))
    assert seen[ATTENTION[0]].count == 2 * 12


def test_under_autocast_values_are_in_half_precision():
    model = Blocks()
    with tg.tap(model, ATTENTION[0]) as seen, tg.autocast("float16"):
        model(tg.Tensor(X))
    assert seen[ATTENTION[0]].dtype == np.float16


def test_what_is_wrong_is_refused():
    model = Blocks()
    with pytest.raises(ValueError, match=r"names no module; similar are .*attention"):
        tg.tap(model, "blocks.0.atention")
    with pytest.raises(ValueError, match="on is 'outputs'"):
        tg.tap(model, on="outputs")
    with pytest.raises(ValueError, match="keep is 3"):
        tg.tap(model, keep=3)
    with pytest.raises(TypeError, match="replace is"):
        tg.tap(model, replace=tg.ones(3))
    with pytest.raises(TypeError, match=r"^\[tap\] model is a list"):
        tg.tap([model])
    with pytest.raises(KeyError, match=r"nothing has passed at 'blocks\.0'; seen: nothing yet"):
        tg.tap(model)["blocks.0"]
    with tg.tap(model) as seen, pytest.raises(RuntimeError, match="open already"):
        seen.__enter__()


def test_a_shared_module_has_one_path_and_each_call():
    model = nn.Sequential(nn.Dense(4, 4), nn.ReLU())
    model.append(model[0])
    with tg.tap(model, keep="all") as seen:
        model(tg.Tensor(X))
    assert len(seen["0"]) == 2
    assert "2" not in seen


@pytest.mark.parametrize(
    ("inputs", "on", "new", "message"),
    [
        (3, "input", tg.ones(1), r"\(1,\) at '', expected a tuple of the 3 arguments"),
        (3, "input", [tg.ones(1)] * 3, "a list at '', expected a tuple of the 3 arguments"),
        (3, "input", (tg.ones(1),) * 2, "2 items at '', expected a tuple of the 3 arguments"),
        (0, "input", tg.ones(1), r"\(1,\) at '', expected a dict of the arguments by keyword"),
        (1, "gradient", 0.0, r"a float at '', expected a Tensor of shape \(1, 3, 4\)"),
        (1, "gradient", tg.ones(4), r"\(4,\) at '', expected a Tensor of shape \(1, 3, 4\)"),
    ],
)
def test_what_cannot_take_the_place_of_what_passed_is_refused(inputs, on, new, message):
    """A single Tensor in place of query, key and value would have been attention to itself."""
    model, x = nn.MultiHeadAttention(4, 2), tg.ones((1, 3, 4), requires_grad=True)
    with (
        pytest.raises(ValueError, match=r"\[tap\] replace returned " + message),
        tg.tap(model, "", on=on, replace=lambda path, value: new),
    ):
        (model(*[x] * inputs) if inputs else model(query=x)).sum().backward()


class Slow(hooks.Hooks):
    """Hooks between whose reading and writing another thread comes."""

    @property
    def forward(self):
        found = vars(self).get("handles", ())
        time.sleep(0.005)
        return found

    @forward.setter
    def forward(self, handles):
        vars(self)["handles"] = handles


def test_threads_that_tap_one_model_lose_no_hook_and_leave_none(monkeypatch):
    monkeypatch.setattr(hooks, "Hooks", Slow)
    model, lost, all_open = nn.ReLU(), [], threading.Barrier(4)

    def work():
        with tg.tap(model) as seen:
            all_open.wait(10)
            lost.extend(handle for handle in seen._handles if handle not in model._hooks.forward)
            all_open.wait(10)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not lost
    assert "_hooks" not in vars(model)
