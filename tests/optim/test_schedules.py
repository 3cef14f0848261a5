"""Schedules: their formulas, PyTorch's rates, states, conflicts, errors; and gradient clipping."""

import math

import numpy as np
import pytest
from needed import needs_emulator
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import io, optim

STEPS = 20


def make(lr=0.5):
    return optim.SGD([tg.Tensor([1.0], requires_grad=True)], lr=lr)


def two_groups():
    a, b = tg.Tensor([1.0], requires_grad=True), tg.Tensor([1.0], requires_grad=True)
    return optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.25}], lr=0.5)


def rates(schedule, steps=STEPS):
    """The learning rate of the optimizer in each of the first steps."""
    found = []
    for _ in range(steps):
        assert schedule.last_lr == [group["lr"] for group in schedule.optimizer.param_groups]
        found.append(schedule.last_lr[0])
        schedule.step()
    return found


def halved(step):
    return 0.5 ** (step // 3)


ROWS = [  # schedule, its arguments, torch's schedule, its arguments
    ("StepLR", (4,), "StepLR", (4,)),
    ("StepLR", (3, 0.5), "StepLR", (3, 0.5)),
    ("ExponentialLR", (0.9,), "ExponentialLR", (0.9,)),
    ("CosineLR", (STEPS,), "CosineAnnealingLR", (STEPS,)),
    ("CosineLR", (STEPS, 0.1), "CosineAnnealingLR", (STEPS, 0.1)),
    ("PolynomialLR", (12,), "PolynomialLR", (12,)),
    ("PolynomialLR", (12, 2.0), "PolynomialLR", (12, 2.0)),
    ("LambdaLR", (halved,), "LambdaLR", (halved,)),
    ("LinearWarmup", (5,), "LinearLR", (0.2, 1.0, 4)),
]
every_row = pytest.mark.parametrize(
    ("name", "arguments", "theirs", "their_arguments"),
    ROWS,
    ids=[f"{i}-{row[0]}" for i, row in enumerate(ROWS)],
)


@needs_torch
@every_row
def test_rates_are_torchs(name, arguments, theirs, their_arguments):
    ours = rates(getattr(optim, name)(make(), *arguments))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    schedule = getattr(torch.optim.lr_scheduler, theirs)(optimizer, *their_arguments)
    expected = []
    for _ in range(STEPS):
        expected.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-15)


@every_row
def test_every_group_has_its_own_base(name, arguments, theirs, their_arguments):
    schedule = getattr(optim, name)(two_groups(), *arguments)
    alone = [getattr(optim, name)(make(lr), *arguments) for lr in (0.5, 0.25)]
    for _ in range(STEPS):
        assert schedule.last_lr == [s.last_lr[0] for s in alone]
        for s in (schedule, *alone):
            s.step()


@every_row
def test_a_saved_state_continues_exactly(name, arguments, theirs, their_arguments, tmp_path):
    optimizer = two_groups()
    schedule = getattr(optim, name)(optimizer, *arguments)
    rates(schedule, 7)
    io.save(tmp_path / "state", {"a": optimizer.state_dict(), "b": schedule.state_dict()})
    state = io.load(tmp_path / "state")
    for first, second in (("a", "b"), ("b", "a")):
        fresh = two_groups()
        again = getattr(optim, name)(fresh, *arguments)
        owners = {"a": fresh, "b": again}
        owners[first].load_state_dict(state[first])
        owners[second].load_state_dict(state[second])
        assert again.last_lr == schedule.last_lr
        assert rates(again, 5) == [again.lr_at(step, 0.5) for step in range(7, 12)]


def test_warmup_then_cosine():
    found = rates(optim.CosineLR(make(1.0), 10, min_lr=0.2, warmup_steps=4), 13)
    np.testing.assert_allclose(found[:5], [0.25, 0.5, 0.75, 1, 1])
    np.testing.assert_allclose(found[7], 0.6)
    np.testing.assert_allclose(found[10:], 0.2)
    assert found[4:] == sorted(found[4:], reverse=True)


def test_a_new_schedule_is_one_formula():
    class InverseRoot(optim.Schedule):
        def lr_at(self, step, base_lr):
            return base_lr / (step + 1) ** 0.5

    np.testing.assert_allclose(rates(InverseRoot(make(1.0)), 4), [1, 0.5**0.5, 3**-0.5, 0.5])


# Plateaus


@needs_torch
@pytest.mark.parametrize("mode", ["min", "max"])
def test_reduce_on_plateau_is_torchs(mode):
    metrics = np.abs(np.random.default_rng(0).normal(size=60)) / np.arange(1, 61) + 0.1
    metrics[5] = math.nan
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, factor=0.5, patience=3, min_lr=0.01
    )
    ours = optim.ReduceOnPlateau(make(), 0.5, 3, mode=mode, min_lr=0.01)
    for metric in metrics:
        theirs.step(metric)
        ours.step(metric)
        np.testing.assert_allclose(ours.last_lr, theirs.get_last_lr(), rtol=1e-12)
    assert ours.last_lr[0] < 0.5


