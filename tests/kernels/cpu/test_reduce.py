"""Sums of slices on the CPU: read where they lie, and right for every kind of strides."""

import numpy as np
import pytest
from tinygrad_like.kernels import cpu, reference
from tinygrad_like.kernels.cpu.machine.memory import lines_of
from tinygrad_like.kernels.cpu.reduce import kernels as reduce
from tinygrad_like.kernels.reference.reduce import describe_reduction, steps_of

import tinygrad_like as tg

X = np.random.default_rng(0).random((6, 40, 90), np.float32)
VIEWS = {
    "columns": X[:, :, :50],
    "columns not from 0": X[:, :, 30:],
    "few columns": X[:, :, 5:8],
    "rows": X[:, ::2],
    "the first rows": X[:, :9],
    "blocks": X[::2],
    "every second column": X[..., ::2],
    "turned": X[:, :, 5:80].transpose(2, 0, 1),
    "flipped columns": X[:, :, 70:10:-1],
    "flipped blocks": X[::-1, :, :70],
    "one block": X[2:3, :, 1:],
    "broadcast in the middle": np.broadcast_to(X[:, :1, :80], (6, 40, 80)),
    "broadcast in front": np.broadcast_to(X[:1, :, :80], (6, 40, 80)),
    "a length of 1": X[:, :, None, :60],
    "a line": X[:, 3, :],
    "nothing to add": X[:1, :1, :1],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("axes", [None, (0,), (1,), (-1,), (0, 1), (0, -1), (1, -1)])
def test_sums_of_views(view, axes):
    if axes is not None:
        axes = tuple(sorted({axis % view.ndim for axis in axes}))
    wide = view.astype(np.float64)
    np.testing.assert_allclose(cpu.sum_axes(view, axes), wide.sum(axes), rtol=1e-6)
    np.testing.assert_allclose(cpu.sum_squares(view, axes), (wide**2).sum(axes), rtol=1e-6)
    mean, squares = cpu.moments(view, axes)
    true = wide.mean(axes, keepdims=True)
    np.testing.assert_allclose(mean, true.reshape(mean.shape), rtol=1e-6)
    np.testing.assert_allclose(squares, ((wide - true) ** 2).sum(axes), rtol=1e-6)


@pytest.mark.parametrize("rows", range(1, 20))
def test_sums_of_few_rows(rows):
    x = np.random.default_rng(rows).random((30, rows, 33), np.float32)
    for part in (x, x[:, :, :32], x[:, :, :1]):
        true = part.sum(1, dtype=np.float64)
        np.testing.assert_allclose(cpu.sum_axes(part, (1,)), true, rtol=1e-6)


def test_rows_of_a_slice_are_read_where_they_lie():
    for view, shape in (
        (X[:, :, 30:], (6, 40, 90)),
        (X[:, ::2, :80], (6, 20, 180)),
        (X[:, :30], (6, 40, 90)),  # 30 rows of 40
    ):
        lines = lines_of(view)
        assert lines.shape == shape
        assert lines.ctypes.data == view.ctypes.data
        assert lines.flags.c_contiguous
    assert lines_of(X[..., ::2]) is None


def test_axes_of_length_1_are_no_steps():
    assert steps_of((256, 1024, 1), (0, 2)) == ([(1, 256, 1024)], (1024,))
    assert steps_of((1, 3, 1, 4, 1), (0, 1, 2)) == ([(1, 3, 4)], (4, 1))
    assert steps_of((1, 1), (0,)) == ([], (1,))
    assert steps_of((2, 3, 4), (0, 2)) == ([(6, 4, 1), (1, 2, 3)], (3,))


def test_read_only_arrays_are_not_compiled_for():
    x = X.copy()
    for axes in ((0,), (2,), (0, 2)):
        cpu.sum_axes(x, axes)
        cpu.moments(x, axes)
    kernels = reduce._sum_rows, reduce._sum_runs, reduce._power_rows, reduce._power_runs
    known = [len(kernel.signatures) for kernel in kernels]
    x.flags.writeable = False
    for axes in ((0,), (2,), (0, 2)):
        cpu.sum_axes(x, axes)
        cpu.moments(x, axes)
    assert [len(kernel.signatures) for kernel in kernels] == known


TABLES = pytest.mark.parametrize("k", [cpu, reference], ids=["cpu", "reference"])
SUMS = [((3, 5), (1,)), ((3, 5), (0,)), ((7, 3, 5), (0, 2)), ((40, 5), (0,)), ((300, 400), (1,))]


@TABLES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "axes"), SUMS, ids=str)
def test_sums_in_pairs_and_of_copies_are_sums_in_the_dtype_of_x(shape, axes, dtype, k):
    x = np.random.default_rng(0).random(shape, dtype)
    exact = x.astype(np.float64).sum(axes)
    for keepdims in (False, True):
        y = k.sum_in_pairs(x, describe_reduction(shape, axes), keepdims)
        assert (y.dtype, y.shape) == (dtype, x.sum(axes, keepdims=keepdims).shape)
        np.testing.assert_allclose(y.reshape(exact.shape), exact, rtol=8 * np.finfo(dtype).eps)
    y = k.sum_copies(x, axes)
    assert (y.dtype, y.shape) == (dtype, exact.shape)
    np.testing.assert_allclose(y, exact, rtol=8 * np.finfo(dtype).eps)


@TABLES
@pytest.mark.parametrize("rows", [3, 3000])
def test_the_gradient_of_a_sum_is_spread_for_arrays_and_for_tensors(k, rows):
    g = np.random.default_rng(0).standard_normal(4)
    expected = np.broadcast_to(g, (rows, 4))
    np.testing.assert_array_equal(k.spread(g, (1, 4), (rows, 4)), expected)
    np.testing.assert_array_equal(k.divide_by(g, rows), g / rows)
    t = tg.Tensor(g, requires_grad=True)
    y = k.spread(k.divide_by(t, rows), (1, 4), (rows, 4))
    np.testing.assert_allclose(y.numpy(), expected / rows)
    y.sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), np.ones(4))
