"""bench/train.py: it trains the same model on both sides, and compares nothing else."""

import argparse
import copy
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from needed import imported

import tinygrad_like as tg
from tinygrad_like.interchange import load_torch

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
LANGUAGE_MODELS = pytest.mark.parametrize("task", ["gpt", "lstm"])


@pytest.fixture
def bench(monkeypatch):
    """The benchmark as a module, on a text that is always at hand."""
    monkeypatch.syspath_prepend(str(ROOT))
    text = tg.data.text_corpus()[:20_000]
    monkeypatch.setattr(tg.data, "tiny_shakespeare", lambda: text)
    return importlib.import_module("bench.train")


def both_sides(bench, task, tmp_path, *options):
    imported("torch")
    start = tmp_path / "start.safetensors"
    return [side(task, options, start) for side in (bench.our_side, bench.torch_side)]


@LANGUAGE_MODELS
def test_ten_steps_of_both_sides_have_the_same_losses_in_float32(bench, task, tmp_path):
    ours, theirs = both_sides(bench, task, tmp_path, "--batch=4", "--context=32", "--warmup=1")
    losses = np.array([[side.step() for _ in range(10)] for side in (ours, theirs)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert losses[0, -1] < losses[0, 0] - 0.2, f"they learned nothing: {losses[0]}"
    assert ours.steps == theirs.steps == 2000


@LANGUAGE_MODELS
def test_gradients_of_both_sides_are_the_same_in_float64(bench, task, tmp_path):
    ours, theirs = (side.model for side in both_sides(bench, task, tmp_path))
    torch = imported("torch")
    ours.to(np.float64)
    theirs.double()
    ids, labels = np.random.default_rng(0).integers(0, 50, (2, 4, 64))
    tg.losses.cross_entropy(ours(tg.Tensor(ids)), tg.Tensor(labels)).backward()
    logits = theirs(torch.from_numpy(ids)).flatten(0, 1)
    torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels).flatten()).backward()

    expected = copy.deepcopy(ours)  # PyTorch's gradients under our names
    grads = {k: p.grad for k, p in theirs.named_parameters() if p.grad is not None}
    zeros = {k: torch.zeros_like(p) for k, p in theirs.named_parameters()}
    load_torch(expected, zeros | grads, activation="gelu_tanh", norm_first=True)
    expected = dict(expected.named_parameters())
    for path, p in ours.named_parameters():
        np.testing.assert_allclose(
            p.grad.numpy(), expected[path].numpy(), rtol=1e-8, atol=1e-11, err_msg=path
        )


@LANGUAGE_MODELS
def test_both_sides_measure_the_same(bench, task, tmp_path):
    ours, theirs = both_sides(bench, task, tmp_path)
    np.testing.assert_allclose(ours.evaluate(), theirs.evaluate(), rtol=1e-6)


def compared(bench, monkeypatch, losses):
    reports = {
        name: {"result": 2.0, "seconds": 1.0, "losses": list(these)}
        for name, these in zip(bench.SIDES, losses, strict=True)
    }
    monkeypatch.setattr(bench, "run", lambda name, *_: reports[name])
    return bench.compare("gpt", argparse.Namespace(seed=0))


@pytest.mark.parametrize("wrong", [4.0 + 2e-4, np.nan])
def test_trainings_that_begin_otherwise_are_not_compared(bench, monkeypatch, wrong):
    losses = np.full((2, 60), 4.0)
    losses[1, 29] = wrong
    with pytest.raises(RuntimeError, match=r"gpt: at step 30 our loss is 4.0, PyTorch's"):
        compared(bench, monkeypatch, losses)


def test_trainings_may_part_later(bench, monkeypatch):
    losses = np.full((2, 60), 4.0)
    losses[1, 30] = 4.1
    row = compared(bench, monkeypatch, losses)
    assert (row["steps"], row["steps compared"]) == (60, 30)
    assert row["largest difference of their losses"] == 0


def test_saved_results_leave_those_of_other_tasks(bench, monkeypatch, tmp_path):
    imported("torch")
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results" / "train.json")
    for rows in ({"gpt": {"steps": 1}, "cnn": {"steps": 2}}, {"gpt": {"steps": 3}}):
        bench.save(rows)
    found = json.loads(bench.RESULTS.read_text())
    assert {task: row["steps"] for task, row in found.items()} == {"gpt": 3, "cnn": 2}
    assert "numpy" in found["gpt"]["machine"]