def test_reduce_on_plateau_waits_patiently():
    plateau = optim.ReduceOnPlateau(make(1.0), factor=0.1, patience=2)
    for metric, expected in [(-1, 1), (-1, 1), (-1, 1), (-1, 0.1), (-2, 0.1), (math.nan, 0.1)]:
        plateau.step(tg.Tensor(float(metric)))
        np.testing.assert_allclose(plateau.last_lr, [expected])


def test_reduce_on_plateau_continues_from_its_state(tmp_path):
    plateau, fresh = (optim.ReduceOnPlateau(two_groups(), 0.5, 1) for _ in range(2))
    for metric in (1, 2, 2, 2):
        plateau.step(metric)
    io.save(tmp_path / "state", plateau.state_dict())
    fresh.load_state_dict(io.load(tmp_path / "state"))
    assert fresh.last_lr == [0.25, 0.125]
    for one in (plateau, fresh):
        one.step(3)
        one.step(3)
    assert fresh.state_dict() == plateau.state_dict()


# Errors


def test_two_schedules_of_one_optimizer_are_noticed():
    optimizer = make()
    first = optim.ExponentialLR(optimizer, 0.9)
    optim.LinearWarmup(optimizer, 4)
    with pytest.raises(
        ValueError, match=r"\[ExponentialLR\] the learning rates are \[0.125\], but"
    ):
        first.step()


def test_an_optimizer_state_without_its_schedule_is_noticed():
    old = make()
    rates(optim.ExponentialLR(old, 0.9), 3)
    fresh = make()
    schedule = optim.ExponentialLR(fresh, 0.9)
    fresh.load_state_dict(old.state_dict())
    with pytest.raises(ValueError, match="load its state too"):
        schedule.step()


@pytest.mark.parametrize(
    ("error", "words", "name", "arguments"),
    [
        (ValueError, "step_size is 0, expected a positive integer", "StepLR", (0,)),
        (TypeError, "step_size is 1.5", "StepLR", (1.5,)),
        (ValueError, "gamma is -1", "StepLR", (1, -1)),
        (TypeError, "gamma is '0.9', expected a number", "ExponentialLR", ("0.9",)),
        (ValueError, "warmup_steps is 0", "LinearWarmup", (0,)),
        (ValueError, "total_steps is -5", "CosineLR", (-5,)),
        (ValueError, "min_lr is -1", "CosineLR", (5, -1)),
        (
            ValueError,
            "warmup_steps is 5, expected 0 to less than total_steps=5",
            "CosineLR",
            (5, 0, 5),
        ),
        (ValueError, "power is nan", "PolynomialLR", (5, math.nan)),
        (TypeError, "f is a float, expected a function", "LambdaLR", (0.5,)),
        (ValueError, "lr is -0.5", "LambdaLR", (lambda step: -1,)),
        (ValueError, "factor is 1", "ReduceOnPlateau", (1,)),
        (ValueError, "patience is -1", "ReduceOnPlateau", (0.5, -1)),
    ],
)
def test_mistakes_are_named(error, words, name, arguments):
    with pytest.raises(error, match=words) as raised:
        getattr(optim, name)(make(), *arguments)
    assert str(raised.value).startswith(f"[{name}]")


def test_other_mistakes_are_named():
    with pytest.raises(ValueError, match="mode is 'low', expected 'min' or 'max'"):
        optim.ReduceOnPlateau(make(), mode="low")
    for name in ("ExponentialLR", "ReduceOnPlateau"):
        with pytest.raises(TypeError, match=f"{name}. optimizer is a list, expected an Optimizer"):
            getattr(optim, name)([], 0.5)


def test_a_state_that_does_not_fit_is_refused():
    for schedule in (optim.ExponentialLR(make(), 0.9), optim.ReduceOnPlateau(make())):
        with pytest.raises(ValueError, match="the state is of StepLR, expected"):
            schedule.load_state_dict(optim.StepLR(make(), 3).state_dict())
        with pytest.raises(ValueError, match="the state is of list"):
            schedule.load_state_dict([1])
        with pytest.raises(ValueError, match="has 2 groups, expected 1"):
            schedule.load_state_dict(
                {**schedule.state_dict(), "base_lrs": [1, 2], "last_lr": [1, 2]}
            )
        assert schedule.last_lr == [0.5]


# Clipping


def with_grads(dtype=np.float64, scale=1.0):
    rng = np.random.default_rng(0)
    params = []
    for shape in ((4, 3), (3,), (), (0, 2)):
        params.append(tg.Tensor(np.zeros(shape, dtype), requires_grad=True))
        params[-1].grad = tg.Tensor(np.array(rng.normal(size=shape) * scale, dtype))
    return [*params, tg.Tensor(np.zeros(2, dtype), requires_grad=True)]


