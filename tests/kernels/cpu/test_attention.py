"""Attention of the CPU at its edges: blocks of queries that see nothing, large masks."""

import importlib

import numpy as np
import pytest
from cpu_threads import on_threads
from tinygrad_like.kernels import reference
from tinygrad_like.kernels.cpu.machine import memory

attention = importlib.import_module("tinygrad_like.kernels.cpu.attention.kernels")


@pytest.fixture
def poisoned(monkeypatch):
    """New memory that is not zero: NaN, as what a block of freed memory may hold."""

    def poisoned_empty(shape, dtype):
        array = memory_empty(shape, dtype)
        array.fill(np.nan)
        return array

    memory_empty = memory.empty
    monkeypatch.setattr(memory, "empty", poisoned_empty)


def qkv(t, s, heads=2, d=8, dtype=np.float32):
    rng = np.random.default_rng(0)
    return [rng.standard_normal((2, heads, n, d)).astype(dtype) for n in (t, s, s)]


def both(call):
    """The same call of the CPU's kernels and of the reference's."""
    return zip(call(attention), call(reference), strict=True)


@pytest.mark.parametrize("mask", [None, "bool", "added"])
@pytest.mark.parametrize("apart", [False, True], ids=["heads first", "positions first"])
def test_blocks_of_queries_that_see_no_key_are_zeros(poisoned, apart, mask):
    """Causal, 300 queries and 40 keys: the first 260 see nothing, four whole blocks of 64."""
    t, s = 300, 40
    q, k, v = qkv(t, s)
    g = np.random.default_rng(1).standard_normal(q.shape).astype(q.dtype)
    if apart:  # as they come from a linear layer
        q, k, v, g = (x.transpose(0, 2, 1, 3).copy().transpose(0, 2, 1, 3) for x in (q, k, v, g))
    if mask:
        mask = np.ones((2, 1, t, s), bool) if mask == "bool" else np.zeros((2, 1, t, s), q.dtype)
    how = mask, True, 0.3, 0.0, 0, 0

    def call(kernels):
        out, sums = kernels.attention(q, k, v, *how)
        needs = True, True, True, mask is not None and mask.dtype != bool
        return out, sums, *kernels.attention_backward(g, q, k, v, out, sums, *how, needs)

    for ours, expected in both(call):
        if expected is not None:
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    out, sums, dq, *_ = call(attention)
    for x in (out, *sums, dq):
        assert not x[:, :, : t - s].any()
    assert out[:, :, t - s :].all()


@pytest.mark.parametrize("most", [1, 40 * 24, 2 * 40 * 24])
def test_the_gradient_of_a_mask_of_more_numbers_than_partial_sums_may_have(monkeypatch, most):
    """One sum for each thread if all fit into MOST_PARTS elements, else one for all threads."""
    monkeypatch.setattr(attention, "MOST_PARTS", most)
    t, s = 40, 24
    q, k, v = qkv(t, s)
    g = np.random.default_rng(1).standard_normal(q.shape).astype(q.dtype)
    mask = np.random.default_rng(2).standard_normal((1, 1, t, s)).astype(q.dtype)
    how = mask, False, 0.3, 0.0, 0, 0
    parts = []
    backward = attention.run_attention_backward

    def observed(*args):
        parts.append(next(a[-1] for a in args[1:] if getattr(a[-1], "ndim", 0) == 5).shape[0])
        backward(*args)

    monkeypatch.setattr(attention, "run_attention_backward", observed)

    def call(kernels):
        out, sums = kernels.attention(q, k, v, *how)
        return kernels.attention_backward(g, q, k, v, out, sums, *how, (True,) * 4)

    with on_threads(2):
        for ours, expected in both(call):
            np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    assert parts == [2 if most == 2 * t * s else 1]
