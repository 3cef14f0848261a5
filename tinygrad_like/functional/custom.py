"""Functions with gradients of their own: custom_gradient, stop_gradient, straight_through."""

from functools import wraps

from tinygrad_like import backend
from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import (
    GraphError,
    Tensor,
    astype,
    errors,
    mode,
    no_grad,
    wrap,
)
from tinygrad_like.engine.definition import Op
from tinygrad_like.engine.modes import Switch
from tinygrad_like.engine.plan import OutputPlan
from tinygrad_like.engine.tensor import new_node
from tinygrad_like.functional.evaluation import function
from tinygrad_like.functional.trees import flatten, map_tree
from tinygrad_like.ops.create import zeros


def custom_gradient(f):
    """Give a function of Tensors a gradient of its own; a decorator.

    As `tg.op` is for kernels on arrays, this is for functions made of ops: for a gradient that is
    known in a better form, that is to be clipped or scaled on its way back, or that the ops do
    not have.

    Args:
        f: f(*args) returns the pair (value, pull_back). The value is a Tensor or a tree of
            Tensors; pull_back(g), g of the value's structure, returns a tuple with a gradient for
            each argument, a tree like the argument, or None for no gradient. With one argument it
            may return the gradient itself.

    Returns:
        The function of f's arguments that returns the value. Arguments by keyword are constants.

    pull_back is written in ops, on Tensors. To differentiate it once more, it is recorded: it may
    use f's arguments and all that f computed from them.

    Raises:
        TypeError: if f or pull_back returns something else.
        ValueError: if a gradient has another shape than its argument.
        GraphError: if the value depends on a Tensor that requires a gradient and is no argument:
            it would get none.

    Example:
        >>> import tinygrad_like as tg
        >>> @tg.custom_gradient
        ... def log1pexp(x):  # the plain gradient, exp(x) / (1 + exp(x)), overflows
        ...     return tg.log(1 + tg.exp(x)), lambda g: g * tg.sigmoid(x)
        >>> tg.grad(log1pexp)(0.0).item()
        0.5
    """
    f = function("custom_gradient", f)

    @wraps(f)
    def with_its_gradient(*args, **kwargs):
        leaves, build = flatten(args)
        value, pull_back = _called(f, args, kwargs)
        if not mode.grad or not any(isinstance(x, Tensor) and x.node is not None for x in leaves):
            return value
        return _attached(leaves, build, value, pull_back)

    return with_its_gradient


def stop_gradient(tree):
    """A tree of the same values, whose Tensors count as constants; raw arrays are returned as such.

    Example:
        >>> import tinygrad_like as tg
        >>> tg.grad(lambda x: x * tg.stop_gradient(x))(3.0).item()
        3.0
    """
    return map_tree(lambda x: x.detach() if isinstance(x, Tensor) else x, tree)


def straight_through(f):
    """The function with the values of `f` and the gradient of the identity.

    For steps such as rounding and sampling, whose own gradient is zero or none. What f closes over
    gets no gradient.

    Args:
        f: a function of a Tensor that returns a Tensor of the same shape. Its value is cast to the
            dtype of the argument.

    Source: Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons".

    Example:
        >>> import tinygrad_like as tg
        >>> x = tg.Tensor([0.4, 1.6], requires_grad=True)
        >>> y = tg.straight_through(tg.round)(x)
        >>> (y * y).sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([0.0, 2.0], [0.0, 4.0])
    """
    f = function("straight_through", f)

    @custom_gradient
    def identity_with_values_of_f(x):
        with no_grad():
            y = f(x)
        if getattr(y, "shape", None) != getattr(x, "shape", ()):
            raise ValueError(
                f"[straight_through] f returned {errors.describe(y)}, expected the shape of its "
                f"argument, {getattr(x, 'shape', ())}"
            )
        return y if y.dtype == x.dtype else astype(y, dtype=x.dtype), lambda g: g

    @wraps(f)
    def straight(x):
        return identity_with_values_of_f(x)

    return straight


def _called(f, args, kwargs):
    """(value, pull_back) that f returned, checked."""
    result = f(*args, **kwargs)
    if not isinstance(result, tuple) or len(result) != 2 or not callable(result[1]):
        raise TypeError(
            f"[custom_gradient] {_name(f)} returned {errors.describe(result)}, expected the pair "
            "(value, pull_back), where pull_back(g) returns the gradients of the arguments"
        )
    return result


