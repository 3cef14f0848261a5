"""Lookahead: its formula, its states, what it wraps, and steps that are interrupted."""

import pickle

import numpy as np
import pytest
from interruptions import frozen, interrupted_at_every_line
from needed import needs_emulator
from optimizer_runs import make_params, train

import tinygrad_like as tg
from tinygrad_like import io, optim


def make(dtype=np.float64, device="cpu", **options):
    params = [tg.Tensor(p.numpy(), requires_grad=True, device=device) for p in make_params(dtype)]
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.3}]
    return optim.Lookahead(optim.Adam(groups, lr=0.1), **options), params


def by_formula(steps, every, alpha):
    """Zhang et al. 2019, algorithm 1, with Adam as the inner loop; in NumPy."""
    params = make_params()
    inner = optim.Adam([{"params": params[:1]}, {"params": params[1:], "lr": 0.3}], lr=0.1)
    slow = [p.numpy().copy() for p in params]
    for step in range(steps):
        train(inner, params, [step])
        if (step + 1) % every == 0:
            slow = [s + alpha * (p.numpy() - s) for s, p in zip(slow, params, strict=True)]
            for p, s in zip(params, slow, strict=True):
                p.data[...] = s
    return params


@pytest.mark.parametrize(("every", "alpha"), [(5, 0.5), (1, 0.8), (3, 1.0), (60, 0.5)])
def test_fifty_steps_are_those_of_the_formula(every, alpha):
    optimizer, params = make(every=every, alpha=alpha)
    train(optimizer, params, range(50))
    for p, q in zip(params, by_formula(50, every, alpha), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
@pytest.mark.parametrize("at", [3, 4, 5])
def test_a_saved_state_continues_byte_by_byte(dtype, at, tmp_path):
    whole, expected = make(dtype, every=4)
    train(whole, expected, range(9))
    first, params = make(dtype, every=4)
    train(first, params, range(at))
    io.save(tmp_path / "state", first.state_dict())
    second = optim.Lookahead(optim.Adam([{"params": params[:1]}, {"params": params[1:]}]), every=4)
    second.load_state_dict(io.load(tmp_path / "state"))
    train(second, params, range(at, 9))
    assert [p.numpy().tobytes() for p in params] == [p.numpy().tobytes() for p in expected]
    assert {p.dtype for p in params} == {np.dtype(dtype)}
    assert frozen(second.state_dict()) == frozen(whole.state_dict())


def test_a_checkpoint_has_the_slow_weights(tmp_path):
    optimizer, params = make(every=4)
    train(optimizer, params, range(6))
    model = tg.nn.Dense(1, 1)
    tg.io.Checkpoint(tmp_path / "state", {}, model=model, optimizer=optimizer).save()
    before = frozen(optimizer.state_dict())
    train(optimizer, params, [6])
    tg.io.Checkpoint(tmp_path / "state", {}, model=model, optimizer=optimizer).load()
    assert frozen(optimizer.state_dict()) == before


@pytest.mark.long
def test_a_jump_that_is_interrupted_is_made_or_not():
    def start():
        optimizer, params = make(every=2)
        train(optimizer, params, [3])
        return optimizer.step, lambda: ([p.data for p in params], optimizer.state_dict())

    interrupted_at_every_line(start)


def test_schedules_and_scalers_take_it():
    optimizer, params = make(every=1, alpha=0.5)
    schedule = optim.StepLR(optimizer, 1, gamma=0.5)
    schedule.step()
    assert [group["lr"] for group in optimizer.optimizer.param_groups] == [0.05, 0.15]
    scaler = optim.GradScaler(4.0)
    before = [p.numpy().copy() for p in params]
    for p in params:
        p.grad = tg.Tensor(np.full(p.shape, 4.0))
    assert scaler.step(optimizer)
    for p, old, lr in zip(params, before, (0.05, 0.15, 0.15), strict=True):
        np.testing.assert_allclose(p.numpy(), old - 0.5 * lr)
        assert p.version == [2]


def test_a_copy_with_its_parameters_goes_on_as_the_original():
    optimizer, params = make(every=2)
    train(optimizer, params, range(3))
    copied, others = pickle.loads(pickle.dumps((optimizer, params)))
    for own, ps in ((optimizer, params), (copied, others)):
        train(own, ps, range(3, 7))
    assert [p.numpy().tobytes() for p in params] == [p.numpy().tobytes() for p in others]


def test_a_frozen_parameter_stays_and_a_new_group_joins():
    optimizer, params = make(every=2)
    train(optimizer, params, range(3))
    params[0].requires_grad = False
    before = params[0].numpy().copy()
    new = tg.Tensor([1.0], requires_grad=True)
    optimizer.add_param_group({"params": [new], "lr": 0.1})
    new.grad = tg.ones(1, dtype=new.dtype)
    optimizer.step()
    np.testing.assert_array_equal(params[0].numpy(), before)
    np.testing.assert_allclose(new.numpy(), 0.95)


@needs_emulator
def test_other_devices_make_the_same_steps():
    found = []
    for device in ("cpu", "cuda-emulator"):
        optimizer, params = make(np.float32, device, every=2)
        for _ in range(4):
            for p in params:
                p.grad = tg.Tensor(np.full(p.shape, 0.5, np.float32), device=device)
            optimizer.step()
        found.append([p.numpy() for p in params])
    for x, y in zip(*found, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (TypeError, "optimizer is a list", lambda o: optim.Lookahead([])),
        (TypeError, "is a Lookahead, expected one that", optim.Lookahead),
        (ValueError, "every is 0", lambda o: optim.Lookahead(o.optimizer, every=0)),
        (ValueError, "alpha is 1.5", lambda o: optim.Lookahead(o.optimizer, alpha=1.5)),
        (ValueError, "none of a Lookahead", lambda o: o.load_state_dict({})),
        (ValueError, "every, alpha = ", lambda o: o.load_state_dict(make(every=3)[0].state_dict())),
    ],
)
def test_mistakes_are_named(error, words, call):
    optimizer, _ = make()
    with pytest.raises(error, match=words) as raised:
        call(optimizer)
    assert str(raised.value).startswith("[Lookahead]")


def test_a_state_of_other_shapes_is_refused_and_changes_nothing():
    optimizer, params = make()
    train(optimizer, params, range(2))
    before = frozen(optimizer.state_dict())
    state = optimizer.state_dict()
    state["lookahead"]["slow"][0] = np.zeros(3)
    with pytest.raises(ValueError, match="slow weights of the shapes"):
        optimizer.load_state_dict(state)
    assert frozen(optimizer.state_dict()) == before
