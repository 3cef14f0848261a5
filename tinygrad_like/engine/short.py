"""Short paths through an op, which most calls take: one Tensor, two of them, or raw arrays.

The full path (call.py) finds out what every input is. That takes about as long as a small op, and
in most calls the answer is known: an operator or a method has one Tensor, and maybe another one or
an array or a number; a gradient rule has raw arrays. The short paths only check that it is so, and
leave anything else to the full path: None, arrays of two devices, numbers beside half types,
autocast and debug modes, arguments that the op does not have. The calls that they do take must end
as on the full path: with the same values and dtypes, nodes, version counters and errors.
tests/engine/test_short_paths.py checks this for every row of the op tests.

The paths repeat each other, since a shared function would cost each op one more Python call.
"""

from typing import Any

from tinygrad_like import backend
from tinygrad_like.backend import INEXACT
from tinygrad_like.engine import errors
from tinygrad_like.engine.call import (
    FAULTS,
    NUMBERS,
    full_path,
    record,
    shares_memory,
    without_promotion,
)
from tinygrad_like.engine.modes import NOT_RECORDED, mode
from tinygrad_like.engine.tensor import Tensor, wrap

BY_TYPE = backend.BY_TYPE
NO_ATTRIBUTES: dict[str, Any] = {}
ABSENT: Any = object()  # in place of an argument that is not given


def function_of(op):
    """The public function of an op; its attribute `operator` serves as an operator or a method.

    The latter is always called with a Tensor first, and without attributes.
    """
    in_full = full_path(op)
    simple = not (op.several or op.saves or op.any_dtype)
    if simple and op.count == 1:
        operator = _of_a_tensor(op, in_full)
        function = _of_any(op, operator, in_full)
    elif simple and op.count == 2 and not (op.view or op.floating):
        operator = _of_two(op, in_full)
        function = _of_any_two(op, operator, in_full)
    elif simple and op.count == 2:
        function = operator = _of_any(op, None, in_full)
    else:
        function = operator = in_full
    parameters = list(op.signature.parameters.values())[1:]
    signature = op.signature.replace(parameters=parameters)
    for f in (function, operator):
        f.__name__ = f.__qualname__ = op.name
        f.__doc__, f.__module__ = op.forward.__doc__, op.forward.__module__
        vars(f).update(op=op, operator=operator, __signature__=signature)
    return function


def _of_any(op, of_a_tensor, in_full):
    """Sorts the calls of an op of one input or two: one Tensor, arrays, all others."""
    count, most = op.count, op.count + len(op.attributes)
    first_attribute: Any = next(iter(op.attributes), None)
    of_arrays = _of_arrays(op, in_full)

    def function(*args, **attributes):
        if len(args) > count and not attributes and len(args) <= most:
            if len(args) == count + 1:
                attributes = {first_attribute: args[count]}
            else:
                attributes = dict(zip(op.attributes, args[count:], strict=False))
            args = args[:count]
        if len(args) == count:
            kind = type(args[0])
            if kind is not Tensor:
                if kind in BY_TYPE:
                    return of_arrays(args, attributes)
            elif of_a_tensor is not None:
                return of_a_tensor(args[0], attributes)
        return in_full(*args, **attributes)

    return function


def _of_any_two(op, of_two, in_full):
    """Sorts the calls of an op of two inputs: a Tensor first, two arrays, all others."""
    forward, of_others, refuses = op.forward, _of_any(op, None, in_full), not op.complex

    def function(a=ABSENT, b=ABSENT, /, *more, **attributes):
        if b is not ABSENT and not more and not attributes:
            kind = type(a)
            if kind is Tensor:
                return of_two(a, b)
            if kind is type(b):
                try:
                    be = BY_TYPE[kind]
                except KeyError:
                    return of_others(a, b)
                if refuses and ((dtype := a.dtype).kind == "c" or dtype is not b.dtype):
                    return in_full(a, b)
                try:
                    return forward(be, a, b)
                except FAULTS as error:
                    errors.explain(op, (a, b), error)
                    raise
        return of_others(*(x for x in (a, b, *more) if x is not ABSENT), **attributes)

    return function


def _unusual(op):
    """The kinds of dtypes that the full path converts or refuses."""
    return ("biu" if op.floating else "") + ("" if op.complex else "c")


