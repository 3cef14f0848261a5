"""The function of an op, from its call to the recorded Tensor: what every op costs is here."""

import inspect
from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import FLOATING, INEXACT, holds, is_half, result_dtype
from tinygrad_like.engine import errors
from tinygrad_like.engine.errors import GraphError
from tinygrad_like.engine.modes import NOT_RECORDED, mode
from tinygrad_like.engine.plan import OutputPlan
from tinygrad_like.engine.tensor import Node, Tensor, blank, new_node, next_serial, wrap

BY_TYPE = backend.BY_TYPE
NO_ATTRIBUTES: dict[str, Any] = {}
NUMBERS = frozenset((int, float, bool, complex))
NOT_ARRAYS = NUMBERS | {type(None)}  # None: an optional input left out
# Errors of array modules, to be explained; OverflowError is a number that a dtype cannot hold.
FAULTS = ValueError, TypeError, IndexError, AttributeError, OverflowError


def function_of(record):
    """The public function of an op: unwraps Tensors, runs the forward, records a node."""
    forward, plans, attributes_known = record.forward, record.plans, record.attributes.keys()
    any_dtype, floating, view = record.any_dtype, record.floating, record.view
    saves_more = bool(record.saves)
    several, differentiable = record.several, bool(record.rules or record.backward)
    required, numbers = record.required, record.numbers
    count = -1 if record.variadic else len(record.inputs)
    most, first_attribute = count + len(record.attributes), next(iter(record.attributes), None)

    # The short ways: one Tensor, or two without attributes, as in most calls of most models, and
    # arrays, as in most rules. What is unusual they leave to `in_full`.
    quick = count in (1, 2) and not (several or saves_more or any_dtype)
    quick_one, quick_two = quick and count == 1, quick and count == 2 and not (view or floating)
    known_plans: list[Any] = [None] * 4  # of these short ways, by the set of inputs with a node

    def apply_to_one(a, attributes=NO_ATTRIBUTES):
        x = a._array
        main, recorded = type(x), not mode.changed
        if main not in BY_TYPE or (floating and x.dtype.kind in "biu"):
            return in_full((a,), attributes)
        if not recorded and mode.changed != NOT_RECORDED:
            return in_full((a,), attributes)
        if attributes is not NO_ATTRIBUTES:
            if type(attributes) is not dict:  # a second argument, of a method that has none
                return in_full((a, attributes), {})
            for name, value in attributes.items():
                if type(value) is Tensor or name not in attributes_known:
                    return in_full((a,), attributes)
        be = BY_TYPE[main]
        try:
            out = forward(be, x, **attributes)
        except FAULTS as error:
            errors.explain(record, (x,), error)
            raise
        if type(out) is not main:
            out = be.xp.asarray(out)
        if out.dtype is not x.dtype:
            out = _weak_integers(out, (x,))
            recorded = recorded and out.dtype.kind in INEXACT
        version = a.version if (view or out is x) and _shares_memory(be, out, x) else [0]
        node = a.node
        if node is None or not (recorded and differentiable):
            return wrap(out, None, version)
        plan = known_plans[1]
        if plan is None:
            plan = known_plans[1] = record.plan(1, 1)
        return _recorded(plan, (node,), (a,), (x,), attributes, out, version, be)

    def apply_to_two(a, b):
        if type(b) is not Tensor:
            return in_full((a, b), {})
        x, y = a._array, b._array
        main, recorded = type(x), not mode.changed
        if main is not type(y) or main not in BY_TYPE:
            return in_full((a, b), {})
        if not recorded and mode.changed != NOT_RECORDED:
            return in_full((a, b), {})
        be = BY_TYPE[main]
        try:
            out = forward(be, x, y)
        except FAULTS as error:
            errors.explain(record, (x, y), error)
            raise
        if type(out) is not main:
            out = be.xp.asarray(out)
        p, q = a.node, b.node
        if out.dtype is not x.dtype:
            out = _weak_integers(out, (x, y))
            recorded = recorded and out.dtype.kind in INEXACT
        elif p is None:  # x may be of integers
            recorded = recorded and out.dtype.kind in INEXACT
        version = a.version if out is x else b.version if out is y else [0]
        mask = (0 if p is None else 1) + (0 if q is None else 2)
        if not (mask and recorded and differentiable):
            return wrap(out, None, version)
        plan = known_plans[mask]
        if plan is None:
            plan = known_plans[mask] = record.plan(mask, 2)
        return _recorded(plan, (p, q), (a, b), (x, y), NO_ATTRIBUTES, out, version, be)

    def apply_to_any_two(*args, **attributes):
        if len(args) == 2 and not attributes:
            a, b = args
            kind = type(a)
            if kind is Tensor:
                return apply_to_two(a, b)
            if kind is type(b) and kind in BY_TYPE:
                try:
                    return forward(BY_TYPE[kind], a, b)
                except FAULTS as error:
                    errors.explain(record, args, error)
                    raise
        return apply_to_any(*args, **attributes)

    def apply_to_arrays(args, attributes):
        main = type(args[0])
        if (floating and args[0].dtype.kind in "biu") or type(args[-1]) is not main:
            return in_full(args, attributes)
        for name, value in attributes.items():
            if type(value) is Tensor or name not in attributes_known:
                return in_full(args, attributes)
        try:
            return forward(BY_TYPE[main], *args, **attributes)
        except FAULTS as error:
            errors.explain(record, args, error)
            raise

    def apply_to_any(*args, **attributes):  # long, but nothing is called in vain
        if len(args) > count > 0 and not attributes and len(args) <= most:
            if len(args) == count + 1 and first_attribute is not None:
                attributes = {first_attribute: args[count]}
            else:
                attributes = dict(zip(record.attributes, args[count:], strict=False))
            args = args[:count]
        if quick and len(args) == count:
            kind = type(args[0])
            if kind is not Tensor:
                if kind in BY_TYPE:
                    return apply_to_arrays(args, attributes)
            elif quick_one:
                return apply_to_one(args[0], attributes)
        return in_full(args, attributes)

    apply = apply_to_any_two if quick_two else apply_to_any

    def in_full(args, attributes):
        run = forward
        changed = mode.changed
        if changed:
            if "autocast" in changed and record.autocast is not None:
                return record.autocast(record, apply, args, attributes)
            if "debug" in changed:
                run = errors.watched(record)
        if len(args) != count or (attributes and not attributes.keys() <= attributes_known):
            args, attributes = record.bind(args, attributes)
        if attributes and any(type(value) is Tensor for value in attributes.values()):
            attributes = _raw_attributes(record, attributes)
        arrays: list[Any] = []
        parents: list[Any] = []
        mask, bit = 0, 1
        first: Any = None  # the first array of this call
        main = None  # and its type
        traced = odd = weak = False
        for a in args:
            kind = type(a)
            if kind in NUMBERS:
                weak = True
                parents.append(None)
                arrays.append(a)
                bit += bit
                continue
            if kind is Tensor:
                traced = True
                node = a.node
                if node is not None:
                    mask |= bit
                parents.append(node)
                a = a._array
                kind = type(a)
            else:
                parents.append(None)
                if a is None:
                    if required & bit:
                        errors.refuse_input(record, len(arrays), len(args), a)
                    arrays.append(a)
                    bit += bit
                    continue
                if numbers is not None and kind in BY_TYPE and not a.ndim:
                    odd = True
            if kind is not main:
                if main is None and kind in BY_TYPE:
                    first, main = a, kind
                else:
                    odd = True
            arrays.append(a)
            bit += bit
        if odd or main is None:
            if weak and not odd and not record.variadic:  # numbers alone: the first as a Tensor
                return apply(Tensor(args[0]), *args[1:], **attributes)
            first, main = _settle(record, args, arrays, traced)
            weak = True
        dtype = first.dtype
        if weak and dtype.itemsize == 2 and numbers is not None and _rounds(record, dtype, arrays):
            return numbers(apply, args, arrays, attributes)
        be = BY_TYPE[main]
        if floating and dtype.kind in "biu":
            arrays = [a.astype(np.float32) if _is_integer(a) else a for a in arrays]
            first = arrays[0]
            dtype = first.dtype
        try:
            out = run(be, *arrays, **attributes)
        except FAULTS as error:
            errors.explain(record, arrays, error)
            raise
        if saves_more:
            out, extra = out
        else:
            extra = None
        if not traced:
            return out
        recorded = mask and differentiable and "grad" not in changed
        if several:
            return _wrap_outputs(
                record, args, arrays, parents, mask if recorded else 0, attributes, out, extra, be
            )
        if type(out) is not main and type(out) not in BY_TYPE:
            out = be.xp.asarray(out)
        if out.dtype is not dtype:
            if not any_dtype:
                out = _weak_integers(out, arrays)
            if out.dtype.kind not in INEXACT:
                recorded = False
        if view or out is first or out is arrays[-1]:
            version = _shared_version(be, out, args, arrays)
        else:
            version = [0]
        if not recorded:
            return wrap(out, None, version)
        plan = plans.get((mask, len(arrays))) or record.plan(mask, len(arrays))
        t = _recorded(plan, parents, args, arrays, attributes, out, version, be, extra)
        if "debug" in changed and plan.saves:
            t.node.debug = errors.Witness(t.node.saved)
        return t

    signature = inspect.signature(forward)
    parameters = list(signature.parameters.values())[1:]
    # What serves as an operator or a method: called with Tensors, and without attributes.
    operator: Any = apply_to_two if quick_two else apply_to_one if quick_one else apply
    for function in (apply, operator):
        function.__name__ = function.__qualname__ = record.name
        function.__doc__, function.__module__ = forward.__doc__, forward.__module__
        vars(function).update(record=record, operator=operator)
        vars(function)["__signature__"] = signature.replace(parameters=parameters)
    return apply


