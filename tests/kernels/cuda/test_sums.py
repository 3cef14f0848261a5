"""Long sums in the CUDA kernels lose no digits: no long chain of additions in float32.

Numbers of one sign, or beside an outlier, show what is lost; the true values are float64's.
"""

import numpy as np
import pytest
from needed import imported
from tinygrad_like.kernels import cuda, reference
from tinygrad_like.kernels.cuda import conv, linalg, reduce
from tinygrad_like.kernels.geometry import conv_geometry, pool_geometry

xp = cuda.emulator.xp
TABLES = {"reference": reference, "cuda": cuda}


def called(table, name, *arrays, **options):
    """The results of a kernel of a table, as NumPy arrays."""
    if table is cuda:
        arrays = [xp.asarray(a) if isinstance(a, np.ndarray) else a for a in arrays]
    found = getattr(table, name)(*arrays, **options)
    found = found if isinstance(found, tuple) else (found,)
    return [xp.asnumpy(y) if table is cuda and y is not None else y for y in found]


def units(found, true):
    """The largest error, in units in the last place of float32 at the largest true value."""
    return np.abs(found - true).max() / (np.finfo(np.float32).eps * np.abs(true).max())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("table", TABLES)
def test_moments_beside_an_outlier(table, dtype):
    """Differences from the first number, rounded, lost all others: 100.0 for 100.5 of a million."""
    outlier, rest = (65504, 0.001) if dtype == np.float16 else (1e8, 0.5)
    x = np.full(1_000_000 if table == "reference" else 20_000, rest, dtype)
    x[0] = outlier
    mean, squares = called(TABLES[table], "moments", x, (0,))
    exact = x.astype(np.longdouble)
    np.testing.assert_allclose(mean, float(exact.mean()), rtol=1e-13)
    np.testing.assert_allclose(squares, float(((exact - exact.mean()) ** 2).sum()), rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("table", TABLES)
def test_equal_numbers_deviate_by_0(table, dtype):
    for shape, axes in (((3, 5001), (1,)), ((70, 3, 2), (0, 2))):
        x = np.full(shape, 0.1, dtype)
        mean, squares = called(TABLES[table], "moments", x, axes)
        assert (mean == x.flat[0]).all()
        assert (squares == 0).all()


def test_batch_norm_of_a_channel_with_an_outlier():
    x = np.full((40, 2, 25), 0.5, np.float32)
    x[0, 0, 0] = 1e8
    _, mean, var = called(cuda, "batch_norm", x, None, None, 1e-5)
    np.testing.assert_allclose(mean, x.mean((0, 2), np.float64), rtol=1e-7)
    np.testing.assert_allclose(var, x.var((0, 2), np.float64), rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, "bfloat16"])
def test_a_sum_over_two_groups_of_axes_is_rounded_once(dtype):
    """300 rows of 2 x 9 numbers: the sums over the last axis are beyond what 11 bits hold."""
    dtype = np.dtype(dtype) if dtype != "bfloat16" else imported("ml_dtypes").bfloat16
    x = np.random.default_rng(0).random((300, 2, 9)).astype(dtype)
    (found,) = called(cuda, "sum_axes", x, (0, 2))
    np.testing.assert_array_equal(found, x.astype(np.float64).sum((0, 2)).astype(dtype))


