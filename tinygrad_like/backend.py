"""From an array, or a device name, to the `Backend` that computes on it.

A backend is an array module (NumPy or CuPy) and a table of kernels of the same names. Everything
that differs between devices is here: copies, threads, memory, what is installed.
"""

import importlib
import logging
import sys
import threading
import zlib
from collections import deque
from functools import partial
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np

from tinygrad_like.kernels import reference
from tinygrad_like.kernels.reference.precision import (  # noqa: F401  for the floors above
    FLOATING,
    INEXACT,
    holds,
    in_one_dtype,
    is_half,
    narrow,
    result_dtype,
    wide,
    wide_dtype,
)
from tinygrad_like.kernels.reference.reduce import describe_reduction  # noqa: F401  as well
from tinygrad_like.kernels.undo import Undoing  # also for the floors above


class DeviceError(ValueError):
    """A device that is unknown, absent or broken, or arrays that live on two devices."""


_loading = threading.RLock()


class Kernels:
    """The kernels of the module that `load` returns at first use.

    A kernel that takes arrays of any layout, as its attribute `any_layout` says, gets them as they
    are; the others get C-contiguous arrays, as their contract asks.
    """

    def __init__(self, load, xp, array_type):
        self._load, self._xp, self._array_type = load, xp, array_type

    def __getattr__(self, name):
        """The first kernel that is asked for brings them all: numba takes its time to load."""
        with _loading:
            load = vars(self).get("_load")
            if load is not None:
                self._fill(load().KERNELS)
                del self._load  # only now: Ctrl-C may come while numba is loaded
        if name not in vars(self):
            raise AttributeError(f"there is no kernel {name!r}")
        return vars(self)[name]

    def _fill(self, kernels):
        for name, kernel in kernels.items():
            ready = kernel if kernel.any_layout else _contiguous(kernel, self._array_type, self._xp)
            setattr(self, name, ready)
        self.__class__ = _Loaded  # type: ignore[assignment]


class _Loaded:
    """The kernels once they are there: Python finds attributes faster without `__getattr__`."""


def _contiguous(kernel, array_type, xp):
    """A kernel that gets its arrays C-contiguous."""

    def ready(a):
        return a if type(a) is not array_type or a.flags.c_contiguous else xp.ascontiguousarray(a)

    return lambda *args: kernel(*map(ready, args))


class Backend:
    """The array module `xp` and the kernels `k` of one device."""

    __slots__ = ("array_type", "bfloat16", "device", "k", "tables", "xp")

    def __init__(self, device, xp, load_kernels, array_type, *, load_tf32=None, bfloat16=None):
        """`bfloat16` is the dtype of arrays of such numbers, None where there are none."""
        self.device, self.xp, self.array_type = device, xp, array_type
        self.bfloat16 = bfloat16
        loaders = {"ours": load_kernels, "vendor": lambda: reference, "tf32": load_tf32}
        self.tables = {name: Kernels(f, xp, array_type) for name, f in loaders.items() if f}
        self.tables.setdefault("tf32", self.tables["ours"])
        self.k: Any = self.tables["ours"]

    def __repr__(self):
        return f"Backend({self.device!r})"

    def __reduce__(self):
        """A copy, or what a pickle brings back, is the backend of that name itself."""
        return get, (self.device,)

    @property
    def special(self):
        """SciPy's special functions for this array module (loaded on first use)."""
        on_gpu = self.xp.__name__ == "cupy"
        return importlib.import_module("cupyx.scipy.special" if on_gpu else "scipy.special")

    def checked_dtype(self, name, dtype):
        """A dtype as NumPy's; TypeError, in the name of an op, unless arrays here can have it."""
        try:
            if dtype is None:  # which NumPy takes for float64
                raise TypeError
            dtype = np.dtype(dtype)
        except TypeError:
            raise TypeError(f"[{name}] dtype is {dtype!r}, expected one of NumPy's") from None
        if dtype.kind in "biufc":
            return np.dtype(dtype.type)  # in native order, and the one object that kernels know
        if self.bfloat16 is not None and dtype == self.bfloat16:
            return dtype
        raise TypeError(
            f"[{name}] dtype is {dtype}, expected one of numbers"
            + ("; bfloat16 is for GPUs, and for autocast" if dtype.name == "bfloat16" else "")
        )

    def from_host(self, array):
        """A NumPy array on this device; on the CPU the very same array."""
        return array if self.xp is np else self.xp.asarray(array)

    def to_host(self, array):
        """An array of this device as a NumPy array; on the CPU the very same array.

        bfloat16, which NumPy lacks, becomes float32.
        """
        if self.xp is np:
            return array
        return self.xp.asnumpy(array.astype(np.float32) if array.dtype.kind == "V" else array)

    def check_index(self, name, index, size):
        """Raise IndexError unless all of an integer array lie from -size to size - 1.

        NumPy would raise for itself; CuPy wraps around without a word.
        """
        if index.size and (int(index.min()) < -size or int(index.max()) >= size):
            raise IndexError(
                f"[{name}] index {int(index.max() if index.max() >= size else index.min())} is "
                f"out of range for an axis of length {size}"
            )

    def shares_memory(self, a, b):
        """Whether two arrays of this device may overlap in memory (cheap, by their bounds)."""
        return bool(self.xp.may_share_memory(a, b))

    def fingerprint(self, array):
        """A checksum of an array's values, to notice a change made behind the library's back."""
        return zlib.crc32(np.ascontiguousarray(self.to_host(array)).view(np.uint8).data)


