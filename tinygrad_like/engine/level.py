"""Level: a vmap that runs, and the calls of ops on all of its examples.

A call of an op with a Batched among its inputs comes here, see `Level.call`. The op's `batch`, a
rule that stands beside the op or in batching.py, applies the op to the inner Tensors. An op without
such a rule is applied to one example after the other, which is logged once.
"""

import functools
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import BY_TYPE, INEXACT
from tinygrad_like.engine import errors
from tinygrad_like.engine.batched import BackendOfBatches, Batched
from tinygrad_like.engine.call import NUMBERS, record, record_outputs
from tinygrad_like.engine.loop import (
    UNKNOWN,
    apply_to_one,
    gradients_one_by_one,
    one_by_one,
    with_known_history,
)
from tinygrad_like.engine.modes import Switch, mode
from tinygrad_like.engine.plan import EXTRA, INPUT, OUT
from tinygrad_like.engine.tensor import Tensor, backend_of, wrap
from tinygrad_like.engine.walk import gradients_of_composite


class Level:
    """One vmap that runs: how many examples it has, and which vmap is around it.

    Args:
        size: the number of examples.
        around: the Level of the vmap inside which this one runs, or None.
        alike: whether all examples draw the same random numbers.
    """

    def __init__(self, size, around=None, alike=False):
        self.size, self.around, self.alike = size, around, alike
        self.depth = 0 if around is None else around.depth + 1

    def running(self):
        """A `with` block in which this is the innermost vmap."""
        return Switch("vmap", self)

    @contextmanager
    def again(self):
        """A `with` block in which this is the innermost vmap once more, within the present one.

        It is for rules that f has left for a backward pass outside.
        """
        around, depth = self.around, self.depth
        self.around = mode.vmap
        self.depth = 0 if mode.vmap is None else mode.vmap.depth + 1
        try:
            with self.running():
                yield
        finally:
            self.around, self.depth = around, depth

    def outside(self):
        """A `with` block in which this vmap does not run, but those around it do."""
        return Switch("vmap", self.around)

    def example(self, x):
        """A Tensor of all examples, (size, ...), as f sees it."""
        return wrap(Batched(_alias(x), self))

    def lifted(self, x):
        """Anything that an op takes, as a Batched of this level; numbers and None as they are."""
        if x is None or type(x) in NUMBERS:
            return x
        array = x._array if type(x) is Tensor else x
        if type(array) is Batched and array.level is self:
            return array
        if isinstance(x, np.generic):
            x = np.asarray(x)
        return Batched(_alias(x) if type(x) is Tensor else wrap(x), self, mapped=False)

    def _lifted_attribute(self, x):
        """The same for an attribute, where only what belongs to a vmap is lifted."""
        if type(x) in (tuple, list):
            return type(x)(map(self._lifted_attribute, x))
        return self.lifted(x) if type(x) is Batched else x

    def call(self, op, args, attributes, with_extra):
        """Apply an op to all examples; NotImplemented where nothing that it is given is Batched."""
        level = _deepest([*args, *attributes.values()])
        for drawing in attributes.get("levels", ()):
            if self._is_within(drawing) and (level is None or drawing.depth > level.depth):
                level = drawing
        if level is None:
            return NotImplemented
        if not self._is_within(level):
            errors.refuse_escaped(op.name, "an input")
        return level._apply(op, args, attributes, with_extra)

    def _is_within(self, level):
        """Whether a vmap is this one or one of those around it."""
        inner = self
        while inner is not None and inner is not level:
            inner = inner.around
        return inner is level

    def _apply(self, op, args, attributes, with_extra):
        arrays = [self.lifted(x) for x in _plain(op, args)]
        every = {k: self._lifted_attribute(v) for k, v in (op.attributes | attributes).items()}
        call = Call(self, op)
        try:
            out = call.of_all(arrays, every)
        except (ValueError, TypeError, IndexError) as error:
            errors.annotate(error, f"(inside vmap over {self.size} examples)")
            raise
        extra = call.extra
        if any(type(x) is Tensor for x in args):
            out = self._recorded(op, args, arrays, attributes, out, extra)
        return (out, extra) if with_extra else out

    def _recorded(self, op, args, arrays, attributes, out, extra):
        """The output as a Tensor, or a tuple of them, with nodes for derivatives inside f.

        A Tensor that came from outside f has its history in `inner`, where its node remains.
        """
        parents = [self._node_within(x) for x in args]
        mask = sum(1 << i for i, p in enumerate(parents) if p is not None)
        if "grad" in mode.changed or not op.differentiable:
            mask = 0
        be = backend.of(out[0] if op.several else out)
        if op.several:
            return record_outputs(op, mask, parents, args, arrays, attributes, out, be, extra)
        if not mask or out.dtype.kind not in INEXACT:
            return wrap(out)
        plan = op.plan(mask, len(arrays))
        return record(plan, parents, args, arrays, attributes, out, [0], be, extra)

    def _node_within(self, x):
        is_within = type(x) is Tensor and type(x._array) is Batched and x._array.level is self
        return x.node if is_within else None

    def backward(self, plan, saved, g):
        """The gradients of an op by input, by array; NotImplemented where its rules will do.

        They do where nothing is Batched, and for ops that are written in other ops. The
        `batch_backward` of a fused op runs its kernels on all examples. Where there is none, or
        the kernels would lose the history of an inner Tensor, its composite is differentiated.
        The rules of an op without `batch`, which may be any program, see one example at a time.
        """
        if plan.op.batch is not None and not plan.op.composite:
            return NotImplemented
        values = [*saved, *(g if type(g) is tuple else (g,))]
        level = _deepest(values)
        if level is None:
            return NotImplemented
        if not plan.op.composite:
            return gradients_one_by_one(level, plan, saved, g)
        rule = plan.op.batch_backward
        if rule is not None and all(map(level._is_plain, values)):
            kinds = (kind for kind, _ in plan.saves)
            lifted = [
                level._lifted_arrays(x) if kind in (INPUT, OUT, EXTRA) else x
                for kind, x in zip(kinds, saved, strict=True)
            ]
            found = rule(Call(level, plan.op), level._lifted_arrays(g), *plan.read(lifted))
            if found is not NotImplemented:
                return found
        return gradients_of_composite(plan, saved, g)

    def _lifted_arrays(self, x):
        """An array, or a tuple of them, as Batched ones of this level."""
        return tuple(map(self.lifted, x)) if type(x) is tuple else self.lifted(x)

    def _is_plain(self, x):
        """Whether a kernel can take the values of x and nothing is lost."""
        if type(x) is not Batched:
            return x is not UNKNOWN
        inner = x.inner
        is_recorded = inner.node is not None and mode.grad
        return x.level is self and type(inner._array) in BY_TYPE and not is_recorded


