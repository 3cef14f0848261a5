"""Implicit differentiation: solutions of equations, differentiated by the equation they solve.

    tg.implicit.fixed_point(f, z0, *args)       z with z = f(z, *args)
    tg.implicit.argmin(objective, z0, *args)    z that minimises objective(z, *args)

The gradient does not pass through the steps of a solver, which are not recorded: it takes the
memory of one step, however many were made. If F(z, x) = 0 defines z, then dz/dx = -(dF/dz)^-1
dF/dx, so a gradient g of z is carried back by solving a linear system with the transpose of dF/dz,
which is never formed. The solution of that system is implicit again, hence all orders exist.

z and the arguments are trees. What f closes over, such as the parameters of a Module, is
differentiated as well. Inside `vmap` all examples are solved as one system, and the norms that are
compared with tolerances are those of all examples together.

Source: Blondel et al. 2022, "Efficient and Modular Implicit Differentiation".
"""

import math
from functools import partial
from typing import NamedTuple

import numpy as np

from tinygrad_like import backend
from tinygrad_like.engine import (
    Batched,
    Tensor,
    astype,
    broadcast_to,
    check_choice,
    check_integer,
    check_number,
    enable_grad,
    errors,
    gradients,
    inside,
    mode,
    next_serial,
    no_grad,
    nodes_below,
    wrap,
)
from tinygrad_like.functional.custom import custom_gradient
from tinygrad_like.functional.derivatives import grad, vjp
from tinygrad_like.functional.evaluation import depends_on_recorded, function
from tinygrad_like.functional.trees import flatten
from tinygrad_like.ops.create import zeros, zeros_like
from tinygrad_like.ops.shape import concatenate, reshape, stack

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


def fixed_point(f, z0, *args, tolerance=None, max_steps=100, solver="anderson"):
    """The solution z of z = f(z, *args), differentiable by `args` and by what f closes over.

    Args:
        f: f(z, *args) returns a tree of Tensors like z. Near the solution it must be a contraction
            for "iterate"; Anderson's method often solves others as well.
        z0: where to start: a tree of Tensors, arrays or numbers. The solution has no gradient
            with respect to it.
        args: passed on to f.
        tolerance: the solution has |f(z) - z| <= tolerance (1 + |z|), in Euclidean norms over all
            leaves. By default eps^(2/3) of the dtype: 2.4e-5 for float32, 3.7e-11 for float64.
        max_steps: how often f may be computed; the same holds for the gradient's linear system.
        solver: "anderson" combines the last 5 steps; "iterate" repeats z = f(z).

    Returns:
        z, a tree of Tensors like z0.

    Raises:
        ConvergenceError: with the residual, if it is not reached; also in the backward pass.
        TypeError, ValueError: if f is no function, or returns other shapes than those of z.

    Sources: Anderson 1965, "Iterative Procedures for Nonlinear Integral Equations"; Bai et al.
    2019, "Deep Equilibrium Models".

    Example:
        >>> import tinygrad_like as tg
        >>> root = lambda x: tg.implicit.fixed_point(lambda z, x: (z + x / z) / 2, 1.0, x)
        >>> round(root(9.0).item(), 4), round(tg.grad(root)(9.0).item(), 4)  # 1 / (2 sqrt(9))
        (3.0, 0.1667)
    """
    f, owner = function("implicit.fixed_point", f), "implicit.fixed_point"
    check_choice(owner, "solver", solver, ("anderson", "iterate"))
    space = _Space(owner, z0)
    options = space.options(tolerance, max_steps, solver)
    z = _fixed_vector(lambda v: space.pack(f(space.unpack(v), *args)), space.start, options)
    return space.unpack(z)


