"""Gradients of decompositions where values are equal or zero, and what tables of cases do not say.

The conventions are those of ops/__init__.py. What is well defined is right there, and what is not
is NaN or infinite: never another finite number.
"""

import math

import numpy as np
import pytest
import scipy.linalg
from oracle import needs_torch, torch

import tinygrad_like as tg
from tinygrad_like import linalg
from tinygrad_like.ops.matrices.matrix_functions import _cheapest_cuts

RNG = np.random.default_rng(0)
TURN = np.linalg.qr(RNG.standard_normal((3, 3)))[0]
G = RNG.standard_normal((3, 3))  # the gradient of a matrix that a loss weighs
SYMMETRIC = (G + G.T) / 2
ZERO, UNIT, TWICE = np.zeros((3, 3)), np.eye(3), np.diag([1.0, 1.0, 2.0])
NULL_TWICE = np.diag([0.0, 0.0, 1.0])
pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in:RuntimeWarning")


def turned(x):
    """The same eigenvalues with other vectors: now equal ones differ by rounding errors."""
    y = TURN @ x @ TURN.T
    return (y + y.T) / 2


def gradient(f, x):
    return tg.grad(f)(np.array(x))


def weigh(y):
    return (y * G).sum()


def of_matrix(function):
    """A function of symmetric matrices by their eigenvalues: v @ diag(function(w)) @ v.T."""

    def f(x):
        w, v = linalg.eigh(x)
        return weigh((v * function(w)) @ v.T)

    return f


def projector(first, last):
    """On the space of some eigenvectors."""

    def f(x):
        v = linalg.eigh(x)[1][:, first:last]
        return weigh(v @ v.T)

    return f


def polar(x):
    u, _, vh = linalg.svd(x)
    return weigh(u @ vh)


def slope(f, x, along, step=1e-5):
    """The derivative of f by differences."""
    return (f(x + step * along) - f(x - step * along)) / (2 * step)


def polar_slope(x):
    """The gradient of `polar` by differences, with SciPy's polar decomposition."""

    def f(x):
        return weigh(scipy.linalg.polar(x)[0])

    return np.array([[slope(f, x, np.outer(a, b)) for b in np.eye(3)] for a in np.eye(3)])


def projector_slope(x, first, last):
    """The symmetric gradient of a projector by differences, with NumPy's."""

    def f(x):
        v = np.linalg.eigh(x)[1][:, first:last]
        return weigh(v @ v.T)

    units = np.eye(3)
    along = [[(np.outer(a, b) + np.outer(b, a)) / 2 for b in units] for a in units]
    return np.array([[slope(f, x, d) for d in row] for row in along])


WELL_DEFINED = [
    ("sum of equal eigenvalues", lambda x: linalg.eigvalsh(x).sum(), UNIT, UNIT),
    ("squares of equal eigenvalues", lambda x: (linalg.eigh(x)[0] ** 2).sum(), turned(TWICE),
     2 * turned(TWICE)),
    ("squares of equal singular values", lambda x: (linalg.svd(x)[1] ** 2).sum(), turned(TWICE),
     2 * turned(TWICE)),
    ("singular values of 0", lambda x: (linalg.svdvals(x) ** 2).sum(), ZERO, ZERO),
    ("nuclear norm of a unit matrix", lambda x: linalg.matrix_norm(x, "nuc"), UNIT, UNIT),
    ("nuclear norm of 0", lambda x: linalg.matrix_norm(x, "nuc"), ZERO, ZERO),
    ("nuclear norm, singular", lambda x: linalg.matrix_norm(x, "nuc"), NULL_TWICE, NULL_TWICE),
    ("spectral norm, tied: equal shares", lambda x: linalg.matrix_norm(x, 2), UNIT, UNIT / 3),
    ("spectral norm of 0", lambda x: linalg.matrix_norm(x, 2), ZERO, ZERO),
    ("Frobenius norm of 0", linalg.matrix_norm, ZERO, ZERO),
    ("1-norm, tied columns", lambda x: linalg.matrix_norm(x, 1), UNIT, UNIT / 3),
    ("inf-norm of 0", lambda x: linalg.matrix_norm(x, math.inf), ZERO, ZERO),
    ("negative norm with a zero", lambda x: tg.norm(x, -2, axis=1).sum(), UNIT, ZERO),
    ("0-norm", lambda x: tg.norm(x, 0), UNIT, ZERO),
    ("norm of order 1/2 at zeros", lambda x: tg.norm(x, 0.5, axis=1).sum(), UNIT, UNIT),
    ("projector on the other vector", projector(2, 3), TWICE, projector_slope(TWICE, 2, 3)),
    ("projector on equal values", projector(0, 2), TWICE, projector_slope(TWICE, 0, 2)),
    ("projector on nearly equal ones", projector(0, 2), turned(TWICE),
     projector_slope(turned(TWICE), 0, 2)),
    ("projector on a null space", projector(0, 2), turned(NULL_TWICE),
     projector_slope(turned(NULL_TWICE), 0, 2)),
    ("the matrix itself, of rank 1", of_matrix(lambda w: w), turned(NULL_TWICE), SYMMETRIC),
    ("polar factor of a unit matrix", polar, UNIT, (G - G.T) / 2),
    ("polar factor, equal values", polar, turned(TWICE), polar_slope(turned(TWICE))),
    ("det of rank 2", linalg.det, np.diag([2.0, 3.0, 0.0]), np.diag([0.0, 0.0, 6.0])),
    ("det of rank 1", linalg.det, NULL_TWICE, ZERO),
    ("det, one singular of two", lambda x: linalg.det(tg.stack([x, x + 2 * UNIT])).sum(),
     NULL_TWICE, np.diag([6.0, 6.0, 4.0])),
]  # fmt: skip


