"""Files for states: `save` and `load` nested dicts of arrays and settings. Never pickle.

`Checkpoint` is the file of a training run, with all that it needs to go on after it was stopped.

The format is safetensors. An array is a tensor, named by its keys joined with "/"; the tree of
dicts, lists and settings is JSON in the file's metadata, where `{"/array": name}` stands for an
array and `{"/tuple": [...]}` for a tuple (keys hold no "/", so nothing else can look like these).
A CRC32 over all metadata, names, types, shapes and values tells an altered file.
"""

import glob
import json
import os
import secrets
import shutil
import time
import zlib
from contextlib import suppress
from typing import Any

import numpy as np

from tinygrad_like import backend

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
    "F32": "float32",
    "F64": "float64",
}

# One key, since safetensors writes several in an order of its own: equal states, equal files.
METADATA = "tinygrad_like"
ARRAY, TUPLE = "/array", "/tuple"


class State(dict):
    """A dict of arrays that may have another library's layout: of a file that `save` did not write.

    `layout` is "pt" for PyTorch's, "unknown" for a file that does not say (PyTorch's most often do
    not). `dict(state)` is without it.
    """

    def __init__(self, arrays, layout):
        super().__init__(arrays)
        self.layout = layout


class FileError(ValueError):
    """A file that cannot be loaded as it is: truncated, altered or of another format."""


def save(path, state):
    """Write a nested dict with string keys to a safetensors file, whole or not at all.

    Its leaves are arrays (NumPy's, Tensors, anything with `.numpy()` or `__array__`), ints, floats,
    bools, strings and None, also in lists and tuples. All come back exactly, arrays as NumPy's.
    A flat dict of arrays gives a plain safetensors file with the same keys. Equal states give
    equal bytes.

    Raises TypeError for a leaf, key or array type that cannot be kept, and ValueError for a key
    with "/", each naming the key; OSError when the disk refuses. An older file is then intact.

    >>> save("model.safetensors", {"weight": np.ones((2, 3)), "step": 7})  # doctest: +SKIP
    """
    from safetensors.numpy import save as to_bytes

    if not isinstance(state, dict):
        raise TypeError(f"[save] state is a {type(state).__name__}, expected a dict")
    arrays: dict[str, np.ndarray] = {}
    tree = _encode(state, (), arrays)
    layout = state.layout if isinstance(state, State) else None
    metadata = {"tree": tree} if layout is None else {"tree": tree, "layout": layout}
    metadata["crc32"] = _checksum(tree if layout is None else [tree, layout], arrays)
    _write(path, to_bytes(arrays, {METADATA: json.dumps(metadata)}))


def load(path):
    """Read the nested dict that `save` wrote; of other safetensors files, the flat dict of arrays.

    Raises FileError for a file that is truncated, altered, of another format, or with a tensor of a
    type that NumPy lacks (bfloat16); FileNotFoundError, like `open`, for none.

    >>> load("model.safetensors")["step"]  # doctest: +SKIP
    7
    """
    metadata, arrays = _read(path)
    if METADATA not in metadata:
        if any(text.startswith('{"tree"') for text in metadata.values()):
            raise _altered(path, f"the name of its metadata is not {METADATA!r}")
        layout = metadata.get("format", "unknown")
        return State(arrays, layout) if layout in ("pt", "unknown") else arrays
    try:
        ours = json.loads(metadata[METADATA])
        tree, checksum, layout = ours["tree"], ours["crc32"], ours.get("layout")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise _altered(path, "its metadata cannot be read") from None
    found = _checksum(tree if layout is None else [tree, layout], arrays)
    if checksum != found:
        raise _altered(path, f"its CRC32 is {found}, expected {checksum}")
    state = _decode(tree, arrays)
    return state if layout is None else State(state, layout)


class Checkpoint:
    """All that a training run needs to go on after it was stopped, in one file.

    Args:
        path: of the file.
        settings: what the run was started with, a dict of numbers and strings. Only a run with
            equal settings goes on.
        parts: by name, what the next step depends on: model, optimizer, schedule, loader, or
            anything else with `state_dict()` and `load_state_dict(state)`. The state of the
            random generator is always kept, too.

    A run that was killed, and goes on from its file, takes the very steps that it would have
    taken. A file of the same parts, settings and progress has the same bytes.

    >>> import tinygrad_like as tg
    >>> model = tg.nn.Dense(2, 3)
    >>> optimizer = tg.optim.Adam(model.parameters(), lr=1e-2)
    >>> checkpoint = tg.io.Checkpoint("run.safetensors", {"lr": 1e-2}, model=model, adam=optimizer)
    >>> checkpoint.save(step=7)  # doctest: +SKIP
    >>> checkpoint.load()  # doctest: +SKIP
    {'step': 7}
    """

    def __init__(self, path, settings, **parts):
        self.path, self.settings, self.parts = path, settings, parts
        self._touched = time.monotonic()

    @property
    def age(self):
        """Seconds since the file was saved or loaded, or this object was made."""
        return time.monotonic() - self._touched

    def save(self, **progress):
        """Write the file; `progress` is what else the run has to know, for `load` to return.

        Raises as `tg.io.save` does, and ValueError for progress under the name of a part.
        """
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"random": backend.get_rng_state(), "settings": self.settings}
        taken = sorted(state.keys() & progress.keys())
        if taken:
            raise ValueError(f"[Checkpoint] progress has the names of other states: {taken}")
        save(self.path, state | progress)
        self._touched = time.monotonic()

    def load(self):
        """Give every part and the random generator the state in the file; returns the progress.

        Raises as `tg.io.load` and the parts do, FileError for a file that lacks a part, and
        ValueError for one of a run with other settings, naming those.
        """
        state = load(self.path)
        expected = {*self.parts, "random", "settings"}
        if not expected <= state.keys():
            raise FileError(
                f"[Checkpoint] {self.path} is the file of something else: it lacks "
                f"{sorted(expected - state.keys())}; nothing was changed"
            )
        self._check_settings(state["settings"])
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        backend.set_rng_state(state["random"])
        self._touched = time.monotonic()
        return {name: value for name, value in state.items() if name not in expected}

    def _check_settings(self, found):
        ours = self.settings
        names = [name for name in ours | found if ours.get(name) != found.get(name)]
        if names:
            theirs, ours = ({k: s[k] for k in names if k in s} for s in (found, ours))
            raise ValueError(
                f"[Checkpoint] {self.path} is of a run with {theirs}, this one has {ours}; "
                "give the same settings, or begin a new run; nothing was changed"
            )


