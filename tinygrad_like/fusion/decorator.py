"""The decorator `fuse`, and the op that a traced function becomes."""

import inspect
import logging
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np

from tinygrad_like.backend import BY_DEVICE, BY_TYPE, DeviceError
from tinygrad_like.engine import (
    Tensor,
    enable_grad,
    errors,
    gradients,
    leaf,
    no_grad,
    nodes_below,
    wrap,
)
from tinygrad_like.engine.definition import Op
from tinygrad_like.engine.modes import Switch, mode
from tinygrad_like.engine.options import in_order
from tinygrad_like.engine.short import function_of
from tinygrad_like.fusion.identities import simplified
from tinygrad_like.fusion.program import Program
from tinygrad_like.fusion.terms import FULL, ROW, NotFusible, Terms
from tinygrad_like.fusion.traced import Traced
from tinygrad_like.fusion.watched import Watched
from tinygrad_like.generator import GENERATOR

REAL = np.dtype(np.float32), np.dtype(np.float64)
MOST = 64  # traces of one function that are kept
CONSTANTS = bool, int, float, str, type(None)  # of arguments
RESERVED = {"g", "out", "be", "needs"}  # names with a meaning in a gradient rule


def fuse(f):
    """Compile a function of elementwise ops and reductions along the last axis into one loop.

    The first call with arguments of new shapes or dtypes traces `f`: its ops become one loop, and
    the gradient's another, compiled by numba on the CPU (which takes some seconds, once for all
    processes) and by CUDA on a GPU. Derivatives of every order are those of `f`.

    Args:
        f: a function of Tensors, raw arrays and constants that returns one Tensor. It may use
            arithmetic, comparisons, where, clip, abs, exp, expm1, log, log1p, sqrt, rsqrt, square,
            sin, cos, tanh, erf, powers, the activations of this library, and sum, mean, max and min
            along the last axis. Its arguments broadcast along the last axis or all others.

    Returns:
        The function with the arguments of `f`. Numbers, strings and booleans among them are
        constants: each new value is traced anew, but compiled no more. So are global names and
        those of a closure, which are compared before every call.

    What cannot be fused runs as if `fuse` were not there, and is named once in the log: other ops,
    control flow that depends on values, Tensors, lists and objects from outside (pass them as
    arguments), bound methods and Modules, which have such inside, random numbers, integers and half
    types, more than one result. Effects of `f` beside its result,
    as printing, happen only when it is traced.

    Raises TypeError if `f` is not a function.

    Example:
        >>> import tinygrad_like as tg
        >>> @tg.fuse
        ... def swish_gate(a, b):
        ...     return tg.silu(a) * b
        >>> swish_gate(tg.zeros((2, 3)), tg.ones((2, 3))).shape
        (2, 3)
    """
    if not callable(f):
        raise TypeError(f"[fuse] f is {errors.describe(f)}, expected a function of Tensors")
    fused = _Fused(f)
    traces = fused.traces

    @wraps(f)
    def call(*args, **kwargs):
        if mode.changed and "trace" in mode.changed:  # what records ops sees those of f
            return f(*args, **kwargs)
        if kwargs:
            return fused.call(args, kwargs)
        key: list[Any] = []
        for a in args:
            x = a._array if type(a) is Tensor else a
            if type(x) not in BY_TYPE:
                return fused.call(args, kwargs)
            key += type(a), type(x), x.dtype, x.shape
        last_key, found = fused.last
        if key != last_key:  # comparing is quicker than looking it up
            found = traces.get(tuple(key))
            fused.last = key, found
        if found is None or fused.watched.changed():
            return fused.call(args, kwargs)
        return found(*args)

    call.fuses = f  # type: ignore[attr-defined]
    return call


class _Fused:
    """A function, and what it became for each kind of arguments."""

    def __init__(self, f):
        self.f = f
        self.traces: dict[Any, Any] = {}  # None for what runs unfused
        self.watched: Any = None
        self.said: set[str] = set()
        self.last: Any = None, None  # the key of the last call of arrays, and its trace

    def call(self, args, kwargs):
        """The result for any arguments; `fuse` itself has a shorter way for known arrays."""
        if kwargs:
            args, kwargs = in_order(self.f, args, kwargs)
        if any(type(a) is Tensor and type(a._array) not in BY_TYPE for a in args):
            return self.f(
                *args, **kwargs
            )  # a transform of the library traces f with its own arrays
        key = [*_key(args), *(("=", name, *_key([value])) for name, value in kwargs.items())]
        try:
            found = self.traces.get(tuple(key), self)
        except TypeError:  # an argument that cannot be a constant
            self._say("an argument is neither an array nor a constant")
            return self.f(*args, **kwargs)
        if found is self or (self.watched is not None and self.watched.changed()):
            found = self._trace(tuple(key), args, kwargs)
        return found(*args) if found is not None else self.f(*args, **kwargs)

    def _trace(self, key, args, kwargs):
        """What computes this kind of call: a function of the arguments; None for f itself."""
        if len(self.traces) >= MOST or (self.watched is not None and self.watched.changed()):
            self.traces.clear()
            self.watched = None
        found = None
        try:
            if _are_for_us(args):
                if self.watched is None:
                    self.watched = Watched(self.f)
                found = _Trace(self.f, args, kwargs).call
        except NotFusible as reason:
            self._say(str(reason))
        except DeviceError:  # of what is traced, and what is not
            self._say("it computes with an array that is no argument: pass it as one")
        except Exception as error:  # f itself, called unfused, says what is wrong
            unknown = getattr(error, "name", None) if isinstance(error, AttributeError) else None
            self._say(f"it calls {unknown}" if unknown else f"{type(error).__name__}: {error}")
        self.traces[key] = found
        self.last = None, None
        return found

    def _say(self, reason):
        """Log once why a function is not fused."""
        if reason not in self.said:
            self.said.add(reason)
            name = getattr(self.f, "__qualname__", repr(self.f))
            logging.getLogger(__name__).warning("[fuse] %s runs unfused: %s", name, reason)


