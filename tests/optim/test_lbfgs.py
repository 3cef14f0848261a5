"""LBFGS: PyTorch's iterations, its states, and what an error within a step leaves."""

import numpy as np
import pytest
from interruptions import Interruption, frozen
from needed import needs_emulator
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import io, optim
from tinygrad_like.optim.line_search import Point, strong_wolfe

START = np.array([-1.2, 1.0, -0.5, 2.0, 0.3])


def rosenbrock(a, b, exp):
    """Of a vector and a number, which together have one minimum at 1."""
    return ((1 - a[:-1]) ** 2 + 100 * (a[1:] - a[:-1] ** 2) ** 2).sum() + (b - a[0]) ** 2


def bowl(a, b, exp):
    return (exp(a) + exp(-a)).sum() + (b - 3) ** 2 + 0.5 * a[0] * b


LOSSES = [rosenbrock, bowl]
SETTINGS = [
    {"line_search_fn": "strong_wolfe"},
    {"line_search_fn": "strong_wolfe", "lr": 0.3, "history_size": 3, "max_iter": 7},
    {"line_search_fn": "strong_wolfe", "max_eval": 9, "tolerance_grad": 0.5},
    {"line_search_fn": "strong_wolfe", "tolerance_change": 0.05},
    {"lr": 0.002, "max_iter": 5, "history_size": 2},
    {"lr": 0.002, "max_iter": 6, "max_eval": 4},
]


def closed(optimizer, loss, params, exp):
    """(the optimizer, the closure that its step calls, the parameters)."""

    def closure():
        optimizer.zero_grad()
        value = loss(*params, exp)
        value.backward()
        return value

    return optimizer, closure, params


def make(loss, settings, dtype=np.float64, device="cpu"):
    a = tg.Tensor(START.astype(dtype), requires_grad=True, device=device)
    b = tg.Tensor(np.array(0.5, dtype), requires_grad=True, device=device)
    return closed(optim.LBFGS([a, b], **settings), loss, (a, b), tg.exp)


def torchs(loss, settings):
    a = torch.tensor(START, requires_grad=True)
    b = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    return closed(torch.optim.LBFGS([a, b], **settings), loss, (a, b), torch.exp)


@needs_torch
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
def test_iterations_are_torchs(loss, settings):
    ours, closure, params = make(loss, settings)
    theirs, their_closure, copies = torchs(loss, settings)
    for _ in range(6):
        found, expected = ours.step(closure).item(), theirs.step(their_closure).item()
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
        for p, copy in zip(params, copies, strict=True):
            np.testing.assert_allclose(p.numpy(), copy.detach().numpy(), rtol=1e-6, atol=1e-7)
        state, memory = theirs.state[copies[0]], ours.state_dict()["memory"]
        assert memory["evaluations"] == state["func_evals"]
        assert memory["iterations"] == state["n_iter"]


def test_a_narrow_valley_is_followed_to_its_end():
    optimizer, closure, (a, b) = make(rosenbrock, SETTINGS[0])
    for _ in range(5):
        optimizer.step(closure)
    np.testing.assert_allclose([*a.numpy(), b.item()], 1, atol=1e-6)


@pytest.mark.parametrize("settings", SETTINGS[:1] + SETTINGS[-2:], ids=range(3))
def test_a_saved_state_continues_byte_by_byte(settings, tmp_path):
    whole, closure, expected = make(rosenbrock, settings)
    first, other, params = make(rosenbrock, settings)
    for _ in range(2):
        whole.step(closure)
        first.step(other)
    io.save(tmp_path / "state", first.state_dict())
    second = optim.LBFGS(params, lr=7.0)
    second.load_state_dict(io.load(tmp_path / "state"))
    for _ in range(2):
        whole.step(closure)
        second.step(other)
    assert [p.numpy().tobytes() for p in params] == [p.numpy().tobytes() for p in expected]
    assert frozen(second.state_dict()) == frozen(whole.state_dict())


def test_a_fresh_state_is_saved_and_loaded(tmp_path):
    first, closure, params = make(bowl, {})
    io.save(tmp_path / "state", first.state_dict())
    first.load_state_dict(io.load(tmp_path / "state"))
    whole, other, expected = make(bowl, {})
    assert frozen(first.state_dict()) == frozen(whole.state_dict())
    first.step(closure)
    whole.step(other)
    assert [p.numpy().tobytes() for p in params] == [p.numpy().tobytes() for p in expected]


