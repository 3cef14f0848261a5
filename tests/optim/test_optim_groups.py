"""Optimizers whose groups change, that are copied, or that are called with nonsense."""

import operator
import pickle

import numpy as np
import pytest
from interruptions import frozen
from module_walk import COPIES
from needed import needs_emulator
from optimizer_runs import every_row, make, make_grads, make_params, train

import tinygrad_like as tg
from tinygrad_like import backend, optim

# Groups that change


def test_a_group_that_is_added_is_trained_with_its_own_settings():
    params = make_params()
    optimizer = optim.Adam(params[:1], lr=0.1)
    train(optimizer, params[:1], range(3))
    optimizer.add_param_group({"params": params[1:], "lr": 0.5})
    assert optimizer.param_groups[1]["betas"] == (0.9, 0.999)
    train(optimizer, params, [3])
    state = optimizer.state_dict()["groups"]
    assert [[slot["steps"] for slot in group["params"]] for group in state] == [[2], [1, 1]]
    alone = optim.Adam(make_params()[1:], lr=0.5)
    others = alone.param_groups[0]["params"]
    for p, grad in zip(others, make_grads(3, params)[1:], strict=True):
        p.grad = tg.Tensor(grad)
    alone.step()
    for p, q in zip(params[1:], others, strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()


@pytest.mark.parametrize(
    ("error", "words", "group"),
    [
        (TypeError, "a group is a list", lambda w: [w]),
        (TypeError, "expected a dict with 'params'", lambda w: {"lr": 1}),
        (ValueError, "unknown setting 'rate'", lambda w: {"params": [tg.ones(2)], "rate": 1}),
        (ValueError, "is the same Tensor as", lambda w: {"params": [w]}),
        (ValueError, "is empty", lambda w: {"params": []}),
        (ValueError, "computed by multiply", lambda w: {"params": [w * 2]}),
    ],
)
def test_a_group_that_cannot_be_added_changes_nothing(error, words, group):
    optimizer, params = make("Adam", {})
    before = frozen(optimizer.state_dict())
    with pytest.raises(error, match=words):
        optimizer.add_param_group(group(params[0]))
    assert frozen(optimizer.state_dict()) == before
    assert len(optimizer.param_groups) == 1


def test_a_parameter_keeps_its_state_wherever_it_stands_in_a_changed_list():
    optimizer, params = make("Adam", {})
    train(optimizer, params, range(3))
    new = tg.Tensor(np.ones(2), requires_grad=True)
    listed = optimizer.param_groups[0]["params"]
    del listed[1]
    listed.reverse()
    listed.extend([new])
    new.grad = tg.Tensor(np.ones(2))
    optimizer.step()
    slots = optimizer.state_dict()["groups"][0]["params"]
    assert [(slot["shape"], slot["steps"]) for slot in slots] == [([], 2), ([4, 3], 4), ([2], 1)]
    assert (new.numpy() < 1).all()


@pytest.mark.parametrize(
    ("error", "words", "change"),
    [
        (TypeError, r"params\[3\] is a float", lambda g: g["params"].append(1.0)),
        (ValueError, "computed by multiply", lambda g: g["params"].append(g["params"][0] * 2)),
        (ValueError, "is the same Tensor", lambda g: g["params"].append(g["params"][0])),
        (TypeError, "params is a int", lambda g: g.update(params=3)),
        (TypeError, "lr is '0.1', expected a number", lambda g: g.update(lr="0.1")),
        (ValueError, "lr is nan", lambda g: g.update(lr=float("nan"))),
        (ValueError, "betas is 2", lambda g: g.update(betas=(0.9, 2))),
        (ValueError, "amsgrad is 'no'", lambda g: g.update(amsgrad="no")),
        (ValueError, "amsgrad is 0, expected True or False", lambda g: g.update(amsgrad=0)),
        (ValueError, "unknown setting 'weightdecay'", lambda g: g.update(weightdecay=0.1)),
        (TypeError, r"lr is \(2,\), expected a number", lambda g: g.update(lr=np.full(2, 1e-3))),
        (ValueError, "unknown setting 'rate'", lambda g: g.update(rate=1, eps=2)),
        (ValueError, r"param_groups\[0\] has no eps; add groups", lambda g: g.pop("eps")),
    ],
)
def test_a_group_that_was_changed_to_nonsense_is_refused_before_anything_is_changed(
    error, words, change
):
    optimizer, params = make("Adam", {})
    train(optimizer, params, range(3))
    for p in params:
        p.grad = tg.Tensor(np.ones(p.shape))
    before = [p.numpy().copy() for p in params]
    change(optimizer.param_groups[0])
    with pytest.raises(error, match=words):
        optimizer.step()
    for p, value in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)


