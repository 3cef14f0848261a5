"""How the CPU's kernels are compiled, and where the machine code is kept.

numba notices that a kernel's own file has changed, but not that a file has whose functions it
calls. So the machine code lies in a folder named after a hash of every file that may take part: all
of kernels/cpu, the reference, whose constants the kernels share, and the files beside both.
"""

import contextlib
import errno
import functools
import hashlib
import inspect
import os
import stat
import sys
import tempfile
import types
from pathlib import Path

import numba

from ...undo import Undoing

ROOM = Path(__file__).parents[1]  # kernels/cpu

# Sums may be reordered, a product and a sum fused, a division made a product with the reciprocal,
# and the sign of a zero lost; NaN and infinities keep their meaning.
FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
FULL = errno.ENOSPC, errno.EDQUOT  # the disk is full, or this user's share of it
OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": FASTMATH}


def _cache_folder():
    """A folder in NUMBA_CACHE_DIR if that is set, else in kernels/cpu/__pycache__.

    Where neither can be written, one in the system's folder for temporary files.
    """
    digest = hashlib.sha256()
    kernels = ROOM.parent
    folders = kernels, kernels / "reference", *_folders(ROOM)
    for path in sorted(path for folder in folders for path in folder.glob("*.py")):
        digest.update(path.read_bytes())
    name = f"tinygrad_like-{digest.hexdigest()[:12]}"
    base = Path(numba.config.CACHE_DIR or ROOM / "__pycache__")
    try:
        (base / name).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=base / name):
            return str(base / name)
    except OSError:  # a read-only installation
        return str(_private_folder(name))


def _folders(room):
    """A folder and those in it, without Python's caches, which may hold thousands of files."""
    for folder, inner, _ in os.walk(room):
        inner[:] = [name for name in inner if name != "__pycache__"]
        yield Path(folder)


def _private_folder(name):
    """A folder for temporary files into which no other user can put code for us to load."""
    if not hasattr(os, "getuid"):  # Windows, where each user has such a folder
        return Path(tempfile.gettempdir()) / name
    folder = Path(tempfile.gettempdir()) / f"{name}-{os.getuid()}"
    with contextlib.suppress(FileExistsError):  # a file or a link that another user put there
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    private = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return folder if private and not found.st_mode & 0o022 else Path(tempfile.mkdtemp(prefix=name))


_CACHE = _cache_folder()


class _Cache(Undoing):
    """A `with` block in which numba keeps machine code in our folder."""

    def __enter__(self):
        config = numba.config
        self._at_end([functools.partial(setattr, config, "CACHE_DIR", config.CACHE_DIR)])
        config.CACHE_DIR = _CACHE


def jit(function):
    """Compile a kernel at its first call, for the types of its arguments, or load it from disk."""
    with _Cache():
        kernel = numba.njit(cache=True, **OPTIONS)(function)
    # numba does not document this part of it. Should it go, a full disk becomes an error again.
    cache = getattr(kernel, "_cache", None)
    if hasattr(cache, "save_overload"):
        cache.save_overload = _unless_full(cache.save_overload)
    return kernel


def _unless_full(save):
    """The function `save`, except that code is not kept where the disk is full: it runs anyway."""

    def save_if_possible(signature, code):
        try:
            save(signature, code)
        except OSError as error:
            if error.errno not in FULL:
                raise

    return save_if_possible


def jit_text(text, scope):
    """A module made of a text, whose global names are those of `scope`, and `jit`.

    The text is put in a file beside the machine code, named after a hash of the text. There numba,
    a debugger and a reader find it. It does not end in .py, as it is none of our sources. Where the
    disk is full, the text is compiled without a file, and machine code is not kept.
    """
    name = f"generated_{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    path = Path(_CACHE) / f"{name}.txt"
    module = types.ModuleType(f"{__package__}.{name}")
    sys.modules[module.__name__] = module  # machine code from the disk asks for it by its name
    vars(module).update(scope, jit=jit)
    try:
        if not path.exists():
            handle, unfinished = tempfile.mkstemp(dir=_CACHE)
            with open(handle, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(unfinished, path)
    except OSError:
        vars(module).update(jit=numba.njit(**OPTIONS))
    exec(compile(text, str(path), "exec"), vars(module))
    return module


def ufunc(function):
    """Returns a function that returns `function` as a NumPy ufunc of float32 and float64.

    The ufunc is compiled when it is first asked for. A call of it starts as quickly as one of
    NumPy's own, in a fifth of a kernel's time, but runs on one thread: it is for small arrays.
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
