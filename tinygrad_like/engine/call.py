"""A call of an op, from its arguments to the recorded Tensor: unwrap, run, record.

    unwrap   the arguments as what the forward takes, and the nodes of those that have one
    run      the forward; an error of the array module names the op and its inputs
    record   the output as a Tensor, with a node that keeps what the gradient rules will read

This is the full path, which is right for every call of every op. Most calls take a shorter one,
see short.py.
"""

from typing import Any

import numpy as np

from tinygrad_like import backend
from tinygrad_like.backend import INEXACT, holds, is_half, result_dtype
from tinygrad_like.engine import errors
from tinygrad_like.engine.errors import GraphError
from tinygrad_like.engine.modes import mode
from tinygrad_like.engine.plan import OutputPlan
from tinygrad_like.engine.tensor import Node, Tensor, blank, new_node, next_serial, wrap

BY_TYPE = backend.BY_TYPE
NUMBERS = frozenset((int, float, bool, complex))
NOT_ARRAYS = NUMBERS | {type(None)}  # None: an optional input left out
# Errors of array modules, to be explained; OverflowError: a Python number too large for a dtype.
FAULTS = ValueError, TypeError, IndexError, AttributeError, OverflowError


def full_path(op, with_extra=False):
    """The function of an op that takes any call; see short.py for the public one.

    `with_extra`: it returns a pair, the output and what the forward saves for its backward.
    """
    forward, count, known, plans = op.forward, op.count, op.attributes.keys(), op.plans
    view, any_dtype, floating, saves = op.view, op.any_dtype, op.floating, op.saves
    several, differentiable, refuses = op.several, op.differentiable, not op.complex

    def call(*args, **attributes):
        changed = mode.changed
        if changed:
            if "profile" in changed:
                return changed["profile"].call(op, args, attributes, with_extra)
            if op.autocast is not None and "autocast" in changed:
                return op.autocast(op, op.function, args, attributes)
        if len(args) != count or (attributes and not attributes.keys() <= known):
            args, attributes = op.bind(args, attributes)
        if attributes:
            attributes = _raw_attributes(op, attributes)
        if changed and "vmap" in changed:
            of_all = changed["vmap"].call(op, args, attributes, with_extra)
            if of_all is not NotImplemented:
                return of_all
        if changed and "trace" in changed:
            return changed["trace"].call(op, args, attributes, with_extra)
        arrays, parents, mask, first, traced, weak = unwrap(op, args)
        if first is None:  # Python numbers alone: the first one as a Tensor
            return op.function(Tensor(args[0]), *args[1:], **attributes)
        if weak and first.dtype.itemsize == 2 and _rounds(op, first.dtype, arrays):
            return op.numbers(op.function, args, arrays, attributes)
        if floating and first.dtype.kind in "biu":
            arrays, first = _as_floats(arrays)
        if refuses and _is_complex(first, arrays) and "steps" not in changed:
            errors.refuse_complex(op, arrays)
        be = BY_TYPE[type(first)]
        run = errors.watched(op) if "debug" in changed else forward
        try:
            out = run(be, *arrays, **attributes)
        except FAULTS as error:
            errors.explain(op, arrays, error)
            raise
        out, extra = out if saves else (out, None)
        if not traced:
            return (out, extra) if with_extra else out
        mask = 0 if "grad" in changed or not differentiable else mask
        if several:
            t = record_outputs(op, mask, parents, args, arrays, attributes, out, be, extra)
            return (t, extra) if with_extra else t
        out = out if type(out) in BY_TYPE else be.xp.asarray(out)
        if out.dtype is not first.dtype and not any_dtype:
            out = without_promotion(out, arrays)
        shared = view or out is first or out is arrays[-1]
        version = _shared_version(be, out, args, arrays) if shared else [0]
        if not mask or out.dtype.kind not in INEXACT:
            t = wrap(out, None, version)
            return (t, extra) if with_extra else t
        plan = plans.get((mask, len(arrays))) or op.plan(mask, len(arrays))
        t = record(plan, parents, args, arrays, attributes, out, version, be, extra)
        if "debug" in changed and plan.saves:
            t.node.debug = errors.Witness(t.node.saved)
        return (t, extra) if with_extra else t

    return call


