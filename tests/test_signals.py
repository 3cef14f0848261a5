"""Signal handlers that raise (Ctrl-C, the notice of a preemption): none is lost, no state is torn.

A timer raises at random moments of a training loop. Each time the exception must arrive, and the
parameters and the optimizer must be as after some whole number of steps of a run that nothing
disturbed.
"""

import contextlib

import numpy as np
import pytest
from interruptions import Alarms, Interruption, needs_timers
from tinygrad_like.kernels.cuda import emulator

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.engine import mode

pytestmark = needs_timers

INTERRUPTIONS = 60
MOST_STEPS = 400  # for one interruption: it was lost if there are more


def mlp():
    model = nn.Sequential(nn.Dense(784, 128), nn.ReLU(), nn.Dense(128, 10))
    return model, tg.randn((128, 784)), np.arange(128) % 10


def cnn():
    model = nn.Sequential(
        *(nn.Conv2D(1, 8, 3, padding=1), nn.BatchNorm(8), nn.ReLU(), nn.MaxPool2D(2)),
        *(nn.Flatten(), nn.Dense(8 * 14 * 14, 10)),
    )
    return model, tg.randn((16, 1, 28, 28)), np.arange(16) % 10


def gpt():
    model = nn.GPT(65, 32, 64, 2, 4)
    tokens = np.arange(8 * 32).reshape(8, 32) % 65
    return model, tg.Tensor(tokens), (tokens + 1) % 65


def training(build):
    """A function that takes one step, and one that returns all that a step changes, as bytes."""
    tg.seed(3)
    model, x, labels = build()
    optimizer = tg.optim.AdamW(model.parameters(), lr=1e-3)

    def step():
        loss = tg.losses.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def state():
        parts = [p.numpy().tobytes() for p in model.parameters()]
        for slot in optimizer.state_dict()["groups"][0]["params"]:
            parts += [slot["steps"], *(b.tobytes() for b in slot["buffers"].values())]
        return hash(tuple(parts))

    return step, state


def run_until_interrupted(step, alarms):
    """How many steps were taken before the exception of the timer arrived."""
    taken = 0
    try:
        alarms.set()
        while taken < MOST_STEPS:
            step()
            taken += 1
    except Interruption:
        return taken
    pytest.fail(f"no exception arrived within {MOST_STEPS} steps")


@pytest.mark.parametrize("build", [mlp, cnn, gpt])
def test_no_interruption_is_lost_and_no_state_is_torn(build):
    step, state = training(build)
    step()  # compiles

    taken, seen = 1, []
    with Alarms(np.random.default_rng(0), longest=0.02) as alarms:
        for _ in range(INTERRUPTIONS):
            taken += run_until_interrupted(step, alarms) + 1  # the last one may have been made
            seen.append(state())
    undisturbed_step, undisturbed_state = training(build)
    whole = set()
    for _ in range(taken):
        undisturbed_step()
        whole.add(undisturbed_state())
    torn = [i for i, now in enumerate(seen) if now not in whole]
    assert not torn, f"{len(torn)} of {len(seen)} states lie between two steps"


@tg.no_grad()
def unrecorded():
    return mode.grad


@tg.autocast("bfloat16")
def in_bfloat16():
    return mode.autocast


def inside(block):
    def enter_and_leave():
        with block():
            pass

    return enter_and_leave


def in_autocast():
    with tg.autocast("bfloat16"):
        tg.exp(HALF)  # which runs with autocast off, in float32


HALF = tg.ones(3, dtype="float16")
SWITCHES = {
    "no_grad": inside(tg.no_grad),
    "enable_grad": inside(tg.enable_grad),
    "debug": inside(tg.debug),
    "autocast": in_autocast,
    "a function without gradients": unrecorded,
    "a function in bfloat16": in_bfloat16,
    "the emulator": inside(lambda: emulator.run(checked=True)),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_off_after_its_block_whenever_an_alarm_rings(name):
    switch = SWITCHES[name]

    def modes():
        return dict(mode.changed), emulator.target._modes.mode

    usual = modes()
    with Alarms(np.random.default_rng(0), longest=5e-5) as alarms:
        for _ in range(3000):
            with contextlib.suppress(Interruption):
                alarms.set()
                while True:
                    switch()
            assert modes() == usual
        assert alarms.raised == 3000


@pytest.mark.parametrize("make", [mlp, gpt])
def test_a_checkpoint_that_is_interrupted_leaves_the_stream_and_the_modes(make):
    model, x, labels = make()
    usual = dict(mode.changed), mode.recomputing

    def step():
        dropped = tg.checkpoint(lambda x: tg.dropout(model(x), 0.5, training=True), x)
        loss = tg.losses.cross_entropy(dropped, labels)
        before = tg.get_rng_state()
        try:
            loss.backward()
        finally:
            seen.append(tg.get_rng_state() == before)

    seen = []
    step()  # compiles
    with Alarms(np.random.default_rng(0), longest=0.02) as alarms:
        for _ in range(100):
            with contextlib.suppress(Interruption):
                alarms.set()
                while True:
                    step()
            assert (dict(mode.changed), mode.recomputing) == usual
    assert all(seen)