def _of_arrays(op, in_full):
    """The path of raw arrays."""
    forward, unusual, known = op.forward, _unusual(op), op.attributes.keys()
    refuses_second = op.count == 2 and not op.complex

    def apply_to_arrays(args, attributes):
        main = type(args[0])
        if (unusual and args[0].dtype.kind in unusual) or type(args[-1]) is not main:
            return in_full(*args, **attributes)
        if refuses_second and args[1].dtype.kind == "c":
            return in_full(*args, **attributes)
        if attributes:
            if "vmap" in mode.changed:  # an index may differ from example to example
                return in_full(*args, **attributes)
            for name, value in attributes.items():
                if type(value) is Tensor or name not in known:
                    return in_full(*args, **attributes)
        try:
            return forward(BY_TYPE[main], *args, **attributes)
        except FAULTS as error:
            errors.explain(op, args, error)
            raise

    return apply_to_arrays


def _of_a_tensor(op, in_full):
    """The path of one Tensor, with attributes or without."""
    forward, view, unusual, known = op.forward, op.view, _unusual(op), op.attributes.keys()
    differentiable, plan_of_it = op.differentiable, None

    def apply_to_a_tensor(a, attributes=NO_ATTRIBUTES):
        nonlocal plan_of_it
        x = a._array
        main, recorded = type(x), not mode.changed
        try:
            be = BY_TYPE[main]
        except KeyError:
            return in_full(a, **attributes)
        if unusual and x.dtype.kind in unusual:
            return in_full(a, **attributes)
        if not recorded and mode.changed != NOT_RECORDED:
            return in_full(a, **attributes)
        if attributes is not NO_ATTRIBUTES:
            if type(attributes) is not dict:  # a second argument, of a method that has none
                return in_full(a, attributes)
            for name, value in attributes.items():
                if type(value) is Tensor or name not in known:
                    return in_full(a, **attributes)
        try:
            out = forward(be, x, **attributes) if attributes else forward(be, x)
        except FAULTS as error:
            errors.explain(op, (x,), error)
            raise
        if type(out) is not main:
            out = be.xp.asarray(out)
        if out.dtype is not x.dtype:
            out = without_promotion(out, (x,))
            recorded = recorded and out.dtype.kind in INEXACT
        version = a.version if (view or out is x) and shares_memory(be, out, x) else [0]
        node = a.node
        if node is None or not (recorded and differentiable):
            return wrap(out, None, version)
        if plan_of_it is None:
            plan_of_it = op.plan(1, 1)
        return record(plan_of_it, (node,), (a,), (x,), attributes, out, version, be)

    return apply_to_a_tensor


def _of_two(op, in_full):
    """The path of a Tensor, and another one or an array or a Python number, without attributes.

    0-d arrays may count as numbers, and a half type may round a number: both take the full path.
    """
    forward, differentiable, refuses = op.forward, op.differentiable, not op.complex
    plans: list[Any] = [None] * 4  # by the set of inputs with a node

    def apply_to_two(a, b):
        x = a._array
        main, recorded = type(x), not mode.changed
        if type(b) is Tensor:
            y, q = b._array, b.node
            if type(y) is not main:
                return in_full(a, b)
        elif (type(b) is main and b.ndim) or (type(b) in NUMBERS and x.dtype.itemsize != 2):
            y, q = b, None
        else:
            return in_full(a, b)
        if not recorded and mode.changed != NOT_RECORDED:
            return in_full(a, b)
        if refuses and (
            x.dtype.kind == "c" or (y.dtype.kind == "c" if type(y) is main else type(y) is complex)
        ):
            return in_full(a, b)
        try:
            be = BY_TYPE[main]
        except KeyError:
            return in_full(a, b)
        try:
            out = forward(be, x, y)
        except FAULTS as error:
            errors.explain(op, (x, y), error)
            raise
        if type(out) is not main:
            out = be.xp.asarray(out)
        p = a.node
        if out.dtype is not x.dtype:
            out = without_promotion(out, (x, y))
            recorded = recorded and out.dtype.kind in INEXACT
        elif p is None:  # x may be of integers
            recorded = recorded and out.dtype.kind in INEXACT
        version = a.version if out is x else b.version if out is y and type(b) is Tensor else [0]
        mask = (0 if p is None else 1) + (0 if q is None else 2)
        if not (mask and recorded and differentiable):
            return wrap(out, None, version)
        plan = plans[mask]
        if plan is None:
            plan = plans[mask] = op.plan(mask, 2)
        return record(plan, (p, q), (a, b), (x, y), NO_ATTRIBUTES, out, version, be)

    return apply_to_two