def _is_complex(first, arrays):
    """Whether there is a complex array, or number, among a call's inputs."""
    dtype = first.dtype
    if dtype.kind == "c":
        return True
    for a in arrays:
        if a is not first and getattr(a, "dtype", dtype) is not dtype and a.dtype.kind == "c":
            return True
    return complex in map(type, arrays)


def unwrap(op, args):
    """A call's inputs, as the forward takes them.

    Returns:
        arrays: raw arrays of one type, Python numbers, and None for inputs that are left out.
        parents: the node of each input, None for those that need no gradient.
        mask: a bit for each input with a node, the lowest one for the first input.
        first: the first array, whose dtype the result usually has; None if there is no array.
        traced: whether a Tensor is among the inputs.
        weak: whether a Python number is among them.
    """
    arrays: list[Any] = []
    parents: list[Any] = []
    mask, bit = 0, 1
    first: Any = None
    main: Any = None  # its type
    traced = odd = weak = False
    for a in args:
        node, kind = None, type(a)
        if kind is Tensor:
            traced = True
            node = a.node
            if node is not None:
                mask |= bit
            a = a._array
            kind = type(a)
        elif kind in NUMBERS:
            weak = True
            kind = main  # it does not decide which arrays the forward gets
        elif a is None:
            if op.required & bit:
                errors.refuse_input(op, len(arrays), len(args), a)
            kind = main
        elif op.numbers is not None and kind in BY_TYPE and not a.ndim:
            odd = True
        if kind is not main:
            if main is None and kind in BY_TYPE:
                first, main = a, kind
            else:
                odd = True
        arrays.append(a)
        parents.append(node)
        bit += bit
    if odd or (main is None and not (weak and not op.variadic)):
        first = _settle(op, args, arrays, traced)
        weak = True
    return arrays, parents, mask, first, traced, weak


def record(plan, parents, args, arrays, attributes, out, version, be, extra=None):
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


def record_outputs(op, mask, parents, args, arrays, attributes, outs, be, extra):
    """Record a call with several outputs: one node for the call, and one for each output.

    Outputs that are not floating (indices, signs of integers) carry no gradient.
    """
    outs = tuple(be.xp.asarray(o) for o in outs)
    versions = [_shared_version(be, o, args, arrays) if op.view else [0] for o in outs]
    if not mask:
        return tuple(map(wrap, outs, (None,) * len(outs), versions))
    plan = op.plan(mask, len(arrays))
    node = new_node(plan, parents, outs[0])
    node.shape = tuple(o.shape for o in outs)
    node.dtype = tuple(o.dtype for o in outs)
    node.saved, node.versions = plan.save(args, arrays, attributes, outs, versions, extra, be)
    if "debug" in mode.changed:
        node.debug = errors.Witness(node.saved)
    return tuple(
        wrap(o, new_node(OutputPlan(op, k), [node], o) if o.dtype.kind in INEXACT else None, v)
        for k, (o, v) in enumerate(zip(outs, versions, strict=True))
    )


def without_promotion(out, arrays):
    """Integers and booleans do not decide a floating result's dtype, as in PyTorch.

    NumPy makes float64 of float32 * int64 and of int64 / int64: here they are float32, the dtype
    of the floating inputs or else the default. A complex result has the precision of that dtype.
    """
    if out.dtype.kind not in INEXACT:
        return out
    dtypes = [a.dtype for a in arrays if hasattr(a, "dtype") and a.dtype.kind in INEXACT]
    expected = result_dtype(*dtypes) if dtypes else np.dtype(np.float32)
    if out.dtype.kind == "c":
        expected = np.result_type(expected, np.complex64)
    return out.astype(expected) if out.dtype.itemsize > expected.itemsize else out


