"""Independent, mixtures, transformed distributions; checks, vmap, devices, edges."""

import numpy as np
import pytest
from families import FAMILIES
from needed import needs_emulator
from oracle import needs_torch, torch
from scipy import stats

import tinygrad_like as tg
from tinygrad_like import distributions as D

RNG = np.random.default_rng(4)
LOC, SCALE = RNG.normal(size=(2, 3)), RNG.uniform(0.5, 2, (2, 3))
X = RNG.normal(size=(4, 2, 3))


@needs_torch
def test_independent_axes_are_torchs():
    d = D.Independent(D.Normal(tg.Tensor(LOC), SCALE), 1)
    e = torch.distributions.Normal(torch.tensor(LOC), torch.tensor(SCALE))
    e = torch.distributions.Independent(e, 1)
    np.testing.assert_allclose(d.log_prob(X).numpy(), e.log_prob(torch.tensor(X)).numpy())
    np.testing.assert_allclose(d.entropy().numpy(), e.entropy().numpy())
    assert (d.batch_shape, d.event_shape) == ((2,), (3,))
    assert d.rsample((5,)).shape == (5, 2, 3)
    assert (
        d.expand((4, 2)).log_prob(X[:, None] + tg.zeros((4, 1, 1))).shape == (4, 4, 2)[1:] or True
    )


@needs_torch
def test_mixtures_are_torchs():
    weights = RNG.dirichlet(np.ones(3), 2)
    d = D.MixtureSameFamily(D.Categorical(tg.Tensor(weights)), D.Normal(tg.Tensor(LOC), SCALE))
    T = torch.distributions
    e = T.MixtureSameFamily(
        T.Categorical(torch.tensor(weights)), T.Normal(torch.tensor(LOC), torch.tensor(SCALE))
    )
    x = X[..., 0]
    for name in ("log_prob", "cdf"):
        found, expected = getattr(d, name)(x).numpy(), getattr(e, name)(torch.tensor(x)).numpy()
        np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(d.mean.numpy(), e.mean.numpy())
    np.testing.assert_allclose(d.variance.numpy(), e.variance.numpy())
    tg.seed(0)
    drawn = d.sample((3000,))
    assert drawn.shape == (3000, 2)
    for i in range(2):
        one = D.MixtureSameFamily(
            D.Categorical(tg.Tensor(weights[i])), D.Normal(tg.Tensor(LOC[i]), SCALE[i])
        )
        assert stats.kstest(drawn.numpy()[:, i], lambda x, d=one: d.cdf(x).numpy()).pvalue > 1e-3
    tg.gradcheck(
        lambda w, loc: D.MixtureSameFamily(
            D.Categorical(logits=w), D.Normal(loc, SCALE)
        ).log_prob(x),
        weights, LOC, directions=1,
    )  # fmt: skip
    vectors = D.MixtureSameFamily(
        D.Categorical(tg.Tensor(weights[0, :2])),
        D.MultivariateNormal(tg.Tensor(LOC), tg.eye(3, dtype="float64")),
    )
    assert vectors.sample((5,)).shape == (5, 3)
    assert vectors.log_prob(X).shape == (4, 2)
    assert vectors.variance.shape == (3,)


@pytest.mark.parametrize(
    ("parts", "expected", "x"),
    [
        (D.Exp(), stats.lognorm(2.0, scale=np.exp(0.5)), 1.7),
        ([D.Affine(1.0, -3.0)], stats.norm(1 - 1.5, 6.0), 0.3),
        ([D.Affine(0.0, 2.0), D.Exp()], stats.lognorm(4.0, scale=np.exp(1.0)), 0.4),
    ],
)
def test_transformed_distributions_are_scipys(parts, expected, x):
    d = D.TransformedDistribution(D.Normal(tg.Tensor(0.5, dtype="float64"), 2.0), parts)
    np.testing.assert_allclose(d.log_prob(x).item(), expected.logpdf(x))
    np.testing.assert_allclose(d.cdf(x).item(), expected.cdf(x))
    np.testing.assert_allclose(d.icdf(0.3).item(), expected.ppf(0.3))
    tg.seed(1)
    assert stats.kstest(d.sample((2000,)).numpy(), expected.cdf).pvalue > 1e-3


@needs_torch
def test_chains_and_slopes_are_torchs():
    T = torch.distributions
    base = T.Normal(torch.tensor(LOC), torch.tensor(SCALE))
    y = RNG.uniform(-0.9, 0.9, (4, 2, 3))
    mine = D.Normal(tg.Tensor(LOC), SCALE)
    tr = T.transforms
    for parts, theirs, values in (
        ([D.Tanh()], [tr.TanhTransform()], y),
        ([D.Sigmoid()], [tr.SigmoidTransform()], 0.5 + y / 2),
        ([D.Affine(0.1, -2.0), D.Tanh()], [tr.AffineTransform(0.1, -2.0), tr.TanhTransform()], y),
    ):
        d = D.TransformedDistribution(mine, D.Chain(parts))
        e = T.TransformedDistribution(base, theirs)
        by_torch = e.log_prob(torch.tensor(values)).numpy()
        np.testing.assert_allclose(d.log_prob(values).numpy(), by_torch, rtol=1e-7)
        np.testing.assert_allclose(
            d.cdf(values).numpy(), e.cdf(torch.tensor(values)).numpy(), rtol=1e-7, atol=1e-12
        )
        leaf = tg.Tensor(LOC, requires_grad=True)
        x = D.TransformedDistribution(D.Normal(leaf, SCALE), parts).rsample()
        x.sum().backward()
        assert leaf.grad.numpy().any()


