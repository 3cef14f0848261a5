"""The page "Where we differ, and why": each test that it names exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "tinygrad_like" / "DIFFERENCES.md").read_text(encoding="utf-8")
FILES = {path.stem for path in TESTS.rglob("test_*.py")}
SOURCES = [path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_\w+)`", PAGE))))
def test_a_test_that_the_page_names_exists(name):
    found = name in FILES or any(f"def {name}(" in source for source in SOURCES)
    assert found, f"DIFFERENCES.md names {name}, which is no test"


def test_each_entry_names_its_test():
    entries = re.split(r"\n(?=\* |## )", PAGE)
    unheld = [e.splitlines()[0] for e in entries if e.startswith("* ") and "(`test_" not in e]
    assert not unheld
