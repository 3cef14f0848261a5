"""Functions with gradients of their own: custom_gradient, stop_gradient, straight_through."""

from functools import wraps

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import (
    Batched,
    GraphError,
    Tensor,
    astype,
    conjugated,
    errors,
    mode,
    no_grad,
    wrap,
)
from tinygrad_like.engine.definition import Op
from tinygrad_like.engine.modes import Switch
from tinygrad_like.engine.options import in_order
from tinygrad_like.engine.plan import OutputPlan
from tinygrad_like.engine.tensor import new_node
from tinygrad_like.functional.evaluation import function
from tinygrad_like.functional.trees import flatten, map_tree
from tinygrad_like.ops.arrays.create import zeros


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
        The function of f's arguments that returns the value. Arguments by keyword that have no
        place (`*, k`) are constants.

    pull_back is written in ops, on Tensors, and sees gradients of complex numbers as `tg.vjp` gives
    them: of an analytic f it multiplies g by the conjugate of f'(z). To differentiate it once more,
    it is recorded: it may use f's arguments and all that f computed from them.

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
        if kwargs:
            args, kwargs = in_order(f, args, kwargs)
        leaves, build = flatten(args)
        value, pull_back = _called(f, args, kwargs)
        if not mode.grad:
            return value
        if not any(map(_is_recorded, leaves)):
            _refuse_any_others(flatten(value)[0])
            return value
        outputs, of_value = _outputs(value)
        return of_value(_attached(leaves, outputs, _Rule(leaves, build, of_value, pull_back)))

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
        dtype = getattr(x, "dtype", y.dtype)  # a Python number has none
        return y if y.dtype == dtype else astype(y, dtype=dtype), lambda g: g

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


def _is_recorded(x):
    """Whether x is a Tensor with a history, inside vmap also that of all examples."""
    if not isinstance(x, Tensor):
        return False
    array = x._array
    return x.node is not None or (type(array) is Batched and _is_recorded(array.inner))


def _outputs(value):
    """(the Tensors of the value, what builds a tree like it of others)."""
    outputs, of_value = flatten(value)
    outputs = [wrap(y) if backend.of(y) is not None else y for y in outputs]  # of raw arguments
    for y in outputs:
        if not isinstance(y, Tensor):
            raise TypeError(
                f"[custom_gradient] the value is {errors.describe(y)}, expected a Tensor or a tree "
                "of Tensors"
            )
    return outputs, of_value


def _attached(leaves, outputs, rule):
    """The outputs as those of one recorded call, whose gradients `rule` returns.

    The node is made here and not by a call of an op, since there is nothing to compute. Inside
    vmap there is a second one, for derivatives that are taken outside it.
    """
    level = mode.vmap
    if level is not None:
        arrays = _attached_outside(level, leaves, outputs, rule)
        outputs = [wrap(a, y.node) for a, y in zip(arrays, outputs, strict=True)]
    nodes = [x.node if isinstance(x, Tensor) else None for x in leaves]
    if not any(node is not None for node in nodes):
        return outputs
    _refuse_others(nodes, outputs)
    attached = [wrap(y._array, None, y.version) for y in outputs]
    mask = sum(1 << i for i, node in enumerate(nodes) if node is not None)
    plan = _CALL.plan(mask, len(nodes))
    node = new_node(plan, nodes, outputs[0] if outputs else leaves[0])
    node.shape, node.dtype = tuple(y.shape for y in outputs), tuple(y.dtype for y in outputs)
    node.saved, node.versions = plan.save((), (), {}, (), (), (rule,), None)
    for k, t in enumerate(attached):
        if t.dtype.kind in INEXACT:
            t.node = new_node(OutputPlan(_CALL, k), [node], t)
    return attached


