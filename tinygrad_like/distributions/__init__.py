"""Probability distributions whose parameters are Tensors: samples, log-probabilities, divergences.

    mean, log_scale = encoder(x)
    posterior = tg.distributions.Normal(mean, tg.exp(log_scale))
    z = posterior.rsample()  # the gradient goes to mean and log_scale
    loss = tg.distributions.kl_divergence(posterior, tg.distributions.Normal(0.0, 1.0)).sum()

Names, parameters and shapes are PyTorch's: a sample has the shape `shape + batch_shape +
event_shape`. `validate=False` leaves out the checks.

    distribution.py  Distribution, what all have in common
    supports.py      where values and parameters may lie
    noise.py         the standard random numbers that samples are functions of
    normal.py        Normal  LogNormal  HalfNormal
    line.py          Laplace  Cauchy  HalfCauchy  Gumbel  Logistic  StudentT  Uniform
    positive.py      Exponential  Gamma  Chi2  Weibull  Pareto
    simplex.py       Beta  Kumaraswamy  Dirichlet
    counts.py        Bernoulli  Geometric  Binomial  NegativeBinomial  Poisson
    categories.py    Categorical  OneHotCategorical  Multinomial
    multivariate.py  MultivariateNormal
    compound.py      Independent  MixtureSameFamily
    transforms.py    Exp  Affine  Sigmoid  Tanh  Chain
    transformed.py   TransformedDistribution
    divergence.py    kl_divergence, register_kl
"""

from tinygrad_like.distributions.categories import Categorical, Multinomial, OneHotCategorical
from tinygrad_like.distributions.compound import Independent, MixtureSameFamily
from tinygrad_like.distributions.counts import (
    Bernoulli,
    Binomial,
    Geometric,
    NegativeBinomial,
    Poisson,
)
from tinygrad_like.distributions.distribution import Distribution
from tinygrad_like.distributions.divergence import kl_divergence, register_kl
from tinygrad_like.distributions.line import (
    Cauchy,
    Gumbel,
    HalfCauchy,
    Laplace,
    Logistic,
    StudentT,
    Uniform,
)
from tinygrad_like.distributions.multivariate import MultivariateNormal
from tinygrad_like.distributions.normal import HalfNormal, LogNormal, Normal
from tinygrad_like.distributions.positive import Chi2, Exponential, Gamma, Pareto, Weibull
from tinygrad_like.distributions.simplex import Beta, Dirichlet, Kumaraswamy
from tinygrad_like.distributions.transformed import TransformedDistribution
from tinygrad_like.distributions.transforms import Affine, Chain, Exp, Sigmoid, Tanh, Transform
