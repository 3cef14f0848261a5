"""Sums lose no digits in any layout: the table of bench/accuracy.py on small matrices.

Each error is at most 4 units in the last place and half a unit for each doubling of the count,
which is what adding in pairs may lose.
"""

import math

import numpy as np
import pytest
from needed import missing, needs_emulator

import tinygrad_like as tg

pytest.importorskip("torch", reason=missing("torch"))  # it computes the true values
from bench.accuracy import LAYERS, LAYOUTS, NORMS, ROWS, bound, errors

SUMS = [row for row in ROWS if row not in LAYERS]
# Along the long axis of a broadcast matrix its numbers differ: norms have a true result.
ON_EMULATOR = [
    ((20_000, 2), "C"),
    ((2, 3000), "transposed"),
    ((2, 20_000), "broadcast"),
    ((40, 33), "slice"),
    ((300, 7), "flipped"),
]


def check(row, shape, dtype, layout, device="cpu"):
    found = errors(row, shape, dtype, layout, device, opponents=False)["ours"]
    allowed = bound(math.prod(shape))
    assert found <= allowed, f"{shape}, {layout}: {found:.1f} units, allowed {allowed:.1f}"


@pytest.mark.long
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("row", SUMS, ids=lambda row: row.name)
def test_errors_stay_within_those_of_adding_in_pairs(row, dtype):
    for shape in ((500, 2), (30_000, 4), (3, 20_001)):
        for layout in LAYOUTS:
            if layout == "broadcast" and row.name in NORMS and shape[0] > shape[1]:
                continue
            check(row, shape, dtype, layout)


@pytest.mark.long
@pytest.mark.parametrize("row", LAYERS, ids=lambda row: row.name)
def test_errors_of_layers(row):
    check(row, (100_000, 4), np.float32, "C")


@pytest.mark.long
@needs_emulator
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("row", SUMS, ids=lambda row: row.name)
def test_errors_of_the_cuda_kernels(row, dtype):
    for shape, layout in ON_EMULATOR:
        check(row, shape, dtype, layout, "cuda-emulator")


def test_a_variance_far_from_0_keeps_its_digits():
    """A million rows near 1000, along the first axis: added one by one, var was 80."""
    rows = (1000 + np.random.default_rng(0).standard_normal((1_000_000, 2))).astype(np.float32)
    true = rows.astype(np.float64).var(axis=0)
    np.testing.assert_allclose(tg.var(tg.Tensor(rows), axis=0).numpy(), true, rtol=1e-6)
    y, mean, var = tg.batch_norm(tg.Tensor(rows))
    np.testing.assert_allclose(var.numpy(), true, rtol=1e-6)
    np.testing.assert_allclose(mean.numpy(), 1000, rtol=1e-5)
    assert np.abs(y.numpy().mean(axis=0, dtype=np.float64)).max() < 1e-4


def test_means_and_deviations_of_large_integers():
    stamps = np.full(10, 1_700_000_000_000_000_000, np.int64)
    assert float(tg.mean(tg.Tensor(stamps))) == np.float32(1.7e18)
    assert float(tg.std(tg.Tensor(np.array([1_700_000_001, 1_700_000_003])))) == 1
    near = stamps[:2] + np.array([0, 2])
    assert float(tg.std(tg.Tensor(near))) == 1
    assert tg.std(tg.Tensor(near)).dtype == np.float32


def test_means_and_ties_of_more_elements_than_float16_counts():
    for f in (tg.mean, tg.max, tg.min):
        x = tg.Tensor(np.zeros(100_000, np.float16), requires_grad=True)
        f(x).backward()
        np.testing.assert_allclose(x.grad.numpy(), 1e-5, rtol=0.01)


@pytest.mark.parametrize("value", [1e25, 1e-25])
def test_norms_neither_over_nor_underflow(value):
    for dtype, scale in ((np.float32, 1), (np.float64, 1e200 if value > 1 else 1e-200)):
        x = tg.Tensor(np.array([value * scale] * 2, dtype), requires_grad=True)
        for order in (2, 3, math.inf):
            y = tg.norm(x, ord=order)
            np.testing.assert_allclose(y.numpy(), value * scale * 2 ** (1 / order), rtol=1e-6)
        tg.norm(x).backward()
        np.testing.assert_allclose(x.grad.numpy(), 0.5**0.5, rtol=1e-6)


def test_harmless_underflow_is_no_error():
    with np.errstate(all="raise"):
        for f in (tg.logsumexp, lambda x: tg.softmax(x).sum(), lambda x: tg.log_softmax(x)[0]):
            x = tg.Tensor(np.array([0.0, -200.0], np.float32), requires_grad=True)
            f(x).backward()
            assert np.isfinite(x.grad.numpy()).all()