@pytest.mark.parametrize(("f", "x", "expected"), [r[1:] for r in WELL_DEFINED],
                         ids=[r[0] for r in WELL_DEFINED])  # fmt: skip
def test_a_gradient_at_equal_values(f, x, expected):
    np.testing.assert_allclose(gradient(f, x), expected, rtol=1e-6, atol=1e-7)


UNDEFINED = [
    ("a vector of equal eigenvalues", lambda x: linalg.eigh(x)[1][1, 0], UNIT),
    ("part of a space", projector(0, 1), TWICE),
    ("part of a space, nearly equal", projector(0, 1), turned(TWICE)),
    ("a function of the matrix", of_matrix(tg.exp), UNIT),
    ("a function of the matrix, nearly equal", of_matrix(tg.exp), turned(TWICE)),
    ("the matrix itself at 0", of_matrix(lambda w: w), ZERO),
    ("polar factor of 0", polar, ZERO),
    ("polar factor, singular twice", polar, NULL_TWICE),
    ("a basis of the null space", lambda x: linalg.svd(x[:, :1])[0][0, 1], np.ones((3, 3))),
]


@pytest.mark.parametrize(("f", "x"), [r[1:] for r in UNDEFINED], ids=[r[0] for r in UNDEFINED])
def test_a_gradient_that_does_not_exist_is_not_a_number(f, x):
    g = gradient(f, x)
    assert not np.isfinite(g).all() or np.abs(g).max() > 1e12, g


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (linalg.eigvalsh(x) ** 2).sum(),
        lambda x: (linalg.eigh(x)[0] ** 2).sum(),
        lambda x: (linalg.svdvals(x) ** 2).sum(),
        lambda x: (linalg.svd(x)[1] ** 2).sum(),
    ],
)
def test_second_derivatives_at_equal_values_are_nan(f):
    """They exist, but what the rules of the vectors see is not enough for them."""
    assert np.isnan(tg.hessian(f)(np.eye(2))).any()


VECTORS_ALONE = [
    lambda x: weigh(linalg.eigh((x + x.T) / 2)[1] ** 2),
    lambda x: (lambda u, s, vh: weigh(u**2 + vh**2))(*linalg.svd(x)),
    polar,
]


@pytest.mark.parametrize("f", VECTORS_ALONE)
def test_forward_and_backward_derivatives_of_vectors_alone_agree(f):
    """Where the gradient that comes back is 0, as that from which forward derivatives start."""
    x, along = RNG.standard_normal((3, 3)), RNG.standard_normal((3, 3))
    _, found = tg.jvp(f, (x,), (along,))
    np.testing.assert_allclose(found.item(), (gradient(f, x) * along).sum(), rtol=1e-10)
    np.testing.assert_allclose(found.item(), slope(f, x, along), rtol=1e-6)


def test_second_derivatives_where_the_first_one_is_zero():
    """A vector that points where it is asked to: the loss is stationary, and curved."""

    def f(x):
        v = linalg.eigh((x + x.T) / 2)[1][:, 0]
        return (v * np.array([1.0, 0.0, 0.0])).sum() ** 2

    x = np.diag([1.0, 2.0, 4.0])
    np.testing.assert_allclose(gradient(f, x), ZERO, atol=1e-12)
    along = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    (push,) = tg.vjp(lambda x: tg.grad(f)(x), x)[1](along)
    expected = (gradient(f, x + 1e-5 * along) - gradient(f, x - 1e-5 * along)) / 2e-5
    np.testing.assert_allclose(push, expected, atol=1e-8)
    assert np.abs(expected).max() > 0.1


