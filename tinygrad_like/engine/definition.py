"""How an op is defined: its forward, its gradient rules, and what a rule may ask for."""

import functools
import inspect
from types import FunctionType
from typing import Any

from tinygrad_like.engine.call import full_path
from tinygrad_like.engine.options import check_flag
from tinygrad_like.engine.plan import ATTRIBUTE, BACKEND, EXTRA, INPUT, NEEDS, OUT, SHAPE, Plan
from tinygrad_like.engine.short import function_of

EMPTY = inspect.Parameter.empty

OPS: dict[str, "Op"] = {}


def op(
    *,
    backward=None,
    composite=None,
    saves=(),
    several=False,
    view=False,
    any_dtype=False,
    floating=False,
    complex=False,
    autocast=None,
    numbers=None,
    copied=(),
    partial=False,
    batch=None,
    batch_backward=None,
    **rules,
):
    """Make an op of a forward `f(be, <inputs>, *, <attributes>)`; returns a function of Tensors.

    Args:
        rules: `input=lambda g, ...: gradient` for each differentiable input. For complex numbers
            a rule is the transpose of the derivative: g times f'(z), without a conjugate, for an
            analytic f. fit.py says more.
        backward: instead of rules, one function that returns the gradients of all inputs
            (None where `needs` says that none is wanted).
        composite: the op's definition in plain ops, for a `backward` that calls kernels: it is
            what higher orders differentiate, and what tests compare with.
        saves: names of what the forward returns besides its output: `return out, (a, b)`.
        several: whether the forward returns a tuple of outputs.
        view: whether the output can share memory with the first input.
        any_dtype: whether the output's dtype is free, instead of following the inputs'.
        floating: whether it is a function of real numbers: integers become float32 first.
        complex: whether it takes complex numbers, and its rules are right for them, see fit.py;
            otherwise it refuses them.
        autocast: `in_half` or `in_single`: how its inputs are cast under `autocast`.
        numbers: `with_numbers` for elementwise ops whose inputs may be Python numbers: NumPy's
            0-d arrays count as such, and a half type beside them does not round them.
        copied: names of attributes that may be arrays: a recorded call keeps a copy, as the caller
            may write into theirs before the backward pass.
        partial: whether a rule takes None for the gradient of an output that nothing depends on;
            otherwise it gets zeros.
        batch: how `vmap` applies it to many examples at once: a function of a Call, the inputs and
            the attributes, see engine/batching.py. Without one it applies the op in a loop.
        batch_backward: the same for a `backward` that calls kernels.
    """
    flags = {"several": several, "view": view, "any_dtype": any_dtype, "floating": floating}
    for name, value in {**flags, "complex": complex, "partial": partial}.items():
        check_flag("op", name, value)

    def make(forward):
        made = Op(forward, rules, backward, composite, saves, **flags)
        made.autocast, made.numbers, made.copied = autocast, numbers, copied
        made.batch, made.batch_backward, made.complex = batch, batch_backward, complex
        made.function = function_of(made)
        made.partial = partial
        OPS[made.name] = made
        return made.function

    return make


