"""Optimizers: PyTorch's steps, states that continue byte by byte, groups, and every error."""

import re

import numpy as np
import pytest
from interruptions import frozen
from optimizer_runs import (
    ROWS,
    check_same,
    every_row,
    make,
    make_grads,
    make_params,
    step_torch,
    train,
)
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import io, losses, optim
from tinygrad_like.engine import commit, leaf, moving


@needs_torch
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-6)])
@every_row
def test_steps_are_torchs(name, settings, dtype, tolerance):
    ours, params = make(name, settings, dtype)
    copies = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in params]
    theirs = getattr(torch.optim, name)(copies, **settings)
    for step in range(6):
        train(ours, params, [step])
        step_torch(theirs, copies, make_grads(step, params))
        check_same(params, copies, tolerance, tolerance)


@needs_torch
def test_groups_with_their_own_settings_are_torchs():
    params = make_params()
    copies = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in params]

    def groups(a, b, c):
        return [{"params": [a, b], "weight_decay": 0.3}, {"params": (c,), "lr": 0.5}]

    ours = optim.AdamW(groups(*params), lr=0.1)
    theirs = torch.optim.AdamW(groups(*copies), lr=0.1)
    for step in range(4):
        train(ours, params, [step])
        step_torch(theirs, copies, make_grads(step, params))
    check_same(params, copies, 1e-10, 0)


# State


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@every_row
def test_a_saved_state_continues_byte_by_byte(name, settings, dtype, tmp_path):
    whole, expected = make(name, settings, dtype)
    train(whole, expected, range(7))

    first, params = make(name, settings, dtype)
    train(first, params, range(3))
    values = {str(i): p for i, p in enumerate(params)}
    io.save(tmp_path / "state", {"values": values, "optimizer": first.state_dict()})
    loaded = io.load(tmp_path / "state")
    params = [tg.Tensor(value, requires_grad=True) for value in loaded["values"].values()]
    second = getattr(optim, name)(params, **{"lr": 7.0})
    second.load_state_dict(loaded["optimizer"])
    train(second, params, range(3, 7))
    for p, q in zip(params, expected, strict=True):
        assert p.dtype == dtype
        assert p.numpy().tobytes() == q.numpy().tobytes()
    assert frozen(second.state_dict()) == frozen(whole.state_dict())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@every_row
def test_parameters_and_state_keep_their_dtype(name, settings, dtype):
    optimizer, params = make(name, settings, dtype)
    train(optimizer, params, range(3))
    assert [p.dtype for p in params] == [dtype] * 3
    slots = [slot for group in optimizer.state_dict()["groups"] for slot in group["params"]]
    expected = {np.dtype(np.float32 if dtype == np.float16 else dtype)}
    assert {b.dtype for slot in slots for b in slot["buffers"].values()} <= expected
    assert [slot["steps"] for slot in slots] == [3, 3, 1]


def test_a_state_is_a_copy_both_ways():
    optimizer, params = make("Adam", {})
    train(optimizer, params, range(2))
    state = optimizer.state_dict()
    m = state["groups"][0]["params"][0]["buffers"]["m"]
    before = m.copy()
    train(optimizer, params, [2])
    np.testing.assert_array_equal(m, before)
    optimizer.load_state_dict(state)
    train(optimizer, params, [3])
    np.testing.assert_array_equal(m, before)


def test_a_state_that_was_loaded_can_be_saved_before_the_next_step():
    optimizer, params = make("Adam", {})
    train(optimizer, params, range(2))
    fresh, _ = make("Adam", {})
    fresh.load_state_dict(optimizer.state_dict())
    assert frozen(fresh.state_dict()) == frozen(optimizer.state_dict())


def adam_state(**changes):
    optimizer, params = make("Adam", {})
    train(optimizer, params, range(2))
    return {**optimizer.state_dict(), **changes}


def broken_state(**changes):
    state = adam_state()
    state["groups"][0]["params"][0].update(changes)
    return state


