"""The ladder of examples/learn_cuda: every step is right and counts what its text says."""

import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tinygrad_like.kernels.cuda.machine import resources

FOLDER = Path(__file__).parents[2] / "examples" / "learn_cuda"
sys.path[:0] = [str(FOLDER), str(FOLDER / "exercises")]

import grade  # noqa: E402
import ladder  # noqa: E402

pytestmark = pytest.mark.long

README = (FOLDER / "README.md").read_text(encoding="utf-8")
TABLE = dict(re.findall(r"^\| `(\d\d_\w+\.cu)` \| (.*) \|$", README, re.MULTILINE))


@pytest.mark.parametrize("step", ladder.STEPS, ids=lambda step: step.file)
def test_a_step_is_right_in_under_10_seconds_and_counts_what_the_text_says(step):
    ladder.climb(step)  # compiled
    start = time.perf_counter()
    error, counters = ladder.climb(step)
    assert time.perf_counter() - start < 10
    assert error <= step.bound
    found = counters.as_dict()
    assert [f"{found[name]:,}" for name in ladder.COUNTED] == TABLE[step.file].split(" | ")


@pytest.mark.parametrize("schedule", [1, 2, 4, 10, 15])
@pytest.mark.parametrize("step", ladder.STEPS, ids=lambda step: step.file)
def test_a_step_is_right_in_every_schedule(step, schedule):
    assert ladder.climb(step, schedule)[0] <= step.bound


def test_the_numbers_in_the_text_are_those_of_the_table():
    sizes = {"1,024"}
    prose = README.partition("## What to look at")[2]
    numbers = set(re.findall(r"\d{1,3}(?:,\d{3})+", prose))
    assert numbers - sizes <= set(re.findall(r"\d{1,3}(?:,\d{3})+", "".join(TABLE.values())))
    assert len(numbers) > 10


def test_the_ladder_is_numbered_and_each_file_says_its_idea():
    assert [step.number for step in ladder.STEPS] == list(range(1, 18))
    assert {step.file for step in ladder.STEPS} == {path.name for path in FOLDER.glob("*.cu")}
    assert all(len(step.idea) > 5 for step in ladder.STEPS)


@pytest.mark.skipif(resources.problem() is not None, reason=str(resources.problem()))
@pytest.mark.parametrize("step", ladder.STEPS, ids=lambda step: step.file)
def test_a_step_compiles_for_a_gpu_without_spills(step):
    source = ladder.source_of(step)
    name = next(iter(source.signatures))
    build = source.kernel(name, step.dtype).build
    for kernel, found in resources.measure(build, source.architecture or "sm_80").items():
        assert found.spilled == 0, kernel