def numba_problem():
    """Why the compiled kernels of the CPU cannot be used here, with the fix; None if they can."""
    try:
        importlib.import_module("numba")
    except ImportError as error:  # also of a numba that is too old for this NumPy
        return f"numba cannot be imported ({error}). Install it: pip install -U numba"
    return None


def _cpu_kernels():
    problem = numba_problem()
    if problem is not None:
        logging.getLogger(__name__).warning(
            "[backend] the CPU computes by NumPy alone, right but several times as slow: %s",
            problem,
        )
        return reference
    return importlib.import_module("tinygrad_like.kernels.cpu")


def _cuda_kernels():
    return importlib.import_module("tinygrad_like.kernels.cuda")


def _tf32_kernels():
    return importlib.import_module("tinygrad_like.kernels.cuda.tf32")


CPU = Backend("cpu", np, _cpu_kernels, np.ndarray)

# The backend of an array, by its exact type; CuPy's joins on first use.
BY_TYPE: dict[type, Backend] = {np.ndarray: CPU}
_BY_DEVICE: dict[str, Backend] = {"cpu": CPU}
_BACKENDS = [CPU]  # all of these


class _Default(threading.local):
    device = "cpu"


_default = _Default()


def get(device=None):
    """The backend of a device name: `"cpu"`, `"cuda"` or `"cuda-emulator"`; None: the default.

    Raises DeviceError with the exact fix if the device is unknown or cannot be used here.
    """
    name = _default.device if device is None else device
    found = _BY_DEVICE.get(name) if isinstance(name, str) else None
    if found is None:
        make = _MAKERS.get(name) if isinstance(name, str) else None
        if make is None:
            raise DeviceError(
                f"[device] unknown device {name!r}, expected 'cpu', 'cuda' or 'cuda-emulator'"
            )
        found = make()
        found.k = found.tables[_Choice.chosen]
        BY_TYPE[found.array_type] = _BY_DEVICE[name] = found
        _BACKENDS.append(found)
    return found


def is_device(name):
    """Whether a name is one of a device (usable here or not), rather than of a dtype."""
    return isinstance(name, str) and (name in _MAKERS or name in _BY_DEVICE)


def of(array):
    """The backend of an array; None if the object is no array that a backend knows."""
    found = BY_TYPE.get(type(array))
    if found is None and type(array).__module__.partition(".")[0] == "cupy":
        get("cuda")
        found = BY_TYPE.get(type(array))
    return found


def set_device(device):
    """Make `device` the place of tensors that are created without naming one (this thread)."""
    if device is None:
        raise DeviceError("[device] device is None, expected 'cpu', 'cuda' or 'cuda-emulator'")
    _default.device = get(device).device


def cuda_problem():
    """Why `device="cuda"` cannot be used here, with the fix; None if it can."""
    try:
        import cupy
    except ImportError as error:
        return f"CuPy is not installed ({error}). Install it: {_cupy_command()}"
    try:
        if cupy.cuda.runtime.getDeviceCount() > 0:
            return None
        return "CuPy is installed but sees no GPU. Check that nvidia-smi lists one"
    except Exception as error:  # CuPy raises many types for a broken driver or a wrong wheel
        return f"CuPy {cupy.__version__} is installed but CUDA does not answer ({error}). " + (
            f"Check the driver with nvidia-smi, or reinstall CuPy: {_cupy_command()}"
        )


def _cupy_command():
    return (
        "pip install 'tinygrad-like[cuda13]' for CUDA 13, or 'tinygrad-like[cuda]' for CUDA 12 "
        "(nvidia-smi shows the version)"
    )


def _cuda_backend():
    problem = cuda_problem()
    if problem is not None:
        raise DeviceError(f"[device] 'cuda' cannot be used: {problem}. The rest works on 'cpu'")
    import cupy

    more = {"load_tf32": _tf32_kernels, "bfloat16": _bfloat16_of(cupy)}
    return Backend("cuda", cupy, _cuda_kernels, cupy.ndarray, **more)


