"""tg.Run: its loop, its log and best value, the files that it writes, and misuse."""

import errno
from types import SimpleNamespace

import numpy as np
import pytest
import trained_digits
from needed import imported
from small_run import BATCHES, CHECKPOINT, Training, interrupt, lines

import tinygrad_like as tg
from tinygrad_like import files, nn
from tinygrad_like.training import run as program
from tinygrad_like.training import tensorboard

# The loop, as it is written


def test_the_loop_is_what_the_docstring_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train, test = tg.data.digits()
    model, parts = trained_digits.parts(train)

    def accuracy(model, test):
        images, labels = test.arrays
        return (tg.training.predict(model, images).argmax(axis=1) == labels).mean()

    names = {
        **{"tg": tg, "args": SimpleNamespace(lr=1e-2), "model": model, "test": test},
        **{"optimizer": parts["optimizer"], "loader": parts["loader"], "accuracy": accuracy},
    }
    text = program.__doc__
    exec(text[text.index("run = tg.Run(") :], names)
    run = names["run"]
    said = capsys.readouterr()
    assert said.out.count("epoch 1/3: loss ") == said.out.count("epoch 3/3: loss ") == 1, said
    assert "accuracy" in said.out
    assert "samples/s" in said.out
    assert said.err == "", "there is no bar without a terminal"
    assert (tmp_path / "runs/mnist/report.png").read_bytes().startswith(b"\x89PNG")
    assert run.step == 3 * len(parts["loader"])
    assert run.best.metric == "accuracy"
    assert run.best.value == max(run.history["accuracy"].values) > 0.5
    assert model.training


def test_every_step_has_a_line_and_the_checkpoint_the_same_history(tmp_path):
    run = Training(tmp_path).train(2).run
    rows = lines(tmp_path)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["epoch"] for row in rows] == [1, 1, 1, 2, 2, 2]
    assert [row.get("accuracy") for row in rows] == [None, None, 0.5, None, None, 0.51]
    assert [row["loss"] for row in rows] == run.history["loss"].values
    state = tg.io.load(tmp_path / CHECKPOINT)
    assert (state["step"], state["epoch"], state["best"]) == (6, 2, ["accuracy", 0.51, 6])
    kept = state["history"]["metrics"]["loss"]
    assert kept["values"].tolist() == run.history["loss"].values
    assert kept["steps"].tolist() == run.history["loss"].steps == [1, 2, 3, 4, 5, 6]


def test_steps_are_counted_for_programs_without_epochs(tmp_path, capsys):
    model = nn.Dense(1, 1)
    run = tg.Run(tmp_path, model=model)
    seen = []
    for step in run.steps(20):
        run.log(loss=1 / step)
        if step % 10 == 0:
            run.log(validation_loss=2 / step)
        seen.append(step)
    assert seen == list(range(1, 21))
    assert run.best == ("validation_loss", 0.1, 20)
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["step 10", "step 20"]
    mean = np.mean([1 / step for step in range(11, 21)])
    assert said[1].startswith(f"step 20: loss {mean:.4g}, validation loss 0.1, ")
    assert "epoch" not in lines(tmp_path)[0]
    again = tg.Run(tmp_path, model=model, resume=True)
    assert list(again.steps(22)) == [21, 22]


def test_other_metrics_may_be_infinite_and_are_null_in_the_lines(tmp_path):
    Training(tmp_path).train(1, lambda run: run.log(norm=np.inf))
    assert [row["norm"] for row in lines(tmp_path)] == [None] * 3


# The best value, early stopping


def stopping(folder, values, **options):
    """A run that has logged these values as accuracies, one each epoch, until it stopped."""
    training = Training(folder, **options)
    for _ in training.run.epochs(training.loader, len(values)):
        training.run.log(loss=1.0)
        if training.run.epoch_ended:
            training.run.log(accuracy=values[training.run.epoch])
    return training.run


def test_it_stops_when_the_metric_was_no_better_for_patience_values(tmp_path, capsys):
    options = {"monitor": "accuracy", "patience": 2}
    run = stopping(tmp_path, [0.5, 0.7, 0.6, 0.7, 0.9], **options)
    assert run.epoch == 4
    assert run.best == ("accuracy", 0.7, 2 * BATCHES)
    assert "stopped early: accuracy 70.00%, of step 6, was not beaten in 2 values" in (
        capsys.readouterr().out
    )
    again = stopping(tmp_path, [0.5, 0.7, 0.6, 0.7, 0.9], resume=True, **options)
    assert again.epoch == 4, "a resumed run knows that it had stopped"


def test_a_smaller_value_is_better_if_mode_says_so(tmp_path):
    run = stopping(tmp_path, [0.5, 0.7, 0.8, 0.1], monitor="accuracy", mode="min", patience=2)
    assert run.epoch == 3
    assert run.best == ("accuracy", 0.5, BATCHES)


def test_the_name_of_a_metric_says_which_value_is_better(tmp_path):
    run = Training(tmp_path).train(2).run
    assert run.best == ("accuracy", 0.51, 6)
    run = tg.Run(tmp_path / "loss", model=nn.Dense(1, 1))
    assert run.best is None
    for step in run.steps(3):
        run.log(loss=abs(step - 2), lr=1.0)
    assert run.best == ("loss", 0, 2)
    with pytest.raises(ValueError, match="is a smaller lr better\\? Give mode='min' or mode='max'"):
        tg.Run(tmp_path / "lr", monitor="lr")
    with pytest.raises(ValueError, match="patience needs a metric: give monitor='accuracy', too"):
        tg.Run(tmp_path / "patience", patience=3)
    assert not (tmp_path / "patience").exists()


