"""tinygrad_like: a deep learning engine written from scratch, on NumPy and CuPy.

    import tinygrad_like as tg

    w = tg.randn((3, 2), requires_grad=True)
    loss = (tg.Tensor([[1.0, 2.0, 3.0]]) @ w).tanh().sum()
    loss.backward()
    w.grad

Names follow NumPy for arrays, PyTorch for training, Keras for layers.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tinygrad_like import einops_backend, io, losses, nn, ops, optim
from tinygrad_like.backend import DeviceError, memory, set_device, set_num_threads, use_kernels
from tinygrad_like.doctor import doctor
from tinygrad_like.engine import (
    GraphError,
    SparseRows,
    Tensor,
    astype,
    autocast,
    broadcast_to,
    checkpoint,
    debug,
    enable_grad,
    no_grad,
    op,
)
from tinygrad_like.functional import (
    custom_gradient,
    functional_call,
    grad,
    hessian,
    hvp,
    implicit,
    jacobian,
    jvp,
    linearize,
    stop_gradient,
    straight_through,
    value_and_grad,
    vjp,
    vmap,
)
from tinygrad_like.fusion import fuse
from tinygrad_like.generator import get_rng_state, seed, set_rng_state
from tinygrad_like.gradcheck import GradientError, gradcheck
from tinygrad_like.ops.arrays.create import (
    arange,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)
from tinygrad_like.ops.arrays.shape import (
    concatenate,
    copy,
    expand_dims,
    flatten,
    flip,
    moveaxis,
    reshape,
    roll,
    split,
    squeeze,
    stack,
    swapaxes,
    transpose,
    unbind,
)
from tinygrad_like.ops.elements.activation import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from tinygrad_like.ops.elements.arithmetic import (
    bitwise_left_shift,
    bitwise_right_shift,
    copysign,
    float_power,
    fmax,
    fmin,
    fmod,
    frexp,
    gcd,
    heaviside,
    lcm,
    ldexp,
    lerp,
    nan_to_num,
    positive,
    reciprocal,
    signbit,
    trunc,
)
from tinygrad_like.ops.elements.compare import (
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    equal,
    greater,
    greater_equal,
    invert,
    isclose,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    not_equal,
)
from tinygrad_like.ops.elements.complex import (
    angle,
    complex,
    conj,
    imag,
    iscomplex,
    iscomplexobj,
    isreal,
    polar,
    real,
    view_as_complex,
    view_as_real,
)
from tinygrad_like.ops.elements.elementwise import (
    abs,
    add,
    arccos,
    arcsin,
    arctan,
    ceil,
    clip,
    cos,
    cosh,
    divide,
    erf,
    exp,
    expm1,
    floor,
    floor_divide,
    log,
    log1p,
    log2,
    masked_fill,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    remainder,
    round,
    rsqrt,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    subtract,
    tan,
    tanh,
    where,
)
from tinygrad_like.ops.elements.special import (
    digamma,
    erfc,
    erfinv,
    lgamma,
    logit,
    polygamma,
    xlogy,
)
from tinygrad_like.ops.elements.transcendental import (
    arccosh,
    arcsinh,
    arctan2,
    arctanh,
    cbrt,
    deg2rad,
    exp2,
    hypot,
    log10,
    logaddexp,
    logaddexp2,
    rad2deg,
    sinc,
)
from tinygrad_like.ops.indexing.arrange import (
    append,
    array_split,
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block,
    broadcast_arrays,
    chunk,
    column_stack,
    delete,
    dsplit,
    dstack,
    hsplit,
    hstack,
    insert,
    meshgrid,
    rot90,
    unflatten,
    vsplit,
    vstack,
)
from tinygrad_like.ops.indexing.index import (
    argsort,
    argwhere,
    embedding,
    nonzero,
    one_hot,
    scatter_add,
    sort,
    take,
    take_along_axis,
    topk,
    tril,
    triu,
)
from tinygrad_like.ops.indexing.padding import pad
from tinygrad_like.ops.indexing.repetition import repeat, tile
from tinygrad_like.ops.matrices.diagonal import (
    cross,
    diag,
    diag_embed,
    diagflat,
    diagonal,
    inner,
    kron,
    tensordot,
    trace,
    vdot,
)
from tinygrad_like.ops.matrices.eigen import eig, eigvals
from tinygrad_like.ops.matrices.lengths import cdist, pdist, renorm
from tinygrad_like.ops.matrices.linalg import (
    dot,
    einsum,
    inv,
    linear,
    matmul,
    outer,
    slogdet,
)
from tinygrad_like.ops.matrices.systems import cholesky, solve
from tinygrad_like.ops.neural.attention import (
    alibi,
    attention_weights,
    rotary,
    scaled_dot_product_attention,
)
from tinygrad_like.ops.neural.bag import embedding_bag
from tinygrad_like.ops.neural.conv import conv1d, conv2d, conv_transpose2d
from tinygrad_like.ops.neural.conv_nd import conv3d, conv_transpose1d, conv_transpose3d
from tinygrad_like.ops.neural.experts import expert_matmul
from tinygrad_like.ops.neural.norm import batch_norm, group_norm, layer_norm, rms_norm
from tinygrad_like.ops.neural.patches import fold, sliding_window_view, unfold
from tinygrad_like.ops.neural.pool import avg_pool2d, max_pool2d
from tinygrad_like.ops.neural.pool_nd import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool3d,
)
from tinygrad_like.ops.neural.recurrent import gru, lstm, rnn
from tinygrad_like.ops.neural.resize import interpolate, pixel_shuffle, pixel_unshuffle
from tinygrad_like.ops.neural.sampling import affine_grid, grid_sample
from tinygrad_like.ops.neural.softmax import gumbel_softmax, log_softmax, logsumexp, softmax
from tinygrad_like.ops.neural.unpool import max_unpool1d, max_unpool2d, max_unpool3d
from tinygrad_like.ops.reductions.reduce import (
    all,
    allclose,
    any,
    argmax,
    argmin,
    cumsum,
    max,
    mean,
    min,
    norm,
    prod,
    std,
    sum,
    var,
)
from tinygrad_like.ops.reductions.scan import (
    associative_scan,
    cummax,
    cummin,
    cumprod,
    linear_scan,
    logcumsumexp,
    nancumprod,
    nancumsum,
)
from tinygrad_like.ops.reductions.scatter import (
    gather_nd,
    index_add,
    index_copy,
    index_fill,
    index_reduce,
    masked_scatter,
    piecewise,
    scatter,
    select,
)
from tinygrad_like.ops.samples.order import (
    bincount,
    digitize,
    histogram,
    interp,
    mode,
    searchsorted,
    unique,
)
from tinygrad_like.ops.samples.random import (
    dropout,
    multinomial,
    permutation,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
)
from tinygrad_like.ops.samples.ranks import (
    kthvalue,
    median,
    nanmedian,
    nanpercentile,
    nanquantile,
    percentile,
    quantile,
)
from tinygrad_like.ops.samples.statistics import (
    average,
    corrcoef,
    count_nonzero,
    cov,
    cumulative_trapezoid,
    diff,
    nanmax,
    nanmean,
    nanmin,
    nanprod,
    nanstd,
    nansum,
    nanvar,
    ptp,
    trapezoid,
)
from tinygrad_like.ops.signals import fft
from tinygrad_like.ops.signals.spectrogram import istft, stft
from tinygrad_like.warmup import warmup

if TYPE_CHECKING:
    from tinygrad_like import (
        array_api,
        data,
        distributions,
        inspect,
        interchange,
        linalg,
        onnx,
        pictures,
        signal,
        sklearn,
        special,
        stats,
        training,
    )
    from tinygrad_like.inspect import profile, tap
    from tinygrad_like.training import Run

__version__ = "0.1.0"

# What is loaded at its first use, and from where: importing the library does not wait for it.
ROOMS = """
    array_api data distributions inspect interchange linalg onnx pictures signal sklearn special
    stats training
""".split()
ON_USE = {name: name for name in ROOMS} | {"Run": "training"}
ON_USE |= {"profile": "inspect", "tap": "inspect"}


def __getattr__(name: str) -> Any:
    """What is loaded on use."""
    if name not in ON_USE:
        raise AttributeError(f"module 'tinygrad_like' has no attribute {name!r}")
    room = importlib.import_module(f"{__name__}.{ON_USE[name]}")
    globals()[name] = room if name in ROOMS else getattr(room, name)
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *ON_USE})


ops.sharing.ArrayAPI.room = lambda: __getattr__("array_api")
einops_backend.join()
