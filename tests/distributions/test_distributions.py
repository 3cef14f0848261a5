"""Distributions: log-probabilities, moments, cdf and samples against SciPy and PyTorch."""

import functools

import families
import numpy as np
import pytest
from families import FAMILIES, scipy_of
from oracle import needs_torch, torch
from scipy import stats

import tinygrad_like as tg
from tinygrad_like import distributions as D

every_family = pytest.mark.parametrize("family", FAMILIES, ids=repr)
in_torch = pytest.mark.parametrize(
    "family", [f for f in FAMILIES if f.name != "Logistic"], ids=repr
)
with_scipy = pytest.mark.parametrize("family", [f for f in FAMILIES if f.scipy], ids=repr)


def ours(family, requires_grad=False):
    """The distribution, and its parameters as leaves."""
    leaves = {k: tg.Tensor(x, requires_grad=requires_grad) for k, x in family.parameters.items()}
    return getattr(D, family.name)(**leaves, **family.settings), leaves


def torchs(family):
    leaves = {k: torch.tensor(x, requires_grad=True) for k, x in family.parameters.items()}
    made = getattr(torch.distributions, family.name)
    return made(**leaves, **family.settings, validate_args=False), leaves


@with_scipy
def test_probabilities_and_moments_are_scipys(family):
    (d, _), expected = ours(family), scipy_of(family)
    log_p = expected.logpdf if family.continuous else expected.logpmf
    close = {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(d.log_prob(family.values).numpy(), log_p(family.values), **close)
    np.testing.assert_allclose(d.cdf(family.values).numpy(), expected.cdf(family.values), **close)
    np.testing.assert_allclose(d.mean.numpy(), np.broadcast_to(expected.mean(), (3,)), **close)
    np.testing.assert_allclose(d.variance.numpy(), expected.var(), rtol=1e-7)
    if family.name not in ("Poisson", "NegativeBinomial"):
        np.testing.assert_allclose(d.entropy().numpy(), expected.entropy(), rtol=1e-6)
    if family.continuous:
        p = np.array([1e-6, 0.3, 0.9])
        np.testing.assert_allclose(d.icdf(p).numpy(), expected.ppf(p), rtol=1e-9)


@needs_torch
@in_torch
def test_log_probabilities_and_their_gradients_are_torchs(family):
    (d, leaves), (e, expected) = ours(family, True), torchs(family)
    weights = np.arange(1.0, 16).reshape(5, 3)
    found, by_torch = d.log_prob(family.values), e.log_prob(torch.tensor(family.values))
    np.testing.assert_allclose(found.numpy(), by_torch.detach().numpy(), rtol=1e-9, atol=1e-12)
    (found * weights).sum().backward()
    (by_torch * torch.tensor(weights)).sum().backward()
    for k, x in leaves.items():
        if k != "total_count":
            g = expected[k].grad.numpy()
            if k == "covariance_matrix" or k == "precision_matrix":
                # Only symmetric steps count: PyTorch's and ours may split them differently.
                g, x.grad = g + g.swapaxes(-1, -2), x.grad + x.grad.swapaxes(-1, -2)
            np.testing.assert_allclose(x.grad.numpy(), g, rtol=1e-7, atol=1e-9)


@needs_torch
@in_torch
def test_moments_and_entropy_and_their_gradients_are_torchs(family):
    (d, leaves), (e, expected) = ours(family, True), torchs(family)
    names = ["mean", "variance", "entropy"]
    if family.name == "Categorical":
        names = ["entropy"]
    if family.name in ("NegativeBinomial", "Poisson", "Multinomial"):
        names = ["mean", "variance"]
    if family.name == "Cauchy":  # PyTorch says infinity of the variance, which does not exist
        names = ["entropy"]
    if family.name == "Binomial" and len({*family.parameters["total_count"]}) > 1:
        names = ["mean", "variance"]
    for name in names:
        found = d.entropy() if name == "entropy" else getattr(d, name)
        by_torch = e.entropy() if name == "entropy" else getattr(e, name)
        np.testing.assert_allclose(found.numpy(), by_torch.detach().numpy(), rtol=1e-7)
        if not by_torch.requires_grad or not np.isfinite(found.numpy()).all():
            continue
        slopes = torch.autograd.grad(
            by_torch.sum(), [*expected.values()], allow_unused=True, retain_graph=True
        )
        moment = functools.partial(_total, family, name)
        places = tuple(range(len(leaves)))
        mine = tg.grad(moment, places, allow_unused=True)(*leaves.values())
        for k, g, s in zip(leaves, mine, slopes, strict=True):
            s = np.zeros(g.shape) if s is None else s.numpy(force=True)
            g = g.numpy()
            if "matrix" in k:
                g, s = g + g.swapaxes(-1, -2), s + s.swapaxes(-1, -2)
            if k != "total_count":
                np.testing.assert_allclose(g, s, rtol=1e-6, atol=1e-9, err_msg=f"{name} {k}")


def _total(family, name, *leaves):
    """The sum of a moment, as a function of the parameters."""
    given = dict(zip(family.parameters, leaves, strict=True))
    d = getattr(D, family.name)(**given, **family.settings)
    return (d.entropy() if name == "entropy" else getattr(d, name)).sum()


@pytest.mark.long
@every_family
def test_second_derivatives_of_log_probabilities(family):
    given = {k: x for k, x in family.parameters.items() if k != "total_count"}
    fixed = {k: x for k, x in family.parameters.items() if k == "total_count"}

    def log_prob(*leaves):
        named = dict(zip(given, leaves, strict=True))
        if "scale_tril" in named:
            named["scale_tril"] = tg.tril(named["scale_tril"])
        for k in named.keys() & {"covariance_matrix", "precision_matrix"}:
            named[k] = 0.5 * (named[k] + named[k].swapaxes(-1, -2))
        d = getattr(D, family.name)(**named, **fixed, **family.settings, validate=False)
        return d.log_prob(family.values)

    tg.gradcheck(log_prob, *given.values(), directions=1)


@pytest.mark.long
@with_scipy
def test_samples_have_the_distribution(family):
    """Kolmogorov and Smirnov's test, or for counts a test of their frequencies."""
    tg.seed(1)
    d, _ = ours(family)
    x = d.sample(4000).numpy()
    assert x.shape == (4000, 3)
    for i in range(3):
        one = {k: v[i : i + 1] for k, v in family.parameters.items()}
        expected = scipy_of(family._replace(parameters=one))
        if family.continuous:
            assert stats.kstest(x[:, i], expected.cdf).pvalue > 1e-3
        else:
            k = np.arange(8)
            p = expected.pmf(k)
            found = np.array([(x[:, i] == n).mean() for n in k])
            spread = np.sqrt(p * (1 - p) / 4000)
            assert (abs(found - p) < 4.5 * spread + 1e-3).all()


@pytest.mark.parametrize("name", ["Dirichlet", "Kumaraswamy", "MultivariateNormal", "Multinomial",
                                  "OneHotCategorical"])  # fmt: skip
def test_samples_have_the_mean_and_the_variance(name):
    tg.seed(2)
    for family in (f for f in FAMILIES if f.name == name):
        d, _ = ours(family)
        x = d.sample((4000,)).numpy()
        spread = d.stddev.numpy() / np.sqrt(4000)
        assert (abs(x.mean(0) - d.mean.numpy()) < 4.5 * spread).all()
        np.testing.assert_allclose(x.var(0), d.variance.numpy(), rtol=0.2)
        if name == "MultivariateNormal":
            found = np.cov(x[:, 0].T)
            np.testing.assert_allclose(found, d.covariance_matrix.numpy()[0], rtol=0.15, atol=0.05)


def test_labels_have_their_probabilities():
    tg.seed(3)
    d = D.Categorical(probs=tg.Tensor([[1.0, 0.0, 3.0], [2.0, 1.0, 1.0]]))
    x = d.sample(4000).numpy()
    assert x.dtype == np.int64
    found = np.stack([(x == k).mean(0) for k in range(3)], -1)
    np.testing.assert_allclose(found, [[0.25, 0, 0.75], [0.5, 0.25, 0.25]], atol=0.03)


# Those of one random number; the others follow below.
OF_ONE = [f for f in FAMILIES if f.scipy and f.continuous and f.name not in ("StudentT", "Beta")]


@pytest.mark.parametrize("family", OF_ONE, ids=repr)
def test_the_gradient_of_a_sample_is_that_of_the_quantile(family):
    """A sample moves with a parameter as the quantile at its own probability does."""
    tg.seed(4)
    d, leaves = ours(family, True)
    x = d.rsample((2,))
    p = scipy_of(family).cdf(x.numpy())
    x.sum().backward()
    for k, leaf in leaves.items():
        h = 1e-5
        up, down = (
            scipy_of(family._replace(parameters={**family.parameters, k: leaf.numpy() + s * h}))
            for s in (1, -1)
        )
        slope = (up.ppf(p) - down.ppf(p)) / (2 * h)
        np.testing.assert_allclose(leaf.grad.numpy(), slope.sum(0), rtol=1e-5, atol=1e-7)


@pytest.mark.long
@pytest.mark.parametrize("name", ["Beta", "Dirichlet", "StudentT", "Kumaraswamy"])
def test_gradients_of_samples_average_to_the_gradient_of_the_mean_of_a_function(name):
    """d/da of the mean of f(x), f = x^2, by the moments' closed form."""
    tg.seed(5)
    (family,) = (f for f in FAMILIES if f.name == name)
    d, leaves = ours(family, True)
    n = 20000
    (d.rsample((n,)) ** 2).sum().backward()
    again, others = ours(family, True)
    (again.variance + again.mean**2).sum().backward()
    for k, leaf in leaves.items():
        found, expected = leaf.grad.numpy() / n, others[k].grad.numpy()
        np.testing.assert_allclose(found, expected, rtol=0.15, atol=0.08)


def test_samples_of_small_shapes_are_not_lost():
    """A gamma of shape 0.001 is mostly below the smallest float; a Dirichlet does not mind."""
    tg.seed(0)
    a = tg.Tensor(np.full((200, 3), 1e-3), dtype="float32", requires_grad=True)
    x = D.Dirichlet(a).rsample()
    np.testing.assert_allclose(x.numpy().sum(-1), 1, rtol=1e-5)
    assert (x.numpy().max(-1) > 0.99).mean() > 0.95
    (x * np.arange(3)).sum().backward()
    assert np.isfinite(a.grad.numpy()).all()


@every_family
def test_shapes(family):
    d, _ = ours(family)
    event = d.event_shape
    assert d.batch_shape == (3,)
    assert family.values.shape == (5, 3, *event)
    assert d.sample().shape == (3, *event)
    assert d.sample((2, 4)).shape == (2, 4, 3, *event)
    assert d.log_prob(family.values).shape == (5, 3)
    wide = d.expand((2, 3))
    assert wide.batch_shape == (2, 3)
    assert wide.sample((4,)).shape == (4, 2, 3, *event)
    np.testing.assert_array_equal(
        wide.log_prob(family.values[:1]).numpy()[1], d.log_prob(family.values[0]).numpy()
    )
    assert repr(d).startswith(family.name)
    assert d.log_prob(family.values).dtype == np.float64
    single = getattr(D, family.name)(
        **{k: tg.Tensor(x, dtype="float32") for k, x in family.parameters.items()},
        **family.settings,
    )
    assert single.log_prob(np.float32(family.values)).dtype == np.float32
    np.testing.assert_allclose(
        single.log_prob(family.values).numpy(), d.log_prob(family.values).numpy(), rtol=1e-3,
        atol=1e-4,
    )  # fmt: skip


def test_a_seed_repeats_samples():
    for family in families.FAMILIES:
        d, _ = ours(family)
        tg.seed(7)
        first = d.sample((2,)).numpy()
        more = d.sample((2,)).numpy()
        tg.seed(7)
        np.testing.assert_array_equal(d.sample((2,)).numpy(), first)
        assert (first != more).any() or not family.continuous