def _alias(x):
    """The same array and history in another Tensor: x itself may get another array some day."""
    return wrap(x._array, x.node, x.version)


class Call:
    """One op applied to all examples: what its `batch` works with."""

    def __init__(self, level, op):
        self.level, self.op, self.size = level, op, level.size
        self.extra: Any = None  # what the forward saves for its backward

    def of_all(self, arrays, attributes):
        """The output, or a tuple of outputs, as Batched ones of this level."""
        mapped = self.draws(attributes) or self._differs((*arrays, *attributes.values()))
        if not mapped:
            out = apply_to_one(self, arrays, attributes)
        elif self.op.batch is None:
            out = one_by_one(self, arrays, attributes)
        else:
            out = self.op.batch(self, arrays, attributes)
        lift = functools.partial(self._lift, mapped=mapped)
        if self.extra is not None:
            self.extra = tuple(map(lift, with_known_history(self.op, out, self.extra)))
        return tuple(map(lift, out)) if self.op.several else lift(out)

    def _differs(self, x):
        """Whether anything in a call's arguments differs from example to example."""
        if type(x) in (tuple, list):
            return any(map(self._differs, x))
        return type(x) is Batched and x.mapped

    def _lift(self, x, mapped):
        """An output of the op, or what it saved, as a Batched."""
        if x is UNKNOWN or not hasattr(x, "dtype"):
            return x
        return Batched(x if type(x) is Tensor else wrap(x), self.level, mapped)

    def __call__(self, *inputs, **attributes):
        """Apply the op itself to inner Tensors, numbers or None."""
        op = self.op
        args = ([*inputs],) if op.variadic else inputs
        if attributes.get("levels"):  # numbers are drawn for this vmap here, and not once more
            with self.level.outside():
                return self._applied(op, args, attributes)
        return self._applied(op, args, attributes)

    def _applied(self, op, args, attributes):
        if not op.saves:
            return op.function(*args, **attributes)
        out, self.extra = op.with_extra(*args, **attributes)
        return out

    def of_one(self, arrays, attributes):
        """Apply the op to the first example, for an error that the op has words for."""
        return apply_to_one(self, arrays, attributes)

    def by_definition(self, arrays, attributes):
        """Apply the op's composite to one example, instead of its kernel to all of them."""
        inputs = [wrap(x) if type(x) is Batched else x for x in arrays]
        out = self.op.composite(*inputs, **attributes)
        self.extra = (UNKNOWN,) * len(self.op.saves) if self.op.saves else None
        full = self.full
        return tuple(map(full, out)) if self.op.several else full(out)

    def draws(self, attributes):
        """Whether an op that draws at random does so for each example anew."""
        return self.level in attributes.get("levels", ())

    def separate(self, x, levels):
        """`separate` a Tensor of all examples for the vmaps around this one."""
        return _separate(x, levels, self.level.around)

    def full(self, x):
        """The Tensor of all examples of anything that an op takes: (size, *shape)."""
        x = self.level.lifted(x)
        return x.full() if type(x) is Batched else x

    def raw(self, x):
        """What a kernel takes for anything that a gradient rule reads: the arrays of all examples.

        A tuple is one of gradients, or of `needs`.
        """
        if type(x) is BackendOfBatches:
            return x.be
        if type(x) is tuple:
            return tuple(map(self.raw, x))
        return self.full(x)._array if hasattr(x, "dtype") and hasattr(x, "shape") else x

    def shared(self, x):
        """The array that all examples share, or None."""
        return x.inner._array if type(x) is Batched else x

    def gradients(self, arrays):
        """The gradients that a kernel returned, (size, *shape) each or None, as Batched ones."""
        return [None if a is None else Batched(wrap(a), self.level) for a in arrays]

    def folded(self, x):
        """`full` with the axis of examples joined to the next one: (size n, ...)."""
        x = self.full(x)
        return _folded(x) if hasattr(x, "shape") else x

    def raw_folded(self, x, axis=0):
        """`raw` with the axis of examples joined to an example's `axis`."""
        x = self.raw(x)
        if type(x) is tuple:
            return tuple(_folded(a, axis) if hasattr(a, "shape") else a for a in x)
        return _folded(x, axis) if hasattr(x, "shape") else x

    def unfolded(self, x, axis=0):
        """The opposite of `folded`, of a Tensor or an array: (size n, ...) as (size, n, ...)."""
        if x is None:
            return None
        shape = list(x.shape)
        shape[axis : axis + 1] = self.size, shape[axis] // max(self.size, 1)
        x = x.reshape(tuple(shape))
        return x if not axis else x.transpose((axis, *(i for i in range(len(shape)) if i != axis)))

    def unfold_extra(self, axis=0):
        """`unfolded` what the forward saved."""
        self.extra = [self.unfolded(x, axis) for x in self.extra]


