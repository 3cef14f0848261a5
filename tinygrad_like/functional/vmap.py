"""vmap: a function of one example, applied to many at once."""

from functools import wraps

from tinygrad_like import backend
from tinygrad_like.engine import (
    Level,
    Tensor,
    check_choice,
    errors,
    mode,
    wrap,
)
from tinygrad_like.functional.evaluation import function
from tinygrad_like.functional.trees import flatten, spread_prefix
from tinygrad_like.ops.arrays.shape import moveaxis, normal_axis

RANDOMNESS = "different", "same"


def vmap(f, in_axes=0, out_axes=0, *, randomness="different"):
    """The function that applies `f` to many examples at once: `f` itself is written for one.

    f is called once. Its arguments look like one example, without the axis along which the
    examples lie, and every op that f calls is applied to all of them. So it costs about what f
    costs if it is written for batches by hand. vmaps nest, and they may be mixed with `grad` and
    its relatives at will: `vmap(grad(f))` gives a gradient for each example.

    Every op of the library has a rule for many examples, but those of `searchsorted`, `bincount`
    and `histogram`. These, and ops of your own (`tg.op`) without one, are applied to one example
    after the other, which is logged once.

    Args:
        f: a function of trees (see `grad`), which returns a tree of Tensors.
        in_axes: the axis of the examples in each argument: an integer for all arguments, or a
            tuple with an entry for each one: an integer, None where all examples share it, or a
            tree of these with the structure of the argument or of its upper part. Arguments by
            keyword are shared.
        out_axes: where that axis is put in each output, in the same form; None for an output
            that is the same for all examples.
        randomness: `"different"`: each example draws random numbers of its own; `"same"`: all
            draw the same ones.

    Returns:
        A function of f's arguments. It returns what f returns, with Tensors that have one more
        axis.

    Raises:
        TypeError: if f is no function, or an argument with an axis holds what is not an array.
        IndexError: if an array has no such axis.
        ValueError: if the arguments have different numbers of examples, or none has any.
        GraphError: where f asks for the value of an example (`if x > 0`, `.item()`), changes a
            Tensor in place, or an output's shape would depend on the values.

    Example:
        >>> import tinygrad_like as tg
        >>> points = tg.Tensor([[3.0, 4.0], [6.0, 8.0]], dtype="float64")
        >>> tg.vmap(tg.norm)(points).tolist()
        [5.0, 10.0]
        >>> tg.vmap(tg.grad(tg.norm))(points).tolist()
        [[0.6, 0.8], [0.6, 0.8]]
        >>> tg.vmap(tg.dot, in_axes=(0, None))(points, tg.Tensor([1.0, 2.0])).tolist()
        [11.0, 22.0]
    """
    function("vmap", f)
    alike = check_choice("vmap", "randomness", randomness, RANDOMNESS) == "same"

    @wraps(f)
    def of_all(*args, **kwargs):
        leaves, build = flatten(args)
        axes = spread_prefix(in_axes, args, owner="vmap", name="in_axes")
        names = build.paths("args")
        level = Level(_number_of_examples(leaves, axes, names), mode.vmap, alike)
        examples = [_an_example(level, x, axis) for x, axis in zip(leaves, axes, strict=True)]
        with level.running():
            result = f(*build(examples), **kwargs)
        outs, build = flatten(result)
        axes = spread_prefix(out_axes, result, owner="vmap", name="out_axes")
        names = build.paths("value")
        places = zip(outs, axes, names, strict=True)
        return build([_all_of_them(level, x, axis, name) for x, axis, name in places])

    return of_all


def _number_of_examples(leaves, axes, names):
    """How many examples the arguments hold, checked that all agree."""
    lengths = {}
    for x, axis, name in zip(leaves, axes, names, strict=True):
        if axis is None:
            continue
        if not isinstance(x, Tensor) and backend.of(x) is None:
            raise TypeError(
                f"[vmap] {name} is {errors.describe(x)}, expected a Tensor or an array with an "
                "axis of examples; an argument that all examples share has None in in_axes"
            )
        if not x.ndim:
            raise ValueError(f"[vmap] {name} is a number, and has no axis of examples")
        lengths[name] = x.shape[normal_axis("vmap", axis, x.ndim)]
    if not lengths:
        raise ValueError("[vmap] no argument has an axis of examples: in_axes has only None")
    if len(set(lengths.values())) > 1:
        given = ", ".join(f"{n} in {name}" for name, n in lengths.items())
        raise ValueError(f"[vmap] the arguments have different numbers of examples: {given}")
    count = next(iter(lengths.values()))
    if not count:
        raise ValueError(f"[vmap] {next(iter(lengths))} holds no examples, expected at least one")
    return count


def _an_example(level, x, axis):
    """An argument as f sees it."""
    if axis is None:
        return x
    x = x if isinstance(x, Tensor) else wrap(x)
    x = x if mode.grad else x.detach()
    return level.example(moveaxis(x, axis, 0) if axis else x)


def _all_of_them(level, x, axis, name):
    """An output of f with the axis of examples in its place."""
    if not isinstance(x, Tensor) and backend.of(x) is None:
        try:
            x = Tensor(x)
        except TypeError:
            raise TypeError(
                f"[vmap] f returned {errors.describe(x)} as {name}, expected a Tensor"
            ) from None
    x = level.lifted(x)
    if axis is None:
        if x.mapped:
            raise ValueError(
                f"[vmap] out_axes is None for {name}, which differs from example to example; "
                "give it an axis"
            )
        return x.inner
    full = x.full()
    axis = normal_axis("vmap", axis, full.ndim)
    return moveaxis(full, 0, axis) if axis else full
