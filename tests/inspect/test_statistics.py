"""Statistics: those of NumPy, however the numbers come."""

import numpy as np
import pytest

import tinygrad_like as tg
from tinygrad_like.inspect import Statistics

RNG = np.random.default_rng(0)
PIECES = {
    "normal": [RNG.standard_normal((7, 9)) for _ in range(5)],
    "growing": [RNG.standard_normal(50) * 10.0**k for k in range(-3, 6)],
    "far from zero": [1000 + RNG.random(20), -5 + RNG.random(3)],
    "zeros first": [np.zeros(4), RNG.random(3), np.zeros((0, 2)), -RNG.random(9)],
    "of one value": [np.full(5, 3.25), np.full(2, 3.25)],
    "float16": [RNG.standard_normal(30).astype(np.float16)],
    "a number": [np.array(2.0)],
}


@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
def test_they_are_those_of_all_numbers_together(pieces):
    seen = Statistics()
    for piece in pieces:
        seen.add(tg.Tensor(piece))
    every = np.concatenate([p.ravel().astype(np.float64) for p in pieces])
    assert seen.count == every.size
    np.testing.assert_allclose([seen.mean, seen.std], [every.mean(), every.std()], atol=1e-12)
    assert (seen.min, seen.max) == (every.min(), every.max())
    assert seen.zeros == np.mean(every == 0)
    np.testing.assert_allclose(seen.norm, np.linalg.norm(every))
    counts, edges = seen.histogram
    assert counts.sum() == every.size
    np.testing.assert_array_equal(counts, np.histogram(every, edges)[0])


def test_what_is_not_finite_is_counted_apart():
    seen = Statistics()
    seen.add(np.array([np.nan, 1.0, np.inf, 3.0, -np.inf, 1e200]))
    assert (seen.count, seen.nonfinite, seen.mean, seen.max) == (2, 4, 2.0, 3.0)
    assert "nonfinite=4" in repr(seen)
    seen = Statistics()
    seen.add(np.array([np.nan]))
    assert repr(seen) == "Statistics(count=0, nonfinite=1)"
    assert (seen.std, seen.norm, seen.zeros, seen.histogram[0].sum()) == (0, 0, 0, 0)


def test_of_complex_numbers_it_is_the_absolute_values():
    seen = Statistics()
    seen.add(tg.Tensor([3 + 4j, 0]))
    assert (seen.mean, seen.max) == (2.5, 5.0)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e149])
def test_extreme_scales(scale):
    seen, x = Statistics(), RNG.standard_normal(100)
    seen.add(x)
    seen.add(x * scale)
    assert seen.histogram[0].sum() == 200
    assert np.isfinite(seen.std)


@pytest.mark.parametrize(
    ("x", "got"),
    [([1.0, 2.0], "a list"), (2.0, "a float"), (np.array(["a"]), "an array of <U1")],
)
def test_what_holds_no_numbers_is_refused(x, got):
    with pytest.raises(TypeError, match=rf"\[Statistics\] x is {got}, expected a Tensor or an"):
        Statistics().add(x)
