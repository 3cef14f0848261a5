"""Files for states: `save` and `load` nested dicts of arrays and settings. Never pickle.

`Checkpoint` is the file of a training run, with all that it needs to go on after it was stopped.

The format is safetensors. An array is a tensor, named by its keys joined with "/"; the tree of
dicts, lists and settings is JSON in the file's metadata, where `{"/array": name}` stands for an
array and `{"/tuple": [...]}` for a tuple (keys hold no "/", so nothing else can look like these).
A CRC32 over all metadata, names, types, shapes and values tells an altered file.
"""

import copy
import glob
import json
import os
import secrets
import shutil
import time
import zlib
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import commit

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
    bools, strings and None, also in lists and tuples. All come back exactly, arrays as NumPy's;
    arrays of bfloat16 (of ml_dtypes) come back as float32, with the same values. A flat dict of
    arrays gives a plain safetensors file with the same keys. Equal states give equal bytes.

    Raises TypeError for a leaf, key or array type that cannot be kept, and ValueError for a key
    with "/", each naming the key; OSError when the disk refuses. An older file is then intact, and
    nothing of the new one is left.

    >>> save("model.safetensors", {"weight": np.ones((2, 3)), "step": 7})  # doctest: +SKIP
    """
    from safetensors.numpy import save as to_bytes

    if not isinstance(state, dict):
        raise TypeError(f"[save] state is a {type(state).__name__}, expected a dict")
    path = _checked_path("save", path)
    arrays: dict[str, np.ndarray] = {}
    try:
        tree = _encode(state, (), arrays)
    except RecursionError:
        raise ValueError("[save] state is nested too deeply, or holds itself") from None
    layout = state.layout if isinstance(state, State) else None
    metadata = {"tree": tree} if layout is None else {"tree": tree, "layout": layout}
    metadata["crc32"] = _checksum(tree if layout is None else [tree, layout], arrays)
    _write(path, to_bytes(arrays, {METADATA: json.dumps(metadata)}))


def load(path):
    """Read the nested dict that `save` wrote; of other safetensors files, the flat dict of arrays.

    bfloat16, which NumPy lacks, becomes float32.

    Raises FileError for a file that is truncated, altered, of another format, or with a tensor of a
    type that NumPy lacks (those of 8 bits and fewer); FileNotFoundError, like `open`, for none.

    >>> load("model.safetensors")["step"]  # doctest: +SKIP
    7
    """
    path = _checked_path("load", path)
    metadata, arrays, brief = _read(path)
    if METADATA not in metadata:
        if any(text.startswith('{"tree"') for text in metadata.values()):
            raise _altered(path, f"the name of its metadata is not {METADATA!r}")
        arrays, layout = _widened(arrays, brief), metadata.get("format", "unknown")
        return State(arrays, layout) if layout in ("pt", "unknown") else arrays
    try:
        ours = json.loads(metadata[METADATA])
        tree, checksum, layout = ours["tree"], ours["crc32"], ours.get("layout")
        found = _checksum(tree if layout is None else [tree, layout], arrays, brief)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _altered(path, "its metadata cannot be read") from None
    if checksum != found:
        raise _altered(path, f"its CRC32 is {found}, expected {checksum}")
    try:
        state = _decode(tree, _widened(arrays, brief))
    except (LookupError, TypeError, RecursionError):
        raise _altered(path, "its metadata names what is not there") from None
    if not isinstance(state, dict) or layout not in (None, "pt", "unknown"):
        raise _altered(path, "it holds no dict, or a dict of a layout that nobody writes")
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

    Raises TypeError for settings that are not a dict, and for a part without these two methods;
    ValueError for one that is called "random".

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
        if not isinstance(settings, dict):
            kind = type(settings).__name__
            raise TypeError(f"[Checkpoint] settings is a {kind}, expected a dict")
        for name, part in parts.items():
            if name == "random":
                raise ValueError(
                    "[Checkpoint] the name 'random' is taken, by the generator's state"
                )
            for method in ("state_dict", "load_state_dict"):
                if not callable(getattr(part, method, None)):
                    raise TypeError(
                        f"[Checkpoint] {name} is a {type(part).__name__}, expected an object with "
                        f"{method}; numbers and strings are for save(name=...)"
                    )
        self.path, self.settings, self.parts = _checked_path("Checkpoint", path), settings, parts
        self._touched = time.monotonic()

    @property
    def age(self):
        """Seconds since a save was tried, or the file loaded, or this object made."""
        return time.monotonic() - self._touched

    def save(self, **progress):
        """Write the file; `progress` is what else the run has to know, for `load` to return.

        Raises as `tg.io.save` does, and ValueError for progress under the name of a part.
        """
        self._touched = time.monotonic()  # also of a save that fails: who saves by age waits again
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
        ValueError for one of a run with other settings, naming those. Whatever is raised, Ctrl-C
        included, all parts are then as they were: those that were loaded already get back what
        their `state_dict` was.
        """
        state = load(self.path)
        expected = {*self.parts, "random", "settings"}
        settings = state.get("settings")
        lacking = sorted(expected - state.keys())
        if lacking or not isinstance(settings, dict) or _holds_arrays(settings):
            raise FileError(
                f"[Checkpoint] {self.path} is the file of something else: it lacks "
                f"{lacking or 'settings of a run'}; nothing was changed"
            )
        self._check_settings(settings)
        random = backend.get_rng_state()
        before = {name: copy.deepcopy(part.state_dict()) for name, part in self.parts.items()}
        undo = [partial(backend.set_rng_state, random)]
        try:
            for name, part in self.parts.items():
                undo.append(partial(part.load_state_dict, before[name]))
                part.load_state_dict(state[name])
            backend.set_rng_state(state["random"])
        except BaseException:
            commit(undo)
            raise
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


