"""Files for states: `save` and `load` nested dicts of arrays and settings. Never pickle.

`Checkpoint` is the file of a training run, with all that it needs to go on after it was stopped.

The format is safetensors. An array is a tensor, named by its keys joined with "/"; the tree of
dicts, lists and settings is JSON in the file's metadata, where `{"/array": name}` stands for an
array, `{"/tuple": [...]}` for a tuple and `{"/layout": [layout, {...}]}` for a State (keys hold no
"/", so nothing else can look like these).
A CRC32 over all metadata, names, types, shapes and values tells an altered file.
"""

import copy
import json
import os
import time
import zlib
from functools import partial

import numpy as np

from tinygrad_like import files
from tinygrad_like.engine import commit, errors
from tinygrad_like.engine.errors import describe
from tinygrad_like.files import DTYPES, FileError
from tinygrad_like.generator import check_rng_state, get_rng_state, set_rng_state

# One key, since safetensors writes several in an order of its own: equal states, equal files.
METADATA = "tinygrad_like"
ARRAY, TUPLE, LAYOUT = "/array", "/tuple", "/layout"
LAYOUTS = "pt", "unknown"


class State(dict):
    """A dict of arrays that may have another library's layout: of a file that `save` did not write.

    `layout` is "pt" for PyTorch's, "unknown" for a file that does not say (PyTorch's most often do
    not). A file keeps it, wherever the State stands in it; `dict(state)` is without it.
    """

    def __init__(self, arrays, layout):
        super().__init__(arrays)
        self.layout = layout


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
    tree, arrays = _encoded(state)
    metadata = {"tree": tree, "crc32": _checksum(tree, arrays)}
    files.write(path, to_bytes(arrays, {METADATA: json.dumps(metadata)}))


def check(state):
    """Raise what `save` would raise for a state that cannot be kept; nothing is written.

    >>> check({"weight": np.ones(2), "step": 7})
    >>> check({"a/b": 1})
    Traceback (most recent call last):
    ...
    ValueError: [save] '' has the key 'a/b', expected no "/" in it
    """
    _encoded(state)


def _encoded(state):
    """A state as JSON can hold it, and its arrays by name."""
    arrays: dict[str, np.ndarray] = {}
    try:
        return _encode(state, (), arrays), arrays
    except RecursionError:
        raise ValueError("[save] state is nested too deeply, or holds itself") from None


def load(path):
    """Read the nested dict that `save` wrote; of other safetensors files, the flat dict of arrays.

    bfloat16, which NumPy lacks, becomes float32.

    Raises FileError for a file that is truncated, altered, of another format, or with a tensor of a
    type that NumPy lacks (those of 8 bits and fewer); FileNotFoundError, like `open`, for none.

    >>> load("model.safetensors")["step"]  # doctest: +SKIP
    7
    """
    path = _checked_path("load", path)
    metadata, arrays, bfloat16 = files.read(path)
    if METADATA not in metadata:
        if any('"crc32": ' in text or text.startswith('{"tree"') for text in metadata.values()):
            raise _altered(path, f"the name of its metadata is not {METADATA!r}")
        arrays, layout = files.widened(arrays, bfloat16), metadata.get("format", "unknown")
        return State(arrays, layout) if layout in LAYOUTS else arrays
    try:
        ours = json.loads(metadata[METADATA])
        tree, checksum = ours["tree"], ours["crc32"]
        found = _checksum(tree, arrays, bfloat16)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _altered(path, "its metadata cannot be read") from None
    if checksum != found:
        raise _altered(path, f"its CRC32 is {found}, expected {checksum}")
    try:
        state = _decode(tree, files.widened(arrays, bfloat16))
    except (LookupError, TypeError, ValueError, RecursionError):
        raise _altered(path, "its metadata names what is not there") from None
    if not isinstance(state, dict):
        raise _altered(path, "it holds no dict")
    return state


