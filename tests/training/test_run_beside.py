"""tg.Run: what a program does beside the steps changes neither them nor what is saved."""

import itertools
import signal
import time

import numpy as np
import pytest
from small_run import CHECKPOINT, LINES, contents

import tinygrad_like as tg
from tinygrad_like import nn

BATCHES, EPOCHS = 4, 3


def loader():
    data = tg.data.Dataset(np.arange(BATCHES * 2))
    return tg.data.DataLoader(data, 2, shuffle=True, seed=1)


class Listed:
    """A loader of another make: all that walk through it share one position."""

    def __init__(self):
        self.batch = 0
        self.order = np.arange(BATCHES)

    def __len__(self):
        return BATCHES

    def __iter__(self):
        while self.batch < BATCHES:
            self.batch += 1
            yield (self.order[self.batch - 1 : self.batch].copy(),)
        self.batch, self.order = 0, np.roll(self.order, 1)

    def state_dict(self):
        return {"batch": self.batch, "order": self.order}

    def load_state_dict(self, state):
        self.batch, self.order = state["batch"], state["order"]


def train(folder, beside=lambda run, data: None, *, make=loader, resume=False, stop=None):
    """Train on no model; (step, epoch_ended, batch) of each step."""
    data = make()
    run = tg.Run(folder, loader=data, resume=resume)
    seen = []
    for (batch,) in run.epochs(data, EPOCHS):
        run.log(loss=batch.sum())
        seen.append((run.step, run.epoch_ended, batch.tolist()))
        beside(run, data)
        if run.step == stop:
            run.save()
            break
    return seen


def walk(run, data):
    for _ in data:
        pass


def peek(run, data):
    next(iter(data), None)


def walk_and_save(run, data):
    for _ in itertools.islice(data, 2):
        run.save()


def at_the_end(run, data):
    if run.epoch_ended:
        walk(run, data)


def keep_walking():
    walks = []

    def beside(run, data):
        if run.step == 2:
            walks.append(iter(data))
        for other in walks:
            next(other, None)

    return beside


@pytest.mark.parametrize("beside", [walk, peek, walk_and_save, at_the_end, keep_walking()])
@pytest.mark.parametrize("make", [loader, Listed])
def test_a_walk_through_the_training_loader_does_not_change_the_steps(tmp_path, beside, make):
    expected = train(tmp_path / "plain", make=make)
    assert [ended for _, ended, _ in expected] == [False, False, False, True] * EPOCHS
    walked = tmp_path / "walked"
    assert train(walked, beside, make=make) == expected
    assert contents(walked) == contents(tmp_path / "plain")
    for stop in (3, 4, 6):
        folder = tmp_path / str(stop)
        first = train(folder, beside, make=make, stop=stop)
        assert first + train(folder, beside, make=make, resume=True) == expected
        assert contents(folder) == contents(tmp_path / "plain")


def test_a_walk_before_or_between_two_loops_does_not_change_the_steps(tmp_path):
    expected = train(tmp_path / "plain")
    data = loader()
    run = tg.Run(tmp_path / "walked", loader=data)
    seen = []
    for stop in (2, 4, 7, None):
        walk(run, data)
        peek(run, data)
        for (batch,) in run.epochs(data, EPOCHS):
            run.log(loss=batch.sum())
            seen.append((run.step, run.epoch_ended, batch.tolist()))
            if run.step == stop:
                break
    assert seen == expected
    assert contents(tmp_path / "walked") == contents(tmp_path / "plain")


def test_a_loop_of_steps_walks_through_its_loader_itself(tmp_path):
    data = loader()
    batches = iter(data)
    run = tg.Run(tmp_path, loader=data)
    for _, (batch,) in zip(run.steps(3), batches, strict=False):
        run.log(loss=batch.sum())
        run.save()
    assert tg.io.load(tmp_path / CHECKPOINT)["loader"]["batch"] == 3


# Files


