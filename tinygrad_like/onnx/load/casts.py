"""Ops of ONNX that convert, and that make tensors of nothing: constants, fills, random numbers."""

import math

import numpy as np

from tinygrad_like.engine import Tensor, astype
from tinygrad_like.generator import seed as set_seed
from tinygrad_like.onnx.load.dtypes import dtype_of
from tinygrad_like.onnx.load.table import Host, Raw, integers, runs
from tinygrad_like.ops.arrays import create
from tinygrad_like.ops.elements.compare import less, not_equal
from tinygrad_like.ops.elements.elementwise import where
from tinygrad_like.ops.neural.softmax import softmax
from tinygrad_like.ops.samples import random


def cast(x, dtype):
    """Conversion as C has it: floating numbers lose their fraction, integers wrap around."""
    if x.dtype == dtype:
        return x
    if dtype.kind == "b":
        return not_equal(x, 0)
    if dtype.kind in "iu":  # without a gradient
        raw = x.data
        with np.errstate(invalid="ignore"):
            return Tensor(raw.astype(dtype), device=x.device)
    with np.errstate(over="ignore"):
        return astype(x, dtype=dtype)


@runs("Cast", since=6)
def cast_to(x, *, to, saturate=1, round_mode="up"):
    return cast(x, dtype_of(to, "the result of Cast"))


@runs("CastLike")
def cast_like(x, like, *, saturate=1, round_mode="up"):
    return cast(x, like.dtype)


@runs("BitCast")
def bit_cast(x, *, to):
    """The same bits as another dtype; without a gradient."""
    return Tensor(x.data.view(dtype_of(to, "the result of BitCast")), device=x.device)


@runs("Identity")
def identity(x: Raw):
    return x


@runs("Constant")
def constant(
    *, value=None, value_float=None, value_floats=None, value_int=None, value_ints=None,
    sparse_value=None,
):  # fmt: skip
    if value is None and sparse_value is None:
        floating = value_float if value_floats is None else value_floats
        if floating is not None:
            return np.asarray(floating, np.float32)
        return np.asarray(value_int if value_ints is None else value_ints, np.int64)
    return value if sparse_value is None else sparse_value


@runs("ConstantOfShape")
def constant_of_shape(shape: Host, *, value=None):
    value = np.zeros(1, np.float32) if value is None else value
    return np.full(integers(shape), value.reshape(-1)[0], value.dtype)


@runs("Shape")
def shape_of(x: Raw, *, start=0, end=None):
    return np.asarray(x.shape[slice(start, end)], np.int64)


@runs("Size")
def size_of(x: Raw):
    return np.asarray(x.size, np.int64)


@runs("Range")
def range_of(start: Host, limit: Host, delta: Host, *, stash_type=None):
    """The count is rounded up; the elements are multiples of the step, not running sums."""
    first, last, step = start.item(), limit.item(), delta.item()
    if start.dtype.kind == "f":
        count = math.ceil((last - first) / step)
    else:
        count = -((first - last) // step)  # rounded up
    count = max(count, 0)
    return np.asarray(first + np.arange(count) * step, start.dtype)


@runs("EyeLike")
def eye_like(x, *, dtype=None, k=0):
    dtype = x.dtype if dtype is None else dtype_of(dtype, "the result of EyeLike")
    return Tensor(np.eye(x.shape[0], x.shape[1], k=k, dtype=dtype), device=x.device)


# Random numbers: of the generator of this library; a `seed` starts it anew


def _drawn(shape, dtype, seed, draw, like=None):
    """Random numbers of a shape, on the device of `like`, cast to a dtype."""
    if seed is not None:
        set_seed(int(seed))
    device = like.device if isinstance(like, Tensor) else None
    return cast(draw(tuple(shape), device=device), dtype)


@runs("RandomNormal")
def random_normal(*, shape, dtype=1, mean=0.0, scale=1.0, seed=None):
    of = dtype_of(dtype, "the result of RandomNormal")
    return _drawn(shape, of, seed, random.randn) * scale + mean


@runs("RandomNormalLike")
def random_normal_like(x: Raw, *, dtype=None, mean=0.0, scale=1.0, seed=None):
    of = x.dtype if dtype is None else dtype_of(dtype, "the result of RandomNormalLike")
    return _drawn(x.shape, of, seed, random.randn, x) * scale + mean


@runs("RandomUniform")
def random_uniform(*, shape, dtype=1, low=0.0, high=1.0, seed=None):
    of = dtype_of(dtype, "the result of RandomUniform")
    return _drawn(shape, of, seed, random.rand) * (high - low) + low


@runs("RandomUniformLike")
def random_uniform_like(x: Raw, *, dtype=None, low=0.0, high=1.0, seed=None):
    of = x.dtype if dtype is None else dtype_of(dtype, "the result of RandomUniformLike")
    return _drawn(x.shape, of, seed, random.rand, x) * (high - low) + low


@runs("Bernoulli")
def bernoulli(x, *, dtype=None, seed=None):
    of = x.dtype if dtype is None else dtype_of(dtype, "the result of Bernoulli")
    return cast(less(_drawn(x.shape, x.dtype, seed, random.rand, x), x), of)


@runs("Multinomial")
def multinomial(x, *, dtype=6, sample_size=1, seed=None):
    """Draws from rows of unnormalised logarithms of probabilities."""
    if seed is not None:
        set_seed(int(seed))
    drawn = random.multinomial(softmax(x, axis=-1), sample_size, replacement=True)
    return cast(drawn, dtype_of(dtype, "the result of Multinomial"))


@runs("Dropout", since=7)
def dropout_of_inference(x, *, ratio=0.5, outputs=1):
    return (x, create.ones(x.shape, dtype=x.dtype, device=x.device))[:outputs]


@runs("Dropout", since=10)
def dropout(x, ratio: Host = 0.5, training_mode: Host = None, *, seed=None, outputs=1):
    """Drops only where the graph says that it trains."""
    p = 0.5 if ratio is None else float(ratio)
    if training_mode is None or not bool(training_mode) or p == 0:
        kept = create.ones(x.shape, dtype=np.bool_, device=x.device)
        return (x, kept)[:outputs]
    if seed is not None:
        set_seed(int(seed))
    kept = less(random.rand(x.shape, device=x.device), 1 - p)
    return (where(kept, x / (1 - p), 0.0), kept)[:outputs]
