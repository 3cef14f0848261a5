"""A run that is killed, again and again, ends with the bytes of one that nothing disturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ctrl_c import needs_ctrl_c
from small_run import CHECKPOINT, LINES

import tinygrad_like as tg

SCRIPT = Path(__file__).parents[1] / "support" / "trained_digits.py"
KILLS = 20


def command(folder, epochs, save_every, *options):
    return [sys.executable, "-W", "error", str(SCRIPT), str(folder), epochs, save_every, *options]


def run(*arguments):
    result = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    return result.stdout


def kill(folder, rng, longest, *arguments):
    """Start a process, and kill it at a random moment after its first save; the step of the file.

    That it saved is seen by the file's time. Returns None if the process came to its end first.
    """
    path = folder / CHECKPOINT
    resume = ("--resume",) if path.exists() else ()
    before = path.stat().st_mtime_ns if resume else 0
    with subprocess.Popen(
        command(folder, *arguments, *resume), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while process.poll() is None and not (path.exists() and before < path.stat().st_mtime_ns):
            time.sleep(0.001)
        time.sleep(rng.uniform(0, longest))
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read().decode()
            return None
        process.kill()
    return tg.io.load(path)["step"]  # the file is whole


def killed_to_the_end(tmp_path, kills, epochs, save_every, longest, *options):
    """Kill a run `kills` times and compare its files in the end.

    Returns the step of the checkpoint after each kill.
    """
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole, epochs, "30", *options)
    seed = random.randrange(10**6)
    rng, steps = random.Random(seed), []
    for _ in range(kills):
        steps.append(kill(parts, rng, longest, epochs, save_every, "--sleep", "0.003", *options))
        assert steps[-1] is not None, f"seed {seed}: it ended after the steps {steps}"
    assert steps == sorted(set(steps)), f"seed {seed}: it came to the steps {steps}"
    run(parts, epochs, "30", "--resume", *options)
    for name in (CHECKPOINT, LINES):
        same = (parts / name).read_bytes() == (whole / name).read_bytes()
        assert same, f"seed {seed}: {name} differs after kills at the steps {steps}"
    assert sorted(os.listdir(parts)) == sorted(os.listdir(whole))
    state = tg.io.load(parts / CHECKPOINT)
    assert state["step"] > steps[-1]
    assert state["average"]["updates"] == state["step"]
    return steps


@pytest.mark.long
def test_killed_at_20_random_moments_it_comes_to_the_bytes_of_an_undisturbed_run(tmp_path):
    """It saves after each step, so that many of the moments lie in a save and in an epoch."""
    steps = killed_to_the_end(tmp_path, KILLS, "60", "0", 0.1)
    assert sum(step % 23 > 0 for step in steps) > KILLS // 2, f"not within epochs: {steps}"


@pytest.mark.long
def test_mnist_killed_at_20_random_moments_comes_to_the_same_bytes(tmp_path):
    try:
        tg.data.mnist(progress=False)
    except tg.data.DataUnavailable as error:
        pytest.skip(f"there is no MNIST here: {error}")
    killed_to_the_end(tmp_path, KILLS, "12", "0.05", 0.2, "--mnist")


@pytest.mark.long
@needs_ctrl_c
def test_ctrl_c_at_any_moment_keeps_a_checkpoint_and_leaves(tmp_path):
    rng = random.Random()
    folder = tmp_path / "run"
    for attempt in range(8):
        resume = ("--resume",) if attempt else ()
        with subprocess.Popen(
            command(folder, "40", "0.05", "--sleep", "0.003", *resume),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            while process.poll() is None and not (folder / LINES).exists():
                time.sleep(0.01)
            if attempt:
                process.stdout.readline()  # an epoch ended: it is under way
            time.sleep(rng.uniform(0.05, 0.3))
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 130, (out, err)
        assert "to go on, resume from" in out
        assert "Traceback" not in err
        step = tg.io.load(folder / CHECKPOINT)["step"]
        assert f"stopped at step {step};" in out
    run(tmp_path / "whole", "40", "30")
    run(folder, "40", "30", "--resume")
    for name in (CHECKPOINT, LINES):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


NOTEBOOK = """
import io, sys
class OutStream(io.StringIO):  # as a notebook's: no terminal, no file descriptor
    def fileno(self):
        raise io.UnsupportedOperation("fileno")
sys.stdout, sys.stderr, console = OutStream(), OutStream(), sys.stdout
import signal, types
sys.modules["ipykernel"] = types.ModuleType("ipykernel")
sys.path.insert(0, sys.argv[1])
import tinygrad_like as tg
from trained_digits import parts, train
data, test = tg.data.digits()
model, named = parts(data)
run = tg.Run(sys.argv[2], **named)
def press(run):
    if run.step == 30:
        signal.raise_signal(signal.SIGINT)
try:
    train(run, 3, test, press)
except tg.training.Interrupted:
    print("interrupted")
train(run, 3, test)  # the cell is run again
run.plot("report.png")
console.write(sys.stdout.getvalue())
assert run.step == 69, run.step
assert not run._running
"""


def test_it_serves_a_notebook_without_a_terminal(tmp_path):
    command = [sys.executable, "-W", "error", "-c", NOTEBOOK, str(SCRIPT.parent), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    for text in ("epoch 1/3: loss", "stopped at step 30", "interrupted", "epoch 3/3: loss"):
        assert text in result.stdout, result.stdout
    assert (tmp_path / "report.png").exists()
