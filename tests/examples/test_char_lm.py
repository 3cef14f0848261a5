"""The character language model as a user runs it, and the GPT inside it."""

import importlib
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from ctrl_c import needs_ctrl_c, stop_by_ctrl_c

import tinygrad_like as tg

pytestmark = pytest.mark.long

SCRIPT = Path(__file__).parents[2] / "examples" / "char_lm.py"
NAME = "checkpoint.safetensors"
TINY = "--layers 1 --width 8 --heads 2 --context 8 --batch 4 --eval-every 20 --warmup 5".split()


@pytest.fixture(scope="module")
def example():
    """The example as a module, beside its data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        yield importlib.import_module("char_lm")


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("to be, or not to be: that is the question. " * 30, encoding="utf-8")
    return path


def command(*options):
    return [sys.executable, str(SCRIPT), *map(str, options)]


def run(*options):
    return subprocess.run(command(*options), capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("model", ["gpt", "lstm", "gru"])
def test_it_trains_evaluates_writes_and_draws(model, text, tmp_path):
    out = tmp_path / "out"
    result = run("--model", model, "--text", text, "--out", out, "--iters", 40, *TINY)
    assert result.returncode == 0, result.stderr
    assert "step 40: loss" in result.stdout
    assert "validation loss" in result.stdout
    assert (out / "report.png").read_bytes().startswith(b"\x89PNG")

    result = run("--sample", "to be", "--out", out, "--length", 20)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.rstrip("\n")) == 25
    assert result.stdout.startswith("to be")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_it_trains_in_mixed_precision_and_writes_from_float32_weights(dtype, text, tmp_path):
    options = ("--text", text, "--out", tmp_path, *TINY, "--autocast", dtype)
    result = run(*options, "--iters", 40)
    assert result.returncode == 0, result.stderr
    assert ("0 of 40 steps overflowed" in result.stdout) == (dtype == "float16")
    assert not result.stderr.count("Warning")
    state = tg.io.load(tmp_path / NAME)
    assert {array.dtype for array in state["model"].values()} == {np.dtype(np.float32)}
    assert len(run("--sample", "to be", "--out", tmp_path, "--length", 20).stdout) == 26


@needs_ctrl_c
@pytest.mark.parametrize("precision", [(), ("--autocast", "float16")])
def test_stopped_by_ctrl_c_it_resumes_to_the_same_bytes(precision, text, tmp_path):
    options = ("--text", text, "--iters", 600, "--dropout", 0.1, *TINY[:-4], "--eval-every", 100)
    options += precision
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(*options, "--out", whole).returncode == 0
    stop_by_ctrl_c(command(*options, "--out", parts), tmp_path / "log", after="step 100:")
    assert 100 <= tg.io.load(parts / NAME)["step"] < 600
    assert run(*options, "--out", parts, "--resume").returncode == 0
    assert (whole / NAME).read_bytes() == (parts / NAME).read_bytes()


def test_killed_ten_times_it_comes_to_the_bytes_of_an_undisturbed_run(text, tmp_path):
    """Each time at a random moment, of which a third falls into the saving of the file."""
    options = ("--text", text, "--iters", 1200, "--dropout", 0.1, *TINY, "--eval-every", 600)
    whole, parts, steps = tmp_path / "whole", tmp_path / "parts", []
    assert run(*options, "--out", whole).returncode == 0
    path, rng, resume = parts / NAME, random.Random(), ()
    for _ in range(10):
        before = mtime(path) if resume else 0
        again = command(*options, "--save-every", 0.02, "--out", parts, *resume)
        with subprocess.Popen(again, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            while process.poll() is None and not (path.exists() and before < mtime(path)):
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.15))
            assert process.poll() is None, f"ended by itself: {process.stderr.read().decode()}"
            process.kill()
        steps.append(tg.io.load(path)["step"])
        resume = ("--resume",)
    assert 0 < steps[0] < steps[-1] < 1200
    assert steps == sorted(set(steps)), f"runs that were killed came to the steps {steps}"
    result = run(*options, "--out", parts, *resume)
    assert result.returncode == 0, result.stderr
    assert path.read_bytes() == (whole / NAME).read_bytes(), f"killed after the steps {steps}"
    assert sorted(os.listdir(parts)) == sorted(os.listdir(whole))


def mtime(path):
    return path.stat().st_mtime_ns


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", (), "[Vocabulary] the text is empty"),
        ("aaaaaaaaaa", (), "[Vocabulary] the text has one distinct character, 'a'"),
        ("abc" * 10, (), "a tenth of text.txt is held out, 3 characters: expected more than"),
        ("abc" * 100, ("--heads", 3), "expected a divisor of d_model=8"),
        ("abc" * 100, ("--resume",), "No such file or directory"),
        ("abc" * 100, ("--device", "tpu"), "tpu"),
        ("abc" * 100, ("--text", "nowhere.txt"), "No such file or directory: 'nowhere.txt'"),
        (b"\xff\xfe", (), "text.txt is no text in UTF-8: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_what_cannot_be_learned_is_refused(content, options, message, text, tmp_path):
    text.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_refused(("--text", text, "--out", tmp_path / "out", *TINY, *options), message)


def assert_refused(options, message):
    result = run(*options)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--iters", "0", "at least 1"),
        ("--eval-every", "0", "at least 1"),
        ("--save-every", "-1.0", "at least 0"),
        ("--clip", "nan", "at least 0"),
        ("--length", "-1", "at least 0"),
        ("--temperature", "-0.5", "at least 0"),
        ("--top-k", "0", "at least 1"),
        ("--top-p", "1.5", "0 to 1"),
        ("--top-p", "-0.1", "0 to 1"),
    ],
)
def test_options_out_of_range_are_refused(example, capsys, option, value, expected):
    with pytest.raises(SystemExit):
        example.parse([f"{option}={value}"])
    assert (
        f"error: argument {option}: got {value}, expected {expected}\n" in capsys.readouterr().err
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The text that a tiny model was trained on, and the folder with its checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text("to be, or not to be: that is the question. " * 30)
    options = ("--text", folder / "text.txt", "--out", folder, "--iters", 20, *TINY)
    assert run(*options).returncode == 0
    return folder


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("Ωmega", "the vocabulary lacks 'g', 'm', 'Ω'; it has ' ,.:abehinoqrstu'"),
        ("", "[generate] the prompt is empty"),
    ],
)
def test_a_prompt_that_it_cannot_read_is_refused(trained, prompt, message):
    assert_refused(("--out", trained, "--sample", prompt), message)


def truncate(folder):
    (folder / NAME).write_bytes((folder / NAME).read_bytes()[:-5])


def save_something_else(folder):
    tg.io.save(folder / NAME, {"weight": np.ones(3)})


def change_the_text(folder):
    text = (folder / "text.txt").read_text()
    (folder / "text.txt").write_text(text[1:] + text[:1])


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (None, ("--width", 16), "of a run with {'width': 8}, this one has {'width': 16}; give the"),
        (None, ("--autocast", "float16"), "of a run with {'autocast': None}, this one has"),
        (None, ("--clip", 2), "of a run with {'clip': 1.0}, this one has {'clip': 2.0}; give the"),
        (change_the_text, (), "is of a run with {'crc32': "),
        (save_something_else, (), "is the file of something else: it lacks ['batches', 'model', "),
        (truncate, (), f"{NAME} is truncated, altered or not a safetensors file"),
    ],
)
def test_a_run_does_not_go_on_from_what_does_not_fit(trained, tmp_path, change, options, message):
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    if change is not None:
        change(folder)
    fixed = ("--text", folder / "text.txt", "--out", folder, "--iters", 20, *TINY)
    assert_refused((*fixed, *options, "--resume"), message)


def test_no_sample_is_drawn_from_what_is_no_checkpoint(tmp_path):
    assert_refused(("--out", tmp_path, "--sample", "to"), "No such file or directory")
    save_something_else(tmp_path)
    assert_refused(("--out", tmp_path, "--sample", "to"), "holds no character model")
    truncate(tmp_path)
    assert_refused(("--out", tmp_path, "--sample", "to"), "not a safetensors file")


def test_a_sample_depends_on_its_seed_and_on_a_prompt_of_any_length(trained):
    said = {
        seed: run("--out", trained, "--sample", "be, or not " * 3, "--seed", seed).stdout
        for seed in (0, 1)
    }
    assert said[0] != said[1]
    assert all(text.startswith("be, or not " * 3) for text in said.values())
    assert [len(text) for text in said.values()] == [33 + 500 + 1] * 2
