"""What every test gets: a registry of ops as it was, a random stream from the start."""

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_like as tg
from tinygrad_like import backend
from tinygrad_like.engine import OPS, mode
from tinygrad_like.nn.base import dtype
from tinygrad_like.warmup import KINDS

TESTS = Path(__file__).parent

# Where all tests run kernels in the CUDA emulator, which needs a compiler and CUDA's headers.
EMULATED = "kernels/cuda/", "bench/test_cuda.py", "examples/test_learn_cuda.py"


# Gives the system back what was freed, which malloc would keep; only glibc has it.
TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def pytest_xdist_auto_num_workers():
    """How many processes share the tests: four at most, since each keeps its own arrays."""
    return min(4, os.cpu_count() or 1)


def pytest_sessionstart(session):
    """Before all tests: compile the CPU's kernels once, in processes that give their memory back.

    Otherwise each of the processes that share the tests would compile nearly all of them, and keep
    the compiler's memory. Two compile at a time, for one kind of models or for the rows of the op
    tests: for all of these they would take 1.5 GB.
    """
    config = session.config
    is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if hasattr(config, "workerinput") or not is_whole or config.option.collectonly:
        return
    config.get_terminal_writer().line("compiling the CPU's kernels, unless they are on disk ...")
    warmup = "import sys, tinygrad_like as tg; tg.warmup(sys.argv[2], [sys.argv[1]])"
    programs = [["-c", warmup, kind] for kind in KINDS] + [[TESTS / "cases" / "compile_rows.py"]]
    shared = [str(TESTS / folder) for folder in ("support", "cases/ops")]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(shared)}
    for program in programs:
        compilers = [
            subprocess.Popen([sys.executable, *program, real], env=variables)
            for real in ("float32", "float64")
        ]
        for compiler in compilers:
            compiler.wait()


def pytest_configure():
    """Tests send Ctrl-C, which a shell lets the programs that it starts with `&` ignore."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Skip, with the reason, what needs the emulator where it cannot be used."""
    problem = backend.emulator_problem()
    for item in items if problem is not None else ():
        if uses_the_emulator(item):
            item.add_marker(pytest.mark.skip(reason=problem))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Reports without keywords, which nobody reads: all reports are kept until the summary."""
    report = yield
    report.keywords = {}
    return report


def uses_the_emulator(item):
    """Whether a test lies in a place of EMULATED, or has the emulator as a parameter."""
    place = item.path.relative_to(TESTS).as_posix()
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return place.startswith(EMULATED) or any(
        isinstance(value, str) and value == "cuda-emulator" for value in parameters
    )


@pytest.fixture(autouse=True)
def only_the_librarys_ops():
    """Take the ops that a test defines out of the registry again."""
    before = dict(OPS)
    yield
    OPS.clear()
    OPS.update(before)


@pytest.fixture(autouse=True)
def the_usual_modes():
    """A test that leaves recording off fails itself, and not all that come after it."""
    yield
    left, mode.changed = mode.changed, {}
    assert not left


@pytest.fixture(autouse=True)
def the_same_random_numbers():
    """A test alone sees the random numbers that it sees among all."""
    tg.seed(0)


@pytest.fixture(autouse=True)
def the_same_warnings():
    """A test alone sees the warnings that it sees among all: those said once are said again."""
    dtype._say_that_digits_are_lost.cache_clear()


@pytest.fixture(autouse=True)
def no_memory_in_wait():
    """The memory that a test has freed goes back to the system: another test has other sizes."""
    yield
    pool = sys.modules.get("tinygrad_like.kernels.cpu.machine.memory")
    if pool is not None:
        pool.release()
    if TRIM is not None:
        TRIM(0)
