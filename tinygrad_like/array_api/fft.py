"""The Fourier extension of the standard."""

from typing import Any

from tinygrad_like.array_api.dtypes import DEFAULTS
from tinygrad_like.engine import Tensor
from tinygrad_like.ops.signals import fft as transforms
from tinygrad_like.ops.signals.fft import (
    fft,
    fftn,
    fftshift,
    hfft,
    ifft,
    ifftn,
    ifftshift,
    ihfft,
    irfft,
    irfftn,
    rfft,
    rfftn,
)

__all__ = [
    "fft",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfftn",
    "rfft",
    "rfftfreq",
    "rfftn",
]


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of `fft`'s n points, of samples d apart."""
    return transforms.fftfreq(n, d, dtype=_floating(dtype), device=device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Tensor:
    """The frequencies of `rfft`'s n // 2 + 1 values, of samples d apart."""
    return transforms.rfftfreq(n, d, dtype=_floating(dtype), device=device)


def _floating(dtype: Any) -> Any:
    return DEFAULTS["f"] if dtype is None else dtype
