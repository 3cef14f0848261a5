"""The benchmark itself: fair turns, agreement before timing, no figure faster than the machine."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from needed import imported
from tinygrad_like.kernels import reference

from bench import arena, limits, report, steps, workloads
from bench.kernel_rows import ROWS
from bench.opponents import build

ROOT = Path(__file__).resolve().parents[2]
RATES = {"gemm": 100e9, "copy": 10e9, "update": 50e9, "read": 20e9, "fill": 5e9}

# An opponent that notes when it runs, and one for each kind of failure
RUNNER = """
import os, time
LOG = os.path.join(os.path.dirname(__file__), "log")
def prepare(name, workload):
    print("what a library prints is no answer")
    if workload == "raises":
        raise ValueError("no such thing")
    if workload == "dies":
        os._exit(3)
    def step():
        with open(LOG, "a") as log:
            log.write(name)
        time.sleep(0.03)
    return step, [[1.0, 2.0]]
"""


@pytest.fixture
def runner(tmp_path, monkeypatch):
    """The name of a module whose opponents write their names to a log."""
    (tmp_path / "runner.py").write_text(RUNNER, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(arena, "TRIES", 1)
    monkeypatch.setattr(arena, "PATIENCE", 1)
    return tmp_path / "log"


# The arena


def test_opponents_take_turns_and_a_slow_one_runs_seldom(runner):
    with arena.opponents("runner", ["a", "b"]) as entrants:
        checks = {name: entrant.prepare("any") for name, entrant in entrants.items()}
        runner.write_text("")
        times = arena.race(entrants, 3, seldom=("b",))
    assert checks == {"a": [[1.0, 2.0]], "b": [[1.0, 2.0]]}
    assert {name: len(seconds) for name, seconds in times.items()} == {"a": 3, "b": 2}
    assert all(s >= 0.03 for seconds in times.values() for s in seconds), times
    log = runner.read_text()
    turns = [name for i, name in enumerate(log) if i == 0 or log[i - 1] != name]
    assert "".join(turns) == "abab", log  # a warm-up by a; both; a, the turn of b is passed; both


@pytest.mark.parametrize(
    ("workload", "message"), [("raises", "no such thing"), ("dies", "b died with code 3")]
)
def test_an_opponent_that_fails_says_how(runner, workload, message):
    with (
        arena.opponents("runner", ["b"]) as entrants,
        pytest.raises(arena.OpponentError, match=message),
    ):
        entrants["b"].prepare(workload)


@pytest.mark.parametrize(
    "other",
    [[[1.0, 2.0 + 1e-4]], [[1.0, float("nan")]], [[1.0]], [[1.0, -2.0]]],
    ids=["too far", "nan", "another shape", "another sign"],
)
def test_nothing_is_timed_that_disagrees(other):
    arena.check_agreement("w", {"a": [[1.0, 2.0]], "b": [[1.0, 2.0 + 1e-6]], "c": []}, 1e-5)
    with pytest.raises(arena.Disagreement, match="w: a"):
        arena.check_agreement("w", {"a": [[1.0, 2.0]], "b": other}, 1e-5)


# The limits

WORKS = {  # work: seconds at RATES, by hand
    limits.Work(flops=int(2e9)): 0.02,
    limits.Work(read=int(1e9), written=int(1e9)): 0.2,
    limits.Work(read=int(3e9), written=int(1e9)): 0.2 + 0.1,
    limits.Work(read=int(1e9)): 0.05,
    limits.Work(written=int(1e9)): 0.2,
    limits.Work(read=int(2e9), written=int(1e9), in_place=True): 0.04 + 0.05,
}


@pytest.mark.parametrize(("work", "seconds"), WORKS.items())
def test_a_figure_faster_than_the_machine_is_refused(work, seconds):
    needed = {kind: RATES[kind] for kind in work.kinds()}
    assert work.seconds(needed) == pytest.approx(seconds)
    limits.refuse_the_impossible("row", seconds, work, needed)
    with pytest.raises(limits.ImpossibleFigure, match="row took"):
        limits.refuse_the_impossible("row", 0.99 * seconds / limits.SLACK, work, needed)


def test_what_may_be_in_a_cache_need_not_come_from_memory():
    work = limits.Work(read=int(1e9), written=int(1e9))  # 0.2 s
    limits.refuse_the_impossible("row", 0.1, work, RATES, cache=int(1e9))
    with pytest.raises(limits.ImpossibleFigure, match="row took"):
        limits.refuse_the_impossible("row", 0.09, work, RATES, cache=int(1e9))


def test_the_limit_of_each_bout_is_that_of_the_faster_library():
    work = limits.Work(read=1 << 28, written=1 << 28)  # twice what `copy` copies
    times = {"copy numpy": [1, 4, 2], "copy torch": [3, 1, 2], "ours": [9, 9, 9]}
    machine = limits.Limits(None, [])
    machine.best["copy"] = 0.0
    assert machine.seconds(work, times) == pytest.approx([2, 2, 4])


def test_an_algorithm_with_fewer_products_may_pass_the_rate_but_not_by_more():
    work = limits.Work(flops=int(4e9), fewest_flops=int(1e9))
    limits.refuse_the_impossible("conv", 0.011, work, RATES)  # of 0.04 s directly
    with pytest.raises(limits.ImpossibleFigure, match="conv"):
        limits.refuse_the_impossible("conv", 0.009, work, RATES)


# What is measured


@pytest.mark.parametrize("workload", workloads.NAMES)
def test_our_step_is_pytorchs(workload):
    imported("torch")
    losses = {}
    for name in ("ours", "torch"):
        step = build(name, workload, batch_size=2)
        losses[name] = [[step() for _ in range(2)]]
    arena.check_agreement(workload, losses, 1e-5)


@pytest.mark.parametrize("device", ["cpu", "cuda-emulator"])
def test_our_step_in_bfloat16_is_pytorchs(device):
    imported("torch")
    place = {"ours": f"gpt2-tiny@{device}", "torch": "gpt2-tiny"}
    losses = {}
    for name, workload in place.items():
        step = build(name, workload, batch_size=2)
        losses[name] = [[step() for _ in range(3)]]
    arena.check_agreement("gpt2-tiny", losses, steps.HALF_TOLERANCE)


def test_gpt2_is_for_a_gpu_and_has_124_million_parameters():
    assert "gpt2" not in workloads.NAMES
    assert "gpt2" in workloads.NAMES_ON_A_GPU
    assert not steps.runs("jax", "gpt2")
    assert steps.runs("jax", "mlp")
    shapes = workloads._gpt_shapes(workloads.GPTS["gpt2"]).values()
    assert 124e6 < sum(map(math.prod, shapes)) < 125e6


def test_the_flops_of_a_step_are_those_of_its_layers():
    dense = 784 * 128 + 128 * 64 + 64 * 10  # forward, by the weights and, but for the first, by x
    assert workloads.gemm_flops("mlp")[0] == 2 * 128 * (3 * dense - 784 * 128)
    blocks = 3 * 2 * 8 * 256 * 6 * 12 * 384**2
    assert 1 < workloads.gemm_flops("gpt-small")[0] / blocks < 1.1


SMALL = [
    name
    for name, row in ROWS.items()
    if row.work.flops < 5e8 and row.work.read + row.work.written < 4e7
]


@pytest.mark.parametrize("name", SMALL)
def test_a_kernel_row_computes_the_same_in_each_library(name):
    torch = imported("torch")
    from bench import kernels

    with torch.no_grad():
        checks = {library: kernels.prepare(library, name)[1] for library in kernels.NAMES}
    assert all(np.isfinite(numbers).all() for numbers in checks["numpy"])
    arena.check_agreement(name, checks, ROWS[name].tolerance)


def test_every_kernel_has_a_row():
    timed = {name.split()[0] for name in ROWS}
    alias = {"adam_": "adamw", "philox": "uniform", "philox4x32": "uniform"}
    alias |= {"add_rows_": "embedding_bag", "ctc_alphas": "ctc", "ctc_betas": "ctc_backward"}
    alias |= {"cut_windows": "unfold", "join_windows": "fold"}
    no_arithmetic = {"blocks", "optimizer_state", "planner", "words_used"}
    second_derivatives = {"max_pool2d_gather"}
    not_alone = {"attention_dropout"}  # within attention
    not_alone |= {"sum_in_pairs", "sum_copies", "spread", "divide_by"}  # NumPy's, or sum_axes
    not_alone |= {"fused"}  # many kernels: bench/fuse.py
    not_alone |= {"lion_", "adan_"}  # PyTorch has no such optimizers
    expected = set(reference.KERNELS) - no_arithmetic - second_derivatives - not_alone
    assert {k for k in expected if alias.get(k, k.rstrip("_")) not in timed} == set()


# What is left behind


def test_results_are_saved_as_json_and_a_chart(tmp_path, monkeypatch):
    imported("matplotlib")
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    ratios = report.ratios([1.0, 2.0, 3.0], [2.0, 2.0, 2.0])
    assert ratios == {"median": 1.0, "low": 0.5, "high": 1.5}
    report.save("some", [{"name": "a", "ratio": ratios}, {"name": "b"}], "A title")
    report.save("some", [{"name": "b", "ratio": ratios}], "A title")  # a stays
    saved = json.loads((tmp_path / "some.json").read_text("utf-8"))
    assert [(row["name"], row.get("ratio")) for row in saved["rows"]] == [
        ("a", ratios),
        ("b", ratios),
    ]
    assert saved["machine"]["versions"]["numpy"] == np.__version__
    assert (tmp_path / "some.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ([], 0, "the training steps"),
        (["stops"], 1, "there is no benchmark 'stops'"),
        (["steps", "gtp"], 2, "unknown: gtp"),
        (["kernels", "sofmax"], 1, "no row begins with"),
    ],
    ids=["no name", "a wrong name", "a wrong step", "a wrong kernel"],
)
def test_the_command_line_says_what_there_is(options, code, text):
    command = [sys.executable, "-m", "bench", *options]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == code, result.stderr
    assert text in result.stdout + result.stderr
