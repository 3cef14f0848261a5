"""All or nothing: steps, loads and schedules that are interrupted, or for which memory runs out."""

import copy
import itertools
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
from interruptions import (
    Alarms,
    Interruption,
    frozen,
    interrupted_at_every_line,
    needs_timers,
)
from needed import needs_emulator

import tinygrad_like as tg
from tinygrad_like import backend, nn, optim
from tinygrad_like.engine import Tensor, commit

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("Adam", {}),
    ("AdamW", {"amsgrad": True}),
    ("RMSprop", {"momentum": 0.5}),
    ("Adagrad", {}),
]
every_optimizer = pytest.mark.parametrize(
    ("name", "settings"), OPTIMIZERS, ids=["-".join([n, *s]) for n, s in OPTIMIZERS]
)
SHAPES = [(3, 2), (2,), ()]
LARGE = [*SHAPES, (300, 200)]


def make(name, settings, dtype=np.float32, device="cpu", steps=0, shapes=SHAPES):
    """An optimizer of parameters with gradients, after some steps."""
    rng = np.random.default_rng(0)
    params = [
        tg.Tensor(rng.normal(size=s).astype(dtype), requires_grad=True, device=device)
        for s in shapes
    ]
    for p in params:
        p.grad = tg.Tensor(rng.normal(size=p.shape).astype(dtype), device=device)
    optimizer = getattr(optim, name)(params, **settings)
    for _ in range(steps):
        optimizer.step()
    return optimizer, params


def whole(optimizer, params):
    """All that a step changes."""
    grads = [p.grad for p in params]
    return {
        "values": [p.numpy() for p in params],
        "versions": [p.version[0] for p in params],
        "grads": [None if g is None else g.numpy() for g in grads],
        "state": optimizer.state_dict(),
    }


# Steps


@pytest.mark.parametrize(
    ("name", "settings", "dtype", "steps"),
    [
        *((name, settings, np.float32, 2) for name, settings in OPTIMIZERS),
        ("Adam", {}, np.float32, 0),
        ("AdamW", {"amsgrad": True}, np.float16, 2),
        ("SGD", {"lr": 0.1, "momentum": 0.9}, np.float16, 0),
    ],
)
def test_a_step_that_is_interrupted_is_made_whole_or_not_at_all(name, settings, dtype, steps):
    def start():
        optimizer, params = make(name, settings, dtype, steps=steps)
        return optimizer.step, partial(whole, optimizer, params)

    counts = interrupted_at_every_line(start)
    assert min(counts.values()) > 0, counts


@needs_emulator
def test_a_step_on_the_emulated_device_is_made_whole_or_not_at_all():
    def start():
        optimizer, params = make("Adam", {}, device="cuda-emulator", steps=1)
        return optimizer.step, partial(whole, optimizer, params)

    interrupted_at_every_line(start, within=["changes.py", "emulator/array.py"])


@needs_timers
@every_optimizer
def test_signals_at_random_moments_leave_no_half_step(name, settings):
    steps = 300
    pure, params = make(name, settings, shapes=LARGE)
    expected = {}
    for step in range(steps + 1):
        expected[step] = [p.numpy().tobytes() for p in params]
        pure.step()

    optimizer, params = make(name, settings, shapes=LARGE)
    done = 0
    with Alarms(np.random.default_rng(1), 3e-4) as alarms:
        while done < steps:
            before = alarms.raised
            try:
                alarms.set()
                optimizer.step()
                alarms.stop()
            except Interruption:
                assert alarms.raised == before + 1
            slots = optimizer.state_dict()["groups"][0]["params"]
            counts = {slot["steps"] for slot in slots}
            assert len(counts) == 1, f"the parameters have made {counts} steps"
            done = counts.pop()
            assert [p.numpy().tobytes() for p in params] == expected[done]
            assert {p.version[0] for p in params} == {done}
    assert alarms.raised > 5


