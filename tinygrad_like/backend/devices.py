"""From an array, or a device name, to the `Backend` that computes on it."""

import importlib
import threading
import zlib
from typing import Any

import numpy as np

from tinygrad_like.backend import choice, dtypes, installed
from tinygrad_like.backend.table import Kernels
from tinygrad_like.kernels import reference


class DeviceError(ValueError):
    """A device that is unknown, absent or broken, or arrays that live on two devices."""


class Backend:
    """The array module `xp` and the kernels `k` of one device."""

    __slots__ = ("array_type", "bfloat16", "device", "k", "tables", "xp")

    def __init__(self, device, xp, load_kernels, array_type, *, load_tf32=None, bfloat16=None):
        """`bfloat16` is the dtype of such arrays on this device, None where it has none."""
        self.device, self.xp, self.array_type = device, xp, array_type
        self.bfloat16 = bfloat16
        ours, plain = (Kernels(f, xp, array_type) for f in (load_kernels, lambda: reference))
        tf32 = Kernels(load_tf32, xp, array_type) if load_tf32 else ours
        self.tables = {"ours": ours, "reference": plain, "vendor": plain, "tf32": tf32}
        self.k: Any = ours

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

    @property
    def fft(self):
        """Fourier transforms of arrays here, with SciPy's names (loaded on first use)."""
        if self.xp is np:
            return importlib.import_module("scipy.fft")
        on_gpu = self.xp.__name__ == "cupy"
        return importlib.import_module("cupyx.scipy.fft") if on_gpu else self.xp.fft

    def checked_dtype(self, name, dtype):
        """A dtype as NumPy's; TypeError, in the name of an op, unless arrays here can have it."""
        return dtypes.checked_dtype(name, dtype, self.bfloat16)

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

        NumPy would raise by itself; CuPy silently wraps around.
        """
        if index.size and (int(index.min()) < -size or int(index.max()) >= size):
            raise IndexError(
                f"[{name}] index {int(index.max() if index.max() >= size else index.min())} is "
                f"out of range for an axis of length {size}"
            )

    def holds_anywhere(self, condition):
        """Whether any element of an array or Tensor of booleans is true, as a Python bool."""
        return bool(condition.any())

    def shares_memory(self, a, b):
        """Whether two arrays of this device may overlap in memory (cheap, by their bounds)."""
        return bool(self.xp.may_share_memory(a, b))

    def fingerprint(self, array):
        """A checksum of an array's values, to notice a change made behind the library's back."""
        return zlib.crc32(np.ascontiguousarray(self.to_host(array)).view(np.uint8).data)


CPU = Backend("cpu", np, installed.cpu_kernels, np.ndarray)

# The backend of an array, by its exact type; CuPy's joins on first use.
BY_TYPE: dict[type, Backend] = {np.ndarray: CPU}
BY_DEVICE: dict[str, Backend] = {"cpu": CPU}

# By type: what gives the backend of an object that stands for an array, as those inside vmap do.
STAND_INS: dict[type, Any] = {}
choice.join(CPU)


class _Default(threading.local):
    device = "cpu"


_default = _Default()


def get(device=None):
    """The backend of a device name: `"cpu"`, `"cuda"` or `"cuda-emulator"`; None: the default.

    Raises DeviceError with the exact fix if the device is unknown or cannot be used here.
    """
    name = _default.device if device is None else device
    found = BY_DEVICE.get(name) if isinstance(name, str) else None
    if found is None:
        make = _MAKERS.get(name) if isinstance(name, str) else None
        if make is None:
            raise DeviceError(
                f"[device] unknown device {name!r}, expected 'cpu', 'cuda' or 'cuda-emulator'"
            )
        found = make()
        choice.join(found)
        BY_TYPE[found.array_type] = BY_DEVICE[name] = found
    return found


def is_device(name):
    """Whether a name is one of a device (usable here or not), rather than of a dtype."""
    return isinstance(name, str) and (name in _MAKERS or name in BY_DEVICE)


def of(array):
    """The backend of an array; None if the object is not an array of any backend."""
    found = BY_TYPE.get(type(array))
    if found is None and type(array).__module__.partition(".")[0] == "cupy":
        get("cuda")
        found = BY_TYPE.get(type(array))
    if found is None and type(array) in STAND_INS:
        found = STAND_INS[type(array)](array)
    return found


def set_device(device):
    """Make `device` the default of tensors that are created without one, in this thread."""
    if device is None:
        raise DeviceError("[device] device is None, expected 'cpu', 'cuda' or 'cuda-emulator'")
    _default.device = get(device).device


def _cuda_backend():
    problem = installed.cuda_problem()
    if problem is not None:
        raise DeviceError(f"[device] 'cuda' cannot be used: {problem}. The rest works on 'cpu'")
    import cupy

    more = {"load_tf32": installed.tf32_kernels, "bfloat16": installed.bfloat16_of(cupy)}
    return Backend("cuda", cupy, installed.cuda_kernels, cupy.ndarray, **more)


def _emulator_backend():
    problem = installed.emulator_problem()
    if problem is not None:
        raise DeviceError(problem)
    emulator = importlib.import_module("tinygrad_like.kernels.cuda.emulator")
    more = {"load_tf32": installed.tf32_kernels, "bfloat16": installed.bfloat16()}
    return Backend(
        "cuda-emulator", emulator.xp, installed.cuda_kernels, emulator.DeviceArray, **more
    )


# The devices that are made when first asked for.
_MAKERS = {"cuda": _cuda_backend, "cuda-emulator": _emulator_backend}