# Files


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_reported_and_training_goes_on(tmp_path, monkeypatch, capsys):
    training = Training(tmp_path, save_every=0).train(1)
    good = (tmp_path / CHECKPOINT).read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(files, "write", full_disk)
        training.train(2)
        said = capsys.readouterr()
        assert f"could not write {tmp_path / CHECKPOINT}: No space left on device" in said.err
        assert said.err.count("could not write") == 2, "once for each file"
        assert training.run.epoch == 2
        assert (tmp_path / CHECKPOINT).read_bytes() == good
        assert training.run.finish("done") == 1
        assert "done; what could be written is in" in capsys.readouterr().out
        with pytest.raises(tg.training.Interrupted):
            training.train(3, interrupt(7))
        assert "resume from" not in capsys.readouterr().out
    training.train(3)
    assert training.run.finish("done") == 0
    assert [row["step"] for row in lines(tmp_path)] == list(range(1, 10))


def test_a_file_that_cannot_be_made_is_reported(tmp_path, capsys):
    run = Training(tmp_path).run

    def needs(package):
        raise ImportError(f"No module named {package!r}")

    assert run.write("a.txt", lambda path: path.write_text("text"))
    assert (tmp_path / "a.txt").read_text() == "text"
    assert run.write("picture.png", lambda path: needs("matplotlib"))
    assert "pip install 'tinygrad-like[examples]' brings it" in capsys.readouterr().out
    assert not run.write("b.txt", full_disk)
    assert run.finish("done") == 1


def test_what_a_program_keeps_is_in_the_checkpoint(tmp_path):
    Training(tmp_path, keep={"characters": "abc"}).train(1)
    assert tg.io.load(tmp_path / CHECKPOINT)["characters"] == "abc"
    with pytest.raises(ValueError, match=r"the names \['history', 'step'\] are the run's own"):
        Training(tmp_path, keep={"step": 1, "history": 2})


@pytest.mark.parametrize("installed", [True, False])
def test_event_files_are_written_where_tensorboard_is_installed(tmp_path, monkeypatch, installed):
    monkeypatch.setattr(tensorboard, "is_installed", lambda: installed)
    Training(tmp_path).train(1)
    Training(tmp_path, resume=True).train(2)
    assert (tmp_path / "tensorboard").exists() == installed
    if installed:
        assert len(list((tmp_path / "tensorboard").iterdir())) == 2


def test_the_checksum_of_an_event_is_a_masked_crc32c():
    crc = 0xE3069283  # of these bytes, in RFC 3720's sense
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert tensorboard._checksum(b"123456789") == masked.to_bytes(4, "little")


def test_event_files_are_read_by_tensorboard_s_own_messages(tmp_path, monkeypatch):
    proto = imported("tensorboardX.proto.event_pb2")
    monkeypatch.setattr(tensorboard, "is_installed", lambda: True)
    run = Training(tmp_path).train(1).run
    Training(tmp_path, resume=True).train(2)
    found = []
    for path in sorted((tmp_path / "tensorboard").iterdir()):
        content, events = path.read_bytes(), []
        while content:
            length = int.from_bytes(content[:8], "little")
            events.append(proto.Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
        found.append(events)
    first, second = found
    assert first[0].file_version == "brain.Event:2"
    assert (second[1].step, second[1].session_log.status) == (4, proto.SessionLog.START)
    pairs = [(e.step, v.simple_value) for e in first for v in e.summary.value if v.tag == "loss"]
    assert pairs == list(zip([1, 2, 3], np.float32(run.history["loss"].values), strict=True))


# Mistakes


def test_misuse_is_refused_with_the_cure(tmp_path):
    training = Training(tmp_path)
    run = training.run
    with pytest.raises(RuntimeError, match="the loop has not begun: log inside it, or after it"):
        run.log(loss=1.0)
    other = tg.data.DataLoader(training.loader.dataset, 2)
    with pytest.raises(ValueError, match=r"the loader is no part of the run.*Run\(..., loader=lo"):
        run.epochs(other, 3)
    batches = tg.data.TextBatches(np.arange(9), 2, 2)
    with pytest.raises(TypeError, match=r"expected a DataLoader.*count steps by run.steps\(n\)"):
        tg.Run(tmp_path / "b", batches=batches).epochs(batches, 3)
    for _ in run.epochs(training.loader, 1):
        with pytest.raises(TypeError, match=r"\[log\] loss is .*expected a single number"):
            run.log(loss=np.ones(3))
        with pytest.raises(TypeError, match=r"\[log\] name is"):
            run.log(name="a")
        with pytest.raises(RuntimeError, match="a loop of this run is under way"):
            next(run.epochs(training.loader, 1))
        run.log(loss=1, norm=np.float32(2), done=tg.Tensor([[3]]), flag=True)
    assert run.history["done"].values == [3.0] * BATCHES


def test_a_second_value_of_a_step_replaces_the_first_also_after_the_loop(tmp_path):
    run = Training(tmp_path).train(1).run
    for value in (0.9, 0.1, 0.2):
        run.log(accuracy=value)
    assert run.history["accuracy"].values == [0.2]
    assert [row.get("accuracy") for row in lines(tmp_path)] == [None, None, 0.2]
    assert run.best.value == 0.2


def test_a_best_value_that_is_replaced_is_best_no_longer(tmp_path):
    run = tg.Run(tmp_path, monitor="accuracy")
    for step in run.steps(3):
        run.log(accuracy=[0.5, 0.7, 0.9][step - 1])
        run.log(accuracy=[0.5, 0.7, 0.6][step - 1])
    assert run.best[1:] == (0.7, 2)
