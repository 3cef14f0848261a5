"""tg.optim.Average: the formula, PyTorch's AveragedModel, and weights that come back."""

import contextlib

import numpy as np
import pytest
from interruptions import (
    Alarms,
    Interruption,
    frozen,
    interrupted_at_every_line,
    needs_timers,
)
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import nn

DECAY = 0.8


def make_model():
    tg.seed(0)
    return nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4), nn.Dense(4, 2))


def step(model, optimizer, k=0):
    x = np.random.default_rng(k).standard_normal((6, 3)).astype(np.float32)
    loss = (model(tg.Tensor(x)) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def values(model):
    return {path: value.numpy().copy() for path, value in model.state_dict().items()}


@pytest.fixture
def trained():
    """A model, its optimizer, its average, and the values after each of five updates."""
    model = make_model()
    optimizer = tg.optim.Adam(model.parameters(), 0.1)
    average = tg.optim.Average(model, DECAY)
    seen = []
    for k in range(5):
        step(model, optimizer, k)
        average.update()
        seen.append(values(model))
    return model, optimizer, average, seen


def test_it_is_the_moving_average_of_weights_and_buffers(trained):
    model, _, average, seen = trained
    with average:
        found = values(model)
    assert found.keys() == seen[0].keys()
    assert "1.running_mean" in found
    for path, value in found.items():
        expected = seen[0][path].astype(np.float64)
        for after in seen[1:]:
            expected = DECAY * expected + (1 - DECAY) * after[path]
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7, err_msg=path)
        assert value.dtype == seen[0][path].dtype
    assert np.abs(found["0.weight"] - seen[-1]["0.weight"]).max() > 1e-2
    assert average.updates == 5


@needs_torch
def test_it_is_pytorchs_averaged_model():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    theirs = torch.optim.swa_utils.AveragedModel(
        module, avg_fn=torch.optim.swa_utils.get_ema_avg_fn(DECAY), use_buffers=True
    )
    ours = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm(4))
    pairs = {
        "0.weight": lambda m: m[0].weight.T,
        "0.bias": lambda m: m[0].bias,
        "1.weight": lambda m: m[1].weight,
        "1.running_mean": lambda m: m[1].running_mean,
        "1.running_var": lambda m: m[1].running_var,
    }
    average = tg.optim.Average(ours, DECAY)
    rng = np.random.default_rng(0)
    for _ in range(6):
        state = {path: rng.random(x.shape).astype(np.float32) for path, x in values(ours).items()}
        ours.load_state_dict(state)
        with torch.no_grad():
            for path, of in pairs.items():
                of(module).copy_(torch.from_numpy(state[path]))
        average.update()
        theirs.update_parameters(module)
    with average:
        found = values(ours)
    for path, of in pairs.items():
        expected = of(theirs.module).detach().numpy()
        np.testing.assert_allclose(found[path], expected, rtol=1e-6, err_msg=path)


def test_the_model_has_its_own_values_again_to_the_last_bit(trained):
    model, optimizer, average, _ = trained
    before = frozen(model.state_dict())
    arrays = [p.data for p in model.parameters()]
    averages = frozen(average.state_dict())
    with contextlib.suppress(ZeroDivisionError), average:
        step(model, optimizer)  # which changes the block's arrays alone
        model[1].running_mean = tg.zeros(4)  # and what a layer assigns
        raise ZeroDivisionError
    assert frozen(model.state_dict()) == before
    assert all(p.data is array for p, array in zip(model.parameters(), arrays, strict=True))
    assert frozen(average.state_dict()) == averages


def test_it_costs_the_training_nothing(trained):
    """A run that looks at its average makes the steps of one that does not."""

    def after(look):
        model = make_model()
        optimizer = tg.optim.Adam(model.parameters(), 0.1)
        average = tg.optim.Average(model, DECAY)
        for k in range(4):
            step(model, optimizer, k)
            average.update()
            if look:
                with average:
                    model(tg.ones((2, 3)))
                    model.eval()
                model.train()
        return frozen([model.state_dict(), optimizer.state_dict(), average.state_dict()])

    plain, looking = after(False), after(True)
    assert plain == looking


@needs_timers
def test_no_alarm_leaves_the_averages_in_the_model():
    model = make_model()
    average = tg.optim.Average(model, DECAY)
    average.update()
    with tg.no_grad():
        for p in model.parameters():
            p[...] = p + 1.0
    own = frozen(model.state_dict())
    with Alarms(np.random.default_rng(0), longest=1e-3) as alarms:
        for _ in range(2000):
            with contextlib.suppress(Interruption):
                alarms.set()
                while True:
                    with average:
                        pass
            assert frozen(model.state_dict()) == own
    assert alarms.raised == 2000
    with average:
        assert frozen(model.state_dict()) != own


def test_an_update_is_made_whole_or_not_at_all():
    def make():
        model = make_model()
        average = tg.optim.Average(model, DECAY)
        average.update()
        step(model, tg.optim.SGD(model.parameters(), 0.1))
        return average.update, average.state_dict

    counts = interrupted_at_every_line(make, ("tinygrad_like/optim",))
    assert counts["before"] > 3


def test_its_state_goes_on_to_the_same_bits(trained, tmp_path):
    model, optimizer, average, _ = trained
    tg.io.save(tmp_path / "average", average.state_dict())
    again = tg.optim.Average(model, DECAY)
    again.load_state_dict(tg.io.load(tmp_path / "average"))
    step(model, optimizer)
    for one in (average, again):
        one.update()
    assert frozen(average.state_dict()) == frozen(again.state_dict())
    new = tg.optim.Average(model, DECAY)
    new.load_state_dict(tg.optim.Average(model, DECAY).state_dict())
    assert new.updates == 0


def test_half_types_are_averaged_in_float32():
    model = nn.Dense(2, 2).to("float16")
    average = tg.optim.Average(model, 0.999)
    for _ in range(50):  # each moves the average by less than float16 can tell
        average.update()
        with tg.no_grad():
            model.weight[...] = 1.0
    assert average.state_dict()["values"]["weight"].dtype == np.float32
    with average:
        assert model.weight.dtype == np.float16
        assert model.weight.numpy().max() < 1


@pytest.mark.parametrize("decay", [-0.1, 1.0, "a"])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises((ValueError, TypeError), match=r"\[Average\] decay is"):
        tg.optim.Average(make_model(), decay)


def test_misuse_is_refused(trained):
    model, _, average, _ = trained
    with pytest.raises(TypeError, match=r"\[Average\] model is a list, expected a Module"):
        tg.optim.Average([])
    with pytest.raises(ValueError, match="nothing was averaged yet"), tg.optim.Average(model):
        pass
    with average:
        for act in (average.update, average.state_dict, average.__enter__):
            with pytest.raises(ValueError, match="the averages are in the model: no"):
                act()
    state = average.state_dict()
    for wrong, message in (
        ({**state, "decay": 0.5}, "has a decay of 0.5, expected 0.8"),
        ({"updates": 1}, "is none of an Average"),
        ({**state, "values": {}}, "does not fit the model in 0.weight, 0.bias"),
    ):
        with pytest.raises(ValueError, match=message):
            average.load_state_dict(wrong)
    assert frozen(average.state_dict()) == frozen(state)
