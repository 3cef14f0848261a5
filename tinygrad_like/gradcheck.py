"""gradcheck: the derivatives of a function, of order 1 and higher, against numerical ones.

Two numerical derivatives are used. The complex step, Im f(x + ih) / h, is exact to rounding for
functions made of analytic steps (Squire and Trapp 1998, "Using complex variables to estimate
derivatives of real functions"). Where the function does not allow it (abs, LAPACK, a cast),
a central difference of order 6 takes its place, which is off by about 1e-10.

A complex input is differentiated by its real and its imaginary part, and a complex output weighted
by complex numbers, by differences alone: a complex step could not be told from the numbers.
"""

import warnings

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import (
    Tensor,
    backend_of,
    check_choice,
    check_integer,
    check_number,
    complex_steps,
    errors,
    gradients,
    leaf,
    mode,
    real,
)
from tinygrad_like.ops.elements.complex import complex as of_parts

COMPLEX_STEP = 1e-30
DIFFERENCE_STEP = 1e-3
# Fornberg 1988, "Generation of finite difference formulas", table 1: order 6.
PARTS = {np.dtype(np.float64): ("",), np.dtype(np.complex128): ("real", "imag")}
STENCIL = ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))


class GradientError(ValueError):
    """A computed gradient differs from the numerical one (or f cannot be checked).

    Attributes:
        order, input, index: of the derivative that differs (None for a direction).
        computed, numerical: both numbers.
    """

    order = input = index = computed = numerical = None


def gradcheck(f, *inputs, order=2, directions=None, method="auto", rtol=None, seed=0):
    """Check the derivatives of `f` up to `order`; returns True or raises.

    Args:
        f: a function of Tensors that returns a Tensor or a tuple of Tensors. It must be
            deterministic: seed random ops inside it.
        inputs: float64 or complex128 arrays or Tensors to differentiate by; others (integers,
            None) are passed on as they are. Keep them away from kinks by more than 0.01.
        order: 1 checks gradients, 2 also gradients of gradients, and so on.
        directions: None compares every element of the gradients; a number compares derivatives
            along so many random directions, which is cheap for large inputs.
        method: `"complex"`, `"differences"`, or `"auto"`: complex where f allows it.
        rtol: how much the numbers may differ, relatively: 1e-8 for complex steps, 1e-7 for
            differences by default.

    Raises:
        GradientError: naming the order, the input, the index and both numbers.
        TypeError, ValueError: for inputs that are neither float64 nor complex128, or a function
            that gives different values when called twice.
    """
    name = "gradcheck"
    if not callable(f):
        raise TypeError(f"[{name}] f is {errors.describe(f)}, expected a function of Tensors")
    check_choice(name, "method", method, ("auto", "complex", "differences"))
    check_integer(name, "order", order, least=1)
    if directions is not None:
        check_integer(name, "directions", directions, least=1)
    if rtol is not None:
        check_number(name, "rtol", rtol, 0)
    check = _Check(f, inputs, np.random.default_rng(seed))
    for k in range(1, order + 1):
        check.order_k(k, directions, method, rtol)
    return True