def _key(args):
    """What tells calls apart that are traced separately."""
    key: list[Any] = []
    for a in args:
        x = _array(a)
        if type(x) in BY_TYPE:
            key += type(a), type(x), x.dtype, x.shape
        else:
            key += type(x), x.hex() if type(x) is float else x
    return key


def _array(a):
    return a._array if type(a) is Tensor else a


def _are_for_us(args):
    """Whether arguments may be fused: NotFusible says why not, False is not worth a word."""
    arrays = [_array(a) for a in args if type(_array(a)) in BY_TYPE]
    devices = BY_DEVICE.values()
    if not arrays or any(BY_TYPE[type(x)] not in devices for x in arrays):
        return False  # constants alone, or arrays that are themselves traced
    for a in args:
        if type(_array(a)) not in CONSTANTS and type(_array(a)) not in BY_TYPE:
            raise NotFusible(f"an argument is a {type(a).__name__}")
    if len({x.dtype for x in arrays}) > 1 or arrays[0].dtype not in REAL:
        dtypes = ", ".join(sorted({str(x.dtype) for x in arrays}))
        raise NotFusible(f"the arguments are of {dtypes}, expected float32 or float64 alone")
    if len({type(x) for x in arrays}) > 1:
        return False  # the ops bring them to one device, or say what is wrong
    shape = np.broadcast_shapes(*(x.shape for x in arrays))
    return bool(shape) and 0 not in shape