def _attached_outside(level, leaves, outputs, rule):
    """What the outputs hold inside a vmap, with the history that they have outside it."""
    leaves = [level.lifted(x) if isinstance(x, Tensor) else None for x in leaves]
    outputs = [level.lifted(y) for y in outputs]
    differ = any(x is not None and x.mapped for x in (*leaves, *outputs))
    rule = _RuleOfAll(rule, level, leaves, differ)
    with level.outside():
        leaves = [None if x is None else x.inner for x in leaves]
        attached = _attached(leaves, [y.full() if differ else y.inner for y in outputs], rule)
    return [Batched(y, level, differ) for y in attached]


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


def _refuse_any_others(outputs):
    """The same where no argument is recorded, inside vmap also for what all examples depend on."""
    while outputs := [y for y in outputs if isinstance(y, Tensor)]:
        _refuse_others([], outputs)
        outputs = [y._array.inner for y in outputs if type(y._array) is Batched]


class _Rule:
    """How a call's pull_back becomes a gradient for each leaf of the arguments, all as Tensors."""

    def __init__(self, leaves, build, of_value, pull_back):
        # Not the leaves themselves, which pull_back may not need any more.
        self.like = [(x.shape, x.dtype, x.device) if isinstance(x, Tensor) else () for x in leaves]
        self.build, self.of_value, self.pull_back = build, of_value, pull_back

    def gradients(self, gs, needs):
        parts = self.pull_back(self.of_value([conjugated(g) for g in gs]))
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
        if not isinstance(g, Tensor):
            try:
                g = Tensor(g, dtype=dtype, device=device)
            except (TypeError, ValueError):
                raise TypeError(
                    f"[custom_gradient] the gradient of {self.build.paths('args')[i]} is "
                    f"{errors.describe(g)}, expected a Tensor or None"
                ) from None
        if g.shape != shape:
            raise ValueError(
                f"[custom_gradient] the gradient of {self.build.paths('args')[i]} has shape "
                f"{g.shape}, expected {shape}"
            )
        return conjugated(g)


class _RuleOfAll:
    """The rule of a call inside a vmap, for all examples.

    Args:
        rule: the rule for one example.
        level: the vmap.
        leaves: what one example sees of the arguments, Batched ones or None.
        differ: whether the outputs have an axis of examples.
    """

    def __init__(self, rule, level, leaves, differ):
        self.rule, self.level, self.differ = rule, level, differ
        self.mapped = [x is not None and x.mapped for x in leaves]

    def gradients(self, gs, needs):
        with self.level.again():
            gs = [wrap(Batched(g, self.level, self.differ)) for g in gs]
            found = self.rule.gradients(gs, needs)
            pairs = zip(found, self.mapped, strict=True)
            return [None if g is None else self._of_all(g, mapped) for g, mapped in pairs]

    def _of_all(self, g, mapped):
        """A leaf's gradient outside the vmap; that of a leaf which examples share is their sum."""
        g = self.level.lifted(g)
        with self.level.outside():
            if not self.differ:
                return g.inner
            return g.full() if mapped else g.full().sum(axis=0)


def _gradients(gs, rule, needs):
    """The gradients of a call by leaf: on Tensors, or on arrays where nothing is recorded.

    What stands for an array inside vmap may have a history, which stays.
    """
    if isinstance(gs[0], Tensor):
        return rule.gradients(gs, needs)
    is_recorded = mode.grad and type(gs[0]) is Batched
    with Switch("grad", is_recorded), Switch("autocast", None):  # as for the rules of ops
        gs = [np.asarray(g) if isinstance(g, np.generic) else g for g in gs]  # of no axes
        found = rule.gradients([wrap(g) for g in gs], needs)
    return [None if g is None else g._array for g in found]


def _name(f):
    return getattr(f, "__name__", type(f).__name__)


def _custom_gradient(be, *inputs):
    """The forward of a call whose outputs are there already, so that it never runs."""
    raise AssertionError("[custom_gradient] the outputs of a call are not computed by its op")


# Not in OPS: it is no op that a program can call.
_CALL = Op(
    _custom_gradient,
    {},
    _gradients,
    None,
    saves=("rule",),
    several=True,
    view=False,
    any_dtype=True,
    floating=False,
)
_CALL.batch = _custom_gradient  # its rule is written in ops: vmap need not show it single examples