class _Check:
    """A function made scalar: each output, and each gradient, is weighted by fixed random numbers.

    Level 1 is s1(x) = sum(f(x) * w), level k + 1 the sum of the gradients of level k by weights.
    """

    def __init__(self, f, inputs, rng):
        self.f, self.rng, self.weights = f, rng, {}
        self.inputs = [_raw(x) for x in inputs]
        self.is_real = True  # whether no input and no output is complex
        self.active = []  # (number of the input, part of it) of each array to differentiate by
        for i, x in enumerate(self.inputs):
            if not _is_float(x):
                continue
            if x.dtype not in PARTS:
                raise TypeError(
                    f"[gradcheck] input {i} has dtype {x.dtype}, expected float64 or complex128: "
                    "lower precision cannot tell a wrong gradient from rounding"
                )
            self.active += [(i, part) for part in PARTS[x.dtype]]
            self.is_real &= x.dtype.kind != "c"
        if not self.active:
            raise TypeError("[gradcheck] no input is a float64 or complex128 array or Tensor")
        first, again = self.level(1, self.points()), self.level(1, self.points())
        if not np.array_equal(first, again, equal_nan=True):
            raise ValueError(
                f"[gradcheck] f gives {first} and then {again} for the same inputs; "
                "make it deterministic (call tg.seed inside it)"
            )

    def points(self, dtype=None):
        """The arrays to differentiate by, copied."""
        arrays = [getattr(self.inputs[i], part or "real") for i, part in self.active]
        return [x.astype(dtype or np.float64) for x in arrays]

    def scalar(self, k, tensors):
        """Level k as a Tensor that hangs on `tensors`."""
        if k == 1:
            terms = self.f(*self.arguments(tensors))
            terms = terms if isinstance(terms, (tuple, list)) else [terms]
            if not all(isinstance(y, Tensor) for y in terms):
                raise TypeError("[gradcheck] f must return a Tensor or a tuple of Tensors")
            terms = [y for y in terms if y.dtype.kind in INEXACT]
            if not mode.steps and any(y.dtype.kind == "c" for y in terms):
                self.is_real = False
        else:
            terms = gradients([self.scalar(k - 1, tensors)], tensors, create_graph=True)
        total = Tensor(0.0, dtype=np.float64)
        for j, term in enumerate(terms):
            weighted = term * self.weight(k, j, term)
            total = total + (weighted if mode.steps else real(weighted)).sum()
        return total

    def arguments(self, tensors):
        """f's arguments, in which these Tensors stand for the arrays to differentiate by."""
        args = list(self.inputs)
        for (i, part), t in zip(self.active, tensors, strict=True):
            args[i] = of_parts(args[i], t) if part == "imag" else t  # the real part came before
        return args

    def weight(self, k, j, like):
        key = k, j, like.shape
        if key not in self.weights:
            self.weights[key] = self.drawn(like.shape)
            if like.dtype.kind == "c" and not mode.steps:
                self.weights[key] = self.weights[key] + 1j * self.drawn(like.shape)
        return backend_of(like).from_host(self.weights[key])

    def drawn(self, shape):
        return self.rng.uniform(0.5, 1.5, shape) * self.rng.choice([-1.0, 1.0], shape)

    def level(self, k, points):
        """Level k as a number, at arrays that may be complex."""
        return self.scalar(k, [leaf(x) for x in points]).data.item()

    def order_k(self, k, directions, method, rtol):
        tensors = [leaf(x) for x in self.points()]
        value = self.scalar(k, tensors)
        computed = [backend_of(g).to_host(g.data) for g in gradients([value], tensors)]
        scale = max([abs(value.item()), *(float(np.abs(g).max()) for g in computed if g.size)])
        complex_works = method != "differences" and self.allows_complex(k, value.item())
        if method == "complex" and not complex_works:
            raise ValueError("[gradcheck] f does not allow complex steps; use method='auto'")
        for place, direction, number in self.steps(computed, directions):
            numerical, tolerance = None, rtol or 1e-8
            if complex_works:
                numerical = self.complex_step(k, direction)
            if not complex_works or (
                method == "auto" and not _close(number, numerical, tolerance, 1e-13 * scale)
            ):
                # A function can be smooth and yet not analytic, as |x|^2: differences decide.
                numerical, tolerance = self.difference(k, direction), rtol or 1e-7
            if not _close(number, numerical, tolerance, 1e-11 * max(scale, 1e-300)):
                raise _error(k, self.active, place, number, numerical, tolerance)

    def steps(self, computed, directions):
        """(place, direction, computed derivative along it) for each comparison to make."""
        if directions is not None:
            for _ in range(directions):
                direction = [self.rng.standard_normal(g.shape) for g in computed]
                along = sum(float((g * d).sum()) for g, d in zip(computed, direction, strict=True))
                yield None, direction, along
            return
        for i, g in enumerate(computed):
            for index in np.ndindex(g.shape):
                direction = [np.zeros(h.shape) for h in computed]
                direction[i][index] = 1.0
                yield (i, index), direction, float(g[index])

    def moved(self, direction, step, dtype=None):
        points = self.points(dtype)
        for x, d in zip(points, direction, strict=True):
            x += backend.of(x).from_host(np.asarray(d * step))
        return points

    def allows_complex(self, k, value):
        """Whether level k takes complex arrays, stays complex, and has the same real part."""
        if not self.is_real:
            return False
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings(), complex_steps():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                result = self.level(k, self.moved(self.zeros(), 0.0, np.complex128))
        except Exception:  # any op may refuse complex numbers in its own way
            return False
        return isinstance(result, complex) and _close(result.real, value, 1e-10, 1e-12)

    def zeros(self):
        return [np.zeros(self.inputs[i].shape) for i, _ in self.active]

    def complex_step(self, k, direction):
        moved = self.moved(direction, 1j * COMPLEX_STEP, np.complex128)
        with complex_steps():
            return self.level(k, moved).imag / COMPLEX_STEP

    def difference(self, k, direction):
        return (
            sum(
                weight
                * (
                    self.level(k, self.moved(direction, n * DIFFERENCE_STEP))
                    - self.level(k, self.moved(direction, -n * DIFFERENCE_STEP))
                )
                for n, weight in STENCIL
            )
            / DIFFERENCE_STEP
        )


def _raw(x):
    return x.data if isinstance(x, Tensor) else np.asarray(x) if isinstance(x, float) else x


def _is_float(x):
    return backend.of(x) is not None and x.dtype.kind in INEXACT


def _close(a, b, rtol, atol):
    """Whether two numbers agree; NaN agrees with nothing."""
    return abs(a - b) <= rtol * max(abs(a), abs(b)) + atol


def _error(order, active, place, computed, numerical, tolerance):
    where = "along a random direction"
    if place is not None:
        number, part = active[place[0]]
        where = f"input {number}, index {place[1]}{part and f', .{part}'}"
    error = GradientError(
        f"[gradcheck] order {order}, {where}: computed {computed!r}, numerical {numerical!r} "
        f"(they differ by {abs(computed - numerical):.3g}, relative tolerance {tolerance:g})"
    )
    error.order, error.computed, error.numerical = order, computed, numerical
    if place is not None:
        error.input, error.index = active[place[0]][0], place[1]
    return error