def _bfloat16_of(cupy):
    """`_bfloat16()` if this CuPy has such arrays, and can cast, add and choose among them."""
    dtype = _bfloat16()
    if dtype is None:
        return None
    try:
        ones = cupy.ones(2, np.float32).astype(dtype)
        sums = cupy.where(ones > 0, ones + ones, ones).astype(np.float32)
        return dtype if float(sums[1]) == 2 else None
    except Exception:  # of many types, from CuPy, its compiler or NumPy: then autocast emulates it
        return None


def _bfloat16():
    """The dtype of bfloat16 in NumPy's sense, which the package ml_dtypes brings, or None."""
    try:
        import ml_dtypes
    except ImportError:
        return None
    return np.dtype(ml_dtypes.bfloat16)


def emulator_problem():
    """Why `device="cuda-emulator"` cannot be used here, with the fix; None if it can."""
    return importlib.import_module("tinygrad_like.kernels.cuda.emulator").problem()


def _emulator_backend():
    problem = emulator_problem()
    if problem is not None:
        raise DeviceError(problem)
    emulator = importlib.import_module("tinygrad_like.kernels.cuda.emulator")
    more = {"load_tf32": _tf32_kernels, "bfloat16": _bfloat16()}
    return Backend("cuda-emulator", emulator.xp, _cuda_kernels, emulator.DeviceArray, **more)


# The devices that are made when first asked for.
_MAKERS = {"cuda": _cuda_backend, "cuda-emulator": _emulator_backend}


_run_through: Any = deque(maxlen=0).extend


class _Choice(Undoing):
    """A choice between tables of kernels that was made, and can be left again."""

    chosen = "ours"

    def __init__(self, which):
        before = _Choice.chosen
        super().__init__(self._changes(which))
        self.close()  # makes them
        self._at_end(self._changes(before))

    @staticmethod
    def _changes(which):
        """What makes a choice, also for the devices that are made between now and then."""
        tables = map(itemgetter(which), map(attrgetter("tables"), _BACKENDS))
        return [
            partial(setattr, _Choice, "chosen", which),
            partial(_run_through, map(setattr, _BACKENDS, repeat("k"), tables)),
        ]


class _KernelsPackage:
    """The package `kernels`, which can be called to choose among its tables."""

    def __call__(self, which):
        """Choose, for all devices, among our kernels and those of the array library.

        `"ours"` is the default. `"vendor"` is the reference on the arrays of each device: NumPy
        with its BLAS on the CPU, CuPy with cuBLAS on a GPU. `"tf32"` is ours, with products of
        float32 matrices on a GPU's tensor cores, which round their inputs to 11 bits. The choice
        holds for good, or for a `with` block:

            with tg.kernels("vendor"):
                ...

        Raises ValueError for any other name.
        """
        if which not in ("ours", "vendor", "tf32"):
            raise ValueError(f"[kernels] got {which!r}, expected 'ours', 'vendor' or 'tf32'")
        return _Choice(which)

    def __getattr__(self, name):
        return getattr(importlib.import_module("tinygrad_like.kernels"), name)


kernels = _KernelsPackage()


def memory(device=None):
    """What the arrays of a device take, in bytes: `{"used": ..., "held": ..., "text": ...}`.

    On a GPU `used` is in arrays, and `held` what CuPy's pool has taken of the GPU, to be used
    again. On the CPU (and in the emulator) both are the peak of the process's memory so far.
    `text` says it in words.
    """
    found = get(device)
    if found.device == "cuda":
        pool = found.xp.get_default_memory_pool()
        used, held = pool.used_bytes(), pool.total_bytes()
        text = f"{used / 2**20:.1f} MiB in arrays, {held / 2**20:.1f} MiB held by the pool"
        return {"used": used, "held": held, "text": text}
    try:
        import resource
    except ImportError:  # Windows
        return {"used": None, "held": None, "text": "the system does not say"}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    text = f"{peak / 2**20:.1f} MiB at the peak of the process"
    return {"used": peak, "held": peak, "text": text}


def set_num_threads(n):
    """Let the CPU's kernels, and NumPy's matrix products, use `n` threads; by default all cores.

    Raises ValueError if `n` is not a positive integer.
    """
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1:
        raise ValueError(f"[set_num_threads] n is {n!r}, expected a positive integer")
    n = int(n)
    import threadpoolctl

    if numba_problem() is None:
        importlib.import_module("tinygrad_like.kernels.cpu.machine.threads").set_num_threads(n)
    for library in threadpoolctl.ThreadpoolController().lib_controllers:
        if library.user_api == "blas" and "numpy.libs" in library.filepath:
            library.set_num_threads(n)