class Checkpoint:
    """All that a training run needs to go on after it was stopped, in one file.

    Args:
        path: of the file.
        settings: what the run was started with, a dict of numbers, bools, strings and None, also
            in lists, tuples and dicts. Only a run with equal settings goes on.
        parts: by name, what the next step depends on: model, optimizer, schedule, loader, or
            anything else with `state_dict()` and `load_state_dict(state)`. The state of the
            random generator is always kept, too.

    Raises TypeError for settings that are not a dict of such values, and for a part without these
    two methods; ValueError for one that is called "random".

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
        self.path, self.parts = _checked_path("Checkpoint", path), parts
        self.settings = _plain("settings", settings)
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
        state |= {"random": get_rng_state(), "settings": self.settings}
        taken = sorted(state.keys() & progress.keys())
        if taken:
            raise ValueError(f"[Checkpoint] progress has the names of other states: {taken}")
        save(self.path, state | progress)
        self._touched = time.monotonic()

    def load(self, check=None):
        """Give every part and the random generator the state in the file; returns the progress.

        `check(progress)`, where it is given, is called before anything is changed, and may refuse
        the file by raising an error.

        Raises as `tg.io.load` and the parts do, FileError for a file that lacks a part, and
        ValueError for one of a run with other settings, naming those. Whatever is raised, Ctrl-C
        included, all parts are then as they were; or, if it came so late, all are loaded. A part of
        your own that was loaded already gets back what its `state_dict` was.
        """
        state = load(self.path)
        expected = {*self.parts, "random", "settings"}
        settings = state.get("settings")
        lacking = sorted(expected - state.keys())
        try:
            settings = None if lacking else _plain("settings", settings)
        except TypeError:
            settings = None
        if not isinstance(settings, dict):
            raise FileError(
                f"[Checkpoint] {self.path} is the file of something else: it lacks "
                f"{lacking or 'settings of a run'}; nothing was changed"
            )
        self._check_settings(settings)
        check_rng_state(state["random"])
        progress = {name: value for name, value in state.items() if name not in expected}
        if check is not None:
            check(progress)
        # The parts that are ours say what they would change, and change nothing before all fit.
        changes = [partial(set_rng_state, state["random"])]
        others = []
        for name, part in self.parts.items():
            loading = _loading(part)
            if loading is not None:
                changes += loading(part, state[name])
            else:
                others.append((part, state[name], copy.deepcopy(part.state_dict())))
        undo: list[partial] = []
        made: list[bool] = []
        try:
            for part, own, before in others:
                undo.append(partial(part.load_state_dict, before))
                part.load_state_dict(own)
            commit([*changes, partial(made.append, True)])
        except BaseException:
            if not made:
                commit(undo)
            raise
        self._touched = time.monotonic()
        return progress

    def _check_settings(self, found):
        ours = self.settings
        names = [name for name in ours | found if not _is_equal(ours.get(name), found.get(name))]
        if names:
            theirs, ours = ({k: s[k] for k in names if k in s} for s in (found, ours))
            raise ValueError(
                f"[Checkpoint] {self.path} is of a run with {theirs}, this one has {ours}; "
                "give the same settings, or begin a new run; nothing was changed"
            )


def _loading(part):
    """The method that has the changes of a part's `load_state_dict`; None for a class without one.

    A class that overrides `load_state_dict` alone has none.
    """
    if "load_state_dict" in vars(part):
        return None
    for owner in type(part).__mro__:
        if "_loading" in vars(owner) or "load_state_dict" in vars(owner):
            return vars(owner).get("_loading")
    return None


def _is_equal(a, b):
    """Whether two settings are equal; NaN, also within a list, is equal to NaN."""
    return a == b or repr(a) == repr(b)


def _plain(name, value):
    """A setting as a file gives it back, numbers as Python's; TypeError for what is none."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {key: _plain(f"{name}[{key!r}]", child) for key, child in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_plain(f"{name}[{i}]", child) for i, child in enumerate(value))
    if value is not None and type(value) not in (bool, int, float, str):
        raise TypeError(
            f"[Checkpoint] {name} is {describe(value)}, expected a number, a bool, a string or "
            "None, or a dict, list or tuple of these; an array goes into save(name=...)"
        )
    return value


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
        tree = {key: _encode(child, (*path, key), arrays) for key, child in value.items()}
        return {LAYOUT: [value.layout, tree]} if isinstance(value, State) else tree
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
    if LAYOUT in node:
        layout, tree = node[LAYOUT]
        arrays = _decode(tree, arrays)
        if layout not in LAYOUTS or type(arrays) is not dict:
            raise TypeError
        return State(arrays, layout)
    return {key: _decode(child, arrays) for key, child in node.items()}


def _as_array(value, name):
    """A leaf as the C-contiguous NumPy array, in native byte order, that safetensors expects."""
    if name == "__metadata__":
        raise ValueError("[save] '__metadata__' cannot name an array: safetensors reserves it")
    errors.refuse_masked("save", repr(name), value)
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


def _checksum(tree, arrays, bfloat16=()):
    """CRC32 over the tree and each array's name, type, shape and values, in hexadecimal.

    The arrays whose names are in `bfloat16` hold bfloat16, as integers of their bits.
    """
    crc = zlib.crc32(json.dumps(tree).encode())
    for name in sorted(arrays):
        array = arrays[name]
        dtype = "bfloat16" if name in bfloat16 else array.dtype.name
        crc = zlib.crc32(json.dumps([name, dtype, array.shape]).encode(), crc)
        crc = zlib.crc32(array.reshape(-1).view(np.uint8), crc)
    return f"{crc:08x}"
