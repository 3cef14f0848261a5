"""examples/classify_text.py as a user runs it, and the data that it learns from."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ctrl_c import needs_ctrl_c, stop_by_ctrl_c

import tinygrad_like as tg

pytestmark = pytest.mark.long

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ("--width", "16", "--heads", "2", "--epochs", "2", "--batch", "64")


@pytest.fixture
def example(monkeypatch):
    """The example as a module, beside its data."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    return importlib.import_module("classify_text")


def command(*options):
    return [sys.executable, str(EXAMPLES / "classify_text.py"), *options]


def run(*options):
    return subprocess.run(command(*options), capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with what a tiny run of the transformer leaves, and what it printed."""
    out = tmp_path_factory.mktemp("trained")
    result = run(*SMALL, "--model", "transformer", "--out", str(out))
    assert result.returncode == 0, result.stderr
    return out, result.stdout


def test_a_run_reports_all_scores_and_draws_them(trained):
    out, said = trained
    assert "epoch 2/2" in said
    rows = {line[:14].strip(): line[14:].split() for line in said.splitlines() if "%" in line}
    assert set(rows) >= {"transformer", "largest class"}
    assert all(len(rows[name]) == 4 for name in ("transformer", "largest class")), said
    assert "bag of words" in rows, said
    accuracy, constant = (float(rows[name][0][:-1]) for name in ("transformer", "largest class"))
    assert accuracy > constant + 10, said
    assert (out / "report.png").read_bytes().startswith(b"\x89PNG")


def test_a_text_gets_the_probability_of_each_module(trained, example):
    out, _ = trained
    text = "Return a header of the message, decoded by its charset.\n\nParse the MIME payload."
    result = run("--text", text, "--out", str(out))
    assert result.returncode == 0, result.stderr
    rows = [line.split()[:2] for line in result.stdout.splitlines()]
    assert sorted(name for name, _ in rows) == sorted(example.MODULES)
    probabilities = [float(p[:-1]) for _, p in rows]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(100, abs=1)
    unknown = run("--text", "Zzyzx qwrtp!", "--out", str(out))
    assert "none of its words is in the vocabulary" in unknown.stdout


@pytest.mark.parametrize("text", ["", "  \n\n", "12 + 3", "logging"])
def test_a_text_without_words_is_refused(trained, text):
    result = run("--text", text, "--out", str(trained[0]))
    assert result.returncode != 0
    assert f"[classify] the text {text!r} has no words" in result.stderr


def test_no_epochs_are_refused(example, capsys):
    with pytest.raises(SystemExit):
        example.parse(["--epochs", "0"])
    assert "error: argument --epochs: got 0, expected at least 1" in capsys.readouterr().err


def test_a_checkpoint_of_another_model_is_refused(trained, tmp_path):
    other = run(*SMALL, "--model", "lstm", "--out", str(trained[0]), "--resume")
    assert other.returncode != 0
    assert "is of a run with {'model': 'transformer', 'lr': 0.003}, this one has" in other.stderr
    assert "Traceback" not in other.stderr
    tg.io.save(tmp_path / "checkpoint.safetensors", {"settings": {"text": "tiny Shakespeare"}})
    foreign = run("--text", "Wait for it.", "--out", str(tmp_path))
    assert foreign.returncode != 0
    assert "[classify]" in foreign.stderr
    assert "is of another model" in foreign.stderr


@needs_ctrl_c
def test_a_run_stopped_by_ctrl_c_resumes_to_the_same_bytes(trained, tmp_path):
    options = (*SMALL, "--model", "transformer", "--out", str(tmp_path))
    stop_by_ctrl_c(command(*options), tmp_path / "log", after="epoch 1/2:")
    state = tg.io.load(tmp_path / "checkpoint.safetensors")
    assert state["epoch"] == 1, "it stopped outside the second epoch"
    assert run(*options, "--resume").returncode == 0
    whole, parts = (p / "checkpoint.safetensors" for p in (trained[0], tmp_path))
    assert whole.read_bytes() == parts.read_bytes()


def test_training_and_test_share_no_piece_and_no_docstring(example):
    training, test = example.collect(32, 0)
    found = [words for words, _ in training + test]
    assert len(found) == len(set(found)) > 2000
    assert {label for _, label in training} == {label for _, label in test}
    side = {words: i for i, part in enumerate((training, test)) for words, _ in part}
    first = {}  # a piece belongs to the docstring that has it first
    for name in example.MODULES:
        for text in sys.modules["docstrings"].docstrings(name):
            new = [w for w in example.cut(text, 32) if w not in first]
            first.update(dict.fromkeys(new, text))
            assert len({side[w] for w in new if w in side}) <= 1, f"{text!r} is on both sides"


def test_another_seed_splits_otherwise(example):
    assert example.collect(32, 0) == example.collect(32, 0)
    assert example.collect(32, 0)[1] != example.collect(32, 1)[1]


def test_no_piece_names_a_module(example):
    for words, label in (piece for part in example.collect(32, 0) for piece in part):
        named = [name for name in example.MODULES if any(name in word for word in words)]
        assert not named, f"{' '.join(words)!r} of {example.MODULES[label]} names {named}"
    assert example.cut("HTTPError of urllib.request in loggingConfig", 32) == [
        tuple("error of request in config".split())
    ]


def test_a_class_that_never_occurs_counts_as_wrong(example):
    found = sys.modules["baseline"].scores([0, 0, 1], [0, 1, 1], 4)
    assert found == pytest.approx(
        {"accuracy": 2 / 3, "precision": 0.375, "recall": 0.375, "F1": 1 / 3}
    )


def test_padding_changes_nothing(example):
    """Neither model sees what lies beyond the last word."""
    names = "model width layers heads length dropout"
    for model in example.ENCODERS:
        values = dict(zip(names.split(), (model, 8, 1, 2, 9, 0.0), strict=True))
        classifier = example.Classifier(type("Arguments", (), values), 20, 3).eval()
        ids = np.array([[4, 5, 6, 7]])
        expected = classifier(tg.Tensor(ids)).numpy()
        padded = classifier(tg.Tensor(np.pad(ids, ((0, 0), (0, 5))))).numpy()
        np.testing.assert_allclose(padded, expected, rtol=1e-5, atol=1e-6, err_msg=model)


def test_python_without_docstrings_is_told_so(tmp_path):
    interpreter, *rest = command("--out", str(tmp_path))
    optimized = [interpreter, "-OO", *rest]  # the first time, scikit-learn is compiled so, too
    result = subprocess.run(optimized, capture_output=True, text=True, timeout=300)
    assert result.returncode != 0
    assert "docstrings, expected at least 5: run Python without -OO" in result.stderr