def test_a_group_without_settings_is_refused_with_the_way_to_add_one():
    optimizer, _ = make("SGD", {"lr": 0.1})
    optimizer.param_groups.append({"params": [tg.ones(2, requires_grad=True)]})
    with pytest.raises(
        ValueError, match=r"param_groups\[1\] has no .*lr, .*decay; add groups with add_p"
    ):
        optimizer.step()


def test_a_list_that_is_a_setting_is_looked_at_each_time():
    optimizer, params = make("Adam", {})
    betas = optimizer.param_groups[0]["betas"] = [0.9, 0.99]
    train(optimizer, params, range(2))
    betas[0] = 1.5
    with pytest.raises(ValueError, match=r"betas is 1\.5"):
        train(optimizer, params, [2])


def test_numpys_numbers_in_a_group_are_saved_as_python_s(tmp_path):
    optimizer, params = make("Adam", {})
    optimizer.param_groups[0]["lr"] = 0.1 * np.cos(0.3)
    schedules = optim.StepLR(optimizer, 2), optim.ReduceOnPlateau(optimizer)
    assert type(schedules[0].base_lrs[0]) is float
    optimizer.param_groups[0].update(eps=np.float32(1e-6), betas=[np.float64(0.5), 0.75])
    train(optimizer, params, range(2))
    parts = {"adam": optimizer, "step": schedules[0], "plateau": schedules[1]}
    path = tmp_path / "state.safetensors"
    tg.io.save(path, {name: part.state_dict() for name, part in parts.items()})
    state = tg.io.load(path)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    assert state["adam"]["groups"][0]["settings"] == {
        "lr": 0.1 * np.cos(0.3),
        "betas": (0.5, 0.75),
        "eps": float(np.float32(1e-6)),
        "weight_decay": 0.0,
        "amsgrad": False,
        "maximize": False,
    }


def test_the_rate_need_not_be_the_first_setting():
    class Momentum(optim.SGD):
        def __init__(self, params, lr):
            optim.Optimizer.__init__(
                self, params, momentum=0.9, lr=lr, nesterov=False, weight_decay=0
            )

    params, others = make_params(), make_params()
    pair = Momentum(params, 0.1), optim.SGD(others, 0.1, momentum=0.9)
    for step, change in enumerate([{}, {"momentum": 0.5}, {"lr": 0.2}, {"momentum": 0, "lr": 1}]):
        for optimizer, own in zip(pair, (params, others), strict=True):
            optimizer.param_groups[0].update(change)
            train(optimizer, own, [step])
        for p, q in zip(params, others, strict=True):
            np.testing.assert_array_equal(p.numpy(), q.numpy())


@every_row
@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
def test_a_copy_with_its_parameters_goes_on_as_the_original(name, settings, duplicate):
    optimizer, params = make(name, settings)
    train(optimizer, params, range(3))
    copied, others = duplicate((optimizer, params))
    assert all(map(operator.is_, copied.param_groups[0]["params"], others))
    before = [p.numpy().copy() for p in params]
    train(copied, others, range(3, 6))
    for p, value in zip(params, before, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)
    train(optimizer, params, range(3, 6))
    assert frozen(copied.state_dict()) == frozen(optimizer.state_dict())
    for p, q in zip(params, others, strict=True):
        assert p.numpy().tobytes() == q.numpy().tobytes()


