"""The searches of the examples: Optuna with pruning, and a grid on processes and on Dask."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from needed import imported

pytestmark = pytest.mark.long

EXAMPLES = Path(__file__).parents[2] / "examples"
PNG = b"\x89PNG"


def run(name, *options):
    program = str(EXAMPLES / f"{name}.py")
    result = subprocess.run(
        [sys.executable, program, *map(str, options)], capture_output=True, text=True, timeout=500
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_search_prunes_learns_and_draws(tmp_path):
    imported("optuna")
    said = run("search", "--trials", 9, "--epochs", 4, "--out", tmp_path)
    aside, others = map(float, re.findall(r"([\d.]+)%", said))
    assert aside > 90
    assert others > 80
    assert {"width", "dropout", "lr", "batch_size"} <= set(re.findall(r"'(\w+)':", said))
    assert (tmp_path / "search.png").read_bytes().startswith(PNG)


def test_a_trial_that_falls_behind_is_pruned(monkeypatch):
    optuna = imported("optuna")
    monkeypatch.syspath_prepend(EXAMPLES)
    import search

    train, _ = search.tg.data.digits()
    parts = search.train_test_split(*train.arrays, test_size=0.25, random_state=0)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=0)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for lr in (1e-2, 1e-4):
        study.enqueue_trial({"width": 8, "dropout": 0.0, "lr": lr, "batch_size": 32})
    study.optimize(lambda trial: search.objective(trial, parts, 3, 0), 2)
    good, bad = study.trials
    assert (good.state.name, bad.state.name) == ("COMPLETE", "PRUNED")
    assert (len(good.intermediate_values), len(bad.intermediate_values)) == (3, 1)


def test_a_trial_that_diverges_ends_alone(monkeypatch, tmp_path, capsys):
    imported("optuna")
    monkeypatch.syspath_prepend(EXAMPLES)
    import search

    trained = search.tg.sklearn.Classifier.partial_fit

    def diverges(self, *args, **options):
        if len(made) in bad:
            raise FloatingPointError("the loss is nan")
        return trained(self, *args, **options)

    def counted(trial, seed, propose=search.proposed):
        made.append(trial)
        return propose(trial, seed)

    monkeypatch.setattr(search.tg.sklearn.Classifier, "partial_fit", diverges)
    monkeypatch.setattr(search, "proposed", counted)
    options = ["--trials", "3", "--epochs", "1", "--out", str(tmp_path)]
    for wrong, code, said in (({2}, 0, "best settings"), ({1, 2, 3}, 1, "no trial came to its")):
        made, bad = [], wrong
        assert search.main(options) == code
        assert said in capsys.readouterr().out


def test_a_cluster_finds_what_processes_find(tmp_path):
    imported("distributed")
    options = "--epochs", 3, "--folds", 2, "--out", tmp_path
    ours, cluster = (run("cross_validate", *options, *o) for o in ((), ("--cluster", "local")))
    assert ours == cluster
    assert len(re.findall(r"% \+- ", ours)) == 8
    assert "macro avg" in ours
    assert (tmp_path / "confusion.png").read_bytes().startswith(PNG)
