"""What each file may import, read from its text: tests/support/floors.py has the floors."""

import ast
import re
import sys

import pytest
from floors import (
    FAMILIES_USE,
    FLOORS,
    LAZY,
    LEFT_TO_RIGHT,
    MAY_IMPORT,
    NAMED_BY_A_RUN,
    ROOMS_OF_CPU,
    THIRD_PARTY,
)
from grouped import grouped
from source_tree import (
    FILES,
    LIBRARY,
    ROOT,
    TG,
    circle,
    each_file,
    edges,
    folder,
    imports,
    imports_of,
    longest,
    ours,
    tree,
    within,
)


def test_the_files_are_found():
    assert {"backend", "engine.walk", "ops.neural.conv", "kernels.reference"} <= FILES.keys()
    assert {"bench.kernels", "bench.opponents.ours", "examples.mnist"} <= FILES.keys()


@each_file
def test_a_file_imports_only_from_the_floors_below_it(module):
    place = longest(MAY_IMPORT, module)
    assert place or not module, f"{module} stands on no floor: add it to MAY_IMPORT"
    allowed = MAY_IMPORT[place]
    for name in ours(module):
        assert any(within(name, a) for a in allowed), f"{module} imports {name}, may: {allowed}"


def part_of(module, package):
    """The part of a package in which a module lies: of `ops`, `ops.neural.conv` in `neural`."""
    return module[len(package) + 1 :].partition(".")[0]


@pytest.mark.parametrize("package", LEFT_TO_RIGHT)
def test_within_a_package_imports_go_to_the_left(package):
    order = LEFT_TO_RIGHT[package]
    modules = [m for m in FILES if m.startswith(package + ".")]
    parts = {part_of(m, package) for m in modules}
    assert parts <= set(order), f"add to LEFT_TO_RIGHT: {parts - set(order)}"
    for module in modules:
        part = part_of(module, package)
        for name in ours(module):
            if within(name, package) and not within(name, f"{package}.{part}"):
                assert name != package, f"{module} imports its own package"
                left = order[: order.index(part)]
                assert part_of(name, package) in left, f"{module} imports {name}, not to its left"


# Kernel targets


def room_of(module, target):
    """The room of a target in which a file lies: a wing, a family, or "" for the target itself."""
    return module[len(target) + 1 :].partition(".")[0]


@grouped("module", [m for m in FILES if any(within(m, t) for t in FLOORS)], by=folder)
def test_a_room_of_a_kernel_target_uses_the_rooms_below_it(module):
    (target,) = (t for t in FLOORS if within(module, t))
    floors, room = FLOORS[target], room_of(module, target)
    if room == "":
        return  # the table of the target names them all
    below = floors[: floors.index(room)] if room in floors else floors
    further = FAMILIES_USE.get(f"{target}.{room}", [])
    for name in ours(module):
        if within(name, target):
            other = room_of(name, target)
            fine = other in (room, *below, *further)
            assert fine, f"{module} imports {name}: {room} is not above {other or target}"


def arrows(target):
    """{(room, room): a file that imports, of the first, from the second}."""
    return {
        (room_of(module, target), room_of(name, target)): module
        for module in FILES
        if within(module, target)
        for name in ours(module)
        if within(name, target) and room_of(module, target) != room_of(name, target)
    }


def test_few_arrows_go_between_the_rooms_of_the_cpu():
    found = arrows("kernels.cpu")
    assert len(found) > 20, "the rooms are not found"
    assert len(found) <= ROOMS_OF_CPU, f"{len(found)} arrows: {sorted(found)}"


def test_a_family_has_the_name_that_it_has_in_the_reference():
    """Its sources, too: `linalg_tensor.cu` is of the family linalg."""
    families = {room_of(m, "kernels.reference") for m in FILES if within(m, "kernels.reference")}
    for target in ("kernels.cuda", "kernels.numba_cuda"):
        modules = {room_of(m, target) for m in FILES if within(m, target)}
        assert modules <= families | {*FLOORS.get(target, ()), "launch", "tf32"}, target
    for source in (ROOT / "kernels/cuda").glob("*.cu*"):
        assert source.stem.partition("_")[0] in families, source.name


EMULATOR = ROOT / "kernels/cuda/emulator"


def parts_of_the_emulator():
    """{file: the functions that runtime.hpp declares as its own}, in the order of the header."""
    text, found = (EMULATOR / "runtime.hpp").read_text(encoding="utf-8"), {}
    for part in re.split(r"\n(?=// [^\n]*: \w+\.cpp\.\n)", text)[1:]:
        declared = re.sub(r"//[^\n]*|\{[^}]*\}", "", part)
        found[re.search(r"(\w+\.cpp)\.\n", part)[1]] = set(re.findall(r"(\w+)\(", declared))
    return found