def argmin(objective, z0, *args, solver=None, tolerance=None, max_steps=100):
    """The z that minimises objective(z, *args), differentiable by `args` and what it closes over.

    By default it is found by Newton's method, whose linear systems are solved with conjugate
    gradients (Nocedal and Wright 2006, "Numerical Optimization", algorithm 7.1). The gradient
    solves one such system with the Hessian at z, which must be positive definite there.

    Args:
        objective: returns a scalar Tensor, twice differentiable by z.
        z0: where to start: a tree of Tensors, arrays or numbers.
        args: passed on to the objective.
        solver: instead of Newton's method, solver(objective, z0, *args) returns a minimiser, a
            tree like z0; it may be any program and is not differentiated.
        tolerance: at the minimiser the objective's gradient has a norm of at most tolerance times
            (1 + its norm at z0). By default eps^(2/3) of the dtype, and 10 times that for a
            solver of your own. It is the relative tolerance of the linear systems, too.
        max_steps: of Newton's method, and for each linear system (if it has more unknowns than
            this, as many as it has unknowns).

    Returns:
        z, a tree of Tensors like z0.

    Raises:
        ConvergenceError: if it is not reached, the point of a solver is not stationary, or the
            Hessian is not positive definite.

    Example:
        >>> import numpy as np, tinygrad_like as tg
        >>> distance = lambda z, x: ((z - x) ** 2).sum() + (z**2).sum()
        >>> halfway = lambda x: tg.implicit.argmin(distance, np.zeros(2), x)
        >>> halfway(np.array([2.0, 4.0])).tolist()
        [1.0, 2.0]
        >>> tg.jacobian(halfway)(np.array([2.0, 4.0]))
        array([[0.5, 0. ],
               [0. , 0.5]])
    """
    objective, owner = function("implicit.argmin", objective), "implicit.argmin"
    if solver is not None and not callable(solver):
        raise TypeError(f"[{owner}] solver is {errors.describe(solver)}, expected a function")
    space = _Space(owner, z0)
    options = space.options(tolerance, max_steps, solver)
    slope = grad(lambda v: objective(space.unpack(v), *args))
    with no_grad():
        least = options.tolerance * (1 + _norm(slope(space.start)))
        if solver is None:
            loss = lambda v: float(_summed(objective(space.unpack(v), *args)))  # noqa: E731
            z = _newton(loss, slope, space.start, least, options)
        else:
            z = space.pack(solver(objective, z0, *args)).detach()
            residual, least = _norm(slope(z)), least if tolerance else 10 * least
            if not residual <= least:
                raise _stopped(owner, "the solver's point is not stationary", residual, least, 0)
    return space.unpack(_stationary(slope, z, options))


# Trees as vectors


class _Options(NamedTuple):
    """What the solvers have to heed."""

    owner: str
    tolerance: float
    max_steps: int
    solver: object


class _Space:
    """The vectors that stand for trees like `z0`: `pack` joins the leaves, `unpack` parts them."""

    def __init__(self, owner, z0):
        self.owner = owner
        leaves, self.build = flatten(z0)
        self.leaves = [x.detach() if isinstance(x, Tensor) else Tensor(x) for x in leaves]
        if not self.leaves:
            raise ValueError(f"[{owner}] z0 has no leaves, expected at least one Tensor")
        for path, x in zip(self.build.paths("z0"), self.leaves, strict=True):
            if x.dtype.kind != "f":
                raise TypeError(f"[{owner}] {path} is {x.dtype}, expected a floating dtype")
        self.start = self._joined(self.leaves)

    def _joined(self, leaves):
        return concatenate([reshape(x, (x.size,)) for x in leaves])

    def pack(self, tree):
        """The vector of a tree, which must have the shapes of z0."""
        leaves = self.build.leaves_of(tree, self.owner, "the new z")
        for i, (x, like) in enumerate(zip(leaves, self.leaves, strict=True)):
            if getattr(x, "shape", None) != like.shape:
                raise ValueError(
                    f"[{self.owner}] {self.build.paths('the new z')[i]} is {errors.describe(x)}, "
                    f"expected {like.shape}, the shape of z0"
                )
        leaves = [x if isinstance(x, Tensor) else Tensor(x) for x in leaves]
        vector = self._joined(leaves)
        dtype = self.start.dtype
        return vector if vector.dtype == dtype else astype(vector, dtype=dtype)

    def unpack(self, vector):
        """The tree of a vector, its leaves in the dtypes of z0."""
        leaves, start = [], 0
        for like in self.leaves:
            x = reshape(vector[start : start + like.size], like.shape)
            leaves.append(x if x.dtype == like.dtype else astype(x, dtype=like.dtype))
            start += like.size
        return self.build(leaves)

    def options(self, tolerance, max_steps, solver):
        """The options of a call, checked, with the tolerance that fits the dtype."""
        if tolerance is None:
            tolerance = max(float(np.finfo(x.dtype).eps) for x in self.leaves) ** (2 / 3)
        tolerance = check_number(self.owner, "tolerance", tolerance, 0)
        return _Options(
            self.owner, tolerance, check_integer(self.owner, "max_steps", max_steps, 1), solver
        )