def test_schedules_and_scalers_are_copied_with_their_optimizer():
    optimizer, params = make("SGD", {"lr": 0.1, "momentum": 0.9})
    scaler = optim.GradScaler(8.0)
    train(optimizer, params, [3])
    scaler.step(optimizer)
    schedules = optim.StepLR(optimizer, 2), optim.ReduceOnPlateau(optimizer)
    copied = pickle.loads(pickle.dumps((*schedules, scaler, optimizer)))
    assert copied[0].optimizer is copied[1].optimizer is copied[3]
    states = [
        [frozen(x.state_dict()) for x in xs] for xs in (copied, (*schedules, scaler, optimizer))
    ]
    assert states[0] == states[1]
    copied[0].step()
    assert schedules[0].steps == 0


def test_gradients_of_another_dtype_are_converted():
    optimizer, params = make("SGD", {"lr": 0.5}, np.float32)
    for p in params:
        p.node.grad = tg.Tensor(np.full(p.shape, 0.25))  # float64, as no public way leaves it
    expected = [p.numpy() - np.float32(0.125) for p in params]
    optimizer.step()
    for p, value in zip(params, expected, strict=True):
        assert p.dtype == np.float32
        np.testing.assert_array_equal(p.numpy(), value)


@needs_emulator
def test_a_gradient_on_another_device_is_refused_before_anything_is_changed():
    a, b = (tg.Tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    a.grad = tg.ones(2)
    b.grad = tg.ones(2)
    b.node.grad = tg.ones(2, device="cuda-emulator")
    optimizer = optim.SGD([a, b], lr=0.1)
    with pytest.raises(tg.DeviceError, match=r"\[SGD\] a gradient .* is on cuda-emulator, its par"):
        optimizer.step()
    assert a.numpy().tolist() == [1, 2]


def test_clipping_and_unscaling_take_parameters_that_were_frozen_after_backward():
    """As in PyTorch: what has a gradient is clipped with the others."""
    a, b = (tg.Tensor([3.0, 4.0], requires_grad=True) for _ in range(2))
    optimizer = optim.SGD([a, b], lr=1.0)
    scaler = optim.GradScaler(4.0)
    scaler.scale((a * a + b * b).sum()).backward()
    b.requires_grad = False
    scaler.unscale(optimizer)
    assert (a.grad.numpy().tolist(), b.grad.numpy().tolist()) == ([6, 8], [6, 8])
    assert optim.clip_grad_norm([a, b], 1.0) == pytest.approx(200**0.5)
    np.testing.assert_allclose(
        [*a.grad.numpy(), *b.grad.numpy()], np.array([6, 8, 6, 8]) / 200**0.5, rtol=1e-5
    )
    optim.clip_grad_value([a, b], 0.25)
    assert b.grad.numpy().tolist() == [0.25, 0.25]
    scaler.step(optimizer)
    assert (a.numpy().tolist(), b.numpy().tolist()) == ([2.75, 3.75], [3, 4])
    optimizer.zero_grad()
    assert (a.grad, b.grad) == (None, None)


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (TypeError, lambda p, o: optim.clip_grad_norm(p, "a")),
        (TypeError, lambda p, o: optim.clip_grad_norm(p, None)),
        (TypeError, lambda p, o: optim.clip_grad_norm(p, 1, norm="inf")),
        (ValueError, lambda p, o: optim.clip_grad_norm(p, 1, error_if_nonfinite="no")),
        (TypeError, lambda p, o: optim.clip_grad_norm(p, True)),
        (TypeError, lambda p, o: optim.clip_grad_norm(p, 1j)),
        (TypeError, lambda p, o: optim.clip_grad_value(p, "a")),
        (TypeError, lambda p, o: optim.clip_grad_value(p, [1, 2])),
        (TypeError, lambda p, o: optim.LambdaLR(o, lambda step: None)),
        (TypeError, lambda p, o: optim.LambdaLR(o, lambda step: "0.1")),
        (ValueError, lambda p, o: optim.LambdaLR(o, lambda step: 10**400)),
        (TypeError, lambda p, o: optim.StepLR(o, True)),
        (TypeError, lambda p, o: optim.StepLR(o, 2.0)),
        (TypeError, lambda p, o: optim.CosineLR(o, 10, warmup_steps="a")),
        (TypeError, lambda p, o: optim.CosineLR(o, 10, warmup_steps=2.5)),
        (TypeError, lambda p, o: optim.ReduceOnPlateau(o, factor="a")),
        (TypeError, lambda p, o: optim.ReduceOnPlateau(o).step("a")),
        (TypeError, lambda p, o: optim.ReduceOnPlateau(o).step(None)),
        (TypeError, lambda p, o: optim.ReduceOnPlateau(o).step(np.ones(2))),
        (
            ValueError,
            lambda p, o: optim.ReduceOnPlateau(o).load_state_dict({"schedule": "ReduceOnPlateau"}),
        ),
        (TypeError, lambda p, o: optim.GradScaler().step(None)),
        (TypeError, lambda p, o: optim.GradScaler().unscale(p)),
        (ValueError, lambda p, o: optim.GradScaler(enabled="no")),
        (TypeError, lambda p, o: optim.GradScaler(interval=True)),
        (ValueError, lambda p, o: optim.SGD(p, 0.1, momentum=0.9, nesterov="no")),
        (ValueError, lambda p, o: optim.Adam(p, amsgrad=1)),
        (TypeError, lambda p, o: optim.Adam(p, lr=tg.Tensor(0.1))),
    ],
)
def test_calls_that_make_no_sense_are_refused_in_the_name_of_what_was_called(error, call):
    optimizer, params = make("SGD", {"lr": 0.1})
    with pytest.raises(error, match=r"^\[\w+\] "):
        call(params, optimizer)


