"""Launches on the emulated device, for `launcher`, and the lines of the source in its reports."""

import ctypes
import functools
import re
import subprocess
import threading
from typing import NamedTuple

from ...undo import Undoing
from .array import DeviceArray
from .build import KernelFault, library


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("start", ctypes.c_void_p),
        ("bytes", ctypes.c_uint64),
        ("element", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
    )


class Counters(ctypes.Structure):
    """What launches moved: pass one to `run(checked=True, counters=...)`, which adds to it.

    `global_loads`, `global_stores`, `shared_loads` and `shared_stores` are requests of a warp,
    `load_sectors` and `store_sectors` the 32-byte sectors of global memory that they moved,
    `wavefronts` the passes through shared memory, `conflicts` those beyond the least possible.
    """

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            *("global_loads", "global_stores", "load_sectors", "store_sectors"),
            *("shared_loads", "shared_stores", "wavefronts", "conflicts"),
        )
    )

    def __repr__(self):
        return f"Counters({', '.join(f'{k}={v}' for k, v in self.as_dict().items())})"

    def as_dict(self):
        """{name: count}."""
        return {name: getattr(self, name) for name, _ in self._fields_}


class _Launch(ctypes.Structure):
    _fields_ = (
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("dynamic_shared", ctypes.c_uint64),
        ("schedule", ctypes.c_uint32),
        ("checked", ctypes.c_uint32),
        ("planted", ctypes.c_uint32),
        ("access_limit", ctypes.c_uint64),
        ("buffers", ctypes.POINTER(_Buffer)),
        ("buffer_count", ctypes.c_uint32),
        ("counters", ctypes.POINTER(Counters)),
        ("stacks", ctypes.c_void_p),
    )


class _TensorMap(ctypes.Structure):
    """EmulatorTensorMap of interface.hpp."""

    _fields_ = (
        ("base", ctypes.c_void_p),
        ("sizes", ctypes.c_uint64 * 3),
        ("strides", ctypes.c_uint64 * 3),
        ("box", ctypes.c_uint32 * 3),
        ("element", ctypes.c_uint32),
        ("swizzled", ctypes.c_uint32),
        ("unused", ctypes.c_char * 48),
        ("magic", ctypes.c_uint32),
    )


TENSOR_MAP = 0x70A57E45


class Mode(NamedTuple):
    """How launches run."""

    schedule: int = 0
    checked: bool = False  # whether every access to memory is watched
    replace: object = None  # a function from a launcher.Build to another text for it, or to None
    planted: int = 0  # the number of the bug in such a text that is active
    counters: Counters | None = None  # of checked launches
    capability: int = 90  # what the emulated device says that it is
    access_limit: int = 1 << 31  # checked accesses; a launch beyond it is endless


class _Modes(threading.local):
    mode = Mode()


_modes = _Modes()
_one_launch = threading.Lock()


class run(Undoing):
    """A context in which launches of this Python thread run by a schedule (see scheduler.cpp).

    With `checked` every access is watched, which costs a factor of ten. `further` are the other
    fields of `Mode`; with them a test plants bugs in kernels, or emulates an older device.
    """

    def __init__(self, schedule=0, checked=False, **further):
        self._mode = Mode(schedule, checked, **further)

    def __enter__(self):
        self._at_end([functools.partial(setattr, _modes, "mode", _modes.mode)])
        _modes.mode = self._mode


class _Target:
    """The emulated device, for `launcher.add_target`."""

    array_type = DeviceArray
    problem = None
    is_whole = False

    def raw(self, array):
        a = array._array
        return array.address, a.dtype, a.flags.c_contiguous, a.size

    def capability(self):
        return _modes.mode.capability

    def tensor_map(self, view):
        element = view.array._array.itemsize
        strides = (ctypes.c_uint64 * 3)(*(step * element for step in view.steps))
        sizes, box = (ctypes.c_uint64 * 3)(*view.sizes), (ctypes.c_uint32 * 3)(*view.box)
        base = ctypes.c_void_p(view.array.address)
        return _TensorMap(base, sizes, strides, box, element, 1, b"", TENSOR_MAP)

    def load(self, kernel):
        return functools.partial(functools.partial, _launch, kernel)


TARGET = _Target()


def _launch(kernel, grid, block, arguments, shared):
    """Run one launch. Raises KernelFault, which says what went wrong, where and in which thread."""
    mode = _modes.mode
    text = mode.replace(kernel.build) if mode.replace else None
    loaded = load_library(kernel.build, mode.checked, text)
    named = zip(kernel.parameters, arguments, strict=True)
    arrays = [(p.name, array) for p, (_, array) in named if array is not None]
    buffers = (_Buffer * len(arrays))(
        *((a.address, a._array.nbytes, a._array.itemsize, name.encode()) for name, a in arrays)
    )
    launch = _Launch(
        *((ctypes.c_uint32 * 3)(*extent) for extent in (grid, block)),
        *(shared, mode.schedule, mode.checked, mode.planted, mode.access_limit),
        *(buffers, len(arrays), mode.counters and ctypes.pointer(mode.counters), _stacks(loaded)),
    )
    pointers = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(v) for v, _ in arguments))
    with _one_launch:
        failed = loaded.functions[kernel.name](ctypes.byref(launch), pointers)
        report = loaded.message().decode() if failed else None
    if report is not None:
        raise KernelFault(f"[{kernel.name}] {_with_lines(report, loaded.path)}")


_shared_stacks = None


def _stacks(loaded):
    """The address of the stacks of a block's threads.

    All libraries share them: each stack takes two mappings, and their number is limited.
    """
    global _shared_stacks
    with _one_launch:
        _shared_stacks = _shared_stacks or loaded.make_stacks()
    if not _shared_stacks:
        raise MemoryError("[cuda-emulator] no memory for the stacks of the threads of a block")
    return _shared_stacks


class _Library(NamedTuple):
    path: str
    functions: dict
    message: object
    make_stacks: object


_libraries: dict = {}


def load_library(build, checked, text=None):
    """Compile (or find in the cache) and load the library of a `launcher.Build`."""
    key = build, checked, text
    found = _libraries.get(key)
    if found is None:
        path = str(library(build, checked, text))
        shared_object = ctypes.CDLL(path)
        message, stacks = shared_object.emulator_message, shared_object.emulator_make_stacks
        message.restype, stacks.restype = ctypes.c_char_p, ctypes.c_void_p
        functions = {k: getattr(shared_object, f"launch_{k}") for k in build.source.signatures}
        found = _libraries[key] = _Library(path, functions, message, stacks)
    return found


def _with_lines(report, path):
    """A report in which each {offset} of code has become file:line."""
    return re.sub(r"\{([0-9a-f]+)\}", lambda m: _line_of(path, m[1]), report)


@functools.cache
def _line_of(path, offset):
    command = ["addr2line", "-e", path, "-i", f"0x{offset}"]
    try:
        done = subprocess.run(command, text=True, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return f"{path}+0x{offset}"
    lines = [line.rpartition("/")[2].partition(" ")[0] for line in done.stdout.split("\n")]
    # A function of ptx.cuh is one instruction: what matters is the line that calls it.
    ours = [line for line in lines if re.match(r"(?!ptx\.cuh:)[^:]*\.cuh?:", line)]
    return ours[0] if ours else lines[0]