@pytest.mark.parametrize("failing", range(1, 7))
def test_a_first_step_without_memory_changes_nothing(failing, monkeypatch):
    """Adam asks for two buffers of each of three parameters."""
    optimizer, params = make("Adam", {})
    before = frozen(whole(optimizer, params))
    ours, asked = backend.CPU.k.optimizer_state, []

    def optimizer_state(param, dtype):
        asked.append(1)
        if len(asked) == failing:
            raise MemoryError
        return ours(param, dtype)

    monkeypatch.setattr(backend.CPU.k, "optimizer_state", optimizer_state)
    with pytest.raises(MemoryError):
        optimizer.step()
    assert len(asked) == failing
    assert frozen(whole(optimizer, params)) == before
    optimizer.step()
    fresh, others = make("Adam", {}, steps=1)
    assert frozen(whole(optimizer, params)) == frozen(whole(fresh, others))


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize("unscaled", [False, True])
def test_a_step_of_the_scaler_that_is_interrupted_is_whole(unscaled, skips):
    def start():
        optimizer, params = make("Adam", {}, steps=1)
        scaler = optim.GradScaler(8.0, interval=2)
        if skips:
            params[2].grad = params[2].grad * np.inf
        if unscaled:
            scaler.unscale(optimizer)

        def look():
            rest = [scaler.current_scale, scaler.skipped, optimizer in scaler._unscaled]
            return [whole(optimizer, params), rest]

        return lambda: scaler.step(optimizer), look

    with np.errstate(invalid="ignore"):
        interrupted_at_every_line(start)


@pytest.mark.parametrize(
    "act",
    [
        lambda optimizer, params: optim.clip_grad_norm(params, 0.1),
        lambda optimizer, params: optim.clip_grad_value(params, 0.1),
        lambda optimizer, params: optim.GradScaler().unscale(optimizer),
        lambda optimizer, params: setattr(optimizer, "lr", 7.0),
        lambda optimizer, params: optimizer.load_state_dict(
            make("Adam", {}, steps=3)[0].state_dict()
        ),
        lambda optimizer, params: optimizer.add_param_group(
            {"params": [tg.ones(2, requires_grad=True)], "lr": 0.5}
        ),
    ],
    ids=[
        "clip_grad_norm",
        "clip_grad_value",
        "unscale",
        "lr",
        "load_state_dict",
        "add_param_group",
    ],
)
def test_any_other_change_that_is_interrupted_is_whole(act):
    def start():
        optimizer, params = make("Adam", {})
        return partial(act, optimizer, params), partial(whole, optimizer, params)

    interrupted_at_every_line(start)


@pytest.mark.parametrize(
    ("make_schedule", "act"),
    [
        (lambda o: optim.StepLR(o, 1), lambda s: s.step()),
        (
            lambda o: optim.CosineLR(o, 9),
            lambda s: s.load_state_dict({**s.state_dict(), "steps": 4}),
        ),
        (lambda o: optim.ReduceOnPlateau(o, patience=0), lambda s: s.step(float("nan"))),
    ],
)
def test_a_schedule_that_is_interrupted_is_whole(make_schedule, act):
    def start():
        groups = [{"params": [tg.ones(2, requires_grad=True)], "lr": r} for r in (0.1, 0.2, 0.3)]
        optimizer = optim.SGD(groups, lr=1.0)
        schedule = make_schedule(optimizer)
        rates = lambda: [group["lr"] for group in optimizer.param_groups]  # noqa: E731
        return partial(act, schedule), lambda: [schedule.state_dict(), rates(), schedule.last_lr]

    interrupted_at_every_line(start)


# Modules


def test_a_module_that_is_interrupted_while_it_loads_is_whole():
    state = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4)).state_dict()

    def start():
        model = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4))
        for p in model.parameters():
            p.data = np.full(p.shape, 0.5, np.float32)
        return partial(model.load_state_dict, state), model.state_dict

    counts = interrupted_at_every_line(start)
    assert min(counts.values()) > 0, counts


