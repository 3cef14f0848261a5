"""Rows for order.py, ranks.py and statistics.py: one line a row, see case.py."""

import numpy as np
from case import Apart, Case, Ints, N, P, Values, torch

import tinygrad_like as tg
from tinygrad_like.ops.samples.statistics import gradient

NAN = np.nan
HOLES = Values([[1.5, NAN, -2.0, 0.25], [NAN, NAN, 3.0, 1.0]])
Q = np.array([0.2, 0.75])


def torch_quantile(q, axis=None, keepdims=False, method="linear"):
    def quantile(x):
        share = torch.tensor(q, dtype=torch.float64)
        return torch.quantile(x, share, axis, keepdims, interpolation=method)

    return quantile


def known(x):
    """The elements that are not NaN, of one row."""
    return x[~torch.isnan(x)]


def of_rows(function):
    """A torch function of what is known in each row."""
    return lambda x: torch.stack([function(known(row)) for row in x])


def torch_interp(x, xp, fp):
    i = (torch.searchsorted(xp.detach(), x.detach(), right=True) - 1).clip(0, len(xp) - 2)
    y = fp[i] + (x - xp[i]) * (fp[i + 1] - fp[i]) / (xp[i + 1] - xp[i])
    return torch.where(x < xp[0], fp[0], torch.where(x > xp[-1], fp[-1], y))


POINTS = Values([0.1, 0.4, 0.9, 1.6])
PLACES = Values([[0.05, 0.2, 0.7], [1.2, 1.5, 2.3]])

QUANTILES = [
    Case(tg.quantile, Apart(2, 5), torch=torch_quantile(0.3), empty=False, q=0.3),
    Case(tg.quantile, Apart(2, 5), torch=torch_quantile(Q, 1, True), q=Q, axis=1, keepdims=True),
    Case(tg.quantile, Apart(2, 3, 2), torch=lambda x: torch.quantile(x.movedim(1, 0).flatten(1),
         0.7, 1), empty=False, q=0.7, axis=(0, 2)),
    *(
        Case(tg.quantile, Apart(2, 6), torch=torch_quantile(0.45, -1, method=m), q=0.45, axis=-1,
             method=m)
        for m in ("lower", "higher", "nearest", "midpoint")
    ),
    Case(tg.quantile, Apart(2, 6), numpy="quantile", q=0.45, axis=-1, method="hazen"),
    Case(tg.percentile, Apart(2, 5), torch=torch_quantile(0.3, 0), empty=False, q=30, axis=0),
    Case(tg.median, Apart(2, 4), torch=torch_quantile(0.5, 1), axis=1),
    Case(tg.median, Apart(3, 3), torch=torch_quantile(0.5), empty=False),
    Case(tg.nanquantile, HOLES, torch=of_rows(lambda x: torch.quantile(x, 0.3)), q=0.3, axis=1,
         empty=False),
    Case(tg.nanpercentile, HOLES, torch=of_rows(lambda x: torch.quantile(x, 0.3)), q=30, axis=1,
         empty=False),
    Case(tg.nanmedian, HOLES, torch=of_rows(lambda x: torch.quantile(x, 0.5)), axis=1, empty=False),
    Case(tg.kthvalue, Apart(2, 5), k=2, axis=-1),
    Case(tg.mode, Values([[2.0, 1.0, 2.0, 1.0, 0.5], [1.0, 3.0, 3.0, 2.0, 3.0]]), axis=-1,
         torch=lambda x: (x[:, 1], torch.tensor([1, 1])[: len(x)]), grad=False),
    Case(tg.mode, Apart(2, 4), torch=lambda x: x.min(1), axis=1),  # once each: the smallest
]  # fmt: skip

