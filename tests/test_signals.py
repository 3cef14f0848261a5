"""Signal handlers that raise (Ctrl-C, the notice of a preemption): none is lost, no state is torn.

A timer raises at random moments of a training loop. Each time the exception must arrive, and the
parameters and the optimizer must be as after some whole number of steps of a run that nothing
disturbed.
"""

import signal

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers")

INTERRUPTIONS = 60
MOST_STEPS = 400  # for one interruption: it was lost if there are more


class Interrupted(BaseException):
    """What the handler raises; like KeyboardInterrupt, no library catches it by accident."""


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


def run_until_interrupted(step):
    """How many steps were taken before the exception of the timer arrived."""
    taken = 0
    try:
        while taken < MOST_STEPS:
            step()
            taken += 1
    except Interrupted:
        return taken
    pytest.fail(f"no exception arrived within {MOST_STEPS} steps")


@pytest.mark.parametrize("build", [mlp, cnn, gpt])
def test_no_interruption_is_lost_and_no_state_is_torn(build):
    step, state = training(build)
    step()  # compiles

    def interrupt(number, frame):
        raise Interrupted

    rng = np.random.default_rng(0)
    taken, seen = 1, []
    handler = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(INTERRUPTIONS):
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-4, 0.02))
            taken += run_until_interrupted(step) + 1  # the last one may have been made
            seen.append(state())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    undisturbed_step, undisturbed_state = training(build)
    whole = set()
    for _ in range(taken):
        undisturbed_step()
        whole.add(undisturbed_state())
    torn = [i for i, now in enumerate(seen) if now not in whole]
    assert not torn, f"{len(torn)} of {len(seen)} states lie between two steps"
