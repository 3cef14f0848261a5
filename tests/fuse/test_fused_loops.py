"""Loops as data: their passes, and the texts that are made of them."""

import importlib

import numpy as np
import pytest
from needed import needs_numba
from tinygrad_like.kernels.loop import FULL, ROW, Loop, Output, Step, passes

import tinygrad_like as tg

pytestmark = pytest.mark.long  # each function is compiled

SOFTMAX = Loop(
    (FULL,),
    0,
    (
        Step("max", ("x0",), ROW),
        Step("subtract", ("x0", "v0"), FULL),
        Step("exp", ("v1",), FULL),
        Step("sum", ("v2",), ROW),
        Step("quotient", ("v2", "v3"), FULL),
    ),
    (Output(FULL, "v4"),),
)


def test_a_reduction_ends_a_pass():
    first, second, third = passes(SOFTMAX)
    assert (first.steps, first.reduced) == ([], ["v0"])
    assert (second.steps, second.reduced, second.keeps) == (["v1", "v2"], ["v3"], ["v2"])
    assert (third.steps, third.kept, third.written) == (["v4"], ["v2"], [0])


def test_without_keeping_a_pass_computes_anew():
    *_, third = passes(SOFTMAX, keeping=False)
    assert (third.steps, third.kept) == (["v1", "v2", "v4"], [])


def test_equal_loops_are_one():
    again = Loop(SOFTMAX.inputs, SOFTMAX.numbers, SOFTMAX.steps, SOFTMAX.outputs)
    assert again == SOFTMAX
    assert len({again, SOFTMAX}) == 1
    assert not SOFTMAX.is_flat


@needs_numba
@pytest.mark.parametrize("vectors", [True, False])
def test_both_innermost_loops_compute_the_same(vectors):
    """By vectors, where the processor has tables in its registers, and element by element."""
    kernels = importlib.import_module("tinygrad_like.kernels.cpu.fused.kernels")
    if vectors and not kernels.lookup.AVAILABLE:
        pytest.skip("this processor has no registers for tables")
    function = kernels._compiled(str(kernels.Text(SOFTMAX, vectors)), vectors, kernels.TASK)
    x = np.random.default_rng(0).normal(size=(7, 600)).astype(np.float32)
    y = np.empty(x.size, np.float32)
    numbers = np.zeros(1, np.float32)
    function(kernels.pool(), 7, 600, x.size, numbers, x.reshape(-1), y)
    np.testing.assert_allclose(y.reshape(x.shape), tg.softmax(x), rtol=1e-6)


@pytest.mark.parametrize("target", ["cpu.fused.text", "cuda.fused"])
def test_a_text_is_always_the_same(target):
    text = importlib.import_module(f"tinygrad_like.kernels.{target}").Text
    args = (SOFTMAX, True) if target.startswith("cpu") else (SOFTMAX,)
    assert str(text(*args)) == str(text(*args))
    assert "exp" in str(text(*args))