def _norm(v):
    return math.sqrt(_dot(v, v))


def _dot(a, b):
    with np.errstate(over="ignore", invalid="ignore"):  # the solvers look for what is not finite
        return float(_summed((a * b).sum()))


def _summed(x):
    """The values of a Tensor, a NumPy array; inside vmap their sum over all examples.

    So the examples of a vmap are one system, which is solved as a whole.
    """
    array, lead = x._array, 0
    while type(array) is Batched:
        array, lead = array.full()._array, lead + 1
    return backend.of(array).to_host(array).sum(axis=tuple(range(lead)))


# Solutions with their gradients


def _fixed_vector(step, start, options):
    """The vector z = step(z)."""
    with no_grad():
        z = _solve(step, start, options)

    def adjoint(transpose, g):  # of step(z) - z: u + transpose(u) is step's own part
        return _fixed_vector(lambda u: g + u + transpose(u), g.detach(), options)

    return _recorded(lambda z: step(z) - z, z, adjoint)


def _stationary(slope, z, options):
    """The vector z, where the gradient `slope` is zero."""
    return _recorded(slope, z, lambda transpose, g: -_solution(transpose, g, options))


def _solution(times, b, options):
    """The vector x with times(x) = b, for a symmetric positive definite map."""
    with no_grad():
        x = _conjugate_gradients(times, b.detach(), options.tolerance, options)
    adjoint = lambda transpose, g: -_solution(transpose, g, options)  # noqa: E731
    return _recorded(lambda x: times(x) - b, x, adjoint)


def _recorded(equation, z, adjoint):
    """The vector z, with its gradient with respect to all that the equation depends on.

    Args:
        equation: a function that is zero at z.
        z: the solution, outside the graph.
        adjoint: adjoint(transpose, g) returns the u with transpose(u) = -g, where transpose
            is the vjp of the equation at z.
    """
    z = z.detach()
    if not mode.grad:
        return z
    start = next_serial()
    inputs = _older(equation(z), start)
    if mode.vmap is not None:
        z = _recorded_outside(mode.vmap, equation, z, adjoint)
    if not inputs:
        return z

    def pull_back(g):
        at = z.detach()
        if mode.grad:  # to be differentiated once more: in z as well, which depends on the inputs
            at = reshape(_recorded(equation, z, adjoint), z.shape)
        if not depends_on_recorded(nodes_below(at)):
            at = wrap(at._array).requires_grad_()
        with enable_grad():
            value = equation(at)
        again = partial(gradients, [value], retain_graph=True, partial=True)

        def transpose(u):
            return again([at], [u], create_graph=mode.grad)[0]

        u = adjoint(transpose, g)
        return tuple(again([*inputs, at], [u], create_graph=mode.grad)[:-1])

    return custom_gradient(lambda *inputs: (z, pull_back))(*inputs)


def _recorded_outside(level, equation, z, adjoint):
    """The vector z inside a vmap, with the history of all examples outside it, as one vector."""

    def of_all(v):
        with level.again():
            y = level.lifted(equation(level.example(reshape(v, (level.size, -1)))))
        return reshape(y.full(), (-1,))

    with level.outside():
        z = reshape(level.lifted(z).full(), (-1,))
        z = _recorded(of_all, z, adjoint)
        return level.example(reshape(z, (level.size, -1)))


def _older(value, start):
    """What a value was computed from, and was there before `start`: Tensors of zeros at its nodes.

    These are the arguments of the function that computed it, and what it closes over.
    """
    found, nodes = [], [] if value.node is None else [value.node]
    seen = set(nodes)
    for node in nodes:  # grows while it is walked
        if node.serial < start:
            zero = broadcast_to(zeros((), dtype=node.dtype, device=value.device), shape=node.shape)
            zero = inside(zero)
            zero.node = node
            found.append(zero)
            continue
        for parent in node.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                nodes.append(parent)
    return found


