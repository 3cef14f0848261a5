"""Forward derivatives: how a function's value moves with its arguments.

There is one text for the derivative of an op, its gradient rules, and they carry gradients back.
The map that they apply to a gradient u is linear in u, and its transpose carries tangents forward
(Townsend 2017, "A new trick for calculating Jacobian vector products"). So a first walk, recorded,
makes the pull-back of u a graph, and a walk through that graph, from the pulled-back gradients to
u, is the derivative along a direction: exact, for every op that can be differentiated twice.
"""

from tinygrad_like.engine import (
    check_flag,
    errors,
    gradients,
    inside,
)
from tinygrad_like.functional.evaluation import Evaluation, function
from tinygrad_like.ops.arrays.create import zeros_like


def jvp(f, primals, tangents, *, allow_unused=False, has_aux=False):
    """The value of `f`, and its derivative along a direction.

    It costs a recorded backward pass and a walk through its graph: about one and a half gradients,
    whatever the number of inputs and outputs. To go in many directions from one point, use
    `linearize`.

    Args:
        f: returns a Tensor, or a tree of Tensors.
        primals: a tuple of f's arguments, each a tree.
        tangents: a tuple of directions, of the structures and shapes of `primals`.
        allow_unused, has_aux: see `grad`.

    Returns:
        (value, tangent), two trees of Tensors of the same structure and shapes; with `has_aux`
        (value, tangent, aux). A complex tangent is the change of the value, without a conjugate:
        f'(z) times the direction for an analytic f.

    Raises:
        TypeError: if primals or tangents are no tuples, or f is no function of Tensors.
        ValueError: if the tangents do not fit the primals.
        GraphError: if no output depends on a primal, or an op has no second derivative.

    Example:
        >>> value, tangent = jvp(lambda x, y: x * y, (3.0, 4.0), (1.0, 10.0))
        >>> value.item(), tangent.item()
        (12.0, 34.0)

    The product of a Gauss-Newton matrix J^T H J with v, for J of the model and H of the loss:

        >>> import numpy as np, tinygrad_like as tg
        >>> def gauss_newton_product(f, loss, x, v):
        ...     y, along = tg.jvp(f, (x,), (v,))
        ...     return tg.vjp(f, x)[1](tg.hvp(loss, y, along))[0]
        >>> square = lambda y: (y * y).sum()
        >>> gauss_newton_product(tg.exp, square, np.zeros(2), np.array([1.0, 3.0]))
        array([2., 6.])
    """
    allow_unused = check_flag("jvp", "allow_unused", allow_unused)
    has_aux = check_flag("jvp", "has_aux", has_aux)
    for name, given in (("primals", primals), ("tangents", tangents)):
        if not isinstance(given, (tuple, list)):
            raise TypeError(
                f"[jvp] {name} is {errors.describe(given)}, expected a tuple, one for each "
                "argument of f: jvp(f, (x,), (v,))"
            )
    run = _evaluate("jvp", f, primals, allow_unused, has_aux)
    value, tangent = run.value(), Push(run).tree(tangents)
    return (value, tangent, run.aux()) if has_aux else (value, tangent)


def linearize(f, *primals, allow_unused=False, has_aux=False):
    """The value of `f`, and the linear map from directions to derivatives along them.

    Args:
        f, primals, allow_unused, has_aux: as for `vjp`.

    Returns:
        (f(*primals), push), or with `has_aux` (value, push, aux). push(*tangents), one for each
        primal, returns the derivative along them, of the value's structure. It can be called
        many times; each call is one walk.

    Example:
        >>> value, push = linearize(lambda x: x**3, 2.0)
        >>> push(1.0).item(), push(10.0).item()
        (12.0, 120.0)

    The Laplacian of a function, and an estimate of it by random signs v, the mean of v H v:

        >>> import numpy as np, tinygrad_like as tg
        >>> _, push = tg.linearize(tg.grad(lambda x: (x**3).sum()), np.array([1.0, 2.0]))
        >>> sum(push(e)[i] for i, e in enumerate(np.eye(2))).item()  # 6 + 12
        18.0
        >>> signs = np.random.default_rng(0).choice([-1.0, 1.0], (10, 2))
        >>> np.mean([(v * push(v)).sum().item() for v in signs]).item()  # exact for a diagonal H
        18.0
    """
    allow_unused = check_flag("linearize", "allow_unused", allow_unused)
    has_aux = check_flag("linearize", "has_aux", has_aux)
    run = _evaluate("linearize", f, primals, allow_unused, has_aux)
    tree_of = Push(run).tree

    def push(*tangents):
        return tree_of(tangents)

    return (run.value(), push, run.aux()) if has_aux else (run.value(), push)


def _evaluate(owner, f, primals, allow_unused, has_aux):
    places = range(len(primals))
    return Evaluation(owner, function(owner, f), primals, {}, places, allow_unused, has_aux)


class Push:
    """The derivative of an evaluated function as a map from tangents of inputs to those of outputs.

    `weights` are the gradients u of the outputs, leaves of zeros: what the walk computes does not
    depend on their values. `pulled` is u carried back to each input.
    """

    def __init__(self, run):
        self.run = run
        self.weights = [_weight(y) for y in run.outputs]
        leaves = [x.node for x in (*run.inputs, *self.weights) if x.node is not None and x.is_leaf]
        for leaf in leaves:  # derivatives that a rule takes in this walk depend on them
            leaf.finished = False
        try:
            self.pulled = gradients(run.outputs, run.inputs, self.weights, create_graph=True)
        finally:
            for leaf in leaves:
                leaf.finished = True

    def tree(self, tangents):
        """The tangents of f's value, for those of all chosen arguments."""
        run = self.run
        if len(tangents) != len(run.structures):
            raise ValueError(
                f"[{run.owner}] got {len(tangents)} tangents, expected one for each of "
                f"{len(run.structures)} primals"
            )
        directions, start = [], 0
        for i, (build, tangent) in enumerate(zip(run.structures, tangents, strict=True)):
            like = run.inputs[start : start + build.count]
            directions += run.leaves_like(like, build, tangent, f"tangents[{i}]")
            start += build.count
        return run.build(self.leaves(range(start), directions))

    def leaves(self, numbers, directions):
        """The tangent of each output, for directions of the inputs with these numbers alone."""
        return gradients(
            [self.pulled[i] for i in numbers],
            self.weights,
            directions,
            create_graph=self.run.is_recorded(directions),
            retain_graph=True,
        )


def _weight(y):
    """Zeros like an output, which the walk can come to."""
    weight = inside(zeros_like(y))
    if y.node is not None:
        weight.requires_grad = True
    return weight
