"""Complex matrices: phases of vectors, equal values, and NumPy's results; the rows are in
tests/cases/ops/cases_complex_linalg.py."""

import numpy as np
import pytest
import scipy.linalg

import tinygrad_like as tg
from tinygrad_like import linalg

RNG = np.random.default_rng(0)
G = RNG.standard_normal((3, 3)) + 1j * RNG.standard_normal((3, 3))
TURN = np.linalg.qr(RNG.standard_normal((3, 3)) + 1j * RNG.standard_normal((3, 3)))[0]
X = RNG.standard_normal((3, 3)) + 1j * RNG.standard_normal((3, 3))
HERMITIAN = X + X.conj().T
TWICE = TURN @ np.diag([1.0, 1.0, 2.0]) @ TURN.conj().T
pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")


def weigh(y):
    return (y * G).real.sum()


def slope(f, x, along, step=1e-5):
    """The derivative of f by differences."""
    return (f(x + step * along) - f(x - step * along)) / (2 * step)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (lambda x: weigh(linalg.eigh(x)[1]), HERMITIAN),
        (lambda x: linalg.eigh(x)[1].imag.sum(), HERMITIAN),
        (lambda x: weigh(linalg.svd(x)[0]), X),
        (lambda x: linalg.svd(x, full_matrices=False)[2].real.sum(), X[:2]),
        (lambda x: weigh(linalg.svd(x)[0][:, 1:] ** 2 @ np.ones((2, 3))), X[:, :1]),
    ],
)
def test_a_loss_that_depends_on_a_phase_has_no_gradient(f, x):
    assert not np.isfinite(tg.grad(f)(x)).any()


def projector(x):
    """On the space of two equal eigenvalues, of which the smaller triangle is not read."""
    v = linalg.eigh((x + x.conj().T) / 2)[1][:, :2]
    return weigh(v @ v.H)


def projector_by_numpy(x):
    v = np.linalg.eigh((x + x.conj().T) / 2)[1][:, :2]
    return weigh(v @ v.conj().T)


def polar(x):
    u, _, vh = linalg.svd(x)
    return weigh(u @ vh)


@pytest.mark.parametrize(
    ("f", "plain", "x"),
    [
        (projector, projector_by_numpy, TWICE),
        (polar, lambda x: weigh(scipy.linalg.polar(x)[0]), TWICE @ np.diag([1, 1j, -1])),
        (polar, lambda x: weigh(scipy.linalg.polar(x)[0]), np.eye(3) * 1j),
        (linalg.det, np.linalg.det, TURN @ np.diag([1.0, 2.0, 0.0])),
    ],
)
def test_a_gradient_at_equal_values_and_at_0(f, plain, x):
    def loss(x):
        return (f(x) * (1 + 1j)).real if f is linalg.det else f(x)

    def by_numpy(x):
        return (plain(x) * (1 + 1j)).real

    g = tg.grad(loss)(x)
    for along in (G, 1j * G, TURN):
        expected = slope(by_numpy if f is linalg.det else plain, x, along)
        np.testing.assert_allclose((g.conj() * along).real.sum(), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("uplo", ["L", "U"])
def test_one_triangle_is_read_and_the_gradient_is_hermitian(uplo):
    part = np.tril(HERMITIAN) if uplo == "L" else np.triu(HERMITIAN)
    part = part + 1j * np.diag([1.0, 2.0, 3.0])  # nor are the imaginary parts of the diagonal
    for f in (
        lambda x: linalg.eigvalsh(x, uplo),
        lambda x: abs(linalg.eigh(x, uplo)[1]),
        lambda x: linalg.cholesky(x + 9 * np.eye(3), upper=uplo == "U"),
    ):
        np.testing.assert_allclose(f(part), f(HERMITIAN), rtol=1e-12)
        g = tg.grad(lambda x, f=f: abs(f(x) * np.arange(9).reshape(3, 3)).sum())(part)
        np.testing.assert_allclose(g, g.conj().T, rtol=1e-12)


def test_values_are_numpys_and_single_precision_stays_single():
    x = X.astype(np.complex64)
    for name in "svd qr slogdet det pinv cond inv matrix_rank".split():
        found = getattr(np.linalg, name)(tg.Tensor(x))
        expected = getattr(np.linalg, name)(x)
        found = found if isinstance(found, tuple) else (found,)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for y, z in zip(found, expected, strict=True):
            assert y.dtype == z.dtype, name
            np.testing.assert_allclose(y.numpy(), z, rtol=1e-3, atol=1e-5)
    for function in (linalg.expm, linalg.sqrtm):
        y = function(x)
        assert y.dtype == np.complex64
        np.testing.assert_allclose(y, getattr(scipy.linalg, function.__name__)(X), rtol=1e-3)


def test_empty_matrices_have_empty_gradients():
    for f in (lambda x: tg.eig(x)[1], linalg.svdvals, linalg.expm, lambda x: linalg.eigh(x)[1]):
        for shape in ((0, 0), (2, 0, 0)):
            assert tg.grad(lambda x, f=f: abs(f(x)).sum())(np.zeros(shape, complex)).shape == shape


def test_rtol_is_rcond():
    x = np.diag([1.0, 0.1])
    np.testing.assert_array_equal(np.linalg.pinv(tg.Tensor(x), rtol=0.5), np.diag([1.0, 0.0]))
    with pytest.raises(ValueError, match=r"\[pinv\] got both rcond and rtol"):
        linalg.pinv(x, 0.5, rtol=0.5)


def test_a_real_matrix_without_a_real_root_has_a_complex_one():
    x = np.diag([4.0, -9.0])
    with pytest.raises(ValueError, match=r"\[sqrtm\] .* take x\.astype\(complex\)"):
        linalg.sqrtm(x)
    np.testing.assert_allclose(linalg.sqrtm(x.astype(complex)), np.diag([2, 3j]), atol=1e-15)
