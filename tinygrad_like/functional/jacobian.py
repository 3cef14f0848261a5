"""All derivatives of a function at once: jacobian and hessian."""

from functools import wraps

import numpy as np

from tinygrad_like.engine import OPS, GraphError, astype, check_choice, check_flag, nodes_below
from tinygrad_like.functional.derivatives import grad
from tinygrad_like.functional.evaluation import Chosen, Evaluation, function
from tinygrad_like.functional.forward import Push
from tinygrad_like.functional.vmap import vmap
from tinygrad_like.ops.arrays.create import eye, zeros
from tinygrad_like.ops.arrays.shape import concatenate, reshape, stack

AT_ONCE = 64  # rows of a jacobian: more take more memory, and are hardly faster


def jacobian(f, argnums=0, *, direction="auto", allow_unused=False, has_aux=False):
    """The function that returns the derivative of every element of f by every one of its argument.

    Args:
        f: returns a Tensor, or a tree of Tensors.
        argnums, allow_unused, has_aux: see `grad`.
        direction: "reverse" runs a backward walk for each element of f's output, 64 at once unless
            an op is a user's own; "forward" a walk for each element of the arguments (see
            `linearize`); "auto" is forward where the arguments have fewer elements than the output,
            and its ops have the second derivatives which that takes. It is always forward for
            complex outputs; complex arguments are refused, as in torch.func.

    Returns:
        A function of f's arguments that returns (*f's shape, *the argument's shape), or a tuple of
        these. If f returns a tree, each of its leaves has that in its place; if the argument is a
        tree, each of its leaves has. With `has_aux` it returns the pair (jacobian, aux).

    Example:
        >>> import numpy as np
        >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
        array([[2., 0.],
               [0., 4.]])
    """
    chosen = Chosen("jacobian", function("jacobian", f), argnums)
    check_choice("jacobian", "direction", direction, ("auto", "forward", "reverse"))
    allow_unused = check_flag("jacobian", "allow_unused", allow_unused)
    has_aux = check_flag("jacobian", "has_aux", has_aux)

    @wraps(f)
    def derivative(*args, **kwargs):
        places = chosen.find(args, kwargs)
        run = Evaluation("jacobian", f, args, kwargs, places, allow_unused, has_aux)
        blocks = [chosen.in_their_form(run.in_given_form(row)) for row in _blocks(run, direction)]
        found = run.build(blocks)
        return (found, run.aux()) if has_aux else found

    return derivative


def hessian(f, argnums=0, *, allow_unused=False, has_aux=False):
    """The function that returns the second derivatives of the scalar function `f` by an argument.

    Returns:
        A function of f's arguments that returns (*the argument's shape, *the argument's shape). If
        the argument is a tree, so is the result, of trees: `hessian(f)(x)["w"]["b"]` are the
        derivatives by x["w"] and x["b"]. With `has_aux` it returns the pair (hessian, aux).

    Example:
        >>> hessian(lambda x: x**3)(2.0).item()
        12.0
    """
    f = function("hessian", f)
    allow_unused = check_flag("hessian", "allow_unused", allow_unused)
    has_aux = check_flag("hessian", "has_aux", has_aux)
    if Chosen("hessian", f, argnums).several:
        raise TypeError(
            f"[hessian] argnums is {argnums!r}, expected one integer or name; to differentiate "
            "by several arguments, let f take them as one tuple"
        )
    gradient = grad(f, argnums, allow_unused=allow_unused, has_aux=has_aux)
    return jacobian(gradient, argnums, has_aux=has_aux)


def _blocks(run, direction):
    """[[the derivatives of an output by an input, for each input] for each output], as Tensors."""
    if any(x.dtype.kind == "c" for x in run.inputs):
        raise TypeError(
            f"[{run.owner}] an argument is complex, but one number cannot say how a function "
            "changes with both of its parts: let it take these as Tensors (tg.view_as_complex), or "
            "use tg.vjp and tg.jvp"
        )
    if any(y.dtype.kind == "c" for y in run.outputs):
        if direction == "reverse":
            raise TypeError(
                f"[{run.owner}] f returned complex numbers, expected real ones for "
                "direction='reverse'; use 'forward'"
            )
        return _by_columns(run, Push(run))
    if direction == "auto":
        forward = sum(x.size for x in run.inputs) < sum(y.size for y in run.outputs)
        direction = "forward" if forward else "reverse"
        if forward:
            try:
                return _by_columns(run, Push(run))
            except GraphError:  # an op without a second derivative
                direction = "reverse"
    return _by_columns(run, Push(run)) if direction == "forward" else _by_rows(run)


def _by_rows(run):
    """One walk for each element of the outputs, or by vmap for many of them at once."""
    blocks = []
    for y in run.outputs:
        if y.size > 1 and all(map(_is_known, nodes_below(y))):
            blocks.append(_many_rows(run, y))
            continue
        rows = [run.pull_back([seed], [y], retain_graph=True) for seed in _units(y)]
        columns = zip(*rows, strict=True) if rows else [[] for _ in run.inputs]
        blocks.append(
            [_joined(column, 0, y, x) for column, x in zip(columns, run.inputs, strict=True)]
        )
    return blocks


def _is_known(node):
    """Whether vmap is sure to follow a walk through a node: not into what users have written."""
    if node.plan is None or node.hooks is not None:
        return node.hooks is None
    return node.plan.op.is_ours and OPS.get(node.plan.op.name) is node.plan.op


def _many_rows(run, y):
    """The derivatives of an output by each input, by walks for AT_ONCE of its elements."""
    units = reshape(eye(y.size, dtype=y.dtype, device=y.device), (y.size, *y.shape))
    rows = vmap(lambda seed: run.pull_back([seed], [y], retain_graph=True))
    parts = [rows(units[i : i + AT_ONCE]) for i in range(0, y.size, AT_ONCE)]
    columns = zip(*parts, strict=True)
    return [
        reshape(concatenate(column), y.shape + x.shape)
        for column, x in zip(columns, run.inputs, strict=True)
    ]


def _by_columns(run, push):
    """One walk for each element of the inputs."""
    by_input = []
    for i, x in enumerate(run.inputs):
        columns = [push.leaves([i], [unit]) for unit in _units(x)]
        rows = zip(*columns, strict=True) if columns else [[] for _ in run.outputs]
        by_input.append([_joined(row, -1, y, x) for row, y in zip(rows, run.outputs, strict=True)])
    return [list(row) for row in zip(*by_input, strict=True)]


def _units(x):
    """Tensors like `x` with a 1 in one place and zeros elsewhere, for each place."""
    return [reshape(row, x.shape) for row in eye(x.size, dtype=x.dtype, device=x.device)]


def _joined(parts, axis, y, x):
    """The derivatives of `y` by `x` from those of, or by, one element each."""
    shape = y.shape + x.shape
    if not parts:
        return zeros(shape, dtype=x.dtype, device=x.device)
    joined = reshape(stack(parts, axis), shape)
    dtype = x.dtype if joined.dtype.kind != "c" else np.result_type(x.dtype, np.complex64)
    return joined if joined.dtype == dtype else astype(joined, dtype=dtype)
