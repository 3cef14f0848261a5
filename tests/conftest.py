"""What every test gets: a registry of ops as it was, a random stream from the start."""

import os
from pathlib import Path

import pytest
from tinygrad_like.kernels.cuda import emulator

import tinygrad_like as tg
from tinygrad_like.engine import OPS, mode
from tinygrad_like.nn import dtype

TESTS = Path(__file__).parent

# The tests that run kernels in the CUDA emulator, which needs a compiler and CUDA's headers.
EMULATED = "kernels/cuda/", "bench/test_cuda.py", "examples/test_learn_cuda.py"


def pytest_xdist_auto_num_workers():
    """How many processes share the tests: four at most, since each keeps its own arrays."""
    return min(4, os.cpu_count() or 1)


def pytest_collection_modifyitems(items):
    """Skip, with the reason, what needs the emulator where it cannot be used."""
    problem = emulator.problem()
    for item in items if problem else ():
        if item.path.relative_to(TESTS).as_posix().startswith(EMULATED):
            item.add_marker(pytest.mark.skip(reason=problem))


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
