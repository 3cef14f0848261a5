"""New tensors from nothing: constants and ranges, which have no gradient."""

import math

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import (
    GraphError,
    Tensor,
    backend_of,
    check_flag,
    check_integer,
    check_number,
    composed,
    wrap,
)
from tinygrad_like.engine.casts import check_numbers

FLOAT = np.float32


def shape_of(op, *shape):
    """A shape given as one tuple or list, or by its lengths, as a tuple of non-negative ints."""
    given = shape[0] if len(shape) == 1 else shape
    dims = given if isinstance(given, (tuple, list)) else (given,)
    for n in dims:
        if not isinstance(n, (int, np.integer)) or n is True or n is False or n < 0:
            raise ValueError(f"[{op}] shape is {given!r}, expected non-negative integers")
    lengths = tuple(map(int, dims))
    if math.prod(lengths) >= 1 << 60:
        raise ValueError(f"[{op}] shape is {given!r}, which has more elements than any memory")
    return lengths


def made(array, requires_grad):
    """A Tensor around a new array."""
    t = wrap(array)
    if requires_grad is not False:
        t.requires_grad = requires_grad
    return t


def zeros(*shape, dtype=FLOAT, device=None, requires_grad=False):
    """A tensor of zeros: `zeros((2, 3))` or `zeros(2, 3)`."""
    be = backend.get(device)
    array = be.xp.zeros(shape_of("zeros", *shape), be.checked_dtype("zeros", dtype))
    return made(array, requires_grad)


def ones(*shape, dtype=FLOAT, device=None, requires_grad=False):
    """A tensor of ones: `ones((2, 3))` or `ones(2, 3)`."""
    be = backend.get(device)
    array = be.xp.ones(shape_of("ones", *shape), be.checked_dtype("ones", dtype))
    return made(array, requires_grad)


@composed
def full(shape, fill_value, *, dtype=None, device=None, requires_grad=False):
    """A tensor filled with one value; the dtype follows it as in `Tensor(fill_value)`.

    `fill_value` may also be an array that broadcasts to `shape`.
    """
    if isinstance(fill_value, Tensor) and fill_value.requires_grad:
        raise GraphError("[full] fill_value would lose its gradient; use broadcast_to, or detach()")
    value = Tensor(fill_value, dtype=dtype, device=device)
    be, shape = backend_of(value), shape_of("full", shape)
    try:
        filled = be.xp.full(shape, value.data, value.dtype)
    except ValueError:
        raise ValueError(
            f"[full] fill_value is {value.shape}, which does not broadcast to shape {shape}"
        ) from None
    return made(filled, requires_grad)


@composed
def zeros_like(x, *, dtype=None, requires_grad=False):
    """Zeros of the shape, dtype and device of the tensor `x`."""
    return zeros(
        x.shape, dtype=dtype or x.dtype, device=backend_of(x).device, requires_grad=requires_grad
    )


@composed
def ones_like(x, *, dtype=None, requires_grad=False):
    """Ones of the shape, dtype and device of the tensor `x`."""
    return ones(
        x.shape, dtype=dtype or x.dtype, device=backend_of(x).device, requires_grad=requires_grad
    )


@composed
def full_like(x, fill_value, *, dtype=None, requires_grad=False):
    """One value in the shape, dtype and device of the tensor `x`."""
    return full(
        x.shape,
        fill_value,
        dtype=dtype or x.dtype,
        device=backend_of(x).device,
        requires_grad=requires_grad,
    )


def arange(start, stop=None, step=1, *, dtype=None, device=None, requires_grad=False):
    """The numbers of [start, stop) in steps of `step`: int64 for integers, else float32.

    Raises TypeError for arguments that are not numbers; ValueError for a step of 0, NaN and
    infinities, ends that the dtype cannot hold, and fractions for an integer dtype.
    """
    if stop is None:
        start, stop = 0, start
    given = {"start": start, "stop": stop, "step": step}
    start, stop, step = (_finite("arange", name, value) for name, value in given.items())
    if step == 0:
        raise ValueError("[arange] step is 0, expected another number")
    whole = all(float(v).is_integer() for v in (start, step))
    if dtype is None:
        floats = any(isinstance(v, float) for v in (start, stop, step))
        dtype = FLOAT if floats else np.int64
    be = backend.get(device)
    dtype = be.checked_dtype("arange", dtype)
    if not whole and dtype.kind in "iu":
        raise ValueError(f"[arange] start is {start}, step {step}, expected integers for {dtype}")
    count = max(0, math.ceil((stop - start) / step))
    shape_of("arange", count)
    ends = (start, start + (count - 1) * step) if count else ()
    if any(isinstance(n, int) and not -(1 << 63) <= n < 1 << 63 for n in ends):
        raise ValueError(f"[arange] {start} to {stop} goes beyond the integers of 64 bits")
    check_numbers("arange", np.array(ends), dtype)
    if dtype.kind in "iu":
        start, step = int(start), int(step)
        return made(be.xp.arange(start, start + count * step, step, dtype=dtype), requires_grad)
    # NumPy rounds the step to the dtype, so that its elements drift away from start + i step.
    return made((start + step * be.xp.arange(count, dtype=np.float64)).astype(dtype), requires_grad)


