"""What the tests of the layout read of the sources: the files, what each imports, its functions."""

import ast
import functools
from pathlib import Path
from typing import NamedTuple

from grouped import grouped

ROOT = Path(__file__).resolve().parents[2]
TG = "tinygrad_like"
FOLDERS = TG, "kernels", "bench", "examples"


def module_name(path):
    """`tinygrad_like/ops/neural/conv.py` -> `ops.conv`, `kernels/cpu/x.py` -> `kernels.cpu.x`."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    parts = parts[1:] if parts[0] == TG else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))
}


def folder(module):
    """The folder of a file, by which tests of all files are grouped."""
    return FILES[module].parent.relative_to(ROOT).as_posix()


each_file = grouped("module", FILES, by=folder)
LIBRARY = [name for name in FILES if name.split(".")[0] not in ("bench", "examples")]


class Import(NamedTuple):
    """One module, or name in one, that a file imports."""

    name: str  # in full; it ends in * for all the names that begin so, None if only a run tells
    line: int
    lazy: bool  # inside a function
    by_name: bool  # by importlib or __import__, and not by a statement


def tree(module):
    """The syntax tree of a file, which is too large to be kept for all of them."""
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


@functools.cache
def imports(module):
    """The Imports of a file, also inside its functions; what only a type checker reads is none."""
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    return imports_of(tree(module), package)


def imports_of(text, package):
    """The Imports in a syntax tree, of a file of a package."""
    found = []

    def visit(node, lazy):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, lazy, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), package)
            names = [base if a.name == "*" else f"{base}.{a.name}" for a in node.names]
            found.extend(Import(name, node.lineno, lazy, False) for name in names)
        elif isinstance(node, ast.Call) and _imports_by_name(node.func):
            for name in _names(node.args[0]) if node.args else [None]:
                full = name and _absolute(name, package)
                found.append(Import(full, node.lineno, lazy, True))
        lazy = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, lazy)

    visit(text, False)
    return found


def _imports_by_name(function):
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("import_module", "__import__", "spec_from_file_location", "run_module")


def _names(node):
    """The names that an expression can be, as far as its text tells."""
    if isinstance(node, ast.Constant):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return [*_names(node.body), *_names(node.orelse)]
    if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        return [node.values[0].value + "*"]
    return [None]


def _absolute(name, package):
    """A name of the library as a user imports it, for one that begins with dots."""
    level = len(name) - len(name.lstrip("."))
    if level == 0:
        return name
    parts = package.split(".")
    parts = parts[: len(parts) - level + 1]
    inside = [TG] if package.split(".")[0] not in ("bench", "examples") else []
    return ".".join([*inside, *parts, *filter(None, [name[level:]])])


@functools.cache
def edges(module):
    """{the module of ours that a file imports: Import}, by the names of FILES."""
    found = {}
    for each in imports(module):
        for name in _modules(each.name, module):
            if name != module:
                found.setdefault(name, each)
    return found


def ours(module):
    """The names of the modules of ours that a file imports."""
    return edges(module).keys()


def _modules(full, module):
    """The files that an import of a full name is of."""
    if full is None:
        return []
    root = full.split(".")[0].rstrip("*")
    if root == TG:
        name = full[len(TG) + 1 :]
    elif root in ("bench", "examples"):
        name = full
    elif module.startswith("examples."):  # a script finds those beside it
        name = f"{module.rpartition('.')[0]}.{full}"
        if not any(name == each or name.startswith(each + ".") for each in FILES):
            return []
    else:
        return []
    if name.endswith("*"):
        return [each for each in FILES if each.startswith(name[:-1])]
    while name and name not in FILES:  # `from tinygrad_like.ops.neural.conv import conv2d`
        name = name.rpartition(".")[0]
    return [name]


def within(name, place):
    """Whether a module is a place, or lies in it."""
    return name == place or name.startswith(place + ".")


def longest(table, module):
    """The place of a table, "" for any, in which a module lies most narrowly."""
    return max((place for place in table if not place or within(module, place)), key=len)


class Function(NamedTuple):
    """A function of a file, as large as it stands there."""

    name: str  # with the names of the classes and functions around it
    lines: int
    parameters: int


@functools.cache
def functions(module):
    """The Functions of a file, also those inside of others."""
    found = []

    def visit(node, around):
        for child in ast.iter_child_nodes(node):
            inside = around
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                inside = [*around, child.name]
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                a = child.args
                rest = [each for each in (a.vararg, a.kwarg) if each]
                count = len([*a.posonlyargs, *a.args, *a.kwonlyargs, *rest])
                lines = child.end_lineno - child.lineno + 1 - _lines_of_docstring(child)
                found.append(Function(".".join(inside), lines, count))
            visit(child, inside)

    visit(tree(module), [])
    return found


def _lines_of_docstring(function):
    if ast.get_docstring(function) is None:
        return 0
    text = function.body[0]
    return text.end_lineno - text.lineno + 1


def circle(edges_of, start):
    """The first cycle that is met, a list that begins and ends with one node; None without one."""
    done = set()

    def visit(node, path):
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return None
        for following in sorted(edges_of(node)):
            found = visit(following, [*path, node])
            if found:
                return found
        done.add(node)
        return None

    for node in start:
        found = visit(node, [])
        if found:
            return found
    return None