def _attached(leaves, build, value, pull_back):
    """The value as outputs of one recorded call, whose rule is pull_back.

    The node is made here and not by a call of an op, since there is nothing to compute.
    """
    outputs, of_value = flatten(value)
    outputs = [wrap(y) if backend.of(y) is not None else y for y in outputs]  # of raw arguments
    for y in outputs:
        if not isinstance(y, Tensor):
            raise TypeError(
                f"[custom_gradient] the value is {errors.describe(y)}, expected a Tensor or a tree "
                "of Tensors"
            )
    nodes = [x.node if isinstance(x, Tensor) else None for x in leaves]
    _refuse_others(nodes, outputs)
    mask = sum(1 << i for i, node in enumerate(nodes) if node is not None)
    plan = _CALL.plan(mask, len(nodes))
    rule = _Rule(leaves, build, of_value, pull_back)
    node = new_node(plan, nodes, outputs[0] if outputs else leaves[0])
    node.shape, node.dtype = tuple(y.shape for y in outputs), tuple(y.dtype for y in outputs)
    node.saved, node.versions = plan.save((), (), {}, (), (), (rule,), None)
    attached = []
    for k, y in enumerate(outputs):
        t = y.detach()
        if t.dtype.kind in INEXACT:
            t.node = new_node(OutputPlan(_CALL, k), [node], t)
        attached.append(t)
    return of_value(attached)


def _refuse_others(nodes, outputs):
    """Raise GraphError if the outputs depend on a leaf by another way than the arguments."""
    seen = {node for node in nodes if node is not None}
    found = [y.node for y in outputs if y.node is not None and y.node not in seen]
    for node in found:  # grows while it is walked
        if node.plan is None and not node.finished:
            raise GraphError(
                f"[custom_gradient] the value depends on a Tensor of shape {node.shape} that "
                "requires a gradient and is no argument: it would get none. Pass it as an "
                "argument, or detach() it"
            )
        for parent in node.parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                found.append(parent)


class _Rule:
    """How a call's pull_back becomes a gradient for each leaf of the arguments."""

    def __init__(self, leaves, build, of_value, pull_back):
        # Not the leaves themselves, which pull_back may not need any more.
        self.like = [(x.shape, x.dtype, x.device) if isinstance(x, Tensor) else () for x in leaves]
        self.build, self.of_value, self.pull_back = build, of_value, pull_back

    def __call__(self, gs, needs):
        """The gradients, a list, on raw arrays or on Tensors as the walk goes."""
        if isinstance(gs[0], Tensor):
            return self.gradients(gs, needs)
        with no_grad(), Switch("autocast", None):  # as for the rules of ops
            found = self.gradients([wrap(g) for g in gs], needs)
        return [None if g is None else g.data for g in found]

    def gradients(self, gs, needs):
        parts = self.pull_back(self.of_value(gs))
        children = self.build.children
        if len(children) == 1 and not isinstance(parts, tuple):
            parts = (parts,)
        if not isinstance(parts, tuple) or len(parts) != len(children):
            got = f"{len(parts)} gradients" if isinstance(parts, tuple) else errors.describe(parts)
            raise TypeError(
                f"[custom_gradient] pull_back returned {got}, expected a tuple with a gradient or "
                f"None for each of {len(children)} arguments"
            )
        found = []
        for i, (part, child) in enumerate(zip(parts, children, strict=True)):
            spread = child.prefix_of(part, "custom_gradient", f"gradient {i}")
            given = [g for g in spread if g is not None]
            if len(given) != len(flatten(part)[0]):  # one for several leaves
                child.leaves_of(part, "custom_gradient", f"gradient {i}")
            found += spread
        return [
            self._checked(g, i) if needed else None
            for i, (g, needed) in enumerate(zip(found, needs, strict=True))
        ]

    def _checked(self, g, i):
        """A gradient as a Tensor of its leaf's shape."""
        shape, dtype, device = self.like[i]
        if g is None:
            return zeros(shape, dtype=dtype, device=device)
        g = g if isinstance(g, Tensor) else Tensor(g, dtype=dtype, device=device)
        if g.shape != shape:
            raise ValueError(
                f"[custom_gradient] the gradient of {self.build.paths('args')[i]} has shape "
                f"{g.shape}, expected {shape}"
            )
        return g


def _name(f):
    return getattr(f, "__name__", type(f).__name__)


def _custom_gradient(be, *inputs):
    """The forward of a call that is already computed; it is never run."""
    raise NotImplementedError


# Not in OPS: it is no op that a program can call.
_CALL = Op(
    _custom_gradient,
    {},
    lambda gs, rule, needs: rule(gs, needs),
    None,
    saves=("rule",),
    several=True,
    view=False,
    any_dtype=True,
    floating=False,
)
