"""New tensors from nothing: constants and ranges. No gradient passes here."""

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import GraphError, Tensor, wrap

FLOAT = np.float32


def _shape(op, shape):
    """`3`, `(2, 3)`, `[2, 3]` as a tuple of non-negative ints."""
    dims = shape if isinstance(shape, (tuple, list)) else (shape,)
    if not all(isinstance(n, (int, np.integer)) and n >= 0 for n in dims):
        raise ValueError(f"[{op}] shape is {shape!r}, expected non-negative integers")
    return tuple(int(n) for n in dims)


def _made(array, requires_grad):
    t = wrap(array)
    if requires_grad:
        t.requires_grad = True
    return t


def zeros(shape, *, dtype=FLOAT, device=None, requires_grad=False):
    """A tensor of zeros."""
    xp = backend.get(device).xp
    return _made(xp.zeros(_shape("zeros", shape), dtype), requires_grad)


def ones(shape, *, dtype=FLOAT, device=None, requires_grad=False):
    """A tensor of ones."""
    xp = backend.get(device).xp
    return _made(xp.ones(_shape("ones", shape), dtype), requires_grad)


def full(shape, fill_value, *, dtype=None, device=None, requires_grad=False):
    """A tensor filled with one value; the dtype follows it as in `Tensor(fill_value)`."""
    if isinstance(fill_value, Tensor) and fill_value.requires_grad:
        raise GraphError("[full] fill_value would lose its gradient; use broadcast_to, or detach()")
    value = Tensor(fill_value, dtype=dtype, device=device)
    xp = backend.get(value.device).xp
    filled = xp.full(_shape("full", shape), value.data, value.dtype)
    return _made(filled, requires_grad)


def zeros_like(x, *, dtype=None, requires_grad=False):
    """Zeros of the shape, dtype and device of the tensor `x`."""
    return zeros(x.shape, dtype=dtype or x.dtype, device=x.device, requires_grad=requires_grad)


def ones_like(x, *, dtype=None, requires_grad=False):
    """Ones of the shape, dtype and device of the tensor `x`."""
    return ones(x.shape, dtype=dtype or x.dtype, device=x.device, requires_grad=requires_grad)


def full_like(x, fill_value, *, dtype=None, requires_grad=False):
    """One value in the shape, dtype and device of the tensor `x`."""
    return full(
        x.shape, fill_value, dtype=dtype or x.dtype, device=x.device, requires_grad=requires_grad
    )


def arange(start, stop=None, step=1, *, dtype=None, device=None, requires_grad=False):
    """Numbers from `start` up to, without, `stop`: int64 for integers, else float32."""
    if stop is None:
        start, stop = 0, start
    if step == 0:
        raise ValueError("[arange] step is 0, expected another number")
    if dtype is None and any(isinstance(v, float) for v in (start, stop, step)):
        dtype = FLOAT
    return _made(backend.get(device).xp.arange(start, stop, step, dtype=dtype), requires_grad)


def linspace(start, stop, num=50, *, dtype=FLOAT, device=None, requires_grad=False):
    """`num` evenly spaced numbers from `start` to `stop`, both included."""
    _shape("linspace", num)
    return _made(backend.get(device).xp.linspace(start, stop, num, dtype=dtype), requires_grad)


def eye(n, m=None, *, dtype=FLOAT, device=None, requires_grad=False):
    """The `(n, m)` matrix with ones on the diagonal; `m` defaults to `n`."""
    _shape("eye", (n, n if m is None else m))
    return _made(backend.get(device).xp.eye(n, m, dtype=dtype), requires_grad)


def from_dlpack(x):
    """A tensor on the memory of `x`, an array of any library that speaks DLPack, not copied."""
    if isinstance(x, Tensor):
        return x.detach()
    on_cpu = x.__dlpack_device__()[0] == 1  # kDLCPU
    return wrap(backend.get("cpu" if on_cpu else "cuda").xp.from_dlpack(x))
