"""Derivatives of functions: `grad(f)(x)` and its relatives, of any order, nested at will.

`f` is called with Tensors. Arguments may be Tensors, raw arrays, Python numbers, or trees of them
(see trees.py); derivatives by a raw array come back as raw arrays, all others as Tensors. Nothing
here touches `.grad`.

An argument that f's output does not depend on is refused: as a rule f took a Tensor from elsewhere
in its place (`lambda w: model(x)`), or left the graph on the way (`.numpy()`, `detach()`), and a
derivative of zero would hide it. `allow_unused=True` gives the zeros. Zeros of higher order, as the
Hessian of a linear function, are no such case.
"""

from functools import wraps

from tinygrad_like.engine import check_flag, errors
from tinygrad_like.functional.evaluation import Chosen, Evaluation, function
from tinygrad_like.functional.trees import ONE_LEAF


def grad(f, argnums=0, *, allow_unused=False, has_aux=False):
    """The function that returns the gradient of the scalar function `f`.

    Args:
        f: returns a Tensor with one element, a real number. The gradient with respect to complex
            numbers z = x + iy is dL/dx + i dL/dy, as in PyTorch: z - lr * gradient goes downhill.
        argnums: which argument to differentiate by: its position, or the name of its parameter,
            which may be given by keyword; or several, a tuple.
        allow_unused: give zeros for an argument (or a leaf of one) that f's output does not
            depend on, which is a GraphError otherwise.
        has_aux: whether f returns a pair (value, aux), where aux is a tree of anything that
            is only passed on.

    Returns:
        A function of f's arguments that returns the gradient, in the form of the argument (for a
        dict of arrays, a dict of arrays), or a tuple of gradients; with `has_aux` the pair
        (gradient, aux).

    Raises:
        TypeError: if f is no function, or an argument holds what is not a floating number.
        ValueError: if argnums chooses an argument that f does not have or was not given, or if f
            returns more than one element.
        GraphError: if f's output does not depend on an argument.

    Example:
        >>> grad(lambda x: x**3)(2.0).item()
        12.0
        >>> import numpy as np
        >>> line = {"w": np.array([1.0, 2.0]), "b": np.array(0.0)}
        >>> grad(lambda line, x: (line["w"] * x).sum() + line["b"], "line")(line, x=3.0)
        {'w': array([3., 3.]), 'b': array(1.)}
    """
    allow_unused = check_flag("grad", "allow_unused", allow_unused)
    has_aux = check_flag("grad", "has_aux", has_aux)
    both = _value_and_grad("grad", f, argnums, allow_unused, has_aux)

    if has_aux:

        @wraps(f)
        def gradient(*args, **kwargs):
            (_, aux), found = both(*args, **kwargs)
            return found, aux

    else:

        @wraps(f)
        def gradient(*args, **kwargs):
            return both(*args, **kwargs)[1]

    return gradient


def value_and_grad(f, argnums=0, *, allow_unused=False, has_aux=False):
    """Like `grad`, but the function returns the pair (value, gradient).

    With `has_aux` it returns ((value, aux), gradient).

    Example:
        >>> value, gradient = value_and_grad(lambda x: x * x)(3.0)
        >>> value.item(), gradient.item()
        (9.0, 6.0)
    """
    allow_unused = check_flag("value_and_grad", "allow_unused", allow_unused)
    has_aux = check_flag("value_and_grad", "has_aux", has_aux)
    return _value_and_grad("value_and_grad", f, argnums, allow_unused, has_aux)


def _value_and_grad(owner, f, argnums, allow_unused, has_aux):
    chosen = Chosen(owner, function(owner, f), argnums)

    @wraps(f)
    def both(*args, **kwargs):
        places = chosen.find(args, kwargs)
        run = Evaluation(owner, f, args, kwargs, places, allow_unused, has_aux)
        if run.build is not ONE_LEAF or run.outputs[0].size != 1:
            got = f"shape {run.outputs[0].shape}" if run.build is ONE_LEAF else repr(run.build)
            raise ValueError(
                f"[{owner}] f returned {got}, expected a scalar; use jacobian, or sum it"
                + ("" if has_aux else ", or if the rest is not to be differentiated, has_aux=True")
            )
        if run.outputs[0].dtype.kind == "c":
            raise TypeError(errors.no_gradient_of(owner, "what f returned", run.outputs[0].dtype))
        value = (run.value(), run.aux()) if has_aux else run.value()
        return value, chosen.in_their_form(run.in_given_form(run.pull_back([None])))

    return both


def vjp(f, *args, allow_unused=False, has_aux=False):
    """The value of `f`, and the function that carries a gradient back to its arguments.

    Args:
        f: returns a Tensor, or a tree of Tensors.
        args: all are differentiated by.
        allow_unused, has_aux: see `grad`.

    Of complex numbers, g is dL/dx + i dL/dy of what is differentiated in the end, as are the
    gradients that pull_back returns: for an analytic f they are g times the conjugate of f'(z).

    Returns:
        (f(*args), pull_back), or with `has_aux` (value, pull_back, aux). pull_back(g), g of the
        value's structure and shapes, returns a tuple of gradients, one for each argument. It can
        be called many times.

    Example:
        >>> value, pull_back = vjp(lambda x, y: x * y, 3.0, 4.0)
        >>> [d.item() for d in pull_back(1.0)]
        [4.0, 3.0]
    """
    allow_unused = check_flag("vjp", "allow_unused", allow_unused)
    has_aux = check_flag("vjp", "has_aux", has_aux)
    run = Evaluation("vjp", function("vjp", f), args, {}, range(len(args)), allow_unused, has_aux)

    def pull_back(g):
        return tuple(_carried_back(run, g, "gradient"))

    return (run.value(), pull_back, run.aux()) if has_aux else (run.value(), pull_back)


def _carried_back(run, g, name):
    """The gradients of an evaluated function's arguments, for `g` of its value; any number."""
    seeds = run.leaves_like(run.outputs, run.build, g, name)
    return run.in_given_form(run.pull_back(seeds, retain_graph=True))


def hvp(f, x, v, *, allow_unused=False, has_aux=False):
    """The product of the Hessian of the scalar function `f` at `x` with `v`, of x's structure.

    It costs about two gradients, whatever the size of `x`.

    Args:
        f: a function of x alone, see `grad`.
        x: a tree to differentiate by.
        v: a tree of x's structure and shapes.
        allow_unused, has_aux: see `grad`.

    Returns:
        The product, or with `has_aux` the pair (product, aux).

    Example:
        >>> hvp(lambda x: x**3, 2.0, 10.0).item()
        120.0
    """
    allow_unused = check_flag("hvp", "allow_unused", allow_unused)
    has_aux = check_flag("hvp", "has_aux", has_aux)
    both = _value_and_grad("hvp", f, 0, allow_unused, has_aux)

    def gradient(x):
        value, found = both(x)
        return (found, value[1]) if has_aux else found

    run = Evaluation("hvp", gradient, (x,), {}, (0,), has_aux=has_aux)
    (product,) = _carried_back(run, v, "v")
    return (product, run.aux()) if has_aux else product
