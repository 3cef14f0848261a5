"""tg.Run that is stopped by Ctrl-C, an error or a loss of NaN, and resumed to the same bytes."""

import contextlib
import signal
import threading

import numpy as np
import pytest
from small_run import BATCHES, CHECKPOINT, LINES, SETTINGS, Training, contents, interrupt, lines

import tinygrad_like as tg

# Stopping


@pytest.mark.parametrize("step", range(1, 3 * BATCHES + 1))
def test_ctrl_c_ends_the_step_saves_and_leaves_to_the_same_bytes(tmp_path, step, capsys):
    """In the middle of an epoch, in its first and last step, and in the last step of all."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    Training(whole).train(3)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(tg.training.Interrupted) as caught:
        Training(parts).train(3, interrupt(step))
    assert caught.value.code == 130
    assert signal.getsignal(signal.SIGINT) is before
    said = capsys.readouterr()
    assert f"stopped at step {step}; to go on, resume from {parts / CHECKPOINT}" in said.out
    assert "finishing this step" in said.err
    state = tg.io.load(parts / CHECKPOINT)
    assert (state["step"], state["epoch"]) == (step, step // BATCHES)
    tg.seed(99)
    resumed = Training(parts, resume=True)
    tg.rand((5,))  # a program may draw numbers before its loop
    resumed.train(3)
    assert contents(parts) == contents(whole)


def test_a_loop_that_was_left_goes_on_within_its_epoch_in_the_same_process(tmp_path):
    """As in a notebook, whose cell is run again."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    Training(whole).train(3)
    training = Training(parts)
    for step in (2, 6, 7):
        with pytest.raises(tg.training.Interrupted):
            training.train(3, interrupt(step))
    training.train(3)
    assert contents(parts) == contents(whole)


def test_a_second_ctrl_c_leaves_at_once(tmp_path):
    before = signal.getsignal(signal.SIGINT)

    def press_twice(run):
        if run.step == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the step went on")

    training = Training(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        training.train(3, press_twice)
    assert signal.getsignal(signal.SIGINT) is before
    assert tg.io.load(tmp_path / CHECKPOINT)["step"] == 3, "the checkpoint is as it was"
    Training(tmp_path, resume=True).train(3)
    Training(tmp_path / "whole").train(3)
    assert contents(tmp_path) == contents(tmp_path / "whole")


def leave_by_break(training):
    for _ in training.run.epochs(training.loader, 3):
        if training.run.step == 4:
            break


def leave_by_error(training):
    with contextlib.suppress(ZeroDivisionError):
        for _ in training.run.epochs(training.loader, 3):
            if training.run.step == 4:
                raise ZeroDivisionError


def leave_by_loss(training):
    with contextlib.suppress(FloatingPointError):
        for _ in training.run.epochs(training.loader, 3):
            training.run.log(loss=float("nan"))


def leave_by_the_end(training):
    training.train(2)


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_error, leave_by_loss, leave_by_the_end])
def test_no_handler_and_no_bar_stays_however_the_loop_is_left(tmp_path, leave):
    from tqdm import tqdm

    before = signal.getsignal(signal.SIGINT)
    training = Training(tmp_path)
    leave(training)
    assert signal.getsignal(signal.SIGINT) is before
    assert not list(getattr(tqdm, "_instances", ()))
    training.train(4)  # and the run can go on
    assert training.run.epoch == 4