def test_the_ladder_runs_draws_and_refuses_unknown_steps(tmp_path):
    def run(*arguments):
        command = [sys.executable, str(FOLDER / "ladder.py"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    done = run("3", "15", "--chart", str(tmp_path / "climb.png"))
    assert done.returncode == 0, done.stderr
    assert "tiles in shared memory" in done.stdout
    assert (tmp_path / "climb.png").read_bytes().startswith(b"\x89PNG")
    assert "no such step" in run("99").stderr


@pytest.fixture
def gpu(monkeypatch):
    """CuPy on the emulator, where a launch takes 1.5 ms, and small problems for it."""
    xp = ladder.emulator.xp
    event = SimpleNamespace(record=lambda: None, synchronize=lambda: None)
    cuda = SimpleNamespace(Event=lambda: event, get_elapsed_time=lambda start, stop: 1.5)
    names = "asarray asnumpy empty empty_like full full_like".split()
    fake = SimpleNamespace(cuda=cuda, **{name: getattr(xp, name) for name in names})
    monkeypatch.setitem(sys.modules, "cupy", fake)
    sizes = {"n": ladder.N, "rows": 70, "columns": ladder.COLUMNS, "keys": ladder.KEYS}
    monkeypatch.setattr(ladder, "LARGE", sizes)
    return fake


def test_a_step_that_is_right_is_timed_on_a_gpu(gpu, capsys):
    numbers = "1", "9", "12", "15", "17"
    assert ladder.main([*numbers, "--device", "cuda"]) == 0
    assert capsys.readouterr().out.count("1.500 ms") == len(numbers)


@pytest.mark.parametrize(("before", "after"), [("sum +=", "sum -="), ("c[row", "if (n < 0) c[row")])
def test_a_step_that_is_wrong_gets_no_time_on_a_gpu(
    gpu, monkeypatch, tmp_path, capsys, before, after
):
    step = ladder.STEPS[0]
    right = step.exact(*ladder.inputs_of(step, **ladder.LARGE))
    gpu.empty = lambda shape, dtype: gpu.asarray(right)  # as a pool gives memory out again
    text = (FOLDER / step.file).read_text(encoding="utf-8")
    assert text.count(before) == 1
    (tmp_path / step.file).write_text(text.replace(before, after), encoding="utf-8")
    monkeypatch.setattr(ladder, "HERE", tmp_path)
    with pytest.raises(SystemExit, match=f"{step.file} is wrong"):
        ladder.main(["1", "--device", "cuda"])
    assert " ms" not in capsys.readouterr().out


# The exercises


RACE = (FOLDER / "exercises" / "race.cu").read_text(encoding="utf-8")
HOLE = (FOLDER / "exercises" / "hole.cu").read_text(encoding="utf-8")
STEP = "if (threadIdx.x < half) held[threadIdx.x] += held[threadIdx.x + half];"
TRANSPOSE = """__shared__ float tile[32][33];
    const int x0 = blockIdx.x * 32, y0 = blockIdx.y * 32, lane = threadIdx.x;
    for (int i = threadIdx.y; i < 32; i += 8)
        if (y0 + i < rows && x0 + lane < columns)
            tile[i][lane] = x[(y0 + i) * columns + x0 + lane];
    __syncthreads();
    for (int i = threadIdx.y; i < 32; i += 8)
        if (x0 + i < columns && y0 + lane < rows)
            y[(x0 + i) * rows + y0 + lane] = tile[lane][i];"""
DIRECT = """const int column = blockIdx.x * 32 + threadIdx.x;
    for (int row = blockIdx.y * 32 + threadIdx.y; row < blockIdx.y * 32 + 32; row += 8)
        if (row < rows && column < columns) y[column * rows + row] = x[row * columns + column];"""
WRONG = {
    "a stub": (HOLE, "HOLE", "", "numbers are wrong"),
    "zeros": (HOLE, "HOLE", "if (threadIdx.x == 0 && threadIdx.y == 0) y[0] = 0;", "wrong|race"),
    "the hole itself": (HOLE, "HOLE", "HOLE", "not filled"),
    "a copy": (HOLE, "HOLE", TRANSPOSE.replace("tile[lane][i]", "tile[i][lane]"), "wrong|unini"),
    "no barrier": (HOLE, "HOLE", TRANSPOSE.replace("__syncthreads();", ""), "race|uninitialised"),
    "no bounds": (HOLE, "HOLE", TRANSPOSE.replace("x0 + lane < columns", "true"), "bounds|race"),
    "uncoalesced": (HOLE, "HOLE", DIRECT, "right, but its stores move"),
    "conflicts": (HOLE, "HOLE", TRANSPOSE.replace("[33]", "[32]"), "with .* bank conflicts"),
    "no C++": (HOLE, "HOLE", "return 1 +;", "does not compile"),
    "the race": (RACE, "", "", "race"),
    "a barrier for some": (
        RACE,
        STEP,
        f"if (threadIdx.x < half) {{ {STEP} __syncthreads(); }}",
        "div",
    ),
    "a barrier of a warp": (RACE, STEP, f"{STEP} __syncwarp();", "race"),
    "half a sum": (RACE, STEP, f"{STEP} __syncthreads(); half /= 2;", "sums"),
    "another kernel": (RACE, "row_sums", "sums_of_rows", "no kernel named"),
}
RIGHT = {
    "a padded tile": (HOLE, "HOLE", TRANSPOSE),
    "a swizzled tile": (
        *(HOLE, "HOLE"),
        TRANSPOSE.replace("[33]", "[32]")
        .replace("tile[i][lane]", "tile[i][lane ^ i]")
        .replace("tile[lane][i]", "tile[lane][i ^ lane]"),
    ),
    "a barrier of all": (RACE, STEP, f"{STEP} __syncthreads();"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_solution_is_solved(name, tmp_path, capsys):
    text, before, after = RIGHT[name]
    path = tmp_path / "solution.cu"
    path.write_text(text.replace(f"    {before}", f"    {after}"), encoding="utf-8")
    assert grade.main([str(path)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_solution_is_told_why(name, tmp_path):
    text, before, after, why = WRONG[name]
    path = tmp_path / "solution.cu"
    spaces = " " if before == "row_sums" else "    "
    path.write_text(text.replace(spaces + before, spaces + after) if before else text)
    with pytest.raises(grade.Failed, match=why):
        grade.grade(path)


def test_the_report_of_the_race_names_line_and_threads():
    with pytest.raises(grade.Failed) as report:
        grade.grade(FOLDER / "exercises" / "race.cu")
    line = 1 + next(i for i, text in enumerate(RACE.splitlines()) if STEP in text)
    assert f"race.cu:{line}" in str(report.value)
    assert "no barrier lies between" in str(report.value)


def test_a_file_that_is_not_there_is_told():
    with pytest.raises(grade.Failed, match="is no file"):
        grade.grade("nothing.cu")
