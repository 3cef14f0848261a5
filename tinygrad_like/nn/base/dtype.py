"""The dtype of a layer is that of its parameters: inputs of another dtype are cast to it."""

import functools
from typing import Any

import numpy as np

from tinygrad_like.backend import FLOATING, is_half
from tinygrad_like.engine import Tensor, astype, errors, mode


def like(x: Any, weight: Tensor) -> Any:
    """The input `x` of a layer in the dtype of its `weight`, so that the output has it, too.

    Integers and floats are cast; the cast is recorded, so a gradient returns in the dtype of `x`.
    A warning, once in a process, tells of lost digits, as of float64 images in a float32 model.
    Under `autocast` half types stay, as products have them there. Anything else is returned as
    given, for the op to accept or refuse.
    """
    if type(x) is Tensor and x._array.dtype is weight._array.dtype:
        return x
    return _cast(x, weight._array.dtype)


def _cast(x, dtype):
    given = getattr(x, "dtype", None)
    if not isinstance(given, np.dtype) or given == dtype or dtype.kind not in FLOATING:
        return x
    if given.kind not in FLOATING:
        return astype(x, dtype=dtype) if given.kind in "biu" else x
    if is_half(given) and mode.autocast is not None:
        return x
    if not np.can_cast(given, dtype):
        _say_that_digits_are_lost(given, dtype)
    return astype(x, dtype=dtype)


@functools.cache
def _say_that_digits_are_lost(given, dtype):
    errors.warn(
        f"[nn] a layer of {dtype} parameters got {given} input and computes in {dtype}; give it "
        f"x.astype({str(dtype)!r}), or cast the model by .to({str(given)!r}). This is said once."
    )
