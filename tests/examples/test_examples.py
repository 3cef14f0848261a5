"""The examples as a user runs them, and the README's code as it stands."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ctrl_c import needs_ctrl_c, stop_by_ctrl_c
from needed import needs_emulator
from tinygrad_like.kernels.cuda import emulator

import tinygrad_like as tg

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """A machine without MNIST and without a network."""
    monkeypatch.setenv("TINYGRAD_LIKE_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", "http://127.0.0.1:9")  # nothing listens there
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", "http://127.0.0.1:9")
    return tmp_path


def command(*options):
    return [sys.executable, str(ROOT / "examples" / "mnist.py"), *options]


def run(*options):
    return subprocess.run(command(*options), capture_output=True, text=True, timeout=300)


def test_mnist_without_a_network_trains_on_the_digits_of_the_package(offline):
    out = offline / "out"
    result = run("--epochs", "2", "--batch-size", "32", "--out", str(out))
    assert result.returncode == 0, result.stderr
    assert "tg.data.digits() instead" in result.stdout
    assert "epoch 2/2" in result.stdout
    assert tg.io.load(out / "model.safetensors")["1.weight"].shape == (64, 128)
    assert (out / "report.png").read_bytes().startswith(b"\x89PNG")


SMALL = {
    "mnist": "--hidden 8 --epochs 1 --batch-size 512",
    "char_lm": "--iters 2 --batch 2 --context 16 --width 16 --layers 1 --heads 2 --length 5",
    "translate": "--examples 64 --test-examples 4 --epochs 1 --width 8",
    "classify_text": "--epochs 1 --width 8 --heads 1 --length 8 --batch 1024",
}


@needs_emulator
@pytest.mark.parametrize("name", SMALL)
def test_an_example_trains_on_another_device(name, offline):
    text = offline / "text.txt"
    text.write_text("the quick brown fox jumps over the lazy dog. " * 40)
    options = [*SMALL[name].split(), "--device", "cuda-emulator", "--out", str(offline / "out")]
    options += ["--text", str(text)] if name == "char_lm" else []
    program = str(ROOT / "examples" / f"{name}.py")
    result = subprocess.run([sys.executable, program, *options], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "everything is in" in result.stdout


@pytest.mark.parametrize("model", ["mlp", "cnn"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mnist_trains_in_mixed_precision_and_keeps_float32_weights(model, dtype, offline):
    result = run("--model", model, "--epochs", "2", "--autocast", dtype, "--out", str(offline))
    assert result.returncode == 0, result.stderr
    assert ("0 of 24 steps overflowed" in result.stdout) == (dtype == "float16")
    assert not result.stderr.count("Warning")
    weights = tg.io.load(offline / "model.safetensors").values()
    assert {array.dtype for array in weights} == {np.dtype(np.float32)}


@needs_ctrl_c
@pytest.mark.parametrize("precision", [(), ("--autocast", "float16")])
def test_mnist_stopped_by_ctrl_c_resumes_to_the_same_bytes(precision, offline):
    options = ("--model", "cnn", "--epochs", "2", "--batch-size", "8", *precision)
    whole, parts = offline / "whole", offline / "parts"
    assert run(*options, "--out", str(whole)).returncode == 0

    parts.mkdir()
    stop_by_ctrl_c(command(*options, "--out", str(parts)), parts / "log", after="epoch 1/2:")
    state = tg.io.load(parts / "checkpoint.safetensors")
    assert state["epoch"] == 1, "it stopped outside the second epoch"
    assert 0 < state["loader"]["batch"] < 180, "it stopped at no batch within the epoch"
    assert not (parts / "model.safetensors").exists()

    assert run(*options, "--out", str(parts), "--resume").returncode == 0
    for name in ("model.safetensors", "checkpoint.safetensors"):
        assert (whole / name).read_bytes() == (parts / name).read_bytes()


def test_mnist_refuses_to_resume_another_model(offline):
    out = str(offline / "out")
    assert run("--epochs", "1", "--out", out).returncode == 0
    result = run("--epochs", "2", "--model", "cnn", "--out", out, "--resume")
    assert result.returncode != 0
    assert "is of a run with {'model': 'mlp'}, this one has {'model': 'cnn'}" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--epochs", "0"), "argument --epochs: got 0, expected at least 1"),
        (("--batch-size", "0"), "[DataLoader] batch_size is 0, expected a positive integer"),
        (("--lr", "-1"), "[Adam] lr is -1.0"),
        (("--device", "tpu"), "tpu"),
        (("--resume",), "No such file or directory"),
    ],
)
def test_mnist_refuses_in_a_line_what_it_cannot_do(offline, options, message):
    result = run(*options, "--out", str(offline / "out"))
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_mnist_stops_at_a_loss_that_is_no_number(offline):
    result = run("--epochs", "1", "--optimizer", "sgd", "--lr", "1e30", "--out", str(offline))
    assert result.returncode != 0
    assert "the loss is nan: lower the learning rate" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_code_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 13
    said = []
    for block in blocks:
        if "cuda-emulator" in block and emulator.problem():
            continue
        if "tg.onnx" in block and not importlib.util.find_spec("onnx_ir"):
            continue
        exec(compile(block, "README.md", "exec"), {})
        said.append(capsys.readouterr().out)
    assert float(said[0].split()[-1]) > 0.85, "the README's model learned little"
    assert "epoch 5/5: loss" in said[2]
    assert (tmp_path / "runs/digits/report.png").exists()


def test_the_first_steps_learn_the_digits():
    script = ROOT / "examples" / "first_steps.py"
    assert len(script.read_text().splitlines()) <= 30
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    share = re.search(r"([\d.]+)% of the test digits are right", result.stdout)
    assert float(share[1]) > 85, result.stdout


QUICK = {
    "mnist": "--epochs 1",
    "char_lm": "--layers 1 --width 8 --heads 2 --context 8 --batch 4 --iters 20 --eval-every 20",
    "translate": "--epochs 1 --width 8 --layers 1 --examples 200 --test-examples 50",
    "classify_text": "--epochs 1 --width 8 --length 16",
}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limits of this kind")
@pytest.mark.parametrize("name", QUICK)
def test_an_example_on_a_full_disk_says_so_in_a_line_and_trains_to_its_end(name, offline):
    out, text = offline / "out", offline / "text.txt"
    text.write_text("to be or not to be, that is the question " * 40)
    options = [*QUICK[name].split(), "--out", str(out), "--save-every", "0"]
    if name == "char_lm":
        options += ["--text", str(text)]
    script = str(ROOT / "examples" / f"{name}.py")
    code = (
        "import os, resource, runpy, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))\n"  # no file can be longer
        "sys.argv = sys.argv[1:]; sys.dont_write_bytecode = True\n"
        "sys.path.insert(0, os.path.dirname(sys.argv[0]))\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-c", code, script, *options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert f"could not write {out / 'checkpoint.safetensors'}: File too large" in result.stderr
    assert f"could not write {out / 'report.png'}: File too large" in result.stderr
    last = result.stdout.strip().splitlines()[-1]
    assert last.endswith(f"what could be written is in {out}"), last
    assert not list(out.glob("*.tmp"))
