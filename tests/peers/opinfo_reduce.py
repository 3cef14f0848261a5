"""How PyTorch's reductions, scans and ops of order are called here."""

import numpy as np
from opinfo import call

import tinygrad_like as tg


def degrees(unbiased, correction):
    """NumPy's ddof, for PyTorch's two options."""
    if correction is not None:
        return correction
    return 1 if unbiased is None else int(unbiased)


def spread(function):
    """The variance or the standard deviation with PyTorch's options."""

    def called(x, dim=None, unbiased=None, keepdim=False, *, correction=None):
        if isinstance(dim, bool):  # torch.var(x, unbiased)
            dim, unbiased = None, dim
        return function(x, axis=dim, keepdims=keepdim, ddof=degrees(unbiased, correction))

    return called


def with_mean(function):
    def called(x, dim=None, unbiased=None, keepdim=False, *, correction=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        y = spread(function)(x, dim, unbiased, keepdim, correction=correction)
        return y, tg.mean(x, axis=dim, keepdims=keepdim)

    return called


def extreme(function, place):
    """The values and their places along an axis."""

    def called(x, dim, keepdim=False):
        return function(x, axis=dim, keepdims=keepdim), place(x, axis=dim, keepdims=keepdim)

    return called


def aminmax(x, dim=None, keepdim=False):
    return tg.min(x, axis=dim, keepdims=keepdim), tg.max(x, axis=dim, keepdims=keepdim)


def lower_median(quantile):
    """PyTorch's median is the lower of the two middle elements."""

    def called(x, dim=None, keepdim=False):
        y = quantile(x, 0.5, dim, method="lower", keepdims=keepdim)
        return y if dim is None else (y, ...)  # PyTorch gives the place, too

    return called


def ordered(x, dim=-1, descending=False, stable=True):
    """Ours are always stable."""
    options = {"axis": dim, "descending": descending}
    return tg.sort(x, **options), tg.argsort(x, **options)


def unique(x, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """Ours are always sorted."""
    return tg.unique(x, False, return_inverse, return_counts, dim)


def searchsorted(a, v, *, out_int32=False, right=False, side=None, sorter=None):
    places = tg.searchsorted(a, v, side or ("right" if right else "left"), sorter)
    return tg.astype(places, dtype="int32") if out_int32 else places


def slopes(x, *, dim=None, spacing=None, edge_order=1):
    steps = spacing if isinstance(spacing, list) else [] if spacing is None else [spacing]
    return np.gradient(x, *steps, axis=dim, edge_order=edge_order)


def counted(sums):
    """PyTorch's sums of integer weights are of float64."""
    return tg.astype(sums, dtype="float64") if sums.dtype.kind == "f" else sums


def histogram(x, bins, range=None, weight=None, density=False):
    """PyTorch counts in the dtype of x."""
    weights = {} if weight is None else {"weights": weight}
    counts, edges = tg.histogram(x, bins, range, density or None, **weights)
    return tg.astype(counts, dtype=x.dtype), edges


ROWS = {
    "all": call(tg.all, "dim keepdim"),
    "any": call(tg.any, "dim keepdim"),
    "amax": call(tg.max, "dim keepdim"),
    "amin": call(tg.min, "dim keepdim"),
    "aminmax": aminmax,
    "argmax": call(tg.argmax, "dim keepdim"),
    "argmin": call(tg.argmin, "dim keepdim"),
    "argsort": lambda x, dim=-1, descending=False, stable=True: tg.argsort(
        x, dim, descending=descending
    ),
    "bincount": lambda x, weights=None, minlength=0: counted(tg.bincount(x, weights, minlength)),
    "bucketize": lambda x, edges, *, out_int32=False, right=False: searchsorted(
        edges, x, out_int32=out_int32, right=right
    ),
    "corrcoef": tg.corrcoef,
    "count_nonzero": call(tg.count_nonzero, "dim"),
    "cov": lambda x, *, correction=1, **weights: tg.cov(
        x, ddof=correction, **{name: w for name, w in weights.items() if w is not None}
    ),
    "cummax": call(tg.cummax, "dim"),
    "cummin": call(tg.cummin, "dim"),
    "cumprod": call(tg.cumprod, "dim"),
    "cumsum": call(tg.cumsum, "dim"),
    "diff": call(tg.diff, "n dim prepend append"),
    "gradient": slopes,
    "histc": lambda x, bins=100, min=0, max=0: histogram(
        x, bins, (min, max) if min < max else None
    )[0],
    "histogram": histogram,
    "kthvalue": call(tg.kthvalue, "k dim keepdim"),
    "linalg.vector_norm": call(tg.norm, "ord dim keepdim"),
    "log_softmax": call(tg.log_softmax, "dim"),
    "log_softmax.with_dtype": call(tg.log_softmax, "dim"),
    "logcumsumexp": call(tg.logcumsumexp, "dim"),
    "logsumexp": call(tg.logsumexp, "dim keepdim"),
    "max.reduction_no_dim": tg.max,
    "max.reduction_with_dim": extreme(tg.max, tg.argmax),
    "mean": call(tg.mean, "dim keepdim"),
    "median": lower_median(tg.quantile),
    "min.reduction_no_dim": tg.min,
    "min.reduction_with_dim": extreme(tg.min, tg.argmin),
    "mode": call(tg.mode, "dim keepdim"),
    "msort": lambda x: tg.sort(x, axis=0),
    "nanmean": call(tg.nanmean, "dim keepdim"),
    "nanmedian": lower_median(tg.nanquantile),
    "nanquantile": call(tg.nanquantile, "q dim keepdim", interpolation="method"),
    "nansum": call(tg.nansum, "dim keepdim"),
    "nn.functional.softmin": lambda x, dim: tg.softmax(-x, axis=dim),
    "nn.functional.softmin.with_dtype": lambda x, dim, **o: tg.softmax(-x, axis=dim, **o),
    "prod": call(tg.prod, "dim keepdim"),
    "quantile": call(tg.quantile, "q dim keepdim", interpolation="method"),
    "searchsorted": searchsorted,
    "softmax": call(tg.softmax, "dim"),
    "softmax.with_dtype": call(tg.softmax, "dim"),
    "sort": ordered,
    "std": spread(tg.std),
    "std.unbiased": spread(tg.std),
    "std_mean": with_mean(tg.std),
    "std_mean.unbiased": with_mean(tg.std),
    "sum": call(tg.sum, "dim keepdim"),
    "topk": lambda x, k, dim=-1, largest=True, sorted=True: tg.topk(x, k, dim, largest=largest),
    "cumulative_trapezoid": lambda y, x=None, *, dx=1.0, dim=-1: tg.cumulative_trapezoid(
        y, x, dx, dim
    ),
    "renorm": tg.renorm,
    "trapezoid": lambda y, x=None, *, dx=1.0, dim=-1: tg.trapezoid(y, x, dx, dim),
    "trapz": lambda y, x=None, *, dx=1.0, dim=-1: tg.trapezoid(y, x, dx, dim),
    "unique": unique,
    "var": spread(tg.var),
    "var.unbiased": spread(tg.var),
    "var_mean": with_mean(tg.var),
    "var_mean.unbiased": with_mean(tg.var),
    "norm": call(tg.norm, "ord dim keepdim", p="ord"),
    "norm.inf": call(tg.norm, "ord dim keepdim", p="ord"),
    "norm.fro": lambda x, p=None, dim=None: tg.norm(x, axis=dim),
    "norm.nuc": lambda x, p, dim=(0, 1): tg.linalg.matrix_norm(x, p, dim),
    "dist": lambda x, y, p=2: tg.norm(x - y, p),
}
