"""A run that is stopped, saved and resumed in a new process gives the same bytes as one at a go."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tinygrad_like as tg

pytestmark = pytest.mark.long

SCRIPT = Path(__file__).parents[1] / "support" / "resumable.py"
STEPS = 100


def command(path, until, every, *precision):
    options = map(str, (path, until, every, *precision))
    return [sys.executable, "-W", "error", str(SCRIPT), *options]


def run(path, until, *precision):
    """The bytes of the state after `until` steps, made by a process of its own."""
    result = subprocess.run(
        command(path, until, STEPS, *precision),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return path.read_bytes()


@pytest.fixture(scope="module")
def at_a_go(tmp_path_factory):
    return run(tmp_path_factory.mktemp("at_a_go") / "state.safetensors", STEPS)


def assert_same_state(path, expected):
    if path.read_bytes() == expected:
        return
    reference = path.with_name("expected.safetensors")
    reference.write_bytes(expected)
    found, wanted = tg.io.load(path), tg.io.load(reference)
    differ = [k for k in wanted if repr(found.get(k)) != repr(wanted[k])]
    pytest.fail(f"the resumed state differs in {differ or 'single bits'}")


@pytest.mark.parametrize("first", [50, 23, 1])
def test_two_processes_make_the_bytes_of_one(at_a_go, tmp_path, first):
    """Stopped in the middle of an epoch, at its last batch, and after the first step."""
    path = tmp_path / "state.safetensors"
    run(path, first)
    assert tg.io.load(path)["step"] == first
    run(path, STEPS)
    assert_same_state(path, at_a_go)


def test_a_run_in_float16_goes_on_with_the_scale_of_its_loss(tmp_path):
    """Steps are skipped before it is stopped and after."""
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    expected = run(whole, STEPS, "float16")
    run(parts, 53, "float16")
    skipped = [tg.io.load(path)["scaler"]["skipped"] for path in (parts, whole)]
    assert 0 < skipped[0] < skipped[1]
    run(parts, STEPS, "float16")
    assert_same_state(parts, expected)
    assert tg.io.load(whole)["loss"] < 0.7


@pytest.mark.parametrize("attempt", range(3))
def test_a_run_that_was_killed_at_any_moment_goes_on_from_its_last_file(at_a_go, tmp_path, attempt):
    path = tmp_path / "state.safetensors"
    rng = random.Random()
    saves, delay = rng.randint(1, 40), rng.uniform(0, 0.004)
    with subprocess.Popen(command(path, STEPS, 2), stdout=subprocess.PIPE, text=True) as process:
        said = [process.stdout.readline() for _ in range(saves)]
        time.sleep(delay)
        process.kill()
    told = f"killed {delay * 1e3:.2f} ms after {said[-1]!r}"
    step = tg.io.load(path)["step"]  # the file is whole
    assert 2 * saves <= step <= STEPS, f"{told}: the file is of step {step}"
    run(path, STEPS)
    assert_same_state(path, at_a_go)


def test_the_run_learns(at_a_go, tmp_path):
    """Otherwise equal bytes would say little."""
    path = tmp_path / "state.safetensors"
    path.write_bytes(at_a_go)
    assert tg.io.load(path)["loss"] < 0.7
