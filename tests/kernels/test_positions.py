"""Sampling at positions, and distances: the kernels against each other and against PyTorch."""

import itertools

import numpy as np
import pytest
from oracle import needs_torch, torch
from tinygrad_like.kernels import cpu, reference

import tinygrad_like as tg

BOTH = True, True
PADDINGS = "zeros", "border", "reflection"
LENGTHS = {2: (7, 9), 3: (4, 5, 6)}


def sampling(axes, dtype, lengths=None):
    """Images, positions in them and up to two lengths beyond each edge."""
    rng = np.random.default_rng(0)
    lengths = lengths or LENGTHS[axes]
    x = rng.standard_normal((2, 9, *lengths)).astype(dtype)
    grid = rng.uniform(-5, 5, (2, *(3 * n for n in LENGTHS[axes]), axes)).astype(dtype)
    return x, grid


def near(got, true, dtype, epsilons=20):
    assert got.dtype == dtype
    bound = epsilons * np.finfo(dtype).eps * max(np.abs(true).max(), 1e-30)
    np.testing.assert_allclose(got, true, rtol=0, atol=bound)


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("axes", [2, 3])
def test_the_cpu_samples_as_the_reference(axes, dtype):
    modes = ["nearest", "bilinear", "bicubic"][: 5 - axes]
    for mode, padding, corners in itertools.product(modes, PADDINGS, (False, True)):
        x, grid = sampling(axes, dtype)
        how = mode, padding, corners
        y = cpu.grid_sample(x, grid, *how)
        near(y, reference.grid_sample(x.astype(np.float64), grid.astype(np.float64), *how), dtype)
        g = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        grads = cpu.grid_sample_backward(g, x, grid, *how, BOTH)
        wide = (a.astype(np.float64) for a in (g, x, grid))
        for got, true in zip(grads, reference.grid_sample_backward(*wide, *how, BOTH), strict=True):
            near(got, true, dtype)
        only_grid = cpu.grid_sample_backward(g, x, grid, *how, (False, True))
        assert only_grid[0] is None
        np.testing.assert_array_equal(only_grid[1], grads[1])


@pytest.mark.long
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_axes_of_one_element_and_unknown_positions(mode):
    x, grid = sampling(2, np.float32, lengths=(1, 2))
    grid[0, 0, 0], grid[0, 0, 1], grid[0, 0, 2] = np.nan, (np.inf, 0), (0, -1e30)
    for padding, corners in itertools.product(PADDINGS, (False, True)):
        how = mode, padding, corners
        y = cpu.grid_sample(x, grid, *how)
        with np.errstate(invalid="ignore"):
            expected = reference.grid_sample(x, grid, *how)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)
        assert np.isnan(y[0, :, 0, 0]).all()


@pytest.mark.long
def test_an_infinite_element_outside_is_not_read_by_the_cpu():
    x = np.ones((1, 9, 8, 8), np.float32)
    x[..., 0, 0] = np.inf
    grid = np.full((1, 20, 20, 2), 3, np.float32)
    assert not cpu.grid_sample(x, grid, "bilinear", "zeros", False).any()


@needs_torch
@pytest.mark.long
@pytest.mark.parametrize("axes", [2, 3])
def test_both_sample_as_torch(axes):
    modes = ["nearest", "bilinear", "bicubic"][: 5 - axes]
    for mode, padding, corners in itertools.product(modes, PADDINGS, (False, True)):
        x, grid = sampling(axes, np.float64)
        xs = [torch.tensor(a, requires_grad=True) for a in (x, grid)]
        theirs = torch.nn.functional.grid_sample(*xs, mode, padding, corners)
        grads = torch.autograd.grad(theirs.sum(), xs)
        for kernels in (cpu, reference):
            y = kernels.grid_sample(x, grid, mode, padding, corners)
            np.testing.assert_allclose(y, theirs.detach().numpy(), rtol=0, atol=1e-12)
            g = np.ones_like(y)
            ours = kernels.grid_sample_backward(g, x, grid, mode, padding, corners, BOTH)
            for got, true in zip(ours, grads, strict=True):
                np.testing.assert_allclose(got, true.numpy(), rtol=0, atol=1e-10)


def vectors(shape, dtype, offset=0):
    """Vectors of which some are equal and some close, around an offset."""
    batch, n, m, d = shape
    rng = np.random.default_rng(0)
    a, b = ((offset + rng.standard_normal((batch, k, d))).astype(dtype) for k in (n, m))
    b[:, 3], b[:, 5] = a[:, 4], a[:, 5]
    b[:, 5, 0] += dtype(0.01)
    return a, b


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0, 1000])
@pytest.mark.parametrize("p", [0, 0.5, 1, 2, 3, np.inf])
def test_the_cpu_measures_as_the_reference(p, offset, dtype):
    for shape in ((2, 30, 40, 3), (1, 50, 600, 5), (2, 60, 70, 40), (3, 8, 9, 80)):
        a, b = vectors(shape, dtype, offset)
        y, exact = cpu.distances(a, b, p), reference.distances(a, b, p)
        np.testing.assert_allclose(y, exact, rtol=20 * np.finfo(dtype).eps, atol=0)
        g = np.random.default_rng(1).standard_normal(y.shape).astype(dtype)
        grads = cpu.distances_backward(g, a, b, exact, p)
        for got, true in zip(grads, reference.distances_backward(g, a, b, exact, p), strict=True):
            near(got, true, dtype)


@pytest.mark.long
def test_products_do_not_cost_close_vectors_their_digits():
    a = 1000 + np.random.default_rng(0).standard_normal((300, 64)).astype(np.float32)
    b = a + np.float32(0.001) * np.random.default_rng(1).standard_normal(a.shape, np.float32)
    exact = tg.cdist(a.astype(np.float64), b.astype(np.float64))
    np.testing.assert_allclose(tg.cdist(a, b), exact, rtol=2e-6)


@pytest.mark.long
@pytest.mark.parametrize("d", [3, 40])
@pytest.mark.parametrize("scale", [1e-30, 1e25])
def test_squares_out_of_range_are_found_anew(scale, d):
    a, b = (np.float32(scale) * x for x in vectors((1, 60, 70, d), np.float32))
    y = cpu.distances(a, b, 2)
    exact = reference.distances(a, b, 2)
    assert 0 < exact.max() < np.inf
    np.testing.assert_allclose(y, exact, rtol=3e-6)
    g = np.ones_like(y)
    grads = cpu.distances_backward(g, a, b, exact, 2)
    for got, true in zip(grads, reference.distances_backward(g, a, b, exact, 2), strict=True):
        near(got, true, np.float32)


@pytest.mark.long
def test_infinite_and_unknown_elements_reach_their_distances_alone():
    a, b = vectors((1, 60, 70, 40), np.float32)
    a[0, 1, 2], a[0, 2, 2] = np.inf, np.nan
    for p in (1, 2, np.inf):
        y = cpu.distances(a, b, p)
        assert np.isinf(y[0, 1]).all()
        assert np.isnan(y[0, 2]).all()
        assert np.isfinite(y[0, 3:]).all()


@needs_torch
def test_the_reference_measures_as_torch():
    a, b = vectors((2, 7, 8, 3), np.float64)
    for p in (0.0, 1.0, 1.5, 2.0, 3.0, np.inf):
        theirs = torch.cdist(torch.tensor(a), torch.tensor(b), p)
        np.testing.assert_allclose(reference.distances(a, b, p), theirs.numpy(), atol=1e-7)
