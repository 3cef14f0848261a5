"""The floors of the house: what each file may import, read from its text; and a light import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TG = "tinygrad_like"

# Which places a place may import from, itself included where named. The longest prefix wins.
MAY_IMPORT = {
    "kernels": ["kernels"],
    "generator": [],
    "backend": ["kernels"],
    "engine": ["backend", "engine", "generator"],
    "ops": ["backend", "engine", "generator", "ops"],
    "doctor": ["backend", "kernels"],
    "functional": ["backend", "engine", "ops"],
    "gradcheck": ["backend", "engine", "ops", "functional"],
    "losses": ["backend", "engine", "ops"],
    "optim": ["backend", "engine", "generator", "ops", "optim"],
    "training": ["backend", "engine", "files", "generator", "io", "training"],
    "data": ["backend", "engine", "generator", "ops", "data"],
    "files": [],
    "io": ["backend", "engine", "files", "generator"],
    "nn.arguments": ["engine", "ops.window"],
    "nn.state": ["backend", "engine"],
    "nn.summary": ["backend", "engine"],
    "nn.holder": ["engine", "nn.arguments", "nn.state"],
    "nn.module": [
        *("backend", "engine", "nn.arguments", "nn.holder", "nn.state", "nn.summary"),
    ],
    "nn.init": ["backend", "engine", "ops", "nn.arguments"],
    "nn": ["backend", "engine", "ops", "nn"],
    "torch_settings": ["nn", "ops.window"],
    "interchange": ["engine", "io", "nn", "torch_settings"],
    "warmup": ["backend", "engine", "generator", "losses", "nn", "optim"],
    "": (
        "backend engine generator ops functional gradcheck losses optim data io interchange nn "
        "doctor training warmup kernels"
    ).split(),
}  # fmt: skip

# Within a package: only from those to the left. A package's own __init__ stands right of all.
LEFT_TO_RIGHT = {
    "engine": (
        "changes errors options casts modes tensor plan call record recompute accumulate walk "
        "autocast"
    ).split(),
    "ops": (
        "create compare elementwise activation shape reduce linalg places index repetition inplace "
        "window padding random softmax norm conv pool recurrent attention protocol"
    ).split(),
    "data": "arguments dataset loader fetch images text".split(),
    "training": (
        "history interrupt progress jsonlines tensorboard predict panels plot folder run"
    ).split(),
}

# Third-party packages that a kernel target may import. In tinygrad_like/ itself it is NumPy alone
# at the top of a file; the others load on first use, inside a function.
THIRD_PARTY = {
    "kernels.reference": {"numpy"},
    "kernels.cpu": {"numpy", "numba", "llvmlite", "scipy", "threadpoolctl"},
    "kernels.cuda": {"numpy", "cupy"},
    "kernels.numba_cuda": {"numpy", "numba", "numba_cuda"},
    "kernels": {"numpy"},
}

HEAVY = "numba cupy matplotlib scipy safetensors tqdm torch threadpoolctl jax tinygrad".split()


def module_name(path):
    """`tinygrad_like/ops/conv.py` -> `ops.conv`, `kernels/cpu/x.py` -> `kernels.cpu.x`."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    parts = parts[1:] if parts[0] == TG else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path
    for folder in (TG, "kernels")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


