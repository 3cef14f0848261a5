"""Derivatives of functions: `grad(f)(x)` and its relatives, of any order, nested at will.

`f` is called with Tensors. Arguments may be Tensors, raw arrays or Python numbers; derivatives by
a raw array come back as raw arrays, all others as Tensors. Nothing here touches `.grad`.

An argument that f's output does not depend on is refused: as a rule f took a Tensor from elsewhere
in its place (`lambda w: model(x)`), or left the graph on the way (`.numpy()`, `detach()`), and a
derivative of zero would hide it. `allow_unused=True` gives the zeros. Zeros of higher order, as the
Hessian of a linear function, are no such case.
"""

import operator
import threading
from functools import wraps
from typing import Any

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING
from tinygrad_like.engine import (
    GraphError,
    Tensor,
    backend_of,
    check_flag,
    enable_grad,
    errors,
    gradients,
    mode,
    nodes_below,
    wrap,
)
from tinygrad_like.ops.shape import reshape, stack


def grad(f, argnums=0, *, allow_unused=False):
    """The function that returns the gradient of the scalar function `f`.

    Args:
        f: returns a Tensor with one element, a real number.
        argnums: which argument to differentiate by, an int; or several, a tuple.
        allow_unused: give zeros for an argument that f's output does not depend on, which is
            a GraphError otherwise.

    Returns:
        A function of f's arguments that returns the gradient, or a tuple of gradients.

    Example:
        >>> grad(lambda x: x**3)(2.0).item()
        12.0
    """
    allow_unused = check_flag("grad", "allow_unused", allow_unused)
    both = value_and_grad(_function("grad", f), argnums, allow_unused=allow_unused)

    @wraps(f)
    def gradient(*args, **kwargs):
        return both(*args, **kwargs)[1]

    return gradient


def value_and_grad(f, argnums=0, *, allow_unused=False):
    """Like `grad`, but the function returns the pair (value, gradient)."""
    f, argnums = _function("value_and_grad", f), _numbers("grad", argnums)
    allow_unused = check_flag("value_and_grad", "allow_unused", allow_unused)

    @wraps(f)
    def both(*args, **kwargs):
        run = _Run("grad", f, args, kwargs, argnums, allow_unused)
        if run.output.size != 1:
            raise ValueError(
                f"[grad] f returned shape {run.output.shape}, expected a scalar; "
                "use jacobian, or sum it"
            )
        return run.value(), run.in_the_form_of_argnums(run.pull_back(None))

    return both


def vjp(f, *args, allow_unused=False):
    """The value of `f`, and the function that carries a gradient back to its arguments.

    Returns:
        (f(*args), pull_back); pull_back(g), g of the value's shape, returns a tuple of gradients,
        one for each argument. It can be called many times.
    """
    argnums = tuple(range(len(args)))
    allow_unused = check_flag("vjp", "allow_unused", allow_unused)
    run = _Run("vjp", _function("vjp", f), args, {}, argnums, allow_unused)

    def pull_back(g):
        return tuple(run.pull_back(g, retain_graph=True))

    return run.value(), pull_back


def jacobian(f, argnums=0, *, allow_unused=False):
    """The function that returns the derivative of every element of f by every one of its argument.

    Returns:
        A function of f's arguments that returns (*f's shape, *the argument's shape), or a tuple
        of these. One backward pass is run for each element of f's output.
    """
    f, argnums = _function("jacobian", f), _numbers("jacobian", argnums)
    allow_unused = check_flag("jacobian", "allow_unused", allow_unused)

    @wraps(f)
    def derivative(*args, **kwargs):
        run = _Run("jacobian", f, args, kwargs, argnums, allow_unused)
        y = run.output
        xp = backend_of(y).xp
        seeds = [wrap(row.reshape(y.shape)) for row in xp.eye(y.size, dtype=y.dtype)]
        rows = [run.pull_back(seed, retain_graph=True) for seed in seeds]
        columns = zip(*rows, strict=True) if rows else [[] for _ in run.inputs]
        return run.in_the_form_of_argnums(
            [
                _stacked(column, y.shape + x.shape, backend_of(x).xp, x.dtype)
                for column, x in zip(columns, run.inputs, strict=True)
            ]
        )

    return derivative


def hessian(f, argnums=0, *, allow_unused=False):
    """The function that returns the second derivatives of the scalar function `f` by an argument.

    Returns:
        A function of f's arguments that returns (*the argument's shape, *the argument's shape).
    """
    f = _function("hessian", f)
    allow_unused = check_flag("hessian", "allow_unused", allow_unused)
    if not isinstance(_numbers("hessian", argnums), int):
        raise TypeError(f"[hessian] argnums is {argnums!r}, expected one integer")
    return jacobian(grad(f, argnums, allow_unused=allow_unused), argnums)


def hvp(f, x, v, *, allow_unused=False):
    """The product of the Hessian of the scalar function `f` at `x` with `v`, of x's shape.

    It costs about two gradients, whatever the size of `x`.
    """
    allow_unused = check_flag("hvp", "allow_unused", allow_unused)
    return vjp(grad(_function("hvp", f), allow_unused=allow_unused), x)[1](v)[0]


