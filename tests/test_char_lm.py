"""The character language model as a user runs it, and the GPT inside it."""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like import nn

SCRIPT = Path(__file__).parent.parent / "examples" / "char_lm.py"
TINY = "--layers 1 --width 8 --heads 2 --context 8 --batch 4 --eval-every 20 --warmup 5".split()


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("char_lm_example", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("to be, or not to be: that is the question. " * 30, encoding="utf-8")
    return path


def run(*options):
    command = [sys.executable, str(SCRIPT), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("model", ["gpt", "lstm", "gru"])
def test_it_trains_evaluates_writes_and_draws(model, text, tmp_path):
    out = tmp_path / "out"
    result = run("--model", model, "--text", text, "--out", out, "--iters", 40, *TINY)
    assert result.returncode == 0, result.stderr
    assert "step 40: training loss" in result.stdout
    assert "validation loss" in result.stdout
    assert (out / "report.png").read_bytes().startswith(b"\x89PNG")

    result = run("--sample", "to be", "--out", out, "--length", 20)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.rstrip("\n")) == 25
    assert result.stdout.startswith("to be")


def test_stopped_by_ctrl_c_it_resumes_to_the_same_bytes(text, tmp_path):
    options = ("--text", text, "--iters", 600, "--dropout", 0.1, *TINY[:-4], "--eval-every", 100)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(*options, "--out", whole).returncode == 0
    command = [sys.executable, str(SCRIPT), *map(str, options), "--out", str(parts)]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env=os.environ | {"PYTHONUNBUFFERED": "1"}
        )
    while "step 100:" not in log.read_text() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130, log.read_text()
    assert 100 <= len(tg.io.load(parts / "checkpoint.safetensors")["losses"]) < 600
    assert run(*options, "--out", parts, "--resume").returncode == 0
    name = "checkpoint.safetensors"
    assert (whole / name).read_bytes() == (parts / name).read_bytes()


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", (), "[Vocabulary] the text is empty"),
        ("aaaaaaaaaa", (), "[Vocabulary] the text has one distinct character, 'a'"),
        ("abc" * 10, (), "a tenth of text.txt is held out, 3 characters: expected more than"),
        ("abc" * 100, ("--heads", 3), "expected a divisor of d_model=8"),
        ("abc" * 100, ("--resume",), "No such file or directory"),
    ],
)
def test_what_cannot_be_learned_is_refused(content, options, message, text, tmp_path):
    text.write_text(content)
    result = run("--text", text, "--out", tmp_path / "out", *TINY, *options)
    assert result.returncode != 0
    assert message in result.stderr


def test_checkpoints_that_do_not_fit_and_prompts_that_are_unknown_are_refused(text, tmp_path):
    out = tmp_path / "out"
    assert run("--text", text, "--out", out, "--iters", 20, *TINY).returncode == 0
    for options, message in (
        (("--sample", "Ωmega"), "the vocabulary lacks 'g', 'm', 'Ω'"),
        (("--sample", ""), "[sample] the prompt is empty"),
        (("--text", text, "--iters", 30, "--resume", *TINY), "[resume]"),
    ):
        result = run("--out", out, *options)
        assert result.returncode != 0
        assert message in result.stderr
    tg.io.save(out / "checkpoint.safetensors", {"weight": np.ones(3)})
    assert "holds no character model" in run("--out", out, "--sample", "to").stderr
    (out / "checkpoint.safetensors").write_bytes(b"cut")
    assert "not a safetensors file" in run("--out", out, "--sample", "to").stderr


def test_temperature_top_k_and_top_p_choose_among_the_likeliest(example):
    logits = np.log([0.05, 0.5, 0.3, 0.15])

    def drawn(**options):
        args = argparse.Namespace(**{"temperature": 1.0, "top_k": None, "top_p": 1.0, **options})
        random = np.random.default_rng(0)
        counts = np.bincount([example.choose(logits, random, args) for _ in range(4000)])
        return counts / counts.sum()

    np.testing.assert_allclose(drawn(), [0.05, 0.5, 0.3, 0.15], atol=0.03)
    np.testing.assert_allclose(drawn(top_k=2), [0, 0.625, 0.375], atol=0.03)
    np.testing.assert_allclose(drawn(top_p=0.6), [0, 0.625, 0.375], atol=0.03)
    np.testing.assert_array_equal(drawn(top_p=0.0), [0, 1])
    np.testing.assert_array_equal(drawn(temperature=0), [0, 1])
    assert drawn(temperature=0.3)[1] > 0.75


def test_a_gpt_with_a_cache_writes_on_past_its_context(example):
    tg.seed(0)
    model = example.TransformerLM(11, 8, 16, 2, 2).eval()
    ids = np.random.default_rng(0).integers(0, 11, 30)
    state = None
    with tg.no_grad():
        for t in range(30):
            logits, state = model.continued(ids[t : t + 1], state)
            seen, cache = state
            expected = model(seen[None])[0, -1]
            np.testing.assert_allclose(logits.numpy(), expected.numpy(), atol=1e-5)
            assert cache.length == len(seen) <= 8
            np.testing.assert_array_equal(seen, ids[t + 1 - len(seen) : t + 1])


def test_a_gpt_predicts_each_token_from_those_before_it():
    tg.seed(0)
    model = nn.GPT(11, 8, 16, 2, 2)
    ids = np.random.default_rng(0).integers(0, 11, (2, 8))
    changed = ids.copy()
    changed[:, 5] = (ids[:, 5] + 1) % 11
    a, b = model(ids).numpy(), model(changed).numpy()
    assert a.shape == (2, 8, 11)
    np.testing.assert_array_equal(a[:, :5], b[:, :5])
    assert (np.abs(a[:, 5:] - b[:, 5:]).max(axis=(0, 2)) > 0).all()
    labels = np.random.default_rng(1).integers(0, 11, (2, 8))
    loss = tg.losses.cross_entropy(model(ids), labels).item()
    assert abs(loss - np.log(11)) < 0.1, "a new model should know no more than chance"


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        (np.zeros(3, int), ValueError, r"\[GPT\] ids are \(3,\), expected \(N, T\)"),
        (np.zeros((1, 9), int), ValueError, r"\[GPT\] the sequence has 9 tokens.*context of 8"),
        (np.full((1, 3), 11), IndexError, r"ids contain 11, expected 0 to 10 \(in model.token\)"),
        (np.zeros((1, 3)), TypeError, r"ids have dtype float64, expected integers"),
        ([[1, 2]], TypeError, r"\[GPT\] ids is a list, expected a Tensor or an array"),
    ],
)
def test_ids_that_do_not_fit_a_gpt_are_refused(ids, error, message):
    with pytest.raises(error, match=message):
        nn.GPT(11, 8, 16, 1, 2)(ids)
