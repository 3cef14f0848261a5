"""Normalisation: subtract a mean, divide by a deviation, scale and shift.

layer_norm   over the last axes of each row         weight, bias: those axes
rms_norm     the same without the mean              weight: those axes
batch_norm   over the batch, for each channel       weight, bias: (C,)
group_norm   over groups of channels of each image  weight, bias: (C,)
"""

import math

from tinygrad_like.engine import check_integer, check_number, in_single, op
from tinygrad_like.ops.elementwise import rsqrt
from tinygrad_like.ops.reduce import mean, var
from tinygrad_like.ops.shape import reshape


def _affine(y, weight, bias):
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _normed_shape(name, x, *parameters):
    """The last axes of x, as many as the parameters have (1 without any)."""
    given = [p for p in parameters if p is not None]
    shape = tuple(given[0].shape) if given else tuple(x.shape[-1:])
    if not shape or x.shape[len(x.shape) - len(shape) :] != shape:
        raise ValueError(f"[{name}] weight is {shape}, expected the last axes of x: {x.shape}")
    if any(tuple(p.shape) != shape for p in given):
        raise ValueError(f"[{name}] weight is {shape}, bias is {given[-1].shape}")
    return shape


def _rows(x, shape):
    return x.reshape(math.prod(x.shape[: x.ndim - len(shape)]), math.prod(shape))


def _flat(parameter):
    return None if parameter is None else parameter.reshape(-1)


def _unflat(gradient, shape):
    return None if gradient is None else gradient.reshape(shape)


def _checked_eps(name, eps):
    return check_number(name, "eps", eps, 0)


def _layer_norm(x, weight, bias, eps):
    shape = _normed_shape("layer_norm", x, weight, bias)
    axes = tuple(range(-len(shape), 0))
    centred = x - mean(x, axis=axes, keepdims=True)
    scale = rsqrt(mean(centred * centred, axis=axes, keepdims=True) + eps)
    return _affine(centred * scale, weight, bias)


def _layer_norm_backward(g, be, x, weight, bias, mean, rstd, needs):
    shape = _normed_shape("layer_norm", x, weight, bias)
    grads = be.k.layer_norm_backward(
        _rows(g, shape), _rows(x, shape), _flat(weight), mean, rstd, needs
    )
    return [_unflat(d, s) for d, s in zip(grads, (x.shape, shape, shape), strict=True)]