@pytest.mark.parametrize("shape", [(1, 30_000_000, 1), (1, 7_500_000, 4), (4, 7_500_000, 1)])
def test_few_long_sums_keep_the_whole_gpu_busy(shape):
    cut = reduce._cut(*shape)
    blocks = cut.parts * (cut.a if cut.rows else -(-cut.a * cut.b // cut.threads))
    assert blocks >= 132
    assert cut.share * (cut.parts - 1) < shape[1] <= cut.share * cut.parts


@pytest.mark.parametrize("name", ["sum_axes", "sum_squares", "moments"])
def test_transposed_flipped_and_broadcast_arrays_are_not_copied(name, monkeypatch):
    x = xp.asarray(np.random.default_rng(0).random((6, 50), np.float32))
    given = []
    run = reduce._Cut.run

    def noted(self, kernel, x, *results):
        given.append(x)
        run(self, kernel, x, *results)

    monkeypatch.setattr(reduce._Cut, "run", noted)
    for view, count in ((x.T, 300), (x[::-1], 300), (xp.broadcast_to(x[:1], (1000, 50)), 50)):
        given.clear()
        getattr(cuda, name)(view, (0, 1))
        assert given[0].size == count
        assert given[0].address == x.address


@pytest.mark.parametrize("parts", [1, None])
def test_a_product_over_a_long_axis(parts):
    """In one chain of 20,000 additions it was off by 40 units."""
    rng = np.random.default_rng(0)
    a, b = rng.random((8, 20_000), np.float32), rng.random((20_000, 8), np.float32)
    found = linalg.gemm(xp.asarray(a), xp.asarray(b), core=linalg.SIMT, parts=parts)
    assert units(xp.asnumpy(found), a.astype(np.float64) @ b) < 4


@pytest.mark.parametrize(
    ("name", "longest"), [("linalg", 2**18), ("linalg_tensor", 2**14), ("linalg_wgmma", 2**14)]
)
def test_a_very_long_axis_is_cut_into_parts_even_if_one_is_asked_for(name, longest, monkeypatch):
    core, shapes, empty_like = linalg.CORES[name], [], np.empty_like

    def noted(*args, shape, **options):
        shapes.append(shape)
        return empty_like(*args, shape=shape, **options)

    monkeypatch.setattr(linalg.np, "empty_like", noted)
    k = 2 * longest + 8
    a, b = (xp.asarray(np.full(s, x, np.float16)) for s, x in (((1, k), 1), ((k, 1), 2.0**-15)))
    found = linalg.gemm(a, b, core=core, tile=core.tiles[-1], parts=1)
    assert shapes == [(1, 1), (3, 1, 1)]  # the result, and the workspace
    assert xp.asnumpy(found).item() == np.float16(k * 2.0**-15)


def test_long_sums_of_a_convolution_and_its_gradients(monkeypatch):
    """Over 512 channels, 512 filters and 10,000 positions: 15 units and more in one chain."""
    monkeypatch.setattr(conv, "SPLIT", 10**9)  # as with enough blocks: one part
    rng = np.random.default_rng(0)
    forward = rng.random((1, 512, 4, 4), np.float32), rng.random((2, 512, 3, 3), np.float32)
    to_input = rng.random((1, 512, 4, 4), np.float32), rng.random((512, 2, 3, 3), np.float32)
    to_weight = rng.random((1, 2, 100, 100), np.float32), rng.random((1, 1, 100, 100), np.float32)
    for name, arrays, x, weight in (
        ("conv2d", forward, forward[0].shape, forward[1].shape),
        ("conv2d_input_grad", to_input, (1, 2, 4, 4), to_input[1].shape),
        ("conv2d_weight_grad", to_weight, to_weight[1].shape, (2, 1, 3, 3)),
    ):
        geometry = conv_geometry(x, weight, padding=(1, 1))
        (found,) = called(cuda, name, *arrays, geometry)
        exact = [a.astype(np.float64) for a in arrays]
        (true,) = called(reference, name, *exact, geometry)
        assert units(found, true) < 4, name


@pytest.mark.parametrize("peaks", [[0], [-2, -1, 0]])
def test_cross_entropy_of_many_classes(peaks):
    """Each of 1,024 threads adds up 2,000 equal exponentials: in a chain off by 19 units."""
    logits = np.full((1, 2_000_000), -3.6, np.float32)
    logits[0, : 1024 * len(peaks)] = np.repeat(peaks, 1024)
    losses, (peak, total) = called(cuda, "cross_entropy", logits, np.array([3]))
    true = np.exp(logits.astype(np.float64)).sum()
    assert peak == 0
    assert units(total, true) < 1
    np.testing.assert_allclose(losses, np.log(true) - logits[0, 3], rtol=2e-7)


@pytest.mark.parametrize(
    ("queries", "keys", "bounds"),
    [(2, 16_000, {"out": 8, "dq": 25}), (16_000, 2, {"dk": 12, "dv": 6})],
)
def test_attention_over_many_keys_and_of_many_queries(queries, keys, bounds):
    """In chains out was off by 19 units, dq by 77, and dk and dv of many queries by 36 and 23."""
    rng = np.random.default_rng(0)
    q, k, g = (rng.random((1, 1, n, 2), np.float32) for n in (queries, keys, queries))
    k[:, :, ::2] += 1
    options = None, False, 0.3, 0.0, 0, 0

    def results(table, q, k, g):
        out, sums = called(table, "attention", q, k, k, *options)
        needs = True, True, True, False
        grads = called(table, "attention_backward", g, q, k, k, out, sums, *options, needs)
        return dict(zip(("out", "dq", "dk", "dv"), (out, *grads[:3]), strict=True))

    found = results(cuda, q, k, g)
    true = results(reference, *(a.astype(np.float64) for a in (q, k, g)))
    for name, bound in bounds.items():
        assert units(found[name], true[name]) < bound, name


def test_pools_of_large_windows():
    """Means of 4,096 numbers, and as many windows that chose, or lie over, one of the input."""
    x = np.random.default_rng(0).random((1, 1, 64, 64), np.float32)
    whole, geometry = (pool_geometry(x.shape, (64, 64), (1, 1), (p, p)) for p in (0, 63))
    (found,) = called(cuda, "avg_pool2d", x, whole)
    assert units(found, x.mean((2, 3), np.float64)) < 1
    g = np.random.default_rng(1).random((1, 1, 127, 127), np.float32)
    exact = g.astype(np.float64)
    (found,) = called(cuda, "avg_pool2d_backward", g, geometry)
    (true,) = called(reference, "avg_pool2d_backward", exact, geometry)
    assert units(found, true) < 2
    x[0, 0, 30, 30] = 2
    _, index = called(reference, "max_pool2d", x, geometry)
    (found,) = called(cuda, "max_pool2d_backward", g, index, geometry)
    (true,) = called(reference, "max_pool2d_backward", exact, index, geometry)
    assert units(found, true) < 1


def test_rows_that_are_too_wide_for_a_grid_are_added_all_the_same():
    """65,535 blocks of 32 columns are the most: more was a LaunchError."""
    out = xp.asarray(np.ones((2, 2_097_121), np.float32))
    cuda.scatter_add_(out, xp.asarray(np.array([1, 1])), out + 1)
    np.testing.assert_array_equal(xp.asnumpy(out)[:, [0, -1]], [[1, 1], [5, 5]])