def imports(module):
    """What a file imports: (full name, whether inside a function)."""
    path = FILES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = []

    def visit(node, inside):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend((alias.name, inside) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([TG, *parts, *([base] if base else [])])
            found.extend((f"{base}.{alias.name}", inside) for alias in node.names)
        inside = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return found


def ours(module):
    """The modules of ours that a file imports, by their own names."""
    names = set()
    for full, _ in imports(module):
        if full.split(".")[0] == TG:
            name = full[len(TG) + 1 :]
            while name and name not in FILES:  # `from tinygrad_like.ops.conv import conv2d`
                name = name.rpartition(".")[0]
            names.add(name)
    return names


def within(name, place):
    return name == place or name.startswith(place + ".")


def longest(table, module):
    return max((place for place in table if not place or within(module, place)), key=len)


def test_the_files_are_found():
    assert {"backend", "engine.walk", "ops.conv", "kernels.reference"} <= FILES.keys()


@pytest.mark.parametrize("module", FILES)
def test_a_file_imports_only_from_the_floors_below_it(module):
    place = longest(MAY_IMPORT, module)
    assert place or "." not in module, f"{module} stands on no floor: add it to MAY_IMPORT"
    if not place and module:
        pytest.fail(f"{module}.py stands on no floor: add it to MAY_IMPORT")
    allowed = MAY_IMPORT[place]
    for name in ours(module) - {module}:
        assert any(within(name, a) for a in allowed), f"{module} imports {name}, may: {allowed}"


@pytest.mark.parametrize("package", LEFT_TO_RIGHT)
def test_within_a_package_imports_go_to_the_left(package):
    order = [f"{package}.{name}" for name in LEFT_TO_RIGHT[package]]
    modules = [m for m in FILES if m.startswith(package + ".")]
    assert set(modules) <= set(order), f"add to LEFT_TO_RIGHT: {set(modules) - set(order)}"
    for module in modules:
        for name in ours(module):
            if within(name, package):
                assert name != package, f"{module} imports its own package"
                left = order[: order.index(module)]
                assert name in left, f"{module} imports {name}, which is not to its left"


def test_there_are_no_circles():
    done, path = set(), []

    def visit(module):
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module in done:
            return
        path.append(module)
        for name in sorted(ours(module) - {module}):
            if not within(module, name):  # a file below a package's __init__ may name the package
                visit(name)
        path.pop()
        done.add(module)

    for module in FILES:
        visit(module)


@pytest.mark.parametrize("module", FILES)
def test_third_party_packages_load_where_the_floors_say(module):
    kernel = within(module, "kernels")
    allowed = THIRD_PARTY[longest(THIRD_PARTY, module)] if kernel else {"numpy"}
    for full, inside in imports(module):
        root = full.split(".")[0]
        if root == TG or root in sys.stdlib_module_names:
            continue
        assert root in allowed or (inside and not kernel), f"{module} imports {root}"


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


@pytest.mark.parametrize("module", [m for m in FILES if within(m, "kernels")])
def test_kernels_know_nothing_of_the_library_above(module):
    for name in ours(module):
        assert within(name, "kernels"), f"{module} imports {TG}.{name}"
    assert not any(full.startswith(TG) for full, _ in imports(module) if ".kernels" not in full)


@pytest.mark.parametrize("module", FILES)
def test_a_file_has_one_subject_and_fits_the_eye(module):
    path = FILES[module]
    assert not {"utils", "util", "helpers", "common", "misc"} & set(module.split("."))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 450, f"{module} has {len(lines)} lines"
    longest_line = max(map(len, lines), default=0)
    assert longest_line <= 100, f"{module} has a line of {longest_line} columns"


@pytest.mark.parametrize("module", [m for m in FILES if FILES[m].stat().st_size])
def test_a_file_begins_by_saying_what_is_in_it(module):
    assert ast.get_docstring(ast.parse(FILES[module].read_text(encoding="utf-8")))


@pytest.mark.parametrize("package", ["engine", "nn", "optim", "data", "training"])
def test_a_package_names_its_files_or_what_is_in_them(package):
    text = FILES[package].read_text(encoding="utf-8")
    for module in FILES:
        stem = module.removeprefix(f"{package}.")
        if stem != module:
            public = f"from {TG}.{module} import" in text or f"import {stem}\n" in text
            assert public or f"{stem}.py" in text, f"{package}/__init__.py does not name {stem}.py"


# A light import


def run(code):
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT.parent,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.strip()


def test_importing_the_library_loads_nothing_heavy():
    loaded = run(
        "import tinygrad_like, sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    assert not set(HEAVY) & set(loaded.split())


def test_computing_on_a_cpu_array_loads_nothing_of_cuda():
    code = (
        "import tinygrad_like as tg, sys; x = tg.ones((2, 2), requires_grad=True); "
        "(x @ x).sum().backward(); print('cupy' in sys.modules, 'torch' in sys.modules)"
    )
    assert run(code) == "False False"


def test_importing_the_library_takes_less_than_0_3_s_beyond_numpy():
    """The least of five: what it takes on this machine when nobody else is at work."""
    code = (
        "import numpy, time; t = time.perf_counter(); import tinygrad_like; "
        "print(time.perf_counter() - t)"
    )
    seconds = []
    for _ in range(5):
        seconds.append(float(run(code)))
        if seconds[-1] < 0.3:
            return
    assert min(seconds) < 0.3, seconds