def test_the_files_of_the_emulator_call_what_stands_below_them():
    parts = parts_of_the_emulator()
    order = [*parts, "scheduler.cpp"]
    assert {path.name for path in EMULATOR.glob("*.cpp")} == set(order)
    for file, declared in parts.items():
        for user in order:
            text = re.sub(r"//[^\n]*", "", (EMULATOR / user).read_text(encoding="utf-8"))
            called = {name for name in declared if re.search(rf"\b{name}\(", text)}
            if user == file:
                assert called >= declared - {"running", "void"}, f"{file} lacks {declared - called}"
            elif order.index(user) < order.index(file):
                assert not called, f"{user} calls {called} of {file}, which stands above it"


# Circles, imports by name, imports that wait


def test_imports_are_seen_however_they_are_written():
    text = """
import a.b
from ..machine import simd
from . import *
if TYPE_CHECKING:
    from d import e
def f(n):
    import g
    importlib.import_module(".h", __package__)
    import_module("i" if n else "j")
    __import__(f"k.{n}")
    spec_from_file_location(n, path)
"""
    found = imports_of(ast.parse(text), "kernels.cpu.conv")
    assert [(each.name, each.lazy, each.by_name) for each in found] == [
        ("a.b", False, False),
        ("tinygrad_like.kernels.cpu.machine.simd", False, False),
        ("tinygrad_like.kernels.cpu.conv", False, False),
        ("g", True, False),
        ("tinygrad_like.kernels.cpu.conv.h", True, True),
        ("i", True, True),
        ("j", True, True),
        ("k.*", True, True),
        (None, True, True),
    ]


def test_a_circle_is_found():
    table = {"a": "b", "b": "cd", "c": "", "d": "b"}
    assert circle(table.get, "a") == ["b", "d", "b"]
    assert circle({**table, "d": "c"}.get, "a") is None


def test_there_are_no_circles():
    """Imports in functions and by name count; a file may name the package that it lies in."""
    found = circle(lambda module: {n for n in ours(module) if not within(module, n)}, FILES)
    assert found is None, " -> ".join(found)


@each_file
def test_a_name_that_only_a_run_knows_is_imported_where_it_has_to_be(module):
    unknown = [each.line for each in imports(module) if each.name is None]
    if module in NAMED_BY_A_RUN:
        assert unknown, f"{module} imports nothing by an unknown name: NAMED_BY_A_RUN is too long"
    else:
        assert not unknown, f"{module}:{unknown[0]}: by name, see NAMED_BY_A_RUN"


def test_imports_that_wait_are_those_that_have_a_reason():
    waiting = {
        (module, name): found.line
        for module in LIBRARY
        for name, found in edges(module).items()
        if found.lazy
    }
    used = set()
    for (module, name), line in waiting.items():
        reasons = [pair for pair in LAZY if within(module, pair[0]) and within(name, pair[1])]
        assert reasons, f"{module}:{line} imports {name} in a function: see LAZY"
        used.update(reasons)
    assert used == LAZY.keys(), f"nothing waits any more: {LAZY.keys() - used}"


@each_file
def test_third_party_packages_load_where_the_floors_say(module):
    kernel = within(module, "kernels")
    allowed = THIRD_PARTY[longest(THIRD_PARTY, module)]
    beside = {path.stem for path in FILES[module].parent.glob("*.py")}  # of a script
    for found in imports(module):
        root = (found.name or "").split(".")[0].rstrip("*")
        if root in ("", TG, "bench", "examples") or root in sys.stdlib_module_names:
            continue
        if within(module, "examples") and root in beside:
            continue
        assert root in allowed or (found.lazy and not kernel), f"{module} imports {root}"


@pytest.mark.parametrize("folder", [TG, "kernels", "tests", "examples", "bench"])
def test_nobody_imports_kernels_by_its_folder(folder):
    """From the checkout root that would load a second copy, with caches of its own."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in names:
                assert name.split(".")[0] != "kernels", f"{path}:{node.lineno}"


@grouped("module", [m for m in FILES if within(m, "kernels")], by=folder)
def test_kernels_know_nothing_of_the_library_above(module):
    for name in ours(module):
        assert within(name, "kernels"), f"{module} imports {TG}.{name}"


@grouped("module", [m for m in FILES if within(m, "examples")], by=folder)
def test_examples_use_public_names(module):
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") not in ("self", "cls"):
            private = node.attr.startswith("_") and not node.attr.endswith("__")
            assert not private, f"{module}:{node.lineno} uses {node.attr}"
    for found in imports(module):
        private = [part for part in (found.name or "").split(".") if part.startswith("_")]
        assert not private, f"{module}:{found.line} imports {found.name}"


# Files


@grouped("module", [m for m in FILES if FILES[m].stat().st_size], by=folder)
def test_a_file_begins_by_saying_what_is_in_it(module):
    assert ast.get_docstring(tree(module))


@pytest.mark.parametrize(
    "package", ["engine", "functional", "nn", "optim", "data", "special", "stats", "training"]
)
def test_a_package_names_its_files_or_what_is_in_them(package):
    text = FILES[package].read_text(encoding="utf-8")
    for module in FILES:
        room = FILES[module].name == "__init__.py"
        if within(module, package) and not room:
            stem = module.rpartition(".")[2]
            public = f"from {TG}.{module} import" in text or f"import {stem}\n" in text
            assert public or f"{stem}.py" in text, f"{package}/__init__.py does not name {stem}.py"
