"""What every test gets: a registry of ops as it was, a random stream from the start."""

import pytest

import tinygrad_like as tg
from tinygrad_like.engine import OPS


@pytest.fixture(autouse=True)
def only_the_librarys_ops():
    """Take the ops that a test defines out of the registry again."""
    before = dict(OPS)
    yield
    OPS.clear()
    OPS.update(before)


@pytest.fixture(autouse=True)
def the_same_random_numbers():
    """A test alone sees the random numbers that it sees among all."""
    tg.seed(0)