def _holds_arrays(settings):
    return any(isinstance(value, np.ndarray | np.generic) for value in settings.values())


def _checked_path(name, path):
    """A path; TypeError for what is neither a string nor a path object (a number opens a file!)."""
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise TypeError(f"[{name}] path is {path!r}, expected a string or a pathlib.Path")
    return path


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
        items = _decode(node[TUPLE], arrays)
        if type(items) is not list:
            raise TypeError
        return tuple(items)
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
    native = array.dtype if array.dtype.kind == "V" else array.dtype.newbyteorder("=")
    return array.astype(native, copy=False)


def _checksum(tree, arrays, brief=()):
    """CRC32 over the tree and each array's name, type, shape and values, in hexadecimal.

    The arrays whose names are in `brief` hold bfloat16, as integers of their bits.
    """
    crc = zlib.crc32(json.dumps(tree).encode())
    for name in sorted(arrays):
        array = arrays[name]
        dtype = "bfloat16" if name in brief else array.dtype.name
        crc = zlib.crc32(json.dumps([name, dtype, array.shape]).encode(), crc)
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
    written = False
    while not written:
        temporary = f"{target}.{secrets.token_hex(4)}.tmp"
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


def _read(path):
    """The metadata and the arrays of a safetensors file, and the names of those of bfloat16."""
    from safetensors import SafetensorError, safe_open

    # Python's own errors for a missing file or a folder are clearer than safetensors'.
    open(path, "rb").close()
    try:
        with safe_open(path, framework="np") as file:
            names = file.keys()
            dtypes = {name: file.get_slice(name).get_dtype() for name in names}
            _check_dtypes(path, dtypes)
            brief = [name for name, dtype in dtypes.items() if dtype == "BF16"]
            arrays = {name: file.get_tensor(name) for name in dtypes if name not in brief}
            return dict(file.metadata() or {}), arrays | _bits(path, brief), brief
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


def _widened(arrays, brief):
    """Arrays of the bits of bfloat16 as float32: its upper half."""
    wide = {name: (arrays[name].astype(np.uint32) << 16).view(np.float32) for name in brief}
    return arrays | wide
