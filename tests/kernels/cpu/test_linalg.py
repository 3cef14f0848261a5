"""Matrix products on the CPU whose sums are long: right for every shape, and without copies."""

import math
import tracemalloc

import numpy as np
import pytest
from tinygrad_like.kernels import cpu
from tinygrad_like.kernels.cpu.products import linalg, outer, packed_gemm

LONG = packed_gemm.LONG + 1000  # products: more than are added up in float32


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def check(a, b, bias=None):
    """The product is that of float64, to 4 units and half a one for each doubling of the sum."""
    true = a.astype(np.float64) @ b.astype(np.float64)
    y = cpu.matmul(a, b) if bias is None else cpu.linear(a, b, bias)
    true = true if bias is None else true + bias
    assert y.shape == true.shape
    assert y.dtype == np.float32
    error = np.abs(y - true).max() / np.abs(true).max() / np.finfo(np.float32).eps
    assert error <= 4 + math.log2(a.shape[-1]) / 2


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 32768), (32768, 1)),
        ((4, 32768), (32768, 2)),
        ((2, 300_000), (300_000, 1)),
        ((32768,), (32768,)),
        ((32768,), (32768, 4)),
        ((5, 32768), (32768,)),
        ((LONG,), (LONG, 70)),
        ((3, 5, LONG), (3, LONG, 6)),
        ((3, 2, LONG), (3, LONG, 3)),
        ((4, 5, LONG), (1, LONG, 6)),
        ((5, LONG), (3, LONG, 6)),
        ((140, LONG), (LONG, 1601)),  # A is packed, and the columns meet in two turns
        ((3, LONG), (LONG, 1601)),
        ((0, LONG), (LONG, 3)),
        ((2, 0, LONG), (2, LONG, 3)),
        ((2, 0), (0, 3)),
    ],
)
def test_long_sums(left, right):
    for transposed in (False, True):
        a, b = (numbers(*shape, seed=i) for i, shape in enumerate((left, right)))
        if transposed:
            a, b = (np.asfortranarray(x) for x in (a, b))
        if math.prod(left) == 0:
            np.testing.assert_array_equal(cpu.matmul(a, b), a @ b)
        else:
            check(a, b)


FAR = outer.FAR // 4 // 1024  # vectors of 1,024 elements that caches do not keep


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3, 5, 1), (3, 1, 7)),
        ((300, 33, 1), (300, 1, 17)),
        ((2, 300, 70, 1), (2, 300, 1, 16)),
        ((1, 70_000, 1), (1, 1, 3)),
        ((20, 70, 1), (1, 1, 300)),
        ((1, FAR + 1, 1), (1, 1, 1024)),  # written past the caches
        ((3, FAR // 2, 1), (3, 1, 1000)),  # rows that begin anywhere
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outer_products_of_a_stack(left, right, dtype):
    a, b = numbers(*left).astype(dtype), numbers(*right, seed=1).astype(dtype)
    a.flat[0], b.flat[-1] = np.inf, np.nan
    np.testing.assert_array_equal(cpu.matmul(a, b), a * b)
    known = len(outer._outer.signatures)
    for x in (a, b):
        x.flags.writeable = False
    transposed = cpu.matmul(b.swapaxes(-1, -2), a.swapaxes(-1, -2))
    np.testing.assert_array_equal(transposed, (a * b).swapaxes(-1, -2))
    assert len(outer._outer.signatures) == known


@pytest.mark.parametrize("shape", [(3, 5), (200, 300), (2, 3, 5), (5,)])
def test_a_product_with_a_column_warns_of_nothing(shape):
    """Whether it is invalid cannot be told from what OpenBLAS computes beside it, see _of_blas."""
    a, b = np.full(shape, np.inf, np.float32), np.zeros((shape[-1], 1), np.float32)
    assert np.isnan(cpu.matmul(a, b)).all()


@pytest.mark.parametrize("outputs", [2, 40])
@pytest.mark.parametrize("rows", [1, 7])
def test_long_rows_with_a_bias(rows, outputs):
    for k in (1000, 100_000):
        check(numbers(rows, k), numbers(k, outputs, seed=1), 100 * numbers(outputs, seed=2))


def test_equal_numbers_lose_nothing_in_narrow_products():
    for k in (500, 300_000):
        check(np.full((2, k), np.float32(0.1)), np.full((k, 3), np.float32(0.7)))


def test_gradients_that_are_one_number_repeated():
    check(numbers(9000, 30).T, np.broadcast_to(np.float32(0.3), (9000, 20)))


@pytest.mark.parametrize("k", [10, 40_000])
def test_shapes_that_do_not_fit(k):
    for a, b in (((2, k), (k - 1, 3)), ((k,), (k + 1,)), ((2, 2, k), (2, k - 1, 3)), ((), (k, 3))):
        with pytest.raises(ValueError, match=r"matmul|aligned"):
            cpu.matmul(np.ones(a, np.float32), np.ones(b, np.float32))
    with pytest.raises(ValueError, match=r"matmul|aligned"):
        cpu.linear(numbers(2, k), numbers(k - 1, 3), numbers(3))


def test_a_long_product_copies_no_operand():
    a, b = numbers(20, 100_000), numbers(30, 100_000)
    cpu.matmul(a, b.T)
    tracemalloc.start()
    try:
        cpu.matmul(a, b.T)
        assert tracemalloc.get_traced_memory()[1] < a.nbytes / 4
    finally:
        tracemalloc.stop()


def test_read_only_arrays_are_not_compiled_for():
    a, b = numbers(4, 3000), numbers(3000, 40)
    cpu.matmul(a, b)
    known = len(linalg._matmul.signatures)
    a.flags.writeable = b.flags.writeable = False
    check(a, b)
    assert len(linalg._matmul.signatures) == known
