"""How the kernels of this folder are compiled, and where the machine code is kept.

numba notices that a file has changed, but not that a file has which it calls into. So the machine
code of all kernels lies in a folder named after the contents of every file that they are made of:
those of kernels/cpu, the reference, whose constants they share, and what lies beside these.
"""

import errno
import functools
import hashlib
import inspect
import itertools
import tempfile
from pathlib import Path

import numba

from ...undo import Undoing

ROOM = Path(__file__).parents[1]  # kernels/cpu

# Sums may be reordered and products fused; NaN, infinities and divisions are what they are.
FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
FULL = errno.ENOSPC, errno.EDQUOT  # no room on the disk, or no more for this user
OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": FASTMATH}


def _cache_folder():
    """NUMBA_CACHE_DIR if it is set, else kernels/cpu/__pycache__, else the temporary one."""
    digest = hashlib.sha256()
    kernels = ROOM.parent
    folders = ROOM.rglob("*.py"), (kernels / "reference").glob("*.py"), kernels.glob("*.py")
    for path in sorted(itertools.chain(*folders)):
        digest.update(path.read_bytes())
    name = f"tinygrad_like-{digest.hexdigest()[:12]}"
    base = Path(numba.config.CACHE_DIR or ROOM / "__pycache__")
    try:
        (base / name).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=base / name):
            return str(base / name)
    except OSError:  # a read-only installation
        return str(Path(tempfile.gettempdir()) / name)


_CACHE = _cache_folder()


class _Cache(Undoing):
    """Inside this block numba keeps machine code in our folder."""

    def __enter__(self):
        config = numba.config
        self._at_end([functools.partial(setattr, config, "CACHE_DIR", config.CACHE_DIR)])
        config.CACHE_DIR = _CACHE


def jit(function):
    """Compile a kernel at its first call, for the types of its arguments, or load it from disk."""
    with _Cache():
        kernel = numba.njit(cache=True, **OPTIONS)(function)
    # A part of numba that is not documented: without it, a full disk is an error, and no more.
    cache = getattr(kernel, "_cache", None)
    if hasattr(cache, "save_overload"):
        cache.save_overload = _unless_full(cache.save_overload)
    return kernel


def _unless_full(save):
    """Machine code that finds no room on the disk is not kept: it runs all the same."""

    def save_if_possible(signature, code):
        try:
            save(signature, code)
        except OSError as error:
            if error.errno not in FULL:
                raise

    return save_if_possible


def ufunc(function):
    """A function that returns a NumPy ufunc of a function of float32 or float64 numbers.

    It is compiled when it is first asked for, and starts as soon as NumPy's own, in a fifth of a
    kernel's time, but runs on one thread: for small arrays.
    """

    @functools.cache
    def compiled():
        count = len(inspect.signature(function).parameters)
        kinds = [f"{real}({', '.join([real] * count)})" for real in ("float32", "float64")]
        with _Cache():
            try:
                return numba.vectorize(kinds, cache=True)(function).ufunc
            except OSError as error:  # as in `_unless_full`
                if error.errno not in FULL:
                    raise
                return numba.vectorize(kinds)(function).ufunc

    return compiled
