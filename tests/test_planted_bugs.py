"""Bugs planted into the CUDA kernels are all found; see planted_bugs.py, which prints the list."""

import pytest
from planted_bugs import HARMLESS, SOURCES, bugs_of, finding
from tinygrad_like.kernels.cuda.launcher import SOURCES as ALL


@pytest.mark.parametrize("source", SOURCES)
def test_every_planted_bug_is_found(source):
    missed = [bug for bug in bugs_of(source) if finding(bug, source) is None]
    assert not missed, "\n".join(f"{bug.kind} {bug.place}: {bug.line}" for bug in missed)


def test_there_are_enough_of_them_in_all_kernels():
    assert set(SOURCES) == set(ALL), "a .cu file without cases"
    assert sum(len(bugs_of(source)) for source in SOURCES) >= 100


def test_what_is_called_harmless_is_in_the_kernels():
    for part in HARMLESS:
        assert any(part in source.text for source in ALL.values()), f"{part!r} is in no kernel"
