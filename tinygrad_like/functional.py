"""Derivatives of functions: `grad(f)(x)` and its relatives, of any order, nested at will.

`f` is called with Tensors. Arguments may be Tensors, raw arrays or Python numbers; derivatives by
a raw array come back as raw arrays, all others as Tensors. Nothing here touches `.grad`.
"""

import threading
from functools import wraps
from typing import Any

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING
from tinygrad_like.engine import (
    Tensor,
    backend_of,
    enable_grad,
    errors,
    gradients,
    mode,
    reaches_beyond,
    wrap,
)
from tinygrad_like.ops.shape import reshape, stack


def grad(f, argnums=0):
    """The function that returns the gradient of the scalar function `f`.

    Args:
        f: returns a Tensor with one element.
        argnums: which argument to differentiate by, an int; or several, a tuple.

    Returns:
        A function of f's arguments that returns the gradient, or a tuple of gradients.

    Example:
        >>> grad(lambda x: x**3)(2.0).item()
        12.0
    """

    @wraps(f)
    def gradient(*args, **kwargs):
        return value_and_grad(f, argnums)(*args, **kwargs)[1]

    return gradient


def value_and_grad(f, argnums=0):
    """Like `grad`, but the function returns the pair (value, gradient)."""

    @wraps(f)
    def both(*args, **kwargs):
        run = _Run("grad", f, args, kwargs, argnums)
        if run.output.size != 1:
            raise ValueError(
                f"[grad] f returned shape {run.output.shape}, expected a scalar; "
                "use jacobian, or sum it"
            )
        return run.value(), run.in_the_form_of_argnums(run.pull_back(None))

    return both


def vjp(f, *args):
    """The value of `f`, and the function that carries a gradient back to its arguments.

    Returns:
        (f(*args), pull_back); pull_back(g), g of the value's shape, returns a tuple of gradients,
        one for each argument. It can be called many times.
    """
    run = _Run("vjp", f, args, {}, tuple(range(len(args))))

    def pull_back(g):
        return tuple(run.pull_back(g, retain_graph=True))

    return run.value(), pull_back


def jacobian(f, argnums=0):
    """The function that returns the derivative of every element of f by every one of its argument.

    Returns:
        A function of f's arguments that returns (*f's shape, *the argument's shape), or a tuple
        of these. One backward pass is run for each element of f's output.
    """

    @wraps(f)
    def derivative(*args, **kwargs):
        run = _Run("jacobian", f, args, kwargs, argnums)
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


def hessian(f, argnums=0):
    """The function that returns the second derivatives of the scalar function `f` by an argument.

    Returns:
        A function of f's arguments that returns (*the argument's shape, *the argument's shape).
    """
    if not isinstance(argnums, int):
        raise TypeError(f"[hessian] argnums is {argnums!r}, expected one integer")
    return jacobian(grad(f, argnums), argnums)


def hvp(f, x, v):
    """The product of the Hessian of the scalar function `f` at `x` with `v`, of x's shape.

    It costs about two gradients, whatever the size of `x`.
    """
    return vjp(grad(f), x)[1](v)[0]


def _stacked(rows, shape, xp, dtype):
    if not rows:
        return xp.zeros(shape, dtype)
    joined = stack(rows)
    return joined.reshape(shape)


class _Nesting(threading.local):
    leaves: Any = None  # of the innermost derivative under way: those it made, and those inside it


_nesting = _Nesting()


class _Run:
    """One evaluation of f on fresh inputs, ready to be differentiated."""

    def __init__(self, name, f, args, kwargs, argnums):
        self.argnums = argnums
        chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        for i in chosen:
            if not isinstance(i, int) or not -len(args) <= i < len(args):
                raise ValueError(
                    f"[{name}] argnums is {argnums!r}, but f was given {len(args)} arguments"
                )
        self.given = [args[i] for i in chosen]
        self.inputs = [_fresh(name, i, args[i]) for i in chosen]
        args = list(args)
        for i, x in zip(chosen, self.inputs, strict=True):
            args[i] = x
        around, known = _nesting.leaves, {x.node for x in self.inputs if x.is_leaf}
        _nesting.leaves = known
        try:
            with enable_grad():
                self.output = f(*args, **kwargs)
        finally:
            _nesting.leaves = around
        if around is not None:
            around |= known
        if not isinstance(self.output, Tensor):
            raise TypeError(
                f"[{name}] f returned {type(self.output).__name__}, expected one Tensor"
            )
        if self.output.dtype.kind == "c":
            raise TypeError(errors.no_gradient_of(name, "what f returned", self.output.dtype))
        # The derivative must itself be recorded if it depends on anything that is.
        self.create_graph = mode.grad and (
            not all(x.is_leaf for x in self.inputs) or reaches_beyond(self.output, known)
        )

    def value(self):
        """f's value; outside the graph, unless something around this call is recorded."""
        return self.output if self.create_graph else self.output.detach()

    def pull_back(self, g, retain_graph=False):
        """The gradients by the chosen arguments, in the form in which each was given."""
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