def test_a_handler_that_is_ignored_stays_so(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        Training(tmp_path).train(2, interrupt(2))
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_it_trains_in_another_thread_and_sets_no_handler_there(tmp_path):
    handlers, errors = [], []

    def work():
        try:
            Training(tmp_path).train(2, lambda run: handlers.append(signal.getsignal(2)))
        except BaseException as error:
            errors.append(error)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert not errors
    assert len(handlers) == 6
    assert set(handlers) == {before}
    assert len(lines(tmp_path)) == 6


@pytest.mark.parametrize(("value", "name"), [(np.nan, "loss"), (np.inf, "validation_loss")])
def test_a_loss_that_is_not_finite_stops_it_with_the_reason(tmp_path, value, name):
    training = Training(tmp_path)

    def log(run):
        if run.step == 5:
            run.log(**{name: tg.Tensor([value])})

    message = rf"^\[log\] at step 5 the {name} is {value}: lower the learning rate, or look for NaN"
    with pytest.raises(FloatingPointError, match=message):
        training.train(3, log)
    state = tg.io.load(tmp_path / CHECKPOINT)
    assert state["step"] == 3
    assert np.isfinite(state["history"]["metrics"]["loss"]["values"]).all()


# Resuming


def test_a_new_run_sets_the_files_of_an_older_one_aside(tmp_path, capsys):
    Training(tmp_path).train(1)
    older = contents(tmp_path)
    for count in (1, 2):
        training = Training(tmp_path)
        assert contents(tmp_path) == older, "nothing is moved before the loop begins"
        training.train(1)
        aside = f"checkpoint-{count}.safetensors", f"history-{count}.jsonl"
        assert f"holds an older run, which is now {', '.join(aside)}" in capsys.readouterr().out
        assert [(tmp_path / name).read_bytes() for name in aside] == list(older.values())


def test_to_resume_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="No such file or directory: no run can be resumed"):
        Training(tmp_path / "none", resume=True)
    assert not (tmp_path / "none").exists()


def test_a_run_with_other_settings_is_refused_by_their_names(tmp_path):
    Training(tmp_path).train(1)
    with pytest.raises(ValueError, match=r"of a run with {'lr': 0.1}, this one has {'lr': 0.2}"):
        Training(tmp_path, SETTINGS | {"lr": 0.2}, resume=True)
    Training(tmp_path, SETTINGS | {"lr": 0.1, "resume": True}, resume=True)


def test_settings_that_may_differ_are_not_compared(tmp_path):
    options = {"may_differ": ("epochs", "out")}
    Training(tmp_path, {"epochs": 1, "out": tmp_path, "lr": 1}, **options).train(1)
    run = Training(tmp_path, {"epochs": 2, "out": None, "lr": 1}, resume=True, **options).train(2)
    assert run.run.step == 6
    assert tg.io.load(tmp_path / CHECKPOINT)["settings"] == {"lr": 1}


def test_a_damaged_file_is_refused(tmp_path):
    Training(tmp_path).train(1)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(tg.io.FileError, match="truncated, altered or not a safetensors file"):
        Training(tmp_path, resume=True)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    training = Training(tmp_path)
    tg.io.Checkpoint(tmp_path / CHECKPOINT, SETTINGS, **training.run.checkpoint.parts).save(step=1)
    with pytest.raises(tg.io.FileError, match=r"is of no Run: it lacks \['epoch', 'reported', 'h"):
        Training(tmp_path, resume=True)


def test_lines_after_the_checkpoint_and_half_lines_are_gone_after_resuming(tmp_path):
    """A killed run leaves lines of steps that its checkpoint lacks; they are made again."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    Training(whole).train(3)
    training = Training(parts)
    for step, _ in enumerate(training.run.epochs(training.loader, 3), 1):
        training.run.log(loss=1.0)
        if step == BATCHES + 2:
            break  # without a save, as if it were killed
    Training(parts).train(1)
    with (parts / LINES).open("a") as file:
        file.write('{"step": 4, "loss": 9.0}\n{"step": 5, "lo')
    Training(parts, resume=True).train(3)
    assert contents(parts) == contents(whole)


def test_the_checkpoint_is_written_by_its_age(tmp_path):
    saved = []

    def look(run):
        path = tmp_path / CHECKPOINT
        saved.append(tg.io.load(path)["step"] if path.exists() else 0)

    Training(tmp_path, save_every=0).train(2, look)
    assert saved == [0, 1, 2, 3, 4, 5], "after each step"
    saved.clear()
    (tmp_path / CHECKPOINT).unlink()
    Training(tmp_path, save_every=3600).train(2, look)
    assert saved == [0, 0, 0, 3, 3, 3], "at the end of an epoch"
