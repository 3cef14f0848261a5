"""Compares the array API with array-api-strict and prints how many of its functions agree.

    python tests/cases/array_api/standard_count.py

A function agrees if all its rows do: the values up to rounding, with the signs of zeros, the shapes
and the dtypes. Rows that array-api-strict refuses are undefined in the standard and do not count.
"""

import warnings

import numpy as np
from standard_creation import rows as of_creation
from standard_elements import rows as of_elements
from standard_further import rows as further
from standard_matrices import rows as of_matrices

import tinygrad_like as tg

STRICT_ALONE = {
    *("ArrayAPIStrictFlags", "Device", "__version__", "get_array_api_strict_flags"),
    *("reset_array_api_strict_flags", "set_array_api_strict_flags"),
}
ROUNDING = 16  # in units of the last place


def names(strict):
    """What the standard has, by array-api-strict's lists: `add`, `linalg.qr`, `array.__add__`."""
    found = {name for name in strict.__all__ if name not in {*STRICT_ALONE, "linalg", "fft"}}
    for room in ("linalg", "fft"):
        found |= {f"{room}.{name}" for name in getattr(strict, room).__all__}
    found |= {"linalg.eig", "linalg.eigvals"}  # in it, but not in its list
    return found | {name for name in ROWS if name.startswith("array.")}


ROWS = {**of_creation(), **of_elements(), **further(), **of_matrices()}


def plain(value, default=False):
    """A result as NumPy arrays, names of dtypes and Python's values, in tuples."""
    if isinstance(value, (tuple, list)):
        return tuple(plain(v, default) for v in value)
    if isinstance(value, dict):
        return {k: plain(v, default) for k, v in value.items()}
    if hasattr(value, "__array_namespace__"):
        return np.asarray(value)
    text = getattr(value, "name", None) or str(value)
    return text.rpartition(".")[2] if "array_api_strict" in repr(value) else value


def differs(ours, theirs, default):
    """What differs between two plain results; None if they agree."""
    if isinstance(theirs, tuple):
        if not isinstance(ours, tuple) or len(ours) != len(theirs):
            return f"{ours!r} instead of {theirs!r}"
        parts = (differs(a, b, default) for a, b in zip(ours, theirs, strict=True))
        return next((p for p in parts if p), None)
    if isinstance(theirs, dict):
        same = isinstance(ours, dict) and ours.keys() == theirs.keys()
        return (
            differs(tuple(map(ours.get, theirs)), tuple(theirs.values()), default)
            if same
            else "keys"
        )
    if not isinstance(theirs, np.ndarray):
        same = str(ours) == str(theirs)
        return None if same else f"{ours!r} instead of {theirs!r}"
    if not isinstance(ours, np.ndarray) or ours.shape != theirs.shape:
        return f"{ours!r} instead of {theirs!r}"
    if default:  # the default floating dtype is float32 here, float64 there
        theirs = theirs.astype(
            {"f": "float32", "c": "complex64"}.get(theirs.dtype.kind, theirs.dtype)
        )
    if ours.dtype != theirs.dtype:
        return f"{ours.dtype} instead of {theirs.dtype}"
    return None if agree(ours, theirs) else f"{ours!r} instead of {theirs!r}"


def agree(a, b):
    """Whether arrays of one dtype agree up to rounding, NaN and the signs of zeros included."""
    if a.dtype.kind == "c":
        size = np.nan_to_num(np.abs(b), nan=0, posinf=0)
        return near(a.real, b.real, size) and near(a.imag, b.imag, size)
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    zeros = (a == 0) & (b == 0)
    signs = np.signbit(a)[zeros] == np.signbit(b)[zeros]
    return bool(signs.all()) and near(a, b, np.nan_to_num(np.abs(b), nan=0, posinf=0))


def near(a, b, size):
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    limit = ROUNDING * np.finfo(a.dtype).eps * size + np.finfo(a.dtype).smallest_subnormal
    return bool((same | (np.abs(a - b) <= limit)).all())


def disagreements(name, strict, most=None):
    """What is wrong with each row of a function that array-api-strict computes, as text.

    With `most` about so many of the rows are compared, evenly chosen.
    """
    found, compared = [], 0
    step = 1 if most is None else -(-len(ROWS[name]) // most)
    for i, call in list(enumerate(ROWS[name]))[::step]:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                theirs = plain(call(strict))
            except (TypeError, ValueError, IndexError, OverflowError, NotImplementedError):
                continue
            compared += 1
            try:
                ours = plain(call(tg.array_api))
            except Exception as error:
                found.append(f"row {i}: {type(error).__name__} {error}")
                continue
            problem = differs(ours, theirs, getattr(call, "default", False))
            if problem:
                found.append(f"row {i}: {problem}")
    return found if compared else ["no row is compared"]


def compared(strict, most=None):
    """{name: what disagrees, a list} of all that the standard has."""
    return {
        name: disagreements(name, strict, most) if name in ROWS else ["has no row"]
        for name in sorted(names(strict))
    }


def main():
    import array_api_strict

    found = compared(array_api_strict)
    wrong = {name: problems for name, problems in found.items() if problems}
    for name, problems in wrong.items():
        print(f"{name}: {len(problems)} of {len(ROWS.get(name, []))} rows, {problems[0]}"[:400])
    version = array_api_strict.__version__
    print(f"{len(found) - len(wrong)} of {len(found)} agree with array-api-strict {version}")


if __name__ == "__main__":
    main()