def _recorded(plan, parents, args, arrays, attributes, out, version, be, extra=None):
    """The Tensor of a recorded call's output (new_node and wrap, written out)."""
    t = blank(Tensor)
    t._array = out
    t.version = version
    t.node = node = Node()
    node.plan = plan
    node.parents = parents
    node.serial = next_serial()
    node.shape = out.shape
    node.dtype = out.dtype
    if plan.saves:
        node.saved, node.versions = plan.save(args, arrays, attributes, out, (version,), extra, be)
    else:
        node.saved = node.versions = ()
    return t


def _shares_memory(be, out, x):
    """Whether an output may share memory with an input; what most views show is looked at first."""
    base = out.base
    return (
        out is x or (base is not None and (base is x or base is x.base)) or be.shares_memory(out, x)
    )


def _shared_version(be, out, args, arrays):
    """The version counter of the input whose memory the output shares; else a new one."""
    for x, array in zip(args, arrays, strict=True):
        if type(x) is Tensor and _shares_memory(be, out, array):
            return x.version
    return [0]


def _settle(record, args, arrays, traced):
    """Bring unusual inputs into a form that the forward can take, in place.

    NumPy scalars count as Python numbers beside a Tensor (so a float64 one promotes nothing), and
    in elementwise ops 0-d arrays as well; subclasses of ndarray as plain arrays. NumPy arrays
    beside a Tensor of another device are copied there. Returns the first array and its type.
    """
    for i, a in enumerate(arrays):
        if type(a) in NOT_ARRAYS:
            continue
        if isinstance(a, np.generic):
            arrays[i] = a.item() if traced else np.asarray(a)
        elif type(a) is np.ndarray and _counts_as_a_number(record, args[i], a, traced):
            arrays[i] = a.item()
        elif isinstance(a, np.ndarray) and type(a) not in BY_TYPE:
            errors.refuse_subclass(record, i, len(arrays), a)
            arrays[i] = np.asarray(a)
        elif backend.of(a) is None:
            errors.refuse_input(record, i, len(arrays), a)
    if traced:
        _bring_to_tensors(args, arrays)
    first = next((a for a in arrays if type(a) not in NOT_ARRAYS), None)
    if first is None:
        errors.refuse_input(record, 0, len(arrays), arrays[0])
    if any(type(a) is not type(first) and type(a) not in NOT_ARRAYS for a in arrays):
        errors.refuse_mixed_devices(record, arrays)
    return first, type(first)


