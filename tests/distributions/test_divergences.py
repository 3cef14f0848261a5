"""kl_divergence: PyTorch's values and gradients, pairs against the definition, and refusals."""

import numpy as np
import pytest
from families import FAMILIES
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import distributions as D
from tinygrad_like.distributions.divergence import _PAIRS

RNG = np.random.default_rng(3)


def moved(family):
    """Other parameters for the same class; total_count stays."""
    given = {}
    for k, x in family.parameters.items():
        if k == "probs" and x.ndim == 1:
            given[k] = 0.5 * x + 0.1
        elif k == "total_count":
            given[k] = x
        elif k == "low":
            given[k] = x - 1
        elif k in ("loc", "logits"):
            given[k] = x + RNG.normal(size=x.shape)
        elif "matrix" in k or k == "scale_tril":
            given[k] = x + np.eye(2)
        elif k == "scale" and family.name == "Pareto":
            given[k] = 0.7 * x
        else:
            given[k] = x * RNG.uniform(0.8, 1.6, x.shape) + (0.4 if k == "high" else 0)
    return given


def made(family, given):
    return getattr(D, family.name)(**given, **family.settings)


KNOWN = [f for f in FAMILIES if (getattr(D, f.name),) * 2 in _PAIRS or f.name in
         ("LogNormal", "Chi2", "Categorical", "OneHotCategorical")]  # fmt: skip
every_known = pytest.mark.parametrize("family", KNOWN, ids=repr)
# PyTorch has none of these, or not for these parameters.
NOT_IN_TORCH = ("Multinomial", "NegativeBinomial", "Weibull")


@needs_torch
@pytest.mark.parametrize("family", [f for f in KNOWN if f.name not in NOT_IN_TORCH], ids=repr)
def test_values_and_gradients_are_torchs(family):
    others = moved(family)
    first = {k: tg.Tensor(x, requires_grad=True) for k, x in family.parameters.items()}
    second = {k: tg.Tensor(x, requires_grad=True) for k, x in others.items()}
    found = D.kl_divergence(made(family, first), made(family, second))
    leaves = [
        {k: torch.tensor(x, requires_grad=True) for k, x in given.items()}
        for given in (family.parameters, others)
    ]
    theirs = getattr(torch.distributions, family.name)
    expected = torch.distributions.kl_divergence(
        *(theirs(**given, **family.settings, validate_args=False) for given in leaves)
    )
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), rtol=1e-7)
    found.sum().backward()
    expected.sum().backward()
    for given, by_torch in zip((first, second), leaves, strict=True):
        for k in given.keys() - {"total_count"}:
            g = given[k].grad.numpy()
            e = by_torch[k].grad
            e = np.zeros(g.shape) if e is None else e.numpy()
            if "matrix" in k:
                g, e = g + g.swapaxes(-1, -2), e + e.swapaxes(-1, -2)
            if k == "scale_tril":  # PyTorch has a gradient for the zeros above, too
                e = np.tril(e)
            np.testing.assert_allclose(g, e, rtol=1e-6, atol=1e-9, err_msg=k)


def estimated(p, q, n=20000):
    """(the mean of log p - log q over samples, its standard error)."""
    tg.seed(11)
    x = p.sample((n,))
    apart = (p.log_prob(x) - q.log_prob(x)).numpy()
    return apart.mean(0), apart.std(0) / np.sqrt(n)


@pytest.mark.long
@every_known
def test_values_are_those_of_the_definition(family):
    p, q = made(family, family.parameters), made(family, moved(family))
    found = D.kl_divergence(p, q).numpy()
    mean, error = estimated(p, q)
    assert (abs(found - mean) < 5 * error + 1e-9).all()
    np.testing.assert_allclose(D.kl_divergence(p, p).numpy(), 0, atol=1e-9)