PLACED = [
    Case(tg.unique, Apart(2, 3), torch=lambda x: x.flatten().sort()[0]),
    Case(tg.unique, Values([[3, 1], [3, 3]]), numpy="unique", grad=False, return_inverse=True,
         return_counts=True, empty=False),
    Case(tg.searchsorted, POINTS, PLACES, numpy="searchsorted", grad=False, empty=False),
    Case(tg.searchsorted, POINTS, POINTS, numpy="searchsorted", grad=False, side="right",
         empty=False),
    Case(tg.digitize, PLACES, numpy="digitize", grad=False, bins=[1.0, 0.5, 0.0], right=True),
    Case(tg.bincount, Ints(4, 7), numpy="bincount", grad=False, minlength=6, empty=False),
    Case(tg.bincount, Ints(4, 5), N(5), empty=False, minlength=4,
         torch=lambda x, w: torch.zeros(4, dtype=w.dtype).index_add(0, x, w)),
    Case(tg.histogram, N(3, 4), numpy="histogram", grad=False, empty=False, bins=3,
         range=(-2.0, 2.0)),
    Case(tg.interp, PLACES, POINTS, Values([1.0, -0.5, 2.0, 0.3]), torch=torch_interp, empty=False),
    Case(lambda x, xp, fp: tg.interp(x, xp, fp, period=2.0), PLACES, POINTS,
         Values([1.0, -0.5, 2.0, 0.3]), name="interp()", empty=False,
         torch=lambda x, xp, fp: torch_interp(x % 2.0, torch.cat([xp[-1:] - 2, xp, xp[:1] + 2]),
                                              torch.cat([fp[-1:], fp, fp[:1]]))),
]  # fmt: skip


def torch_trapezoid(y, x):
    return torch.trapezoid(y, x, dim=1)


def torch_average(x, weights):
    return (x * weights[:, None]).sum(0) / weights.sum()


STATISTICS = [
    Case(tg.ptp, Apart(2, 4), torch=lambda x: x.amax(1) - x.amin(1), axis=1),
    Case(tg.count_nonzero, Ints(3, 2, 4), numpy="count_nonzero", grad=False, axis=1),
    Case(tg.average, N(2, 3), torch=lambda x: x.mean(0), empty=False, axis=0),
    Case(lambda x, w: tg.average(x, 0, w), N(3, 2), P(3), torch=torch_average, name="average()",
         empty=False),
    *(
        Case(getattr(tg, f"nan{name}"), HOLES, torch=of_rows(oracle), axis=1, statistics=True,
             empty=False)
        for name, oracle in (
            ("sum", torch and torch.sum),
            ("prod", torch and torch.prod),
            ("mean", torch and torch.mean),
            ("max", torch and torch.amax),
            ("min", torch and torch.amin),
            ("var", lambda x: x.var(correction=0)),
            ("std", lambda x: x.std(correction=0)),
        )
    ),
    Case(tg.diff, N(2, 5), n=2, axis=1),
    Case(lambda x, a: tg.diff(x, axis=0, prepend=a, append=1.0), N(3, 2), N(1, 2), name="diff()",
         torch=lambda x, a: torch.diff(x, dim=0, prepend=a, append=torch.ones_like(x[:1])),
         empty=False),
    Case(tg.trapezoid, N(2, 4), torch=lambda y: torch.trapezoid(y, dx=0.5), dx=0.5),
    Case(tg.trapezoid, N(2, 4), P(4), torch=torch_trapezoid, axis=1),
    Case(tg.cumulative_trapezoid, N(2, 4), P(4), axis=1,
         torch=lambda y, x: torch.cumulative_trapezoid(y, x, dim=1)),
    Case(gradient, N(3, 4), torch=lambda x: torch.gradient(x), empty=False),
    Case(lambda f, x: gradient(f, x, axis=1, edge_order=2), N(2, 4), POINTS, name="gradient()",
         torch=lambda f, x: torch.gradient(f, spacing=(x,), dim=1, edge_order=2)[0]),
    Case(tg.cov, N(3, 4), empty=False),
    Case(lambda x, y: tg.cov(x, y, rowvar=False, ddof=0), N(4, 2), N(4), name="cov()", empty=False,
         torch=lambda x, y: torch.cov(torch.cat([x, y[:, None]], 1).T, correction=0)),
    Case(lambda x, w: tg.cov(x, fweights=[1, 3, 0, 2], aweights=w), N(3, 4), P(4), name="cov()",
         torch=lambda x, w: torch.cov(x, fweights=torch.tensor([1, 3, 0, 2]), aweights=w),
         empty=False),
    Case(tg.corrcoef, N(3, 5), empty=False),
]  # fmt: skip

CASES = QUANTILES + PLACED + STATISTICS