def _altered(path, reason):
    return FileError(f"[load] {path} was altered after it was saved: {reason}; nothing was changed")


def _encode(value, path, arrays):
    """`value` as JSON can hold it; its arrays go into `arrays` under their joined `path`."""
    name = "/".join(path)
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"[save] {name!r} has the key {key!r}, expected a string")
            if "/" in key:
                raise ValueError(f'[save] {name!r} has the key {key!r}, expected no "/" in it')
        return {key: _encode(child, (*path, key), arrays) for key, child in value.items()}
    if type(value) in (list, tuple):
        items = [_encode(child, (*path, str(i)), arrays) for i, child in enumerate(value)]
        return items if type(value) is list else {TUPLE: items}
    if value is None or type(value) in (bool, int, float, str):
        return value
    arrays[name] = _as_array(value, name)
    return {ARRAY: name}


def _decode(node, arrays):
    """The inverse of `_encode`."""
    if isinstance(node, list):
        return [_decode(child, arrays) for child in node]
    if not isinstance(node, dict):
        return node
    if ARRAY in node:
        return arrays[node[ARRAY]]
    if TUPLE in node:
        return tuple(_decode(child, arrays) for child in node[TUPLE])
    return {key: _decode(child, arrays) for key, child in node.items()}


def _as_array(value, name):
    """A leaf as the C-contiguous NumPy array, in native byte order, that safetensors expects."""
    if name == "__metadata__":
        raise ValueError("[save] '__metadata__' cannot name an array: safetensors reserves it")
    if hasattr(value, "numpy"):
        value = value.numpy()
    elif not hasattr(value, "__array__"):
        raise TypeError(
            f"[save] {name!r} is a {type(value).__name__}, expected an array, a number, a bool, "
            f"a string or None, or a dict, list or tuple of these"
        )
    array = np.asarray(value, order="C")
    if array.dtype.name not in DTYPES.values():
        raise TypeError(
            f"[save] {name!r} is an array of {array.dtype}, expected one of "
            f"{', '.join(DTYPES.values())}"
        )
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _checksum(tree, arrays):
    """CRC32 over the tree and each array's name, type, shape and values, in hexadecimal."""
    crc = zlib.crc32(json.dumps(tree).encode())
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(json.dumps([name, array.dtype.name, array.shape]).encode(), crc)
        crc = zlib.crc32(array.reshape(-1).view(np.uint8), crc)
    return f"{crc:08x}"


def _write(path, content):
    """Replace a file in one step, by way of a temporary file beside it."""
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"[save] there is no folder {folder!r} for {path}")
    exists = os.path.exists(target)
    if exists and not os.path.isfile(target):
        raise FileError(f"[save] {path} is a folder or a device, expected a file or a new name")
    _remove_stale(target)
    with _open_temporary(target) as file:
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if exists:
                shutil.copymode(target, file.name)
            if fcntl is None:
                file.close()  # Windows renames no open file
            os.replace(file.name, target)
        except BaseException:
            file.close()
            with suppress(FileNotFoundError):
                os.unlink(file.name)
            raise


# A process that is killed while it saves leaves its temporary file behind. The next save removes
# it, and knows it from one that is being written by its lock, which the system lets go of.


def _open_temporary(target):
    """A new file beside `target`, open, and locked until it is closed."""
    while True:
        file = open(f"{target}.{secrets.token_hex(4)}.tmp", "xb")  # noqa: SIM115
        if fcntl is None:
            return file
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.path.exists(file.name):  # else another process was faster to take it for stale
            return file
        file.close()


def _remove_stale(target):
    """Remove the temporary files beside `target` that no process is writing."""
    if fcntl is None:
        return
    for name in glob.glob(f"{glob.escape(target)}.{'[0-9a-f]' * 8}.tmp"):
        with suppress(OSError), open(name, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name)


def _read(path):
    """The metadata and the arrays of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    # Python's own errors for a missing file or a folder are clearer than safetensors'.
    open(path, "rb").close()
    try:
        with safe_open(path, framework="np") as file:
            names = file.keys()
            arrays = {name: _tensor(file, name, path) for name in names}
            return dict(file.metadata() or {}), arrays
    except SafetensorError as error:
        raise FileError(
            f"[load] {path} is truncated, altered or not a safetensors file ({error}); "
            f"nothing was changed"
        ) from error


def _tensor(file, name, path):
    dtype = file.get_slice(name).get_dtype()
    if dtype not in DTYPES:
        raise FileError(
            f"[load] {path}: tensor {name!r} is of type {dtype}, expected one of "
            f"{', '.join(DTYPES)}; convert it to F32 first; nothing was changed"
        )
    return file.get_tensor(name)
