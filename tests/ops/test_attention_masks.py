"""Attention's gradients where scores are large: rows lowered by a finite mask, and large products.

All numbers are such that each score, rounded once, is the same in any order of its additions:
the true gradients are those of a softmax in float64 of just these scores. What a mask or a product
adds to all scores of a query must not show in them, however many of the scores' digits it takes.
"""

import ml_dtypes
import numpy as np
import pytest
from needed import needs_emulator, needs_numba
from tinygrad_like.kernels import cuda, reference

from tinygrad_like import backend

xp = cuda.emulator.xp
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.float16), BFLOAT16]
T, S, D = 5, 70, 4  # keys of more than one tile

every_table = pytest.mark.parametrize(
    "kernels",
    [
        pytest.param(reference, id="reference"),
        pytest.param(backend.CPU.tables["ours"], id="cpu", marks=needs_numba),
        pytest.param(cuda, id="cuda", marks=needs_emulator),
    ],
)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def least(dtype):
    return float(ml_dtypes.finfo(dtype).min)


def drawn(*shapes):
    """Arrays of small whole numbers."""
    rng = np.random.default_rng(0)
    return [rng.integers(-2, 3, shape).astype(np.float64) for shape in shapes]


def inputs():
    """g, q, k and v of two query heads that share a key head."""
    return drawn((1, 2, T, 3), (1, 2, T, D), (1, 1, S, D), (1, 1, S, 3))


def results(kernels, arrays, mask, scale):
    """(sums, dq, dk, dv, dmask) as NumPy arrays; without a mask no dmask."""
    on_device = kernels is cuda
    g, q, k, v, mask = (
        xp.asarray(x) if on_device and x is not None else x for x in (*arrays, mask)
    )
    how = mask, False, scale, 0.0, 0, 0
    out, sums = kernels.attention(q, k, v, *how)
    needs = True, True, True, mask is not None
    grads = kernels.attention_backward(g, q, k, v, out, sums, *how, needs)
    assert sums.flags.c_contiguous
    found = [x for x in (sums, *grads) if x is not None]
    return [xp.asnumpy(x) if on_device else x for x in found]


def true_results(arrays, mask, scale, wide):
    """As `results`, and what each may be off by for an error of 1 in all that it is made of."""
    g, q, k, v = (x.astype(np.float64) for x in arrays)
    scores = np.einsum("nhtd,nosd->nhts", q, k) * scale
    if mask is not None:
        scores += mask.astype(np.float64)
    scores = scores.astype(wide).astype(np.float64)
    peak = scores.max(-1, keepdims=True)
    total = np.exp(scores - peak).sum(-1, keepdims=True)
    sums = np.stack([peak[..., 0], np.log(total)[..., 0]])
    weights = np.exp(scores - peak) / total
    by_weight = np.einsum("nhtv,nosv->nhts", g, v)
    dscores = weights * (by_weight - (weights * by_weight).sum(-1, keepdims=True))
    large = np.einsum("nhtv,nosv->nhts", abs(g), abs(v))
    large = weights * (large + (weights * large).sum(-1, keepdims=True))

    def gradients(dscores, weights, g, q, k):
        dq = np.einsum("nhts,nosd->nhtd", dscores, k) * scale
        dk = np.einsum("nhts,nhtd->nsd", dscores, q)[:, None] * scale
        dv = np.einsum("nhts,nhtv->nsv", weights, g)[:, None]
        return [dq, dk, dv, *([] if mask is None else [dscores])]

    true = [sums, *gradients(dscores, weights, g, q, k)]
    return true, [abs(sums), *gradients(large, weights, abs(g), abs(q), abs(k))]


def check(kernels, arrays, mask, scale, dtype):
    arrays = [x.astype(dtype) for x in arrays]
    mask = None if mask is None else mask.astype(dtype)
    wide = np.float64 if dtype == np.float64 else np.float32
    found = results(kernels, arrays, mask, scale)
    assert found[0].dtype == wide
    names = "sums", "dq", "dk", "dv", "dmask"
    true, large = true_results(arrays, mask, scale, wide)
    for name, x, y, most in zip(names, found, true, large, strict=False):
        eps = ml_dtypes.finfo(wide if name == "sums" else dtype).eps
        assert x.shape == y.shape, name
        wrong = abs(x.astype(np.float64) - y) > 16 * eps * (most + ml_dtypes.finfo(dtype).tiny)
        assert not wrong.any(), f"{name}: {x[wrong][:4]}, not {y[wrong][:4]}"


def lowered(by):
    """A mask that lowers all scores of query 1, half of those of query 2, and some by 1."""
    mask = np.zeros((1, 2, T, S))
    mask[..., ::3] = -1
    mask[:, :, 1] = by
    mask[:, :, 2, : S // 2] = by
    return mask


@every_table
@pytest.mark.parametrize(
    ("dtype", "by"),
    [(dtype, by) for dtype in DTYPES for by in (least(dtype), -1e9, -1e4) if by >= least(dtype)],
    ids=str,
)
def test_a_row_masked_wholly_by_a_finite_number(kernels, dtype, by):
    check(kernels, inputs(), lowered(by), 0.5, dtype)


@every_table
@every_dtype
@pytest.mark.parametrize("power", [13, 17, 20, 23])
def test_large_scores_that_differ_by_little(kernels, dtype, power):
    """Near 2^13 to 2^23, both of one sign: 1 of 2^23, in float32, is the distance to the next."""
    g, q, k, v = inputs()
    k[..., 0] = 2.0 ** (power // 2)
    q[..., 0] = 2.0 ** (power - power // 2)
    q[:, 1, :, 0] *= -1
    check(kernels, (g, q, k, v), None, 1.0, dtype)


@needs_emulator
@pytest.mark.parametrize("dtype", [np.dtype(np.float16), BFLOAT16], ids=str)
def test_half_types_without_tensor_cores(dtype):
    with cuda.emulator.run(capability=75):
        check(cuda, inputs(), lowered(least(dtype)), 0.5, dtype)


@every_table
def test_the_gradient_of_values_of_a_row_masked_by_the_least_number_adds_up_to_one(kernels):
    """It was 16, for 16 keys: the logarithm of 16 was lost beside the mask's number."""
    g, q, k, v = (np.ones((1, 1, n, 1), np.float32) for n in (1, 1, 16, 16))
    mask = np.full((1, 1, 1, 16), np.finfo(np.float32).min)
    sums, _, _, dv, dmask = results(kernels, (g, q, k, v), mask, 1.0)
    np.testing.assert_array_equal(sums.ravel(), [mask[0, 0, 0, 0], np.float32(np.log(16))])
    np.testing.assert_allclose(dv, 1 / 16, rtol=1e-6)
    np.testing.assert_allclose(dmask, 0, atol=1e-6)
