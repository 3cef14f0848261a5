"""Normalisation: subtract a mean, divide by a deviation, scale and shift.

layer_norm   over the last axes of each row         weight, bias: those axes
rms_norm     the same without the mean              weight: those axes
batch_norm   over the batch, for each channel       weight, bias: (C,)
group_norm   over groups of channels of each image  weight, bias: (C,)
"""

import math

from tinygrad_like.engine import astype, check_integer, check_number, in_single, op
from tinygrad_like.ops.arrays.shape import moveaxis, reshape
from tinygrad_like.ops.elements.elementwise import rsqrt
from tinygrad_like.ops.reductions.reduce import mean, sum, var


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


def _norm_rows_of_all(call, arrays, attributes):
    """The rule of vmap for norms of rows: examples have so many more rows."""
    x, *parameters = arrays
    if any(p is not None and p.mapped for p in parameters):
        return call.by_definition(arrays, attributes)
    _normed_shape(call.op.name, *arrays)
    y = call(x.inner, *(None if p is None else p.inner for p in parameters), **attributes)
    call.unfold_extra()
    return y


def _layer_norm_backward_of_all(call, g, be, x, weight, bias, mean, rstd, needs):
    if _is_mapped(weight):
        return NotImplemented
    shape = _normed_shape("layer_norm", x, weight, bias)
    g, x, weight = call.raw(g), call.raw(x), call.shared(weight)
    mean, rstd = (call.raw(s).reshape(-1) for s in (mean, rstd))
    only_x = needs[0], False, False
    dx, _, _ = _layer_norm_backward(g, call.raw(be), x, weight, None, mean, rstd, only_x)
    grads = _gradients_of_each(g, x, mean, rstd, shape, needs[1:])
    return call.gradients([dx, *grads])


def _is_mapped(parameter):
    return parameter is not None and getattr(parameter, "mapped", False)


def _gradients_of_each(g, x, mean, rstd, shape, needs):
    """The gradients of each example's weight and bias, (size, *shape), from arrays of rows."""
    size, width = len(x), math.prod(shape)
    rows = g.reshape(size, -1, width)
    dweight = dbias = None
    if needs[0]:
        normed = x.reshape(-1, width) - (0 if mean is None else mean[:, None])
        normed = (normed * rstd[:, None]).reshape(rows.shape)
        dweight = astype(sum(rows * normed, axis=1), dtype=g.dtype).reshape(size, *shape)
    if needs[1]:
        dbias = sum(rows, axis=1).reshape(size, *shape)
    return dweight, dbias


@op(
    floating=True,
    autocast=in_single,
    batch=_norm_rows_of_all,
    batch_backward=_layer_norm_backward_of_all,
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


def _rms_norm_backward_of_all(call, g, be, x, weight, rstd, needs):
    if _is_mapped(weight):
        return NotImplemented
    shape = _normed_shape("rms_norm", x, weight)
    g, x, rstd = call.raw(g), call.raw(x), call.raw(rstd).reshape(-1)
    dx, _ = _rms_norm_backward(g, call.raw(be), x, call.shared(weight), rstd, (needs[0], False))
    dweight, _ = _gradients_of_each(g, x, None, rstd, shape, (needs[1], False))
    return call.gradients([dx, dweight])


@op(
    floating=True,
    autocast=in_single,
    batch=_norm_rows_of_all,
    batch_backward=_rms_norm_backward_of_all,
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


def _as_channels(x):
    """(size, N, C, ...) as (N, size C, ...), so that examples are so many more channels."""
    x = moveaxis(x, 0, 1)
    return reshape(x, (x.shape[0], -1, *x.shape[3:]))


def _from_channels(call, x):
    """The opposite of `_as_channels`."""
    if x is None:
        return None
    return moveaxis(reshape(x, (x.shape[0], call.size, -1, *x.shape[2:])), 1, 0)


def _flat_parameter(call, p):
    return None if p is None else reshape(call.full(p), (-1,))


def _batch_norm_of_all(call, arrays, attributes):
    x, *parameters = arrays
    if x.ndim < 2:
        return call.of_one(arrays, attributes)
    _check_channels("batch_norm", *arrays)
    parameters = [_flat_parameter(call, p) for p in parameters]
    y, mean, var = call(_as_channels(x.full()), *parameters, **attributes)
    return _from_channels(call, y), call.unfolded(mean), call.unfolded(var)


def _batch_norm_backward_of_all(call, g, be, x, weight, out, eps, needs):
    (dy, *others), (y, *statistics) = call.raw(g), call.raw(out)
    dx, dweight, dbias = _batch_norm_backward(
        (_as_channels(dy), *(d.reshape(-1) for d in others)),
        call.raw(be),
        _as_channels(call.raw(x)),
        None if weight is None else call.raw(weight).reshape(-1),
        (_as_channels(y), *(s.reshape(-1) for s in statistics)),
        eps,
        needs,
    )
    grads = _from_channels(call, dx), call.unfolded(dweight), call.unfolded(dbias)
    return call.gradients(grads)


@op(
    floating=True,
    autocast=in_single,
    several=True,
    batch=_batch_norm_of_all,
    batch_backward=_batch_norm_backward_of_all,
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


def _group_norm_of_all(call, arrays, attributes):
    x, *parameters = arrays
    if x.ndim < 2:
        return call.of_one(arrays, attributes)
    _check_channels("group_norm", *arrays)
    groups = check_integer("group_norm", "groups", attributes["groups"], 1)
    if x.shape[1] % groups:
        return call.of_one(arrays, attributes)
    parameters = [_flat_parameter(call, p) for p in parameters]
    more = {**attributes, "groups": call.size * groups}
    y = call(_as_channels(x.full()), *parameters, **more)
    call.extra = [_from_channels(call, s) for s in call.extra]
    return _from_channels(call, y)


def _group_norm_backward_of_all(call, g, be, x, weight, groups, mean, rstd, needs):
    dx, dweight, dbias = _group_norm_backward(
        _as_channels(call.raw(g)),
        call.raw(be),
        _as_channels(call.raw(x)),
        None if weight is None else call.raw(weight).reshape(-1),
        call.size * groups,
        _as_channels(call.raw(mean)),
        _as_channels(call.raw(rstd)),
        needs,
    )
    grads = _from_channels(call, dx), call.unfolded(dweight), call.unfolded(dbias)
    return call.gradients(grads)


@op(
    floating=True,
    autocast=in_single,
    batch=_group_norm_of_all,
    batch_backward=_group_norm_backward_of_all,
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