def test_numpys_booleans_and_integers_are_settings_too():
    optimizer, params = make("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": np.True_})
    assert optimizer.param_groups[0]["nesterov"] is True
    assert optim.StepLR(optimizer, np.int64(2)).step_size == 2
    assert optim.clip_grad_norm(params, np.float32(1)) == 0.0
    optim.ReduceOnPlateau(optimizer).step(tg.Tensor(0.5))


def test_a_schedule_takes_a_group_that_was_added():
    optimizer, _ = make("SGD", {"lr": 1.0})
    schedule = optim.StepLR(optimizer, 1, gamma=0.5)
    schedule.step()
    optimizer.add_param_group({"params": [tg.ones(2, requires_grad=True)], "lr": 8.0})
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 2.0]
    assert schedule.state_dict()["base_lrs"] == [1.0, 8.0]


def test_a_step_uses_the_kernels_that_are_chosen_now(monkeypatch):
    p = tg.ones(3, requires_grad=True)
    optimizer = optim.SGD([p], 0.1)
    p.sum().backward()
    optimizer.step()
    called = []
    with tg.use_kernels("vendor"):
        k = backend.CPU.k
        planner = k.planner
        monkeypatch.setattr(k, "planner", lambda *args: called.append(args[0]) or planner(*args))
        optimizer.step()
    assert called == ["sgd_", "sgd_"]  # for no elements, and for these
    optimizer.step()
    np.testing.assert_allclose(p.numpy(), 0.7, rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "decays"),
    [
        (tg.nn.Dense(2, 3), [0.1, 0.0]),
        (tg.nn.Dense(2, 3, bias=False), [0.1]),
        (tg.nn.RMSNorm(4), [0.0]),
    ],
    ids=lambda value: repr(value).split("(")[0],
)
def test_decay_groups_has_no_empty_group(model, decays):
    optimizer = optim.AdamW(optim.decay_groups(model, 0.1))
    assert [group["weight_decay"] for group in optimizer.param_groups] == decays