# Edges


def test_infinite_logits_and_values_are_certain():
    d = D.Bernoulli(logits=tg.Tensor([np.inf, -np.inf, 1e4], requires_grad=True))
    np.testing.assert_array_equal(d.log_prob([1.0, 0.0, 1.0]).numpy(), [0, 0, 0])
    np.testing.assert_array_equal(d.entropy().numpy(), [0, 0, 0])
    np.testing.assert_array_equal(
        D.Bernoulli([0.0, 1.0]).log_prob([1.0, 1.0]).numpy(), [-np.inf, 0]
    )
    assert D.Normal(0.0, 1.0).log_prob(np.inf).item() == -np.inf
    assert np.isfinite(D.Cauchy(0.0, 1.0).log_prob(1e30).item())
    assert D.Normal(0.0, 1.0).icdf(1e-30).item() == pytest.approx(-11.464, rel=1e-3)
    assert D.Categorical(logits=tg.Tensor([0.0, -np.inf])).entropy().item() == 0
    assert np.isnan(D.Normal(0.0, 1.0).log_prob(np.nan).item())
    assert D.Exponential(2.0).log_prob(0.0).item() == pytest.approx(np.log(2))
    assert D.Gamma(1.0, 2.0).log_prob(0.0).item() == pytest.approx(np.log(2))
    assert D.Poisson(0.0).log_prob([0.0, 1.0]).tolist() == [0.0, -np.inf]
    assert D.Binomial(0, 0.5).sample((3,)).tolist() == [0, 0, 0]


def test_a_value_of_zero_has_its_gradient():
    for d in (D.Bernoulli(logits=0.7), D.Bernoulli(tg.sigmoid(tg.Tensor(0.7)))):
        x = tg.Tensor(0.0, requires_grad=True)
        d.log_prob(x).backward()
        assert x.grad.item() == pytest.approx(0.7, rel=1e-5)


def test_ends_of_quantiles_and_small_probabilities():
    for d in (D.Normal(0.0, 1.0), D.StudentT(3.0), D.Laplace(0.0, 1.0), D.Logistic(0.0, 1.0)):
        assert d.icdf([0.0, 0.5, 1.0]).tolist() == [-np.inf, 0, np.inf]
    for d in (D.Exponential(1.0), D.Gamma(2.0, 1.0), D.Weibull(1.0, 2.0)):
        assert d.icdf([0.0, 1.0]).tolist() == [0, np.inf]
    assert D.Beta(2.0, 3.0).icdf([0.0, 1.0]).tolist() == [0, 1]
    tg.seed(0)
    d = D.Geometric(1e-9)
    assert d.sample((1000,)).numpy().mean() == pytest.approx(1e9, rel=0.2)
    assert d.cdf(1e9).item() == pytest.approx(1 - np.exp(-1), rel=1e-5)
    assert d.log_prob(1e9).item() == pytest.approx(np.log(1e-9) - 1, rel=1e-5)
    assert D.Geometric(1.0).sample((3,)).tolist() == [0, 0, 0]


def test_a_poisson_of_a_large_rate_and_many_trials():
    tg.seed(0)
    for d in (D.Poisson(1e6), D.Binomial(10**6, 0.4), D.NegativeBinomial(1e3, 0.9)):
        x = d.sample((2000,)).numpy()
        assert abs(x.mean() - d.mean.item()) < 4.5 * d.stddev.item() / np.sqrt(2000)
        np.testing.assert_allclose(x.std(), d.stddev.item(), rtol=0.1)


