"""How the kernels of this folder are compiled, and where the machine code is kept.

numba notices that a file has changed, but not that a file has which it calls into. So the machine
code of all kernels lies in a folder named after the contents of all their files.
"""

import hashlib
import tempfile
from pathlib import Path

import numba

HERE = Path(__file__).parent

# Sums may be reordered and products fused; NaN, infinities and divisions are what they are.
FASTMATH = {"reassoc", "contract", "arcp", "nsz"}
OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": FASTMATH}


def _cache_folder():
    """NUMBA_CACHE_DIR if it is set, else __pycache__ beside this file, else the temporary one."""
    digest = hashlib.sha256()
    for path in sorted(HERE.glob("*.py")):
        digest.update(path.read_bytes())
    name = f"tinygrad_like-{digest.hexdigest()[:12]}"
    base = Path(numba.config.CACHE_DIR or HERE / "__pycache__")
    try:
        (base / name).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=base / name):
            return str(base / name)
    except OSError:  # a read-only installation
        return str(Path(tempfile.gettempdir()) / name)


_CACHE = _cache_folder()


def jit(function):
    """Compile a kernel at its first call, for the types of its arguments, or load it from disk."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = _CACHE
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    finally:
        numba.config.CACHE_DIR = before
