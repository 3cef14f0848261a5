"""Implicit differentiation: solutions of equations, differentiated by the equation they solve.

    tg.implicit.fixed_point(f, z0, *args)       z with z = f(z, *args)
    tg.implicit.argmin(objective, z0, *args)    z that minimises objective(z, *args)

With `full_output=True` both tell how many steps they made.

The gradient does not pass through the steps of a solver, which are not recorded: it takes the
memory of one step, however many were made. If F(z, x) = 0 defines z, then dz/dx = -(dF/dz)^-1
dF/dx, so a gradient g of z is carried back by solving a linear system with the transpose of dF/dz,
which is never formed. The solution of that system is implicit again, hence all orders exist.

z and the arguments are trees. What f closes over, such as the parameters of a Module, is
differentiated as well. Inside `vmap` all examples are solved as one system, and the norms that are
compared with tolerances are those of all examples together.

Source: Blondel et al. 2022, "Efficient and Modular Implicit Differentiation".
"""

from functools import partial

import numpy as np

from tinygrad_like.engine import (
    Tensor,
    astype,
    broadcast_to,
    check_choice,
    check_flag,
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
from tinygrad_like.functional.derivatives import grad
from tinygrad_like.functional.evaluation import depends_on_recorded, function
from tinygrad_like.functional.solvers import (
    Convergence,
    ConvergenceError,
    Options,
    conjugate_gradients,
    newton,
    norm,
    solve,
    stopped,
    summed,
)
from tinygrad_like.functional.trees import flatten
from tinygrad_like.ops.arrays.create import zeros
from tinygrad_like.ops.arrays.shape import concatenate, reshape

__all__ = ["Convergence", "ConvergenceError", "argmin", "fixed_point"]


def fixed_point(f, z0, *args, tolerance=None, max_steps=100, solver="anderson", full_output=False):
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
        full_output: return a pair: z, and the Convergence with its `steps` and `residual`.

    Returns:
        z, a tree of Tensors like z0; or (z, Convergence).

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
        >>> _, found = tg.implicit.fixed_point(tg.cos, 1.0, full_output=True)
        >>> found.steps
        5
    """
    f, owner = function("implicit.fixed_point", f), "implicit.fixed_point"
    check_choice(owner, "solver", solver, ("anderson", "iterate"))
    full_output = check_flag(owner, "full_output", full_output)
    space = _Space(owner, z0)
    options = space.options(tolerance, max_steps, solver)
    step = lambda v: space.pack(f(space.unpack(v), *args))  # noqa: E731
    z, found = _fixed_vector(step, space.start, options)
    return (space.unpack(z), found) if full_output else space.unpack(z)


def argmin(objective, z0, *args, solver=None, tolerance=None, max_steps=100, full_output=False):
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
        full_output: return a pair: z, and the Convergence with its `steps` and `residual`.

    Returns:
        z, a tree of Tensors like z0; or (z, Convergence).

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
    full_output = check_flag(owner, "full_output", full_output)
    space = _Space(owner, z0)
    options = space.options(tolerance, max_steps, solver)
    slope = grad(lambda v: objective(space.unpack(v), *args))
    with no_grad():
        least = options.tolerance * (1 + norm(slope(space.start)))
        if solver is None:
            loss = lambda v: float(summed(objective(space.unpack(v), *args)))  # noqa: E731
            z, found = newton(loss, slope, space.start, least, options)
        else:
            z = space.pack(solver(objective, z0, *args)).detach()
            residual, least = norm(slope(z)), least if tolerance else 10 * least
            if not residual <= least:
                raise stopped(owner, "the solver's point is not stationary", residual, least, 0)
            found = Convergence(None, residual)
    z = space.unpack(_stationary(slope, z, options))
    return (z, found) if full_output else z


# Trees as vectors


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
        return Options(
            self.owner, tolerance, check_integer(self.owner, "max_steps", max_steps, 1), solver
        )


# Solutions with their gradients


def _fixed_vector(step, start, options):
    """(the vector z = step(z), the Convergence)."""
    with no_grad():
        z, found = solve(step, start, options)

    def adjoint(transpose, g):  # of step(z) - z: u + transpose(u) is step's own part
        return _fixed_vector(lambda u: g + u + transpose(u), g.detach(), options)[0]

    return _recorded(lambda z: step(z) - z, z, adjoint), found


def _stationary(slope, z, options):
    """The vector z, where the gradient `slope` is zero."""
    return _recorded(slope, z, lambda transpose, g: -_solution(transpose, g, options))


def _solution(times, b, options):
    """The vector x with times(x) = b, for a symmetric positive definite map."""
    with no_grad():
        x = conjugate_gradients(times, b.detach(), options.tolerance, options)
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
