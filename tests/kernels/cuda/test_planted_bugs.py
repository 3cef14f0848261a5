"""Bugs planted into the CUDA kernels are all found; see planted_bugs.py, which prints the list."""

import pytest
from planted_bugs import HARMLESS, SOURCES, all_findings, planted
from tinygrad_like.kernels.cuda.machine.launcher import SOURCES as ALL

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def found():
    return all_findings()


@pytest.mark.parametrize("source", SOURCES)
def test_every_planted_bug_is_found(source, found):
    missed = [bug for bug, how in found[source] if how is None]
    assert not missed, "\n".join(f"{bug.kind} {bug.place}: {bug.line}" for bug in missed)


def test_there_are_enough_of_them_in_all_kernels(found):
    assert set(SOURCES) == set(ALL), "a .cu file without cases"
    assert sum(map(len, found.values())) >= 600
    assert all(found.values()), "a .cu file without bugs"


def test_what_is_called_harmless_is_in_the_kernels():
    for part in HARMLESS:
        lines = [bug.line for name, source in ALL.items() for bug in planted(source.text, name)[1]]
        assert any(part in line for line in lines), f"{part!r} makes no bug"
