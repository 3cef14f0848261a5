"""Schedules that cycle, follow one another, multiply, or differ by group: PyTorch's rates."""

import itertools
import pickle
import re
from functools import partial

import numpy as np
import pytest
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import io, optim

STEPS = 50
GROUPS = (0.5, 0.25)  # their rates


def make(kind="SGD", rates=GROUPS):
    params = [tg.Tensor([1.0], requires_grad=True) for _ in rates]
    groups = [{"params": [p], "lr": lr} for p, lr in zip(params, rates, strict=True)]
    return getattr(optim, kind)(groups, lr=1.0, **({"momentum": 0.5} if kind == "SGD" else {}))


def torchs(kind="SGD", rates=GROUPS):
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in rates]
    return getattr(torch.optim, kind)(
        groups, lr=1.0, **({"momentum": 0.5} if kind == "SGD" else {})
    )


def settings(optimizer):
    """The rate and the momentum of each group."""
    return [
        (group["lr"], group["betas"][0] if "betas" in group else group["momentum"])
        for group in optimizer.param_groups
    ]


def walk(schedule, steps=STEPS):
    found = []
    for _ in range(steps):
        found.append(settings(schedule.optimizer))
        schedule.optimizer.step()
        schedule.step()
    return found


def both(name, *arguments, theirs=None, **keywords):
    """A row: our schedule and PyTorch's, of an optimizer, with the same arguments."""
    return (
        lambda optimizer: getattr(optim, name)(optimizer, *arguments, **keywords),
        lambda optimizer: getattr(torch.optim.lr_scheduler, theirs or name)(
            optimizer, *arguments, **keywords
        ),
    )


def cut(cycle):
    return 1 / (1 + cycle)


def a_sequence(optimizer):
    parts = (
        partial(optim.ConstantLR, total_steps=3, factor=0.25),
        partial(optim.CosineLR, total_steps=60),
    )
    return optim.SequentialLR(optimizer, parts, milestones=[7])


def their_sequence(optimizer):
    s = torch.optim.lr_scheduler
    parts = [s.ConstantLR(optimizer, 0.25, 3), s.CosineAnnealingLR(optimizer, 60)]
    return s.SequentialLR(optimizer, parts, milestones=[7])


def a_chain(optimizer):
    parts = (
        partial(optim.LinearLR, total_steps=6, start=0.2),
        partial(optim.ExponentialLR, gamma=0.9),
    )
    return optim.ChainedLR(optimizer, parts)


def their_chain(optimizer):
    s = torch.optim.lr_scheduler
    return s.ChainedScheduler([s.LinearLR(optimizer, 0.2, 1.0, 6), s.ExponentialLR(optimizer, 0.9)])


def their_restarts(*arguments):
    return lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, *arguments)