def _function(name, f):
    """`f`, if it can be called; TypeError that says what to call otherwise."""
    if isinstance(f, Tensor):
        raise TypeError(
            f"[{name}] the first argument is a Tensor, expected a function. For the gradient of a "
            "result that is there, call loss.backward() and read w.grad; for that of a function, "
            "write it: tg.grad(lambda w: ...)(w)"
        )
    if not callable(f):
        raise TypeError(f"[{name}] f is {errors.describe(f)}, expected a function of Tensors")
    return f


def _numbers(name, argnums):
    """`argnums` as an int or a tuple of ints; TypeError for anything else."""
    try:
        if isinstance(argnums, (bool, Tensor)):
            raise TypeError
        if isinstance(argnums, (tuple, list)):
            return tuple(map(operator.index, argnums))
        return operator.index(argnums)
    except TypeError:
        got = errors.describe(argnums) if hasattr(argnums, "shape") else repr(argnums)
        raise TypeError(
            f"[{name}] argnums is {got}, expected an integer or a tuple of integers; "
            f"the arguments of f are given to what {name} returns: {name}(f)(x)"
        ) from None


def _stacked(rows, shape, xp, dtype):
    if not rows:
        return xp.zeros(shape, dtype)
    joined = stack(rows)
    return joined.reshape(shape)


class _Nesting(threading.local):
    leaves: Any = None  # of the innermost derivative under way: those it made, and those inside it
    derived = False  # whether a derivative was taken inside it


_nesting = _Nesting()


class _Run:
    """One evaluation of f on fresh inputs, ready to be differentiated."""

    def __init__(self, name, f, args, kwargs, argnums, allow_unused):
        self.name, self.argnums = name, argnums
        chosen = (argnums,) if isinstance(argnums, int) else argnums
        for i in chosen:
            if not -len(args) <= i < len(args):
                raise ValueError(
                    f"[{name}] argnums is {argnums!r}, but f was given {len(args)} arguments"
                )
        self.given = [args[i] for i in chosen]
        self.inputs = [_fresh(name, i, args[i]) for i in chosen]
        args = list(args)
        for i, x in zip(chosen, self.inputs, strict=True):
            args[i] = x
        around, known = _nesting.leaves, {x.node for x in self.inputs if x.is_leaf}
        _nesting.leaves, _nesting.derived = known, False
        try:
            with enable_grad():
                self.output = f(*args, **kwargs)
            of_first_order = not _nesting.derived
        finally:
            _nesting.leaves, _nesting.derived = around, True
        if around is not None:
            around |= known
        if not isinstance(self.output, Tensor):
            raise TypeError(
                f"[{name}] f returned {type(self.output).__name__}, expected one Tensor"
            )
        if self.output.dtype.kind == "c":
            raise TypeError(errors.no_gradient_of(name, "what f returned", self.output.dtype))
        below = nodes_below(self.output)
        if of_first_order and not allow_unused:
            self.refuse_unused(chosen, below)
        # The derivative must itself be recorded if it depends on anything that is.
        self.create_graph = mode.grad and (
            not all(x.is_leaf for x in self.inputs)
            or any(node.plan is None and node not in known for node in below)
        )

    def refuse_unused(self, chosen, below):
        """Raise GraphError for an argument that the output does not depend on.

        A part of the graph that f freed by a backward pass of its own says nothing about it.
        """
        for i, x in zip(chosen, self.inputs, strict=True):
            if x.node not in below and not any(node.saved is None for node in below):
                raise GraphError(
                    f"[{self.name}] the output of f does not depend on its argument {i}: f must "
                    "compute with its own arguments, not with Tensors of the same name from "
                    "outside (`lambda w: model(x)`), and not by way of .numpy(), detach() or "
                    "no_grad(); pass allow_unused=True to get zeros"
                )

    def value(self):
        """f's value; outside the graph, unless something around this call is recorded."""
        return self.output if self.create_graph else self.output.detach()

    def pull_back(self, g, retain_graph=False):
        """The gradients of the chosen arguments, in the form in which each was given."""
        if self.output.node is None and getattr(g, "shape", self.output.shape) != self.output.shape:
            raise ValueError(
                f"[{self.name}] gradient has shape {g.shape}, expected {self.output.shape}"
            )
        found = gradients(
            [self.output],
            self.inputs,
            [g],
            create_graph=self.create_graph,
            retain_graph=retain_graph,
        )
        return [
            d.data if backend.of(x) is not None and not d.requires_grad else d
            for x, d in zip(self.given, found, strict=True)
        ]

    def in_the_form_of_argnums(self, results):
        return results[0] if isinstance(self.argnums, int) else tuple(results)


def _fresh(name, i, x):
    """An input of f that the walk can stop at: a leaf, or a new node above a recorded tensor."""
    if isinstance(x, Tensor) and x.node is not None and mode.grad:
        return reshape(x, x.shape)
    t = wrap(x.data, None, x.version) if isinstance(x, Tensor) else Tensor(x)
    if t.dtype.kind == "c":
        raise TypeError(errors.no_gradient_of(name, f"argument {i}", t.dtype))
    if t.dtype.kind not in FLOATING:
        raise TypeError(
            f"[{name}] argument {i} has dtype {t.dtype}, expected a floating one; "
            "write 2.0 instead of 2, or choose other argnums"
        )
    t.requires_grad = True
    return t