T = tg.Tensor
MIXED = [
    (D.Exponential(T([0.7])), D.Gamma(T([1.4]), T([0.9]))),
    (D.Gamma(T([1.4]), T([0.9])), D.Exponential(T([0.7]))),
    (D.Uniform(T([-1.0]), T([2.0])), D.Normal(T([0.3]), T([1.2]))),
    (D.Laplace(T([-1.0]), T([0.5])), D.Normal(T([0.3]), T([1.2]))),
    (D.LogNormal(T([0.1]), T([0.5])), D.Normal(T([0.3]), T([1.5]))),
    (D.Chi2(T([3.0])), D.Gamma(T([1.4]), T([0.9]))),
]


@pytest.mark.long
@pytest.mark.parametrize(("p", "q"), MIXED, ids=lambda d: type(d).__name__)
def test_pairs_of_different_families_have_the_values_of_the_definition(p, q):
    mean, error = estimated(p, q)
    assert (abs(D.kl_divergence(p, q).numpy() - mean) < 5 * error + 1e-5).all()


def test_compounds_add_up_or_look_through():
    p, q = D.Normal(T([[0.0, 1.0]]), 1.0), D.Normal(T([[1.0, 1.0]]), 2.0)
    each = D.kl_divergence(p, q).numpy()
    whole = D.kl_divergence(D.Independent(p, 1), D.Independent(q, 1)).numpy()
    np.testing.assert_allclose(whole, each.sum(-1))
    parts = [D.Tanh(), D.Affine(1.0, 2.0)]
    found = D.kl_divergence(*(D.TransformedDistribution(d, parts) for d in (p, q)))
    np.testing.assert_array_equal(found.numpy(), each)


def test_values_that_q_rules_out_make_it_infinite():
    for p, q in (
        (D.Uniform(0.0, 1.0), D.Uniform(0.1, 2.0)),
        (D.Pareto(1.0, 1.0), D.Pareto(2.0, 1.0)),
        (D.Bernoulli(0.5), D.Bernoulli(0.0)),
        (D.Categorical(T([0.5, 0.5])), D.Categorical(T([1.0, 0.0]))),
        (D.Normal(0.0, 1.0), D.LogNormal(0.0, 1.0)),
    ):
        assert D.kl_divergence(p, q).item() == np.inf
    assert D.kl_divergence(D.Bernoulli(0.0), D.Bernoulli(0.5)).item() == pytest.approx(np.log(2))
    ruled_out = D.Categorical(T([1.0, 0.0])), D.Categorical(T([0.5, 0.5]))
    assert D.kl_divergence(*ruled_out).item() == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("p", "q", "error", "words"),
    [
        (D.Normal(0.0, 1.0), D.Cauchy(0.0, 1.0), NotImplementedError, "Normal and Cauchy; estim"),
        (D.Binomial(3, 0.5), D.Binomial(4, 0.5), NotImplementedError, "one total_count only"),
        (D.Categorical(T([1.0, 1])), D.Categorical(T([1.0] * 3)), ValueError, "the same classes"),
        (
            D.MultivariateNormal(tg.zeros(2), tg.eye(2)),
            D.MultivariateNormal(tg.zeros(3), tg.eye(3)),
            ValueError,
            "events of p are (2,), of q (3,)",
        ),
        (
            D.TransformedDistribution(D.Normal(0.0, 1.0), D.Exp()),
            D.TransformedDistribution(D.Normal(0.0, 1.0), D.Tanh()),
            NotImplementedError,
            "their transforms are the same",
        ),
    ],
)
def test_what_has_no_closed_form_is_refused(p, q, error, words):
    with pytest.raises(error) as raised:
        D.kl_divergence(p, q)
    assert words in str(raised.value)


def test_a_pair_can_be_registered():
    class Mine(D.Normal):
        pass

    @D.register_kl(Mine, D.Cauchy)
    def of_mine(p, q):
        return p.loc * 0 + 42

    try:
        assert D.kl_divergence(Mine(0.0, 1.0), D.Cauchy(0.0, 1.0)).item() == 42
    finally:
        del _PAIRS[Mine, D.Cauchy]