ROWS = {
    "multi_step": both("MultiStepLR", [3, 10, 10, 30], 0.5),
    "linear": (
        lambda o: optim.LinearLR(o, 12, 0.2, 0.8),
        lambda o: torch.optim.lr_scheduler.LinearLR(o, 0.2, 0.8, 12),
    ),
    "constant": (
        lambda o: optim.ConstantLR(o, 4, 0.2),
        lambda o: torch.optim.lr_scheduler.ConstantLR(o, 0.2, 4),
    ),
    "restarts": (lambda o: optim.CosineRestartsLR(o, 7), their_restarts(7)),
    "longer": (lambda o: optim.CosineRestartsLR(o, 5, 2, 0.01), their_restarts(5, 2, 0.01)),
    "lambdas": both("LambdaLR", [lambda t: 0.9**t, lambda t: 1 / (1 + t)]),
    "one_cycle": both("OneCycleLR", 0.8, STEPS),
    "one_cycle_options": both(
        "OneCycleLR", [0.8, 0.4], STEPS + 20, pct_start=0.25, anneal_strategy="linear",
        base_momentum=0.6, max_momentum=0.8, div_factor=10, final_div_factor=100,
    ),
    "three_phases": both("OneCycleLR", 0.8, STEPS, three_phase=True, cycle_momentum=False),
    "cyclic": both("CyclicLR", 0.01, 0.1, 4),
    "triangular2": both("CyclicLR", [0.01, 0.02], [0.1, 0.3], 4, 7, mode="triangular2"),
    "exp_range": both("CyclicLR", 0.01, 0.1, 5, mode="exp_range", gamma=0.97, cycle_momentum=False),
    "scale_fn": both("CyclicLR", 0.01, 0.1, 5, scale_fn=cut, base_momentum=0.3, max_momentum=0.6),
    "scale_mode": both("CyclicLR", 0.01, 0.1, 5, scale_fn=cut, scale_mode="iterations"),
    "sequence": (a_sequence, their_sequence),
    "chain": (a_chain, their_chain),
    "per_group": (
        lambda o: optim.PerGroupLR(o, [partial(optim.ExponentialLR, gamma=0.9), optim_constant]),
        lambda o: torch.optim.lr_scheduler.LambdaLR(
            o, [lambda t: 0.9**t, lambda t: 0.5 if t < 9 else 1]
        ),
    ),
    "stable": (
        lambda o: optim.WarmupStableDecay(o, 40, 10, 5),
        lambda o: torch.optim.lr_scheduler.LambdaLR(
            o, lambda t: min(1, (t + 1) / 5, max(0, (40 - t) / 10))
        ),
    ),
}  # fmt: skip


def optim_constant(optimizer):
    return optim.ConstantLR(optimizer, 9, 0.5)


every_row = pytest.mark.parametrize("row", ROWS)


@needs_torch
@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step")
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@every_row
def test_rates_and_momenta_are_torchs(row, kind):
    ours, theirs = ROWS[row]
    found, expected = walk(ours(make(kind))), walk(theirs(torchs(kind)))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@every_row
def test_a_saved_state_continues_exactly(row, tmp_path):
    schedule = ROWS[row][0](make("Adam"))
    whole = walk(ROWS[row][0](make("Adam")), 20)
    walk(schedule, 8)
    parts = {"optimizer": schedule.optimizer, "schedule": schedule}
    io.save(tmp_path / "state", {name: part.state_dict() for name, part in parts.items()})
    state = io.load(tmp_path / "state")
    for order in itertools.permutations(parts):
        fresh = ROWS[row][0](make("Adam"))
        again = {"optimizer": fresh.optimizer, "schedule": fresh}
        for name in order:
            again[name].load_state_dict(state[name])
        assert walk(fresh, 12) == whole[8:]


def test_one_cycle_takes_the_rates_of_the_groups_as_the_highest():
    schedule = optim.OneCycleLR(make(), None, 10, pct_start=0.5)
    highest = np.max([schedule._rates_at(step, schedule.base_lrs) for step in range(10)], axis=0)
    np.testing.assert_allclose(highest, GROUPS)
    assert schedule.lr_at(10, 0.5) == schedule.lr_at(10**6, 0.5) == 0.5 / 25 / 1e4


@pytest.mark.parametrize(
    ("shape", "half"), [("linear", 0.5), ("cosine", 0.5), ("root", 1 - 0.5**0.5)]
)
def test_the_fall_after_a_stable_phase(shape, half):
    schedule = optim.WarmupStableDecay(make(), 20, 10, 4, 0.1, shape)
    rates = [schedule.lr_at(step, 1.1) for step in (0, 3, 10, 15, 20, 99)]
    np.testing.assert_allclose(rates, [0.275, 1.1, 1.1, 0.1 + half, 0.1, 0.1])


def test_compound_schedules_are_copied_with_their_optimizer():
    schedule = a_sequence(make())
    walk(schedule, 5)
    copied = pickle.loads(pickle.dumps(schedule))
    assert walk(copied, 10) == walk(schedule, 10)


