"""The distributions under test: parameters, PyTorch's and SciPy's names, and values to try."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

RNG = np.random.default_rng(0)


def P(*shape):
    """Positive numbers from 0.4 to 3."""
    return RNG.uniform(0.4, 3, shape)


def N(*shape):
    return RNG.normal(size=shape)


def chances(*shape):
    return RNG.uniform(0.15, 0.85, shape)


class Family(NamedTuple):
    """One row: a class with parameters.

    `scipy` makes SciPy's frozen distribution of the parameters, where it has one of numbers;
    `values` are 5 values for each of the batch shape.
    """

    name: str
    parameters: dict[str, np.ndarray]
    values: np.ndarray
    scipy: Any = None
    continuous: bool = True
    settings: Mapping[str, Any] = MappingProxyType({})

    @property
    def batch_shape(self):
        return self.values.shape[1:]

    def __repr__(self):
        return f"{self.name}-{'-'.join(self.parameters)}"


LINE = 2 * N(5, 3)
POSITIVE = P(5, 3)
UNIT = RNG.uniform(0.05, 0.95, (5, 3))
COUNTS = RNG.integers(0, 7, (5, 3)).astype(float)
LOC, SCALE = N(3), P(3)
CHANCE = chances(3)
LOGIT = np.log(CHANCE / (1 - CHANCE))
WEIGHTS = P(3, 4)
LABELS = RNG.integers(0, 4, (5, 3))
ROOT = np.tril(N(3, 2, 2) * 0.3) + np.eye(2) * 1.2
COVARIANCE = ROOT @ ROOT.swapaxes(-1, -2)


def of_location(name, scipy):
    return Family(name, {"loc": LOC, "scale": SCALE}, LINE, lambda loc, scale: scipy(loc, scale))


FAMILIES = [
    of_location("Normal", stats.norm),
    Family("LogNormal", {"loc": LOC, "scale": SCALE}, POSITIVE,
           lambda loc, scale: stats.lognorm(scale, scale=np.exp(loc))),
    Family("HalfNormal", {"scale": SCALE}, POSITIVE, lambda scale: stats.halfnorm(scale=scale)),
    of_location("Laplace", stats.laplace),
    of_location("Cauchy", stats.cauchy),
    of_location("Gumbel", stats.gumbel_r),
    of_location("Logistic", stats.logistic),
    Family("HalfCauchy", {"scale": SCALE}, POSITIVE, lambda scale: stats.halfcauchy(scale=scale)),
    Family("StudentT", {"df": P(3) + 2, "loc": LOC, "scale": SCALE}, LINE, stats.t),
    Family("Uniform", {"low": LOC, "high": LOC + SCALE}, LOC + SCALE * UNIT,
           lambda low, high: stats.uniform(low, high - low)),
    Family("Exponential", {"rate": SCALE}, POSITIVE, lambda rate: stats.expon(scale=1 / rate)),
    Family("Gamma", {"concentration": P(3), "rate": SCALE}, POSITIVE,
           lambda concentration, rate: stats.gamma(concentration, scale=1 / rate)),
    Family("Chi2", {"df": P(3)}, POSITIVE, stats.chi2),
    Family("Weibull", {"scale": SCALE, "concentration": P(3)}, POSITIVE,
           lambda scale, concentration: stats.weibull_min(concentration, scale=scale)),
    Family("Pareto", {"scale": SCALE, "alpha": P(3) + 2}, SCALE + POSITIVE,
           lambda scale, alpha: stats.pareto(alpha, scale=scale)),
    Family("Beta", {"concentration1": P(3), "concentration0": P(3)}, UNIT,
           lambda concentration1, concentration0: stats.beta(concentration1, concentration0)),
    Family("Kumaraswamy", {"concentration1": P(3), "concentration0": P(3)}, UNIT),
    Family("Dirichlet", {"concentration": WEIGHTS}, RNG.dirichlet(np.ones(4), (5, 3))),
    *(
        Family(name, given, values, scipy, continuous=False)
        for name, values, scipy in (
            ("Bernoulli", (COUNTS > 3).astype(float), stats.bernoulli),
            ("Geometric", COUNTS, lambda p: stats.geom(p, loc=-1)),
        )
        for given in ({"probs": CHANCE}, {"logits": LOGIT})
    ),
    Family("Binomial", {"total_count": np.array([6.0, 9, 7]), "probs": CHANCE}, COUNTS,
           stats.binom, continuous=False),
    Family("Binomial", {"total_count": np.array([6.0, 6, 6]), "logits": LOGIT}, COUNTS,
           stats.binom, continuous=False),
    Family("NegativeBinomial", {"total_count": P(3), "probs": CHANCE}, COUNTS,
           lambda r, p: stats.nbinom(r, 1 - p), continuous=False),
    Family("NegativeBinomial", {"total_count": P(3), "logits": LOGIT}, COUNTS,
           lambda r, p: stats.nbinom(r, 1 - p), continuous=False),
    Family("Poisson", {"rate": SCALE}, COUNTS, stats.poisson, continuous=False),
    Family("Categorical", {"probs": WEIGHTS}, LABELS, continuous=False),
    Family("Categorical", {"logits": N(3, 4)}, LABELS, continuous=False),
    Family("OneHotCategorical", {"probs": WEIGHTS}, np.eye(4)[LABELS], continuous=False),
    Family("Multinomial", {"logits": N(3, 4)},
           RNG.multinomial(5, np.ones(4) / 4, (5, 3)).astype(float), continuous=False,
           settings={"total_count": 5}),
    Family("MultivariateNormal", {"loc": N(3, 2), "scale_tril": ROOT}, N(5, 3, 2)),
    Family("MultivariateNormal", {"loc": N(3, 2), "covariance_matrix": COVARIANCE}, N(5, 3, 2)),
    Family("MultivariateNormal", {"loc": N(3, 2), "precision_matrix": COVARIANCE}, N(5, 3, 2)),
]  # fmt: skip


def scipy_of(family):
    """SciPy's distribution, of probabilities where the family is given logits."""
    given = dict(family.parameters)
    if "logits" in given:
        given["p"] = 1 / (1 + np.exp(-given.pop("logits")))
    names = given.keys() - {"p", "probs"} if not family.continuous else given.keys()
    positional = not family.continuous or family.name in ("StudentT", "Chi2")
    return family.scipy(*given.values()) if positional or not names else family.scipy(**given)