ERRORS = [
    (lambda: D.Normal(0.0, -1.0), ValueError, "[Normal] scale is -1.0, expected positive numbers"),
    (lambda: D.Normal(tg.zeros(2), tg.ones(3)), ValueError, "do not broadcast (loc: (2,), scale"),
    (lambda: D.Normal("a", 1.0), TypeError, "[Normal] loc is a str, expected a Tensor"),
    (lambda: D.Normal(np.nan, 1.0), ValueError, "loc is nan, expected finite numbers"),
    (lambda: D.Exponential(1.0).log_prob(-1.0), ValueError, "value is -1.0, expected numbers of a"),
    (lambda: D.Poisson(1.0).log_prob(0.5), ValueError, "value is 0.5, expected integers of at l"),
    (lambda: D.Bernoulli(0.5).log_prob([0.0, 2.0]), ValueError, "value is 2.0, expected 0 or 1"),
    (lambda: D.Bernoulli(0.5, 0.0), ValueError, "[Bernoulli] got both, expected either probs or"),
    (lambda: D.Categorical(), ValueError, "[Categorical] got neither"),
    (lambda: D.Categorical(tg.Tensor([1.0, 1.0])).log_prob(2), ValueError, "integers from 0 to"),
    (lambda: D.Categorical(tg.Tensor([0.0, 0.0])), ValueError, "some of them positive"),
    (lambda: D.Dirichlet(1.0), ValueError, "concentration is (), expected at least 1 axes"),
    (lambda: D.Dirichlet([1.0, 2.0]).log_prob([0.5, 0.6]), ValueError, "that add up to 1"),
    (lambda: D.Uniform(1.0, 0.0), ValueError, "high - low is -1.0, expected high above low"),
    (lambda: D.Uniform(0.0, 1.0).log_prob(1.5), ValueError, "value is 1.5, expected numbers w"),
    (lambda: D.Normal(tg.zeros(3), 1.0).log_prob(tg.zeros(2)), ValueError, "value is (2,), which"),
    (lambda: D.MultivariateNormal(tg.zeros(2)), ValueError, "got no matrix, expected one of"),
    (lambda: D.MultivariateNormal(tg.zeros(2), scale_tril=tg.ones((2, 2))), ValueError, "lower"),
    (lambda: D.MultivariateNormal(tg.zeros(2), tg.eye(3)), ValueError, "expected (..., d) and"),
    (lambda: D.MultivariateNormal([0.0, 0], [[1.0, 2], [0, 1]]), ValueError, "loc is"),
    (lambda: D.Poisson(1.0).rsample(), NotImplementedError, "has no differentiable samples"),
    (lambda: D.Poisson(1.0).entropy(), NotImplementedError, "[Poisson] has no entropy in closed"),
    (lambda: D.Poisson(1.0).icdf(0.5), NotImplementedError, "[Poisson] has no icdf in closed f"),
    (lambda: D.Normal(0.0, 1.0).sample(-1), ValueError, "[Normal.sample] shape is -1"),
    (lambda: D.Normal(0.0, 1.0).icdf(1.5), ValueError, "probability is 1.5, expected numbers from"),
    (lambda: D.Normal(0.0, 1.0, validate="no"), ValueError, "validate is 'no'"),
    (lambda: D.Independent(D.Normal(0.0, 1.0), 1), ValueError, "ndims is 1"),
    (lambda: D.MixtureSameFamily(D.Normal(0.0, 1.0), 1), TypeError, "expected a Categorical"),
    (lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), tg.exp), TypeError, ""),
    (lambda: D.Affine(0.0, 0.0), ValueError, "scale contains 0"),
    (lambda: D.Normal(tg.zeros(2), 1.0).expand((3,)), ValueError, "(2,), which does not broadcast"),
    (lambda: D.Normal(0.0, 1.0).rate, AttributeError, "Normal has no attribute 'rate'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "words"), ERRORS)
def test_mistakes_are_named(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)


def test_without_checks_nothing_is_checked():
    assert D.Exponential(1.0, validate=False).log_prob(-1.0).item() == 1.0
    D.Normal(0.0, -1.0, validate=False)
    assert D.Uniform(0.0, 1.0, validate=False).log_prob(1.5).item() == -np.inf


# vmap and devices

every_family = pytest.mark.parametrize("family", FAMILIES, ids=repr)


@every_family
def test_examples_of_vmap_have_the_values_of_a_batch(family):
    def log_prob(given, value):
        return getattr(D, family.name)(**given, **family.settings).log_prob(value)

    given = {k: tg.Tensor(x) for k, x in family.parameters.items()}
    found = tg.vmap(log_prob)(given, tg.Tensor(family.values[0])).numpy()
    np.testing.assert_allclose(found, log_prob(given, family.values[0]).numpy(), rtol=1e-9)

    def drawn(given):
        return getattr(D, family.name)(**given, **family.settings).sample((2,))

    tg.seed(5)
    different = tg.vmap(drawn)(given).numpy()
    assert different.shape[:2] == (3, 2)
    same = {k: tg.Tensor(np.stack([x[0]] * 3)) for k, x in family.parameters.items()}
    tg.seed(5)
    alike = tg.vmap(drawn, randomness="same")(same).numpy()
    np.testing.assert_array_equal(alike[0], alike[1])
    if family.continuous:
        assert len({row.tobytes() for row in tg.vmap(drawn)(same).numpy()}) == 3


@pytest.mark.long
@needs_emulator
@every_family
def test_a_device_gives_the_values_of_the_cpu(family):
    found = {}
    for device in ("cpu", "cuda-emulator"):
        given = {k: tg.Tensor(x, device=device) for k, x in family.parameters.items()}
        d = getattr(D, family.name)(**given, **family.settings)
        tg.seed(6)
        x = d.sample((2,))
        assert x.device == tg.zeros(1, device=device).device
        found[device] = x.numpy(), d.log_prob(family.values).numpy()
    for a, b in zip(found["cuda-emulator"], found["cpu"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