def shares_memory(be, out, x):
    """Whether an output may share memory with an input; of most views the base tells at once."""
    base = out.base
    return (
        out is x or (base is not None and (base is x or base is x.base)) or be.shares_memory(out, x)
    )


def _shared_version(be, out, args, arrays):
    """The version counter of the input whose memory the output shares; else a new one."""
    for x, array in zip(args, arrays, strict=True):
        if type(x) is Tensor and shares_memory(be, out, array):
            return x.version
    return [0]


def _settle(op, args, arrays, traced):
    """Bring unusual inputs into a form that the forward can take, in place.

    NumPy scalars count as Python numbers beside a Tensor (so a float64 one promotes nothing), and
    in elementwise ops 0-d arrays as well; subclasses of ndarray as plain arrays. NumPy arrays
    beside a Tensor of another device are copied there. Returns the first array.
    """
    for i, a in enumerate(arrays):
        if type(a) in NOT_ARRAYS:
            continue
        if isinstance(a, np.generic):
            arrays[i] = a.item() if traced else np.asarray(a)
        elif type(a) is np.ndarray and _counts_as_a_number(op, args[i], a, traced):
            arrays[i] = a.item()
        elif isinstance(a, np.ndarray) and type(a) not in BY_TYPE:
            errors.refuse_subclass(op, i, len(arrays), a)
            arrays[i] = np.asarray(a)
        elif backend.of(a) is None or type(a) not in BY_TYPE:
            errors.refuse_input(op, i, len(arrays), a)
    if traced:
        _bring_to_tensors(args, arrays)
    first = next((a for a in arrays if type(a) not in NOT_ARRAYS), None)
    if first is None:
        errors.refuse_input(op, 0, len(arrays), arrays[0])
    if any(type(a) is not type(first) and type(a) not in NOT_ARRAYS for a in arrays):
        errors.refuse_mixed_devices(op, arrays)
    return first


def _counts_as_a_number(op, arg, array, traced):
    """Whether an input is a 0-d NumPy array beside a Tensor, in an op that takes numbers."""
    alone = traced and type(arg) is not Tensor and not array.ndim and array.dtype.kind in "biufc"
    return alone and op.numbers is not None


def _rounds(op, dtype, arrays):
    """Whether a half type would change what the Python numbers beside it mean.

    Arithmetic asks for the number itself, comparisons for one in range: `x == 0.1` is true of
    float16's 0.1.
    """
    if op.numbers is None or not is_half(dtype):
        return False
    exactly = not op.any_dtype
    return any(type(a) in (int, float) and not holds(dtype, a, exactly) for a in arrays)


def _bring_to_tensors(args, arrays):
    """Copy NumPy arrays to the device of a call's first Tensor, in place."""
    be = next(backend.of(a._array) for a in args if type(a) is Tensor)
    for i, a in enumerate(arrays):
        if type(a) is np.ndarray and type(args[i]) is not Tensor:
            arrays[i] = be.from_host(a)


def _raw_attributes(op, attributes):
    """Attributes, with Tensors as raw arrays; a gradient to be recorded is refused."""
    for name, value in attributes.items():
        if type(value) is Tensor:
            if value.node is not None and mode.grad:
                raise GraphError(
                    f"[{op.name}] is not differentiable by {name}; "
                    "detach() it if it is meant as a constant"
                )
            attributes = {**attributes, name: value._array}
    return attributes


def _as_floats(arrays):
    """(a call's inputs, integer arrays as float32; the first array)."""
    arrays = [a.astype(np.float32) if _is_integer(a) else a for a in arrays]
    return arrays, next(a for a in arrays if type(a) not in NOT_ARRAYS)


def _is_integer(a):
    return type(a) not in NOT_ARRAYS and a.dtype.kind in "biu"
