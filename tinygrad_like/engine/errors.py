"""What the engine says when something does not fit.

Every message has the form `[op] what it got, what it expected (the whole shapes)`, the same on
every device.
"""

import functools
import inspect
import os
import sys
import warnings

import numpy as np

from tinygrad_like import backend

_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")


class GraphError(ValueError, RuntimeError):
    """The recorded graph cannot do what was asked: nothing recorded, freed, stale, or not
    differentiable. A ValueError like all bad input, a RuntimeError as PyTorch users expect."""


def describe(x):
    """An object in an error message: its shape, or its type."""
    shape = getattr(x, "shape", None)
    return f"{shape}" if isinstance(shape, tuple) else f"a {type(x).__name__}"


def shapes(names, values):
    """`x: (2, 3), weight: (4,)` for the inputs of a call that are given."""
    given = [(n, v) for n, v in zip(names, values, strict=False) if v is not None]
    return ", ".join(f"{n}: {v.shape if hasattr(v, 'shape') else repr(v)}" for n, v in given)


def input_names(op, count):
    """The names of a call's inputs; a variadic op numbers them."""
    return [f"{op.inputs[0]}[{i}]" for i in range(count)] if op.variadic else op.inputs


def explain(op, arrays, error):
    """Raise a clearer error for one that a forward raised; return if it is clear already."""
    text = str(error)
    if text.startswith("["):
        return
    names = input_names(op, len(arrays))
    if isinstance(error, AttributeError):
        for i, a in enumerate(arrays):
            if not hasattr(a, "shape"):
                refuse_input(op, i, len(arrays), a)
        return
    if isinstance(error, ValueError) and "broadcast" in text:
        text = _broadcast_clash(names, arrays) or text
    message = f"[{op.name}] {text} ({shapes(names, arrays)})"
    kinds = IndexError, TypeError
    kind = next((k for k in kinds if isinstance(error, k)), ValueError)
    raise kind(message) from error


def composed(function):
    """Make the errors of a function composed of ops name the function, not the op inside it.

    An argument that is not a Tensor, array or number is refused by its name, as in an op.
    """
    name = function.__name__

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except AttributeError as error:
            given = inspect.signature(function).bind(*args, **kwargs).arguments
            culprit = error.obj
            first = args[0] if args else ""
            if culprit is None and not (hasattr(first, "shape") or isinstance(first, str)):
                culprit = first  # the backend of an object that is not an array is None
            _refuse_shapeless(name, given, culprit)
            raise
        except (ValueError, TypeError, IndexError) as error:
            text = str(error)
            inner = text.startswith("[")
            error.args = (f"[{name}] {text[text.index(']') + 2 :] if inner else text}",)
            raise

    return call


def _refuse_shapeless(name, arguments, culprit):
    """Raise TypeError if `culprit`, an object without a shape, is or is in one of the arguments."""
    for parameter, value in arguments.items():
        if value is culprit and not hasattr(value, "shape"):
            raise TypeError(_NO_ARRAY.format(name, parameter, describe(value))) from None
        if isinstance(value, (list, tuple)):
            numbered = {f"{parameter}[{i}]": member for i, member in enumerate(value)}
            _refuse_shapeless(name, numbered, culprit)


_NO_ARRAY = (
    "[{}] {} is {}, expected a Tensor, an array or a number; make it one with tg.Tensor(...)"
)


def _broadcast_clash(names, arrays):
    """The first axis, counted from the last, at which two inputs do not broadcast."""
    shaped = [(n, a.shape) for n, a in zip(names, arrays, strict=False) if hasattr(a, "shape")]
    for axis in range(1, max(len(s) for _, s in shaped) + 1):
        long = [(n, s[-axis]) for n, s in shaped if len(s) >= axis and s[-axis] != 1]
        for name, length in long[1:]:
            if length != long[0][1]:
                return (
                    f"axis {-axis} is {long[0][1]} in {long[0][0]}, {length} in {name}: "
                    "they do not broadcast"
                )
    return None


def refuse_input(op, index, count, value):
    """Raise TypeError for an input that is not a Tensor, array or number."""
    name = input_names(op, count)[index]
    if type(value) in backend.STAND_INS:
        refuse_escaped(op.name, name)
    raise TypeError(_NO_ARRAY.format(op.name, name, describe(value))) from None


def refuse_complex(op, arrays):
    """Raise TypeError if one of the inputs of an op that does not take complex numbers is."""
    for name, a in zip(input_names(op, len(arrays)), arrays, strict=True):
        if type(a) is complex or getattr(getattr(a, "dtype", None), "kind", "") == "c":
            cure = (
                "take tg.abs, tg.real or tg.imag of it first"
                if op.is_ours
                else "pass complex=True to tg.op if its gradient rules are right for them"
            )
            got = "a complex number" if type(a) is complex else f"of {a.dtype}"
            raise TypeError(f"[{op.name}] {name} is {got}, expected real numbers; {cure}") from None


def refuse_escaped(owner, name):
    """Raise GraphError for a Tensor from inside vmap that is used elsewhere."""
    raise GraphError(
        f"[{owner}] {name} is a Tensor from inside a vmap that has returned, or runs in another "
        "thread: it stands for one example, and has no value of its own. Let f return it"
    ) from None