@pytest.mark.parametrize("settings", [SETTINGS[0], SETTINGS[-2]], ids=["searched", "plain"])
@pytest.mark.parametrize("call", range(1, 6))
def test_an_error_in_the_loss_takes_the_step_back(settings, call):
    optimizer, closure, params = make(rosenbrock, settings)
    optimizer.step(closure)
    before = frozen(([p.data for p in params], optimizer.state_dict()))
    calls = []

    def failing():
        calls.append(1)
        if len(calls) == call:
            raise Interruption
        return closure()

    with pytest.raises(Interruption):
        optimizer.step(failing)
    assert frozen(([p.data for p in params], optimizer.state_dict())) == before


def test_a_gradient_that_is_missing_counts_as_zero_and_nan_moves_nothing():
    a, b = (tg.Tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    optimizer = optim.LBFGS([a, b], lr=0.5)

    def closure(scale=1.0):
        optimizer.zero_grad()
        loss = (a * a * scale).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert b.numpy().tolist() == [1, 2]
    before = a.numpy().copy()
    optimizer.step(lambda: closure(float("nan")))
    np.testing.assert_array_equal(a.numpy(), before)


@needs_emulator
def test_other_devices_and_dtypes():
    found = []
    for device, dtype in (("cpu", np.float64), ("cuda-emulator", np.float32), ("cpu", np.float16)):
        optimizer, closure, params = make(bowl, {"max_iter": 3, "lr": 0.2}, dtype, device)
        optimizer.step(closure)
        assert {p.dtype for p in params} == {np.dtype(dtype)}
        found.append(np.append(params[0].numpy(), params[1].item()))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)
    np.testing.assert_allclose(found[2], found[0], rtol=0.03, atol=0.02)


def test_the_search_meets_the_strong_wolfe_conditions():
    """On lines of many forms, from first steps that are much too short and too long."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        c = rng.normal(size=4)

        def at(t, c=c):
            wave = c[0] * np.cos(c[1] * t + c[2])
            slope = 2 * 0.1 * (t - 3) - c[0] * c[1] * np.sin(c[1] * t + c[2])
            return Point(t, 0.1 * (t - 3) ** 2 + wave, None, slope)

        start = at(0.0)
        if start.slope >= 0:
            continue
        point, used = strong_wolfe(at, start, 10 ** rng.uniform(-2, 2), 1e-9, 25)
        assert used <= 26
        assert point.value <= start.value + 1e-4 * point.step * start.slope
        assert abs(point.slope) <= 0.9 * abs(start.slope)


W = tg.ones(2, requires_grad=True)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (TypeError, "call step.closure., without a scaler", lambda o: o.step()),
        (TypeError, "call step.closure., without a scaler", lambda o: optim.GradScaler().step(o)),
        (TypeError, "the loss is .2,., expected a number", lambda o: o.step(lambda: tg.ones(2))),
        (ValueError, "has one group", lambda o: o.add_param_group({"params": [W]})),
        (
            ValueError,
            "got 2 groups, expected one",
            lambda o: optim.LBFGS([{"params": [W]}, {"params": [tg.ones(1, requires_grad=True)]}]),
        ),
        (ValueError, "max_iter is 0", lambda o: optim.LBFGS([W], max_iter=0)),
        (TypeError, "max_eval is 2.5", lambda o: optim.LBFGS([W], max_eval=2.5)),
        (ValueError, "line_search_fn is 3", lambda o: optim.LBFGS([W], line_search_fn=3)),
        (ValueError, "does not fit", lambda o: o.load_state_dict({})),
        (ValueError, "it is of SGD", lambda o: o.load_state_dict(optim.SGD([W], 1).state_dict())),
        (ValueError, "have shapes", lambda o: o.load_state_dict(optim.LBFGS([W]).state_dict())),
    ],
)  # fmt: skip
def test_mistakes_are_named(error, words, call):
    optimizer = make(bowl, {})[0]
    with pytest.raises(error, match=words) as raised:
        call(optimizer)
    assert str(raised.value).startswith("[LBFGS]")