def other_settings(**changes):
    state = adam_state()
    state["groups"][0]["settings"].update(changes)
    return state


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (adam_state(optimizer="SGD"), "it is of SGD, expected Adam"),
        (adam_state(groups=[]), r"its groups have \[\] parameters, expected \[3\]"),
        (broken_state(shape=[3, 4]), r"params\[0\] has shape \(3, 4\) in it, expected \(4, 3\)"),
        (broken_state(buffers={"m": np.zeros((3, 4))}), r"has shape \(3, 4\) in it"),
        (
            broken_state(buffers={"s": np.zeros((4, 3))}),
            r"has \['s'\] in it, expected \('m', 'v', 'largest'\)",
        ),
        (broken_state(buffers={}), r"params\[0\] has made 2 steps and lacks m, v; nothing was"),
        (
            broken_state(buffers={"m": np.zeros((4, 3))}),
            r"params\[0\] has made 2 steps and lacks v",
        ),
        (broken_state(buffers={"m": [[1.0, 2.0], [3.0]]}), "no optimizer made it .*inhomogeneous"),
        (other_settings(lr=-1.0), "lr is -1.0"),
        (other_settings(momentum=0.9), "it has settings .*'momentum'"),
        ({}, "no optimizer made it"),
        ([1, 2], "no optimizer made it"),
        (adam_state(groups=[{"params": [1, 2, 3]}]), "no optimizer made it"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(state, words):
    optimizer, params = make("Adam", {})
    train(optimizer, params, range(2))
    before = frozen(optimizer.state_dict())
    with pytest.raises(ValueError, match=words):
        optimizer.load_state_dict(state)
    assert frozen(optimizer.state_dict()) == before


def test_a_buffer_that_was_never_needed_may_be_missing():
    """Momentum and amsgrad can be switched on at any step: their buffers begin with it."""
    for name, settings, switch in (
        ("SGD", {"lr": 0.1}, {"momentum": 0.9}),
        ("Adam", {}, {"amsgrad": True}),
    ):
        optimizer, params = make(name, settings)
        train(optimizer, params, range(2))
        optimizer.param_groups[0].update(switch)
        again, _ = make(name, settings)
        again.load_state_dict(optimizer.state_dict())
        assert frozen(again.state_dict()) == frozen(optimizer.state_dict())


@every_row
@pytest.mark.parametrize("target", [np.float16, np.float32])
def test_state_follows_a_parameter_to_another_dtype(name, settings, target):
    optimizer, params = make(name, settings)
    train(optimizer, params, range(3))
    for p in params:
        commit(moving(p, p.data.astype(target)))
    train(optimizer, params, range(3, 5))
    assert {p.dtype for p in params} == {np.dtype(target)}
    for group in optimizer.state_dict()["groups"]:
        for slot in group["params"]:
            assert {b.dtype for b in slot["buffers"].values()} <= {np.dtype(np.float32)}
    exact, expected = make(name, settings)
    train(exact, expected, range(5))
    for p, q in zip(params, expected, strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=30 * np.finfo(target).eps, atol=0.01)


# Steps


def test_a_step_raises_the_version_so_that_a_stale_graph_is_refused():
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    optimizer = optim.SGD([w], lr=0.1)
    loss = (w * w).sum()
    loss.backward(retain_graph=True)
    version = w.version[0]
    optimizer.step()
    assert w.version[0] == version + 1
    with pytest.raises(tg.GraphError, match="changed in place"):
        loss.backward()


def test_parameters_without_gradient_or_frozen_ones_are_skipped():
    optimizer, params = make("Adam", {"weight_decay": 0.1})
    before = [p.numpy().copy() for p in params]
    optimizer.step()
    params[0].grad = tg.Tensor(np.ones((4, 3)))
    params[0].requires_grad = False
    optimizer.step()
    for p, value in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)
        assert p.version == [0]


def test_zero_grad_forgets_all_gradients():
    optimizer, params = make("SGD", {"lr": 0.1})
    train(optimizer, params, [3])
    optimizer.zero_grad()
    assert [p.grad for p in params] == [None] * 3


def test_gradients_and_parameters_may_lie_in_memory_in_any_order():
    """Kernels get contiguous arrays, and what they write reaches the parameter."""
    plain = tg.Tensor(np.arange(6.0).reshape(2, 3), requires_grad=True)
    memory = tg.Tensor(plain.numpy().T)
    turned = memory.T.detach()
    turned.requires_grad = True
    assert not turned.data.flags.c_contiguous
    for p in (plain, turned):
        p.grad = tg.Tensor(np.linspace(-1, 1, 6).reshape(3, 2)).T
        optimizer = optim.Adam([p], lr=0.1)
        optimizer.step()
        optimizer.step()
    np.testing.assert_array_equal(turned.numpy(), plain.numpy())
    np.testing.assert_array_equal(memory.numpy().T, plain.numpy())


def test_the_gradient_itself_is_not_changed():
    for name, settings in ROWS:
        optimizer, params = make(name, settings)
        params[0].grad = grad = tg.Tensor(np.ones((4, 3)))
        optimizer.step()
        np.testing.assert_array_equal(grad.numpy(), np.ones((4, 3)))


