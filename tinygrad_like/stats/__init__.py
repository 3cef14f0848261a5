"""Densities and probabilities under SciPy's names, with gradients: of Tensors, or of arrays.

    import tinygrad_like as tg

    tg.stats.norm.logpdf(x, loc, scale)      tg.stats.beta.cdf(x, 2.0, 3.0)

One file for each distribution, with `logpdf` and `pdf` (`logpmf` and `pmf` of counts) and, where
they can be had, `cdf`, `logcdf`, `sf` and `logsf`:

    norm.py  gamma.py  chi2.py  beta.py  t.py  poisson.py  dirichlet.py  multivariate_normal.py

    numbers.py holds what they share.

The values are SciPy's: off its support a density is 0, and parameters that are not allowed give
NaN. Half types are computed in float32.
"""

from tinygrad_like.stats import (
    beta,
    chi2,
    dirichlet,
    gamma,
    multivariate_normal,
    norm,
    poisson,
    t,
)
