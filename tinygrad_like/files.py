"""Safetensors files as they lie on a disk: written whole or not at all, read as NumPy's arrays."""

import glob
import json
import os
import shutil
from contextlib import suppress
from typing import Any

import numpy as np

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

# safetensors' names of the types that are saved and loaded, and NumPy's.
DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",  # which NumPy lacks: loaded as float32, which holds the same values
    "F32": "float32",
    "F64": "float64",
}


class FileError(ValueError):
    """A file that cannot be loaded as it is: truncated, altered or of another format."""


def write(path, content):
    """Replace a file in one step, by way of a temporary file beside it."""
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"[save] there is no folder {folder!r} for {path}")
    exists = os.path.exists(target)
    if exists and not os.path.isfile(target):
        raise FileError(f"[save] {path} is a folder or a device, expected a file or a new name")
    _remove_stale(target)
    written = False
    while not written:
        temporary = f"{target}.{os.urandom(4).hex()}.tmp"
        try:
            written = _write_beside(target, temporary, content)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise


# A process that is killed while it saves leaves its temporary file behind. The next save removes
# it, and knows it from one that is being written by its lock, which the system lets go of.


def _write_beside(target, temporary, content):
    """Write a new file, locked until it is closed, and give it its name.

    Returns False if there is such a file, or if another process took it for stale.
    """
    try:
        file = open(temporary, "xb")  # noqa: SIM115
    except FileExistsError:
        return False
    with file:
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.path.exists(temporary):
                return False
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        if os.path.exists(target):
            shutil.copymode(target, temporary)
        if fcntl is None:
            file.close()  # Windows renames no open file
        os.replace(temporary, target)
    return True


def _remove_stale(target):
    """Remove the temporary files beside `target` that no process is writing."""
    if fcntl is None:
        return
    for name in glob.glob(f"{glob.escape(target)}.{'[0-9a-f]' * 8}.tmp"):
        with suppress(OSError), open(name, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name)


def read(path):
    """The metadata and the arrays of a safetensors file, and the names of those of bfloat16."""
    from safetensors import SafetensorError, safe_open

    # Python's own errors for a missing file or a folder are clearer than safetensors'.
    open(path, "rb").close()
    try:
        with safe_open(path, framework="np") as file:
            names = file.keys()
            dtypes = {name: file.get_slice(name).get_dtype() for name in names}
            _check_dtypes(path, dtypes)
            bfloat16 = [name for name, dtype in dtypes.items() if dtype == "BF16"]
            arrays = {name: file.get_tensor(name) for name in dtypes if name not in bfloat16}
            return dict(file.metadata() or {}), arrays | _bits(path, bfloat16), bfloat16
    except FileError:
        raise
    except (SafetensorError, ValueError, TypeError, OverflowError, LookupError) as error:
        raise FileError(
            f"[load] {path} is truncated, altered or not a safetensors file ({error}); "
            f"nothing was changed"
        ) from error


def _check_dtypes(path, dtypes):
    for name, dtype in dtypes.items():
        if dtype not in DTYPES:
            raise FileError(
                f"[load] {path}: tensor {name!r} is of type {dtype}, expected one of "
                f"{', '.join(DTYPES)}; convert it to F32 first; nothing was changed"
            )


def _bits(path, names):
    """The tensors of bfloat16, as arrays of uint16: the file's header says where they are."""
    if not names:
        return {}
    with open(path, "rb") as file:
        start = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start))
    found = {}
    for name in names:
        (first, end), shape = header[name]["data_offsets"], header[name]["shape"]
        bits = np.fromfile(path, "<u2", (end - first) // 2, offset=8 + start + first)
        found[name] = bits.reshape(shape)
    return found


def widened(arrays, bfloat16):
    """Arrays of the bits of bfloat16 as float32: its upper half."""
    wide = {name: (arrays[name].astype(np.uint32) << 16).view(np.float32) for name in bfloat16}
    return arrays | wide