@needs_torch
@pytest.mark.parametrize("max_norm", [0.0, 0.7, 100.0])
@pytest.mark.parametrize("norm", [1, 2, 3.5, math.inf])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-6)])
def test_clip_grad_norm_is_torchs(max_norm, norm, dtype, tolerance):
    params = [p for p in with_grads(dtype) if p.size]
    copies = [torch.tensor(p.numpy().copy(), requires_grad=True) for p in params]
    for p, copy in zip(params, copies, strict=True):
        copy.grad = None if p.grad is None else torch.tensor(p.grad.numpy().copy())
    total = optim.clip_grad_norm(params, max_norm, norm)
    expected = torch.nn.utils.clip_grad_norm_(copies, max_norm, norm).item()
    assert type(total) is float
    np.testing.assert_allclose(total, expected, rtol=tolerance)
    for p, copy in zip(params[:-1], copies[:-1], strict=True):
        assert p.grad.dtype == dtype
        np.testing.assert_allclose(p.grad.numpy(), copy.grad.numpy(), rtol=tolerance)
    assert params[-1].grad is None


@pytest.mark.parametrize("layout", ["C", "transposed", "slice"])
@pytest.mark.parametrize("norm", [2, 3])
def test_the_norm_of_a_large_gradient_is_added_up_in_float64(norm, layout):
    """Equal numbers are all rounded to the same side."""
    base = np.full((2000, 3000), np.float32(0.7))
    views = {"C": base, "transposed": base.T, "slice": base[::2, ::2]}
    p = tg.Tensor(np.zeros(views[layout].shape, np.float32), requires_grad=True)
    p.grad = tg.Tensor(views[layout])
    total = optim.clip_grad_norm([p], 1e9, norm)
    expected = float(np.float32(0.7)) * views[layout].size ** (1 / norm)
    assert total == pytest.approx(expected, rel=1e-6 if norm == 3 else 1e-12)


@pytest.mark.parametrize("scale", [1e30, 1e-30])
@pytest.mark.parametrize("norm", [1, 2, 3, math.inf])
def test_the_norm_neither_overflows_nor_vanishes(scale, norm):
    total = optim.clip_grad_norm(with_grads(np.float32, scale), 0.5 * scale, norm)
    expected = optim.clip_grad_norm(with_grads(np.float64), 1e9, norm)
    np.testing.assert_allclose(total / scale, expected, rtol=1e-5)


def test_a_gradient_that_someone_holds_is_replaced_not_changed():
    params = with_grads(np.float16)
    held = params[0].grad
    before = held.numpy().copy()
    optim.clip_grad_norm(params, 0.1)
    optim.clip_grad_value(params, 0.01)
    np.testing.assert_array_equal(held.numpy(), before)
    assert params[0].grad.dtype == np.float16
    assert np.abs(params[0].grad.numpy()).max() <= np.float16(0.01)


@needs_emulator
@pytest.mark.parametrize("norm", [2, 1, 3, np.inf])
def test_gradients_on_another_device_are_clipped_as_on_the_cpu(norm):
    found = []
    for device in ("cpu", "cuda-emulator"):
        p = tg.ones((3, 2), device=device, requires_grad=True)
        p.grad = tg.Tensor(np.arange(6.0).reshape(3, 2), dtype="float32", device=device)
        found.append((optim.clip_grad_norm([p], 1.0, norm), p.grad.cpu().numpy()))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-6)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=1e-6)


def test_clip_grad_value_cuts_every_element():
    params = with_grads()
    expected = np.clip(params[0].grad.numpy(), -0.25, 0.25)
    optim.clip_grad_value(params, 0.25)
    np.testing.assert_array_equal(params[0].grad.numpy(), expected)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_a_norm_that_is_not_finite(bad):
    params = with_grads()
    params[1].grad = tg.Tensor(np.array([bad, 1.0, 2.0]))
    with pytest.raises(
        ValueError, match=f"the norm of the gradients is {bad}; nothing was changed"
    ):
        optim.clip_grad_norm(params, 1.0, error_if_nonfinite=True)
    assert params[1].grad.numpy()[1] == 1
    assert str(optim.clip_grad_norm(params, 1.0)) == str(bad)
    assert np.isnan(params[1].grad.numpy()[0])


def test_clipping_mistakes_are_named():
    params = with_grads()
    for clip, name in ((optim.clip_grad_norm, "norm"), (optim.clip_grad_value, "value")):
        with pytest.raises(TypeError, match=f"clip_grad_{name}. params is .* put it in a list"):
            clip(params[0], 1.0)
        with pytest.raises(ValueError, match=f"clip_grad_{name}. params is empty; a generator"):
            clip(iter(()), 1.0)
        with pytest.raises(ValueError, match=r"params\[1\] \(4, 3\) is the same Tensor"):
            clip([params[0], params[0]], 1.0)
    with pytest.raises(ValueError, match=r"max_norm is -1\.0 and norm is 2\.0"):
        optim.clip_grad_norm(params, -1)
    with pytest.raises(ValueError, match="norm is 0"):
        optim.clip_grad_norm(params, 1, 0)
    with pytest.raises(ValueError, match="limit is -1"):
        optim.clip_grad_value(params, -1)