# Solvers, which run outside the graph


def _solve(step, z, options):
    """A vector with z = step(z), by iteration; Anderson's method keeps differences of steps."""
    moves: list = []  # how step(z) changed in each of the last steps
    turns: list = []  # how its residual did
    before = None
    for count in range(1, options.max_steps + 1):
        after = step(z)
        residual = after - z
        size, enough = _norm(residual), options.tolerance * (1 + _norm(z))
        if not math.isfinite(size):
            raise _stopped(options.owner, "the values are no longer finite", size, enough, count)
        if size <= enough:
            return z
        if options.solver == "anderson":
            if before is not None:
                moves = [*moves[-MEMORY + 1 :], after - before[0]]
                turns = [*turns[-MEMORY + 1 :], residual - before[1]]
            before = after, residual
            z = after - _combined(moves, turns, residual) if moves else after
        else:
            z = after
    raise _stopped(options.owner, "z = f(z) was not reached", size, enough, options.max_steps)


def _combined(moves, turns, residual):
    """What Anderson's method takes off: moves, weighted as turns make up the residual best."""
    turns, moves = stack(turns), stack(moves)
    products = _summed(turns @ turns.T).astype(np.float64)
    against = _summed(turns @ residual).astype(np.float64)
    weights = np.linalg.lstsq(products, against, rcond=None)[0]
    return Tensor(weights, dtype=residual.dtype, device=residual.device) @ moves


def _conjugate_gradients(times, b, tolerance, options, *, give_up=True):
    """x with times(x) = b up to a relative tolerance (Hestenes and Stiefel 1952).

    Where the map turns out not to be positive definite, or steps run out, it raises
    ConvergenceError; without `give_up` it returns what it has, at least b.
    """
    x, r = zeros_like(b), b
    direction, size = r, _dot(r, r)
    enough = (tolerance * math.sqrt(size)) ** 2
    steps = max(options.max_steps, b.size)
    for count in range(steps):
        if size <= enough:
            return x
        image = times(direction)
        curvature = _dot(direction, image)
        if not curvature > 0:
            if not give_up:
                return x if count else b
            why = "the Hessian is not positive definite at the minimiser"
            raise _stopped(options.owner, why, math.sqrt(size), math.sqrt(enough), count)
        x = x + direction * (size / curvature)
        r = r - image * (size / curvature)
        last, size = size, _dot(r, r)
        direction = r + direction * (size / last)
    if size <= enough or not give_up:
        return x
    why = "conjugate gradients did not solve the linear system of the gradient"
    raise _stopped(options.owner, why, math.sqrt(size), math.sqrt(enough), steps)


def _newton(loss, slope, z, least, options):
    """A minimiser, where the norm of the slope is at most `least`."""
    value = loss(z)
    for count in range(options.max_steps):
        down, times = vjp(slope, z, allow_unused=True)
        down = -down
        size = _norm(down)
        if size <= least:
            return z
        if not math.isfinite(size):
            raise _stopped(options.owner, "the slope is not finite", size, least, count)
        forcing = min(0.5, math.sqrt(size))
        move = _conjugate_gradients(
            lambda v, times=times: times(v)[0], down, forcing, options, give_up=False
        )
        promised = _dot(move, down)
        noise = 10 * float(np.finfo(z.dtype).eps) * abs(value)
        for halving in range(HALVINGS):
            there = z + move * 0.5**halving
            new = loss(there)
            if new <= value - DESCENT * 0.5**halving * promised + noise:
                break
        else:
            raise _stopped(options.owner, "no step lowers the objective", size, least, count)
        z, value = there, new
    size = _norm(slope(z))
    if size <= least:
        return z
    raise _stopped(options.owner, "no minimiser was found", size, least, options.max_steps)


def _stopped(owner, why, residual, enough, steps):
    return ConvergenceError(
        f"[{owner}] {why}: the residual is {residual:.3g} after {steps} steps, expected at most "
        f"{enough:.3g}; start closer, raise tolerance or max_steps, or let f be a contraction",
        residual,
        steps,
    )