def test_derivatives_of_a_projector_at_equal_values_that_are_not_known_are_nan():
    _, found = tg.jvp(projector(0, 2), (TWICE,), (UNIT + 1,))
    assert np.isnan(found.item())
    assert np.isnan(tg.hessian(projector(0, 2))(TWICE)).any()


@pytest.mark.parametrize(
    "x",
    [
        [[1.0, 2.0, 0.5], [2.0, 4.0, 1.0], [0.0, 1.0, 3.0]],  # whose det is computed as 0
        [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]],  # and as a rounding error
    ],
)
def test_second_derivatives_of_the_determinant_of_a_singular_matrix(x):
    x = np.array(x)
    assert abs(np.linalg.det(x)) < 1e-14
    found = tg.hessian(linalg.det)(x)
    expected = tg.hessian(lambda x: tg.einsum("i,j,k,ijk->", x[0], x[1], x[2], LEVI_CIVITA))(x)
    np.testing.assert_allclose(found, expected, atol=1e-11)


LEVI_CIVITA = np.array(
    [[[np.linalg.det(np.eye(3)[[i, j, k]]) for k in range(3)] for j in range(3)] for i in range(3)]
)


def test_the_gradient_of_a_complete_q_is_refused_where_it_is_arbitrary():
    x = tg.Tensor(np.ones((3, 1)), requires_grad=True)
    with pytest.raises(tg.GraphError, match=r"^\[qr\] has no gradient with mode='complete'"):
        linalg.qr(x, "complete")[1].sum().backward()
    y = tg.zeros((2, 2), requires_grad=True)
    with pytest.raises(ValueError, match=r"^\[solve_triangular\] singular"):
        linalg.qr(y)[1].sum().backward()


def test_a_triangle_that_does_not_count_is_not_read():
    a = tg.Tensor(np.array([[2.0, math.nan], [1.0, math.inf]]), requires_grad=True)
    x = linalg.solve_triangular(a[:, :1] * np.array([[1.0, math.nan]]), tg.ones(2), lower=True)
    assert np.isnan(x.numpy()[1])
    full = tg.Tensor(np.array([[math.nan, math.nan], [3.0, math.nan]]), requires_grad=True)
    y = linalg.solve_triangular(full, np.array([1.0, 5.0]), lower=True, unit_diagonal=True)
    assert y.tolist() == [1, 2]
    y.sum().backward()
    assert full.grad.tolist() == [[0, 0], [-1, 0]]
    for function in (linalg.eigh, tg.cholesky):
        lower = np.array([[2.0, math.nan], [0.0, 3.0]])
        x = tg.Tensor(lower, requires_grad=True)
        y = function(x)
        (y[0] if isinstance(y, tuple) else y).sum().backward()
        assert np.isfinite(x.grad.numpy()).all()


def test_the_gradient_of_a_part_is_that_of_the_part():
    x = RNG.standard_normal((3, 3)) + 4 * UNIT
    g = gradient(lambda x: weigh(linalg.pinv(x, hermitian=True)), x)
    np.testing.assert_allclose(g, g.T, rtol=1e-12)
    along = np.tril(RNG.standard_normal((3, 3)))  # what moves the whole, mirrored
    mirrored = along + np.tril(along, -1).T
    found = slope(lambda x: weigh(linalg.pinv(x, hermitian=True)), x, along)
    np.testing.assert_allclose(found, (g * mirrored).sum(), rtol=1e-6)
    factor = linalg.cholesky(x @ x.T)
    of_factor = gradient(lambda f: weigh(linalg.cholesky_solve(UNIT, f)), factor)
    np.testing.assert_array_equal(np.triu(of_factor, 1), 0)
    found = slope(lambda f: weigh(linalg.cholesky_solve(UNIT, f)), factor, along)
    np.testing.assert_allclose(found, (of_factor * along).sum(), rtol=1e-6)


LARGE = [
    ("far from normal", [[1.0, 1e6], [0.0, -1.0]]),
    ("nilpotent", [[0.0, 1e200], [0.0, 0.0]]),
    ("very negative", [[-1e60, 0.0], [0.0, -1e60]]),
    ("badly scaled", [[1.0, 1e200], [0.0, -1.0]]),
    ("tiny", [[1e-320, 1e-310], [0.0, 0.0]]),
    ("zero", [[0.0, 0.0], [0.0, 0.0]]),
]