class Op:
    """A forward, its gradient rules, and a plan for every set of inputs that need a gradient.

    `forward(be, a, b, *, axis)`: parameters before the `*` are inputs (Tensors, arrays, Python
    numbers, or None where None is the default), those after it are attributes. A rule's
    parameters name what it needs, and only that is saved:

        g                the gradient of the output (a tuple, for several outputs)
        <input>          an input's array         <input>_shape    its shape
        out              the output               <attribute>      an attribute
        be               the backend              needs            which inputs need a gradient
        <name in saves>  what the forward returned besides its output, for its own backward

    Names are resolved here, once; an unknown one raises TypeError at import.
    """

    autocast: Any = None  # what calls it while `autocast` is on
    copied: tuple[str, ...] = ()  # attributes of which a recorded call keeps a copy
    partial = False  # whether its rules tell an output that nothing depends on from zeros
    numbers: Any = None  # what calls it if a half type would round its Python numbers
    function: Any = None  # the public function, which short.py makes
    batch: Any = None  # what applies it to many examples at once, inside `vmap`
    batch_backward: Any = None  # the same for a fused `backward`
    complex = False  # whether it takes complex numbers

    def __init__(
        self, forward, rules, backward, composite, saves, several, view, any_dtype, floating
    ):
        self.forward, self.backward, self.composite = forward, backward, composite
        self.name = forward.__name__.lstrip("_")
        self.saves, self.several, self.view = saves, several, view
        self.any_dtype, self.floating = any_dtype, floating
        # The library's rules return new arrays, views or g itself; a user's may return any array.
        self.is_ours = (forward.__module__ or "").startswith("tinygrad_like.")
        self._read_parameters(forward)
        self._check_rules(rules)
        self.rules, self.differentiable = rules, bool(rules or backward)
        self.wants = {name: self._wanted(rule) for name, rule in rules.items()}
        self.backward_wants = self._wanted(backward) if backward else []
        self.plans: dict[tuple[int, int], Plan] = {}

    @functools.cached_property
    def with_extra(self):
        """The public function, which returns also what the forward saves for its backward."""
        return full_path(self, with_extra=True)

    def _read_parameters(self, forward):
        """Learn the names of inputs and attributes from the forward's signature."""
        self.signature = inspect.signature(forward)
        parameters = list(self.signature.parameters.values())[1:]
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.inputs = tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)
        self.count = -1 if self.variadic else len(self.inputs)
        self.defaults = [p.default for p in parameters if p.name in self.inputs]
        self.attributes = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        bits = (1 << i for i, default in enumerate(self.defaults) if default is not None)
        self.required = -1 if self.variadic else sum(bits)  # the inputs that cannot be None

    def _check_rules(self, rules):
        for name in rules:
            if name not in self.inputs:
                raise TypeError(f"[{self.name}] has a rule for {name!r}, which is no input")
        if self.composite and (self.variadic or not self.backward):
            raise TypeError(
                f"[{self.name}] a composite goes with a fused backward=, and not with *inputs"
            )
        if rules and (self.variadic or self.backward):
            raise TypeError(
                f"[{self.name}] takes one backward= for all inputs, or rules, not both; "
                "with *inputs it is backward="
            )

    def _wanted(self, rule):
        """(kind, where) of everything that a rule's parameters name, except `g`."""
        return [self._resolve(name) for name in _parameters_of(rule)[1:]]

    def _resolve(self, name):
        if name in self.inputs:
            return INPUT, self.inputs.index(name)
        if name in self.attributes:
            return ATTRIBUTE, name
        if name in self.saves:
            return EXTRA, self.saves.index(name)
        if name.endswith("_shape") and name[:-6] in self.inputs:
            return SHAPE, self.inputs.index(name[:-6])
        if name in ("out", "be", "needs"):
            return {"out": OUT, "be": BACKEND, "needs": NEEDS}[name], 0
        raise TypeError(
            f"[{self.name}] a rule asks for {name!r}: no input, <input>_shape, attribute, "
            "g, out, be, needs, or name in saves"
        )

    def plan(self, mask, count):
        """The plan for the inputs whose bits are in `mask`, of `count`; made on first use."""
        made = self.plans.get((mask, count))
        if made is None:
            made = self.plans[mask, count] = Plan(self, mask, count)
        return made

    def bind(self, args, attributes):
        """Sort a call's arguments into inputs, in order, and attributes by name."""
        if self.variadic:
            if not args or not isinstance(args[0], (list, tuple)) or not args[0]:
                raise TypeError(f"[{self.name}] expected a non-empty list of tensors first")
            inputs, rest = list(args[0]), args[1:]
        else:
            inputs, rest = args[: self.count], args[self.count :]
            if len(inputs) < self.count:
                inputs, attributes = self._with_missing(inputs, attributes)
        if len(rest) > len(self.attributes):
            raise TypeError(f"[{self.name}] got {len(args)} arguments; {self.usage()}")
        given = dict(zip(self.attributes, rest, strict=False))
        for name in attributes:
            if name not in self.attributes or name in given:
                raise TypeError(f"[{self.name}] unexpected argument {name!r}; {self.usage()}")
        return inputs, {**given, **attributes}

    def _with_missing(self, inputs, attributes):
        """(all inputs, the attributes): inputs not given in place come by name or by default."""
        inputs, attributes = list(inputs), dict(attributes)
        missing = zip(self.inputs[len(inputs) :], self.defaults[len(inputs) :], strict=True)
        for name, default in missing:
            value = attributes.pop(name, default)
            if value is EMPTY:
                raise TypeError(f"[{self.name}] {name} is missing; {self.usage()}")
            inputs.append(value)
        return inputs, attributes

    def usage(self):
        """How the op is called, for error messages."""
        shown = [k if v is EMPTY else f"{k}={v!r}" for k, v in self.attributes.items()]
        return f"it takes {', '.join([*self.inputs, *shown])}"


def _parameters_of(rule):
    """The names of a function's parameters. Reading a plain one's code takes a tenth of inspect's
    time, which counts for hundreds of rules at import.
    """
    if type(rule) is FunctionType and not vars(rule):
        code = rule.__code__
        if not code.co_flags & (inspect.CO_VARARGS | inspect.CO_VARKEYWORDS):
            return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return tuple(inspect.signature(rule).parameters)
