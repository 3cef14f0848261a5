"""A second device for tests: the emulator's arrays, as strict as CuPy's, and the reference."""

from tinygrad_like.kernels import reference
from tinygrad_like.kernels.cuda.emulator import DeviceArray as StrictArray
from tinygrad_like.kernels.cuda.emulator import xp as strict

from tinygrad_like import backend

STRICT = backend.Backend("strict", strict, lambda: reference, StrictArray)


def install(monkeypatch):
    """Make `strict` a device for one test."""
    monkeypatch.setitem(backend.BY_TYPE, StrictArray, STRICT)
    monkeypatch.setitem(backend.BY_DEVICE, "strict", STRICT)
