"""What a function depends on beside its arguments, and whether that has changed.

A function is traced once, so what it reads from outside must not change unseen. Its global names
and those of its closure are looked up when it is traced and compared before each call. What can
change inside, unseen, is refused: a Tensor, a list, an object with attributes.
"""

import dis
import math
import types

import numpy as np

from tinygrad_like.engine import Tensor
from tinygrad_like.fusion.terms import NotFusible

MISSING = object()
# NumPy's scalars are none: beside arrays, unlike Tensors, they decide the dtype of the result.
CONSTANTS = (int, float, complex, str, bytes, type(None), type(Ellipsis), np.dtype)
TRUSTED = "tinygrad_like", "numpy", "math", "builtins"
READERS = {"open", "input", "eval", "exec", "globals", "locals", "vars", "__import__"}


class Watched:
    """The names that a function, and the functions that it calls, read from outside.

    Raises NotFusible for a name whose value can change without being assigned anew.
    """

    def __init__(self, f):
        self._globals: list = []  # (dictionary, name, value)
        self._cells: list = []  # (cell, value)
        self._defaults: list = []  # (function, its defaults, those by keyword)
        waiting, seen = [f], set()
        while waiting:
            function = waiting.pop()
            if function in seen or _is_trusted(function):
                continue
            if not isinstance(function, types.FunctionType):
                kind = type(function).__name__
                raise NotFusible(f"it is a {kind}, which may change: fuse a plain function")
            seen.add(function)
            for name, value in self._read(function):
                waiting += _functions_in(name, value)

    def changed(self):
        """Whether a name has another value than when the function was traced."""
        for names, name, value in self._globals:
            if names.get(name, MISSING) is not value:
                return True
        for cell, value in self._cells:
            if _contents(cell) is not value:
                return True
        for function, values, by_keyword in self._defaults:
            if function.__defaults__ is not values or function.__kwdefaults__ != by_keyword:
                return True
        return False

    def _read(self, function):
        """(name, value) of everything that one function reads from outside."""
        by_keyword = function.__kwdefaults__
        self._defaults.append((function, function.__defaults__, by_keyword and dict(by_keyword)))
        for value in (*(function.__defaults__ or ()), *(by_keyword or {}).values()):
            yield "a default", value
        cells = function.__closure__ or ()
        for cell, name in zip(cells, function.__code__.co_freevars, strict=True):
            value = _contents(cell)
            self._cells.append((cell, value))
            yield name, value
        for name in sorted(_global_names(function.__code__)):
            value = function.__globals__.get(name, MISSING)
            self._globals.append((function.__globals__, name, value))
            if value is not MISSING:
                yield name, value
            elif name in READERS:
                raise NotFusible(f"it calls {name}")


def _contents(cell):
    try:
        return cell.cell_contents
    except ValueError:  # a name that has no value yet
        return MISSING


def _global_names(code):
    """The global names that some code, and the code inside it, reads."""
    names = set()
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
            raise NotFusible(f"it assigns the global name {instruction.argval}")
        if instruction.opname == "IMPORT_NAME":
            raise NotFusible(f"it imports {instruction.argval}")
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names.add(instruction.argval)
        if instruction.argval == "random":
            raise NotFusible("it takes random numbers")
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _global_names(constant)
    return names


def _is_trusted(function):
    """Whether a function is of a library that computes the same from the same arguments."""
    plain = types.FunctionType, types.BuiltinFunctionType, np.ufunc
    return isinstance(function, plain) and _root(getattr(function, "__module__", None)) in TRUSTED


def _root(module):
    return (module or "").partition(".")[0]


def _functions_in(name, value):
    """The functions to be read as well; NotFusible for what may change unseen."""
    if isinstance(value, types.FunctionType):
        if hasattr(value, "fuses"):
            return [value.fuses]
        if not _is_trusted(value) and vars(value):
            raise NotFusible(f"{name} is a function with attributes, which may change")
        return [value]
    if isinstance(value, (tuple, frozenset)):
        return [function for each in value for function in _functions_in(name, each)]
    if isinstance(value, Tensor):
        raise NotFusible(f"{name} is a Tensor from outside: pass it as an argument")
    if isinstance(value, np.generic):  # np.float64 is a float, too
        raise NotFusible(f"{name} is a number of NumPy: write float({name})")
    trusted = (
        isinstance(value, types.ModuleType) and _root(value.__name__) in TRUSTED,
        isinstance(value, types.BuiltinFunctionType) and value.__module__ in TRUSTED,
        isinstance(value, (np.ufunc, *CONSTANTS)) or value is MISSING or value is math,
        isinstance(value, type) and _root(value.__module__) in TRUSTED,
    )
    if not any(trusted):
        kind = type(value).__name__
        raise NotFusible(
            f"{name} is from outside, a {kind} that may change: pass it as an argument"
        )
    return []
