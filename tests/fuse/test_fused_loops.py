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


# hardsigmoid of each element, and of one value for each row: 6 is a bound and a divisor
HARD = [("add", "c0"), ("maximum", "c1"), ("minimum", "c2"), ("quotient", "c2")]


def hardsigmoid(place):
    steps = [
        Step(name, ("x0" if k == 0 else f"v{k - 1}", number), place)
        for k, (name, number) in enumerate(HARD)
    ]
    return Loop((place,), 3, steps, (Output(place, "v3"),))


@needs_numba
@pytest.mark.parametrize("place", [FULL, ROW])
def test_a_number_may_divide_and_be_an_operand(place):
    """Of values of rows alone there is no pass."""
    kernels = importlib.import_module("tinygrad_like.kernels.cpu.fused.kernels")
    x = np.linspace(-4, 4, 12).reshape(3, 4) if place == FULL else np.linspace(-4, 4, 3)
    (y,) = kernels.fused(hardsigmoid(place), [x], np.array([3.0, 0, 6]), 3, 4, [x.shape])
    np.testing.assert_allclose(y, tg.hardsigmoid(x), rtol=1e-15)
    assert bool(passes(hardsigmoid(place))) == (place == FULL)


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