@pytest.mark.parametrize("frozen_too", [False, True])
def test_a_module_that_is_interrupted_while_it_is_cast_is_whole(frozen_too):
    def start():
        model = nn.Sequential(nn.Dense(3, 2), nn.BatchNorm(2))
        for i, p in enumerate(model.parameters()):
            p.data = np.full(p.shape, i + 0.5, np.float32)
            p.grad = tg.ones(p.shape)
        if frozen_too:
            model[0].freeze()
        leaves = [x for _, x in model._named_leaves()]

        def look():
            grads = [None if x.grad is None else x.grad.numpy() for x in leaves]
            return [[x.numpy() for x in leaves], [x.version[0] for x in leaves], grads]

        return partial(model.to, np.float64), look

    counts = interrupted_at_every_line(start)
    assert min(counts.values()) > 0, counts


@pytest.mark.parametrize("failing", range(1, 6))
def test_a_module_is_not_cast_by_half_where_memory_runs_out(failing, monkeypatch):
    model = nn.Sequential(nn.Dense(3, 2), nn.Dense(2, 1))
    for p in model.parameters():
        p.grad = tg.ones(p.shape)
    cast, asked = Tensor.to, []

    def to(x, target):
        asked.append(1)
        if len(asked) == failing:
            raise MemoryError
        return cast(x, target)

    monkeypatch.setattr(Tensor, "to", to)
    with pytest.raises(MemoryError):
        model.to(np.float64)
    kinds = {t.dtype for p in model.parameters() for t in (p, p.grad, p.node)}
    assert kinds == {np.dtype(np.float32)}
    model.to(np.float64)
    kinds = {t.dtype for p in model.parameters() for t in (p, p.grad, p.node)}
    assert kinds == {np.dtype(np.float64)}


def test_the_two_estimates_of_a_batch_norm_follow_together():
    def start():
        norm, x = nn.BatchNorm(2), tg.Tensor([[1.0, 2.0], [5.0, 9.0]])
        return partial(norm, x), norm.state_dict

    counts = interrupted_at_every_line(start, within=["norm.py", "state.py", "changes.py"])
    assert min(counts.values()) > 0, counts


# commit


def test_a_change_that_fails_each_time_is_reported():
    state = []
    with pytest.raises(ZeroDivisionError):
        commit([partial(state.append, 1), partial(divmod, 1, 0), partial(state.append, 2)])
    assert state == [1]


def test_no_change_is_made_twice_wherever_memory_runs_out():
    """Changes that cannot be made twice, such as a kernel in place, are C code."""
    memory = pytest.importorskip("_testcapi", reason="this Python was built without _testcapi")
    outcomes = set()
    for request in range(40):
        counters = [itertools.count() for _ in range(60)]
        changes = [partial(next, counter) for counter in counters]
        with suppress(MemoryError):
            memory.set_nomemory(request, request + 1)
            try:
                commit(changes)
            finally:
                memory.remove_mem_hooks()
        outcomes.add(tuple(map(next, counters)))
    assert (1,) * 60 in outcomes
    assert outcomes <= {(0,) * 60, (1,) * 60}


def test_what_came_in_between_is_raised_when_all_is_done():
    state = []

    def change(once=[1]):  # noqa: B006
        if once.pop(0):
            once.append(0)
            raise KeyboardInterrupt
        state.append("again")

    with pytest.raises(KeyboardInterrupt):
        commit([partial(state.append, 1), partial(change), partial(state.append, 2)])
    assert state == [1, "again", 2]


def test_a_copy_of_model_and_optimizer_trains_on_its_own():
    optimizer, params = make("Adam", {}, steps=2)
    copied, others = copy.deepcopy((optimizer, params))
    assert copied.param_groups[0]["params"][0] is others[0]
    for p, q in zip(params, others, strict=True):
        q.grad = tg.Tensor(p.grad)
    before = frozen(whole(optimizer, params))
    copied.step()
    assert frozen(whole(optimizer, params)) == before
    optimizer.step()
    states = [frozen(o.state_dict()) for o in (optimizer, copied)]
    assert states[0] == states[1]
    assert [p.numpy().tobytes() for p in params] == [q.numpy().tobytes() for q in others]
