"""Rows for tg.special and tg.stats: one line a row, SciPy is the oracle, see case.py."""

import functools
import math

import numpy as np
import scipy.special
from case import Apart, Case, F, Ints, Maker, N, P, Spd, Values

import tinygrad_like as tg
from tinygrad_like.special.gamma import _beta_density, _gamma_density
from tinygrad_like.special.normal import _hazard

special, stats = tg.special, tg.stats


def row(function, *inputs, grad=True, empty=True, **options):
    """A row of a function of tg.special, whose oracle is SciPy's of the same name."""
    oracle = getattr(scipy.special, function.__name__)
    return Case(function, *inputs, numpy=functools.partial(oracle, **options), grad=grad,
                empty=empty, name=f"special.{function.__name__}", **options)  # fmt: skip


def Shares(*shape):
    """Numbers in (0, 1), away from both."""
    return Maker(shape, lambda rng, s: rng.uniform(0.1, 0.9, s))


GAMMA = [
    row(special.gamma, Values([[-2.6, -0.3], [1.7, 4.0]])),
    row(special.rgamma, Values([[-2.6, -2.0, 0.0], [0.3, 1.7, 4.0]])),
    row(special.gammasgn, Values([-2.6, -1.5, 2.0]), grad=False),
    Case(special.multigammaln, Maker((2, 3), lambda rng, s: rng.uniform(2, 9, s)), d=3,
         numpy=lambda a: scipy.special.multigammaln(a, 3)),
    row(special.beta, P(2, 3), P(3)),
    *(
        Case(lambda x, f=f: f(1.75, x), P(2, 3), name=f"special.{f.__name__}",
             numpy=lambda x, f=f: getattr(scipy.special, f.__name__)(1.75, x))
        for f in (special.gammainc, special.gammaincc)
    ),
    Case(lambda x: special.betainc(1.75, 0.625, x), Shares(2, 3), name="special.betainc",
         numpy=lambda x: scipy.special.betainc(1.75, 0.625, x)),
    Case(_gamma_density, P(2, 3), P(3),
         numpy=lambda a, x: x ** (a - 1) * np.exp(-x) / scipy.special.gamma(a)),
    Case(_beta_density, P(2, 3), P(3), Shares(2, 1),
         numpy=lambda a, b, x: x ** (a - 1) * (1 - x) ** (b - 1) / scipy.special.beta(a, b)),
]  # fmt: skip

NORMAL = [
    *(row(f, N(2, 3)) for f in (special.erfcx, special.ndtr, special.log_ndtr)),
    row(special.log_ndtr, Values([-30.0, -5.0, 4.0, 9.0])),
    Case(
        _hazard,
        N(2, 3),
        numpy=lambda x: np.exp(-x * x / 2) / math.sqrt(2 * math.pi) / scipy.special.ndtr(x),
    ),
    row(special.erfcinv, P(3)),
    row(special.ndtri, Shares(2, 3)),
]

BESSEL = [
    *(row(f, N(2, 3)) for f in (special.j0, special.j1, special.i0, special.i1)),
    *(row(f, P(2, 3)) for f in (special.y0, special.y1)),
    *(row(f, Apart(2, 3)) for f in (special.i0e, special.i1e)),
    *(
        Case(lambda x, f=f, n=n: f(n, x), P(2, 3), name=f"special.{f.__name__}",
             numpy=lambda x, f=f, n=n: getattr(scipy.special, f.__name__)(n, x))
        for f, n in ((special.jn, 2), (special.yn, 3), (special.iv, 1.5), (special.ive, 2))
    ),
    row(special.jn, Ints(4, 3), P(2, 3)),
]  # fmt: skip

ENTROPY = [
    row(special.xlog1py, N(2, 3), P(3)),
    Case(lambda y: special.xlog1py(2, y), P(3), numpy=lambda y: scipy.special.xlog1py(2, y),
         name="xlog1py(2, y)"),
    row(special.entr, P(2, 3)),
    *(row(f, P(2, 3), P(3)) for f in (special.rel_entr, special.kl_div)),
]  # fmt: skip

SUMS = [
    row(special.logsumexp, N(2, 3), empty=False),
    row(special.logsumexp, N(2, 3), axis=0, keepdims=True, empty=False),
    Case(lambda a, b: special.logsumexp(a, 1, b), N(2, 3), P(3), name="logsumexp of b",
         numpy=lambda a, b: scipy.special.logsumexp(a, 1, b)),
    *(row(f, N(2, 3), empty=False) for f in (special.softmax, special.log_softmax)),
    row(special.softmax, N(2, 3), axis=1),
]  # fmt: skip