@needs_torch
def test_every_option_of_reduce_on_plateau_is_torchs():
    metrics = np.cumsum(np.random.default_rng(0).normal(size=60))
    options = {"mode": "max", "threshold": 0.3, "threshold_mode": "abs", "cooldown": 2}
    options |= {"factor": 0.3, "patience": 1, "min_lr": [0.001, 0.02], "eps": 0.01}
    ours = optim.ReduceOnPlateau(make(), **options)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(torchs(), **options)
    for step, metric in enumerate(metrics):
        if step == 30:
            state, ours = ours.state_dict(), optim.ReduceOnPlateau(make(), **options)
            ours.load_state_dict(state)
        ours.step(metric)
        theirs.step(metric)
        np.testing.assert_allclose(ours.last_lr, theirs.get_last_lr(), rtol=1e-12)
    assert ours.last_lr[0] < 0.1


def of(name, *arguments, **keywords):
    """A call of a schedule for an optimizer, with these arguments."""
    return lambda optimizer: getattr(optim, name)(optimizer, *arguments, **keywords)


cyclic = partial(optim.CyclicLR, base_lr=1, max_lr=2)


@pytest.mark.parametrize(
    ("error", "words", "call"),
    [
        (TypeError, "[MultiStepLR] milestones is 3", of("MultiStepLR", 3)),
        (ValueError, "in rising order", of("MultiStepLR", [3, 1])),
        (TypeError, "a milestone is 1.5", of("MultiStepLR", [1.5])),
        (ValueError, "total_steps is 0", of("LinearLR", 0)),
        (ValueError, "shape is 'round'", of("WarmupStableDecay", 9, 3, shape="round")),
        (ValueError, "are more than total_steps 9", of("WarmupStableDecay", 9, 8, 2)),
        (ValueError, "growth is 0", of("CosineRestartsLR", 3, 0)),
        (ValueError, "max_lr has 3 entries", of("OneCycleLR", [1, 2, 3], 9)),
        (ValueError, "div_factor is 0", of("OneCycleLR", 1, 9, div_factor=0)),
        (ValueError, "pct_start is 2", of("OneCycleLR", 1, 9, pct_start=2)),
        (ValueError, "anneal_strategy is 'sin'", of("OneCycleLR", 1, 9, anneal_strategy="sin")),
        (ValueError, "base_momentum is 1", of("OneCycleLR", 1, 9, base_momentum=1)),
        (ValueError, "lr is -1", of("OneCycleLR", -1, 9)),
        (ValueError, "mode is 'square'", of("CyclicLR", 0, 1, mode="square")),
        (TypeError, "scale_fn is a int", of("CyclicLR", 0, 1, scale_fn=3)),
        (ValueError, "got 0 milestones for 2 parts", of("SequentialLR", [optim_constant] * 2, [])),
        (TypeError, "parts[0] is a float", of("ChainedLR", [0.5])),
        (TypeError, "parts[0] makes a int", of("ChainedLR", [lambda o: 3])),
        (ValueError, "got no parts", of("ChainedLR", [])),
        (ValueError, "cycles the momentum", of("ChainedLR", [cyclic])),
        (
            ValueError,
            "has the base rates",
            of("ChainedLR", [partial(cyclic, cycle_momentum=False)]),
        ),
        (ValueError, "got 1 parts for 2 groups", of("PerGroupLR", [optim_constant])),
        (ValueError, "f has 1 entries", of("LambdaLR", [cut])),
        (ValueError, "min_lr has 1 entries", of("ReduceOnPlateau", min_lr=[0.1])),
    ],
)
def test_mistakes_are_named_and_change_nothing(error, words, call):
    optimizer = make()
    with pytest.raises(error, match=re.escape(words)) as raised:
        call(optimizer)
    assert str(raised.value).startswith("[")
    assert settings(optimizer) == settings(make())


def test_a_momentum_that_is_not_there_cannot_be_cycled():
    with pytest.raises(
        ValueError, match=r"\[CyclicLR\] the optimizer has no momentum and no betas"
    ):
        optim.CyclicLR(make("Adagrad"), 0, 1)