def _counts_as_a_number(record, arg, array, traced):
    """Whether an input is a 0-d NumPy array beside a Tensor, in an op that takes numbers."""
    alone = traced and type(arg) is not Tensor and not array.ndim and array.dtype.kind in "biufc"
    return alone and record.numbers is not None


def _rounds(record, dtype, arrays):
    """Whether a half type would change what the Python numbers beside it mean.

    Arithmetic asks for the number itself, comparisons for one in range: `x == 0.1` is true of
    float16's 0.1.
    """
    exactly = not record.any_dtype
    return is_half(dtype) and any(
        type(a) in (int, float) and not holds(dtype, a, exactly) for a in arrays
    )


def _bring_to_tensors(args, arrays):
    """Copy NumPy arrays to the device of a call's first Tensor, in place."""
    be = next(backend.of(a._array) for a in args if type(a) is Tensor)
    for i, a in enumerate(arrays):
        if type(a) is np.ndarray and type(args[i]) is not Tensor:
            arrays[i] = be.from_host(a)


def _raw_attributes(record, attributes):
    """Attributes as arrays; they have no gradient, so a Tensor that wants one is refused."""
    for name, value in attributes.items():
        if type(value) is Tensor and value.node is not None and mode.grad:
            raise GraphError(
                f"[{record.name}] is not differentiable by {name}; "
                "detach() it if it is meant as a constant"
            )
    return {k: v._array if type(v) is Tensor else v for k, v in attributes.items()}


