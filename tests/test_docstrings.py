"""Every public name has a docstring, and is named in a test; every example in a docstring runs."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
from needed import imported

import tinygrad_like as tg

TESTS, LIBRARY = Path(__file__).parent, Path(tg.__file__).parent
ROOMS = (
    *(tg, tg.linalg, tg.fft, tg.signal, tg.special, tg.losses, tg.nn, tg.optim, tg.data),
    *(tg.distributions, tg.training, tg.onnx, tg.array_api, tg.interchange, tg.sklearn),
)
NEEDS = {  # what an example uses
    "tinygrad_like.onnx.export.model": "onnx_ir",
    "tinygrad_like.data.subwords": "tokenizers",
}
# SciPy's names of functions that have another one here, or are tested by that of their family.
OTHER_NAMES = ("gammaln", "log_expit", "psi", "atleast_1d", "atleast_2d", "atleast_3d")


def public(room):
    """{name: function or class} of a room, of this library's own."""
    names = getattr(room, "__all__", vars(room))
    found = {name: getattr(room, name) for name in names if not name.startswith("_")}
    return {n: f for n, f in found.items() if callable(f) and _is_ours(f)}


def _is_ours(f):
    return (getattr(f, "__module__", None) or "").startswith("tinygrad_like")


@pytest.fixture(scope="module")
def words():
    """All words of the tests but for this file."""
    paths = [path for path in TESTS.rglob("*.py") if path != Path(__file__)]
    return {w for path in paths for w in re.findall(r"\w+", path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.__name__)
def test_a_public_name_has_a_docstring_and_a_test(room, words):
    names = public(room)
    assert names
    assert not [name for name, f in names.items() if not inspect.getdoc(f)]
    functions = [n for n, f in names.items() if inspect.isfunction(f) and n not in OTHER_NAMES]
    assert not [name for name in functions if name not in words]


def _with_examples():
    for path in sorted(LIBRARY.rglob("*.py")):
        if ">>> " in path.read_text(encoding="utf-8"):
            parts = path.relative_to(LIBRARY.parent).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__")


@pytest.mark.parametrize("module", [*_with_examples()])
def test_the_examples_of_docstrings_run(module, tmp_path, monkeypatch):
    if module in NEEDS:
        imported(NEEDS[module])
    monkeypatch.chdir(tmp_path)  # where those that write files may
    names = {"tg": tg, "Tensor": tg.Tensor}
    assert doctest.testmod(importlib.import_module(module), extraglobs=names).failed == 0