def refuse_subclass(op, index, count, value):
    """Raise TypeError for an array that means more than its values: a mask, or another `*`."""
    name = input_names(op, count)[index]
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"[{op.name}] {name} is a masked array, whose mask would be lost; pass "
            "filled(...), or multiply by the mask"
        )
    if isinstance(value, np.matrix):
        raise TypeError(f"[{op.name}] {name} is a np.matrix, whose * means @; pass np.asarray(...)")


def refuse_mixed_devices(op, arrays):
    """Raise DeviceError for the arrays of one call, which are on different devices."""
    names = input_names(op, len(arrays))
    places = [(n, backend.of(a)) for n, a in zip(names, arrays, strict=True)]
    where = ", ".join(f"{n} is on {p.device}" for n, p in places if p is not None)
    raise backend.DeviceError(f"[{op.name}] {where}; bring them together with .to(device)")


def refuse_masked(owner, name, value):
    """Raise TypeError for a masked array, whose mask would be lost."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"[{owner}] {name} is a masked array, whose mask would be lost; fill it first"
        )


def refuse_tensors_within(data, tensor_type):
    """Raise TypeError for a (nested) list that contains Tensors or masked arrays.

    Their history, and the mask, would be lost.
    """
    refuse_masked("Tensor", "data", data)
    if isinstance(data, (list, tuple)):
        for x in data:
            if isinstance(x, tensor_type):
                raise TypeError(
                    "[Tensor] data is a list of Tensors, expected numbers; join them with tg.stack"
                )
            refuse_tensors_within(x, tensor_type)


def refuse_copy(node):
    """Raise GraphError for the copy of a recorded result, which would lose its gradient."""
    raise GraphError(
        f"[copy] this Tensor is the result of {node.plan.op.name}, and only leaves can be copied "
        "or pickled, since its gradient would be lost; use detach(), or .numpy() for the values"
    )


def no_graph(tensor, recording):
    """The message of a `backward` that has nothing to differentiate."""
    reason = (
        "nothing that it was computed from requires a gradient: pass requires_grad=True to the "
        "leaves, and look for detach(), .numpy() or no_grad() on the way"
    )
    if not recording:
        reason = "recording is off here: leave the no_grad() block"
    return f"[backward] this tensor of shape {tensor.shape} has no graph; {reason}"


def freed(node):
    """The error of a second walk through nodes whose saved arrays are gone."""
    return GraphError(
        f"[{node.plan.op.name}] backward ran through this part of the graph before and freed it"
        f"{called_at(node)}. Compute the forward pass anew for each backward; if a state is "
        "carried from step to step (a hidden state, a running loss), detach() it; only to "
        "differentiate the same graph twice, pass retain_graph=True the first time"
    )


def stale(node):
    """The error of a node whose saved input or output was changed before its rule could read it."""
    changed = ((name, at, counter[0]) for counter, at, name in node.versions if counter[0] != at)
    name, at, now = next(changed)
    return GraphError(
        f"[{node.plan.op.name}] {name} was changed in place after it was saved for the backward "
        f"pass (saved at version {at}, now {now}){called_at(node)}; change a copy, or do it after "
        "backward"
    )


def called_at(node):
    """In debug mode, where the user called the op of a node."""
    return f", called at {node.debug.line}" if node.debug else ""


def no_gradient_of(owner, what, dtype):
    """The message for a dtype that has no gradients."""
    hint = "; take its real part, its abs or another real number" if dtype.kind == "c" else ""
    return f"[{owner}] {what} is {dtype}, expected a floating one{hint}"


def no_gradient(op, index, value):
    """The error of a rule that returned None, or something else that is not an array."""
    return TypeError(
        f"[{op.name}] the gradient rule for {op.inputs[index]} returned {describe(value)}, "
        "expected an array"
    )


def annotate(error, text):
    """Add a line to an error's message (as a note, which Python has from 3.11 on)."""
    if hasattr(error, "add_note"):
        error.add_note(text)
    else:
        error.args = (f"{error}\n{text}",)


def caller():
    """(frame, level) of the innermost call that is not the library's own: the user's line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and os.path.abspath(frame.f_code.co_filename).startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return frame, level


def warn(text):
    """Warn, at the line of the user's call."""
    warnings.warn(text, stacklevel=caller()[1])


class Witness:
    """In debug mode: the user's line that made a call, and checksums of what it saved."""

    __slots__ = ("checksums", "line")

    def __init__(self, saved):
        frame, _ = caller()
        self.line = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"
        self.checksums = _checksums(saved)

    def verify(self, plan, saved):
        """Raise GraphError if a saved array no longer has the values it had."""
        if _checksums(saved) != self.checksums:
            raise GraphError(
                f"[{plan.op.name}] an array saved for the backward pass was changed behind the "
                f"library's back (a NumPy alias, or .data); the call was made at {self.line}"
            )


def watched(op):
    """In debug mode: an op's forward, which is refused if it changes an array it was given."""

    def run(be, *arrays, **attributes):
        before = _checksums(arrays), _checksums(attributes.values())
        out = op.forward(be, *arrays, **attributes)
        if (_checksums(arrays), _checksums(attributes.values())) != before:
            raise GraphError(
                f"[{op.name}] the forward changed an array that it was given: gradients of "
                "what was computed from that before would be wrong; let it compute on a copy"
            )
        return out

    return run


def _checksums(saved):
    """The fingerprints of all arrays in `saved`, those in tuples (several inputs) included."""
    flat = [a for s in saved for a in (s if isinstance(s, tuple) else (s,))]
    return [b.fingerprint(a) for a in flat if (b := backend.of(a)) is not None]
