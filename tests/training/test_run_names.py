"""tg.Run: names and options that could not be saved or understood are refused, and named."""

import struct

import numpy as np
import pytest
from small_run import lines

import tinygrad_like as tg
from tinygrad_like import nn
from tinygrad_like.training import tensorboard


@pytest.mark.parametrize("name", ["train/loss", "top 5%", "a%2Fb", "/", "__metadata__"])
def test_a_metric_may_have_any_name(tmp_path, name):
    run = tg.Run(tmp_path)
    for step in run.steps(3):
        run.log(**{name: step, "other": 0})
    run = tg.Run(tmp_path, resume=True)
    assert run.history[name].values == [1, 2, 3]
    for step in run.steps(4):
        run.log(**{name: step})
    assert [row[name] for row in lines(tmp_path)] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["step", "epoch"])
def test_the_columns_of_the_run_are_no_metrics(tmp_path, name):
    run = tg.Run(tmp_path)
    for _ in run.steps(1):
        with pytest.raises(ValueError, match=rf"\['{name}'\] are the run's own columns"):
            run.log(**{name: 99, "loss": 1})
        run.log(loss=2)
    assert lines(tmp_path) == [{"step": 1, "loss": 2}]


def looped():
    found = {}
    found["itself"] = found
    return found


REFUSED = [
    ({"keep": {"settings": 1}}, ValueError, r"the names \['settings'\] are the run's own"),
    ({"keep": {"random": 1}}, ValueError, r"the names \['random'\] are the run's own"),
    ({"keep": {"model": 1}}, ValueError, r"the names \['model'\] are of parts"),
    ({"keep": {"vocab": {0: "a"}}}, TypeError, "keep cannot be saved: 'vocab' has the key 0"),
    ({"keep": {3: "a"}}, TypeError, "keep cannot be saved: has the key 3, expected a string"),
    ({"keep": {"a/b": 1}}, ValueError, "keep cannot be saved: has the key 'a/b'"),
    ({"keep": {"f": len}}, TypeError, "keep cannot be saved: 'f' is a builtin_function"),
    ({"keep": looped()}, ValueError, "keep cannot be saved: state is nested too deeply"),
    ({"keep": [1]}, TypeError, r"keep is a list.*, expected a dict"),
    ({"settings": {"a/b": 1}}, ValueError, "settings cannot be saved: has the key 'a/b'"),
    ({"settings": {"a": {1: 2}}}, TypeError, "settings cannot be saved: 'a' has the key 1"),
    ({"settings": [1]}, TypeError, r"settings is a list.*expected a dict: settings=vars\(args\)"),
    ({"may_differ": "resume"}, TypeError, "may_differ is 'resume', expected a tuple of names"),
    ({"may_differ": (1,)}, TypeError, r"may_differ is \(1,\), expected a tuple of names"),
    ({"monitor": 5}, TypeError, "monitor is 5, expected the name of a metric"),
    ({"monitor": ""}, TypeError, "monitor is '', expected the name of a metric"),
    ({"a/b": nn.Dense(1, 1)}, ValueError, r"the parts \['a/b'\] have"),
]


@pytest.mark.parametrize(("options", "error", "message"), REFUSED)
def test_what_could_not_be_saved_is_refused_before_the_run(tmp_path, options, error, message):
    with pytest.raises(error, match=rf"^\[Run\] .*{message}"):
        tg.Run(tmp_path / "run", model=nn.Dense(1, 1), **options)
    assert not (tmp_path / "run").exists()


def test_a_setting_may_be_nan(tmp_path):
    settings = {"clip": float("nan"), "list": [1, np.nan]}
    for _ in tg.Run(tmp_path, settings=settings).steps(1):
        pass
    assert tg.Run(tmp_path, settings=settings, resume=True).step == 1
    with pytest.raises(ValueError, match=r"of a run with {'clip': nan}, this one has {'clip': 1}"):
        tg.Run(tmp_path, settings=settings | {"clip": 1}, resume=True)


@pytest.mark.parametrize("name", ["Loss", "loss_train", "train/loss", "train_LOSS", "loss.1"])
def test_a_loss_of_any_spelling_has_to_be_finite(tmp_path, name):
    run = tg.Run(tmp_path)
    for _ in run.steps(1):
        run.log(glossary=np.inf, lossless=np.inf)  # these are none
        with pytest.raises(FloatingPointError, match=f"at step 1 the {name} is nan"):
            run.log(**{name: np.nan})


def test_a_misspelt_monitor_is_reported_once(tmp_path, capsys):
    data = tg.data.DataLoader(tg.data.Dataset(np.zeros(4)), 2)
    run = tg.Run(tmp_path, loader=data, monitor="acuracy", mode="max", patience=1)
    reports = []
    for _ in run.epochs(data, 3):
        run.log(accuracy=1, loss=1)
        reports.append(capsys.readouterr().err)
    run.finish("done")
    reports.append(capsys.readouterr().err)
    text = "monitor is 'acuracy', not logged so far; logged: 'accuracy', 'loss'\n"
    assert reports == ["", "", text, "", "", "", ""]
    run = tg.Run(tmp_path / "steps", monitor="accuracy")
    for _ in run.steps(2):
        pass
    assert capsys.readouterr().err == "monitor is 'accuracy', not logged so far; logged: nothing\n"


def test_a_mode_without_monitor_looks_for_a_name_that_says_it(tmp_path):
    run = tg.Run(tmp_path, mode="max")
    for step in run.steps(2):
        run.log(learning_rate=step, loss=1)
    assert run.best is None
    for step in run.steps(4):
        run.log(accuracy=step)
    assert run.best == ("accuracy", 4, 4)


def test_a_value_beyond_float32_is_infinite_in_an_event_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "is_installed", lambda: True)
    run = tg.Run(tmp_path)
    for _ in run.steps(1):
        run.log(perplexity=1e300)
        with pytest.raises(OverflowError, match="m is an int beyond the largest float"):
            run.log(m=10**400)
    (path,) = (tmp_path / "tensorboard").iterdir()
    assert b"perplexity\x15" + struct.pack("<f", np.inf) in path.read_bytes()
    assert lines(tmp_path) == [{"step": 1, "perplexity": 1e300}]


def test_options_that_may_differ_can_be_any_iterable(tmp_path):
    for resume, names in ((False, ["epochs"]), (True, (name for name in ["epochs"]))):
        settings = {"epochs": 1 + resume, "lr": 0.1}
        run = tg.Run(tmp_path, settings=settings, may_differ=names, resume=resume)
        run.save()
    with pytest.raises(ValueError, match="lr"):
        tg.Run(
            tmp_path, settings={"epochs": 3, "lr": 0.2}, may_differ=iter(["epochs"]), resume=True
        )