def stats_row(function, *inputs, parameters=(), **options):
    """A row of a function of tg.stats, whose oracle is SciPy's; `parameters` are numbers."""
    distribution = function.__module__.rpartition(".")[2]

    def call(*xs):
        if distribution == "multivariate_normal":  # only one triangle of a covariance is read
            xs = [(x + x.T) / 2 if x.shape == (2, 2) else x for x in xs]
        return function(*xs, *parameters)

    def by_scipy(*xs):
        import scipy.stats  # which takes half a second

        return getattr(getattr(scipy.stats, distribution), function.__name__)(*xs, *parameters)

    name = f"{distribution}.{function.__name__}"
    return Case(call, *inputs, numpy=by_scipy, name=name, statistics=True, **options)


norm, gamma, chi2, beta, t = stats.norm, stats.gamma, stats.chi2, stats.beta, stats.t
poisson, dirichlet, normals = stats.poisson, stats.dirichlet, stats.multivariate_normal


def of_rank_1(x, root):
    """A density on the line along `root`, at places on it."""
    return normals.logpdf(x[:, None] * root, 0.0 * root, root[:, None] * root, allow_singular=True)


def scipy_of_rank_1(x, root):
    import scipy.stats  # which takes half a second

    density = scipy.stats.multivariate_normal(cov=np.outer(root, root), allow_singular=True)
    return density.logpdf(np.outer(x, root))


STATS = [
    *(stats_row(f, N(1, 2), N(2), P(1, 1)) for f in (norm.logpdf, norm.pdf, norm.cdf, norm.logcdf)),
    *(stats_row(f, N(1, 2)) for f in (norm.sf, norm.logsf)),
    *(stats_row(f, Shares(2), N(2), P(2)) for f in (norm.ppf, norm.isf)),
    *(stats_row(f, P(1, 2), P(2)) for f in (gamma.logpdf, gamma.pdf, chi2.logpdf, chi2.pdf)),
    stats_row(gamma.logpdf, P(1, 2), P(2), Shares(2), P(1, 1)),
    *(
        stats_row(f, P(2), parameters=(1.7, 0.1, 2.0))
        for f in (gamma.cdf, gamma.sf, chi2.cdf, chi2.sf)
    ),
    *(stats_row(f, Shares(1, 2), P(2), P(1, 1)) for f in (beta.logpdf, beta.pdf)),
    *(stats_row(f, Shares(2), parameters=(1.7, 0.6)) for f in (beta.cdf, beta.sf)),
    *(stats_row(f, N(1, 2), P(2), N(2), P(2)) for f in (t.logpdf, t.pdf)),
    *(stats_row(f, N(2), parameters=(1.7, 0.1, 2.0)) for f in (t.cdf, t.logcdf, t.sf)),
    *(
        stats_row(f, Ints(5, 1, 2), P(2))
        for f in (poisson.logpmf, poisson.pmf, poisson.cdf, poisson.sf)
    ),
    *(
        stats_row(f, Maker((3,), lambda rng, s: rng.dirichlet([3.0] * 3)), P(3), empty=False)
        for f in (dirichlet.logpdf, dirichlet.pdf)
    ),
    *(stats_row(f, N(3, 2), N(2), Spd(2, 2), empty=False) for f in (normals.logpdf, normals.pdf)),
    stats_row(normals.logpdf, N(3, 2), N(2), P(2), empty=False),
    stats_row(normals.logpdf, N(3), parameters=(0.3, 1.7), empty=False),
    Case(
        of_rank_1,
        N(3),
        Values([0.5, -2.0]),  # whose products no dtype rounds, which could make them negative
        numpy=scipy_of_rank_1,
        name="multivariate_normal of rank 1",
        statistics=True,
        empty=False,
    ),
    # Of the mean only the length counts: it has no gradient.
    stats_row(normals.entropy, Ints(3, 2), Spd(2, 2), empty=False),
]


def torch_convolve(a, b):
    """The whole convolution with b of shape (2, 1), by torch's layer, which does not turn it."""
    return F.conv2d(a[None, None], b.flip(0, 1)[None, None], padding=(1, 0))[0, 0]


SIGNAL = [
    *(
        Case(tg.signal.convolve, N(a), N(b), mode=mode, empty=False,
             numpy=lambda a, b, mode=mode: np.convolve(a, b, mode))
        for a, b, mode in ((5, 3, "full"), (5, 3, "valid"), (2, 4, "valid"), (5, 2, "same"))
    ),
    Case(lambda a, b: tg.signal.convolve(a, b), N(3, 4), N(2, 1), torch=torch_convolve,
         name="convolve of matrices", empty=False),
    Case(
        lambda a, b: tg.signal.convolve(a, b, axes=((1,), (2,)), dot_axes=((2,), (0,))),
        N(2, 3, 2),
        N(2, 2, 2),
        numpy=lambda a, b: np.array(
            [[sum(map(np.convolve, x.T, y)) for y in b.swapaxes(0, 1)] for x in a]
        ),
        name="convolve along axes",
        empty=False,
    ),
]  # fmt: skip

CASES = GAMMA + NORMAL + BESSEL + ENTROPY + SUMS + STATS + SIGNAL
