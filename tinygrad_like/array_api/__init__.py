"""The array API: Tensors in programs that are written for any array library.

    xp = t.__array_namespace__()        # this module
    y = xp.linalg.solve(xp.eye(3), xp.ones(3))

It has the functions, dtypes and constants of the Python array API standard, version 2025.12, with
its extensions `linalg` and `fft`; gradients flow through them as through the ops of `tg` that they
are. So SciPy and scikit-learn work on Tensors where they support the standard.

    dtypes.py       the dtypes, their limits, and how they are promoted
    creation.py     new arrays
    elements.py     functions of each element
    shapes.py       other shapes and orders, joined, read at indices
    order.py        searching, sorting, what is distinct
    reductions.py   sums, extremes, statistics
    linalg.py       matrices
    fft.py          Fourier transforms
    info.py         what `__array_namespace_info__()` returns

Where the standard leaves the choice: a new array is float32, int64 or complex64; a Python float
beside integers makes float32; integers divided by 0, and casts that would not keep a value, raise.
Every function is compared with array-api-strict:
`python tests/cases/array_api/standard_count.py` prints how many agree.
"""

import builtins
import math
from typing import Any

from tinygrad_like.array_api import fft, linalg
from tinygrad_like.array_api.creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    meshgrid,
    ones,
    ones_like,
    tril,
    triu,
    zeros,
    zeros_like,
)
from tinygrad_like.array_api.dtypes import (
    astype,
    bool,
    can_cast,
    complex64,
    complex128,
    finfo,
    float16,
    float32,
    float64,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    isdtype,
    result_type,
    uint8,
    uint16,
    uint32,
    uint64,
)
from tinygrad_like.array_api.elements import (
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    ceil,
    clip,
    conj,
    copysign,
    cos,
    cosh,
    divide,
    equal,
    exp,
    expm1,
    floor,
    floor_divide,
    greater,
    greater_equal,
    hypot,
    imag,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    nextafter,
    not_equal,
    positive,
    pow,
    real,
    reciprocal,
    remainder,
    round,
    sign,
    signbit,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    trunc,
)
from tinygrad_like.array_api.info import Info as __array_namespace_info__
from tinygrad_like.array_api.linalg import matmul, matrix_transpose, tensordot, vecdot
from tinygrad_like.array_api.order import (
    argsort,
    isin,
    nonzero,
    searchsorted,
    sort,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
    where,
)
from tinygrad_like.array_api.reductions import (
    all,
    any,
    argmax,
    argmin,
    count_nonzero,
    cumulative_prod,
    cumulative_sum,
    diff,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from tinygrad_like.array_api.shapes import (
    broadcast_arrays,
    broadcast_shapes,
    broadcast_to,
    concat,
    expand_dims,
    flip,
    moveaxis,
    permute_dims,
    repeat,
    reshape,
    roll,
    squeeze,
    stack,
    take,
    take_along_axis,
    tile,
    unstack,
)

__array_api_version__ = "2025.12"
VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")  # each contains the earlier ones

e, pi, inf, nan, newaxis = math.e, math.pi, math.inf, math.nan, None