@pytest.mark.parametrize("x", [r[1] for r in LARGE], ids=[r[0] for r in LARGE])
def test_the_exponential_of_a_triangular_matrix(x):
    (a, b), (_, d) = x
    half = (a - d) / 2
    ratio = math.exp((a + d) / 2) * (math.sinh(half) / half if half else 1)
    expected = [[math.exp(a), b * ratio], [0, math.exp(d)]]
    np.testing.assert_allclose(linalg.expm(np.array(x)), expected, rtol=1e-13)


def test_the_gradient_of_the_exponential_does_not_depend_on_the_size_of_what_comes_back():
    x = RNG.standard_normal((3, 3)).astype(np.float32)
    _, pull_back = tg.vjp(linalg.expm, x)
    (usual,) = pull_back(np.ones((3, 3), np.float32))
    for size in (1e-30, 1e30):
        (g,) = pull_back(np.full((3, 3), size, np.float32))
        np.testing.assert_allclose(g / np.float32(size), usual, rtol=1e-5)


def test_exponentials_of_a_batch_are_those_of_its_matrices():
    x = RNG.standard_normal((4, 3, 3)) * np.array([1e-9, 1.0, 40.0, 300.0])[:, None, None]
    found = linalg.expm(x)
    for y, a in zip(found, x, strict=True):
        np.testing.assert_allclose(y, scipy.linalg.expm(a), rtol=1e-10)


def test_products_are_multiplied_in_the_cheapest_order():
    """Cormen et al., "Introduction to Algorithms", figure 15.5."""
    cuts = _cheapest_cuts([30, 35, 15, 5, 10, 20, 25])
    assert (cuts[0, 5], cuts[0, 2], cuts[3, 5]) == (2, 0, 4)


def test_a_right_side_of_two_axes_is_a_matrix_for_each_of_a_batch():
    """Also where it could be a batch of columns, as which PyTorch takes it."""
    a, b = RNG.standard_normal((2, 2, 2)), RNG.standard_normal((2, 2))
    np.testing.assert_allclose(tg.solve(tg.Tensor(a), b).numpy(), np.linalg.solve(a, b))
    upper = np.triu(a)
    np.testing.assert_allclose(linalg.solve_triangular(upper, b), np.linalg.solve(upper, b))


def test_least_squares_give_what_numpy_gives():
    for shape, rank in (((4, 2), 2), ((2, 4), 2), ((4, 3), 2), ((3, 3), 3)):
        m, n = shape
        a = RNG.standard_normal((m, rank)) @ RNG.standard_normal((rank, n))
        for b in (RNG.standard_normal(m), RNG.standard_normal((m, 2))):
            found, expected = np.linalg.lstsq(tg.Tensor(a), b), np.linalg.lstsq(a, b)
            for y, z in zip(found, expected, strict=True):
                np.testing.assert_allclose(y.numpy(), z, atol=1e-12)


def test_small_singular_values_of_float32_count_as_zero():
    """NumPy's cutoff of 1e-15 would invert their rounding errors."""
    x = np.outer([1.0, 2.0, 3.0], [1.0, 1.0, 0.7])
    single = x.astype(np.float32)
    np.testing.assert_allclose(linalg.pinv(single), np.linalg.pinv(x), rtol=1e-5)
    assert linalg.matrix_rank(single) == 1


@needs_torch
@pytest.mark.parametrize("order", [0, 0.5, 1, 3, -1, -2.5, math.inf, -math.inf])
def test_a_norm_of_any_order_over_two_axes(order):
    x = RNG.standard_normal((2, 3, 4))
    mine, theirs = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y = tg.norm(mine, order, axis=(0, -1), keepdims=True)
    z = torch.linalg.vector_norm(theirs, order, (0, -1), keepdim=True)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-12)
    y.sum().backward()
    z.sum().backward()
    expected = np.zeros(x.shape) if theirs.grad is None else theirs.grad.numpy()
    np.testing.assert_allclose(mine.grad.numpy(), expected, rtol=1e-10)