class _Trace:
    """A function traced for some shapes, dtypes and constants: an op whose kernels are loops."""

    def __init__(self, f, args, kwargs):
        self.f, self.args, self.kwargs = f, args, kwargs
        self.places = [i for i, a in enumerate(args) if type(_array(a)) in BY_TYPE]
        self.count = len(args)
        arrays = [_array(args[i]) for i in self.places]
        shape = np.broadcast_shapes(*(x.shape for x in arrays))
        self.args = [None if i in self.places else a for i, a in enumerate(args)]
        rows = int(np.prod(shape[:-1], dtype=np.int64))
        self.terms = terms = Terms(rows, shape[-1], arrays[0].dtype)
        self.are_tensors = [type(args[i]) is Tensor for i in self.places]
        self.inputs = [_stand_in(terms, k, x.shape) for k, x in enumerate(arrays)]
        without_random = GENERATOR.refusing(NotFusible("it takes random numbers"))
        with without_random, _in_usual_modes():
            self._run()
            op = self._op()
        self.op = op.function
        plain = len(self.places) == self.count and all(self.are_differentiated)
        self.call = self.op if plain else self._of_some

    def _of_some(self, *args):
        """The result for arguments among which are constants, or some without a gradient."""
        given = [args[i] for i in self.places]
        for k, x in enumerate(given):
            if type(x) is Tensor and not self.are_differentiated[k]:
                given[k] = x.detach()
        return self.op(*given)

    def composite(self, *tensors):
        """f itself, of the arguments that are arrays."""
        args = list(self.args)
        for i, x in zip(self.places, tensors, strict=True):
            args[i] = x
        return self.f(*args, **self.kwargs)

    def _run(self):
        """Call f twice, without and with recording.

        In the first call the arguments are of the kinds that were given, arrays or Tensors, and a
        change in place would be noticed; the second one records the gradient.
        """
        given = zip(self.inputs, self.are_tensors, strict=True)
        self.terms.are_arguments_watched = True
        with no_grad():
            value = self.composite(*[wrap(x) if is_tensor else x for x, is_tensor in given])
        self.terms.are_arguments_watched = False
        self.leaves = [leaf(x) for x in self.inputs]
        with enable_grad():
            self.output = self.composite(*self.leaves)
        for y in (value, self.output):
            if type(_array(y)) is not Traced:
                raise NotFusible(f"it returns {errors.describe(y)}, expected one Tensor")
        self.out = self.output._array
        if _array(value).term is not self.out.term or _array(value).shape != self.out.shape:
            raise NotFusible("it computes something else where gradients are recorded")
        if self.out.term.place not in (FULL, ROW) or self.out.dtype != self.terms.dtype:
            raise NotFusible("its result has no value for each row")
        below = nodes_below(self.output)
        self.are_differentiated = [x.node in below for x in self.leaves]
        if not any(self.are_differentiated):
            raise NotFusible("its result has no gradient")

    def _op(self):
        """The op: its forward, its gradient, and what the first keeps for the second."""
        terms, out = self.terms, self.out
        mark = terms.mark()
        self.g = Traced(terms, terms.make("gradient", place=out.term.place), out.shape, out.dtype)
        inputs = {x.term: k for k, x in enumerate(self.inputs)}
        every = self._gradients(self.are_differentiated)
        recomputing = self._way(every, list(inputs), mark)
        reading = self._way(every, [*inputs, out.term], mark)
        _, kept, self.given = min(reading, recomputing, key=lambda way: way[0])
        self.programs: dict[tuple[bool, ...], Program] = {}
        rows = [Traced(terms, term, (terms.rows,), terms.dtype) for term in kept]
        return self._defined(Program([out, *rows], inputs), list(inputs), kept)

    def _way(self, results, known, mark):
        """A way to the gradients from `known` terms: (cost, kept, given).

        kept: the rows that the forward loop keeps for it. given: the terms that the rule is given.
        """
        given = _terms_below(
            [x.term for x in results],
            lambda term: term in known or (term.serial < mark and term.place == ROW),
        )
        cost = Program(results, dict.fromkeys([*given, self.g.term], 0)).cost()
        return cost, [term for term in given if term not in known], given

    def _gradients(self, needs):
        """The gradients of the inputs that need one, as Traced arrays."""
        wanted = [x for x, needed in zip(self.leaves, needs, strict=True) if needed]
        found = gradients([self.output], wanted, [wrap(self.g)], retain_graph=True)
        for x in (each._array for each in found):
            x.term = simplified(self.terms, x.term)
        return [each._array for each in found]

    def _backward_program(self, needs):
        """The Program of some gradients, of what the rule is given, and g."""
        found = self.programs.get(needs)
        if found is None:
            with _in_usual_modes():
                results = self._gradients(needs)
            given = {term: k for k, term in enumerate([*self.given, self.g.term])}
            found = Program(results, given)
            self.programs[needs] = found
        return found

    def _defined(self, program, inputs, kept):
        """The Op; its functions name their parameters by signatures, as each input has one."""
        names = _names(self.f, self.places, self.count)
        saves = [f"kept{k}" for k in range(len(kept))]
        name_of = {
            self.out.term: "out",
            **dict(zip([*inputs, *kept], [*names, *saves], strict=True)),
        }

        def forward(be, *arrays):
            out, *kept = program(be, arrays)
            return (out, tuple(kept)) if kept else out

        def backward(g, be, needs, *given):
            g = be.xp.asarray(g)  # of no axes it may be a scalar of NumPy's
            found = iter(self._backward_program(needs)(be, [*given, g]))
            return [next(found) if needed else None for needed in needs]

        forward.__name__ = getattr(self.f, "__name__", "fused")
        forward.__doc__, forward.__module__ = self.f.__doc__, self.f.__module__
        forward.__signature__ = _signature(["be", *names])  # type: ignore[attr-defined]
        backward.__signature__ = _signature(  # type: ignore[attr-defined]
            ["g", "be", "needs", *(name_of[term] for term in self.given)]
        )
        made = Op(forward, {}, backward, self.composite, tuple(saves), False, False, False, False)
        made.is_ours = True  # though the forward bears the name and module of a user's function
        made.function = function_of(made)
        assert made.count == len(inputs)
        return made


@contextmanager
def _in_usual_modes():
    """A `with` block to trace in: there are no values to check, to time or to cast."""
    with Switch("debug", False), Switch("profile", None), Switch("autocast", None):
        yield


def _stand_in(terms, k, shape):
    place = terms.place_of_input(shape)
    term = terms.make("input", place=place, detail=(k, shape))
    return Traced(terms, term, shape, terms.dtype)


def _terms_below(results, wanted):
    """The wanted terms that results are computed from, but for those below one another."""
    found, seen, waiting = set(), set(), list(results)
    while waiting:
        term = waiting.pop()
        if term not in seen:
            seen.add(term)
            if wanted(term):
                found.add(term)
            else:
                waiting += term.operands
    return sorted(found, key=lambda term: term.serial)


def _names(f, places, count):
    """The names of f's array arguments, none of which means something else in a rule."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    names = names + [f"argument{k}" for k in range(len(names), count)]
    found = [names[i] for i in places]
    return [f"{n}_" if n in RESERVED or n.startswith("kept") else n for n in found]


def _signature(names):
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature([inspect.Parameter(name, kind) for name in names])