def _folded(x, axis=0):
    if axis:
        x = x.transpose((*range(1, axis + 1), 0, *range(axis + 1, len(x.shape))))
    shape = list(x.shape)
    shape[axis : axis + 2] = [shape[axis] * shape[axis + 1]]
    return x.reshape(tuple(shape))


def _deepest(values):
    """The innermost level among the Batched ones in a call's arguments; None without any."""
    deepest = None
    for x in values:
        array = x._array if type(x) is Tensor else x
        if type(array) is Batched:
            level = array.level
        elif type(array) in (tuple, list):
            level = _deepest(array)
        else:
            continue
        if level is not None and (deepest is None or level.depth > deepest.depth):
            deepest = level
    return deepest


def _plain(op, args):
    """A call's inputs, with NumPy's scalars as numbers; anything that is no input is refused."""
    be = next((backend_of(x) for x in args if type(x) in (Tensor, Batched)), backend.CPU)
    traced = any(type(x) is Tensor for x in args)
    for i, x in enumerate(args):
        if x is None and not op.variadic and op.defaults[i] is not None:
            errors.refuse_input(op, i, len(args), x)
        if isinstance(x, np.generic):
            yield x.item() if traced else np.asarray(x)
        elif type(x) is np.ndarray and not x.ndim and op.numbers and traced:
            yield x.item()
        elif isinstance(x, np.ndarray):
            errors.refuse_subclass(op, i, len(args), x)
            yield be.from_host(np.asarray(x))
        elif type(x) in NUMBERS or x is None or backend_of(x) is not None:
            yield x
        else:
            errors.refuse_input(op, i, len(args), x)


def inside(x):
    """A Tensor as f sees it in the innermost vmap that runs, for a leaf that f differentiates by.

    What it was computed from outside f stays the history of the inner Tensor.
    """
    level = mode.vmap
    if level is None or (type(x._array) is Batched and x._array.level is level):
        return x
    return wrap(level.lifted(x))


def drawing():
    """The vmaps that run and whose examples draw random numbers of their own, the innermost first.

    An op that draws keeps them as its attribute `levels`: its gradient draws the same numbers once
    more, and other vmaps may run then.
    """
    level, found = mode.vmap, []
    while level is not None:
        if not level.alike:
            found.append(level)
        level = level.around
    return tuple(found)


def separate(x, levels):
    """A Tensor x, its history included, with a value of its own for each example of some vmaps."""
    return _separate(x, levels, mode.vmap)


def _separate(x, levels, level):
    if level is None or not levels:
        return x
    array = level.lifted(x)
    mapped = array.mapped or level in levels
    inner = _separate(array.full() if mapped else array.inner, levels, level.around)
    return wrap(Batched(inner, level, mapped), x.node if array is x._array else None)