def _is_integer(a):
    return type(a) not in NOT_ARRAYS and a.dtype.kind in "biu"


def _weak_integers(out, arrays):
    """Integers and booleans do not decide a floating result's dtype, as in PyTorch.

    NumPy makes float64 of float32 * int64 and of int64 / int64: here they are float32, the dtype
    of the floating inputs or else the default.
    """
    if out.dtype.kind not in FLOATING:
        return out
    dtypes = [a.dtype for a in arrays if hasattr(a, "dtype") and a.dtype.kind in INEXACT]
    expected = result_dtype(*dtypes) if dtypes else np.dtype(np.float32)
    return out.astype(expected) if out.dtype.itemsize > expected.itemsize else out


def _wrap_outputs(record, args, arrays, parents, mask, attributes, outs, extra, be):
    """Record a call with several outputs: one node for the call, and one for each output.

    Outputs that are not floating (indices, signs of integers) carry no gradient.
    """
    outs = tuple(be.xp.asarray(o) for o in outs)
    versions = [_shared_version(be, o, args, arrays) if record.view else [0] for o in outs]
    if not mask:
        return tuple(map(wrap, outs, (None,) * len(outs), versions))
    plan = record.plan(mask, len(arrays))
    node = new_node(plan, parents, outs[0])
    node.shape = tuple(o.shape for o in outs)
    node.dtype = tuple(o.dtype for o in outs)
    node.saved, node.versions = plan.save(args, arrays, attributes, outs, versions, extra, be)
    if "debug" in mode.changed:
        node.debug = errors.Witness(node.saved)
    return tuple(
        wrap(o, new_node(OutputPlan(record, k), [node], o) if o.dtype.kind in INEXACT else None, v)
        for k, (o, v) in enumerate(zip(outs, versions, strict=True))
    )