def test_a_line_is_fitted():
    x = np.linspace(-1, 1, 20, dtype=np.float32).reshape(-1, 1)
    w, b = tg.zeros((1, 1), requires_grad=True), tg.zeros(1, requires_grad=True)
    optimizer = optim.SGD([w, b], lr=0.5)
    for _ in range(60):
        optimizer.zero_grad()
        losses.mse(tg.Tensor(x) @ w + b, 3 * x - 1).backward()
        optimizer.step()
    np.testing.assert_allclose([w.item(), b.item()], [3, -1], atol=1e-3)


# Settings and errors


def test_lr_is_read_and_set_for_all_groups():
    a, b, c = make_params()
    optimizer = optim.SGD([{"params": [a]}, {"params": [b, c], "lr": 0.5}], lr=0.1)
    with pytest.raises(ValueError, match=r"differ in their learning rates, \[0.1, 0.5\]"):
        _ = optimizer.lr
    optimizer.lr = np.float64(0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
    assert type(optimizer.lr) is float
    with pytest.raises(ValueError, match="lr is -1"):
        optimizer.lr = -1


def test_numpy_settings_become_python_numbers():
    optimizer = optim.Adam(make_params(), lr=np.float32(0.5), betas=[np.float64(0.5), 0])
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.0)
    assert {type(optimizer.param_groups[0][k]) for k in ("lr", "eps")} == {float}


W = tg.Tensor([1.0, 2.0], requires_grad=True)
EXHAUSTED = (p for p in ())


class Model:
    def parameters(self):
        return [W]


@pytest.mark.parametrize(
    ("error", "words", "params", "settings"),
    [
        (TypeError, r"params is \(2,\).*put it in a list", W, {}),
        (TypeError, "params is a Model.*use its .parameters()", Model(), {}),
        (TypeError, "params is a dict", {"w": W}, {}),
        (TypeError, "params is a int", 3, {}),
        (ValueError, "params is empty; a generator", [], {}),
        (ValueError, "params is empty; a generator", EXHAUSTED, {}),
        (ValueError, "params is empty", [{"params": []}], {}),
        (TypeError, r"params\[1\] is a float, expected a Tensor", [W, 1.0], {}),
        (TypeError, r"a group is \(1,\), expected a dict", [{"params": [W]}, tg.Tensor([1.0])], {}),
        (TypeError, "a group is a dict, expected a dict with 'params'", [{"lr": 0.1}], {}),
        (ValueError, r"params\[0\] \(1,\) does not require", [tg.Tensor([1.0])], {}),
        (ValueError, "computed by multiply, expected a leaf", [W * 2], {}),
        (TypeError, "complex", [leaf(np.array([1j]))], {}),
        (ValueError, r"params\[1\] \(2,\) is the same Tensor as params\[0\]", [W, W], {}),
        (ValueError, "is the same Tensor as", [{"params": [W]}, {"params": [W]}], {}),
        (ValueError, "unknown setting 'learning_rate'", [{"params": [W], "learning_rate": 1}], {}),
        (ValueError, "lr is -0.1", [W], {"lr": -0.1}),
        (ValueError, "lr is nan", [W], {"lr": float("nan")}),
        (TypeError, "lr is '0.1', expected a number", [W], {"lr": "0.1"}),
        (TypeError, "lr is True, expected a number", [W], {"lr": True}),
        (
            ValueError,
            "momentum is 1, expected a number from 0 to less than 1",
            [W],
            {"momentum": 1},
        ),
        (ValueError, "momentum is -0.5", [{"params": [W], "momentum": -0.5}], {}),
        (ValueError, "nesterov needs a momentum", [W], {"nesterov": True}),
        (ValueError, "weight_decay is -1", [W], {"weight_decay": -1}),
    ],
)
def test_mistakes_are_named(error, words, params, settings):
    with pytest.raises(error, match=words) as raised:
        optim.SGD(params, **{"lr": 0.1, **settings})
    assert str(raised.value).startswith("[SGD]")


def test_two_tensors_on_the_same_memory_are_refused():
    view = W.detach()
    view.requires_grad = True
    with pytest.raises(ValueError, match="on the same memory as"):
        optim.SGD([W, view], lr=0.1)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("Adam", {"betas": (0.9, 1.0)}, "betas is 1.0, expected a number from 0 to less than 1"),
        ("Adam", {"betas": 0.9}, "betas is 0.9, expected two numbers"),
        ("AdamW", {"eps": -1e-8}, "eps is -1e-08"),
        ("RMSprop", {"alpha": 1.5}, "alpha is 1.5"),
        ("RMSprop", {"momentum": 2}, "momentum is 2"),
        ("Adagrad", {"lr": float("inf")}, "lr is inf"),
    ],
)
def test_settings_out_of_range_are_named(name, settings, words):
    with pytest.raises(ValueError, match=re.escape(f"[{name}] {words}")):
        getattr(optim, name)([W], **settings)
