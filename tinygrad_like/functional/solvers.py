"""The solvers of implicit.py: they run outside the graph, and count their steps.

    solve                 z with z = step(z), by iteration or Anderson's method
    newton                z where the slope of an objective is zero
    conjugate_gradients   x with times(x) = b

Inside vmap all examples are one system: norms and products are sums over them all.
"""

import math
from typing import NamedTuple

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import Batched, Tensor, astype
from tinygrad_like.functional.derivatives import vjp
from tinygrad_like.ops.arrays.create import zeros_like
from tinygrad_like.ops.arrays.shape import stack

MEMORY = 5  # how many earlier steps Anderson's method combines
HALVINGS = 40  # of a step of Newton's method, at most
DESCENT = 1e-4  # the part of the promised descent that a step must reach (Armijo)


class ConvergenceError(RuntimeError):
    """A solver did not reach its tolerance.

    Attributes:
        residual: how far from zero the equation was in the end, a float.
        steps: how many steps were made.
    """

    def __init__(self, message, residual, steps):
        super().__init__(message)
        self.residual, self.steps = residual, steps


class Convergence(NamedTuple):
    """How a solver came to its solution.

    Attributes:
        steps: how often `fixed_point` computed f, or how many steps `argmin` made; None for a
            solver of your own.
        residual: the norm that is at most the tolerance's bound, as in ConvergenceError.
    """

    steps: int | None
    residual: float


class Options(NamedTuple):
    """What the solvers have to heed."""

    owner: str
    tolerance: float
    max_steps: int
    solver: object


def norm(v):
    """The length of a vector, a Python float; inside vmap that of all examples together."""
    return math.sqrt(dot(v, v))


def dot(a, b):
    """The inner product, in float64: squares of float32 overflow at 2e19, of float16 at 256."""
    with np.errstate(over="ignore", invalid="ignore"):  # the solvers look for what is not finite
        return float(summed((_wide(a) * _wide(b)).sum()))


def _wide(x):
    return x if x.dtype == np.float64 else astype(x, dtype=np.float64)


def summed(x):
    """The values of a Tensor, a NumPy array; inside vmap their sum over all examples.

    So the examples of a vmap are one system, which is solved as a whole.
    """
    array, lead = x._array, 0
    while type(array) is Batched:
        array, lead = array.full()._array, lead + 1
    return backend.of(array).to_host(array).sum(axis=tuple(range(lead)))


def solve(step, z, options):
    """(a vector with z = step(z), the Convergence), by iteration.

    Anderson's method keeps differences of steps.
    """
    moves: list = []  # how step(z) changed in each of the last steps
    turns: list = []  # how its residual did
    before = None
    for count in range(1, options.max_steps + 1):
        after = step(z)
        residual = after - z
        size, enough = norm(residual), options.tolerance * (1 + norm(z))
        if not math.isfinite(size):
            raise stopped(options.owner, "the values are no longer finite", size, enough, count)
        if size <= enough:
            return z, Convergence(count, size)
        if options.solver == "anderson":
            if before is not None:
                moves = [*moves[-MEMORY + 1 :], after - before[0]]
                turns = [*turns[-MEMORY + 1 :], residual - before[1]]
            before = after, residual
            z = after - _combined(moves, turns, residual) if moves else after
        else:
            z = after
    raise stopped(options.owner, "z = f(z) was not reached", size, enough, options.max_steps)


def _combined(moves, turns, residual):
    """What Anderson's method takes off: moves, weighted as turns make up the residual best."""
    turns, moves = _wide(stack(turns)), stack(moves)
    products, against = summed(turns @ turns.T), summed(turns @ _wide(residual))
    weights = np.linalg.lstsq(products, against, rcond=None)[0]
    return Tensor(weights, dtype=residual.dtype, device=residual.device) @ moves


def conjugate_gradients(times, b, tolerance, options, *, give_up=True):
    """x with times(x) = b up to a relative tolerance (Hestenes and Stiefel 1952).

    Where the map turns out not to be positive definite, or steps run out, it raises
    ConvergenceError; without `give_up` it returns what it has, at least b.
    """
    x, r = zeros_like(b), b
    direction, size = r, dot(r, r)
    enough = (tolerance * math.sqrt(size)) ** 2
    steps = max(options.max_steps, b.size)
    for count in range(steps):
        if size <= enough:
            return x
        image = times(direction)
        curvature = dot(direction, image)
        if not curvature > 0:
            if not give_up:
                return x if count else b
            why = "the Hessian is not positive definite at the minimiser"
            raise stopped(options.owner, why, math.sqrt(size), math.sqrt(enough), count)
        x = x + direction * (size / curvature)
        r = r - image * (size / curvature)
        last, size = size, dot(r, r)
        direction = r + direction * (size / last)
    if size <= enough or not give_up:
        return x
    why = "conjugate gradients did not solve the linear system of the gradient"
    raise stopped(options.owner, why, math.sqrt(size), math.sqrt(enough), steps)


def newton(loss, slope, z, least, options):
    """(a minimiser, the Convergence); the norm of the slope is at most `least` there."""
    value = loss(z)
    for count in range(options.max_steps):
        down, times = vjp(slope, z, allow_unused=True)
        down = -down
        size = norm(down)
        if size <= least:
            return z, Convergence(count, size)
        if not math.isfinite(size):
            raise stopped(options.owner, "the slope is not finite", size, least, count)
        forcing = min(0.5, math.sqrt(size))
        move = conjugate_gradients(
            lambda v, times=times: times(v)[0], down, forcing, options, give_up=False
        )
        promised = dot(move, down)
        noise = 10 * float(np.finfo(z.dtype).eps) * abs(value)
        for halving in range(HALVINGS):
            there = z + move * 0.5**halving
            new = loss(there)
            if new <= value - DESCENT * 0.5**halving * promised + noise:
                break
        else:
            raise stopped(options.owner, "no step lowers the objective", size, least, count)
        z, value = there, new
    size = norm(slope(z))
    if size <= least:
        return z, Convergence(options.max_steps, size)
    raise stopped(options.owner, "no minimiser was found", size, least, options.max_steps)


def stopped(owner, why, residual, enough, steps):
    """The ConvergenceError of a solver that gave up, with what would help."""
    return ConvergenceError(
        f"[{owner}] {why}: the residual is {residual:.3g} after {steps} steps, expected at most "
        f"{enough:.3g}; start closer, raise tolerance or max_steps, or let f be a contraction",
        residual,
        steps,
    )
