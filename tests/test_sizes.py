"""Files and functions fit the eye: how long each may be, and how many parameters it may have."""

import pytest
from source_tree import FILES, each_file, functions

FILE_LINES, COLUMNS = 450, 100
LINES = 60  # of a function without its docstring: what an editor shows at once
PARAMETERS = 15  # of a function, more than which no caller keeps apart


@each_file
def test_a_file_has_one_subject_and_fits_the_eye(module):
    path = FILES[module]
    assert not {"utils", "util", "helpers", "common", "misc"} & set(module.split("."))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= FILE_LINES, f"{module} has {len(lines)} lines"
    longest_line = max(map(len, lines), default=0)
    assert longest_line <= COLUMNS, f"{module} has a line of {longest_line} columns"


def sizes(attribute):
    """{function: how many lines or parameters it has}; the largest of those of one name."""
    found = {}
    for module in FILES:
        for function in functions(module):
            name, size = f"{module}.{function.name}", getattr(function, attribute)
            found[name] = max(size, found.get(name, 0))
    return found


@pytest.mark.parametrize(("attribute", "limit"), [("lines", LINES), ("parameters", PARAMETERS)])
def test_a_function_fits_a_screen(attribute, limit):
    larger = {name: size for name, size in sizes(attribute).items() if size > limit}
    assert not larger, f"more than {limit} {attribute}: {larger}"