@pytest.mark.parametrize(
    "write",
    [
        lambda run: run.save(),
        lambda run: run.write(CHECKPOINT, lambda path: path.write_text("other")),
        lambda run: run.plot("history.png"),
    ],
    ids=["save", "write", "plot"],
)
def test_files_of_an_older_run_are_set_aside_also_before_the_loop(tmp_path, write):
    train(tmp_path)
    older = contents(tmp_path)
    run = tg.Run(tmp_path)
    write(run)
    for _ in run.steps(1):
        pass
    aside = ["checkpoint-1.safetensors", "history-1.jsonl"]
    assert [(tmp_path / name).read_bytes() for name in aside] == list(older.values())
    assert not list(tmp_path.glob("*-2.*")), "they are set aside once"


def test_what_is_logged_after_the_loop_is_in_the_checkpoint(tmp_path):
    def run(folder, resume=False):
        model = nn.Dense(2, 2)
        run = tg.Run(folder, model=model, resume=resume)
        for _ in run.steps(2):
            run.log(loss=1)
        return model, run

    train_only = tmp_path / "train_only"
    run(train_only)
    model, whole = run(tmp_path)
    state = tg.io.load(tmp_path / CHECKPOINT)
    model.weight.data[...] = 0  # as an average would be there while the test runs
    tg.randn(3)
    whole.log(test_accuracy=0.5)
    lines = (tmp_path / LINES).read_bytes()
    after = tg.io.load(tmp_path / CHECKPOINT)
    assert after.pop("best") == ["test_accuracy", 0.5, 2]
    assert after["history"]["metrics"].pop("test_accuracy")["values"].tolist() == [0.5]
    np.testing.assert_equal(after, {k: v for k, v in state.items() if k != "best"})
    _, again = run(tmp_path, resume=True)
    assert again.history["test_accuracy"].values == [0.5]
    assert (tmp_path / LINES).read_bytes() == lines


def test_a_value_after_a_loop_that_was_left_stays_out_of_an_older_checkpoint(tmp_path):
    run = tg.Run(tmp_path)
    for step in run.steps(5):
        if step == 2:
            run.save()
        if step == 3:
            break
    before = (tmp_path / CHECKPOINT).read_bytes()
    run.log(accuracy=1)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


@pytest.mark.parametrize("progress", [{"note": 7}, "history"])
def test_a_checkpoint_of_no_run_changes_nothing(tmp_path, progress):
    if progress == "history":
        progress = {"step": 1, "epoch": 0, "reported": 0, "history": 7, "best": None}
    tg.io.Checkpoint(tmp_path / CHECKPOINT, {}, model=nn.Dense(2, 2)).save(**progress)
    model = nn.Dense(2, 2)
    before, random = model.weight.numpy().copy(), tg.get_rng_state()
    with pytest.raises(tg.io.FileError, match=r"is of no Run.*nothing was changed"):
        tg.Run(tmp_path, model=model, resume=True)
    assert np.array_equal(model.weight.numpy(), before)
    assert tg.get_rng_state() == random


# Ctrl-C


def leave_by_break(run):
    for step in run.steps(5):
        if step == 2:
            signal.raise_signal(signal.SIGINT)
            break


def leave_by_return(run):
    for step in run.steps(5):
        if step == 2:
            signal.raise_signal(signal.SIGINT)
            return


def leave_by_close(run):
    steps = run.steps(5)
    next(steps)
    signal.raise_signal(signal.SIGINT)
    steps.close()


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_return, leave_by_close])
def test_ctrl_c_is_not_lost_when_the_loop_is_left_in_that_step(tmp_path, leave):
    run = tg.Run(tmp_path)
    before = signal.getsignal(signal.SIGINT)

    def program():
        leave(run)
        time.sleep(20)

    with pytest.raises(KeyboardInterrupt):
        program()
    assert signal.getsignal(signal.SIGINT) is before
    assert list(run.steps(7))[-1] == 7, "it comes once"


def test_ctrl_c_goes_on_to_the_handler_before(tmp_path):
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        leave_by_break(tg.Run(tmp_path))
        for _ in itertools.takewhile(lambda _: not heard, range(2000)):
            time.sleep(0.01)
        time.sleep(0.05)
        assert heard == [1]
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_is_not_handed_on_a_third_time(tmp_path):

    def program():
        for _ in tg.Run(tmp_path).steps(5):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        program()
    time.sleep(0.1)