@op(
    floating=True,
    autocast=in_single,
    composite=_layer_norm,
    backward=_layer_norm_backward,
    saves=("mean", "rstd"),
)
def layer_norm(be, x, weight=None, bias=None, *, eps=1e-5):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axes.

    Source: Ba et al. 2016, "Layer normalization".
    """
    shape, eps = _normed_shape("layer_norm", x, weight, bias), _checked_eps("layer_norm", eps)
    y, mean, rstd = be.k.layer_norm(_rows(x, shape), _flat(weight), _flat(bias), eps)
    return y.reshape(x.shape), (mean, rstd)


def _rms_norm(x, weight, eps):
    axes = tuple(range(-len(_normed_shape("rms_norm", x, weight)), 0))
    return _affine(x * rsqrt(mean(x * x, axis=axes, keepdims=True) + eps), weight, None)


def _rms_norm_backward(g, be, x, weight, rstd, needs):
    shape = _normed_shape("rms_norm", x, weight)
    grads = be.k.rms_norm_backward(_rows(g, shape), _rows(x, shape), _flat(weight), rstd, needs)
    return [_unflat(d, s) for d, s in zip(grads, (x.shape, shape), strict=True)]


@op(
    floating=True,
    autocast=in_single,
    composite=_rms_norm,
    backward=_rms_norm_backward,
    saves=("rstd",),
)
def rms_norm(be, x, weight=None, *, eps=1e-6):
    """x / sqrt(mean(x^2) + eps) * weight over the last axes (Zhang and Sennrich 2019)."""
    shape, eps = _normed_shape("rms_norm", x, weight), _checked_eps("rms_norm", eps)
    y, rstd = be.k.rms_norm(_rows(x, shape), _flat(weight), eps)
    return y.reshape(x.shape), (rstd,)


def _check_channels(name, x, *parameters):
    if x.ndim < 2:
        raise ValueError(f"[{name}] x is {x.shape}, expected (N, C, ...)")
    for p in parameters:
        if p is not None and tuple(p.shape) != (x.shape[1],):
            raise ValueError(
                f"[{name}] x has {x.shape[1]} channels, a parameter has shape {p.shape} "
                f"(x: {x.shape})"
            )


def _planes(x):
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _channels(parameter, ndim):
    return None if parameter is None else reshape(parameter, (-1, *(1,) * (ndim - 2)))


def normalize_channels(x, mean, var, weight=None, bias=None, *, eps=1e-5):
    """Batch norm with a given mean and variance (C,), as in evaluation: x (N, C, ...)."""
    _check_channels("batch_norm", x, mean, var, weight, bias)
    mean, var, weight, bias = (_channels(p, x.ndim) for p in (mean, var, weight, bias))
    return _affine((x - mean) * rsqrt(var + eps), weight, bias)


def _batch_norm(x, weight, bias, eps):
    axes = (0, *range(2, x.ndim))
    m, v = mean(x, axis=axes), var(x, axis=axes)
    return normalize_channels(x, m, v, weight, bias, eps=eps), m, v


def _batch_norm_backward(g, be, x, weight, out, eps, needs):
    planes = _planes(x)
    _, m, v = out
    dx, dweight, dbias = be.k.batch_norm_backward(_planes(g[0]), planes, weight, m, v, eps, needs)
    if dx is not None:  # the mean and the variance are outputs too
        n = planes.shape[0] * planes.shape[2]
        dx = dx + ((planes - m[:, None]) * (2 * g[2])[:, None] + g[1][:, None]) / n
        dx = dx.reshape(x.shape)
    return [dx, dweight, dbias]


@op(
    floating=True,
    autocast=in_single,
    several=True,
    composite=_batch_norm,
    backward=_batch_norm_backward,
)
def batch_norm(be, x, weight=None, bias=None, *, eps=1e-5):
    """(y, mean, var): x (N, C, ...) normalised for each channel over all other axes.

    The variance is the biased one. ValueError if there is only one value for each channel.
    Source: Ioffe and Szegedy 2015, "Batch normalization".
    """
    _check_channels("batch_norm", x, weight, bias)
    if x.shape[0] * math.prod(x.shape[2:]) < 2:
        raise ValueError(
            f"[batch_norm] x is {x.shape}: one value for each channel has no variance; "
            "use a larger batch, or model.eval()"
        )
    eps = _checked_eps("batch_norm", eps)
    y, mean, var = be.k.batch_norm(_planes(x), weight, bias, eps)
    return y.reshape(x.shape), mean, var


def _group_norm(x, weight, bias, groups, eps):
    grouped = reshape(x, (x.shape[0], groups, math.prod(x.shape[1:]) // groups))
    y = reshape(_layer_norm(grouped, None, None, eps), x.shape)
    return _affine(y, _channels(weight, x.ndim), _channels(bias, x.ndim))


def _group_norm_backward(g, be, x, weight, groups, mean, rstd, needs):
    dx, dweight, dbias = be.k.group_norm_backward(
        _planes(g), _planes(x), weight, groups, mean, rstd, needs
    )
    return [_unflat(dx, x.shape), dweight, dbias]


@op(
    floating=True,
    autocast=in_single,
    composite=_group_norm,
    backward=_group_norm_backward,
    saves=("mean", "rstd"),
)
def group_norm(be, x, weight=None, bias=None, *, groups, eps=1e-5):
    """x (N, C, ...) normalised over each group of C / groups channels (Wu and He 2018)."""
    _check_channels("group_norm", x, weight, bias)
    groups = check_integer("group_norm", "groups", groups, 1)
    if x.shape[1] % groups:
        raise ValueError(
            f"[group_norm] {groups} groups do not divide {x.shape[1]} channels (x: {x.shape})"
        )
    eps = _checked_eps("group_norm", eps)
    y, mean, rstd = be.k.group_norm(_planes(x), weight, bias, groups, eps)
    return y.reshape(x.shape), (mean, rstd)
