"""Resizing, adaptive windows and bags: all sizes, infinities, the compiled kernel, refusals."""

import numpy as np
import pytest
from needed import needs_numba
from oracle import needs_torch, torch
from tinygrad_like.kernels import reference

import tinygrad_like as tg
from tinygrad_like.ops.neural import resize


def test_nearest_takes_the_right_element_at_every_size():
    for n in range(1, 40):
        x = tg.arange(float(n)).reshape(1, 1, n)
        for size in (1, 2, 3, 7, 29, 41, 97):
            y = tg.interpolate(x, size)
            np.testing.assert_array_equal(y.numpy().ravel(), np.arange(size) * n // size)


def test_an_infinity_stays_in_its_windows():
    x = np.zeros((1, 1, 6))
    x[0, 0, 0] = np.inf
    y = tg.adaptive_avg_pool1d(x, 4)
    np.testing.assert_array_equal(y.ravel(), [np.inf, 0, 0, 0])
    y = tg.interpolate(x, 3, mode="area")
    np.testing.assert_array_equal(y.ravel(), [np.inf, 0, 0])


def test_a_dilated_window_that_sees_padding_alone_is_refused():
    with pytest.raises(ValueError, match="sees nothing but padding"):
        tg.max_pool2d(tg.ones((1, 1, 2, 2)), 2, dilation=3, padding=1)


def test_tied_rows_of_a_bag_share_the_gradient():
    table = tg.ones((3, 1), requires_grad=True)
    tg.embedding_bag(table, np.array([[0, 2]]), mode="max").sum().backward()
    assert table.grad.numpy().ravel().tolist() == [0.5, 0, 0.5]


def test_unpooling_puts_maxima_back_and_the_last_of_two_counts():
    x = np.random.default_rng(0).standard_normal((2, 1, 5, 7))
    y, places = tg.max_pool2d(x, 3, stride=2, padding=1, return_indices=True)
    back = tg.max_unpool2d(y, places, 3, stride=2, padding=1, output_size=(5, 7))
    np.testing.assert_array_equal(back[back != 0], x[back != 0])
    assert {*back[back != 0]} == {*y.ravel()}
    v = tg.Tensor([[1.0, 2.0]], requires_grad=True)
    tg.max_unpool1d(v, np.array([[1, 1]]), 1).sum().backward()
    assert v.grad.numpy().tolist() == [[0, 1]]


@pytest.mark.parametrize(("call", "kind", "message"), [
    (lambda x: tg.interpolate(x), ValueError, "size is None, scale_factor is None, expected one"),
    (lambda x: tg.interpolate(x, 2, mode="linear"), ValueError, "'linear' resizes 1 axes, x has 2"),
    (lambda x: tg.interpolate(x, 2, align_corners=True), ValueError, "does not apply to mode"),
    (lambda x: tg.interpolate(x, (2, 2, 2)), ValueError, "expected 2 numbers"),
    (lambda x: tg.interpolate(x, 0), ValueError, "expected positive integers"),
    (lambda x: tg.interpolate(x, scale_factor=0.1), ValueError, "nothing is left of"),
    (lambda x: tg.interpolate(x.astype(int), 2, mode="area"), TypeError, "expected floating"),
    (lambda x: tg.interpolate(x[:, :, :0], 2), ValueError, "no axis of length 0"),
    (lambda x: tg.grid_sample(x, x), ValueError, r"\), expected \(1, H, W, 2\)"),
    (lambda x: tg.grid_sample(x, tg.ones(1, 1, 1, 2), mode="cubic"), ValueError, "'cubic'"),
    (lambda x: tg.grid_sample(x[0], x), ValueError, r"x is \(1, 4, 4\), expected \(N, C, H, W\)"),
    (lambda x: tg.grid_sample(x.astype(int), tg.ones(1, 1, 1, 2)), TypeError, "x has dtype int64"),
    (lambda x: tg.grid_sample(x[None], tg.ones(1, 1, 1, 1, 3), mode="bicubic"), ValueError, "axes"),
    (lambda x: tg.affine_grid(tg.ones(1, 2, 3), (1, 4, 4)), ValueError, r"size is \(1, 4, 4\)"),
    (lambda x: tg.affine_grid(x, (1, 1, 4, 4)), ValueError, r"\(1, 2, 3\) for size"),
    (lambda x: tg.cdist(x, x[..., :3]), ValueError, "vectors of one length"),
    (lambda x: tg.pdist(x[0, 0, 0]), ValueError, r"expected vectors in rows"),
    (lambda x: tg.pdist(x, -1), ValueError, "p is -1, expected"),
    (lambda x: tg.renorm(x, 2, 4, 1.0), IndexError, "axis 4 is out of range"),
    (lambda x: tg.index_reduce(x, [0], x, 1, "sums"), ValueError, "reduce is 'sums', expected"),
    (lambda x: tg.pixel_shuffle(x, 2), ValueError, "a C that 4 divides"),
    (lambda x: tg.adaptive_avg_pool2d(x, (1, 2, 3)), ValueError, "or 2 of them"),
    (lambda x: tg.adaptive_max_pool2d(x[:, :, :0], 1), ValueError, "no axis of length 0"),
    (lambda x: tg.max_pool3d(x[0], 2), ValueError, r"expected \(N, C, D, H, W\)"),
    (lambda x: tg.max_unpool2d(x, x[0], 2), ValueError, r"indices are \(1, 4, 4\), expected"),
    (lambda x: tg.max_unpool3d(x[0], x[0], 2), ValueError, r"expected \(N, C, D, H, W\) or"),
    (lambda x: tg.max_unpool2d(x, x, (2,)), ValueError, "at least 1, or two"),
    (lambda x: tg.max_unpool2d(x, x, 2, padding="same"), ValueError, "the integers that it stood"),
    (lambda x: tg.max_unpool2d(x, x, 2, output_size=(8, 10)), ValueError, r"expected \(8, 8\), or"),
    (lambda x: tg.max_unpool2d(x, tg.full(x.shape, 64), 2), IndexError, "from 64 to 64"),
    (lambda x: tg.conv3d(x[None], tg.ones((1, 1, 1, 1, 1)), stride=(1, 2)), ValueError, "or three"),
    (lambda x: tg.conv3d(x[None], tg.ones((1, 1, 5, 1, 1))), ValueError, "spans 5 slices"),
    (lambda x: tg.embedding_bag(x[0, 0], np.array([0, 1])), ValueError, r"expected \(B, L\), or"),
    (lambda x: tg.embedding_bag(x[0, 0], np.array([0]), np.array([1])), ValueError, "rise from 0"),
    (lambda x: tg.embedding_bag(x[0, 0], np.array([[9]])), IndexError, "contain 9"),
])  # fmt: skip
def test_what_does_not_fit_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call(tg.ones((1, 1, 4, 4)))


@pytest.mark.parametrize("mode", ["nearest", "bilinear", "bicubic"])
def test_a_position_of_nan_gives_nan_and_one_far_away_what_is_outside(mode):
    at = np.array([[[[np.nan, 0], [0, np.nan], [np.inf, 0], [-1e300, 0]]]])
    y = tg.grid_sample(np.ones((1, 1, 3, 3)), at, mode=mode)
    np.testing.assert_array_equal(y.ravel(), [np.nan, np.nan, 0, 0])
    y = tg.grid_sample(np.ones((1, 1, 3, 3)), at, mode=mode, padding_mode="border")
    np.testing.assert_array_equal(y.ravel(), [np.nan, np.nan, 1, 1])


def test_an_infinite_element_is_not_read_from_outside():
    x = np.array([[[[np.inf, 1.0]]]])
    at = np.array([[[[-3.0, 0.0], [0.5, 0.0], [0.5, 3.0]]]])
    np.testing.assert_array_equal(tg.grid_sample(x, at).ravel(), [0, 1, 0])


def test_distances_of_close_vectors_keep_their_digits():
    a = 1000 + np.random.default_rng(0).standard_normal((30, 3)).astype(np.float32)
    exact = tg.cdist(a.astype(np.float64), a.astype(np.float64))
    np.testing.assert_allclose(tg.cdist(a, a), exact, rtol=1e-6)


@pytest.mark.long
@needs_numba
@needs_torch
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_compiled_kernel_equals_the_reference_and_torch(dtype):
    from tinygrad_like.kernels import cpu

    rng = np.random.default_rng(0)
    for kind, n, outputs in (
        ("linear", 40, 90), ("linear", 90, 40), ("cubic", 50, 70), ("area", 60, 7),
        ("nearest", 30, 90), ("nearest", 90, 30), ("area", 64, 30), ("linear", 1, 300),
    ):  # fmt: skip
        spec = resize.Resampling(kind, n, outputs, n / outputs)
        for transposed in (False, True):
            table = resize.table_of(spec._replace(transposed=transposed))
            for inner in (1, 33):
                x = rng.standard_normal((20, outputs if transposed else n, inner)).astype(dtype)
                y = cpu.resample(x, *table)
                exact = reference.resample(x.astype(np.float64), *table)
                assert y.dtype == dtype
                bound = 20 * np.finfo(dtype).eps * np.abs(exact).max()
                np.testing.assert_allclose(y, exact, rtol=0, atol=bound)
    x = rng.standard_normal((4, 8, 30, 30)).astype(dtype)
    ours = tg.interpolate(x, scale_factor=2, mode="bilinear")
    theirs = torch.nn.functional.interpolate(
        torch.tensor(x.astype(np.float64)), scale_factor=2, mode="bilinear"
    )
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=20 * np.finfo(dtype).eps)


def test_an_infinite_row_counts_once_in_the_mean_of_a_bag():
    table = np.ones((3, 1))
    table[1] = np.inf
    y = tg.embedding_bag(table, np.array([[0, 1], [0, 2]]), padding_idx=2)
    assert y.ravel().tolist() == [np.inf, 1]