@needs_torch
@pytest.mark.parametrize("order", ["fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf])
def test_a_matrix_norm_of_any_order_in_two_axes(order):
    x = RNG.standard_normal((2, 3, 4))
    mine, theirs = tg.Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y = linalg.matrix_norm(mine, order, axis=(2, 0), keepdims=True)
    z = torch.linalg.matrix_norm(theirs, order, (2, 0), keepdim=True)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-12)
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_allclose(mine.grad.numpy(), theirs.grad.numpy(), rtol=1e-9, atol=1e-12)


@needs_torch
@pytest.mark.parametrize("options", [(0, False, False), (1, False, True), (1, True, True)])
def test_triangular_systems_of_every_kind(options):
    trans, lower, unit = options
    a, b = RNG.standard_normal((2, 3, 3)) + 3 * UNIT, RNG.standard_normal((2, 3, 2))
    mine, theirs = tg.Tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
    y = linalg.solve_triangular(mine, b, trans=trans, lower=lower, unit_diagonal=unit)
    turned = theirs.mT if trans else theirs
    z = torch.linalg.solve_triangular(
        turned, torch.tensor(b), upper=lower == bool(trans), unitriangular=unit
    )
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-12)
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_allclose(mine.grad.numpy(), theirs.grad.numpy(), rtol=1e-10, atol=1e-14)
    for i in range(2):  # by SciPy
        one = linalg.solve_triangular(a[i], b[i], trans=trans, lower=lower, unit_diagonal=unit)
        np.testing.assert_allclose(one, y.numpy()[i], rtol=1e-12)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_norms_neither_over_nor_underflow(size):
    for order in (3, 0.5, -1, -3):
        found = tg.norm(np.array([3.0, 4.0, -5.0]) * size, order) / size
        np.testing.assert_allclose(found, np.linalg.norm([3.0, 4.0, -5.0], order), rtol=1e-12)


def test_the_condition_of_a_singular_matrix_is_infinite():
    for x in (ZERO, NULL_TWICE):
        assert linalg.cond(x) == np.linalg.cond(x) == math.inf


def test_half_types_are_widened_under_autocast():
    with tg.autocast("float16"):
        x = tg.eye(2) @ tg.eye(2)
        for f in (linalg.pinv, linalg.det, linalg.expm, linalg.sqrtm, linalg.cond):
            assert f(x).dtype == np.float32


def test_half_types_and_empty_batches():
    x = tg.Tensor(np.eye(2, dtype=np.float16))
    for f in (linalg.expm, linalg.lu, linalg.sqrtm, linalg.solve_triangular):
        args = (x, x) if f is linalg.solve_triangular else (x,)
        with pytest.raises(TypeError, match=r"^\[\w+\] float16 is unsupported in linalg"):
            f(*args)
    none = np.zeros((0, 3, 3))
    assert linalg.solve_banded((1, 1), none, np.zeros(3)).shape == (0, 3)
    assert linalg.solve_sylvester(none, none, none).shape == (0, 3, 3)
    assert [y.shape for y in linalg.lu(np.zeros((0, 3, 2)))] == [(0, 3, 3), (0, 3, 2), (0, 2, 2)]
    assert [y.shape for y in linalg.lu(np.zeros((3, 0)))] == [(3, 3), (3, 0), (0, 0)]
    assert linalg.matrix_rank(np.zeros((2, 0))) == 0
    assert gradient(linalg.det, np.zeros((0, 0))).shape == (0, 0)


@pytest.mark.parametrize("f", [lambda x: tg.eig(x)[1], tg.eigvals])
def test_a_matrix_of_no_rows_has_no_eigenvalues(f):
    x = tg.zeros((2, 0, 0), dtype=np.float64, requires_grad=True)
    y = f(x)
    assert y.size == 0
    y.real.sum().backward()
    assert x.grad.shape == (2, 0, 0)


@pytest.mark.parametrize("f", [
    lambda x: linalg.eigh(x)[1][0, 0].imag,
    lambda x: linalg.svd(x)[0][0, 0].imag,
    lambda x: linalg.svd(x)[2][1, 0].imag,
])  # fmt: skip
def test_the_phase_of_a_complex_vector_has_no_gradient(f):
    z = np.array([[2, 1 + 1j], [1 - 1j, 4]])
    x = tg.Tensor(z, requires_grad=True)
    f(x).backward()
    assert np.isnan(x.grad.numpy()).all()


def test_complex_least_squares_and_ranks_are_numpys():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(4, n)) + 1j * rng.normal(size=(4, n)) for n in (2, 3))
    for found, expected in zip(
        linalg.lstsq(tg.Tensor(a), tg.Tensor(b)), np.linalg.lstsq(a, b), strict=True
    ):
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    assert linalg.matrix_rank(tg.Tensor(np.outer(a[:, 0], b[:, 0]))).item() == 1
    for order in (2, -2, "nuc", "fro", 1, np.inf):
        np.testing.assert_allclose(
            linalg.matrix_norm(tg.Tensor(b), order).numpy(), np.linalg.norm(b, order), rtol=1e-12
        )
