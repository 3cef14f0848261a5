"""tg.special and tg.stats at poles, far out and off supports, and what they refuse."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special

import tinygrad_like as tg
from tinygrad_like import Tensor
from tinygrad_like.special.of_scipy import of_scipy

stats = tg.stats


def gradient(f, values):
    x = Tensor(np.array(values, float), requires_grad=True)
    f(x).sum().backward()
    return x.grad.numpy()


def test_slopes_at_poles_and_far_out():
    for f, x, expected in (
        (tg.special.rgamma, [0.0, -1.0, -2.0, -3.0], [1, -1, 2, -6]),
        (tg.special.log_ndtr, [-1e3, 40.0], [1000.000999998, 0]),
        (lambda x: tg.special.gammainc(1.0, x), [0.0], [1]),
        (lambda x: tg.special.gammainc(2.5, x), [0.0], [0]),
        (lambda x: tg.special.betainc(1.0, 2.0, x), [0.0, 1.0], [2, 0]),
        (tg.special.i0e, [0.0], [0]),
        (tg.special.i1e, [0.0], [0.5]),
        (tg.special.j1, [0.0], [0.5]),
    ):
        np.testing.assert_allclose(gradient(f, x), expected, rtol=1e-12, atol=1e-15)


def test_the_slope_of_rgamma_keeps_its_digits_between_poles_in_float32():
    x = np.array([-2.59375, -7.40625, -20.53125])  # exact in float32
    found = Tensor(x.astype(np.float32), requires_grad=True)
    tg.special.rgamma(found).sum().backward()
    exact = -scipy.special.rgamma(x) * scipy.special.digamma(x)
    np.testing.assert_allclose(found.grad.numpy(), exact, rtol=3e-6)


def test_differences_of_large_numbers_keep_their_digits_in_float32():
    a, b = Tensor([1e5], requires_grad=True), Tensor([0.5], requires_grad=True)
    tg.special.betaln(a, b).sum().backward()
    exact = scipy.special.digamma(1e5) - scipy.special.digamma(1e5 + 0.5)
    np.testing.assert_allclose(a.grad.numpy(), [exact], rtol=1e-5)
    value = stats.t.logpdf(Tensor([0.5]), Tensor([1e6])).item()
    assert math.isclose(value, -0.125 - 0.5 * math.log(2 * math.pi), rel_tol=1e-4)


@pytest.mark.parametrize(
    "call",
    [
        lambda a: tg.special.gammainc(a, Tensor([1.0])),
        lambda a: tg.special.betainc(a, 2.0, Tensor([0.5])),
        lambda a: tg.special.jn(a, Tensor([0.5])),
        lambda a: stats.gamma.cdf(Tensor([1.0]), a),
        lambda a: stats.t.cdf(Tensor([1.0]), a),
    ],
)
def test_parameters_without_a_derivative_are_refused_by_name(call):
    with pytest.raises(tg.GraphError, match=r"^\[\w+\] is not differentiable by (a|n|df); detach"):
        call(Tensor([2.0], requires_grad=True))
    call(Tensor([2.0]))


def test_a_function_that_the_device_lacks_is_refused_by_name():
    be = SimpleNamespace(special=SimpleNamespace(), device="cuda")
    with pytest.raises(tg.DeviceError, match=r"^\[jv\] CuPy has no such function"):
        of_scipy(be, "jv")


POINTS = np.array([-1.5, -1.0, 0.0, 0.3, 1.0, 1.5, 2.0, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("norm", (0.5, 2.0)),
        ("norm", (0.5, -2.0)),
        ("gamma", (1.0,)),
        ("gamma", (0.5, 0.3, 2.0)),
        ("gamma", (-0.5,)),
        ("chi2", (3.0,)),
        ("beta", (1.0, 2.5)),
        ("beta", (0.5, -1.0)),
        ("beta", (2.0, 2.0, -1.0, 3.0)),
        ("t", (2.5,)),
        ("t", (-1.0,)),
        ("poisson", (1.5,)),
        ("poisson", (0.0,)),
        ("poisson", (1.5, 1)),
    ],
)
def test_densities_are_scipys_off_their_supports_and_of_wrong_parameters(name, parameters):
    import scipy.stats

    ours, theirs = getattr(stats, name), getattr(scipy.stats, name)
    for function in "logpdf pdf logpmf pmf cdf sf logcdf logsf".split():
        if not hasattr(ours, function):
            continue
        with np.errstate(all="ignore"):
            found = getattr(ours, function)(Tensor(POINTS), *parameters).numpy()
            expected = getattr(theirs, function)(POINTS, *parameters)
        np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=function)


def test_the_gradient_off_a_support_is_0():
    for f in (
        lambda x: stats.gamma.logpdf(x, 2.0),
        lambda x: stats.beta.pdf(x, 0.5, 0.5),
        lambda x: stats.gamma.cdf(x, 0.5),
    ):
        assert gradient(f, [-1.0]).tolist() == [0]


def test_a_density_on_part_of_the_space():
    """For covariances of every form, and x beside the space."""
    normals, mean = stats.multivariate_normal, np.array([0.5, 0.0])
    x = np.array([[0.3, 0.0], [-1.0, 0.0], [0.3, 1e-3]])
    for cov in (0.1, np.array([0.1, 0.0]), np.array([[0.1, 0.0], [0.0, 0.0]])):
        theirs = scipy.stats.multivariate_normal(mean, cov, allow_singular=True)
        for given in (x, Tensor(x)):
            found = np.asarray(normals.logpdf(given, mean, cov, allow_singular=True))
            np.testing.assert_allclose(found, theirs.logpdf(x), rtol=1e-12)
    single = normals.pdf(x.astype(np.float32), mean, np.array([0.1, 0.0]), True)
    assert single.dtype == np.float64
    with pytest.raises(ValueError, match="cov has negative eigenvalues"):
        normals.pdf(x, mean, np.diag([1.0, -1.0]), allow_singular=True)


def test_densities_are_of_real_numbers():
    z, eye = np.array([1j, 2]), np.eye(2)
    for call in (
        lambda: stats.norm.logpdf(Tensor(z)),
        lambda: stats.norm.cdf(1j),
        lambda: stats.gamma.pdf([0.5, 0.6], a=z),
        lambda: stats.multivariate_normal.logpdf(z, z.real, eye),
        lambda: stats.multivariate_normal.pdf(z.real, z.real, Tensor(eye + 0j)),
        lambda: stats.multivariate_normal.entropy(z.real, eye * (1 + 0j)),
    ):
        with pytest.raises(TypeError, match=r"^\[\w+\] got complex numbers, expected real ones"):
            call()


def test_shapes_that_do_not_fit_are_refused():
    x, eye = np.ones((2, 3)), np.eye(2)
    for call, text in (
        (lambda: stats.multivariate_normal.logpdf(x, 0.0, eye), r"\[logpdf\] x is \(2, 3\)"),
        (lambda: stats.multivariate_normal.entropy(x[0], eye), r"\[entropy\] cov is \(2, 2\)"),
        (lambda: stats.dirichlet.logpdf(x, np.ones(3)), r"\[logpdf\] x is \(2, 3\), alpha"),
        (lambda: tg.special.multigammaln(x, 3), r"\[multigammaln\] a has elements of at most 1"),
        (lambda: tg.special.multigammaln(x, 0), r"\[multigammaln\] d is 0"),
    ):
        with pytest.raises(ValueError, match=f"^{text}"):
            call()


def test_numbers_alone_are_computed_as_python_computes_them():
    """log(0.1) in float32 would spoil a float64 density."""
    x = np.array([0.3])
    for value in (stats.norm.logpdf(x, 0.1, 0.1), stats.norm.logpdf(Tensor(x), 0.1, 0.1).numpy()):
        assert math.isclose(value[0], -2 - math.log(0.1) - 0.5 * math.log(2 * math.pi))