def _finite(op, name, value):
    """A finite number, an int or a float; TypeError or ValueError for anything else."""
    number = check_number(op, name, value)
    exact = value.item() if isinstance(value, (np.generic, np.ndarray)) else value
    return exact if isinstance(exact, int) else number


def linspace(start, stop, num=50, *, dtype=FLOAT, device=None, requires_grad=False):
    """`num` evenly spaced numbers from `start` to `stop`, both included.

    Raises TypeError or ValueError for ends that are not finite numbers.
    """
    num = check_integer("linspace", "num", num, 0)
    start, stop = _finite("linspace", "start", start), _finite("linspace", "stop", stop)
    be = backend.get(device)
    dtype = be.checked_dtype("linspace", dtype)
    check_numbers("linspace", np.array([start, stop]), dtype)
    return made(be.xp.linspace(start, stop, num, dtype=dtype), requires_grad)


def eye(n, m=None, *, dtype=FLOAT, device=None, requires_grad=False):
    """The `(n, m)` matrix with ones on the diagonal; `m` defaults to `n`."""
    shape_of("eye", (n, n if m is None else m))
    be = backend.get(device)
    return made(be.xp.eye(n, m, dtype=be.checked_dtype("eye", dtype)), requires_grad)


def _triangle(name, n, k, m, device, inside):
    n = check_integer(name, "n", n, least=0)
    m = n if m is None else check_integer(name, "m", m, least=0)
    k = check_integer(name, "k", k)
    be = backend.get(device)
    return tuple(wrap(be.from_host(i)) for i in np.nonzero(inside(n, m, k)))


def tril_indices(n, k=0, m=None, *, device=None):
    """(rows, columns) of the lower triangle of an (n, m) matrix, with its k-th diagonal."""
    return _triangle("tril_indices", n, k, m, device, lambda n, m, k: np.tri(n, m, k, bool))


def triu_indices(n, k=0, m=None, *, device=None):
    """(rows, columns) of the upper triangle of an (n, m) matrix, with its k-th diagonal."""
    return _triangle("triu_indices", n, k, m, device, lambda n, m, k: ~np.tri(n, m, k - 1, bool))


def from_dlpack(x, *, device=None, copy=None):
    """A tensor on the memory of `x`, an array of any library that speaks DLPack.

    Args:
        device: where the tensor shall be, by default where `x` is.
        copy: whether to copy: always, never, or if another device needs it.

    A change of the shared memory is seen by both, and only `tg.debug()` notices one that the other
    library makes between forward and backward.

    Raises:
        TypeError: for what does not speak DLPack, and for a dtype that NumPy lacks.
        ValueError: with `copy=False` for another device.
        BufferError: if `x` cannot be shared, as a tensor of PyTorch that requires a gradient.
    """
    if copy is not None:
        copy = check_flag("from_dlpack", "copy", copy)
    t = x.detach() if isinstance(x, Tensor) else _shared(x)
    target = t.device if device is None else backend.get(device).device
    if target != t.device:
        if copy is False:
            raise ValueError(
                f"[from_dlpack] copy is False, but x is on {t.device} and device is {target!r}"
            )
        return Tensor(t, device=target)
    return wrap(t.data.copy()) if copy else t


def _shared(x):
    """A tensor on the memory of another library's array."""
    if not hasattr(x, "__dlpack_device__"):
        raise TypeError(
            f"[from_dlpack] x is a {type(x).__name__}, expected an array that speaks DLPack; "
            "make it one with tg.Tensor(...)"
        )
    on_cpu = x.__dlpack_device__()[0] == 1  # kDLCPU
    try:
        return wrap(backend.get("cpu" if on_cpu else "cuda").xp.from_dlpack(x))
    except RuntimeError as error:  # of NumPy
        raise TypeError(
            f"[from_dlpack] x has dtype {x.dtype}, which NumPy does not have; cast it to float32"
        ) from error
