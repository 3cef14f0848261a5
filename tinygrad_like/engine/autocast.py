"""autocast: products in half precision, long sums in float32, parameters unchanged.

An op says at its definition how it is cast: `@op(autocast=in_half)` is for products, which half
precision makes faster, `@op(autocast=in_single)` for ops that lose too much precision in it. While
`autocast` is on, the Tensors that go into such an op are cast first; the casts are recorded, so
that gradients come back in the dtype of the parameters. Source: Micikevicius et al. 2018, "Mixed
precision training".

NumPy has no bfloat16, so on the CPU its arithmetic is emulated: arrays stay float32, and their
elements are rounded to the 8 bits of bfloat16 before and after each product, forward and backward.
On a GPU arrays have the dtype bfloat16 of ml_dtypes, and products run on the tensor cores.
"""

import functools
import logging

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import is_half
from tinygrad_like.engine.batching import elementwise_op
from tinygrad_like.engine.fit import astype
from tinygrad_like.engine.modes import Switch, mode
from tinygrad_like.engine.options import check_flag
from tinygrad_like.engine.tensor import Tensor

HALF, SINGLE = np.dtype(np.float16), np.dtype(np.float32)
BFLOAT16 = "bfloat16"


class autocast(Switch):
    """Run products in half precision inside a `with` block or a decorated function.

    Args:
        dtype: `"float16"` or `"bfloat16"`, or a dtype of that name.
        enabled: False switches it off, also inside a block that has it on.

    Products (`matmul`, `linear`, convolutions, recurrent layers, attention) take float32 Tensors
    rounded to the half type, sum in float32 and give results of the half type. Softmax, norms,
    losses, sums, means and the like take half types as float32. Everything else follows its inputs.
    Parameters and their gradients stay float32. float16 needs a `GradScaler` in training.

    Raises ValueError for any other dtype, and for an `enabled` that is not True or False.

    >>> import tinygrad_like as tg
    >>> a = tg.randn((2, 3))
    >>> with tg.autocast("float16"):
    ...     (a @ a.T).dtype, tg.softmax(a @ a.T).dtype
    (dtype('float16'), dtype('float32'))
    """

    def __init__(self, dtype=HALF, *, enabled=True):
        name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
        if name not in (HALF.name, BFLOAT16):
            raise ValueError(f"[autocast] dtype is {dtype!r}, expected 'float16' or 'bfloat16'")
        enabled = check_flag("autocast", "enabled", enabled)
        half = HALF if name == HALF.name else BFLOAT16
        super().__init__("autocast", half if enabled else None)


@elementwise_op(x=lambda g: rounded_to_bfloat16(g))
def rounded_to_bfloat16(be, x):
    """float32 elements rounded to the nearest bfloat16, ties to even; a copy for other dtypes.

    The gradient is rounded, too.
    """
    if x.dtype != SINGLE:
        return x.copy()
    bits = be.xp.ascontiguousarray(x).reshape(x.shape).view(np.uint32)
    bits = (bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)) & np.uint32(0xFFFF0000)
    return be.xp.where(x == x, bits.view(SINGLE), x)


def in_half(op, apply, args, attributes):
    """Call an op, `apply`, in the half type of `autocast`."""
    inputs, attributes = op.bind(args, attributes)
    half = mode.autocast if mode.autocast is not BFLOAT16 else _native_bfloat16(inputs)
    if half is not None:
        return _outside(apply, _cast(inputs, _is_single, half), attributes)
    out = _outside(apply, [_in_bfloat16(x) for x in inputs], attributes)
    return tuple(map(_in_bfloat16, out)) if op.several else _in_bfloat16(out)


def in_single(op, apply, args, attributes):
    """Call an op, `apply`, with half types as float32."""
    inputs, attributes = op.bind(args, attributes)
    return _outside(apply, _cast(inputs, is_half, SINGLE), attributes)


def with_numbers(apply, args, arrays, attributes):
    """Call an elementwise op, `apply`, on a half type and Python numbers that it would round.

    0.01 * 65536 is 655 in float16, though 65536 is not: the op runs in float32, as in PyTorch, and
    its result is rounded. The casts are recorded, so that the gradients are right as well.
    """
    half = next(a.dtype for a in arrays if hasattr(a, "dtype") and is_half(a.dtype))
    inputs = [astype(x, dtype=SINGLE) if _is_half_array(x) else x for x in args]
    out = apply(*inputs, **attributes)
    return astype(out, dtype=half) if out.dtype == SINGLE else out


def _is_half_array(x):
    return hasattr(x, "dtype") and is_half(x.dtype)


def _native_bfloat16(inputs):
    """The dtype of bfloat16 arrays on the device of a call's inputs; None where it has none."""
    first = next((x for x in inputs if type(x) is Tensor), None)
    if first is None:
        return None
    be = backend.of(first.data)
    if be.bfloat16 is None and be.device == "cuda":
        _say_that_it_is_emulated()
    return be.bfloat16


@functools.cache
def _say_that_it_is_emulated():
    logging.getLogger(__name__).warning(
        "[autocast] bfloat16 is emulated on this GPU, slowly: its arrays need CuPy 14, NumPy 2.1.2 "
        "and ml_dtypes. Install them: pip install -U cupy-cuda13x ml-dtypes (cupy-cuda12x for CUDA "
        "12)"
    )


def _outside(apply, inputs, attributes):
    """Make the call itself, with `autocast` off."""
    changed = mode.changed
    half = changed["autocast"]
    del changed["autocast"]
    try:
        return apply(*inputs, **attributes)
    finally:
        changed["autocast"] = half


def _in_bfloat16(x):
    """A float32 Tensor rounded, as its gradient will be; anything else unchanged."""
    return rounded_to_bfloat16(x) if type(x) is Tensor and _is_single(x.dtype) else x


def _is_single(dtype):
    return dtype == SINGLE


def _cast(inputs, chosen, dtype):
    """The inputs, with those Tensors cast to `dtype` whose own dtype is `chosen`."""
    return [astype(x, dtype=dtype) if type(x) is Tensor and chosen(x.dtype) else x for x in inputs]
