"""What every test gets: a registry of ops as it was, a random stream from the start."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from needed import NO_EMULATOR

import tinygrad_like as tg
from tinygrad_like.engine import OPS, mode
from tinygrad_like.nn import dtype

TESTS = Path(__file__).parent

# Where all tests run kernels in the CUDA emulator, which needs a compiler and CUDA's headers.
EMULATED = "kernels/cuda/", "bench/test_cuda.py", "examples/test_learn_cuda.py"


def pytest_xdist_auto_num_workers():
    """How many processes share the tests: four at most, since each keeps its own arrays."""
    return min(4, os.cpu_count() or 1)


def pytest_sessionstart(session):
    """Before all tests: compile the CPU's kernels once, in processes that give their memory back.

    Otherwise each of the processes that share the tests would compile nearly all of them.
    """
    config = session.config
    is_whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if hasattr(config, "workerinput") or not is_whole or config.option.collectonly:
        return
    config.get_terminal_writer().line("compiling the CPU's kernels, unless they are on disk ...")
    compilers = [
        subprocess.Popen([sys.executable, "-c", f"import tinygrad_like as tg; tg.warmup('{real}')"])
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
    for item in items if NO_EMULATOR else ():
        if uses_the_emulator(item):
            item.add_marker(pytest.mark.skip(reason=NO_EMULATOR))


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
